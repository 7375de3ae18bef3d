"""The contents of a report as one value, and how it is computed from the inputs. Pure.

None is unknown, an empty tuple is none. Times are seconds since the epoch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct, field

from collectors.jobstate import held
from collectors.model import Cluster
from collectors.nodeset import fold, natural_key
from console.alerts.groups import alert_groups
from console.health import drain_reasons
from console.health.unknown_reasons import unread_sources
from console.health.xid_policy import Policy
from console.journal.entries import JournalEntry, outcome_text, targets_text
from console.journal.reader import JournalSnapshot
from console.journal.reminders import reminders, unread_kinds
from widgets.chips import is_stale

from .period import Span
from .shift_watch import LostJob, Outage, Peak, ShiftFacts, Wait

#: Nodes that go out of service for the same reason within this many seconds count as one event.
_TOGETHER_S = 300.0
#: Silences that end within this many seconds concern the next shift.
_SOON_S = 12 * 3600
_DIGITS = re.compile(r"\d+")


class ReportedOutage(Struct, frozen=True, kw_only=True):
    """Nodes that went out of service together."""

    nodes: str
    """Folded."""
    count: int
    rack: str | None
    state: str
    kind: str
    reason: str | None
    by: str | None
    person: bool
    """True when a person took them out or rebooted them; False when they failed or a program drained them."""
    since: float | None
    back: int
    back_at: float | None
    """When the last node that returned came back."""


class OpenNodes(Struct, frozen=True, kw_only=True):
    """Nodes that are out of service now, for one reason."""

    nodes: str
    count: int
    states: tuple[str, ...]
    kind: str
    reason: str | None
    by: str | None
    who: str
    ticket: str | None
    since: int | None
    jobs: int | None
    """Number of jobs still on them."""


class OpenAlert(Struct, frozen=True, kw_only=True):
    """Alerts that are not acked."""

    title: str
    severity: str
    alerts: int
    since: int | None


class EndingSilence(Struct, frozen=True, kw_only=True):
    """A silence that ends soon."""

    comment: str
    by: str
    ends: int


class ReportedAction(Struct, frozen=True, kw_only=True):
    """One action."""

    at: float | None
    who: str
    action: str
    targets: str
    reason: str | None
    result: str
    undone: str
    """How much of it was undone, "" for nothing."""
    open: bool
    """True when the outcome is unknown or not verified."""


class Loss(Struct, frozen=True, kw_only=True):
    """GPU-hours lost for one kind of reason."""

    kind: str
    gpu_hours: float
    nodes: int


class ShiftReport(Struct, frozen=True, kw_only=True):
    """The whole report."""

    cluster: str
    demo: bool
    since: float
    until: float
    made: float
    by: str
    limits: tuple[str, ...]
    """What is unknown, and why."""
    watched: bool
    """False when nothing of that period was recorded: events may have gone unseen."""
    open_nodes: tuple[OpenNodes, ...] | None
    open_alerts: tuple[OpenAlert, ...] | None
    silences_ending: tuple[EndingSilence, ...] | None
    jobs_held: int | None
    left: tuple[str, ...] | None
    """Unresolved changes (console.journal.reminders); None when the journal or the facts are missing."""
    left_unknown: tuple[str, ...]
    """Kinds of facts that `left` would need and that were never read."""
    failing: tuple[str, ...]
    """Sources that fail now, with their faults."""
    broke: tuple[ReportedOutage, ...] | None
    returned: tuple[str, int] | None
    """Nodes that were out before the period and returned in it: folded, and their number."""
    alerts: tuple[tuple[str, int, float], ...] | None
    """Name, number of alerts that started, and time of the first."""
    silent: tuple[tuple[str, float], ...]
    """Sources that failed, with the seconds without data."""
    actions: tuple[ReportedAction, ...] | None = field(name="deeds")
    losses: tuple[Loss, ...] | None
    losses_whole: bool
    """False when the losses are a lower bound."""
    uncounted: str
    """Nodes that were out and whose number of GPUs is unknown, folded."""
    peak: Peak | None
    budget_w: float | None
    xids: tuple[tuple[int, str, int, str], ...] | None
    """Code, folded nodes, number of GPUs, and the policy's advice."""
    wait: Wait | None
    jobs_known: bool
    lost: tuple[LostJob, ...]


def make(
    cluster: Cluster, past: ShiftFacts, journal: JournalSnapshot, span: Span, policy: Policy, *, peak: Peak | None,
    limits: Sequence[str],
    journal_fault: str, by: str, made: float, mono: float, watched: bool, whole: bool,
) -> ShiftReport:  # fmt: skip
    """The report of a period, from what was seen in it, the actions, and the facts at its end."""
    known, end = cluster.known, span.until
    if journal_fault:
        limits = [*limits, f"the journal cannot be read: {journal_fault}"]
    stale = sorted(
        name for name, one in cluster.sources.items() if one.ok and one.tried and is_stale(one, mono)
    )  # fmt: skip
    if stale:
        limits = [*limits, f"these facts are old: {', '.join(stale)}"]
    if known and (missing := unread_sources(cluster, ("nodes", "jobs", "loads", "alerts"))):
        limits = [*limits, f"not read: {', '.join(missing)}"]
    entries = [one for one in journal.entries.values() if one.at is None or span.since <= one.at <= span.until]
    return ShiftReport(
        cluster=cluster.name,
        demo=cluster.demo,
        since=span.since,
        until=span.until,
        made=made,
        by=by,
        limits=tuple(limits),
        watched=watched,
        open_nodes=_open_nodes(cluster, end) if "nodes" in known else None,
        open_alerts=_open_alerts(cluster, end, policy) if "alerts" in known else None,
        silences_ending=_ending(cluster, end) if "silences" in known else None,
        jobs_held=sum(map(held, cluster.jobs.values())) if "jobs" in known else None,
        left=tuple(one.text for one in reminders(cluster, journal, end)) if known and not journal_fault else None,
        left_unknown=unread_kinds(cluster),
        failing=tuple(f"{name}: {one.fault}" for name, one in cluster.sources.items() if one.fault is not None),
        broke=_events([one for one in past.outages if one.since is not None and one.since >= span.since], end)
        if past.nodes_known else None,
        returned=_returned(past.outages, span) if past.nodes_known else None,
        alerts=tuple((name, count, first) for name, (count, first) in past.alerts.items())
        if past.alerts_known else None,
        silent=tuple(past.silent.items()),
        actions=None if journal_fault else tuple(_reported(one, journal) for one in entries if not one.gap),
        losses=_losses(past, span) if past.nodes_known else None,
        losses_whole=whole and not past.uncounted,
        uncounted=fold(past.uncounted),
        peak=peak,
        budget_w=cluster.power.budget_w if cluster.power is not None else None,
        xids=_xids(past, policy) if past.xids_known else None,
        wait=past.wait,
        jobs_known=past.jobs_known,
        lost=past.lost,
    )  # fmt: skip


def _open_nodes(cluster: Cluster, now: float) -> tuple[OpenNodes, ...]:
    return tuple(
        OpenNodes(nodes=fold(one.nodes), count=len(one.nodes), states=one.displays, kind=one.label, reason=one.reason,
                  by=one.by, who=one.author, ticket=one.ticket, since=one.since,
                  jobs=None if one.jobs is None else len(one.jobs))
        for one in drain_reasons.drain_groups(cluster, now)
    )  # fmt: skip


def _open_alerts(cluster: Cluster, now: float, policy: Policy) -> tuple[OpenAlert, ...]:
    return tuple(
        OpenAlert(title=one.title, severity=one.severity, alerts=len(one.alerts), since=one.since)
        for one in alert_groups(cluster, now, policy)
        if one.state == "active" and one.severity != "info"
    )


def _ending(cluster: Cluster, now: float) -> tuple[EndingSilence, ...]:
    found = [one for one in cluster.silences.values() if one.state == "active" and one.ends is not None]
    soon = sorted((one.ends, one.id, one) for one in found if one.ends is not None and 0 <= one.ends - now <= _SOON_S)
    return tuple(EndingSilence(comment=one.comment, by=one.by, ends=ends) for ends, _, one in soon)


def _events(outages: Iterable[Outage], end: float) -> tuple[ReportedOutage, ...]:
    """Nodes that went out for one reason within a short time as one event; by time."""
    chains: dict[tuple[Any, ...], list[list[Outage]]] = {}
    for one in sorted(outages, key=lambda one: one.since or 0.0):
        key = (one.kind, _DIGITS.sub("#", one.reason or ""), one.by, _asked_for(one))
        lines = chains.setdefault(key, [])
        if lines and (one.since or 0.0) - (lines[-1][-1].since or 0.0) <= _TOGETHER_S:
            lines[-1].append(one)
        else:
            lines.append([one])
    found = [_event(line, end) for lines in chains.values() for line in lines]
    return tuple(sorted(found, key=lambda one: (one.since or 0.0, one.nodes)))


def _asked_for(one: Outage) -> bool:
    """Whether a person took the node out. A requested reboot counts too, until it is overdue and the node is down."""
    return one.who == "human" or one.display == "rebooting"


def _event(line: Sequence[Outage], end: float) -> ReportedOutage:
    names = sorted({one.node for one in line}, key=natural_key)
    last = {one.node: one for one in line}
    back = [one.until for one in last.values() if one.until is not None and one.until <= end]
    racks, states = {one.rack for one in line}, [one.display for one in line]
    return ReportedOutage(
        nodes=fold(names), count=len(names), rack=racks.pop() if len(racks) == 1 else None,
        state=max(set(states), key=lambda word: (states.count(word), word)), kind=drain_reasons.KINDS[line[0].kind],
        reason=line[0].reason, by=line[0].by, person=_asked_for(line[0]), since=line[0].since, back=len(back),
        back_at=max(back, default=None),
    )  # fmt: skip


def _returned(outages: Iterable[Outage], span: Span) -> tuple[str, int]:
    names = {one.node for one in outages
             if one.until is not None and (one.since is None or one.since < span.since) and one.until <= span.until
             }  # fmt: skip
    return fold(names), len(names)


def _reported(one: JournalEntry, journal: JournalSnapshot) -> ReportedAction:
    states = {outcome.state for outcome in one.outcome.values()}
    under_way = one.key in journal.under_way
    return ReportedAction(
        at=one.at, who=journal.users.get((one.who, one.uid), one.person), action=one.action, targets=targets_text(one),
        reason=one.reason, result="under way" if under_way else outcome_text(one),
        undone=journal.undone.get(one.key, ""),
        open=one.orphan or not states.isdisjoint({"unknown", "pending"}),
    )  # fmt: skip


def _losses(past: ShiftFacts, span: Span) -> tuple[Loss, ...]:
    nodes: dict[str, set[str]] = {}
    for one in past.outages:
        if one.until is None or one.until > span.since:
            nodes.setdefault(one.kind, set()).add(one.node)
    found = [Loss(kind=drain_reasons.KINDS[kind], gpu_hours=hours, nodes=len(nodes.get(kind, ())))
             for kind, hours in past.gpu_hours.items()]  # fmt: skip
    return tuple(sorted(found, key=lambda one: -one.gpu_hours))


def _xids(past: ShiftFacts, policy: Policy) -> tuple[tuple[int, str, int, str], ...]:
    by_code: dict[int, dict[str, int]] = {}
    for node, codes in past.xids.items():
        for code, gpus in codes.items():
            by_code.setdefault(code, {})[node] = gpus
    found = [(code, fold(nodes), sum(nodes.values()), policy.step(code) if policy.advice_for(code) else "")
             for code, nodes in by_code.items()]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (-one[2], one[0])))
