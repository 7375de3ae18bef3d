"""A declared incident: shown to every user, and for half an hour it eases the confirmation of actions on its nodes.

It is stored in Alertmanager as a silence that matches no alert, where every console reads it, and it ends by itself. It
eases confirmations only in the console in which its name was typed: the gate keeps the confirmed nodes (`Scope`) and
trusts nothing that other people write into a silence. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from collectors.alertmanager.requests import COMMENT_CAP, DECLARE_INCIDENT, INCIDENT, MAX_INCIDENT_S
from collectors.model import Alert, Change, Cluster, Matcher, NewSilence, Node, Partition, Row, Silence
from collectors.nodeset import expand, fold, names_in
from console.health import failure_domains
from console.health.cooling_loops import racks_by_loop
from console.runtime.operator_identity import login_name
from widgets.units import plural

from .action import Action, ChangeInputs, Creation

#: Duration (seconds) of a declaration.
DURATION_S = 1800
PREFIX = "incident "
#: Seconds by which the end of its silence may differ from the computed one: later for the time of sending, sooner for
#: rounding to whole seconds.
_SENDING_S, _SECOND = 60, 1
_TELLS = re.compile(r"incident (?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,63}): (?P<title>.*?)(?: nodes (?P<nodes>\S+))?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RANGE = re.compile(r"([A-Za-z]+)(\d+)-\1?(\d+)")


class Incident(Struct, frozen=True, kw_only=True):
    """An incident as read from Alertmanager. It is shown; nothing is decided by it."""

    name: str
    title: str
    by: str
    starts: int | None
    ends: int
    nodes: tuple[str, ...]
    """The nodes in its text that this cluster has."""
    silences: tuple[str, ...]
    """Ids of its silences; several if it was declared again, or by others too."""


class Scope(Struct, frozen=True, kw_only=True):
    """An incident confirmed in this console. It holds while its own silence is active. Another silence of the same name
    does not count."""

    name: str
    nodes: frozenset[str]
    by: str
    ends: float
    """When its silence ends (epoch)."""

    def made(self, one: Silence) -> bool:
        """Whether this silence was created by it."""
        return (
            one.state == "active" and one.matchers == (Matcher(INCIDENT, self.name),) and one.by == self.by
            and one.ends is not None and -_SECOND <= one.ends - self.ends <= _SENDING_S
        )  # fmt: skip

    def covers(self, action: Action, acting: Mapping[str, Row], cluster: Cluster) -> bool:
        """Whether the action is one_key_in_incident and all its targets are inside."""
        if not action.one_key_in_incident or not acting:
            return False
        return all(self._holds(row, cluster) for row in acting.values())

    def _holds(self, row: Row, cluster: Cluster) -> bool:
        if isinstance(row, Alert):
            if node := failure_domains.node_of_alert(row, cluster):
                return node in self.nodes
            place = failure_domains.place_of_alert(row, cluster)
            return place is not None and self._all_of(failure_domains.nodes_of_place(place, cluster))
        if isinstance(row, Partition):
            return self._all_of(name for name, node in cluster.nodes.items() if row.name in node.partitions)
        return getattr(row, "name", None) in self.nodes

    def _all_of(self, nodes: Iterable[str]) -> bool:
        """Whether all of these nodes are inside, and there is at least one."""
        of_it = frozenset(nodes)
        return bool(of_it) and self.nodes.issuperset(of_it)


def active_incidents(cluster: Cluster, now: float) -> tuple[Incident, ...]:
    """Active incidents, the one that ends last first. A silence must have matcher, text and duration of an incident."""
    found: dict[str, Incident] = {}
    for one in sorted(cluster.silences.values(), key=lambda one: one.ends or 0):
        told = _TELLS.fullmatch(one.comment)
        if told is None or one.state != "active" or one.ends is None or one.ends <= now:
            continue
        if one.matchers != (Matcher(INCIDENT, told["name"]),) or one.ends - now > MAX_INCIDENT_S:
            continue
        before = found.get(told["name"])
        found[told["name"]] = Incident(
            name=told["name"], title=told["title"], by=one.by, starts=one.starts if before is None else before.starts,
            ends=one.ends, nodes=_known(told["nodes"], cluster),
            silences=(*(before.silences if before is not None else ()), one.id),
        )  # fmt: skip
    return tuple(sorted(found.values(), key=lambda one: -one.ends))


def _known(text: str | None, cluster: Cluster) -> tuple[str, ...]:
    return tuple(name for name in names_in(text) if name in cluster.nodes)


def in_force(scopes: Iterable[Scope], cluster: Cluster, now: float) -> tuple[Scope, ...]:
    """The scopes whose silences are still active in Alertmanager; none where silences are not known."""
    names = {one.name for one in active_incidents(cluster, now)}
    rows = cluster.silences.values()
    return tuple(one for one in scopes if one.name in names and any(one.made(row) for row in rows))


def scope_of(words: str, cluster: Cluster) -> tuple[str, tuple[str, ...]]:
    """The name and the nodes of an incident, from typed words. `R07-R10`, `R[07-10]`, `@rack:R07`, `cdu-2`,
    a partition, or a node set. Raises ValueError."""
    text = words.removeprefix("@rack:").removeprefix("@loop:")
    loops = racks_by_loop(cluster)
    if text in loops:
        nodes: Sequence[str] = [name for rack in loops[text] for name in cluster.racks.get(rack, ())]
    elif text in cluster.partitions:
        nodes = [node.name for node in cluster.nodes.values() if text in node.partitions]
    else:
        span = _RANGE.fullmatch(text)
        names = expand(f"{span[1]}[{span[2]}-{span[3]}]" if span else text)
        unknown = [name for name in names if name not in cluster.racks and name not in cluster.nodes]
        if unknown or not names:
            what = unknown[0] if unknown else words
            raise ValueError(f"{what} is no rack, no cooling loop, no partition and no node of this machine")
        nodes = [node for name in names for node in cluster.racks.get(name, (name,))]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:64]
    if not nodes or not _NAME.fullmatch(name):
        raise ValueError(f"{words} names no nodes")
    return name, tuple(dict.fromkeys(nodes))


class IncidentRequest(Struct, frozen=True, kw_only=True):
    """A parsed command line about incidents."""

    action: str
    targets: tuple[str, ...]
    title: str = ""
    settings: Mapping[str, str] = {}


def parse_request(words: Sequence[str], cluster: Cluster, now: float) -> IncidentRequest:
    """`R07-R10 cooling`, `extend [NAME]`, `end [NAME]`. Raises ValueError."""
    verb, *more = words or ("",)
    if verb in {"end", "extend"}:
        stand = {one.name: one for one in active_incidents(cluster, now)}
        if len(stand) > 1 and not more:
            raise ValueError(f"{plural(len(stand), 'incident')} stand: {', '.join(stand)}; say which")
        one = stand.get(more[0] if more else next(iter(stand), ""))
        if one is None:
            raise ValueError("no incident stands" + (f" by the name {more[0]}" if more else ""))
        if verb == "end":
            return IncidentRequest(action="lift", targets=one.silences)
        if not one.nodes:
            raise ValueError(f"{one.name}: its nodes are not written in it: declare it again, by what it is of")
        return IncidentRequest(action="incident", targets=one.nodes, title=one.title, settings={"name": one.name})
    if not verb:
        raise ValueError("incident R07-R10 cooling: racks, a cooling loop, a partition or nodes, then what it is")
    name, nodes = scope_of(verb, cluster)
    return IncidentRequest(action="incident", targets=nodes, title=" ".join(more), settings={"name": name})


# -- the action: one silence for all its nodes -------------------------------------------------------------------------


def _lacks(cluster: Cluster, targets: Sequence[str], options: Any, now: float) -> str | None:
    if "silences" not in cluster.known:
        return "an incident is shown to everybody through Alertmanager, and its silences are not known"
    name = options.settings.get("name", "")
    if not _NAME.fullmatch(name):
        return "an incident needs a name: --name R07-R10"
    more = set(options.settings) - {"name"}
    return f"incident knows no --{more.pop()}" if more else None


def _glass(cluster: Cluster, targets: Sequence[str], options: Any) -> tuple[str, str] | None:
    return options.settings.get("name", ""), "it is shown to everybody, and eases what is asked on its nodes"


def _spell(change: Change, given: ChangeInputs) -> Change:
    options = given.options
    name = options.settings["name"]
    title = (given.typed_reason or "…")[:200]
    nodes = f" nodes {fold(change.targets)}"
    head = f"{PREFIX}{name}: {title}"
    # Too many nodes for the comment: only the name is written.
    comment = head + nodes if len(head) + len(nodes) <= COMMENT_CAP else head
    made = NewSilence(
        alerts=(),
        matchers=(Matcher(INCIDENT, name),),
        seconds=options.seconds or DURATION_S,
        by=login_name(),
        comment=comment,
    )
    return msgspec.structs.replace(
        change, values=dict.fromkeys(change.targets, name), settings=options.settings, silences=(made,)
    )


def declared(change: Change, now: float) -> tuple[Change, tuple[Scope, ...]]:
    """Add the end time to the Change of an incident, and return it with its Scope; other actions are returned
    unchanged.

    The end time identifies the created silence: an older one of the same name verifies nothing."""
    if change.operation != DECLARE_INCIDENT:
        return change, ()
    name, (made,) = change.settings["name"], change.silences
    ends = now + made.seconds
    change = msgspec.structs.replace(change, values=dict.fromkeys(change.targets, f"{name}@{int(ends)}"))
    return change, (Scope(name=name, nodes=frozenset(change.targets), by=made.by, ends=ends),)


def name_of(value: str) -> str:
    """The name in the value that `declared` sets."""
    return value.partition("@")[0]


def _shows(cluster: Cluster, target: str, value: str) -> bool:
    name, _, ends = value.partition("@")
    if not ends.isdecimal():
        return False
    scope = Scope(name=name, nodes=frozenset(), by=login_name(), ends=float(ends))
    return any(scope.made(one) for one in cluster.silences.values())


CREATION = Creation(kind="silence", invalid=_lacks, break_glass=_glass, exists=_shows)


def _never(_: Cluster, __: Node) -> str | None:
    return None


ROWS: tuple[Action, ...] = (
    Action(
        id="incident", operation=DECLARE_INCIDENT,
        synonyms=("outage", "emergency"),
        key="", kind="node", label="declare an incident", doing="declaring…", done="declared",
        refuse=_never, needs_reason=True, option_fields=("seconds",), creates=CREATION, inverse="lift",
        prefill="--name ",
        help="shown to everybody for 30 minutes; on its nodes drain, partition-down and silence take one key",
        complete=_spell, sources=("alerts.alerts",),
        left_alone="nothing; with bad or missing silences all of it, since nobody would see it",
    ),
)  # fmt: skip
