"""Builds one Gpu row from dcgm-exporter's fields, with MIG instances, GPUs shared by jobs, and duplicate scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from collectors.clean import clean
from collectors.model import Gpu
from collectors.nvml.labels import throttle

from . import dcgm_names
from .dcgm_names import Quantity
from .values import number

if TYPE_CHECKING:
    from .answers import Row

#: A larger value is no share: DCGM 4.6 gives percent under the newer utilisation name (see dcgm_names.UTIL).
_MOST_PCT = 101.0
#: DCGM's blank values that look like numbers (dcgm_structs.h, DCGM_INT32_BLANK and so on: four of each).
_BLANKS = frozenset(float(first + more) for first in (0x7FFFFFF0, 1 << 47) for more in range(4))
_BLANK64 = float(0x7FFFFFFFFFFFFFF0)
_BUS_GONE = 79

_Key = tuple[str, str]
"""UUID, or the index without one."""


class _Fields:
    """One GPU's fields: series to samples by instance, the rest from its labels."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, float]] = {}
        self.index = self.uuid = self.model = ""
        self.jobs: set[str] = set()
        self.cut_up = False

    def take(self, labels: Mapping[str, str], value: float) -> None:
        """Add one series."""
        self.index, self.uuid = labels.get("gpu", ""), labels.get("UUID", "")
        self.model = labels.get("modelName", self.model)
        part = labels.get("GPU_I_ID", "")
        self.cut_up |= bool(part)
        if labels.get("hpc_job"):
            self.jobs.add(labels["hpc_job"])
        parts = self.values.setdefault(labels.get("__name__", ""), {})
        # Two exporters, or one series for each job: the same value twice.
        parts[part] = max(value, parts.get(part, value))

    def one(self, *quantities: Quantity) -> float | None:
        """The first known quantity, under the first of its names, in wacht's unit: the highest of the GPU's instances,
        since each shows the whole GPU."""
        for quantity in quantities:
            for name in quantity.ranked:
                if name.series in self.values:
                    value = name.of(max(self.values[name.series].values()))
                    if quantity.unit != "%" or value <= _MOST_PCT:
                        return value
        return None

    def added(self, quantity: Quantity) -> float | None:
        """The sum over its instances, each its own part, in wacht's unit."""
        for name in quantity.ranked:
            parts = self.values.get(name.series)
            if parts is not None:
                own = {part: value for part, value in parts.items() if part} or parts
                return name.of(sum(own.values()))
        return None


def gpus_of(
    fields: Iterable[Row], taken: Iterable[Row], label: str, nodes: Mapping[str, str], now: float, shift: int,
    stale_s: float,
) -> dict[str, tuple[Gpu, ...]]:  # fmt: skip
    """Node to its GPUs by index. `nodes` maps a value of the host label to its node; `now` is the server's time."""
    found: dict[str, dict[_Key, _Fields]] = {}
    for row in fields:
        node = nodes.get(row.metric.get(label, ""))
        value = number(row.value[1], "gpu_fields") if row.value is not None else None
        if node is None or value is None or value in _BLANKS or value >= _BLANK64:
            continue
        key = (row.metric.get("UUID", ""), row.metric.get("gpu", ""))
        found.setdefault(node, {}).setdefault(key, _Fields()).take(row.metric, value)
    times: dict[tuple[str, str], float] = {}
    for row in taken:
        node = nodes.get(row.metric.get(label, ""))
        at = number(row.value[1], "gpu_sampled") if row.value is not None else None
        if node is not None and at is not None:
            place = (node, row.metric.get("UUID", ""))
            times[place] = max(at, times.get(place, at))
    return {
        node: tuple(sorted((_gpu(node, one, times.get((node, one.uuid)), now, shift, stale_s) for one in gpus.values()),
                           key=lambda gpu: (gpu.index, gpu.uuid or "")))
        for node, gpus in found.items()
    }  # fmt: skip


def _gpu(node: str, f: _Fields, at: float | None, now: float, shift: int, stale_s: float) -> Gpu:
    index = int(f.index) if f.index.isascii() and f.index.isdecimal() and len(f.index) < 5 else -1
    sampled = None if at is None else int(at) + shift
    xid = _whole(f.one(dcgm_names.XID)) or None
    jobs = ",".join(sorted(map(clean, f.jobs))) or None
    bare = Gpu(
        node=node, index=index, uuid=clean(f.uuid) or None, model=clean(f.model) or None, sampled_at=sampled, xid=xid,
        job=jobs,
    )  # fmt: skip
    if at is not None and now - at > stale_s:
        # Old values are not shown as current: only their age is known.
        return bare
    if f.one(dcgm_names.TEMP, dcgm_names.WATTS, dcgm_names.UTIL, dcgm_names.ENGINE, dcgm_names.USED) is None:
        why = "fallen off the bus" if xid == _BUS_GONE else "its exporter gives no sample of it"
        return replace(bare, sampled_at=None, lost=why)
    used, free = f.added(dcgm_names.USED), f.added(dcgm_names.FREE)
    util, engine, tensor = f.one(dcgm_names.UTIL), f.one(dcgm_names.ENGINE), f.one(dcgm_names.TENSOR)
    held = f.one(dcgm_names.THROTTLE)
    links = [count for one in dcgm_names.NVLINK if (count := f.one(one)) is not None]
    return replace(
        bare,
        util_pct=_tenths(engine if util is None else util),
        tensor_pct=_tenths(tensor),
        memory_used_mb=_whole(used),
        memory_mb=None if used is None or free is None else int(used + free + (f.added(dcgm_names.RESERVED) or 0)),
        temp_c=f.one(dcgm_names.TEMP),
        memory_temp_c=f.one(dcgm_names.MEMORY_TEMP),
        power_w=f.one(dcgm_names.WATTS),
        power_limit_w=f.one(dcgm_names.WATTS_LIMIT),
        energy_j=f.one(dcgm_names.ENERGY),
        sm_clock_mhz=_whole(f.one(dcgm_names.SM_CLOCK)),
        memory_clock_mhz=_whole(f.one(dcgm_names.MEMORY_CLOCK)),
        throttle=None if held is None else throttle(int(held)),
        ecc_corrected=_whole(f.one(dcgm_names.ECC_CORRECTED)),
        ecc_uncorrected=_whole(f.one(dcgm_names.ECC_UNCORRECTED)),
        remapped_corrected=_whole(f.one(dcgm_names.REMAPPED_CORRECTED)),
        remapped_uncorrected=_whole(f.one(dcgm_names.REMAPPED_UNCORRECTED)),
        remap_pending=_flag(f.one(dcgm_names.REMAP_PENDING)),
        remap_failed=_flag(f.one(dcgm_names.REMAP_FAILED)),
        nvlink_errors=int(sum(links)) if links else None,
        pcie_gen=_whole(f.one(dcgm_names.PCIE_GEN)),
        pcie_width=_whole(f.one(dcgm_names.PCIE_WIDTH)),
        pcie_replays=_whole(f.one(dcgm_names.PCIE_REPLAYS)),
        mig=True if f.cut_up else None,
    )


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _flag(value: float | None) -> bool | None:
    return None if value is None else bool(value)
