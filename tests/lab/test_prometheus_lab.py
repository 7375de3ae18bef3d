"""The Prometheus collector against real engines: the same queries, the same facts, the machine's own truth."""

from __future__ import annotations

import signal

import pytest

from collectors.model import SourceFault
from collectors.prometheus import PowerSettings, PrometheusSettings
from collectors.prometheus.sources import Loads, PowerSource, open_telemetry
from collectors.sim.dcgm import Odd

from .prometheus import Monitor

POWER = PowerSettings(budget_mw=0.6, node_series="ipmi_dcmi_power_consumption_watts", rack_series="pdu_power_watts")


def settings(monitor: Monitor, **more: object) -> PrometheusSettings:
    return PrometheusSettings(url=monitor.url, **more)  # type: ignore[arg-type]


def arrive(monitor: Monitor) -> None:
    """Every GPU that reports is there under its newest labels: an engine may take a while to index new series."""
    monitor.settle()
    monitor.wait_for_samples("max by (UUID) (DCGM_FI_DEV_FB_USED)")
    for name in ("GPU_TEMP", "POWER_USAGE", "FB_FREE"):
        monitor.wait_for_samples(f"max by (UUID) (DCGM_FI_DEV_{name})")


def test_loads_are_the_machines_truth(prometheus: Monitor) -> None:
    arrive(prometheus)
    facts = Loads(settings(prometheus, power=POWER)).collect()
    truth = prometheus.machine.loads()
    assert facts.loads is not None and set(facts.loads) >= set(truth)
    for node, load in facts.loads.items():
        if node not in truth:  # its exporter is silent, its BMC is not
            assert load.gpus_seen is load.gpu_util_pct is load.sampled_at is None and load.power_w
            continue
        true = truth[node]
        assert load.gpu_util_pct == pytest.approx(true.gpu_util_pct, abs=1.0), node
        assert load.gpu_memory_pct == pytest.approx(true.gpu_memory_pct, abs=2.0), node
        assert load.temp_c == pytest.approx(true.temp_c, abs=1.0), node
        assert load.gpu_power_w == pytest.approx(true.gpu_power_w, abs=10), node
        assert load.power_w == pytest.approx(true.power_w, rel=0.02), node
        assert (load.gpus_seen, load.gpus_idle) == (true.gpus_seen, true.gpus_idle), node
        assert load.sampled_at is not None


def test_xids_are_found_with_their_gpu(prometheus: Monitor) -> None:
    prometheus.machine.faults.xid(prometheus.machine.host("gpu0010"), 48, 3)
    arrive(prometheus)
    facts = Loads(settings(prometheus)).collect()
    assert facts.xids is not None
    assert "gpu0010/3/48" in facts.xids
    assert facts.loads is not None and facts.loads["gpu0010"].xid == 48


@pytest.mark.parametrize("odd", [Odd(hostname="hostname"), Odd(twice={"gpu0002"}), Odd(jobs=True, shared={"gpu0003"})])
def test_odd_exporters_give_the_same_facts(prometheus: Monitor, odd: Odd) -> None:
    prometheus.exporter.odd = odd
    arrive(prometheus)
    facts = Loads(settings(prometheus)).collect()
    truth = prometheus.machine.loads()
    assert facts.loads is not None and set(facts.loads) == set(truth)
    for node, load in facts.loads.items():
        assert load.gpus_seen == truth[node].gpus_seen, node
        assert load.gpu_power_w == pytest.approx(truth[node].gpu_power_w, abs=10), node


def test_mig_counts_once_and_still_has_a_utilisation(prometheus: Monitor) -> None:
    prometheus.exporter.odd = Odd(mig={"gpu0005"})
    arrive(prometheus)
    facts = Loads(settings(prometheus)).collect()
    true = prometheus.machine.loads()["gpu0005"]
    assert facts.loads is not None
    load = facts.loads["gpu0005"]
    assert load.gpus_seen == true.gpus_seen
    assert load.gpu_power_w == pytest.approx(true.gpu_power_w, abs=10)
    assert load.gpu_util_pct is not None


def test_power_names_its_source(prometheus: Monitor) -> None:
    prometheus.settle()
    power = PowerSource(settings(prometheus, power=POWER)).collect().power
    truth = prometheus.machine.power()
    assert power is not None and (power.source, power.budget_w) == ("PDU", 600_000)
    assert power.site_w == pytest.approx(truth.site_w, rel=0.02)
    assert set(power.rack_w) == set(truth.rack_w)
    gpus_only = PowerSource(settings(prometheus)).collect().power
    assert gpus_only is not None and gpus_only.source == "sum of GPUs"
    assert gpus_only.site_w is not None and power.site_w is not None and gpus_only.site_w < power.site_w


def test_every_gpu_of_the_nodes_on_the_screen(prometheus: Monitor) -> None:
    prometheus.settle()
    telemetry = open_telemetry("x", settings(prometheus))
    found = telemetry.gpus(["gpu0001", "gpu0002", "gpu9999"])
    assert set(found) == {"gpu0001", "gpu0002"}
    for node, gpus in found.items():
        truth = prometheus.machine.gpus(node)
        assert [gpu.uuid for gpu in gpus] == [gpu.uuid for gpu in truth]
        for gpu, true in zip(gpus, truth, strict=True):
            assert gpu.util_pct == pytest.approx(true.util_pct, abs=1)
            assert gpu.memory_mb == pytest.approx(true.memory_mb, abs=2)
            assert gpu.power_w == pytest.approx(true.power_w, abs=1)
            assert gpu.ecc_corrected is None, "a series that is not exported is unknown, not nought"


def test_charts_of_a_node_and_of_the_site(prometheus: Monitor) -> None:
    prometheus.backfill(hours=2, nodes=["gpu0001"])
    telemetry = open_telemetry("x", settings(prometheus, power=POWER))
    series = telemetry.history("gpu0001", 3600)
    assert [one.unit for one in series] == ["%", "%", "°C", "W"]
    known = [value for _, value in series[0].points if value is not None]
    assert len(known) > 60
    assert all(
        b[0] - a[0] == series[0].points[1][0] - series[0].points[0][0]
        for a, b in zip(series[0].points, series[0].points[1:], strict=False)
    )
    assert telemetry.history("gpu0063", 3600) is not None
    assert {one.unit for one in telemetry.site_history(3600)} == {"W", "%"}


def test_a_server_that_hangs_is_a_named_fault_within_its_time(prometheus: Monitor) -> None:
    prometheus.signal_server(signal.SIGSTOP)
    try:
        with pytest.raises(SourceFault) as caught:
            Loads(settings(prometheus, timeout_s=0.5)).collect()
    finally:
        prometheus.signal_server(signal.SIGCONT)
    assert caught.value.fault.kind == "timeout"


def test_a_silent_node_is_a_gap_never_a_nought(prometheus: Monitor) -> None:
    prometheus.exporter.odd = Odd(silent={"gpu0007"}, nan={"gpu0008"})
    arrive(prometheus)
    facts = Loads(settings(prometheus)).collect()
    assert facts.loads is not None
    assert "gpu0007" not in facts.loads or facts.loads["gpu0007"].gpus_seen in (None, 8)
    # VictoriaMetrics keeps no NaN: there the value of before stands until it is stale.
    if "victoria" not in prometheus.engine.name:
        assert facts.loads["gpu0008"].gpu_util_pct is None
