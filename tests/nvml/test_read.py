"""Every field of telemetry.md's list, read from a driver that answers, refuses or has never heard of it."""

from __future__ import annotations

import pytest

from collectors.nvml import labels

from .driver import LINKS, NO_PERMISSION, NOT_SUPPORTED, UNKNOWN, Driver

ALL_BUT_IDENTITY = {
    "util_pct", "memory_used_mb", "memory_mb", "temp_c", "memory_temp_c", "power_w", "power_limit_w", "energy_j",
    "sm_clock_mhz", "memory_clock_mhz", "throttle", "ecc_corrected", "ecc_uncorrected", "remapped_corrected",
    "remapped_uncorrected", "remap_pending", "remap_failed", "nvlinks_up", "nvlinks", "nvlink_errors", "pcie_gen",
    "pcie_width", "pcie_replays", "mig", "recovery", "fabric",
}  # fmt: skip


def test_every_field_of_a_working_gpu(nvml):
    sample = nvml.read()
    assert [gpu.index for gpu in sample.gpus] == list(range(8))
    gpu = sample.gpus[2]
    assert (gpu.node, gpu.uuid, gpu.model) == ("gpu0001", "GPU-0000-2", "NVIDIA H100 80GB HBM3")
    assert (gpu.util_pct, gpu.memory_used_mb, gpu.memory_mb) == (98.0, 61_440, 81_559)
    assert (gpu.temp_c, gpu.memory_temp_c) == (64.0, 71.0)
    assert (gpu.power_w, gpu.power_limit_w, gpu.energy_j) == (612.0, 700.0, 123_456_789.0)
    assert (gpu.sm_clock_mhz, gpu.memory_clock_mhz, gpu.throttle) == (1980, 2619, ())
    assert (gpu.ecc_corrected, gpu.ecc_uncorrected) == (2, 0)
    assert (gpu.remapped_corrected, gpu.remapped_uncorrected, gpu.remap_pending, gpu.remap_failed) == (
        1,
        0,
        False,
        False,
    )
    assert (gpu.nvlinks_up, gpu.nvlinks, gpu.nvlink_errors) == (LINKS, LINKS, 8)
    assert (gpu.pcie_gen, gpu.pcie_width, gpu.pcie_replays) == (5, 16, 4)
    assert (gpu.mig, gpu.recovery, gpu.fabric, gpu.processes, gpu.lost) == (False, "none", "ready", (), None)
    assert gpu.na == frozenset()
    assert sample.driver == "570.86.15"
    extra = sample.extras[2]
    assert (extra.bus_id, extra.ecc, extra.ecc_corrected_ever, extra.ecc_uncorrected_ever) == (
        "00000000:12:00.0", True, 11, 1)  # fmt: skip
    assert (extra.pcie_gen_max, extra.pcie_width_max, extra.sm_clock_max_mhz) == (5, 16, 1980)
    assert extra.nvlink_error_kinds == {"replay": 3, "recovery": 0, "CRC flit": 5, "CRC data": 0}
    assert extra.na == {"retired_single", "retired_double", "retired_pending"}  # an H100 remaps rows


def test_not_supported_is_named_and_never_a_nought(driver, nvml):
    keys = [key for key in _keys() if key not in {"driver", "name"}]
    driver.refuse(1, *keys)
    gpu = nvml.read().gpus[1]
    assert gpu.na == ALL_BUT_IDENTITY
    assert all(getattr(gpu, field) is None for field in ALL_BUT_IDENTITY)
    assert gpu.lost is None and gpu.uuid == "GPU-0000-1"


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("util", "util_pct"), ("temp", "temp_c"), ("field.82", "memory_temp_c"), ("limit", "power_limit_w"),
        ("field.83", "energy_j"), ("sm_clock", "sm_clock_mhz"), ("memory_clock", "memory_clock_mhz"),
        ("reasons", "throttle"), ("field.3", "ecc_corrected"), ("field.4", "ecc_uncorrected"), ("mig", "mig"),
        ("field.94", "pcie_replays"), ("pcie_gen", "pcie_gen"), ("pcie_width", "pcie_width"),
        ("field.230", "recovery"), ("fabric", "fabric"), ("memory_used", "memory_used_mb"),
    ],
)  # fmt: skip
def test_one_field_refused_leaves_the_others(driver, nvml, key, field):
    driver.refuse(0, key)
    driver.refuse(1, key, code=UNKNOWN)
    gpus = nvml.read().gpus
    assert getattr(gpus[0], field) is None and field in gpus[0].na
    assert getattr(gpus[1], field) is None and field not in gpus[1].na, "an error is unknown, not n/a"
    assert getattr(gpus[2], field) is not None and gpus[2].na == frozenset()
    assert gpus[0].power_w == gpus[1].power_w == 612.0


def test_a_field_that_the_driver_has_never_heard_of_is_not_offered(driver, nvml):
    driver.refuse(0, "field.230", code=2)
    assert "recovery" in nvml.read().gpus[0].na


def test_power_falls_back_to_the_average_and_rows_to_the_call(driver, nvml):
    driver.refuse("*", "field.186", "field.142", "field.143", "field.144", "field.145")
    driver.set("*", remapped="4 2 1 0")
    gpu = nvml.read().gpus[0]
    assert gpu.power_w == 611.0
    assert (gpu.remapped_corrected, gpu.remapped_uncorrected, gpu.remap_pending, gpu.remap_failed) == (
        4,
        2,
        True,
        False,
    )
    assert gpu.na == frozenset()


def test_a_memory_sensor_that_says_nought_degrees_is_none(driver, nvml):
    driver.set(0, field_82=0)
    gpu = nvml.read().gpus[0]
    assert gpu.memory_temp_c is None and "memory_temp_c" in gpu.na


def test_links_down_errors_by_link_and_a_card_without_links(driver, nvml):
    driver.set(0, link_3=0, link_7=0)
    driver.refuse(1, "field.52", "field.59", "field.38", "field.45")
    driver.set(1, **{f"field_161_{link}": 2 for link in range(1, LINKS)}, field_161=2, field_208=1)
    driver.refuse(2, "field.91", *(f"link.{link}" for link in range(LINKS)))
    driver.refuse(3, "field.91")
    sample = nvml.read()
    down, each, without, unsaid = sample.gpus[:4]
    assert (down.nvlinks_up, down.nvlinks, sample.extras[0].nvlinks_down) == (LINKS - 2, LINKS, (3, 7))
    assert each.nvlink_errors == 2 * LINKS + 1
    assert sample.extras[1].nvlink_error_kinds == {"replay": 2 * LINKS, "receive": 1}
    assert {"nvlinks", "nvlinks_up", "nvlink_errors"} <= without.na and without.nvlinks is None
    assert (unsaid.nvlinks, unsaid.nvlinks_up) == (LINKS, LINKS), "counted where the driver does not say how many"


def test_retired_pages_of_an_older_gpu(driver, nvml):
    driver.set(0, field_29=3, field_30=1, field_31=1)
    extra = nvml.read().extras[0]
    assert (extra.retired_single, extra.retired_double, extra.retired_pending, extra.na) == (3, 1, True, frozenset())


def test_words_of_throttling_recovery_and_fabric(driver, nvml):
    driver.set(0, reasons=0x4 | 0x1, field_230=4, fabric="2 0 0 0")
    driver.set(1, reasons=0x48, field_230=1, fabric="3 999 0 0")
    driver.set(2, reasons=0x1, field_230=99, fabric="0 0 0 0")
    driver.set(3, fabric="3 0 0x51a9 2")
    gpus = nvml.read().gpus
    assert [gpu.throttle for gpu in gpus[:3]] == [("power cap",), ("thermal, hardware",), ()]
    assert [gpu.recovery for gpu in gpus[:3]] == ["drain and reset", "reset", "action 99"]
    assert gpus[0].fabric == "in progress"
    assert (gpus[1].fabric or "").startswith("failed: ")
    assert gpus[2].fabric is None and "fabric" in gpus[2].na
    assert gpus[3].fabric == "ready, degraded bandwidth, unhealthy"
    assert labels.throttle(0x8 | 0x800) == ("hardware slowdown", "reason 0x800")


def test_an_older_fabric_version_and_an_older_library(tmp_path, monkeypatch, opened):
    folder = tmp_path / "old"
    folder.mkdir()
    Driver(folder, 2, "-DOLD")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    gpu = opened().read().gpus[0]
    assert gpu.memory_used_mb == 61_440 + 551, "version 1 counts what the driver reserves"
    assert gpu.throttle == () and gpu.na == {"fabric"}


def test_the_clique_in_a_domain_of_several_nodes(driver, nvml):
    driver.set(0, fabric="3 0 0x51a9 3 32766")
    driver.set(1, fabric="2 0 0 0 32766")
    assert [gpu.fabric for gpu in nvml.read().gpus[:3]] == [
        "ready, clique 32766, degraded bandwidth, limited capacity", "in progress", "ready",
    ]  # fmt: skip


def test_fabric_version_two(driver, nvml):
    driver.set(0, fabric_version=2)
    assert nvml.read().gpus[0].fabric == "ready"


def test_mig_and_processes(driver, nvml):
    driver.set(0, mig=1, util="!3")
    driver.line("proc", 0, 999_999, 1024)
    driver.line("proc", 0, 999_999, 512)
    driver.line("proc", 1, 999_998, "-")
    driver.set(2, processes=NOT_SUPPORTED)
    driver.set(3, processes=UNKNOWN)
    gpus = nvml.read().gpus
    assert gpus[0].mig is True and gpus[0].na == {"util_pct"}
    assert [(one.pid, one.memory_mb) for one in gpus[0].processes or ()] == [(999_999, 1536)], (
        "two instances, one process"
    )
    assert [(one.pid, one.memory_mb) for one in gpus[1].processes or ()] == [(999_998, None)]
    assert gpus[2].processes is None and "processes" in gpus[2].na
    assert gpus[3].processes is None and "processes" not in gpus[3].na


def test_no_permission_is_unknown_and_told(driver, nvml):
    driver.refuse(0, "limit", code=NO_PERMISSION)
    sample = nvml.read()
    assert sample.gpus[0].power_limit_w is None and "power_limit_w" not in sample.gpus[0].na
    assert "some fields need more rights than this user has" in sample.warnings


def test_what_a_gpu_calls_itself_is_cleaned(driver, nvml):
    driver.set(0, name="H100\x1b]52;c;aGk=\x07")
    assert nvml.read().gpus[0].model == "H100\\e]52;c;aGk=\\x07"


def test_what_moves_is_read_each_time_and_what_hardly_moves_in_turn(driver, nvml):
    nvml.read()
    driver.set("*", util=12, limit=650_000)
    assert [gpu.util_pct for gpu in nvml.read().gpus] == [12.0] * 8
    limits = [[gpu.power_limit_w for gpu in nvml.read().gpus].count(650.0) for _ in range(7)]
    assert limits == [2, 3, 4, 5, 6, 7, 8], "one GPU a reading"


def test_a_field_that_comes_to_be_supported_is_found_in_its_turn(driver, nvml):
    driver.refuse(1, "util")
    assert "util_pct" in nvml.read().gpus[1].na
    driver.set(1, util=50)
    seen = [nvml.read().gpus[1].util_pct for _ in range(8)]
    assert seen[-1] == 50.0


def test_how_many_calls_a_reading_takes(driver, nvml):
    log = driver.folder / "calls"
    driver.line("log", log)
    first = nvml.read()
    log.write_text("")
    for _ in range(8):
        sample = nvml.read()
    calls = [line for line in log.read_text().split() if line != "nvmlEventSetWait_v2"]
    assert len(calls) / 8 <= 8 * 8 + 40, "eight moving figures a GPU, and the slow ones of one GPU"
    assert sample.calls < first.calls
    assert calls.count("nvmlDeviceGetFieldValues") == 8 * 8 + 8, (
        "one batch a GPU, one more for the GPU whose turn it is"
    )


def _keys() -> list[str]:
    from .driver import H100

    return list(H100)
