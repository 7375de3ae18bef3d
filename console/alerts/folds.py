"""Folds alerts: those of one place that began at about the same time, else those of one name. Pure.

A cooling loop feeds several racks: `console.plant.loop_folds` decides which alerts may belong to one, and folds its
racks into it. Silenced alerts are folded like the others, so that a group does not fall apart when it is acked.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.model import Alert, Cluster
from console.health import failure_domains
from console.health.cooling_loops import loops_by_rack, racks_by_loop
from console.health.drain_reasons import XIDS_BY_KIND
from console.health.failure_domains import CAUSE_SHARE, GAP_S, MAX_EVENTS, MIN_SHARE, MIN_TOGETHER, Place
from console.health.xid_policy import Policy
from console.plant import loop_folds

#: Labels that on an alert about a node usually refer to Kubernetes or disks, not a place.
_AMBIGUOUS_KINDS = frozenset({"pod", "block"})
_LINKS = re.compile(r"link|switch|fabric|network|infiniband|\b[Ii][Bb]|IB[A-Z_]", re.IGNORECASE)
#: Represents all XIDs that the policy attributes to the job.
JOB_XIDS = -1

Name = tuple[str, int | None]
"""The name of an alert and its XID, where it has one."""

#: Severities that count as critical, and those that need no action.
CRITICAL_SEVERITIES = frozenset({"critical", "page", "emergency", "error", "fatal"})
QUIET_SEVERITIES = frozenset({"info", "none", "ok", "debug", "notice"})


class AlertFacts(Struct, frozen=True, gc=False, kw_only=True):
    """One alert with what is needed to fold it."""

    alert: Alert
    node: str
    """Slurm's name of the node; "" where Slurm does not know it or the alert is about no node."""
    host: str
    """The node, or a host that Slurm does not know; "" where it is about neither."""
    place: Place | None
    """The place that the alert is about, where it is about no node."""
    name: Name
    at: float
    informational: bool
    """Whether it needs no action."""


class Fold(Struct, frozen=True, kw_only=True):
    """Alerts that belong together: of `place`, or of one name where that is None."""

    key: str
    place: Place | None = None
    place_size: int | None = None
    """Nodes of the place in the racks of the alerting nodes."""
    members: tuple[AlertFacts, ...]


class _Burst(Struct, frozen=True):
    """Alerts of one place that began within GAP_S of each other."""

    place: Place
    members: Sequence[AlertFacts]
    host_count: int
    share: float
    hinted: bool
    tie_break: tuple[bool, int]

    @property
    def weight(self) -> tuple[bool, bool, int, float, tuple[bool, int]]:
        """Sort key as in `failure_domains.shared_failures`: a place that is nearly all hit explains more."""
        return self.share >= CAUSE_SHARE, self.hinted, self.host_count, self.share, self.tie_break


class _AlertTimes:
    """When the alerts of each name began: a name that fires everywhere does not point to a place."""

    def __init__(self, told: Iterable[AlertFacts]) -> None:
        self._at: dict[Name, list[float]] = {}
        for one in told:
            self._at.setdefault(one.name, []).append(one.at)
        for times in self._at.values():
            times.sort()

    def local(self, name: Name, here: int, first: float, last: float) -> bool:
        """Whether `here` alerts in one place are a large part of all of that name at that time."""
        times = self._at[name]
        return here * MAX_EVENTS >= bisect_right(times, last + GAP_S) - bisect_left(times, first - GAP_S)


def folds(cluster: Cluster, now: float, policy: Policy) -> list[Fold]:
    """All alerts, each in exactly one fold."""
    told = [_alert_facts(alert, cluster, now, policy) for alert in cluster.alerts.values()]
    rates = _AlertTimes(told)
    found = _by_place(told, rates, cluster)
    spent = {id(one) for fold in found for one in fold.members}
    by_name: dict[Name, list[AlertFacts]] = {}
    for one in told:
        if id(one) not in spent:
            by_name.setdefault(one.name, []).append(one)
    return [*found, *(Fold(key=_key(name), members=tuple(alike)) for name, alike in by_name.items())]


def _key(name: Name) -> str:
    alert, code = name
    return f"name={alert}" if code is None else f"name={alert} xid={'of jobs' if code == JOB_XIDS else code}"


def code_of(alert: Alert) -> int | None:
    """The XID that an alert is about, None where it is about none."""
    code = alert.labels.get("xid", "")
    return int(code) if code.isdecimal() and len(code) < 6 else None


def _alert_facts(alert: Alert, cluster: Cluster, now: float, policy: Policy) -> AlertFacts:
    node, place = failure_domains.node_of_alert(alert, cluster), failure_domains.place_of_alert(alert, cluster)
    code = code_of(alert)
    if code is not None and (advice := policy.advice_for(code)) is not None and not advice.acts:
        code = JOB_XIDS
    return AlertFacts(
        alert=alert,
        node=node,
        host="" if place is not None else node or alert.node or "",
        place=place,
        name=(alert.name, code),
        at=now if alert.starts is None else alert.starts,
        informational=(alert.severity or "") in QUIET_SEVERITIES,
    )


# -- by place ----------------------------------------------------------------------------------------------------------


def _by_place(told: Sequence[AlertFacts], rates: _AlertTimes, cluster: Cluster) -> list[Fold]:
    hints: dict[Place, list[AlertFacts]] = {}
    at: dict[Place, list[AlertFacts]] = {}
    known: dict[str, tuple[Place, ...]] = {}
    fed = loops_by_rack(cluster)
    of_loop = Counter((one.name, loop) for one in told for loop in _loops_of_rack(one, fed))
    for one in told:
        if one.place is not None:
            # Forty PDUs that lose power at once are not forty events; eight hot racks of one loop are one event.
            here = max((of_loop[one.name, loop] for loop in _loops_of_rack(one, fed)), default=1)
            if not one.informational and rates.local(one.name, here, one.at, one.at):
                hints.setdefault(one.place, []).append(one)
        elif one.host and one.name[1] != JOB_XIDS:
            if one.host not in known:
                known[one.host] = _places_of_alerting_node(one, cluster)
            for place in known[one.host]:
                if place[0] != failure_domains.LOOP or loop_folds.may_follow_heat(one.alert.name):
                    at.setdefault(place, []).append(one)
    spent: set[int] = set()
    found: dict[Place, list[AlertFacts]] = {place: list(about) for place, about in hints.items()}
    bursts = _place_bursts(at, hints, rates, cluster)
    bursts.sort(key=lambda burst: burst.weight, reverse=True)
    for burst in bursts:
        left = [one for one in burst.members if id(one) not in spent]
        if (_count_hosts(left) >= MIN_TOGETHER and burst.share >= MIN_SHARE) or (left and burst.hinted):
            spent.update(map(id, left))
            found.setdefault(burst.place, []).extend(left)
    _merge_into_pdu(found, hints)
    loop_folds.fold_racks(found, hints, racks_by_loop(cluster))
    sizes = _nodes_per_place(found, found, cluster)
    return [
        Fold(key=f"{place[0]}={place[1]}", place=place, place_size=sizes[place] or None, members=tuple(members))
        for place, members in found.items()
    ]


def _loops_of_rack(one: AlertFacts, fed: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The loops of the rack, for an alert that reports heat in a rack."""
    if one.place is None or one.place[0] != "rack" or not loop_folds.is_about_heat(one.alert.name):
        return ()
    return fed.get(one.place[1], ())


def _merge_into_pdu(found: dict[Place, list[AlertFacts]], hints: Mapping[Place, Sequence[AlertFacts]]) -> None:
    """Merge the alerts of a rack into those of its one alerting PDU where they began together.

    Few sites record which PDU feeds a node; but the PDU's own alert names its rack.
    """
    for wide in [place for place in found if place not in hints]:
        ill = [place for place, about in hints.items() if len(found[place]) == len(about)
               and any(wide in failure_domains.places_in(one.alert.labels) for one in about)]  # fmt: skip
        if len(ill) == 1 and _began_with(min(one.at for one in hints[ill[0]]), min(one.at for one in found[wide])):
            found[ill[0]].extend(found.pop(wide))


def _places_of_alerting_node(one: AlertFacts, cluster: Cluster) -> tuple[Place, ...]:
    """The places of an alerting node: from Slurm, or from the labels where Slurm knows only the rack."""
    told = failure_domains.places_of_node(cluster.nodes[one.node], loops_by_rack(cluster)) if one.node else ()
    if any(kind not in {"rack", failure_domains.LOOP} for kind, _ in told):
        return told
    labels = [place for place in failure_domains.places_in(one.alert.labels) if place[0] not in _AMBIGUOUS_KINDS]
    return tuple(dict.fromkeys((*labels, *told)))


def _place_bursts(
    at: Mapping[Place, list[AlertFacts]],
    hints: Mapping[Place, Sequence[AlertFacts]],
    rates: _AlertTimes,
    cluster: Cluster,
) -> list[_Burst]:
    """Candidates for one event: enough hosts of a place at one time, with alerts that do not fire everywhere."""
    made: list[tuple[Place, list[AlertFacts], int, bool]] = []
    for place, members in at.items():
        if len(members) < MIN_TOGETHER and place not in hints:
            continue
        begins = min((one.at for one in hints.get(place, ())), default=None)
        for told in _split_by_time(members, begins):
            first, last = told[0].at, told[-1].at
            hinted = _began_with(begins, last)
            burst = told if hinted or place[0] != failure_domains.LOOP else loop_folds.on_hot_hosts(told)
            names = Counter(one.name for one in burst)
            local = {name for name, here in names.items() if rates.local(name, here, first, last)}
            kept = _without_outliers(burst if len(local) == len(names) else [one for one in burst if one.name in local])
            things = _count_hosts(kept)
            if things >= MIN_TOGETHER or (kept and hinted):
                made.append((place, kept, things, hinted))
    sizes = _nodes_per_place({place for place, *_ in made}, at, cluster)
    return [
        _Burst(place, kept, things, things / max(1, sizes[place]), hinted, _tie_break(place[0], kept))
        for place, kept, things, hinted in made
    ]


def _without_outliers(told: list[AlertFacts]) -> list[AlertFacts]:
    """Without hosts that lack the common alerts: one XID in a rack is not part of its power failure."""
    things: dict[Name, set[str]] = {}
    for one in told:
        things.setdefault(one.name, set()).add(one.host)
    many = [named for named in things.values() if len(named) >= MIN_TOGETHER]
    if not many or len(many) == len(things):
        return told
    hit = set().union(*many)
    return [one for one in told if one.host in hit]


def _split_by_time(members: list[AlertFacts], begins: float | None) -> Iterable[list[AlertFacts]]:
    """Split by time. After the place's own alert began, everything stays in one burst."""
    burst: list[AlertFacts] = []
    for one in sorted(members, key=lambda one: one.at):
        if burst and one.at - burst[-1].at > GAP_S and not _began_with(begins, burst[-1].at):
            yield burst
            burst = []
        burst.append(one)
    if burst:
        yield burst


def _began_with(begins: float | None, at: float) -> bool:
    """Whether `at` is at most GAP_S before the place's own alert, or later."""
    return begins is not None and at >= begins - GAP_S


def _count_hosts(told: Iterable[AlertFacts]) -> int:
    return len({one.host for one in told if not one.informational})


def _tie_break(kind: str, told: Sequence[AlertFacts]) -> tuple[bool, int]:
    """Among equal places: the switch where most alerts are about links, else the rack."""
    names = Counter(one.name for one in told)
    links = sum(count for name, count in names.items() if _LINKS.search(name[0]) or name[1] in XIDS_BY_KIND["network"])
    wanted = {"switch", "leaf"} if links * 2 > len(told) else {"rack"}
    return kind in wanted, -failure_domains.KINDS.index(kind)


def _nodes_per_place(
    wanted: Iterable[Place], at: Mapping[Place, Sequence[AlertFacts]], cluster: Cluster
) -> dict[Place, int]:
    """How many nodes each place has. Only the racks of its alerting nodes are counted."""
    sizes = dict.fromkeys(wanted, 0)
    nodes = cluster.nodes
    racks = {nodes[one.node].rack or "" for place in sizes for one in at[place] if one.node}
    racks.update(*(racks_by_loop(cluster).get(name, ()) for kind, name in sizes if kind == failure_domains.LOOP))
    fed = loops_by_rack(cluster)
    for rack in racks:
        for name in cluster.racks.get(rack, ()):
            for place in failure_domains.places_of_node(nodes[name], fed) if name in nodes else ():
                if place in sizes:
                    sizes[place] += 1
    return {place: max(size, _count_all_hosts(at[place])) for place, size in sizes.items()}


def _count_all_hosts(told: Iterable[AlertFacts]) -> int:
    return len({one.host for one in told if one.host})
