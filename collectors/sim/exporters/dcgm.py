"""The exposition of dcgm-exporter for a simulated node: its names, labels, order and units.

After NVIDIA's `default-counters.csv` and its rendering template, release 4. Older releases write `Hostname`, newer ones
`hostname`; a GPU shared by several jobs has one series per job, a GPU with MIG one per instance. Release 4.9.0 renamed
most fields and changed some units: `RENAMED`, with the sources that collectors/prometheus/dcgm_names.py names. The two
lists are separate on purpose, so that neither hides an error in the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from math import isnan

from msgspec import Struct

from collectors.model import Gpu
from collectors.sim.plant.hardware import versions_of

#: Framebuffer that the driver reserves, MiB.
RESERVED_MB = 551
_BUSES = ("18", "2A", "3A", "5D", "9A", "AB", "BA", "DB")
#: MIG instances of a GPU: GPU_I_ID and GPU_I_PROFILE, each half of it.
INSTANCES = (("1", "3g.40gb"), ("2", "3g.40gb"))
WINDOW_MS = "300000"
_EVENTS = {"power cap": "power_cap", "thermal slowdown": "sw_thermal", "HW thermal slowdown": "hw_thermal"}


class DcgmField(Struct, frozen=True):
    """One DCGM field: name, Prometheus type, help text, and its value for a GPU; None for no series."""

    name: str
    type: str
    help: str
    value: Callable[[Gpu], float | None]
    device: bool = False
    """True if it does not exist for MIG instances."""
    ratio: bool = False


class Renamed(Struct, frozen=True):
    """The name of a field in 4.9.0, and the factor to its new unit."""

    name: str
    help: str
    factor: float = 1.0


class ExporterOptions(Struct, frozen=True, kw_only=True):
    """How the exporters of a site differ from the default. Nodes and GPUs by name."""

    hostname: str = "Hostname"
    """The label with the node's name: `hostname` in newer releases, "" for none."""
    jobs: bool = False
    """Job mapping is on: the label hpc_job, one series per job."""
    shared: frozenset[str] = frozenset()
    """Nodes whose busy GPUs are shared: job mapping adds a second job."""
    mig: frozenset[str] = frozenset()
    """Nodes whose GPUs are in MIG mode."""
    two_exporters: frozenset[str] = frozenset()
    """Nodes with two exporters: each series has two instances."""
    silent: frozenset[str] = frozenset()
    """Nodes whose exporter answers 404."""
    hangs: frozenset[str] = frozenset()
    """Nodes whose exporter accepts the connection and never answers."""
    nan: frozenset[str] = frozenset()
    """Nodes whose utilisation is NaN."""
    newer: frozenset[str] = frozenset()
    """Nodes whose exporter is 4.9.0 or later: other names and units, the label `hostname`. Of two exporters of a
    node, the second only."""
    hostname_of: Mapping[str, str] = {}
    """Node to its label `Hostname`, if not its name."""
    instance_host: Mapping[str, str] = {}
    """Node to the host in `instance`, if not its name: an address, or a name with a domain."""
    extra: bool = False
    """Fields that are off by default are on: ECC, NVLink errors, clock events, XID counts."""


def _mem_copy(gpu: Gpu) -> float | None:
    return None if gpu.util_pct is None else float(int(gpu.util_pct) * (30 + _draw(gpu) % 30) // 100)


def _free(gpu: Gpu) -> float | None:
    if gpu.memory_mb is None or gpu.memory_used_mb is None:
        return None
    return float(gpu.memory_mb - RESERVED_MB - gpu.memory_used_mb)


def _draw(gpu: Gpu) -> int:
    return zlib.crc32((gpu.uuid or "").encode())


def _moved(gpu: Gpu, share: float) -> float | None:
    """A counter that grows with the energy used: bytes over the links."""
    return None if gpu.energy_j is None else float(int(gpu.energy_j * share))


def _xid(gpu: Gpu) -> float | None:
    return float(gpu.xid or 0)


def _zero(gpu: Gpu) -> float | None:
    return None if gpu.util_pct is None else 0.0


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


_G, _C = "gauge", "counter"
DEFAULT: tuple[DcgmField, ...] = (
    DcgmField("DCGM_FI_DEV_SM_CLOCK", _G, "SM clock frequency (in MHz).", lambda g: g.sm_clock_mhz),
    DcgmField("DCGM_FI_DEV_MEM_CLOCK", _G, "Memory clock frequency (in MHz).", lambda g: g.memory_clock_mhz),
    DcgmField("DCGM_FI_DEV_MEMORY_TEMP", _G, "Memory temperature (in C).", lambda g: g.memory_temp_c),
    DcgmField("DCGM_FI_DEV_GPU_TEMP", _G, "GPU temperature (in C).", lambda g: g.temp_c),
    DcgmField("DCGM_FI_DEV_POWER_USAGE", _G, "Power draw (in W).", lambda g: g.power_w, ratio=True),
    DcgmField(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        _C,
        "Total energy consumption since boot (in mJ).",
        lambda g: _scaled(g.energy_j, 1000),
    ),
    DcgmField("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", _C, "Total number of PCIe retries.", lambda g: g.pcie_replays),
    DcgmField("DCGM_FI_DEV_GPU_UTIL", _G, "GPU utilization (in %).", lambda g: g.util_pct, device=True),
    DcgmField("DCGM_FI_DEV_MEM_COPY_UTIL", _G, "Memory utilization (in %).", _mem_copy, device=True),
    DcgmField("DCGM_FI_DEV_ENC_UTIL", _G, "Encoder utilization (in %).", _zero, device=True),
    DcgmField("DCGM_FI_DEV_DEC_UTIL", _G, "Decoder utilization (in %).", _zero, device=True),
    DcgmField("DCGM_FI_DEV_XID_ERRORS", _G, "Value of the last XID error encountered.", _xid),
    DcgmField("DCGM_FI_DEV_FB_FREE", _G, "Framebuffer memory free (in MiB).", _free),
    DcgmField("DCGM_FI_DEV_FB_USED", _G, "Framebuffer memory used (in MiB).", lambda g: g.memory_used_mb),
    DcgmField(
        "DCGM_FI_DEV_FB_RESERVED",
        _G,
        "Framebuffer memory reserved (in MiB).",
        lambda g: None if g.memory_mb is None else RESERVED_MB,
    ),
    DcgmField(
        "DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL",
        _C,
        "Total number of NVLink bandwidth counters for all lanes.",
        lambda g: _moved(g, 0.011),
    ),
    DcgmField("DCGM_FI_DEV_VGPU_LICENSE_STATUS", _G, "vGPU License status", _zero),
    DcgmField(
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        _C,
        "Number of remapped rows for uncorrectable errors",
        lambda g: g.remapped_uncorrected,
    ),
    DcgmField(
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
        _C,
        "Number of remapped rows for correctable errors",
        lambda g: g.remapped_corrected,
    ),
    DcgmField("DCGM_FI_DEV_ROW_REMAP_FAILURE", _G, "Whether remapping of rows has failed", lambda g: g.remap_failed),
    DcgmField(
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        _G,
        "Ratio of time the graphics engine is active.",
        lambda g: _scaled(g.util_pct, 0.01),
        ratio=True,
    ),
    DcgmField(
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
        _G,
        "Ratio of cycles the tensor (HMMA) pipe is active.",
        lambda g: _scaled(g.tensor_pct, 0.01),
        ratio=True,
    ),
    DcgmField(
        "DCGM_FI_PROF_DRAM_ACTIVE",
        _G,
        "Ratio of cycles the device memory interface is active sending or receiving data.",
        lambda g: _scaled(_mem_copy(g), 0.01),
        ratio=True,
    ),
    DcgmField(
        "DCGM_FI_PROF_PCIE_TX_BYTES",
        _G,
        "The rate of data transmitted over the PCIe bus - including both protocol headers and data payloads - in bytes "
        "per second.",
        lambda g: _scaled(g.util_pct, 4_100_000),
    ),
    DcgmField(
        "DCGM_FI_PROF_PCIE_RX_BYTES",
        _G,
        "The rate of data received over the PCIe bus - including both protocol headers and data payloads - in bytes "
        "per second.",
        lambda g: _scaled(g.util_pct, 9_300_000),
    ),
)
EXTRA: tuple[DcgmField, ...] = (
    DcgmField(
        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
        _C,
        "Total number of single-bit volatile ECC errors.",
        lambda g: g.ecc_corrected,
    ),
    DcgmField(
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
        _C,
        "Total number of double-bit volatile ECC errors.",
        lambda g: g.ecc_uncorrected,
    ),
    DcgmField(
        "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL",
        _C,
        "Total number of NVLink flow-control CRC errors.",
        lambda g: g.nvlink_errors,
    ),
    DcgmField(
        "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL",
        _C,
        "Total number of NVLink retries.",
        _zero,
    ),
)
FIELDS = {field.name: field for field in (*DEFAULT, *EXTRA)}
RENAMED: Mapping[str, Renamed] = {
    f"DCGM_FI_{old}": Renamed(f"DCGM_FI_{new}", about, factor)
    for old, new, about, factor in (
        ("DEV_SM_CLOCK", "DEV_SM_CLOCK_HERTZ", "SM clock frequency (in Hz).", 1e6),
        ("DEV_MEM_CLOCK", "DEV_MEMORY_CLOCK_HERTZ", "Memory clock frequency (in Hz).", 1e6),
        ("DEV_MEMORY_TEMP", "DEV_MEMORY_TEMP_CELSIUS", "Memory temperature (in C).", 1),
        ("DEV_GPU_TEMP", "DEV_GPU_TEMP_CELSIUS", "GPU temperature (in C).", 1),
        ("DEV_POWER_USAGE", "DEV_BOARD_POWER_WATTS", "Power draw (in W).", 1),
        ("DEV_TOTAL_ENERGY_CONSUMPTION", "DEV_GPU_ENERGY_JOULES_TOTAL", "Total energy consumption (in J).", 1e-3),
        ("DEV_PCIE_REPLAY_COUNTER", "DEV_PCIE_REPLAY_TOTAL", "Total number of PCIe retries.", 1),
        ("DEV_GPU_UTIL", "DEV_GPU_UTIL_RATIO", "GPU utilization (0 to 1).", 0.01),
        ("DEV_MEM_COPY_UTIL", "DEV_MEMORY_UTIL_RATIO", "Memory utilization (0 to 1).", 0.01),
        ("DEV_ENC_UTIL", "DEV_ENC_UTIL_RATIO", "Encoder utilization (0 to 1).", 0.01),
        ("DEV_DEC_UTIL", "DEV_DEC_UTIL_RATIO", "Decoder utilization (0 to 1).", 0.01),
        ("DEV_XID_ERRORS", "DEV_XID_ERROR", "Value of the last XID error encountered.", 1),
        ("DEV_FB_FREE", "DEV_FB_FREE_BYTES", "Framebuffer memory free (in bytes).", 1 << 20),
        ("DEV_FB_USED", "DEV_FB_USED_BYTES", "Framebuffer memory used (in bytes).", 1 << 20),
        ("DEV_FB_RESERVED", "DEV_FB_RESERVED_BYTES", "Framebuffer memory reserved (in bytes).", 1 << 20),
        ("DEV_NVLINK_BANDWIDTH_TOTAL", "DEV_NVLINK_THROUGHPUT_BYTES_PER_SECOND", "NVLink throughput, all lanes.", 1e6),
        ("DEV_UNCORRECTABLE_REMAPPED_ROWS", "DEV_ROW_REMAP_UNCORRECTABLE_TOTAL", "Rows remapped, uncorrectable.", 1),
        ("DEV_CORRECTABLE_REMAPPED_ROWS", "DEV_ROW_REMAP_CORRECTABLE_TOTAL", "Rows remapped, correctable.", 1),
        ("DEV_ROW_REMAP_FAILURE", "DEV_ROW_REMAP_FAILED", "Whether remapping of rows has failed", 1),
        ("PROF_GR_ENGINE_ACTIVE", "PROF_GR_ENGINE_UTIL_RATIO", "Ratio of time the graphics engine is active.", 1),
        ("PROF_PIPE_TENSOR_ACTIVE", "PROF_TENSOR_UTIL_RATIO", "Ratio of cycles the tensor pipe is active.", 1),
        ("PROF_DRAM_ACTIVE", "PROF_DRAM_UTIL_RATIO", "Ratio of cycles the memory interface is active.", 1),
        ("DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", "DEV_NVLINK_CRC_FLIT_ERROR_TOTAL", "NVLink flow-control CRCs.", 1),
        ("DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "DEV_NVLINK_REPLAY_ERROR_TOTAL", "NVLink retries.", 1),
    )
}
#: New with 4.9.0, on by default.
CAPACITY = DcgmField(
    "DCGM_FI_DEV_FB_CAPACITY_BYTES",
    _G,
    "Total framebuffer memory (in bytes).",
    lambda g: _scaled(g.memory_mb, 1 << 20),
)


def as_renamed(field: DcgmField) -> DcgmField:
    """The field as 4.9.0 serves it."""
    new = RENAMED.get(field.name)
    if new is None:
        return field

    def value(gpu: Gpu) -> float | None:
        return _scaled(field.value(gpu), new.factor)

    return DcgmField(new.name, field.type, new.help, value, field.device, field.ratio or new.factor == 0.01)


def labels_of(gpu: Gpu, options: ExporterOptions) -> list[tuple[str, Gpu]]:
    """The label sets of one GPU's series, each with the GPU or its MIG instance."""
    newer = gpu.node in options.newer
    device = (
        f'gpu="{gpu.index}",UUID="{gpu.uuid}",pci_bus_id="00000000:{_BUSES[gpu.index % 8]}:00.0",'
        f'device="nvidia{gpu.index}",modelName="{gpu.model}"'
    )
    host = (
        f',{"hostname" if newer else options.hostname}="{options.hostname_of.get(gpu.node, gpu.node)}"'
        if options.hostname
        else ""
    )
    runs = versions_of(gpu.node)
    driver = f',DCGM_FI_{"SYSTEM_" if newer else ""}DRIVER_VERSION="{runs["driver"]}"'
    if options.extra:
        driver += f',DCGM_FI_DEV_VBIOS_VERSION="{runs["vbios"]}"'
    jobs: list[str] = []
    if options.jobs and gpu.job is not None:
        jobs = [gpu.job, f"{gpu.job}9"] if gpu.node in options.shared else [gpu.job]
    attributes = [f',hpc_job="{job}"' for job in jobs] or [""]
    if gpu.node not in options.mig:
        return [(device + host + driver + more, gpu) for more in attributes]
    return [
        (f'{device},GPU_I_PROFILE="{profile}",GPU_I_ID="{number}"{host}{driver}{more}', part)
        for (number, profile), part in zip(INSTANCES, halves(gpu), strict=True)
        for more in attributes
    ]


def halves(gpu: Gpu) -> tuple[Gpu, Gpu]:
    """The two MIG instances of a GPU: each with its part of the memory, and the power and temperature of the whole."""
    from msgspec.structs import replace

    used, whole = gpu.memory_used_mb, gpu.memory_mb
    if used is None or whole is None:
        return gpu, gpu
    first, size = used // 2, whole // 2
    return replace(gpu, memory_used_mb=first, memory_mb=size), replace(gpu, memory_used_mb=used - first, memory_mb=size)


def text(
    gpus: Iterable[Gpu],
    options: ExporterOptions,
    fields: Iterable[DcgmField],
    xids: Mapping[tuple[str, int], Mapping[int, int]],
) -> str:
    """The exposition of these GPUs. `xids` counts the XIDs of the last five minutes by node and GPU."""
    rows = [row for gpu in gpus for row in labels_of(gpu, options)]
    lines: list[str] = []
    asked = (*fields, *(EXTRA if options.extra else ()))
    older, newer = ([row for row in rows if (row[1].node in options.newer) is late] for late in (False, True))
    given = [(field, older) for field in asked]
    given += [(as_renamed(field), newer) for field in (*asked, *((CAPACITY,) if fields is DEFAULT else ()))]
    families: dict[str, tuple[DcgmField, list[str]]] = {}
    for field, part in given:
        samples = families.setdefault(field.name, (field, []))[1]
        samples += [
            f"{field.name}{{{labels}}} {number(value, field.ratio)}"
            for labels, gpu in part
            if (value := _value(field, gpu, options)) is not None
        ]
    for field, samples in families.values():
        _add(lines, field.name, field.type, field.help, samples)
    if options.extra:
        counted = [
            f'DCGM_EXP_XID_ERRORS_COUNT{{{labels},window_size_in_ms="{WINDOW_MS}",xid="{code}"}} {count}'
            for labels, gpu in rows
            for code, count in xids.get((gpu.node, gpu.index), {}).items()
        ]
        _add(lines, "DCGM_EXP_XID_ERRORS_COUNT", _G, "XID errors observed during the configured time window.", counted)
        events = [
            f'DCGM_EXP_CLOCK_EVENTS_COUNT{{{labels},clock_event="{_EVENTS[word]}",window_size_in_ms="{WINDOW_MS}"}} 1'
            for labels, gpu in rows
            for word in gpu.throttle or ()
        ]
        _add(
            lines, "DCGM_EXP_CLOCK_EVENTS_COUNT", _G, "Clock events observed during the configured time window.", events
        )
    return "\n".join(lines) + "\n" if lines else ""


def _value(field: DcgmField, gpu: Gpu, options: ExporterOptions) -> float | None:
    if field.device and gpu.node in options.mig:
        return None
    if field.name in {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_UTIL_RATIO"} and gpu.node in options.nan:
        return float("nan")
    return field.value(gpu)


def _add(lines: list[str], name: str, kind: str, about: str, samples: list[str]) -> None:
    if samples:
        lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *samples]


def number(value: float, ratio: bool = False) -> str:
    """A value as dcgm-exporter writes it: ratios with six decimals, others as whole numbers."""
    if isnan(value):
        return "NaN"
    return f"{value:.6f}" if ratio else f"{int(value)}"
