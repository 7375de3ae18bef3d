"""What failed together: nodes of one rack, PDU, switch or row that went at about the same time. Pure.

Where a node hangs is told by its rack, and by `Extra` where the site keeps JSON there (`{"pdu": "R07-pdu-b", "switch":
"leaf-R07"}`, as Slurm's own filters on Extra want it); an alert tells it by its labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct

from collectors.model import Alert, Cluster, Node
from console import reasons

#: Keys of `Extra` and labels of alerts that name a place, narrowest first.
KINDS = ("chassis", "enclosure", "pdu", "ups", "breaker", "switch", "leaf", "cdu", "rack", "pod", "block", "row")
#: So many nodes that went together are one event.
TOGETHER = 3
#: Two that went further apart in time did not go together.
GAP_S = 600
#: Fewer of a place than this share went by chance.
LEAST_SHARE = 0.1
#: More of a place than this share, and the place itself is the likely cause.
CAUSE_SHARE = 0.8
#: More events of one kind than this are told as one.
MOST = 4

Place = tuple[str, str]
"""Kind and name: ("pdu", "R07-pdu-b")."""


class Failed(Struct, frozen=True):
    """One node that is out, and since when."""

    node: Node
    since: int | None


class Event(Struct, frozen=True, kw_only=True):
    """Several nodes that went together. `place` is None where they share nothing but the moment."""

    place: Place | None
    failed: tuple[Failed, ...]
    of: int | None = None
    """How many nodes the place has."""
    places: int = 1
    """How many places are told as this one."""

    @property
    def first(self) -> int | None:
        """When the first of them went."""
        return min((one.since for one in self.failed if one.since is not None), default=None)

    @property
    def last(self) -> int | None:
        """When the last of them went."""
        return max((one.since for one in self.failed if one.since is not None), default=None)


@lru_cache(maxsize=32_768)
def _told(extra: str) -> tuple[Place, ...]:
    try:
        table = msgspec.json.decode(extra)
    except (msgspec.DecodeError, RecursionError):
        return ()
    return of_table(table) if isinstance(table, dict) else ()


def of_table(table: Mapping[str, object]) -> tuple[Place, ...]:
    """The places that labels, or the keys of `Extra`, name, narrowest first."""
    return tuple((kind, name) for kind in KINDS if isinstance(name := table.get(kind), str) and 0 < len(name) <= 64)


def of_node(node: Node) -> tuple[Place, ...]:
    """The places that a node hangs on, its rack among them."""
    told = _told(node.extra) if node.extra and node.extra.startswith("{") else ()
    if node.rack is None or any(kind == "rack" for kind, _ in told):
        return told
    return (*told, ("rack", node.rack))


def of_alert(alert: Alert) -> Place | None:
    """The narrowest place that an alert is about, where it is about no single node."""
    return next(iter(of_table(alert.labels)), None)


def node_of_alert(alert: Alert, cluster: Cluster) -> str:
    """The node an alert is about, as Slurm calls it: without port and domain; "" where it is about none."""
    named = alert.node or ""
    if named in cluster.nodes or not named:
        return named
    return next((name for sign in ":." if (name := named.partition(sign)[0]) in cluster.nodes), "")


def nodes_of(place: Place, cluster: Cluster) -> tuple[str, ...]:
    """The nodes of a place."""
    kind, name = place
    if kind == "rack" and name in cluster.racks:
        return cluster.racks[name]
    return tuple(
        node.name for node in cluster.nodes.values() if node.extra and name in node.extra and place in of_node(node)
    )


def together(
    failed: Sequence[Failed], cluster: Cluster, now: float, likely: Iterable[Place] = ()
) -> tuple[list[Event], list[Failed]]:
    """The events among the nodes that failed, and those that failed alone. `likely` are places that alerts name."""
    hints = set(likely)
    at: dict[Place, list[Failed]] = {}
    for one in failed:
        for place in of_node(one.node):
            at.setdefault(place, []).append(one)
    sizes = _sizes([place for place, members in at.items() if len(members) >= TOGETHER or place in hints], at, cluster)
    bursts = [
        (place, burst, len(burst) / max(1, sizes[place]))
        for place, members in at.items()
        if place in sizes
        # An alert says that the place itself is ill: whatever fails there belongs to it.
        for burst in ([members] if place in hints else _bursts(members, now))
        if len(burst) >= TOGETHER or place in hints
    ]
    # The place that lost nearly all it has explains more than one that lost a part; then the one that lost most.
    bursts.sort(
        key=lambda one: (one[2] >= CAUSE_SHARE, one[0] in hints, len(one[1]), one[2], _fits(one[0][0], one[1])),
        reverse=True,
    )
    events: list[Event] = []
    gone: set[str] = set()
    for place, burst, share in bursts:
        left = tuple(one for one in burst if one.node.name not in gone)
        if (len(left) >= TOGETHER and share >= LEAST_SHARE) or (left and place in hints):
            gone.update(one.node.name for one in left)
            events.append(Event(place=place, failed=left, of=sizes[place]))
    return _merged(events), [one for one in failed if one.node.name not in gone]


def _sizes(places: Iterable[Place], at: Mapping[Place, list[Failed]], cluster: Cluster) -> dict[Place, int]:
    """How many nodes each place has. Only the racks that its failed nodes stand in are looked through."""
    wanted = set(places)
    if not wanted:
        return {}
    racks = {one.node.rack or "" for place in wanted for one in at[place]}
    sizes = dict.fromkeys(wanted, 0)
    for rack in racks:
        for name in cluster.racks.get(rack, ()):
            for place in of_node(cluster.nodes[name]) if name in cluster.nodes else ():
                if place in sizes:
                    sizes[place] += 1
    return {place: max(size, len(at[place])) for place, size in sizes.items()}


def _bursts(members: Sequence[Failed], now: float) -> list[list[Failed]]:
    """Those that went within GAP_S of the one before. Without a time they went just now."""
    ordered = sorted(members, key=lambda one: now if one.since is None else one.since)
    bursts: list[list[Failed]] = []
    before: float | None = None
    for one in ordered:
        since = now if one.since is None else one.since
        if before is None or since - before > GAP_S:
            bursts.append([])
        bursts[-1].append(one)
        before = since
    return bursts


def _fits(kind: str, burst: Sequence[Failed]) -> tuple[bool, int]:
    """Of places that explain as much: the switch where reasons speak of links, else the rack, which everybody knows."""
    links = sum(reasons.read(one.node.reason, one.node.reason_by).kind == "network" for one in burst)
    wanted = {"switch", "leaf"} if links * 2 > len(burst) else {"rack"}
    return kind in wanted, -KINDS.index(kind)


def _merged(events: list[Event]) -> list[Event]:
    """Many places of one kind at one time, told as one: a whole row, a cooling loop, a software that went bad."""
    groups: dict[tuple[str, int], list[Event]] = {}
    for event in events:
        kind = event.place[0] if event.place is not None else ""
        groups.setdefault((kind, (event.first or 0) // (2 * GAP_S)), []).append(event)
    merged: list[Event] = []
    for alike in groups.values():
        if len(alike) <= MOST:
            merged += alike
            continue
        every = tuple(one for event in alike for one in event.failed)
        merged.append(Event(place=alike[0].place, failed=every, places=len(alike)))
    return merged
