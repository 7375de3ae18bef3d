"""What the child says to the client, in msgpack: an Answer to each request, and an Event whenever there is one."""

from __future__ import annotations

from msgspec import Struct

from collectors.model import Gpu, Severity


class NvmlGpuDetail(Struct, frozen=True, gc=False, kw_only=True):
    """What NVML knows of one GPU beyond `model.Gpu`, whose ECC counts are those since the driver was loaded."""

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
    """A compute process whose job its cgroup does not tell: Slurm may know it."""

    pid: int
    sluid: str | None = None


class NvmlReading(Struct, frozen=True, kw_only=True, tag="answer"):
    """One reading. A `fault` (kind, what, mend) means that nothing could be read."""

    at: float
    gpus: tuple[Gpu, ...] = ()
    extras: tuple[NvmlGpuDetail, ...] = ()
    claims: tuple[Claim, ...] = ()
    driver: str | None = None
    on_bus: int | None = None
    """NVIDIA GPUs that the PCI bus shows, whatever the driver says; None where that is not known."""
    warnings: tuple[str, ...] = ()
    fault: tuple[str, str, str] | None = None
    calls: int = 0
    """Calls of NVML that this reading took."""
    cpu_s: float = 0.0
    """CPU-seconds of the child since it began."""


class XidEvent(Struct, frozen=True, kw_only=True, tag="event"):
    """XIDs of one code on one GPU: one from the driver as it happens, or all that the kernel's log holds since boot."""

    gpu: int | None
    uuid: str | None
    code: int
    at: float
    """Wall clock; of the last where there are several."""
    first_at: float
    count: int = 1
    severity: Severity | None = None
    """What the kernel's lines say, fatal where any does; None where one of them does not say, as the driver's event."""
    past: bool = False
    """True when it comes from the log, which holds again what the driver has told before."""


def combined_severity(*said: Severity | None) -> Severity | None:
    """What several lines say together: fatal where one does, unknown where one of them does not say."""
    if "fatal" in said:
        return "fatal"
    return "nonfatal" if said and None not in said else None


Message = NvmlReading | XidEvent
