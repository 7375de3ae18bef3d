"""The names of dcgm-exporter's GPU series, and the factor from each sample to wacht's unit.

The only place that knows them: queries, readings of single GPUs, rules and docs/queries.md use it. Release 4.9.0
renamed its default fields and changed the unit of some. Nodes may export the older names, the newer ones or both,
depending on their roll-out: the newer one counts if it is there.

Sources: the release notes of 4.9.0 (23 fields renamed, the label of the driver among them; eleven with another unit:
hertz, joules, 0 to 1, bytes, bytes a second), `etc/default-counters.csv` up to 4.8.2 (the older names and units),
`dcgm_fields.h` of DCGM 4.6.0 (the renamings that keep the unit), go-dcgm 1.4611 (clocks and energy: fields 1603, 1604
and 1611, next to the older ones), and for utilisation and memory NVIDIA's "Field Identifiers" of DCGM 4.7 (1613, 1626
to 1628) as quoted by others on 19 September 2026: the counters file of 4.9.0 itself was not available.
"""

from __future__ import annotations

from msgspec import Struct


class Name(Struct, frozen=True):
    """A series by an exporter's name."""

    series: str
    unit: str = ""
    """Its unit if it is not wacht's."""
    factor: float = 1.0
    """The factor from a sample to wacht's unit."""

    def scaled(self, expr: str) -> str:
        """PromQL for its samples, in wacht's unit."""
        return expr if self.factor == 1.0 else f"{repr(self.factor).removesuffix('.0')} * {expr}"

    def of(self, sample: float) -> float:
        """One sample in wacht's unit, without the rounding error of a factor that is no binary fraction."""
        return sample if self.factor == 1.0 else round(sample * self.factor, 6)


class Quantity(Struct, frozen=True):
    """One quantity of a GPU, and all its names: the older ones, then those since 4.9."""

    about: str
    unit: str
    names: tuple[Name, ...]
    older_counts: bool = False
    """True if the older name counts on a node that exports both."""

    @property
    def series(self) -> tuple[str, ...]:
        """The series names only."""
        return tuple(name.series for name in self.names)

    @property
    def told(self) -> str:
        """The names, as text for a message."""
        return " or ".join(self.series)

    @property
    def ranked(self) -> tuple[Name, ...]:
        """The names by precedence, the first one counts."""
        return self.names if self.older_counts else self.names[::-1]

    def each(self, around: str = "<{}>") -> str:
        """PromQL for every name: `around` each series, in place of `{}`, in wacht's unit; the first name with a sample
        counts, else the next. Aggregate within `around`: the results are joined by the remaining labels, as GPUs or
        nodes, not series."""
        return " or ".join(name.scaled(around.replace("{}", name.series)) for name in self.ranked)


def _named(about: str, unit: str, *names: str) -> Quantity:
    return Quantity(about, unit, tuple(Name(f"DCGM_FI_{name}") for name in names))


def _counted(about: str, unit: str, old: Name, new: Name) -> Quantity:
    names = tuple(Name(f"DCGM_FI_{name.series}", name.unit, name.factor) for name in (old, new))
    return Quantity(about, unit, names)


_MIB = 1 / (1 << 20)

#: With DCGM 4.6, if a counters file requests it, the newer name is in percent as the older one (there it is an alias of
#: field 203). Its values are above 100 % here and are left out; `wacht doctor` reports it.
UTIL = Quantity(
    "utilisation", "%",
    (Name("DCGM_FI_DEV_GPU_UTIL"), Name("DCGM_FI_DEV_GPU_UTIL_RATIO", "0 to 1", 100.0)), older_counts=True,
)  # fmt: skip
ENGINE = Quantity(
    "share of time that the engine is busy", "%",
    tuple(Name(f"DCGM_FI_PROF_GR_ENGINE_{word}", "0 to 1", 100.0) for word in ("ACTIVE", "UTIL_RATIO")),
)  # fmt: skip
TENSOR = Quantity(
    "share of cycles that the tensor cores are busy", "%",
    tuple(Name(f"DCGM_FI_PROF_{word}", "0 to 1", 100.0) for word in ("PIPE_TENSOR_ACTIVE", "TENSOR_UTIL_RATIO")),
)  # fmt: skip
USED, FREE, RESERVED = (
    _counted(f"memory {what.lower()}", "MiB", Name(f"DEV_FB_{what}"), Name(f"DEV_FB_{what}_BYTES", "bytes", _MIB))
    for what in ("USED", "FREE", "RESERVED")
)
TEMP = _named("temperature", "°C", "DEV_GPU_TEMP", "DEV_GPU_TEMP_CELSIUS")
MEMORY_TEMP = _named("temperature of the memory", "°C", "DEV_MEMORY_TEMP", "DEV_MEMORY_TEMP_CELSIUS")
WATTS = _named("power", "W", "DEV_POWER_USAGE", "DEV_BOARD_POWER_WATTS")
WATTS_LIMIT = _named("power limit", "W", "DEV_POWER_MGMT_LIMIT", "DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS")
ENERGY = _counted(
    "energy since the driver was loaded", "J",
    Name("DEV_TOTAL_ENERGY_CONSUMPTION", "mJ", 0.001), Name("DEV_GPU_ENERGY_JOULES_TOTAL"),
)  # fmt: skip
SM_CLOCK = _counted("clock", "MHz", Name("DEV_SM_CLOCK"), Name("DEV_SM_CLOCK_HERTZ", "Hz", 1e-6))
MEMORY_CLOCK = _counted("clock of the memory", "MHz", Name("DEV_MEM_CLOCK"), Name("DEV_MEMORY_CLOCK_HERTZ", "Hz", 1e-6))
THROTTLE = _named("what holds the clocks back", "bits", "DEV_CLOCK_THROTTLE_REASONS", "DEV_CLOCKS_EVENT_REASONS")
ECC_CORRECTED = _named("ECC errors corrected", "", "DEV_ECC_SBE_VOL_TOTAL")
ECC_UNCORRECTED = _named("ECC errors not corrected", "", "DEV_ECC_DBE_VOL_TOTAL")
REMAPPED_CORRECTED = _named(
    "rows remapped, corrected", "", "DEV_CORRECTABLE_REMAPPED_ROWS", "DEV_ROW_REMAP_CORRECTABLE_TOTAL"
)
REMAPPED_UNCORRECTED = _named(
    "rows remapped, not corrected", "", "DEV_UNCORRECTABLE_REMAPPED_ROWS", "DEV_ROW_REMAP_UNCORRECTABLE_TOTAL"
)
REMAP_PENDING = _named("a row waits to be remapped", "", "DEV_ROW_REMAP_PENDING")
REMAP_FAILED = _named("a row could not be remapped", "", "DEV_ROW_REMAP_FAILURE", "DEV_ROW_REMAP_FAILED")
NVLINK = tuple(
    _named(f"NVLink errors ({word})", "", f"DEV_NVLINK_{field}_ERROR_COUNT_TOTAL", f"DEV_NVLINK_{field}_ERROR_TOTAL")
    for field, word in (("CRC_FLIT", "flits"), ("CRC_DATA", "data"), ("REPLAY", "replays"), ("RECOVERY", "recoveries"))
)
PCIE_GEN = _named("PCIe generation", "", "DEV_PCIE_LINK_GEN")
PCIE_WIDTH = _named("PCIe lanes", "", "DEV_PCIE_LINK_WIDTH")
PCIE_REPLAYS = _named("PCIe replays", "", "DEV_PCIE_REPLAY_COUNTER", "DEV_PCIE_REPLAY_TOTAL")
XID = _named("last XID", "", "DEV_XID_ERRORS", "DEV_XID_ERROR")

#: All quantities of one GPU: dcgm-exporter's defaults and the optional ones.
GPU: tuple[Quantity, ...] = (
    UTIL, USED, FREE, RESERVED, TEMP, MEMORY_TEMP, WATTS, WATTS_LIMIT, ENERGY, SM_CLOCK, MEMORY_CLOCK, THROTTLE,
    ECC_CORRECTED, ECC_UNCORRECTED, REMAPPED_CORRECTED, REMAPPED_UNCORRECTED, REMAP_PENDING, REMAP_FAILED, *NVLINK,
    PCIE_GEN, PCIE_WIDTH, PCIE_REPLAYS, XID, ENGINE, TENSOR,
)  # fmt: skip
#: Shows which names an exporter uses: on by default under either name, with the same field number and unit.
MARK = TEMP


def pattern(quantities: tuple[Quantity, ...] = GPU) -> str:
    """A regular expression for all these names, short enough for a URL."""
    kinds: dict[str, list[str]] = {}
    for quantity in quantities:
        for series in quantity.series:
            kind, _, rest = series.removeprefix("DCGM_FI_").partition("_")
            kinds.setdefault(kind, []).append(rest)
    return "DCGM_FI_(" + "|".join(f"{kind}_({'|'.join(rests)})" for kind, rests in kinds.items()) + ")"
