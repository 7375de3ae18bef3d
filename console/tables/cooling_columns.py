"""The columns of cooling loops, as data."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.model import HOT_C, Cluster, Coolant
from collectors.nodeset import fold, natural_key
from collectors.nodestate import in_service
from console.fields.common_cells import Ctx
from console.fields.field import attribute
from console.health.cooling_loops import is_out_of_limits
from console.plant import cooling
from console.plant.cooling import STATES, LoopStatus, State
from widgets.cells import Cell, Span, pad
from widgets.pane import PaneLine
from widgets.table_column import Column, ExportField, always_identity
from widgets.units import UNKNOWN, count, power

_LOOKS: dict[State, Span] = {
    "leak": ("✖", "bad"),
    "low flow": ("✖", "bad"),
    "warm": ("▲", "bad"),
    "pressure": ("▲", "warn"),
    "silent": ("?", "warn"),
    "no limits": ("·", "text-dim"),
    "ok": ("●", "good"),
}


def look(loop: LoopStatus) -> Span:
    """Sign, word and role of its state."""
    return _LOOKS[loop.state]


def _state(loop: LoopStatus, _: Ctx) -> Cell:
    glyph, role = look(loop)
    return (f"{glyph} {loop.state}", role)


def figure(row: Coolant | None, digits: int = 1) -> Span:
    """The value of a measuring point; a question mark where it is silent now, a dash where there is none."""
    if row is None:
        return (UNKNOWN, "text-dim")
    if row.value is None:
        return ("?", "warn")
    return (f"{row.value:,.{digits}f}", "bad" if is_out_of_limits(row) else "")


def leak(loop: LoopStatus) -> Span:
    """`1 wet`, `8 dry`, `7 dry, 1 ?`."""
    if loop.detectors is None:
        return (UNKNOWN, "text-dim")
    if loop.wet:
        return (f"{loop.wet:,} wet", "bad")
    dry = loop.detectors - loop.unknown
    told = [f"{dry:,} dry"] if dry else []
    told += [f"{loop.unknown:,} ?"] if loop.unknown else []
    return (", ".join(told) or "?", "warn" if loop.unknown else "")


def _sort(row: Coolant | None) -> float | None:
    return None if row is None else row.value


def _delta(loop: LoopStatus, _: Ctx) -> Cell:
    return UNKNOWN if loop.delta_c is None else f"{loop.delta_c:.1f}"


def _nodes(loop: LoopStatus, ctx: Ctx) -> Cell:
    return count(len(loop.nodes) if "nodes" in ctx.cluster.known else None)


def _point_export(name: str, of: str) -> ExportField:
    """The value of a measuring point of a loop."""
    return ExportField(name, lambda loop, _: None if (row := getattr(loop, of)) is None else row.value)


LOOPS: tuple[Column, ...] = (
    Column("name", "loop", 9, lambda r, _: r.name, lambda r: natural_key(r.name), grow=1, max_width=20,
           identity=always_identity, export=(attribute("name"),)),
    Column("state", "state", 10, _state, lambda r: STATES.index(r.state), export=(attribute("state"),)),
    Column("supply", "supply °C", 9, lambda r, _: figure(r.supply), lambda r: _sort(r.supply), align="right",
           descending=True, export=(_point_export("supply_c", "supply"),)),
    Column("return", "return °C", 9, lambda r, _: figure(r.return_point), lambda r: _sort(r.return_point),
           align="right", priority=1, descending=True, export=(_point_export("return_c", "return_point"),)),
    Column("delta", "ΔK", 5, _delta, lambda r: r.delta_c, align="right", priority=6, export=(attribute("delta_c"),)),
    Column("flow", "l/min", 7, lambda r, _: figure(r.flow, 0), lambda r: _sort(r.flow), align="right", priority=2,
           export=(_point_export("flow_lpm", "flow"),)),
    Column("pressure", "bar", 5, lambda r, _: figure(r.pressure), lambda r: _sort(r.pressure), align="right",
           priority=5, export=(_point_export("pressure_bar", "pressure"),)),
    Column("leak", "leak", 10, lambda r, _: leak(r), lambda r: (r.wet or 0, r.unknown), priority=3, descending=True,
           export=(attribute("wet"), attribute("detectors"), attribute("detectors_unknown", "unknown"),
               attribute("where_wet", "wet_places"))),
    Column("racks", "racks", 9, lambda r, _: fold(r.racks) if r.racks else UNKNOWN, lambda r: len(r.racks),
           priority=7, grow=1, max_width=24, export=(attribute("racks"),)),
    Column("nodes", "nodes", 5, _nodes, lambda r: len(r.nodes), align="right", priority=4, descending=True,
           export=(attribute("nodes"),)),
    Column("jobs", "jobs", 5, lambda r, _: count(None if r.jobs is None else len(r.jobs)),
           lambda r: None if r.jobs is None else len(r.jobs), align="right", priority=9, descending=True,
           export=(attribute("jobs"),)),
    Column("power", "power", 8, lambda r, _: power(r.power_w), lambda r: r.power_w, align="right", priority=8,
           descending=True, export=(attribute("power_w"),)),
    Column("text", "how it is", 24, lambda r, _: (r.text, look(r)[1] if r.state != "ok" else ""), priority=10, grow=3,
           max_width=70, export=(attribute("text"),)),
)  # fmt: skip


def node_cooling_lines(name: str, cluster: Cluster, now: float) -> list[PaneLine]:
    """`cooling  cdu-03 low flow: flow 54 l/min, 269 below its limit`; nothing for a healthy loop."""
    lines: list[PaneLine] = []
    told = "" if cooling.is_fresh(cluster, now) else " when last read"
    for loop in cooling.loops_of_node(name, cluster):
        if loop.faulty or loop.state == "silent":
            _, role = look(loop)
            said = f"{loop.name} {loop.state}{told}: "
            lines.append(PaneLine([("cooling        ", "text-dim"), (said, role), (loop.text, "")]))
    return lines


#: Most racks of a loop in its details.
_MAX_RACKS = 40
_POINTS = (("supply", "supply", "°C", 1), ("return", "return_point", "°C", 1), ("flow", "flow", "l/min", 0),
           ("pressure", "pressure", "bar", 1))  # fmt: skip


def loop_lines(cluster: Cluster, loop: LoopStatus) -> Iterator[PaneLine]:
    """The measuring points of a loop with their trends, and each rack on it: nodes, the hottest GPU, power."""
    yield PaneLine([("", "")])
    yield PaneLine([("water", "title")])
    for name, field, unit, digits in _POINTS:
        if (row := getattr(loop, field)) is not None:
            value, role = figure(row, digits)
            trend = "" if row.trend_h is None else f"  {row.trend_h:+,.1f} {unit}/h"
            yield PaneLine([(f"{name:<9}", "text-dim"), (f"{value:>7} {unit:<6}", role), (trend, "text-dim")])
    yield PaneLine([("leaks".ljust(10), "text-dim"), leak(loop)])
    if loop.racks:
        yield PaneLine([("", "")])
        head = f"{'nodes':>6}{'out':>6}{'hottest':>10}{'power':>9}"
        yield PaneLine([("racks   ", "title"), (head, "text-dim")])
    for rack in loop.racks[:_MAX_RACKS]:
        yield _rack_line(rack, cluster)
    if len(loop.racks) > _MAX_RACKS:
        yield PaneLine([(f"and {len(loop.racks) - _MAX_RACKS:,} more", "text-dim")])


def _rack_line(rack: str, cluster: Cluster) -> PaneLine:
    names = cluster.racks.get(rack, ())
    out = len(names) - len(in_service(names, cluster.nodes))
    temps = [load.temp_c for name in names if (load := cluster.loads.get(name)) is not None and load.temp_c is not None]
    hottest = max(temps, default=None)
    drawn = cluster.power.rack_w.get(rack) if cluster.power is not None else None
    temp, hot = (UNKNOWN, False) if hottest is None else (f"{hottest:.0f} °C", hottest > HOT_C)
    return PaneLine([
        (pad(rack, 8), "text-strong"), (f"{len(names):>6}", ""), (f"{out:>6}", "warn" if out else "text-dim"),
        (f"{temp:>10}", "bad" if hot else ""), (f"{power(drawn):>9}", ""),
    ])  # fmt: skip
