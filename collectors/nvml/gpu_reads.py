"""Reads the GPUs through NVML, inside the child. Fields that a driver does not offer are named in `na`, never 0.

Fields that change (utilisation, memory, temperatures, power, clocks) are read each time; processes every few seconds;
fields that hardly change (ECC, remapped rows, NVLink, PCIe, MIG, fabric) for one GPU in each reading, in turn.
Unsupported fields are retried only with these.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pynvml as nvml

from collectors.clean import clean
from collectors.model import Gpu, Process

from . import kernel_log, labels
from .nvml_call import (
    FUNCTION_NOT_FOUND,
    NO_PERMISSION,
    NOT_OFFERED,
    NOT_SUPPORTED,
    UNKNOWN_FIELD,
    VERSION_MISMATCH,
    Caller,
    FieldValue,
    GpuLost,
    Value,
    code,
    keep,
    text,
)
from .process_owner import ProcessOwners
from .protocol import Claim, NvmlGpuDetail, NvmlReading

PROCESSES_S = 5.0
#: Longest age of a GPU's slow fields, and longest time that a lost GPU is not retried.
SLOW_S = 30.0
_MB = 20
_UNKNOWN_64 = (1 << 64) - 1

#: NVML_FI_DEV_*: memory temperature, energy since the driver was loaded (mJ), power now (mW), recovery action.
MEMORY_TEMP, ENERGY, POWER_INSTANT, RECOVERY = 82, 83, 186, 230
#: ECC mode and totals (corrected and not; volatile, then ever), retired pages, PCIe replays, remapped rows.
_ECC, _RETIRED, _REPLAYS, _REMAPPED = (1, 3, 4, 5, 6), (29, 30, 31), 94, (142, 143, 144, 145)
_LINKS = 91
#: NVLink errors of all links together (before NVLink5), and of each link (the field's scope), on later GPUs.
_LINK_TOTALS = {52: "replay", 59: "recovery", 38: "CRC flit", 45: "CRC data", 160: "ECC"}
_LINK_EACH = {
    161: "replay", 162: "recovery", 163: "CRC", 206: "malformed", 207: "overrun", 208: "receive", 211: "integrity",
    214: "failed recovery",
}  # fmt: skip
_MOST_LINKS = 36
_BATCH = 64

#: nvmlGpuFabricInfo_v3 and _v2: the version in the highest byte, the size in the others.
_FABRIC_VERSIONS = (0x3000028, 0x2000024)


class _Fabric(ctypes.Structure):
    """nvmlGpuFabricInfo_v3_t; version 2 ends before the summary. nvidia-ml-py 12.560 declares a UUID of 80 bytes."""

    _fields_ = (
        ("version", ctypes.c_uint), ("cluster", ctypes.c_ubyte * 16), ("status", ctypes.c_uint),
        ("clique", ctypes.c_uint), ("state", ctypes.c_uint), ("mask", ctypes.c_uint), ("summary", ctypes.c_ubyte),
    )  # fmt: skip


class Device:
    """One GPU: its handle, and the values kept between readings."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.handle: Any = None
        self.fixed: dict[str, Any] = {}
        self.slow: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self.na: set[str] = set()
        self.slow_na: set[str] = set()
        self.processes: tuple[Process, ...] | None = None
        self.lost: str | None = None
        self.slow_at = self.processes_at = -1e9


class Sampler:
    """Reads every GPU of this host. For one thread only."""

    def __init__(self, node: str, desk: ProcessOwners | None = None) -> None:
        self.node = node
        self.devices: list[Device] = []
        self.driver: str | None = None
        self._desk = desk or ProcessOwners()
        self._claims: dict[int, Claim] = {}
        self._next = 0
        self._caller = Caller()

    def open(self) -> tuple[str, str, str] | None:
        """Open the driver and every GPU. Returns the fault (kind, what, mend), None on success."""
        try:
            nvml.nvmlInit()
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            return labels.start_fault(code(error), clean(str(error)))
        if count == 0:
            seen = kernel_log.gpus_on_bus()
            bus = "" if seen is None else f"; the PCI bus shows {seen}"
            return "empty", f"nvml: the driver sees no GPU{bus}", "lspci -d 10de:; dmesg | grep NVRM"
        self.devices = [Device(index) for index in range(count)]
        self.driver = self._caller.or_none(lambda: text(nvml.nvmlSystemGetDriverVersion()))
        for device in self.devices:
            self._meet(device)
        return None

    def read(self) -> NvmlReading:
        """Read every GPU once."""
        now, mono = time.time(), time.monotonic()
        self._caller.begin()
        turn, self._next = self._next, (self._next + 1) % len(self.devices)
        gpus = tuple(self._gpu(device, now, mono, mono - device.slow_at >= SLOW_S or turn == device.index)
                     for device in self.devices)  # fmt: skip
        gpus = self._owned(gpus)
        return NvmlReading(
            at=now,
            gpus=gpus,
            extras=tuple(NvmlGpuDetail(index=device.index, **device.extra) for device in self.devices),
            claims=tuple(self._claims.values()),
            driver=self.driver,
            on_bus=kernel_log.gpus_on_bus() if turn == 0 else None,
            warnings=tuple(self._caller.warnings),
            calls=self._caller.calls,
            cpu_s=time.process_time(),
        )

    # -- one GPU ------------------------------------------------------------------------------------------------------

    def _meet(self, device: Device) -> None:
        """Get its handle, and the constant fields."""
        try:
            device.handle = self._caller.call(nvml.nvmlDeviceGetHandleByIndex, device.index)
        except GpuLost as lost:
            device.lost = str(lost)
            return
        except nvml.NVMLError as error:
            device.lost = "may not be opened by this user" if code(error) == NO_PERMISSION else clean(str(error))
            return
        device.lost, handle = None, device.handle
        device.fixed = {
            "uuid": self._caller.or_none(lambda: text(nvml.nvmlDeviceGetUUID(handle))),
            "model": self._caller.or_none(lambda: text(nvml.nvmlDeviceGetName(handle))),
        }
        device.extra = {
            "bus_id": self._caller.or_none(lambda: text(nvml.nvmlDeviceGetPciInfo(handle).busId)),
            "sm_clock_max_mhz": self._caller.or_none(
                lambda: int(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM))
            ),
        }

    def _gpu(self, device: Device, now: float, mono: float, slow: bool) -> Gpu:
        if device.lost is not None and slow:
            device.slow_at = mono
            self._meet(device)
        found: dict[str, Any] = {}
        if device.lost is None:
            try:
                if slow:
                    device.na.clear()
                    self._read_slow(device)
                    device.slow_at = mono
                found = self._read_fast(device)
                if mono - device.processes_at >= PROCESSES_S:
                    device.processes = self._processes(device)
                    device.processes_at = mono
            except GpuLost as lost:
                device.lost, device.slow_at = str(lost), mono
        if device.lost is not None:
            device.processes, device.processes_at = None, -1e9
            return Gpu(node=self.node, index=device.index, sampled_at=int(now), lost=device.lost, **device.fixed)
        return Gpu(
            node=self.node, index=device.index, sampled_at=int(now), processes=device.processes,
            na=frozenset(device.na | device.slow_na), **device.fixed, **found, **device.slow,
        )  # fmt: skip

    def _read_fast(self, device: Device) -> dict[str, Any]:
        handle, na = device.handle, device.na
        found: dict[str, Any] = {}

        def ask(names: tuple[str, ...], call: Callable[[], Sequence[Any]]) -> None:
            if not na.issuperset(names):
                self._caller.ask(found, na, names, call)

        ask(("util_pct",), lambda: (float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),))
        ask(("memory_used_mb", "memory_mb"), lambda: self._memory(handle))
        ask(("temp_c",), lambda: (float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),))
        ask(("sm_clock_mhz",), lambda: (int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),))
        ask(("memory_clock_mhz",), lambda: (int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),))
        ask(("throttle",), lambda: (labels.throttle(self._reasons(handle)),))
        batch = self._caller.fields(handle, (MEMORY_TEMP, ENERGY, POWER_INSTANT, RECOVERY))
        # A GPU without the sensor returns 0 degrees and SUCCESS.
        keep(found, na, "memory_temp_c", batch[MEMORY_TEMP], lambda v: float(v) if v else None)
        keep(found, na, "energy_j", batch[ENERGY], lambda v: v / 1000)
        keep(found, na, "recovery", batch[RECOVERY], lambda v: labels.recovery(int(v)))
        keep(found, na, "power_w", batch[POWER_INSTANT], lambda v: v / 1000)
        if found.get("power_w") is None:
            na.discard("power_w")
            self._caller.ask(found, na, ("power_w",), lambda: (nvml.nvmlDeviceGetPowerUsage(handle) / 1000,))
        return found

    def _read_slow(self, device: Device) -> None:
        handle, ask = device.handle, self._caller.ask
        found: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        na: set[str] = set()
        extra_na: set[str] = set()
        batch = self._caller.fields(handle, (*_ECC, *_RETIRED, _REPLAYS, *_REMAPPED, _LINKS, *_LINK_TOTALS))
        links = self._links(handle, batch[_LINKS][0])
        for names, store, missing, fields in (
            (("ecc_corrected", "ecc_uncorrected"), found, na, _ECC[1:3]),
            (("remapped_corrected", "remapped_uncorrected"), found, na, _REMAPPED[:2]),
            (("pcie_replays",), found, na, (_REPLAYS,)),
            (("ecc_corrected_ever", "ecc_uncorrected_ever"), extra, extra_na, _ECC[3:5]),
            (("retired_single", "retired_double"), extra, extra_na, _RETIRED[:2]),
        ):
            for name, field in zip(names, fields, strict=True):
                keep(store, missing, name, batch[field], int)
        for name, store, missing, field in (
            ("remap_pending", found, na, _REMAPPED[2]), ("remap_failed", found, na, _REMAPPED[3]),
            ("ecc", extra, extra_na, _ECC[0]), ("retired_pending", extra, extra_na, _RETIRED[2]),
        ):  # fmt: skip
            keep(store, missing, name, batch[field], bool)
        if "remapped_corrected" in na:
            na -= {"remapped_corrected", "remapped_uncorrected", "remap_pending", "remap_failed"}
            ask(found, na, ("remapped_corrected", "remapped_uncorrected", "remap_pending", "remap_failed"),
                      lambda: _remapped(nvml.nvmlDeviceGetRemappedRows(handle)))  # fmt: skip
        ask(found, na, ("power_limit_w",), lambda: (nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,))
        ask(found, na, ("pcie_gen",), lambda: (int(nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)),))
        ask(found, na, ("pcie_width",), lambda: (int(nvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),))
        ask(extra, extra_na, ("pcie_gen_max",), lambda: (int(nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)),))
        ask(extra, extra_na, ("pcie_width_max",), lambda: (int(nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)),))
        ask(found, na, ("mig",), lambda: (bool(nvml.nvmlDeviceGetMigMode(handle)[0]),))
        ask(found, na, ("fabric",), lambda: (self._fabric(handle),))
        if not links:
            na |= {"nvlinks", "nvlinks_up", "nvlink_errors"}
        else:
            found |= {"nvlinks": len(links), "nvlinks_up": None if None in links else sum(map(bool, links))}
            extra["nvlinks_down"] = tuple(link for link, up in enumerate(links) if up is not None and not up)
            errors = self._link_errors(handle, batch, len(links))
            extra["nvlink_error_kinds"] = errors or {}
            found["nvlink_errors"] = None if errors is None else sum(errors.values())
        fixed = {name: device.extra.get(name) for name in ("bus_id", "sm_clock_max_mhz")}
        device.slow, device.slow_na = found, na
        device.extra = {**fixed, **extra, "na": frozenset(extra_na)}

    # -- reads with more than one NVML call ----------------------------------------------------------------------------

    def _memory(self, handle: Any) -> tuple[int, int]:
        """Used and total, in MB. Version 2 does not count the driver's reserve as used."""
        try:
            info = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
        except nvml.NVMLError as error:
            if code(error) not in NOT_OFFERED:
                raise
            info = nvml.nvmlDeviceGetMemoryInfo(handle)
        return int(info.used) >> _MB, int(info.total) >> _MB

    def _reasons(self, handle: Any) -> int:
        try:
            return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
        except nvml.NVMLError as error:
            if code(error) != FUNCTION_NOT_FOUND:
                raise
            return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))

    def _fabric(self, handle: Any) -> str:
        for version in _FABRIC_VERSIONS:
            info = _Fabric(version=version)
            try:
                nvml.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info))
            except nvml.NVMLError as error:
                if code(error) == VERSION_MISMATCH and version != _FABRIC_VERSIONS[-1]:
                    continue
                raise
            status = clean(str(nvml.NVMLError(info.status))) if info.status else None
            # The id of a domain within one node is all zeros.
            clique = info.clique if any(info.cluster) else None
            said = labels.fabric(info.state, status, info.mask, info.summary, clique)
            if said is not None:
                return said
            break
        raise nvml.NVMLError(NOT_SUPPORTED)

    def _links(self, handle: Any, count: Value) -> list[bool | None]:
        """Whether each NVLink is up, None for an unknown one; empty without NVLinks."""
        states: list[bool | None] = []
        for link in range(_MOST_LINKS if count is None else min(int(count), _MOST_LINKS)):
            try:
                states.append(bool(self._caller.call(nvml.nvmlDeviceGetNvLinkState, handle, link)))
            except nvml.NVMLError as error:
                if count is None and code(error) in UNKNOWN_FIELD:
                    break  # the driver did not say how many there are: the first error ends them
                states.append(None)
        return states

    def _link_errors(self, handle: Any, batch: dict[Any, FieldValue], links: int) -> dict[str, int] | None:
        """Errors by kind; None if no count is offered."""
        errors = {name: int(value) for field, name in _LINK_TOTALS.items() if (value := batch[field][0]) is not None}
        if errors:
            return errors
        each = [(field, link) for field in _LINK_EACH for link in range(links)]
        for at in range(0, len(each), _BATCH):
            for (field, _), (value, _) in self._caller.fields(handle, each[at : at + _BATCH]).items():
                if value is not None:
                    errors[_LINK_EACH[field]] = errors.get(_LINK_EACH[field], 0) + int(value)
        return errors or None

    def _processes(self, device: Device) -> tuple[Process, ...] | None:
        found: dict[str, Any] = {}
        handle = device.handle
        device.slow_na.discard("processes")
        self._caller.ask(found, device.slow_na, ("processes",),
                  lambda: (nvml.nvmlDeviceGetComputeRunningProcesses(handle),))  # fmt: skip
        rows = found.get("processes")
        if rows is None:
            return None
        memory: dict[int, int | None] = {}
        for row in rows:
            used = None if row.usedGpuMemory in (None, _UNKNOWN_64) else int(row.usedGpuMemory) >> _MB
            before = memory.get(row.pid, 0)
            memory[row.pid] = (
                None if used is None or before is None else before + used
            )  # once for each instance under MIG
        return tuple(Process(pid=pid, memory_mb=used) for pid, used in sorted(memory.items()))

    def _owned(self, gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
        """Processes with their user, command and job; a GPU that only one job uses belongs to that job."""
        pids = frozenset(process.pid for gpu in gpus for process in gpu.processes or ())
        owners = self._desk.of(pids)
        self._claims = {}
        made = []
        for gpu in gpus:
            if not gpu.processes:
                made.append(gpu)
                continue
            rows = []
            for process in gpu.processes:
                owner = owners.get(process.pid)
                if owner is not None:
                    process = msgspec.structs.replace(process, name=owner.name, user=owner.user, job=owner.job)  # noqa: PLW2901
                if owner is not None and owner.job is None:
                    self._claims[process.pid] = Claim(pid=process.pid, sluid=owner.sluid)
                rows.append(process)
            jobs = {row.job for row in rows if row.job is not None}
            made.append(msgspec.structs.replace(gpu, processes=tuple(rows), job=jobs.pop() if len(jobs) == 1 else None))
        return tuple(made)


def _remapped(rows: Sequence[int]) -> tuple[int, int, bool, bool]:
    return int(rows[0]), int(rows[1]), bool(rows[2]), bool(rows[3])
