"""Builds the lines of the attention list. Pure; `console.triage.attention` decides what is added in which order.

The first line that names a node covers it: later lines leave that node out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from msgspec import Struct

from collectors.model import Alert, Cluster, Node, Severity
from collectors.nodeset import fold
from console.alerts.folds import CRITICAL_SEVERITIES, QUIET_SEVERITIES
from console.health import drain_reasons, failure_domains, tickets
from console.health.failure_domains import FailedNode, Place, SharedFailure
from console.health.inconsistencies import SAMPLE_S, Inconsistency
from console.health.xid_policy import Policy
from console.health.xid_storms import storms

from .attention_cooling import LoopItem

#: A failure older than this ranks lower; a drain by automation younger than this must be looked at.
DAY_S = 86400
#: A drain by automation younger than this ranks with the nodes that are down.
NEWS_S = 1800
#: Longest filter of a node set, below the cap of console.filters.language; more nodes are opened by a wider filter.
_OPENS_CAP = 480
_FOLD_CAP = 2000
#: With more silent exporters than this share of the nodes, the telemetry itself has failed.
_MOST_SILENT = 0.2
# Ranks, worst first.
_LEAK = -1
_EVENT, _DRAIN_NOW, _STORM, _DOWN, _LOOK, _DRAINED, _FORGOTTEN, _IDLE = range(8)
#: Display words of unavailable nodes that must be brought back to service.
UNAVAILABLE = frozenset({"down", "failed", "invalid", "unknown", "drained", "draining", "failing"})
_LOOK_BY_BAD = {True: ("✖", "bad"), False: ("▲", "warn")}
_DOWN_LOOK = {"invalid": ("⊘", "bad", "registered wrongly"), "unknown": ("?", "warn", "does not answer")}


class AttentionLine(Struct, frozen=True):
    """One line. `opens` is what Enter opens: a node's name, or a filter of the node list; "" opens nothing."""

    glyph: str
    role: str
    text: str
    since: int | None
    opens: str
    event: bool = False
    """Several things of one place failed together."""
    nodes: tuple[str, ...] = ()
    """The nodes that it covers."""


class _RankedLine(Struct, frozen=True):
    """A line with its place in the order."""

    rank: int
    at: float
    """When it last got worse; within a rank the newest comes first."""
    line: AttentionLine


@lru_cache(maxsize=256)
def _folded(names: tuple[str, ...]) -> str:
    """Cached: the list is built every second, nearly always of the same nodes."""
    return fold(names)


def opens_of(names: Sequence[str], wide: str = "") -> str:
    """A filter that selects these nodes; `wide` where it would be too long."""
    text = _folded(tuple(names))
    return text if len(text) <= _OPENS_CAP else wide


class AttentionList:
    """Collects the lines. The first line that names a node covers it."""

    def __init__(self, cluster: Cluster, now: float, policy: Policy) -> None:
        self.cluster = cluster
        self.now = now
        self.policy = policy
        self.lines: list[_RankedLine] = []
        self._covered: set[str] = set()
        self._alerting_nodes: set[str] = set()
        """Nodes of places that have an alert: a silent exporter there needs no line."""
        self._alerts = [one for one in cluster.alerts.values() if one.state == "active"]
        self._of_place: dict[Place, list[Alert]] = {}
        self._covered_alerts: set[str] = set()
        for alert in self._alerts:
            place = (
                None if (alert.severity or "") in QUIET_SEVERITIES else failure_domains.place_of_alert(alert, cluster)
            )
            if place is not None:
                self._of_place.setdefault(place, []).append(alert)
        for place in self._of_place:
            self._alerting_nodes.update(failure_domains.nodes_of_place(place, cluster))

    def _append(
        self,
        rank: int,
        glyph: str,
        role: str,
        text: str,
        names: Sequence[str] = (),
        *,
        since: int | None = None,
        at: float | None = None,
        event: bool = False,
        wide: str = "",
    ) -> None:
        """Add a line. `wide` is the filter to open where the nodes are too many to name."""
        self._covered.update(names)
        # Folding thousands of names takes 0.1 s.
        opens = wide if wide and len(names) > _FOLD_CAP else opens_of(names, wide)
        need = AttentionLine(glyph, role, text, since, opens, event, tuple(names))
        self.lines.append(_RankedLine(rank, (since or 0) if at is None else at, need))

    def _uncovered(self, names: Iterable[str]) -> list[str]:
        """The nodes that no line covers yet."""
        return [name for name in dict.fromkeys(names) if name not in self._covered]

    def covers(self, names: Sequence[str]) -> bool:
        """Whether lines already cover most of these nodes."""
        return 2 * len(self._uncovered(names)) < len(names)

    # -- what failed together ------------------------------------------------------------------------------------------

    def add_failures(self, failed: Sequence[FailedNode]) -> None:
        """Nodes of one place that failed together, and the alerts about places."""
        failed = [one for one in failed if one.node.name not in self._covered]
        found, _ = failure_domains.shared_failures(failed, self.cluster, self.now, self._of_place)
        for event in found:
            self._add_failure(event)
        for place, alerts in self._of_place.items():
            for alert in alerts:
                if alert.id not in self._covered_alerts:
                    bad = (alert.severity or "") in CRITICAL_SEVERITIES
                    names = failure_domains.nodes_of_place(place, self.cluster)
                    need = AttentionLine(*_LOOK_BY_BAD[bad], _said(alert), alert.starts, opens_of(names), True)
                    # The line is about the place: its nodes still work and may get a line of their own.
                    self.lines.append(_RankedLine(_EVENT if bad else _LOOK, alert.starts or 0, need))
                    self._covered_alerts.add(alert.id)

    def _add_failure(self, event: SharedFailure) -> None:
        nodes = [one.node for one in event.failed]
        told = self._of_place.get(event.place, []) if event.place is not None else []
        self._covered_alerts.update(alert.id for alert in told)
        words = Counter(node.display for node in nodes)
        count = (
            f"{len(nodes)} of {event.place_size}"
            if event.place_size is not None and len(nodes) < event.place_size
            else f"{len(nodes)}"
        )
        why = told[0].summary or told[0].name if told else _common(nodes)
        if event.place is not None and why.startswith(event.place[1]):
            why = why[len(event.place[1]) :].lstrip(" :,")
        starts = [alert.starts for alert in told if alert.starts is not None]
        since = min((at for at in (event.first, *starts) if at is not None), default=None)
        last = max((at for at in (event.last, *starts) if at is not None), default=self.now)
        self._append(
            _EVENT if self.now - last <= DAY_S else _DOWN,
            "✖" if "down" in words else "▼",
            "bad",
            f"{_place_text(event, nodes)}: {count} nodes {'/'.join(word for word, _ in words.most_common())}"
            + (f": {why}" if why else ""),
            [node.name for node in nodes],
            since=since,
            at=last,
            event=True,
            wide=f"state={next(iter(words))}",
        )

    # -- nodes that take work and should not ---------------------------------------------------------------------------

    def add_not_drained(self, found: Sequence[Inconsistency], as_read: bool) -> None:
        """XIDs for which the policy drains a node, on nodes that are not drained."""
        self._by_code(found, _DRAIN_NOW, "▼", "bad", "not drained" if as_read else "not drained when last read")

    def add_inconsistencies(self, found: Sequence[Inconsistency], as_read: bool) -> None:
        """XIDs with a milder policy, GPU counts that differ, and GPUs that are busy without a job."""
        self._by_code(
            [one for one in found if one.kind == "xid"], _LOOK, "?", "warn", "" if as_read else "as last read"
        )
        for kind in ("count", "stray"):
            mine = [one for one in found if one.kind == kind and one.node not in self._covered]
            if len(mine) < failure_domains.MIN_TOGETHER:
                for one in mine:
                    self._append(_LOOK, "?", "warn", f"{one.node} {_lower(one.text)}", (one.node,), since=one.since)
                continue
            names = [one.node for one in mine]
            what = "other GPUs in telemetry than in Slurm" if kind == "count" else "GPUs busy that no job holds"
            self._append(_LOOK, "?", "warn", f"{len(names)} nodes: {what}: {_folded(tuple(names))}", names)

    def _by_code(self, found: Sequence[Inconsistency], rank: int, glyph: str, role: str, note: str) -> None:
        """One line a node, or one for all nodes with the same XID."""
        codes: dict[tuple[int, Severity | None], list[Inconsistency]] = {}
        for one in found:
            if one.code is not None and one.node not in self._covered:
                codes.setdefault((one.code, one.xid_severity), []).append(one)
        for (code, severity), alike in codes.items():
            step = f"{f', {note}' if note else ''}: {self.policy.step(code, severity)}"
            if len(alike) < failure_domains.MIN_TOGETHER:
                for one in alike:
                    gpu = "" if one.gpu is None else f" GPU {one.gpu}"
                    text = f"{one.node} XID {code}{gpu}{step}"
                    self._append(rank, glyph, role, text, (one.node,), since=one.since, at=one.since or self.now)
                continue
            names = [one.node for one in alike]
            since = [one.since for one in alike if one.since is not None]
            text = f"XID {code} on {len(names)} nodes{step}: {_folded(tuple(names))}"
            self._append(rank, glyph, role, text, names, since=min(since, default=None),
                         at=max(since, default=self.now), wide=f"xid={code}")  # fmt: skip

    def add_silent(self, found: Sequence[Inconsistency], known: bool) -> None:
        """Nodes in service whose exporter gives no data. `known`: the telemetry itself is fresh."""
        loads, nodes = self.cluster.loads, self.cluster.nodes
        newest = max((load.sampled_at for load in loads.values() if load.sampled_at is not None), default=None)
        if known and newest is not None and self.now - newest > SAMPLE_S:
            self._append(_LOOK, "?", "warn", "no exporter was sampled since then, or the clocks differ", since=newest)
        since = min((one.since for one in found if one.since is not None), default=None)
        if len(found) > _MOST_SILENT * len(nodes) and len(found) > failure_domains.MIN_TOGETHER:
            text = f"no telemetry of {len(found):,} of {len(nodes):,} nodes that work"
            self._append(_LOOK, "?", "warn", text, since=since)
            return
        mine = [FailedNode(nodes[one.node], one.since) for one in found
                if one.node not in self._covered and one.node not in self._alerting_nodes]  # fmt: skip
        events, alone = failure_domains.shared_failures(mine, self.cluster, self.now)
        for event in events:
            names = [one.node.name for one in event.failed]
            where = _place_text(event, [one.node for one in event.failed])
            self._append(_LOOK, "?", "warn", f"{where}: {len(names)} nodes work, their exporters are silent", names,
                      since=event.first, event=True)  # fmt: skip
        names = [one.node.name for one in alone]
        since = min((one.since for one in alone if one.since is not None), default=None)
        if len(names) == 1:
            text = f"{names[0]} {alone[0].node.display} in Slurm, its exporter is silent"
            self._append(_LOOK, "?", "warn", text, names, since=since)
        elif names:
            text = f"{len(names)} nodes work, their exporters are silent: {_folded(tuple(names))}"
            self._append(_LOOK, "?", "warn", text, names, since=since)

    def add_storms(self) -> None:
        """XIDs that one job or user causes on many nodes at once."""
        for storm in storms(self.cluster, self.now, self.policy):
            names = self._uncovered(storm.nodes)
            if len(names) < failure_domains.MIN_TOGETHER:
                continue
            codes = ", ".join(map(str, storm.codes))
            # A code that only follows another is ignored: the advice is that of the first other code.
            told = [
                code for code in storm.codes if (one := self.policy.advice_for(code)) is None or one.action != "ignore"
            ]
            step = self.policy.step((told or storm.codes)[0])
            text = f"XID {codes} on {len(names)} nodes{storm.owner_text}: {step}"
            self._append(_STORM, "▲", "warn", text, names, since=storm.since, event=True)

    def add_idle(self, found: Sequence[Inconsistency]) -> None:
        """Nodes whose GPUs are all allocated and all idle, with the users that hold them."""
        mine = [one for one in found if one.node not in self._covered]
        if not mine:
            return
        jobs = self.cluster.jobs
        users = Counter(user for one in mine for user in {jobs[ref].user for ref in one.jobs if ref in jobs})
        who = ", ".join(f"{user} {count}" for user, count in users.most_common(4)) + (", …" if len(users) > 4 else "")
        text = (
            f"{len(mine)} nodes held with all GPUs idle: {who}" if len(mine) > 1 else f"{mine[0].node} {mine[0].text}"
        )
        self._append(_IDLE, "○", "text-dim", text, [one.node for one in mine], wide="state=allocated util<5")

    def add(
        self, text: str, bad: bool, names: Sequence[str] = (), since: int | None = None, event: bool = False
    ) -> None:
        """Add a line built by another module. `event` ranks it with the shared failures."""
        rank = (_EVENT if event else _DOWN) if bad else _LOOK
        at = self.now if event and since is None else None
        self._append(rank, *_LOOK_BY_BAD[bad], text, names, since=since, at=at, event=event)

    def add_loop(self, one: LoopItem) -> None:
        """Add the line of a cooling loop. A leak ranks above everything else."""
        self._covered.update(one.down_nodes)
        self._covered_alerts.update(one.alerts)
        opens = one.opens if len(one.opens) <= _OPENS_CAP else ""
        rank = _LEAK if one.leak else _EVENT if one.bad else _LOOK
        at = self.now if one.since is None else one.since
        self.lines.append(
            _RankedLine(rank, at, AttentionLine(*_LOOK_BY_BAD[one.bad], one.text, one.since, opens, True))
        )

    # -- nodes that are out --------------------------------------------------------------------------------------------

    def add_down(self, failed: Sequence[FailedNode]) -> None:
        """Nodes that failed on their own; several with the same reason share a line."""
        groups: dict[tuple[str, str], list[FailedNode]] = {}
        for one in failed:
            if one.node.name not in self._covered:
                groups.setdefault((one.node.display, one.node.reason or ""), []).append(one)
        for (display, reason), alike in groups.items():
            glyph, role, word = _DOWN_LOOK.get(display, ("✖", "bad", display))
            said = f": {reason}" if reason else ": no reason given" if display == "invalid" else ""
            if len(alike) < failure_domains.MIN_TOGETHER:
                for one in alike:
                    self._append(_DOWN, glyph, role, f"{one.node.name} {word}{said}", (one.node.name,), since=one.since,
                              at=self.now if one.since is None else one.since)  # fmt: skip
                continue
            names = [one.node.name for one in alike]
            newest = max((one.since for one in alike if one.since is not None), default=None)
            text = f"{len(names)} nodes {word}, each by itself{said}: {_folded(tuple(names))}"
            self._append(_DOWN, glyph, role, text, names, since=newest, at=self.now if newest is None else newest,
                      wide=f"state={display}")  # fmt: skip

    def add_drained(self, drained: Sequence[FailedNode]) -> None:
        """Nodes that automation drained within the last day."""
        mine = sorted((one for one in drained if one.node.name not in self._covered), key=lambda one: -(one.since or 0))
        if not mine:
            return
        node, since = mine[0].node, mine[0].since
        told = drain_reasons.classify(node.reason, node.reason_by)
        by = f" by {node.reason_by}" if node.reason_by else ""
        step = "" if told.xid is None or self.policy.advice_for(told.xid) is None else f"; {self.policy.step(told.xid)}"
        last = f"{node.name} {node.display}{by}: {node.reason or 'no reason given'}{step.replace('; drain, ', '; ')}"
        text = last if len(mine) == 1 else f"{len(mine)} drained by automation in 24 h, newest {last}"
        news = since is not None and self.now - since <= NEWS_S
        self._append(_DOWN if news else _DRAINED, "▽", "state-draining", text, [one.node.name for one in mine],
                  since=since, wide="state=drain & age<24h")  # fmt: skip

    def add_forgotten(self, old: Sequence[Node]) -> None:
        """Nodes that have been unavailable for longer than FORGOTTEN_S."""
        names = self._uncovered(node.name for node in old)
        if not names:
            return
        mine = [self.cluster.nodes[name] for name in names]
        bare = sum(1 for node in mine if tickets.ticket_of(node) is None)
        told = "no ticket" if bare == len(mine) else f"{bare} without a ticket" if bare else "all with a ticket"
        since = min(node.reason_at for node in mine if node.reason_at is not None)
        word = "drained" if all("DRAIN" in node.flags for node in mine) else "out"
        text = f"{len(mine)} {word} > 7 days, {told}: {_folded(tuple(names))}"
        self._append(_FORGOTTEN, "▼", "warn", text, names, since=since, wide="(state=drain | state=down) & age>7d")

    # -- alerts --------------------------------------------------------------------------------------------------------

    def add_alerts(self, wanted: Callable[[str], bool]) -> None:
        """Alerts of the wanted severities, one line a name. Alerts of covered nodes are left out."""
        folded: dict[str, list[tuple[Alert, str]]] = {}
        for alert in self._alerts:
            if not wanted(alert.severity or "") or alert.id in self._covered_alerts:
                continue
            name = failure_domains.node_of_alert(alert, self.cluster)
            if name in self._covered or (name and not self._is_news(alert, self.cluster.nodes[name])):
                continue
            folded.setdefault(alert.name, []).append((alert, name))
        for name, alike in folded.items():
            bad = (alike[0][0].severity or "") in CRITICAL_SEVERITIES
            about = self._uncovered(node for _, node in alike if node)
            first = alike[0][0]
            text = _said(first) if len(alike) == 1 else f"{name} ×{len(alike)}"
            if len(alike) > 1 and about:
                racks = {self.cluster.nodes[node].rack for node in about}
                where = f" in {next(iter(racks))}" if len(racks) == 1 and None not in racks and len(about) > 2 else ""
                text = f"{name} on {len(about)} nodes{where}: {_folded(tuple(about))}"
            elif (
                "nodes" in self.cluster.known
                and first.node
                and not about
                and len(alike) == 1
                and first.node not in text
            ):
                text += f" ({first.node}, which Slurm does not know)"
            starts = [alert.starts for alert, _ in alike if alert.starts is not None]
            self._append(_DOWN if bad else _LOOK, *_LOOK_BY_BAD[bad], text, about,
                      since=min(starts, default=None), at=max(starts, default=0))  # fmt: skip

    def _is_news(self, alert: Alert, node: Node) -> bool:
        """Whether an alert adds to the fact that its node is unavailable: a drain answers alerts from before it."""
        if node.display not in UNAVAILABLE or node.reason_at is None:
            return True
        return (alert.severity or "") in CRITICAL_SEVERITIES and (
            alert.starts or 0
        ) > node.reason_at + failure_domains.GAP_S


def _said(alert: Alert) -> str:
    """The name of an alert and its summary."""
    return f"{alert.name}: {alert.summary}" if alert.summary else alert.name


def _lower(text: str) -> str:
    """The text with a lower-case first letter; Slurm keeps its capital."""
    return text if text.startswith("Slurm") else text[:1].lower() + text[1:]


def _common(nodes: Sequence[Node]) -> str:
    """What the reasons of these nodes share: the text that most have, else the most frequent kind."""
    texts = Counter(node.reason for node in nodes if node.reason)
    if not texts:
        return ""
    text, number = texts.most_common(1)[0]
    if number * 2 > len(nodes):
        return str(text)
    kind, _ = Counter(drain_reasons.classify(node.reason, node.reason_by).kind for node in nodes).most_common(1)[0]
    return drain_reasons.KINDS[kind]


def _place_text(event: SharedFailure, nodes: Sequence[Node]) -> str:
    """`R07 pdu-b`, `leaf-R07`, `row A`, `14 racks`."""
    if event.place is None:
        return "at once"
    kind, name = event.place
    if event.place_count > 1:
        return f"{event.place_count} {'switche' if kind == 'switch' else kind}s"
    racks = {node.rack for node in nodes}
    rack = next(iter(racks)) if len(racks) == 1 else None
    if kind == "rack":
        return name if not name.isdigit() else f"rack {name}"
    word = name if kind in name.lower() or not name.isalnum() else f"{kind} {name}"
    return word if rack is None or rack.lower() in name.lower() else f"{rack} {word}"
