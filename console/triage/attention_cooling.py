"""Attention items about cooling loops. Pure; a leak is reported from stale facts too, and marked as such."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.model import Alert, Cluster
from collectors.nodeset import natural_key
from console.health import drain_reasons, failure_domains
from console.health.cooling_loops import loops_by_rack
from console.health.failure_domains import LOOP, FailedNode
from console.plant import cooling, loop_folds
from console.plant.cooling import LoopStatus, State
from widgets.units import plural

#: More loops than this in one state are one line.
MAX_LOOPS = 3
#: What to do first.
_STEPS: dict[State, str] = {
    "leak": "send somebody now, be ready to cut its power",
    "low flow": "stop what runs there and call facilities: GPUs overheat within minutes",
    "warm": "let no new work start there and call facilities",
    "pressure": "call facilities",
    "silent": "look at the CDU itself",
}

LoopAlert = tuple[Alert, bool]
"""An alert, and whether it is about the loop itself."""


class LoopItem(Struct, frozen=True, kw_only=True):
    """One item, about one loop or about several loops in the same state."""

    text: str
    leak: bool
    bad: bool
    opens: str
    """The filter of the node list that selects the nodes on these loops."""
    since: int | None
    down_nodes: tuple[str, ...]
    """Nodes on these loops that went down; this item covers them."""
    alerts: frozenset[str]
    """Ids of the alerts that this item covers."""


def loop_items(cluster: Cluster, now: float, mono: float | None, failed: Sequence[FailedNode]) -> list[LoopItem]:
    """Loops that leak, have low flow, are warm or give no data, worst first. `failed` are the nodes that went down."""
    if not cluster.cooling:
        return []
    as_read = cooling.is_fresh(cluster, now, mono)
    those = [one for one in cooling.worst_first(cluster) if one.state in _STEPS and (as_read or one.state == "leak")]
    if not those:
        return []
    said = _alerts_by_loop(those, cluster)
    down = {one.name: _down(one, failed, said.get(one.name, ()), now) for one in those if one.faulty}
    made: list[LoopItem] = []
    for state in _STEPS:
        alike = [one for one in those if one.state == state]
        for some in [alike] if len(alike) > MAX_LOOPS else [[one] for one in alike]:
            made.append(_loop_item(some, down, said, as_read))
    return made


def _loop_item(
    loops: Sequence[LoopStatus],
    down: Mapping[str, Sequence[str]],
    said: Mapping[str, Sequence[LoopAlert]],
    as_read: bool,
) -> LoopItem:
    first, lost = loops[0], tuple(node for one in loops for node in down.get(one.name, ()))
    state = first.state if as_read else f"{first.state} when last read"
    fallen = f" ({len(lost):,} down)" if lost else ""
    if len(loops) == 1:
        text = f"{first.name} {state}: {first.text}; {cooling.impact_text(first)}{fallen}: {_step(loops)}"
    else:
        names = ", ".join(one.name for one in loops[:4]) + (", …" if len(loops) > 4 else "")
        nodes = sum(len(one.nodes) for one in loops)
        text = f"{len(loops)} cooling loops {state}: {names}; {plural(nodes, 'node')}{fallen}: {_step(loops)}"
    alerts = [alert for one in loops for alert, _ in said.get(one.name, ())]
    own = [at for one in loops if (at := _began(said.get(one.name, ()))) is not None]
    silent = [one.since for one in loops if one.state == "silent" and one.since is not None]
    return LoopItem(
        text=text,
        leak=first.state == "leak",
        bad=first.faulty,
        opens=" | ".join(f'loop="{one.name}"' for one in sorted(loops, key=lambda one: natural_key(one.name))),
        since=min((*own, *silent), default=None),
        down_nodes=lost,
        alerts=frozenset(alert.id for alert in alerts),
    )


def _down(loop: LoopStatus, failed: Iterable[FailedNode], said: Iterable[LoopAlert], now: float) -> tuple[str, ...]:
    """Its nodes that went down after its first alert, or several together, with a reason that cooling may explain."""
    nodes = frozenset(loop.nodes)
    kinds = failure_domains.COOLING_KINDS
    mine = [one for one in failed if one.node.name in nodes
            and drain_reasons.classify(one.node.reason, one.node.reason_by).kind in kinds]  # fmt: skip
    begins = _began(said)
    return tuple(
        one.node.name
        for burst in failure_domains.bursts(mine, now)
        if len(burst) >= failure_domains.MIN_TOGETHER
        or (begins is not None and (burst[-1].since or now) >= begins - failure_domains.GAP_S)
        for one in burst
    )


def _step(loops: Sequence[LoopStatus]) -> str:
    """What to do first. Without jobs on the loop there is nothing to stop."""
    state = loops[0].state
    if state == "low flow" and all(one.jobs == () for one in loops):
        return "let no new work start there and call facilities"
    return _STEPS[state]


def _began(said: Iterable[LoopAlert]) -> int | None:
    """When the first alert about the loop itself began."""
    return min((alert.starts for alert, own in said if own and alert.starts is not None), default=None)


def _alerts_by_loop(loops: Iterable[LoopStatus], cluster: Cluster) -> Mapping[str, Sequence[LoopAlert]]:
    """Loop to the alerts about it; for a faulty loop also the heat alerts of its racks and nodes."""
    ill = frozenset(one.name for one in loops if one.faulty)
    fed = loops_by_rack(cluster)
    found: dict[str, list[LoopAlert]] = {}
    for alert in cluster.alerts.values():
        place = failure_domains.place_of_alert(alert, cluster)
        if place is not None and place[0] == LOOP:
            found.setdefault(place[1], []).append((alert, True))
        elif loop_folds.is_about_heat(alert.name):
            node = cluster.nodes.get(failure_domains.node_of_alert(alert, cluster))
            rack = place[1] if place is not None and place[0] == "rack" else None if node is None else node.rack
            for loop in fed.get(rack or "", ()):
                if loop in ill:
                    found.setdefault(loop, []).append((alert, False))
    return found


def racks_of_faulty_loops(cluster: Cluster, now: float, mono: float | None = None) -> frozenset[str]:
    """The racks on a faulty loop, for the map."""
    if not cluster.cooling or not cooling.is_fresh(cluster, now, mono):
        return frozenset()
    return frozenset(rack for one in cooling.loops(cluster).values() if one.faulty for rack in one.racks)
