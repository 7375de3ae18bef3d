"""Messages from the child to the client, in msgpack: an NvmlReading for each request, and XidEvents as they occur."""

from __future__ import annotations

from msgspec import Struct

from collectors.model import Gpu, Severity


class NvmlGpuDetail(Struct, frozen=True, gc=False, kw_only=True):
    """NVML's details of one GPU beyond `model.Gpu`, whose ECC counts are those since the driver was loaded."""

    index: int
    bus_id: str | None = None
    """Domain, bus, device, function: "00000000:3B:00.0"."""
    ecc: bool | None = None
    """Whether ECC is switched on."""
    ecc_corrected_ever: int | None = None
    ecc_uncorrected_ever: int | None = None
    retired_single: int | None = None
    """Pages retired for single-bit errors (before Ampere; later GPUs remap rows)."""
    retired_double: int | None = None
    retired_pending: bool | None = None
    nvlink_error_kinds: dict[str, int] = {}
    """By kind: replay, recovery, CRC, ECC, and NVLink5's own."""
    nvlinks_down: tuple[int, ...] = ()
    pcie_gen_max: int | None = None
    pcie_width_max: int | None = None
    sm_clock_max_mhz: int | None = None
    na: frozenset[str] = frozenset()


class Claim(Struct, frozen=True, gc=False, kw_only=True):
    """A compute process whose cgroup does not name a job: Slurm may know it."""

    pid: int
    sluid: str | None = None


class NvmlReading(Struct, frozen=True, kw_only=True, tag="answer"):
    """One reading. A `fault` (kind, what, mend) means that nothing was readable."""

    at: float
    gpus: tuple[Gpu, ...] = ()
    extras: tuple[NvmlGpuDetail, ...] = ()
    claims: tuple[Claim, ...] = ()
    driver: str | None = None
    on_bus: int | None = None
    """NVIDIA GPUs on the PCI bus, whatever the driver reports; None if unknown."""
    warnings: tuple[str, ...] = ()
    fault: tuple[str, str, str] | None = None
    calls: int = 0
    """Calls of NVML that this reading took."""
    cpu_s: float = 0.0
    """CPU seconds of the child since its start."""


class XidEvent(Struct, frozen=True, kw_only=True, tag="event"):
    """XIDs of one code on one GPU: one from the driver as it occurs, or all in the kernel's log since boot."""

    gpu: int | None
    uuid: str | None
    code: int
    at: float
    """Wall clock; of the last one if there are several."""
    first_at: float
    count: int = 1
    severity: Severity | None = None
    """The severity in the kernel's lines: fatal if any is; None if one of them has none, as in the driver's event."""
    past: bool = False
    """True if it comes from the log, which repeats what the driver has reported before."""


def combined_severity(*said: Severity | None) -> Severity | None:
    """The severity of several lines together: fatal if one is, unknown if one of them has none."""
    if "fatal" in said:
        return "fatal"
    return "nonfatal" if said and None not in said else None


Message = NvmlReading | XidEvent
