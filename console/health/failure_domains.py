"""Failure domains: nodes of one rack, PDU, switch or row that failed at about the same time. Pure.

The places of a node are its rack and what its `Extra` names where the site keeps JSON there (`{"pdu": "R07-pdu-b",
"switch": "leaf-R07"}`, the form that Slurm's filters on Extra use); the places of an alert are in its labels. Which
cooling loop serves a rack comes from `console.health.cooling_loops`; only a faulty loop counts as a cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct

from collectors.model import Alert, Cluster, Node
from console.ingest.node_naming import names_of

from .cooling_loops import NO_LOOPS, faulty_loops, loops_by_rack, loops_by_rack_among, racks_by_loop

#: Keys of `Extra` and labels of alerts that name a place, narrowest first.
KINDS = ("chassis", "enclosure", "pdu", "ups", "breaker", "switch", "leaf", "cdu", "rack", "pod", "block", "row")
#: At least this many nodes that failed together are one shared failure.
MIN_TOGETHER = 3
#: Failures further apart than this did not happen together.
GAP_S = 600
#: A smaller share of a place than this failed by chance.
MIN_SHARE = 0.1
#: When at least this share of a place failed, the place itself is the likely cause.
CAUSE_SHARE = 0.8
#: More shared failures of one kind than this are merged.
MAX_EVENTS = 4
#: A cooling loop, as a kind of place.
LOOP = "cdu"
#: Labels that do not name what an alert is about.
_IGNORED_LABELS = frozenset({"alertname", "severity", "cluster", "job"})
COOLING_KINDS = frozenset({"power", "slurmd", "unknown"})
"""Kinds of drain reasons that a cooling loop may have caused."""
_PORT = re.compile(r":[0-9]{1,5}$")

Place = tuple[str, str]
"""Kind and name: ("pdu", "R07-pdu-b")."""


class FailedNode(Struct, frozen=True):
    """One node that failed, and when."""

    node: Node
    since: int | None


class SharedFailure(Struct, frozen=True, kw_only=True):
    """Several nodes that failed together. `place` is None where they share only the time."""

    place: Place | None
    failed: tuple[FailedNode, ...]
    place_size: int | None = None
    """How many nodes the place has."""
    place_count: int = 1
    """How many places were merged into this one."""

    @property
    def first(self) -> int | None:
        """When the first of them failed."""
        return min((one.since for one in self.failed if one.since is not None), default=None)

    @property
    def last(self) -> int | None:
        """When the last of them failed."""
        return max((one.since for one in self.failed if one.since is not None), default=None)


@lru_cache(maxsize=32_768)
def _places_in_extra(extra: str) -> tuple[Place, ...]:
    try:
        table = msgspec.json.decode(extra)
    except (msgspec.DecodeError, RecursionError):
        return ()
    return places_in(table) if isinstance(table, dict) else ()


def places_in(table: Mapping[str, object]) -> tuple[Place, ...]:
    """The places named by labels or by the keys of `Extra`, narrowest first."""
    return tuple((kind, name) for kind in KINDS if isinstance(name := table.get(kind), str) and 0 < len(name) <= 64)


def places_of_node(node: Node, fed: Mapping[str, tuple[str, ...]] = NO_LOOPS) -> tuple[Place, ...]:
    """The places of a node: those in its `Extra`, its rack, and the loops that `fed` gives for its rack."""
    told = _places_in_extra(node.extra) if node.extra and node.extra.startswith("{") else ()
    if node.rack is None:
        return told
    loops = tuple((LOOP, loop) for loop in fed.get(node.rack, ()) if (LOOP, loop) not in told) if fed else ()
    if any(kind == "rack" for kind, _ in told):
        return (*told, *loops)
    return (*told, *loops, ("rack", node.rack))


def place_of_alert(alert: Alert, cluster: Cluster) -> Place | None:
    """The narrowest place that an alert is about, None where it is about a single node or about none."""
    if alert.node:
        # The host of a CDU's alert is the CDU itself.
        own = _PORT.sub("", alert.node)
        return (LOOP, own) if own in racks_by_loop(cluster) and not node_of_alert(alert, cluster) else None
    loop = _loop_of_alert(alert, cluster)
    told = next(iter(places_in(alert.labels)), None)
    if loop and (told is None or KINDS.index(told[0]) > KINDS.index(LOOP)):
        return LOOP, loop
    return told


def _loop_of_alert(alert: Alert, cluster: Cluster) -> str:
    """The loop that any label of the alert names (`instance="cdu-2:9100"`); "" where none does."""
    loops = racks_by_loop(cluster)
    if not loops:
        return ""
    named = (_PORT.sub("", value) if ":" in value else value
             for label, value in alert.labels.items() if label not in _IGNORED_LABELS)  # fmt: skip
    # A bare number may mean something else.
    return next((value for value in named if value in loops and not value.isdigit()), "")


def node_of_alert(alert: Alert, cluster: Cluster) -> str:
    """The node of Slurm that an alert is about; "" where it is about none."""
    named = alert.node or ""
    if named in cluster.nodes or not named:
        return named
    # The alert may have been read before Slurm's nodes were known.
    return (names_of(cluster).fit(named).node or "") if cluster.nodes else ""


def nodes_of_place(place: Place, cluster: Cluster) -> tuple[str, ...]:
    """The nodes of a place."""
    kind, name = place
    if kind == "rack" and name in cluster.racks:
        return cluster.racks[name]
    if kind == LOOP and (racks := racks_by_loop(cluster).get(name)):
        return tuple(node for rack in racks for node in cluster.racks.get(rack, ()))
    return tuple(
        node.name
        for node in cluster.nodes.values()
        if node.extra and name in node.extra and place in places_of_node(node)
    )


def shared_failures(
    failed: Sequence[FailedNode], cluster: Cluster, now: float, likely: Iterable[Place] = ()
) -> tuple[list[SharedFailure], list[FailedNode]]:
    """The shared failures, and the nodes that failed alone. `likely` are places that alerts name."""
    from . import drain_reasons

    named = set(likely)
    fed = loops_by_rack_among(cluster, faulty_loops(cluster) | {name for kind, name in named if kind == LOOP})
    # An alert about a place claims every failure there. A loop serves so many nodes that earlier failures and single
    # nodes are not counted as its own.
    hints = {place for place in named if place[0] != LOOP}
    at: dict[Place, list[FailedNode]] = {}
    for one in failed:
        for place in places_of_node(one.node, fed):
            if place[0] != LOOP or drain_reasons.classify(one.node.reason, one.node.reason_by).kind in COOLING_KINDS:
                at.setdefault(place, []).append(one)
    sizes = _nodes_per_place(
        [place for place, members in at.items() if len(members) >= MIN_TOGETHER or place in hints], at, cluster
    )
    found = [
        (place, burst, len(burst) / max(1, sizes[place]))
        for place, members in at.items()
        if place in sizes
        for burst in ([members] if place in hints else bursts(members, now))
        if len(burst) >= MIN_TOGETHER or place in hints
    ]
    # A place that lost nearly all its nodes explains more than one that lost a part; then the one that lost most.
    found.sort(
        key=lambda one: (one[2] >= CAUSE_SHARE, one[0] in hints, len(one[1]), one[2], _tie_break(one[0][0], one[1])),
        reverse=True,
    )
    events: list[SharedFailure] = []
    gone: set[str] = set()
    for place, burst, share in found:
        left = tuple(one for one in burst if one.node.name not in gone)
        if (len(left) >= MIN_TOGETHER and share >= MIN_SHARE) or (left and place in hints):
            gone.update(one.node.name for one in left)
            events.append(SharedFailure(place=place, failed=left, place_size=sizes[place]))
    return _merged(events), [one for one in failed if one.node.name not in gone]


def _nodes_per_place(
    places: Iterable[Place], at: Mapping[Place, list[FailedNode]], cluster: Cluster
) -> dict[Place, int]:
    """How many nodes each place has. Only the racks of its failed nodes are counted."""
    wanted = set(places)
    if not wanted:
        return {}
    racks = {one.node.rack or "" for place in wanted for one in at[place]}
    racks.update(*(racks_by_loop(cluster).get(name, ()) for kind, name in wanted if kind == LOOP))
    sizes = dict.fromkeys(wanted, 0)
    fed = loops_by_rack(cluster)
    for rack in racks:
        for name in cluster.racks.get(rack, ()):
            for place in places_of_node(cluster.nodes[name], fed) if name in cluster.nodes else ():
                if place in sizes:
                    sizes[place] += 1
    return {place: max(size, len(at[place])) for place, size in sizes.items()}


def bursts(members: Sequence[FailedNode], now: float) -> list[list[FailedNode]]:
    """Groups of nodes that each failed within GAP_S of the one before. Without a time, a node failed just now."""
    ordered = sorted(members, key=lambda one: now if one.since is None else one.since)
    found: list[list[FailedNode]] = []
    before: float | None = None
    for one in ordered:
        since = now if one.since is None else one.since
        if before is None or since - before > GAP_S:
            found.append([])
        found[-1].append(one)
        before = since
    return found


def _tie_break(kind: str, burst: Sequence[FailedNode]) -> tuple[bool, int]:
    """Among equal places: the switch where most reasons are about the network, else the rack."""
    from . import drain_reasons

    links = sum(drain_reasons.classify(one.node.reason, one.node.reason_by).kind == "network" for one in burst)
    wanted = {"switch", "leaf"} if links * 2 > len(burst) else {"rack"}
    return kind in wanted, -KINDS.index(kind)


def _merged(events: list[SharedFailure]) -> list[SharedFailure]:
    """Merge many places of one kind that failed at one time: a whole row, a cooling loop, a bad software release."""
    groups: dict[tuple[str, int], list[SharedFailure]] = {}
    for event in events:
        kind = event.place[0] if event.place is not None else ""
        groups.setdefault((kind, (event.first or 0) // (2 * GAP_S)), []).append(event)
    merged: list[SharedFailure] = []
    for alike in groups.values():
        if len(alike) <= MAX_EVENTS:
            merged += alike
            continue
        every = tuple(one for event in alike for one in event.failed)
        merged.append(SharedFailure(place=alike[0].place, failed=every, place_count=len(alike)))
    return merged
