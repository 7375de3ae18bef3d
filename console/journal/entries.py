"""Journal entries: one for each action, with its intent, its result and later readings joined. Pure.

The file may have been tampered with: values that do not have the form that the gate writes are dropped, and every text
is cleaned again. `console.journal.writer.verify` checks whether the file is intact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct, field

from collectors.clean import clean
from collectors.decoding import convert
from collectors.model import Alert, Job, Matcher, Node, Partition, Reservation, Row, Silence, User
from collectors.nodeset import fold
from collectors.nodestate import display_word, parse_state
from console.actions import verification
from console.actions.action import Expected
from console.actions.registry import BY_ID

Record = Mapping[str, Any]
#: States of `console.gate.outcome.SendResult`, in the order in which they are shown.
STATES = ("done", "sent", "pending", "unknown", "failed", "dropped")
#: Outcomes after which the machine may have changed.
TOOK_PLACE = frozenset({"done", "sent", "pending", "unknown"})
_FORMS = {
    "node": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), "job": re.compile(r"[0-9]+(?:[_+][0-9]+)?"),
    "alert": re.compile(r"[A-Za-z0-9]+"), "silence": re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*"),
    **dict.fromkeys(("partition", "reservation", "user"), re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")),
}  # fmt: skip


#: Kinds of targets whose rows the journal keeps in full (`console.gate.outcome.journal_row`).
_FULL_ROWS = {"partition": Partition, "reservation": Reservation, "user": User}


class TargetOutcome(Struct, frozen=True):
    """The outcome of one target, as the journal has it."""

    state: str
    why: str = ""
    aside: bool = False
    """Of a roll-out in waves: the node was not fit and was set aside."""


class JournalEntry(Struct, frozen=True, kw_only=True, eq=False):
    """One action, as far as the journal knows it. None or empty: not recorded."""

    key: str
    """Identifies the entry on a screen: the plan's id, made unique (a tampered file may repeat an id)."""
    plan: str
    at: float | None = None
    """When the intent was written, seconds since the epoch."""
    who: str = ""
    """The login of the person; empty when unknown."""
    uid: int | None = None
    host: str | None = None
    pid: int | None = None
    began: int | None = None
    """When that process started, in clock ticks since boot."""
    ssh: str | None = None
    session: str | None = None
    cluster: str = ""
    action: str = ""
    kind: str = ""
    targets: tuple[str, ...] = ()
    reason: str | None = None
    argv: tuple[tuple[str, ...], ...] = ()
    age_s: float | None = None
    seen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Target to its row just before the action."""
    dropped: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Target to its own reason, where it differs."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Target to the value that the action set; `seen` holds the value before under "value"."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the whole action: a reservation's end, its users."""
    resume_after_s: int | None = None
    silences: tuple[Mapping[str, Any], ...] = ()
    """The silences to create."""
    undoes: str | None = None
    """Id of the plan that it undoes."""
    broke_glass: str | None = None
    outcome: Mapping[str, TargetOutcome] = field(default_factory=dict)
    ended: bool = False
    """A result was written, or every target was read back."""
    sent: tuple[Mapping[str, Any], ...] = ()
    """What each command returned."""
    failure: str | None = None
    note: str | None = None
    proven_at: float | None = None
    """When its last read-back was written."""
    gap: int = 0
    """Not an action: the number of lines that could not be written in time."""
    sum: str | None = None
    """Hash of the intent's line."""
    text: str = ""
    """The text that a search matches, in lower case."""

    @property
    def orphan(self) -> bool:
        """True when no result was written: the action is under way, or its outcome is unknown."""
        return not self.ended and not self.gap

    @property
    def person(self) -> str:
        """The person who did it, as a login or a uid."""
        return self.who or ("unknown" if self.uid is None else f"uid {self.uid}")

    def took_place(self, target: str) -> bool:
        """False when nothing changed on that target, as far as is known."""
        outcome = self.outcome.get(target)
        return target in self.targets and (outcome.state in TOOK_PLACE if outcome is not None else self.orphan)


def join(records: Iterable[Record], before: Mapping[str, JournalEntry] | None = None) -> dict[str, JournalEntry]:
    """The entries of these records, oldest first, on top of the entries of earlier records."""
    entries = dict(before or {})
    for record in records:
        event = text(record.get("event"))
        plan = text(record.get("id")) or ""
        if event == "intent":
            key = plan if plan and plan not in entries else f"{plan}#{len(entries)}"
            entries[key] = _entry_of(key, plan, record)
        elif event == "gap":
            key = f"gap#{len(entries)}"
            entries[key] = _entry_of(key, "", record)
        elif event in {"result", "verified"} and plan:
            entries[plan] = _with_outcome(entries.get(plan) or _entry_of(plan, plan, record), record)
    return entries


def outcome_text(entry: JournalEntry) -> str:
    """The outcome as text: `8 done`, `7 done, 1 unknown`, `no result`, `refused`."""
    if entry.gap:
        return "written later"
    if entry.orphan:
        return "no result"
    aside = sum(one.aside for one in entry.outcome.values())
    found = counts_text([one.state for one in entry.outcome.values()]) or entry.note or "nothing was sent"
    return found + (f", of them {aside:,} set aside" if aside else "")


def counts_text(states: Sequence[str]) -> str:
    """The counts of each state: `7 done, 1 unknown`; `3 refused` when Slurm refused all of them."""
    if states and all(state == "failed" for state in states):
        return f"{len(states):,} refused"
    known = [state for state in STATES if state in states]
    return ", ".join(f"{states.count(state):,} {state}" for state in known)


def targets_text(entry: JournalEntry) -> str:
    """The targets as text: nodes folded, jobs by id, alerts by name and node, silences by comment."""
    if entry.gap:
        return f"{entry.gap:,} line{'s' if entry.gap != 1 else ''} that only syslog had"
    if entry.kind == "alert":
        about: dict[str, list[str]] = {}
        for target in entry.targets:
            seen = entry.seen.get(target, {})
            about.setdefault(text(seen.get("name")) or target, []).append(text(seen.get("node")) or "")
        return ", ".join(" ".join(filter(None, (name, _folded(tuple(nodes))))) for name, nodes in about.items())
    if entry.kind == "silence":
        comments = dict.fromkeys(text(entry.seen.get(target, {}).get("comment")) or target for target in entry.targets)
        return ", ".join(comments)
    if entry.kind == "node":
        return _folded(entry.targets)
    return ",".join(entry.targets[:10]) + (f" and {len(entry.targets) - 10:,} more" if len(entry.targets) > 10 else "")


def line_text(record: Record) -> str:
    """One record as one line of text."""
    one = _entry_of("", "", record)
    event = text(record.get("event")) or "unreadable"
    if event in {"result", "verified"}:
        one = _with_outcome(one, record)
    if event == "verified":
        one = msgspec.structs.replace(one, targets=tuple(one.outcome))
    parts = [f"{str(record.get('time'))[:19]}Z" if one.at is not None else "", one.person if one.at is not None else "",
             event, one.action, targets_text(one), f'"{one.reason}"' if one.reason else ""]  # fmt: skip
    if event in {"result", "verified"}:
        parts.append(outcome_text(one))
        parts += list(dict.fromkeys(one_outcome.why for one_outcome in one.outcome.values() if one_outcome.why))[:1]
        parts.append(one.note or "" if one.outcome else "")
    if one.undoes:
        parts.append(f"undoes {one.undoes}")
    if event in {"intent", "result", "verified"}:
        parts.append(f"[{text(record.get('id'))}]")
    return clean("  ".join(part for part in parts if part))


def outcome_of(orphan: JournalEntry, rows: Mapping[str, Row]) -> dict[str, dict[str, str]]:
    """The outcome of each target of an action without a result: `{"gpu0001": {"state": "done", "why": …}}`.

    `rows` are the targets as read just now. Never a failure: a change that is not visible may have been made and
    undone.
    """
    outcomes = {}
    for target in orphan.targets:
        before, row = row_before(orphan, target), rows.get(target)
        sent = Expected(
            reason=orphan.reasons.get(target, orphan.reason),
            resume_after_s=orphan.resume_after_s,
            value=orphan.values.get(target),
        )
        known = BY_ID.get(orphan.action)
        if known is None or known.unverifiable:
            outcomes[target] = {"state": "unknown", "why": "no reading shows what it did"}
            continue
        shown = verification.is_done(orphan.action, before, row, sent) if before else False
        if shown:
            outcomes[target] = {"state": "done", "why": "read back: it is as it was meant to be"}
            continue
        now = "it is not there any more" if row is None else f"now {verification.state_text(row)}"
        if before is None:
            now = f"the journal does not say how it was; {now}"
        outcomes[target] = {"state": "unknown", "why": f"read back, not seen: {now}"}
    return outcomes


def valid_targets(entry: JournalEntry) -> tuple[str, ...]:
    """The targets whose names have the form of their kind. Only these may go into a command."""
    form = _FORMS.get(entry.kind)
    return tuple(target for target in entry.targets if form is not None and form.fullmatch(target))


def orphans_text(orphans: Sequence[JournalEntry]) -> str:
    """The message at start-up about actions without a result."""
    if not orphans:
        return ""
    each = [
        f"{one.action} {targets_text(one)[:60]} by {one.person}"
        + (f" at {local_time(one.at)}" if one.at is not None else "")
        for one in orphans[-3:]
    ]
    more = f" and {len(orphans) - len(each):,} more" if len(orphans) > len(each) else ""
    head = "1 action has" if len(orphans) == 1 else f"{len(orphans):,} actions have"
    return f"{head} no result: {'; '.join(each)}{more}. Whether it was done: :journal reads it back"


def row_before(entry: JournalEntry, target: str) -> Row | None:
    """The row of a target just before the action; None when the journal did not keep it."""
    seen = entry.seen.get(target)
    state = text(seen.get("state")) if seen else None
    if seen is None or state is None:
        return None
    get = {key: text(value) for key, value in seen.items()}
    if entry.kind == "node":
        base, flags = parse_state(state)
        return Node(name=target, state=base, flags=flags, display=display_word(base, flags), reason=get.get("reason"),
                    reason_by=get.get("by"), reason_at=whole(seen.get("at")),
                    boot_at=whole(seen.get("boot_at")))  # fmt: skip
    if entry.kind == "job":
        return Job(id=target, name="", user=get.get("user") or "", state=state, reason=get.get("reason"),
                   nodes=get.get("nodes"), restarts=whole(seen.get("restarts")),
                   priority=whole(seen.get("priority")))  # fmt: skip
    if entry.kind == "alert":
        return Alert(id=target, name=get.get("name") or "", state=state, node=get.get("node"),
                     silenced_by=strings(seen.get("silenced_by")))  # fmt: skip
    if entry.kind == "silence":
        return Silence(id=target, state=state, matchers=matchers(seen.get("matchers")), by=get.get("by") or "",
                       comment=get.get("comment") or "", ends=whole(seen.get("ends")))  # fmt: skip
    if entry.kind in _FULL_ROWS:
        return _full_row(seen, _FULL_ROWS[entry.kind])
    return None


def value_before(entry: JournalEntry, target: str) -> str | None:
    """What a target had before it was given something; None where the journal does not say."""
    seen = entry.seen.get(target, {})
    priority = whole(seen.get("priority")) if "value" not in seen else None
    return text(seen.get("value")) if priority is None else str(priority)


def _full_row(seen: Mapping[str, Any], kind: Any) -> Row | None:
    """A row that the journal keeps in full, with every text cleaned again."""
    try:
        row: Row = convert(_tame(seen), kind)
    except msgspec.ValidationError:
        return None
    return row


def _tame(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {clean(key): _tame(one) for key, one in value.items()}
    return (
        clean(value) if isinstance(value, str) else [_tame(one) for one in value] if isinstance(value, list) else value
    )


def matchers(value: Any) -> tuple[Matcher, ...]:
    """Matchers from the journal; those of another form are dropped."""
    found = []
    for one in value if isinstance(value, list) else ():
        try:
            tame = {
                clean(key): clean(text_value) if isinstance(text_value, str) else text_value
                for key, text_value in _items(one)
            }
            found.append(convert(tame, Matcher))
        except msgspec.ValidationError:
            continue
    return tuple(found)


def text(value: Any) -> str | None:
    """A text from the journal, cleaned; None for any other type."""
    return clean(value) if isinstance(value, str) else None


def moment(value: Any) -> float | None:
    """A time from the journal in seconds since the epoch; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at.timestamp() if at.tzinfo is not None else None


def local_time(at: float) -> str:
    """A time in the local time zone: `2026-11-24 03:12`."""
    try:
        return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):
        return "an impossible time"


def whole(value: Any) -> int | None:
    """A 64-bit integer from the journal; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63 else None


def number(value: Any) -> float | None:
    """A finite number from the journal; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1 << 63:
        return None
    return float(value)


def strings(value: Any) -> tuple[str, ...]:
    """A list of texts, cleaned; values of other types are dropped."""
    return tuple(clean(one) for one in value if isinstance(one, str)) if isinstance(value, list | tuple) else ()


def _entry_of(key: str, plan: str, record: Record) -> JournalEntry:
    get = record.get
    targets, seen, argv, numbers = strings(get("targets")), get("seen"), get("argv"), get("priorities")
    one = JournalEntry(
        key=key, plan=plan, at=moment(get("time")), who=text(get("login")) or "", uid=whole(get("uid")),
        host=text(get("host")), pid=whole(get("pid")), began=whole(get("began")), ssh=text(get("ssh")),
        session=text(get("session")), cluster=text(get("cluster")) or "", action=text(get("action")) or "",
        kind=text(get("kind")) or "", targets=targets, reason=text(get("reason")),
        argv=tuple(strings(command) for command in argv) if isinstance(argv, list) else (), age_s=number(get("age_s")),
        seen={clean(name): row for name, row in _items(seen) if isinstance(row, dict)},
        dropped=_texts(get("dropped")), reasons=_texts(get("reasons")),
        # Older records keep a priority in a field of its own.
        values={**{clean(name): str(to) for name, given in _items(numbers) if (to := whole(given)) is not None},
                **_texts(get("values"))},
        settings=_texts(get("settings")),
        resume_after_s=whole(get("resume_after_s")), silences=_tables(get("silences")),
        undoes=text(get("undoes")), broke_glass=text(get("broke_glass")),
        gap=whole(get("gap")) or 0 if get("event") == "gap" else 0, sum=text(get("sum")),
    )  # fmt: skip
    if one.gap:
        one = msgspec.structs.replace(one, action="gap")
    about = [one.person, one.host, one.cluster, one.action, *targets, targets_text(one) if one.kind == "alert" else "",
             one.reason, plan]  # fmt: skip
    return msgspec.structs.replace(one, text=" ".join(filter(None, about)).lower())


def _with_outcome(entry: JournalEntry, record: Record) -> JournalEntry:
    """The entry with its outcome added. A target read back as done stays done, whatever is read later."""
    found = dict(entry.outcome)
    for target, one in _items(record.get("outcome")):
        state = one.get("state") if isinstance(one, dict) else None
        name = clean(target)
        if state in STATES and not (name in found and found[name].state == "done"):
            found[name] = TargetOutcome(state, text(one.get("why")) or "", one.get("aside") is True)
    if record.get("event") == "verified":
        ended = entry.ended or all(target in found for target in entry.targets)
        return msgspec.structs.replace(entry, outcome=found, proven_at=moment(record.get("time")), ended=ended)
    return msgspec.structs.replace(
        entry, outcome=found, ended=True, sent=_tables(record.get("sent")),
        failure=text(record.get("failure")), note=text(record.get("note")),
    )  # fmt: skip


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()


def _texts(value: Any) -> dict[str, str]:
    """A mapping of texts, cleaned."""
    return {clean(name): text(one) or "" for name, one in _items(value)}


def _tables(value: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


@lru_cache(maxsize=4096)
def _folded(names: tuple[str, ...]) -> str:
    return fold(name for name in names if name)
