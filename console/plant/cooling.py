"""Cooling loops: the status of each against its limits, and what it serves: racks, nodes, jobs, watts. Pure.

A leak is the worst state. Missing values are unknown: a silent detector is not dry, and a loop without limits is not
"ok".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from collectors.model import Cluster, Coolant
from collectors.nodeset import fold, natural_key
from console.health.cooling_loops import loops_by_rack
from console.health.inconsistencies import is_kind_fresh
from console.runtime.memo import remembered
from widgets.units import duration

SOURCE = "prom.cooling"
State = Literal["leak", "low flow", "warm", "pressure", "silent", "no limits", "ok"]
STATES: tuple[State, ...] = ("leak", "low flow", "warm", "pressure", "silent", "no limits", "ok")
"""Worst first."""
FAULTY_STATES: frozenset[State] = frozenset({"leak", "low flow", "warm", "pressure"})
"""States in which a point is out of its limits; a silent loop is unknown."""
UNITS: Mapping[str, str] = {"supply": "°C", "return": "°C", "flow": "l/min", "pressure": "bar"}
#: The loop of points that neither a series nor the configuration assigns to one.
UNNAMED_LOOP = "no loop named"
_STATE_BY_POINT: Mapping[str, State] = {"flow": "low flow", "supply": "warm", "return": "warm", "pressure": "pressure"}
#: Most wet places that are named in a text.
_MAX_NAMED = 3
_POINT_ORDER = ("flow", "supply", "return", "pressure")


class LoopStatus(Struct, frozen=True, kw_only=True):
    """One loop. Of several points of a kind the worst is kept; None is unknown, not measured or silent."""

    name: str
    state: State
    text: str
    """What is wrong, or how far the nearest limit is: `return 48.2 °C, 1.2 below its limit`."""
    supply: Coolant | None = None
    return_point: Coolant | None = None
    """The return."""
    flow: Coolant | None = None
    pressure: Coolant | None = None
    wet: int | None = None
    """Number of wet leak detectors; None where there are none or none reports."""
    wet_places: tuple[str, ...] = ()
    detectors: int | None = None
    unknown: int = 0
    """Detectors that do not report."""
    silent: tuple[str, ...] = ()
    """Kinds of points that give no value now."""
    since: int | None = None
    """Of a silent one: when it was sampled last."""
    racks: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    jobs: tuple[str, ...] | None = None
    power_w: float | None = None
    """Power of its racks in watts; None while that of one rack is unknown."""

    @property
    def faulty(self) -> bool:
        """Whether a point is out of its limits."""
        return self.state in FAULTY_STATES

    @property
    def delta_c(self) -> float | None:
        """Return minus supply temperature, in kelvin."""
        back, supply = _value(self.return_point), _value(self.supply)
        return None if back is None or supply is None else back - supply


def is_fresh(cluster: Cluster, now: float, mono: float | None = None) -> bool:
    """Whether the facts about the loops are recent enough to be shown as current. `mono` as in
    `console.health.inconsistencies.fresh_facts`.
    """
    if mono is None:
        newest = max((one.read_mono for one in cluster.sources.values() if one.read_mono is not None), default=0.0)
        mono = newest + max(0.0, now - cluster.at)
    return is_kind_fresh(cluster, "cooling", "prom", mono)


@remembered("cooling", "nodes", "racks", "jobs_on", "jobs", "loads", "power", "known")
def loops(cluster: Cluster) -> Mapping[str, LoopStatus]:
    """Every loop, in natural order."""
    fed = loops_by_rack(cluster)
    rows: dict[str, list[Coolant]] = {}
    for row in cluster.cooling.values():
        for name in _loops_of(row, cluster, fed):
            rows.setdefault(name, []).append(row)
    made: dict[str, LoopStatus] = {}
    for name in sorted(rows, key=natural_key):
        racks = tuple(sorted({rack for row in rows[name] for rack in row.racks}, key=natural_key))
        nodes = tuple(node for rack in racks for node in cluster.racks.get(rack, ()))
        jobs = None
        if {"nodes", "jobs"} <= cluster.known:
            ids = dict.fromkeys(job for node in nodes for job in cluster.jobs_on.get(node, ()))
            jobs = tuple(job for job in ids if job in cluster.jobs)
        watts = [_rack_power_w(rack, cluster) for rack in racks]
        known = [one for one in watts if one is not None]
        power_w = sum(known) if known and len(known) == len(watts) else None
        made[name] = _loop_status(name, rows[name], racks, nodes, jobs, power_w)
    return made


@remembered("cooling", "nodes", "racks", "jobs_on", "jobs", "loads", "power", "known")
def worst_first(cluster: Cluster) -> Sequence[LoopStatus]:
    """The loops, worst state first."""
    return sorted(loops(cluster).values(), key=lambda one: (STATES.index(one.state), natural_key(one.name)))


def loops_of_node(node: str, cluster: Cluster) -> tuple[LoopStatus, ...]:
    """The loops that serve a node."""
    row = cluster.nodes.get(node)
    if row is None or row.rack is None:
        return ()
    every = loops(cluster)
    return tuple(every[name] for name in loops_by_rack(cluster).get(row.rack, ()) if name in every)


def short_text(loop: LoopStatus) -> str:
    """Its problem as a word or a figure: `leak`, `supply 38.1 °C`, `flow 62 l/min`."""
    if loop.state in {"low flow", "warm", "pressure"}:
        worst = next((one for one in _margins(_points(loop)) if one[0] < 0), None)
        if worst is not None:
            return _figure(worst[1])
    return loop.state


def _rack_power_w(rack: str, cluster: Cluster) -> float | None:
    """Power of a rack in watts: from its PDU if that is measured, else the sum of its nodes (`console.plant.power`)."""
    measured = cluster.power.rack_w.get(rack) if cluster.power is not None else None
    loads = (cluster.loads.get(name) for name in cluster.racks.get(rack, ()))
    drawn = [load.power_w for load in loads if load is not None and load.power_w is not None]
    return measured if measured is not None else sum(drawn) if drawn else None


def _figure(row: Coolant) -> str:
    digits = 0 if row.what == "flow" else 1
    return f"{row.what} {row.value:,.{digits}f} {UNITS[row.what]}"


def _value(row: Coolant | None) -> float | None:
    return None if row is None else row.value


def _points(loop: LoopStatus) -> Iterable[Coolant]:
    return (one for one in (loop.flow, loop.supply, loop.return_point, loop.pressure) if one is not None)


def _loops_of(row: Coolant, cluster: Cluster, fed: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The loops of a point: the one it names, else those of the racks or of the node that it names."""
    if row.loop:
        return (row.loop,)
    racks = set(row.racks)
    node = cluster.nodes.get(row.at.partition(".")[0])
    if node is not None and node.rack is not None:
        racks.add(node.rack)
    return tuple(dict.fromkeys(loop for rack in racks for loop in fed.get(rack, ()))) or (UNNAMED_LOOP,)


def _loop_status(
    name: str,
    rows: Sequence[Coolant],
    racks: tuple[str, ...],
    nodes: tuple[str, ...],
    jobs: tuple[str, ...] | None,
    power_w: float | None,
) -> LoopStatus:
    points = {what: _worst([row for row in rows if row.what == what]) for what in _POINT_ORDER}
    leaks = [row for row in rows if row.what == "leak"]
    told = [row.value for row in leaks if row.value is not None]
    silent = tuple(dict.fromkeys(row.what for row in rows if row.value is None))
    state, text = _state_and_text([row for row in rows if row.what != "leak" and row.value is not None], leaks, silent)
    return LoopStatus(
        name=name,
        state=state,
        text=text,
        supply=points["supply"],
        return_point=points["return"],
        flow=points["flow"],
        pressure=points["pressure"],
        wet=int(sum(told)) if told else None,
        wet_places=_wet_places(leaks),
        detectors=sum(row.detectors or 0 for row in leaks) if leaks else None,
        unknown=sum(row.unknown for row in leaks),
        silent=silent,
        since=min((row.sampled_at for row in rows if row.value is None and row.sampled_at is not None), default=None),
        racks=racks,
        nodes=nodes,
        jobs=jobs,
        power_w=power_w,
    )


def _state_and_text(points: Sequence[Coolant], leaks: Sequence[Coolant], silent: Sequence[str]) -> tuple[State, str]:
    """The state and its text; within the limits, the distance to the nearest one."""
    wet = sum(int(row.value) for row in leaks if row.value)
    if wet:
        where = ", ".join(_wet_places(leaks)[:_MAX_NAMED])
        return "leak", f"{wet} detector{'' if wet == 1 else 's'} wet{f': {where}' if where else ''}"
    judged = _margins(points)
    wrong = [one for one in judged if one[0] < 0]
    if wrong:
        _, row, limit = min(wrong, key=lambda one: (STATES.index(_STATE_BY_POINT[one[1].what]), one[0]))
        away = abs((row.value or 0.0) - limit)
        side = "above" if (row.value or 0.0) > limit else "below"
        others = [one for _, one, _ in wrong if row.what == "flow" and one.what != "flow"]
        hot = f", {_figure(others[0])}{_trend_text(others[0])}" if others else ""
        return _STATE_BY_POINT[
            row.what
        ], f"{_figure(row)}, {_amount(away, row.what)} {side} its limit{_trend_text(row)}{hot}"
    if silent:
        return "silent", f"{', '.join(silent)} not known"
    if not points:
        return "ok", f"{sum(row.detectors or 0 for row in leaks):,} detectors dry"
    if not judged:
        return "no limits", "no limit is configured"
    _, row, limit = judged[0]
    side = "below" if limit == row.high else "above"
    return (
        "ok",
        f"{_figure(row)}, {_amount(abs(limit - (row.value or 0.0)), row.what)} {side} its limit"
        f"{_time_to_limit_text(row)}",
    )


def _wet_places(leaks: Iterable[Coolant]) -> tuple[str, ...]:
    """The names of the wet detectors, where they have names."""
    return tuple(dict.fromkeys(place for row in leaks if row.value for place in (row.wet or (row.at,)) if place))


def _margins(points: Iterable[Coolant]) -> list[tuple[float, Coolant, float]]:
    """How far each point is from its nearest limit, as a share of that, with the limit; the nearest first."""
    found: list[tuple[float, Coolant, float]] = []
    for row in points:
        if row.value is None:
            continue
        away = [(row.value - row.low, row.low)] if row.low is not None else []
        away += [(row.high - row.value, row.high)] if row.high is not None else []
        if away:
            least, limit = min(away)
            found.append((least / max(1e-9, abs(limit)), row, limit))
    return sorted(found, key=lambda one: (one[0], one[1].key))


def _worst(rows: Sequence[Coolant]) -> Coolant | None:
    """The point that represents all points of a kind: the nearest to its limit, else the hottest, else the lowest."""
    judged = _margins(rows)
    if judged:
        return judged[0][1]
    known = sorted((row for row in rows if row.value is not None), key=lambda row: (row.value or 0.0, row.key))
    if not known:
        return rows[0] if rows else None
    return known[-1] if known[0].what in {"supply", "return"} else known[0]


def _amount(away: float, what: str) -> str:
    return f"{away:,.0f}" if what == "flow" else f"{away:.1f}"


def _trend_text(row: Coolant) -> str:
    """The trend of a point that is out of its limits: `, +4 °C/h`."""
    if row.trend_h is None or abs(row.trend_h) < 1:
        return ""
    return f", {row.trend_h:+.0f} °C/h"


def _time_to_limit_text(row: Coolant) -> str:
    """When a rising temperature reaches its limit, if within an hour."""
    if row.trend_h is None or row.trend_h <= 0 or row.high is None or row.value is None:
        return ""
    hours = (row.high - row.value) / row.trend_h
    return f", there in {duration(hours * 3600)}" if hours < 1 else ""


def impact_text(loop: LoopStatus) -> str:
    """The racks, nodes and jobs that the loop serves: `R09-R12, 64 nodes, 41 jobs`."""
    parts = [fold(loop.racks) if 0 < len(loop.racks) <= 64 else "", f"{len(loop.nodes):,} nodes" if loop.nodes else ""]
    if loop.jobs is not None and loop.nodes:
        parts.append(f"{len(loop.jobs):,} job{'' if len(loop.jobs) == 1 else 's'}")
    return ", ".join(part for part in parts if part) or "no rack is known to hang on it"
