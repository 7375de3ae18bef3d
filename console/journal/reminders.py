"""Reminders for the hand-over: unresolved changes such as partitions down, unused reservations, held jobs, old
silences, blocked users, and nodes drained for days without a ticket. Pure.

Who made the change and when comes from the journal if it was made with this console, otherwise from the facts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.jobstate import held
from collectors.model import Cluster, Operation
from collectors.nodeset import fold, names_in
from collectors.slurm import operations
from console.actions.registry import BY_ID
from console.health import drain_reasons
from widgets.units import UNKNOWN, duration, when

from .entries import JournalEntry
from .reader import JournalSnapshot

DAY_S = 86_400
#: Seconds without a job in a reservation, or with a hold on a job, after which it is listed.
IDLE_S = DAY_S
#: Seconds after which an active silence is listed.
QUIET_S = 3 * DAY_S
_NEEDED = ("partitions", "reservations", "jobs", "silences", "nodes")


class Reminder(Struct, frozen=True, kw_only=True):
    """One unresolved change."""

    kind: str
    """partition, reservation, user, job, silence or node."""
    text: str
    since: float | None
    opens: str = ""
    """A filter of the node list or a job id to open; "" for none."""


def reminders(cluster: Cluster, journal: JournalSnapshot, now: float) -> tuple[Reminder, ...]:
    """All unresolved changes by kind, oldest first. Kinds of facts never read are left out: see `unread_kinds`."""
    last = _last(journal.entries)
    found = [
        *_partitions(cluster, last, now), *_reservations(cluster, last, now), *_users(last, now),
        *_jobs(cluster, last, now), *_silences(cluster, now), *_nodes(cluster, now),
    ]  # fmt: skip
    order = {kind: at for at, kind in enumerate(dict.fromkeys(one.kind for one in found))}
    return tuple(sorted(found, key=lambda one: (order[one.kind], one.since or 0)))


def unread_kinds(cluster: Cluster) -> tuple[str, ...]:
    """The kinds of facts needed here that were never read."""
    return tuple(kind for kind in _NEEDED if kind not in cluster.known)


def empty_text(missing: Sequence[str]) -> str:
    """The text for an empty list, given the kinds of facts that were never read."""
    return f"unknown: {', '.join(missing)} were never read" if missing else "nothing"


def _last(entries: Mapping[str, JournalEntry]) -> dict[tuple[str, str], JournalEntry]:
    """Kind and name of a target to the last action on it that took place."""
    found: dict[tuple[str, str], JournalEntry] = {}
    for entry in entries.values():
        for target in entry.targets:
            if not entry.gap and entry.took_place(target):
                found[entry.kind, target] = entry
    return found


def _operation(entry: JournalEntry) -> Operation | None:
    return BY_ID[entry.action].operation if entry.action in BY_ID else None


def _by(entry: JournalEntry | None, last: Collection[Operation], now: float) -> str:
    """Who did it and when, if the last action on the target did one of these; otherwise ""."""
    if entry is None or _operation(entry) not in last:
        return ""
    at = "" if entry.at is None else f" {when(entry.at, now=now)}"
    return f", by {entry.person}{at}" + (f': "{entry.reason}"' if entry.reason else "")


def _partitions(cluster: Cluster, last: Mapping[tuple[str, str], JournalEntry], now: float) -> Iterable[Reminder]:
    for part in cluster.partitions.values():
        if part.state != "UP":
            entry = last.get(("partition", part.name))
            by = _by(entry, {operations.PARTITION_DOWN}, now)
            since = entry.at if by and entry is not None else None
            opens = f"partition={part.name}"
            yield Reminder(kind="partition", text=f"{part.name} is {part.state}{by}", since=since, opens=opens)


def _reservations(cluster: Cluster, last: Mapping[tuple[str, str], JournalEntry], now: float) -> Iterable[Reminder]:
    if "jobs" not in cluster.known:
        return
    for one in cluster.reservations.values():
        if one.state != "ACTIVE" or one.starts is None or now - one.starts < IDLE_S:
            continue
        names = names_in(one.nodes)
        if not names or any(cluster.jobs_on.get(name) for name in names):
            continue
        ends = UNKNOWN if one.ends is None else f"ends in {duration(one.ends - now)}"
        by = _by(last.get(("reservation", one.name)), {operations.RESERVE, operations.EXTEND}, now)
        text = f"{one.name}: no job runs in it, active for {duration(now - one.starts)}, {ends}{by}"
        yield Reminder(kind="reservation", text=text, since=one.starts, opens=fold(names))


def _users(last: Mapping[tuple[str, str], JournalEntry], now: float) -> Iterable[Reminder]:
    for (kind, name), entry in last.items():
        if kind == "user" and _operation(entry) == operations.BLOCK_USER:
            yield Reminder(
                kind="user", text=f"{name} was blocked{_by(entry, {operations.BLOCK_USER}, now)}", since=entry.at
            )


def _jobs(cluster: Cluster, last: Mapping[tuple[str, str], JournalEntry], now: float) -> Iterable[Reminder]:
    for job in cluster.jobs.values():
        # A user's own hold is the user's business.
        if not held(job) or job.reason == "JobHeldUser":
            continue
        entry = last.get(("job", job.id))
        by = _by(entry, {operations.HOLD, operations.USER_HOLD, operations.REQUEUE_HOLD}, now)
        since = entry.at if by and entry is not None else job.submitted
        if since is not None and now - since >= IDLE_S:
            waits = "" if by else f", submitted {duration(now - since)} ago"
            text = f"{job.id} of {job.user} is held ({job.reason or job.state}){waits}{by}"
            yield Reminder(kind="job", text=text, since=since, opens=job.id)


def _silences(cluster: Cluster, now: float) -> Iterable[Reminder]:
    seen: set[tuple[str, str]] = set()
    for one in sorted(cluster.silences.values(), key=lambda one: one.starts or 0):
        if one.state != "active" or one.starts is None or now - one.starts < QUIET_S or (one.by, one.comment) in seen:
            continue
        seen.add((one.by, one.comment))
        ends = "" if one.ends is None else f", ends in {duration(one.ends - now)}"
        text = f"{one.comment or one.id}: active for {duration(now - one.starts)}{ends}, by {one.by or 'unknown'}"
        yield Reminder(kind="silence", text=text, since=one.starts)


def _nodes(cluster: Cluster, now: float) -> Iterable[Reminder]:
    for one in drain_reasons.drain_groups(cluster, now) if "nodes" in cluster.known else ():
        if one.forgotten and one.ticket is None:
            why = f': "{one.reason}"' if one.reason else ""
            age = "" if one.since is None else f" for {duration(now - one.since)}"
            text = f"{fold(one.nodes)} {', '.join(one.displays)}{age}, no ticket{why}"
            yield Reminder(kind="node", text=text, since=one.since, opens=fold(one.nodes))
