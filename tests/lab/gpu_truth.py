"""What a Prometheus of the lab tells of GPUs and loads, held against the simulated machine."""

from __future__ import annotations

import time

import pytest

from collectors.model import Facts, Gpu
from collectors.prometheus import PowerSettings, PrometheusSettings
from collectors.sim.exporters.dcgm import ExporterOptions

from .prometheus import Monitor

BMC, PDU = "ipmi_dcmi_power_consumption_watts", "pdu_power_watts"
POWER = PowerSettings(budget_mw=0.6, node_series=BMC, rack_series=PDU)


def settings(monitor: Monitor, **more: object) -> PrometheusSettings:
    return PrometheusSettings(url=monitor.url, **more)  # type: ignore[arg-type]


def turn_odd(monitor: Monitor, odd: ExporterOptions) -> None:
    """Let it be odd, and wait until the server knows."""
    monitor.exporter.options = odd
    monitor.settle()
    monitor.wait_for_samples()


def assert_true(monitor: Monitor, facts: Facts, without: frozenset[str] = frozenset()) -> None:
    """The loads are the machine's own, node by node; those of `without` are not looked at."""
    assert facts.loads is not None
    truth = monitor.machine.loads()
    assert facts.loads.keys() - without == truth.keys() - without
    for name in truth.keys() - without:
        load, true = facts.loads[name], truth[name]
        assert load.gpu_util_pct == pytest.approx(true.gpu_util_pct, abs=0.1), name
        assert load.gpu_memory_pct == pytest.approx(true.gpu_memory_pct, abs=0.1), name
        assert (load.temp_c, load.gpu_power_w) == (true.temp_c, true.gpu_power_w), name
        assert (load.gpus_seen, load.gpus_idle) == (true.gpus_seen, true.gpus_idle), name
        assert load.sampled_at is not None and abs(time.time() - load.sampled_at) < 15


def assert_same_gpus(found: tuple[Gpu, ...], truth: tuple[Gpu, ...]) -> None:
    """What dcgm-exporter gives by default is the machine's truth, all else is unknown."""
    assert [(gpu.index, gpu.uuid, gpu.model) for gpu in found] == [(gpu.index, gpu.uuid, gpu.model) for gpu in truth]
    for gpu, true in zip(found, truth, strict=True):
        assert (gpu.xid, gpu.lost is None) == (true.xid, true.lost is None)
        assert gpu.memory_mb == pytest.approx(true.memory_mb, abs=1 if gpu.mig else 0)
        for field in (
            "temp_c", "memory_temp_c", "power_w", "sm_clock_mhz", "memory_clock_mhz", "memory_used_mb",
            "remapped_corrected", "remapped_uncorrected", "remap_failed", "pcie_replays",
        ):  # fmt: skip
            assert getattr(gpu, field) == getattr(true, field), field
        assert gpu.util_pct == pytest.approx(true.util_pct, abs=0.1)
        assert gpu.tensor_pct == pytest.approx(true.tensor_pct, abs=0.1)
        assert gpu.energy_j == pytest.approx(true.energy_j, rel=1e-6)
        assert gpu.ecc_corrected is gpu.throttle is gpu.pcie_gen is None, "not exported is unknown, never 0"
