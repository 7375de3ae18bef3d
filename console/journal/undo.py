"""Proposes the action that undoes another one; it goes through the gate like any action. Pure.

An undo covers the targets for which the action succeeded and that nothing has changed since. Their state before comes
from the intent in the journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from collectors.jobstate import held
from collectors.model import TAKEN, Cluster, Job, Node, Partition, Row, Silence
from collectors.nodestate import UNAVAILABLE
from console.actions.action import Kind, rows_of, signed_reason
from console.actions.options import Options
from console.actions.plan import Skip, by_reason, target_list
from console.actions.registry import ACTIONS, BY_ID
from console.actions.silences import match

from . import undo_reservations
from .entries import JournalEntry, local_time, matchers, row_before, value_before

#: Shortest remaining time in seconds of a silence or reservation that is created again.
_LEAST_S = 60
#: Seconds of clock difference between hosts that are allowed when comparing a drain's reason with its journal entry.
_SKEW_S = 300


class Undo(Struct, frozen=True, kw_only=True):
    """What to ask the gate for: `plan(action, targets, reason, cluster, options)`."""

    action: str
    targets: tuple[str, ...]
    reason: str | None
    options: Options
    """What it undoes and what it restores: reasons, priorities, a silence's remaining time."""
    notes: tuple[str, ...] = ()
    """Notes to show before the confirmation."""
    rest: tuple[str, ...] = ()
    """Targets that need another action: a second undo proposes it."""


class _Draft(Struct, kw_only=True):
    """An undo under construction: the targets of each inverse action, and those skipped with the reason."""

    groups: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def take(self, action: str, target: str) -> None:
        self.groups.setdefault(action, []).append(target)

    def note(self, text: str, target: str) -> None:
        self.notes.setdefault(text, []).append(target)


def undo_of(
    entry: JournalEntry,
    entries: Mapping[str, JournalEntry],
    cluster: Cluster,
    now: float,
    only: Sequence[str] | None = None,
) -> Undo | str:
    """The action that undoes this entry, or why there is none. `only` limits it to these targets.

    `entries` are all entries of the same journal (`console.journal.entries.join`); they show what was undone
    already.
    """
    if entry.gap:
        return "nothing was done here: it records lines that were written late"
    action = BY_ID.get(entry.action)
    if action is None or action.irreversible:
        return action.irreversible if action is not None else f"{entry.action or 'this'} cannot be undone"
    related = undo_reservations.PROPOSALS.get(action.operation)
    if entry.orphan:
        return "its outcome was not recorded: read it back first, in :journal"
    strange = [target for target in only or () if target not in entry.targets]
    if strange:
        return f"{target_list(strange, _kind(entry))}: not among its targets"
    wanted = [target for target in entry.targets if only is None or target in only]
    back = undone_by(entry, undos_by_plan(entries))
    found = _Draft()
    for target in wanted:
        outcome = entry.outcome.get(target)
        if outcome is None or outcome.state not in {"done", "pending"}:
            found.left[target] = f"it was not done: {outcome.state}" if outcome is not None else "no result"
        elif target in back:
            one = back[target]
            found.left[target] = f"undone already by {one.person}{_at(one)}"
        elif related is not None:
            continue
        elif action.value is not None:
            _value(entry, target, cluster, found, now)
        elif action.toggles:
            _toggle(entry, target, cluster, found)
        elif entry.kind == "node":
            _node(entry, target, cluster, found)
        elif entry.kind == "job":
            _job(entry, target, cluster, found)
    if related is not None:
        return _reservation_undo(
            related, entry, [target for target in wanted if target not in found.left], found, cluster, now
        )
    if entry.kind == "alert":
        return _expire(entry, [target for target in wanted if target not in found.left], found, cluster)
    if entry.kind == "silence":
        return _silence_again(entry, [target for target in wanted if target not in found.left], found, cluster, now)
    return _proposal(entry, found, cluster)


def undos_by_plan(entries: Mapping[str, JournalEntry]) -> dict[str, list[JournalEntry]]:
    """Id of a plan to the actions that undid it."""
    found: dict[str, list[JournalEntry]] = {}
    for one in entries.values():
        if one.undoes:
            found.setdefault(one.undoes, []).append(one)
    return found


def undone_by(entry: JournalEntry, by: Mapping[str, Sequence[JournalEntry]]) -> dict[str, JournalEntry]:
    """Target to the action that undid it, unless that was undone itself. `by` is the result of `undos_by_plan`."""
    return _undone(entry, by, frozenset())


def last_undoable(entries: Mapping[str, JournalEntry], who: str) -> JournalEntry | None:
    """The last action of this person that took place and was not undone."""
    by = undos_by_plan(entries)
    for entry in reversed(list(entries.values())):
        mine = entry.who == who and not entry.gap and not entry.undoes
        if mine and any(entry.took_place(target) for target in entry.targets):
            back = undone_by(entry, by)
            if not back or any(target not in back for target in entry.targets):
                return entry
    return None


def _undone(
    entry: JournalEntry, by: Mapping[str, Sequence[JournalEntry]], above: frozenset[str]
) -> dict[str, JournalEntry]:
    found: dict[str, JournalEntry] = {}
    if not entry.plan or entry.plan in above:
        return found
    for one in by.get(entry.plan, ()):
        again = _undone(one, by, above | {entry.plan})
        stands = [target for target in one.targets if one.took_place(target) and target not in again]
        # An undo may target silences where the action targeted alerts: any of its targets then counts for all of these.
        met = entry.targets if one.kind != entry.kind and stands else stands
        found |= dict.fromkeys((target for target in met if target in entry.targets), one)
    return found


def _node(entry: JournalEntry, target: str, cluster: Cluster, found: _Draft) -> None:
    before, row = row_before(entry, target), cluster.nodes.get(target)
    if not isinstance(before, Node):
        found.left[target] = "the journal does not say how it was"
        return
    action = BY_ID[entry.action]
    inverse = action.inverse or ""
    if action.takes_out:
        own = entry.reasons.get(target, entry.reason)
        if "DRAIN" in before.flags:
            found.left[target] = f"it was {before.display} before{signed_reason(before)}, and stays so"
        elif row is not None and row.reason and own and own.strip('" ') != row.reason.strip('" '):
            # An extended reason counts as changed: the editor has a further reason for the drain.
            found.left[target] = f"it has another reason now{signed_reason(row)}"
        elif _applies(inverse, row, cluster, target, found):
            found.take(inverse, target)
            if row is not None and _drained_again(entry, row):
                found.note(f"it was drained again since with the same reason, by {row.reason_by}", target)
            if before.reason and before.display in UNAVAILABLE:
                found.note(
                    f"it was {before.display} before{signed_reason(before)}; that reason does not come back", target
                )
        return
    if _applies(inverse, row, cluster, target, found):
        found.take(inverse, target)
        if before.reason:
            found.reasons[target] = before.reason
        if "DRAIN" not in before.flags:
            found.note(f"it was {before.display} before and not drained: it will be drained", target)


def _drained_again(entry: JournalEntry, row: Node) -> bool:
    """Whether another person set the same reason later."""
    at = entry.proven_at or entry.at
    later = at is not None and row.reason_at is not None and row.reason_at > at + _SKEW_S
    return later and row.reason_by is not None and row.reason_by != entry.who


def _job(entry: JournalEntry, target: str, cluster: Cluster, found: _Draft) -> None:
    before, row = row_before(entry, target), cluster.jobs.get(target)
    if not isinstance(before, Job):
        found.left[target] = "the journal does not say how it was"
        return
    # Restore the same kind of hold: an owner's hold and an administrator's are two actions.
    own = BY_ID[entry.action]
    action = (_hold_of(before) if held(before) else own.inverse if own.target_state else own.id) or ""
    if _applies(action, row, cluster, target, found):
        if row is not None and (why := _not_as_left(entry, row)):
            found.left[target] = why
        else:
            found.take(action, target)


def _hold_of(job: Job) -> str | None:
    """The action that holds a job as this one is held: by its owner, else by an administrator."""
    by_reason = {one.target_state: one.id for one in ACTIONS if one.kind == "job" and one.target_state}
    return by_reason.get(job.reason or "") or by_reason.get("JobHeldAdmin")


def _not_as_left(entry: JournalEntry, job: Job) -> str | None:
    """How a job's hold was changed since by others; None when it is as this action left it."""
    given = BY_ID[entry.action].target_state
    if not given:
        return f"it is held again: {job.reason}" if held(job) else None
    if not held(job):
        return f"it is not held any more: {job.state}"
    # A hold by a user who is no Operator is the owner's own hold.
    own = job.reason == "JobHeldUser" and job.user == entry.who
    return None if own or job.reason == given else f"it is held otherwise now: {job.reason}"


def _value(entry: JournalEntry, target: str, cluster: Cluster, found: _Draft, at: float) -> None:
    """Restore a target's previous value, unless it was changed since."""
    action = BY_ID[entry.action]
    back = BY_ID.get(action.inverse or "")
    row = rows_of(action, cluster).get(target)
    before = value_before(entry, target)
    assert action.value is not None
    now = None if row is None else action.value.current(row)
    if back is None:
        found.left[target] = f"{action.label} cannot be undone"
    elif before is None:
        found.left[target] = f"the journal does not say which {action.value.noun} it had"
    elif now is not None and now == before:
        found.left[target] = f"its {action.value.noun} is as before"
    elif now is not None and now != entry.values.get(target):
        found.left[target] = f"it has another {action.value.noun} now: {now}"
    elif back.value is not None and back.value.not_restorable and (why := back.value.not_restorable(before, at)):
        found.left[target] = why
    elif _applies(back.id, row, cluster, target, found):
        found.take(back.id, target)
        found.values[target] = before
        if action.value.undo_note:
            found.note(action.value.undo_note, target)


def _toggle(entry: JournalEntry, target: str, cluster: Cluster, found: _Draft) -> None:
    """Actions that are each other's inverse need no state from before."""
    action = BY_ID[entry.action]
    inverse = action.inverse or ""
    before = row_before(entry, target)
    if isinstance(before, Partition) and before.state != "UP" and BY_ID[inverse].target_state == "UP":
        found.left[target] = f"it was {before.state} before, and {inverse} would open it"
        return
    row = rows_of(action, cluster).get(target)
    if not _applies(inverse, row, cluster, target, found):
        return
    if isinstance(row, Partition) and row.state != action.target_state:
        found.left[target] = f"it is {row.state} now, and this made it {action.target_state}"
    else:
        found.take(inverse, target)


def _applies(action: str, row: Row | None, cluster: Cluster, target: str, found: _Draft) -> bool:
    """Whether the inverse action applies to the target as it is now."""
    why = "it is not known any more" if row is None else BY_ID[action].refuse(cluster, row)
    if why:
        found.left[target] = why
    return not why


def _proposal(entry: JournalEntry, found: _Draft, cluster: Cluster) -> Undo | str:
    if not found.groups:
        return _nothing(found, entry)
    first = next((one for one in (BY_ID[entry.action].inverse, *found.groups) if one in found.groups), "")
    assert first
    targets = tuple(found.groups.pop(first))
    notes = _notes(found, entry, targets)
    for action, more in found.groups.items():
        notes.append(f"{target_list(more, _kind(entry))}: {BY_ID[action].label}, by a second undo")
    return Undo(
        action=first,
        targets=targets,
        reason=_reason(entry) if BY_ID[first].needs_reason else None,
        options=Options(
            undoes=entry.plan,
            reasons={target: text for target, text in found.reasons.items() if target in targets},
            values={target: to for target, to in found.values.items() if target in targets},
        ),
        notes=tuple(notes),
        rest=tuple(target for more in found.groups.values() for target in more),
    )


def _reservation_undo(
    proposal: undo_reservations.Proposal,
    entry: JournalEntry,
    wanted: Sequence[str],
    found: _Draft,
    cluster: Cluster,
    now: float,
) -> Undo | str:
    """Undo of reservations and blocked users, which may have other targets."""
    if not wanted:
        return _nothing(found, entry)
    back = proposal(entry, wanted, cluster, now)
    if isinstance(back, str):
        return back
    inverse = BY_ID[entry.action].inverse or ""
    reason = back.reason or (_reason(entry) if BY_ID[inverse].needs_reason else None)
    options = Options(undoes=entry.plan, settings=back.settings, seconds=back.seconds)
    notes = (*_notes(found, entry, wanted), *back.notes)
    return Undo(action=inverse, targets=back.targets, reason=reason, options=options, notes=notes, rest=back.rest)


def _expire(entry: JournalEntry, wanted: Sequence[str], found: _Draft, cluster: Cluster) -> Undo | str:
    """Expire the silences that an ack or a silence made, found by author, comment and matchers."""
    if not wanted:
        return _nothing(found, entry)
    if not entry.silences:
        return "the journal does not say which silences it made: lift them on the alerts screen (:alerts)"
    standing: dict[str, Silence] = {}
    more: dict[str, None] = {}
    for made in entry.silences:
        about = made.get("alerts")
        alerts = [str(one) for one in about] if isinstance(about, list) else []
        if set(alerts).isdisjoint(wanted):
            continue
        conditions = frozenset(matchers(made.get("matchers")))
        same = [one for one in cluster.silences.values() if one.by == made.get("by")
                and one.comment == made.get("comment") and frozenset(one.matchers) == conditions]  # fmt: skip
        if same:
            one = min(same, key=lambda one: abs((one.starts or 0) - (entry.at or 0)))
            standing[one.id] = one
            more |= dict.fromkeys(alert for alert in alerts if alert not in wanted)
    if not standing:
        return "no silence of it is active any more: it has ended, or was expired"
    notes = _notes(found, entry, wanted)
    if more:
        notes.append(f"the same silences keep {len(more):,} more of its alerts quiet: these ring again too")
    inverse = BY_ID[entry.action].inverse or ""
    return Undo(action=inverse, targets=tuple(standing), reason=None, options=Options(undoes=entry.plan),
                notes=tuple(notes))  # fmt: skip


def _silence_again(
    entry: JournalEntry, wanted: Sequence[str], found: _Draft, cluster: Cluster, now: float
) -> Undo | str:
    """Silence again, for the remaining time, the alerts of an expired silence."""
    before: list[Silence] = []
    for target in wanted:
        one = row_before(entry, target)
        if isinstance(one, Silence) and one.ends is not None and one.ends - now >= _LEAST_S:
            before.append(one)
        else:
            found.left[target] = "it would have ended by now"
    if not before:
        return _nothing(found, entry)
    alerts = [one.id for one in cluster.alerts.values() if any(match(silence, one) for silence in before)]
    if not alerts:
        return "no alert that it kept quiet rings now"
    seconds = int(min(one.ends or 0 for one in before) - now)
    notes = _notes(found, entry, wanted)
    if len({one.ends for one in before}) > 1:
        notes.append("they would have ended at different times: all will end with the first of them")
    comment = before[0].comment
    made = BY_ID[BY_ID[entry.action].inverse or ""]
    action = next(one.id for one in ACTIONS if one.operation == made.operation and one.marks_taken == before[0].taken)
    return Undo(action=action, targets=tuple(alerts), reason=comment.removeprefix(TAKEN) or _reason(entry),
                options=Options(undoes=entry.plan, seconds=seconds), notes=tuple(notes))  # fmt: skip


def _notes(found: _Draft, entry: JournalEntry, targets: Sequence[str]) -> list[str]:
    kind = _kind(entry)
    notes = [
        f"{target_list(names, kind)}: {text}"
        for text, every in found.notes.items()
        if (names := [one for one in every if one in targets])
    ]
    if found.left:
        notes.append("left alone: " + by_reason([Skip(target, why) for target, why in found.left.items()], kind))
    return notes


def _nothing(found: _Draft, entry: JournalEntry) -> str:
    whys = dict.fromkeys(found.left.values())
    if len(whys) == 1:
        return next(iter(whys))
    return "nothing to undo: " + by_reason([Skip(target, why) for target, why in found.left.items()], _kind(entry))


def _kind(entry: JournalEntry) -> Kind:
    return BY_ID[entry.action].kind


def _reason(entry: JournalEntry) -> str:
    return f"undo of {entry.action} by {entry.person}{_at(entry)}"


def _at(entry: JournalEntry) -> str:
    return "" if entry.at is None else f" at {local_time(entry.at)}"
