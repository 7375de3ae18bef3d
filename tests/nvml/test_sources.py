"""NVML as the console opens it: one child for the source and the telemetry, an hour's past, energy, load."""

from __future__ import annotations

import pytest

from collectors.model import Gpu, SourceFault, Telemetry
from collectors.nvml import DESCRIPTOR, NvmlSettings, gpu_problems, sources
from collectors.nvml.client import Nvml, Point
from collectors.nvml.protocol import NvmlGpuDetail
from collectors.nvml.sources import NvmlSource, NvmlTelemetry, open_sources, open_telemetry, this_node
from collectors.source_registry import descriptors, settings

from .driver import NODE


def points(nvml: Nvml, *rows: tuple[float, float | None, float | None]) -> None:
    """Readings of the past: time, utilisation, joules."""
    for at, util, joules in rows:
        nvml.points.append(Point(at, util, 50.0, 60.0, 1000.0, joules))


def test_it_is_found_by_itself_and_its_settings_are_checked():
    assert descriptors()["nvml"] is DESCRIPTOR
    assert settings(DESCRIPTOR, {"interval_s": 2}) == NvmlSettings(interval_s=2.0)
    with pytest.raises(Exception, match="interval"):
        settings(DESCRIPTOR, {"interval": 2})


def test_source_and_telemetry_share_one_child(driver):
    chosen = NvmlSettings()
    (source,) = open_sources("c", chosen)
    telemetry: Telemetry = open_telemetry("c", chosen)
    assert isinstance(source, NvmlSource) and isinstance(telemetry, NvmlTelemetry)
    facts = source.collect()
    assert (source.name, source.floor_s) == ("nvml.gpus", 1.0)
    assert facts.loads is None and facts.xids is None, "the cluster's facts are Prometheus's"
    child = source._nvml._child
    assert len(telemetry.gpus([this_node(), "gpu0002"])[this_node()]) == 8
    assert telemetry.gpus(["gpu0002"]) == {}
    assert telemetry._nvml is source._nvml and telemetry._nvml._child is child
    source.close()
    assert telemetry.gpus([this_node()]), "the other still holds it"
    telemetry.close()
    assert sources._open == {} and child is not None and child.how() != "runs"


def test_facts_where_no_prometheus_gives_them(driver):
    (source,) = open_sources("c", NvmlSettings(facts=True))
    try:
        driver.line("lost", 3, 1)
        driver.set(0, util=1)
        facts = source.collect()
        (load,) = (facts.loads or {}).values()
        assert (load.gpus_seen, load.gpus_idle, load.gpu_power_w, load.power_w) == (7, 1, 7 * 612.0, None)
        assert load.temp_c == 64.0 and load.gpu_memory_pct == pytest.approx(75.33, abs=0.1)
        assert facts.warnings[0].startswith("GPU 3 is lost: ")
    finally:
        source.close()


def test_a_fault_reaches_who_asks(driver):
    driver.line("init", 9)
    telemetry = open_telemetry("c", NvmlSettings())
    try:
        with pytest.raises(SourceFault, match="not loaded"):
            telemetry.gpus([this_node()])
    finally:
        telemetry.close()


def test_a_chart_of_the_last_hour_has_gaps_where_nothing_was_read(opened):
    nvml = opened()
    telemetry = NvmlTelemetry(nvml)
    assert telemetry.history(NODE, 3600) == () and telemetry.history("gpu0002", 60) == ()
    points(nvml, (1000, 10.0, None), (1001, 20.0, None), (1004, None, None), (1005, 50.0, None))
    util, memory, temperature, power = telemetry.history(NODE, 60)
    assert util.points == ((1000, 10.0), (1001, 20.0), (1002, None), (1003, None), (1004, None), (1005, 50.0))
    assert [(one.name, one.unit) for one in (util, memory, temperature, power)] == [
        ("utilisation", "%"), ("memory", "%"), ("temperature", "°C"), ("power", "W")]  # fmt: skip
    assert telemetry.history(NODE, 2)[0].points == ((1003, None), (1004, None), (1005, 50.0))
    assert telemetry.site_history(3600) == ()


def test_a_long_chart_is_summed_up(opened):
    nvml = opened()
    points(nvml, *((at, float(at % 10), None) for at in range(10_000, 13_600)))
    (util, *_) = NvmlTelemetry(nvml).history(NODE, 3600)
    assert len(util.points) == 360 and util.points[-1][0] == 13_599
    assert util.points[-2][1] == pytest.approx(4.5)


def test_energy_since_a_moment(opened):
    nvml = opened()
    telemetry = NvmlTelemetry(nvml)
    assert telemetry.energy_j([NODE], 1000) is None
    points(nvml, (1000, 1.0, 5000.0), (1010, 1.0, 9000.0), (1020, 1.0, None), (1030, 1.0, 15_000.0))
    assert telemetry.energy_j([NODE], 1000) == 10_000.0
    assert telemetry.energy_j([NODE], 1005) == 6000.0
    assert telemetry.energy_j([NODE], 900) is None, "from before the first reading"
    assert telemetry.energy_j([NODE, "gpu0002"], 1000) is None
    points(nvml, (1040, 1.0, 100.0))
    assert telemetry.energy_j([NODE], 1000) is None, "the driver was loaded anew"


def test_what_is_wrong_with_a_gpu_in_words():
    bad = Gpu(
        node=NODE, index=1, util_pct=90.0, recovery="reset", remap_failed=True, remap_pending=True, ecc_uncorrected=2,
        fabric="in progress", pcie_gen=4, pcie_width=8,
    )  # fmt: skip
    extra = NvmlGpuDetail(
        index=1, ecc=False, retired_pending=True, nvlinks_down=(3, 7), pcie_gen_max=5, pcie_width_max=16
    )
    lost = Gpu(node=NODE, index=2, lost="fallen off the bus")
    good = Gpu(node=NODE, index=0, recovery="none", fabric="ready", pcie_gen=1, util_pct=0.0)
    texts = gpu_problems.gpu_problems((good, bad, lost), {0: NvmlGpuDetail(index=0, pcie_gen_max=5), 1: extra})
    assert texts[0] == (2, "lost: fallen off the bus")
    assert {text for index, text in texts if index == 1} == {
        "the driver asks for: reset", "a row could not be remapped", "a remapped row waits for a reset",
        "a retired page waits for a reset", "2 uncorrected ECC errors since the driver was loaded",
        "ECC is switched off", "NVLink 3, 7 down", "NVLink fabric in progress", "PCIe x8 of x16",
        "PCIe gen 4 of 5 under load",
    }  # fmt: skip
    assert not [index for index, _ in texts if index == 0]
