"""One row a GPU, whatever series there are of it; and what the telemetry of a large machine costs."""

from __future__ import annotations

import json
import time

import pytest

from collectors.clock import SystemClock
from collectors.prometheus import PowerSettings
from collectors.prometheus.answers import Row
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.sources import Loads
from tests.support.dcgm_rows import gpus, row
from tests.support.make import NOW
from tests.support.prometheus_server import StandIn, machine

NODES = 12_000
#: The budget of one poll: contract of issue 3.
WIRE_BYTES = 3_000_000


def test_every_field_finds_its_place():
    given = {
        "DEV_GPU_UTIL": (93, "util_pct", 93.0), "PROF_PIPE_TENSOR_ACTIVE": (0.4125, "tensor_pct", 41.2),
        "DEV_GPU_TEMP": (61, "temp_c", 61.0), "DEV_MEMORY_TEMP": (70, "memory_temp_c", 70.0),
        "DEV_POWER_USAGE": (612.5, "power_w", 612.5), "DEV_POWER_MGMT_LIMIT": (700, "power_limit_w", 700.0),
        "DEV_TOTAL_ENERGY_CONSUMPTION": (5_000_000, "energy_j", 5000.0), "DEV_SM_CLOCK": (1980, "sm_clock_mhz", 1980),
        "DEV_MEM_CLOCK": (2619, "memory_clock_mhz", 2619), "DEV_ECC_SBE_VOL_TOTAL": (3, "ecc_corrected", 3),
        "DEV_ECC_DBE_VOL_TOTAL": (0, "ecc_uncorrected", 0),
        "DEV_CORRECTABLE_REMAPPED_ROWS": (2, "remapped_corrected", 2),
        "DEV_UNCORRECTABLE_REMAPPED_ROWS": (1, "remapped_uncorrected", 1),
        "DEV_ROW_REMAP_PENDING": (1, "remap_pending", True), "DEV_ROW_REMAP_FAILURE": (0, "remap_failed", False),
        "DEV_PCIE_LINK_GEN": (5, "pcie_gen", 5),
        "DEV_PCIE_LINK_WIDTH": (16, "pcie_width", 16), "DEV_PCIE_REPLAY_COUNTER": (7, "pcie_replays", 7),
        "DEV_XID_ERRORS": (94, "xid", 94), "DEV_CLOCKS_EVENT_REASONS": (0x4, "throttle", ("power cap",)),
    }  # fmt: skip
    (one,) = gpus(*(row(field, value) for field, (value, _, _) in given.items()))
    for field, (_, name, wanted) in given.items():
        assert getattr(one, name) == wanted, field
    assert (one.index, one.uuid, one.model, one.sampled_at) == (0, "u0", "H100", int(NOW) - 3)


def test_what_is_not_exported_is_unknown():
    (one,) = gpus(row("DEV_GPU_TEMP", 50), row("DEV_XID_ERRORS", 0))
    assert one.util_pct is one.memory_mb is one.ecc_corrected is one.throttle is one.xid is one.mig is one.job is None
    assert one.remap_failed is one.nvlink_errors is one.energy_j is None and one.lost is None


@pytest.mark.parametrize("blank", ["NaN", "+Inf", 2147483632, 2147483635, 140737488355328, 9223372036854775792, 2**64])
def test_blanks_of_dcgm_are_unknown(blank):
    (one,) = gpus(row("DEV_GPU_TEMP", 50), row("DEV_POWER_USAGE", blank), row("DEV_ECC_DBE_VOL_TOTAL", blank))
    assert one.power_w is None and one.ecc_uncorrected is None and one.temp_c == 50


def test_the_instances_of_a_gpu_are_one():
    parts = [
        row(field, value, GPU_I_ID=part, GPU_I_PROFILE="3g.40gb")
        for part, used, busy in (("1", 10_000, 0.25), ("2", 5_000, 0.75))
        for field, value in (
            ("DEV_FB_USED", used), ("DEV_FB_FREE", 40_000 - used), ("DEV_FB_RESERVED", 250),
            ("DEV_POWER_USAGE", 400), ("PROF_GR_ENGINE_ACTIVE", busy),
        )
    ]  # fmt: skip
    (one,) = gpus(*parts, *parts, row("DEV_GPU_TEMP", 50, GPU_I_ID="1"))
    assert (one.memory_used_mb, one.memory_mb, one.power_w, one.util_pct, one.mig) == (15_000, 80_500, 400, 75.0, True)
    whole = [row("DEV_FB_USED", 15_000), row("DEV_FB_FREE", 65_000), row("DEV_FB_RESERVED", 500)]
    (both,) = gpus(*parts, *whole)
    assert both.memory_used_mb == 15_000, "an exporter that gives the GPU and its parts counts it once"


def test_jobs_that_share_a_gpu_are_named():
    (one,) = gpus(row("DEV_GPU_UTIL", 90, hpc_job="12"), row("DEV_GPU_UTIL", 90, hpc_job="7\x1b"))
    assert (one.util_pct, one.job) == (90, "12,7\\e")


def test_a_gpu_that_tells_only_of_an_xid_is_lost():
    rows = [row("DEV_XID_ERRORS", 79), row("DEV_GPU_TEMP", 40, index=1), row("DEV_XID_ERRORS", 0, index=2)]
    first, second, third = gpus(*rows)
    assert (first.lost, first.xid, second.lost) == ("fallen off the bus", 79, None)
    assert third.lost == "its exporter gives no sample of it"


def test_an_old_sample_is_not_shown_as_new():
    (one,) = gpus(row("DEV_GPU_TEMP", 50), row("DEV_XID_ERRORS", 31), taken={"u0": NOW - 200})
    assert (one.temp_c, one.xid, one.sampled_at, one.lost) == (None, 31, int(NOW) - 200, None)


def test_odd_labels_break_nothing():
    other = Row(metric={"Hostname": "gpu2", "gpu": "0", "__name__": "DCGM_FI_DEV_GPU_TEMP"}, value=(NOW, "1"))
    bare = Row(metric={"Hostname": "gpu1", "__name__": "DCGM_FI_DEV_GPU_TEMP"}, value=(NOW, "40"))
    (one,) = gpus(other, bare, Row(metric={"Hostname": "gpu1"}), taken={})
    assert (one.index, one.uuid, one.temp_c, one.sampled_at) == (-1, None, 40.0, None)


@pytest.mark.slow
def test_the_overview_of_a_large_machine_is_a_few_bytes_a_node():
    power = PowerSettings(node_series="ipmi_dcmi_power_consumption_watts")
    with StandIn(power=power, timeout_s=30) as server:
        server.rows = machine(NODES)
        server.pack()
        source = Loads(server.settings)
        source.collect()
        before, cpu, began = source.client.on_wire, time.thread_time(), time.monotonic()
        facts = source.collect()
        cpu, took = time.thread_time() - cpu, time.monotonic() - began
        on_wire = source.client.on_wire - before
    print(f"\n{NODES} nodes: {on_wire:,} bytes on the wire, {cpu:.3f} s of our CPU, {took:.2f} s in all")
    assert len(facts.loads) == NODES and facts.warnings == ()
    assert on_wire < WIRE_BYTES / 2


def test_no_answer_holds_the_interpreter_for_long():
    """Decoding is the one step that no other thread can interrupt: 50 ms is the budget of the event loop."""
    with StandIn(timeout_s=30) as server:
        server.rows = machine(NODES)
        body = server.answer("util", {})
        client = PrometheusClient(server.settings, SystemClock())
        client.ask("util", server.settings.url)
        answer = client._session.response
    began = time.thread_time()
    for _ in range(5):
        answer.json()
    decoded = (time.thread_time() - began) / 5
    began = time.thread_time()
    json.loads(body)
    print(f"\n{len(body):,} bytes: {decoded * 1000:.1f} ms; json: {(time.thread_time() - began) * 1000:.1f} ms")
    assert len(body) < 2_000_000
