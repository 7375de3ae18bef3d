"""Cooling loops: a site's settings for CDUs and leak detectors, and the one query for all of them.

There may be a leak detector for each node: dry ones are counted on the server, by loop and rack, and only the others
are returned by name. `collectors/prometheus/plant/cooling.py` reads the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from collectors.nodeset import expand
from collectors.prometheus.query import Query
from collectors.web import check_label

POINTS = ("supply", "return", "flow", "pressure")
"""The measurements of a loop besides its leak detectors."""
UNITS: Mapping[str, str] = {"supply": "°C", "return": "°C", "flow": "l/min", "pressure": "bar"}
#: Most leak detectors that are returned by name.
_NAMED = 500
#: The period over which a rise is measured.
_RISE = "10m"
_BARE = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")


class CoolingLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`limits = { supply_high = 34, return_high = 50, flow_low = 300 }`: limits beyond which a loop is reported."""

    supply_high: float | None = None
    """°C of the coolant that goes to the racks."""
    return_high: float | None = None
    """°C of the coolant that comes back."""
    flow_low: float | None = None
    """l/min."""
    pressure_low: float | None = None
    """bar."""
    pressure_high: float | None = None
    """bar."""

    def __post_init__(self) -> None:
        low, high = self.pressure_low, self.pressure_high
        if low is not None and high is not None and low >= high:
            raise ValueError("limits: pressure_low is not below pressure_high")

    def of(self, what: str) -> tuple[float | None, float | None]:
        """The lowest and highest value without a warning; None for no limit."""
        return getattr(self, f"{what}_low", None), getattr(self, f"{what}_high", None)


class CoolingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`cooling = { supply_c = "cdu_supply_temperature_celsius", leak = "redfish_leak_detector_state" }` in a cluster's
    configuration: the series of the CDUs, or of the building's system, each a metric or PromQL.
    """

    supply_c: str | None = None
    """°C of the coolant that goes to the racks."""
    return_c: str | None = None
    """°C of the coolant that comes back."""
    flow_lpm: str | None = None
    """Its flow in litres per minute; convert other units in PromQL (`cdu_flow_m3h * 16.667`)."""
    pressure_bar: str | None = None
    """Its pressure in bar."""
    leak: str | None = None
    """State of a leak detector (Redfish LeakDetection): `dry` is dry, above it is wet; any other value is unknown."""
    dry: float = 0.0
    """Value of a dry detector: 0, or 1 where the exporter counts OK, Warning, Critical from one."""
    loop_label: str = "cdu"
    """The label that names the loop; a trailing :port is ignored."""
    rack_label: str = "rack"
    """The label that holds a rack, under the name that Slurm's nodes have for it, where the series have one."""
    place_label: str = "place"
    """The label that distinguishes several points of a loop, or several detectors."""
    loops: dict[str, str] = field(default_factory=dict)
    """Loop to the racks it cools (`cdu-1 = "R[01-04]"`), in addition to those that the series name."""
    limits: CoolingLimits | None = None
    """Limits beyond which a loop is reported."""

    def __post_init__(self) -> None:
        for key in ("loop_label", "rack_label", "place_label"):
            check_label(key, getattr(self, key))
        if not any(series for _, series in self.named()):
            raise ValueError("cooling names no series: give one of supply_c, return_c, flow_lpm, pressure_bar, leak")
        for loop, racks in self.loops.items():
            try:
                expand(racks)
            except ValueError as error:
                raise ValueError(f"loops.{loop}: {error}") from None

    def named(self) -> Iterator[tuple[str, str]]:
        """Each measurement with its series, if one is configured."""
        for what, series in zip(
            (*POINTS, "leak"),
            (self.supply_c, self.return_c, self.flow_lpm, self.pressure_bar, self.leak),
            strict=True,
        ):
            if series:
                yield what, series


QUERIES: tuple[Query, ...] = (
    Query(
        name="cooling", low=-1e6, unit="°C, l/min, bar", by=("what", "loop", "rack", "place"),
        series=("cooling.supply_c", "cooling.return_c", "cooling.flow_lpm", "cooling.pressure_bar", "cooling.leak"),
        about="each point of the cooling loops, when it was sampled and how it moves; leak detectors counted, and by "
              "name those that are not dry",
        expr="$cooling", asked="each reading, where cooling is configured",
    ),
)  # fmt: skip


def expression(cooling: CoolingSettings | None, stale_s: float) -> str:
    """The query with a site's settings: a template, in which a plain metric takes the site's matchers."""
    if cooling is None:
        return "vector(0) < 0"
    wide = ", ".join(dict.fromkeys((cooling.loop_label, cooling.rack_label)))
    every = ", ".join(dict.fromkeys((cooling.loop_label, cooling.rack_label, cooling.place_label)))
    parts: list[str] = []

    def part(what: str, expr: str) -> None:
        parts.append(f'label_replace({expr}, "what", "{what}", "", "")')

    for what, series in cooling.named():
        plain = _BARE.fullmatch(series) is not None
        one = f"<{series}>" if plain else f"({series})"
        if what == "leak":
            # A series that ended says nothing: neither dry nor wet.
            fresh = f" and time() - timestamp({one}) < {stale_s:g}" if plain else ""
            part("detectors", f"count by ({wide}) ({one})")
            part("dry", f"count by ({wide}) ({one} == {cooling.dry:g}{fresh})")
            part("wet", f"count by ({wide}) ({one} > {cooling.dry:g}{fresh})")
            part("leak", f"topk({_NAMED}, max by ({every}) ({one} > {cooling.dry:g}{fresh}))")
            if plain:
                part("leak_at", f"max by ({wide}) (timestamp({one}))")
            continue
        worst = "max" if what in {"supply", "return"} else "min"
        part(what, f"{worst} by ({every}) ({one})")
        if plain:
            part(f"{what}_at", f"max by ({every}) (timestamp({one}))")
            if worst == "max":
                part(f"{what}_rise", f"max by ({every}) (3600 * deriv({one}[{_RISE}]))")
    return " or ".join(parts)
