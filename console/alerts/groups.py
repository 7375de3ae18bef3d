"""Alert groups: alerts of one cause. One AlertGroup is one line of the Alerts screen. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from collectors.model import Alert, Cluster, Silence
from collectors.nodeset import natural_key
from collectors.nodestate import UNAVAILABLE
from console.health import failure_domains
from console.health.cooling_loops import loops_by_rack
from console.health.failure_domains import Place
from console.health.xid_policy import Policy, default_policy
from console.plant import cooling
from console.plant.loop_folds import is_about_heat
from console.runtime.memo import remembered_briefly
from widgets.units import plural

from .folds import CRITICAL_SEVERITIES, JOB_XIDS, QUIET_SEVERITIES, AlertFacts, Fold, code_of, folds

Severity = Literal["critical", "warning", "unset", "info"]
State = Literal["active", "taken", "silenced", "inhibited"]

_SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "unset", "info")
_STATES: tuple[State, ...] = ("active", "taken", "silenced", "inhibited")
#: More codes than this are abbreviated.
_MAX_CODES = 3


class AlertGroup(Struct, frozen=True, kw_only=True):
    """One line of the Alerts screen. None is unknown, an empty tuple is none."""

    key: str
    """Stable as long as the group is about the same place or name."""
    state: State
    """active while one of its alerts is."""
    severity: Severity
    """The worst severity of the active alerts, else of all."""
    title: str
    """`R07-pdu-b: NodePowerLost`, `XID 79 on gpu0412`."""
    name: str
    """Name of the most informative alert: `NodePowerLost`, or its XID."""
    place: Place | None = None
    place_size: int | None = None
    """How many nodes the place has."""
    names: tuple[tuple[str, int], ...] = ()
    """Every alert name in it with its count, the most frequent first."""
    alerts: tuple[str, ...] = ()
    """Alert ids, those not suppressed first."""
    suppressed: int = 0
    """How many of them a silence or another alert suppresses."""
    nodes: tuple[str, ...] = ()
    """Nodes known to Slurm: those that alert, and all of a place that has an alert of its own."""
    unknown: tuple[str, ...] = ()
    """Hosts that alert and are unknown to Slurm."""
    racks: tuple[str, ...] = ()
    jobs: tuple[str, ...] | None = None
    """Jobs on these nodes now."""
    users: tuple[str, ...] | None = None
    gpus: int | None = None
    """GPUs on these nodes."""
    out: int = 0
    """How many of the nodes are out of service already: down, drained, draining."""
    since: int | None = None
    """When the first of them began."""
    newest: int | None = None
    """When the last one began; of the active ones where there are any."""
    summary: str = ""
    example: bool = False
    """Whether the summary is that of one alert while others differ."""
    runbook: str = ""
    acked_by: tuple[str, ...] = ()
    silences: tuple[str, ...] = ()
    """Ids of the silences over it, the earliest end first."""
    advice: str = ""
    """The XID policy's advice for the worst code in it, and the source of the advice."""

    @property
    def critical(self) -> bool:
        """Whether it is active and critical."""
        return self.state == "active" and self.severity == "critical"


def alert_groups(cluster: Cluster, now: float, policy: Policy | None = None) -> Sequence[AlertGroup]:
    """All alerts, each in one group: active critical ones first, then warnings, then acked, then silenced.

    Within these the newest first. 10,000 alerts on 12,000 nodes take some 60 ms, once for each Cluster.
    """
    return _groups(cluster, now, policy or default_policy())


@remembered_briefly
def _groups(cluster: Cluster, now: float, policy: Policy) -> Sequence[AlertGroup]:
    found = folds(cluster, now, policy)
    about = _nodes_by_place(found, cluster)
    loops = cooling.loops(cluster) if cooling.is_fresh(cluster, now) else {}
    made = [_group(fold, cluster, policy, about, loops) for fold in found]
    return sorted(made, key=sort_key)


def sort_key(group: AlertGroup) -> tuple[int, int, float, tuple[object, ...]]:
    """Sort key: active and worst first."""
    active = group.state == "active"
    rank = _SEVERITIES.index(group.severity) if active else 0
    return _STATES.index(group.state), rank, -(group.newest or 0), natural_key(group.title)


def severity_of(alert: Alert) -> Severity:
    """The severity of an alert, mapped from the words that sites use."""
    if alert.severity is None:
        return "unset"
    return (
        "critical"
        if alert.severity in CRITICAL_SEVERITIES
        else "info"
        if alert.severity in QUIET_SEVERITIES
        else "warning"
    )


def place_text(place: Place) -> str:
    """`R07-pdu-b`, `leaf-R07`, `rack 7`, `row A`."""
    kind, name = place
    if kind == "rack":
        return f"rack {name}" if name.isdigit() else name
    return name if kind in name.lower() or not name.isalnum() else f"{kind} {name}"


def recommended_action(group: AlertGroup) -> str:
    """The recommended action in one line: how many of its nodes are unavailable already, and the policy's advice."""
    number = len(group.nodes)
    if number == 0:
        done = ""
    elif group.out == 0:
        done = "the node is in service" if number == 1 else f"all {number:,} nodes are in service"
    elif group.out == number:
        done = "the node is out already" if number == 1 else f"all {number:,} nodes are out already"
    else:
        done = f"{group.out:,} of {plural(number, 'node')} are out already"
    return "; ".join(part for part in (done, group.advice) if part)


def drain_reason_text(group: AlertGroup, cells: int = 120) -> str:
    """A drain reason for its nodes in at most `cells` characters: `NodePowerLost R07-pdu-b: lost its input`."""
    where = place_text(group.place) if group.place is not None else ""
    text = " ".join(part for part in (group.name, where) if part)
    said = "" if group.example else group.summary
    for known in (where, *(group.nodes if len(group.nodes) == 1 else ())):
        if known and said.startswith(known):
            said = said[len(known) :].lstrip(" :,")
    # `XID 48` and then `XID 48 on GPU 1 of gpu0136` would be a repetition.
    whole = said if said.startswith(text) else f"{text}: {said}" if said else text
    return whole if len(whole) <= cells else whole[: cells - 1].rstrip() + "…"


def suppressed_counts(cluster: Cluster) -> Mapping[str, int]:
    """Silence to the number of alerts that it suppresses."""
    return Counter(one for alert in cluster.alerts.values() for one in alert.silenced_by)


# -- one group ---------------------------------------------------------------------------------------------------------


def _nodes_by_place(found: Sequence[Fold], cluster: Cluster) -> Mapping[Place, tuple[str, ...]]:
    """The nodes of every place that an alert is about: all places in one walk over the nodes."""
    wanted = {one.place for fold in found for one in fold.members if one.place is not None}
    made: dict[Place, list[str]] = {place: [] for place in wanted}
    if any(kind != "rack" or name not in cluster.racks for kind, name in wanted):
        fed = loops_by_rack(cluster)
        for node in cluster.nodes.values():
            for place in failure_domains.places_of_node(node, fed):
                if place in made:
                    made[place].append(node.name)
    return {place: tuple(names) or cluster.racks.get(place[1], ()) for place, names in made.items()}


def _group(
    fold: Fold,
    cluster: Cluster,
    policy: Policy,
    about: Mapping[Place, tuple[str, ...]],
    loops: Mapping[str, cooling.LoopStatus],
) -> AlertGroup:
    told = fold.members
    active = [one for one in told if one.alert.state != "suppressed"]
    loud = active or list(told)
    severity = min((severity_of(one.alert) for one in loud), key=_SEVERITIES.index)
    names = Counter(one.alert.name for one in told)
    lead = max(loud, key=lambda one: _lead_rank(one, names))
    nodes = _nodes(told, about)
    rows = [cluster.nodes[name] for name in nodes]
    jobs = _jobs(nodes, cluster)
    standing = _silences(told, cluster)
    gpus = [node.gpus for node in rows]
    name = _name(lead, told)
    starts = [one.alert.starts for one in told if one.alert.starts is not None]
    unknown = sorted({one.host for one in told if one.host and not one.node}, key=natural_key)
    racks = tuple(sorted({node.rack for node in rows if node.rack is not None}, key=natural_key))
    taken = tuple(dict.fromkeys(one.by or "somebody" for one in standing if one.taken))
    return AlertGroup(
        key=fold.key,
        state=_state(active, told, taken),
        severity=severity,
        title=_loop_title(fold, loops) or _title(fold, lead, name, (*nodes, *unknown), racks),
        name=name,
        place=fold.place,
        place_size=fold.place_size,
        names=tuple(names.most_common()),
        alerts=(*(one.alert.id for one in active),
                *(one.alert.id for one in told if one.alert.state == "suppressed")),
        suppressed=len(told) - len(active),
        nodes=nodes,
        unknown=tuple(unknown),
        racks=racks,
        jobs=jobs,
        users=None if jobs is None else tuple(sorted({cluster.jobs[job].user for job in jobs})),
        gpus=None if None in gpus else sum(number for number in gpus if number is not None),
        out=sum(node.display in UNAVAILABLE for node in rows),
        since=min(starts, default=None),
        newest=max((one.alert.starts for one in loud if one.alert.starts is not None), default=None),
        summary=lead.alert.summary or "",
        example=lead.place is None and any(one.alert.summary != lead.alert.summary for one in told),
        runbook=lead.alert.annotations.get("runbook_url") or lead.alert.annotations.get("runbook") or "",
        acked_by=taken,
        silences=tuple(one.id for one in standing),
        advice=_advice(told, policy),
    )  # fmt: skip


def _lead_rank(one: AlertFacts, names: Mapping[str, int]) -> tuple[int, bool, int, float]:
    """Sort key for the lead alert: the worst, one about the place itself, the most frequent, the newest."""
    return -_SEVERITIES.index(severity_of(one.alert)), one.place is not None, names[one.alert.name], one.at


def _nodes(told: Iterable[AlertFacts], about: Mapping[Place, tuple[str, ...]]) -> tuple[str, ...]:
    found: set[str] = set()
    for one in told:
        if one.node:
            found.add(one.node)
        elif one.place is not None:
            found.update(about[one.place])
    return tuple(sorted(found, key=natural_key))


def _jobs(nodes: Iterable[str], cluster: Cluster) -> tuple[str, ...] | None:
    if "jobs" not in cluster.known:
        return None
    ids = dict.fromkeys(job for node in nodes for job in cluster.jobs_on.get(node, ()))
    return tuple(job for job in ids if job in cluster.jobs)


def _silences(told: Iterable[AlertFacts], cluster: Cluster) -> list[Silence]:
    ids = {one for each in told for one in each.alert.silenced_by}
    found = [silence for one in ids if (silence := cluster.silences.get(one)) is not None]
    return sorted(found, key=lambda silence: (silence.ends or 0, silence.id))


def _state(active: Collection[AlertFacts], told: Sequence[AlertFacts], taken: Collection[str]) -> State:
    if active:
        return "active"
    if taken:
        return "taken"
    # Alertmanager names no cause for an alert in a mute time interval: shown as silenced.
    return "inhibited" if all(one.alert.inhibited_by and not one.alert.silenced_by for one in told) else "silenced"


def _name(lead: AlertFacts, told: Iterable[AlertFacts]) -> str:
    code = code_of(lead.alert)
    if code is None or lead.name[1] != JOB_XIDS:
        return lead.alert.name if code is None else f"XID {code}"
    codes = [code for code, _ in Counter(code_of(one.alert) for one in told if one.name == lead.name).most_common()]
    return f"XID {', '.join(map(str, codes[:_MAX_CODES]))}{', …' if len(codes) > _MAX_CODES else ''}"


def _loop_title(fold: Fold, loops: Mapping[str, cooling.LoopStatus]) -> str:
    """`cdu-2: supply 38.1 °C, 64 nodes hot`, for a cooling loop measured to be faulty."""
    loop = loops.get(fold.place[1]) if fold.place is not None and fold.place[0] == failure_domains.LOOP else None
    if loop is None or not loop.faulty:
        return ""
    hot = len({one.node for one in fold.members if one.node and is_about_heat(one.alert.name)})
    said = f", {hot:,} node{'' if hot == 1 else 's'} hot" if hot else ""
    return f"{loop.name}: {cooling.short_text(loop)}{said}"


def _title(fold: Fold, lead: AlertFacts, name: str, things: Sequence[str], racks: Sequence[str]) -> str:
    if fold.place is not None:
        return f"{place_text(fold.place)}: {name}"
    if lead.place is not None:
        return f"{name} at {len({one.place for one in fold.members}):,} places"
    if len(things) == 1:
        return f"{name} on {things[0]}"
    if things:
        where = f" of {racks[0]}" if len(racks) == 1 and len(things) > failure_domains.MIN_TOGETHER else ""
        return f"{name} on {plural(len(things), 'node')}{where}"
    return name if len(fold.members) == 1 else f"{name} ×{len(fold.members):,}"


def _advice(told: Iterable[AlertFacts], policy: Policy) -> str:
    code = policy.worst({code for one in told if (code := code_of(one.alert)) is not None})
    if code is None:
        return ""
    advice = policy.advice_for(code)
    # The source's full text is on the node's own screen.
    return f"policy: {policy.step(code)}" + ("" if advice is None else f" ({advice.source.partition(' (')[0]})")
