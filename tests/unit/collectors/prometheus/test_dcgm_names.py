"""Two generations of names: each GPU is the same under either, in wacht's units, and counted once."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from collectors.prometheus import PrometheusSettings, dcgm_names
from collectors.prometheus.query_table import TABLE
from collectors.prometheus.site_queries import SiteQueries
from collectors.sim.exporters.dcgm import DEFAULT, FIELDS, RENAMED
from tests.support.dcgm_rows import gpus, row

#: What an H100 at work says before 4.9, and since.
OLDER = {
    "DEV_GPU_UTIL": 97, "DEV_FB_USED": 70_000, "DEV_FB_FREE": 11_008, "DEV_FB_RESERVED": 551, "DEV_GPU_TEMP": 61,
    "DEV_MEMORY_TEMP": 70, "DEV_POWER_USAGE": 612.5, "DEV_POWER_MGMT_LIMIT": 700, "DEV_SM_CLOCK": 1980,
    "DEV_TOTAL_ENERGY_CONSUMPTION": 5_000_123_000, "DEV_MEM_CLOCK": 2619, "DEV_CLOCK_THROTTLE_REASONS": 4,
    "DEV_CORRECTABLE_REMAPPED_ROWS": 2, "DEV_UNCORRECTABLE_REMAPPED_ROWS": 1, "DEV_ROW_REMAP_FAILURE": 1,
    "DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL": 3, "DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL": 4, "DEV_PCIE_REPLAY_COUNTER": 7,
    "DEV_XID_ERRORS": 94, "PROF_GR_ENGINE_ACTIVE": 0.931, "PROF_PIPE_TENSOR_ACTIVE": 0.4125,
}  # fmt: skip
NEWER = {
    "DEV_GPU_UTIL_RATIO": 0.97, "DEV_FB_USED_BYTES": 70_000 << 20, "DEV_FB_FREE_BYTES": 11_008 << 20,
    "DEV_FB_RESERVED_BYTES": 551 << 20, "DEV_GPU_TEMP_CELSIUS": 61, "DEV_MEMORY_TEMP_CELSIUS": 70,
    "DEV_BOARD_POWER_WATTS": 612.5, "DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS": 700, "DEV_SM_CLOCK_HERTZ": 1_980_000_000,
    "DEV_GPU_ENERGY_JOULES_TOTAL": 5_000_123, "DEV_MEMORY_CLOCK_HERTZ": 2_619_000_000, "DEV_CLOCKS_EVENT_REASONS": 4,
    "DEV_ROW_REMAP_CORRECTABLE_TOTAL": 2, "DEV_ROW_REMAP_UNCORRECTABLE_TOTAL": 1, "DEV_ROW_REMAP_FAILED": 1,
    "DEV_NVLINK_CRC_FLIT_ERROR_TOTAL": 3, "DEV_NVLINK_REPLAY_ERROR_TOTAL": 4, "DEV_PCIE_REPLAY_TOTAL": 7,
    "DEV_XID_ERROR": 94, "PROF_GR_ENGINE_UTIL_RATIO": 0.931, "PROF_TENSOR_UTIL_RATIO": 0.4125,
}  # fmt: skip


def test_a_gpu_is_the_same_under_either_name():
    (older,) = gpus(*(row(field, value) for field, value in OLDER.items()))
    (newer,) = gpus(*(row(field, value) for field, value in NEWER.items()))
    (both,) = gpus(*(row(field, value) for field, value in (OLDER | NEWER).items()))
    assert older == newer == both
    assert (newer.util_pct, newer.memory_used_mb, newer.memory_mb, newer.energy_j) == (97.0, 70_000, 81_559, 5_000_123)
    assert (newer.sm_clock_mhz, newer.memory_clock_mhz, newer.tensor_pct, newer.nvlink_errors) == (1980, 2619, 41.2, 7)


@pytest.mark.parametrize("percent", range(101))
def test_every_percent_is_that_percent(percent):
    hertz = (1900 + percent) * 1_000_000
    (one,) = gpus(row("DEV_GPU_UTIL_RATIO", f"{percent / 100:.6f}"), row("DEV_SM_CLOCK_HERTZ", hertz))
    assert (one.util_pct, one.sm_clock_mhz) == (float(percent), 1900 + percent)


def test_percent_under_the_name_of_a_ratio_is_no_utilisation():
    """DCGM 4.6 gives it so, where a counters file asks for the newer name."""
    (one,) = gpus(row("DEV_GPU_UTIL_RATIO", 97), row("DEV_GPU_TEMP", 50))
    assert one.util_pct is None and one.lost is None
    (one,) = gpus(row("DEV_GPU_UTIL_RATIO", 97), row("PROF_GR_ENGINE_ACTIVE", 0.5))
    assert one.util_pct == 50.0
    (one,) = gpus(row("DEV_GPU_UTIL_RATIO", 1), row("DEV_GPU_UTIL", 1))
    assert one.util_pct == 1.0, "where it is there, the older name is without doubt"


def test_instances_add_up_in_bytes():
    parts = [row("DEV_FB_USED_BYTES", used << 20, GPU_I_ID=part) for part, used in (("1", 1000), ("2", 500))]
    parts += [row("DEV_FB_FREE_BYTES", 39_000 << 20, GPU_I_ID=part) for part in ("1", "2")]
    (one,) = gpus(*parts, row("PROF_GR_ENGINE_UTIL_RATIO", 0.25, GPU_I_ID="2"))
    assert (one.memory_used_mb, one.memory_mb, one.util_pct, one.mig) == (1500, 79_500, 25.0, True)


def test_a_lost_gpu_is_lost_under_either_name():
    (one,) = gpus(row("DEV_XID_ERROR", 79))
    assert (one.xid, one.lost) == (79, "fallen off the bus")


def test_the_release_notes_are_met():
    """4.9.0: "Rename the 23 default and profiling-preset fields", the label of the driver among them; "Eleven of them
    also change unit". The simulated exporter's list and the readers' were written apart: they say the same."""
    defaults = {field.name for field in DEFAULT} & RENAMED.keys()
    assert len(defaults) + 1 == 23
    assert sum(RENAMED[name].factor != 1 for name in defaults) == 11
    known = {quantity.series[0]: quantity for quantity in dcgm_names.GPU if len(quantity.names) > 1}
    for old in FIELDS.keys() & known.keys():
        (before, after), new = known[old].names, RENAMED[old]
        assert after.series == new.name
        assert after.factor * new.factor == pytest.approx(before.factor), old
    read = {name for quantity in dcgm_names.GPU for name in quantity.series}
    assert RENAMED.keys() - read == {  # what wacht does not read
        *(f"DCGM_FI_DEV_{name}" for name in ("MEM_COPY_UTIL", "ENC_UTIL", "DEC_UTIL", "NVLINK_BANDWIDTH_TOTAL")),
        "DCGM_FI_PROF_DRAM_ACTIVE",
    }  # fmt: skip


def test_every_query_asks_for_both():
    """No query names a renamed series alone; nothing is asked twice as often."""
    book = SiteQueries(PrometheusSettings(url="https://p.example"))
    for query in TABLE:
        sent = set(re.findall(r"DCGM_FI_[A-Z0-9_]+", book.whole(query.name)))
        for quantity in dcgm_names.GPU:
            if sent & set(quantity.series) and query.name not in {"generations", "gpu_fields"}:
                assert sent >= set(quantity.series), (query.name, quantity.about)
        for told in query.series:
            assert "or" not in told or " or " in told or not told.startswith("DCGM"), told
    pattern = re.compile(dcgm_names.pattern())
    for quantity in dcgm_names.GPU:
        assert all(pattern.fullmatch(name) for name in quantity.series)
    assert not pattern.fullmatch("DCGM_FI_DEV_FB_CAPACITY_BYTES")


def test_a_factor_is_written_as_it_is():
    scale = dcgm_names.Name("x", factor=1 / (1 << 20))
    assert float(scale.scaled("x").split(" ")[0]) == scale.factor
    assert dcgm_names.UTIL.each() == "<DCGM_FI_DEV_GPU_UTIL> or 100 * <DCGM_FI_DEV_GPU_UTIL_RATIO>"
    assert dcgm_names.TEMP.each("max (<{}>)") == "max (<DCGM_FI_DEV_GPU_TEMP_CELSIUS>) or max (<DCGM_FI_DEV_GPU_TEMP>)"
    assert replace(dcgm_names.TEMP, older_counts=True).ranked == dcgm_names.TEMP.names
