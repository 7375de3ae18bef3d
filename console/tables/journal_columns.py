"""The journal as data: columns of its table, and lines of one entry in full."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from collectors.clean import clean
from collectors.nodestate import parse_state
from console.fields.field import attribute, moment
from console.journal.entries import STATES, JournalEntry, number, outcome_text, targets_text, text, value_before, whole
from widgets.cells import Cell, Span, spans_width
from widgets.pane import PaneLine, pane_line
from widgets.table_column import Column, ExportField
from widgets.units import UNKNOWN, duration, stamp

_LABEL = 11
#: Most lines of targets, the worst first.
_EACH = 200
ROLES = {"done": "good", "sent": "", "pending": "pending", "unknown": "warn", "failed": "bad", "dropped": "warn"}


class JournalCtx(Struct, frozen=True, eq=False):
    """What a cell needs beside its entry."""

    now: float
    under_way: frozenset[str] = frozenset()
    """Keys of entries without a result whose process is still alive."""
    users: Mapping[tuple[str, int | None], str] = field(default_factory=dict)
    """Login and uid to the displayed name where these differ: `jdv as root`."""
    undone: Mapping[str, str] = field(default_factory=dict)
    """Key to how much of it was undone: `undone`, `2 undone`."""


def when(at: float | None, now: float) -> str:
    """`11-24 03:12`; in another year the date with the year."""
    if at is None:
        return UNKNOWN
    try:
        local = datetime.fromtimestamp(at)
        return f"{local:%m-%d %H:%M}" if local.year == datetime.fromtimestamp(now).year else f"{local:%Y-%m-%d}"
    except (OverflowError, OSError, ValueError):
        return UNKNOWN


def result(entry: JournalEntry, ctx: JournalCtx) -> Span:
    """The outcome, in the colour of the worst target."""
    if entry.gap:
        return (outcome_text(entry), "warn")
    if entry.orphan:
        return ("under way", "pending") if entry.key in ctx.under_way else ("✖ no result", "bad")
    states = {told.state for told in entry.outcome.values()}
    order = ("failed", "unknown", "dropped", "pending", "sent", "done")
    worst = next((state for state in order if state in states), "")
    undone = ctx.undone.get(entry.key)
    return (
        outcome_text(entry) + (f" ({undone})" if undone else ""),
        "text-dim" if undone else ROLES.get(worst, "text-dim"),
    )


def who(entry: JournalEntry, ctx: JournalCtx) -> str:
    """The person, and the account whose rights were used."""
    return ctx.users.get((entry.who, entry.uid), entry.person)


def _reason(entry: JournalEntry, _: JournalCtx) -> Cell:
    if entry.undoes:
        return [("undo ", "accent"), (entry.reason or "", "")]
    return entry.reason or ""


JOURNAL: tuple[Column, ...] = (
    Column("at", "when", 11, lambda e, c: when(e.at, c.now), lambda e: e.at, volatile=True, descending=True,
           export=(moment("at"), attribute("plan"))),
    Column("who", "who", 7, who, lambda e: e.person, priority=2, grow=1, max_width=18, volatile=True),
    Column("action", "action", 8, lambda e, _: e.action, lambda e: e.action, grow=1, max_width=12),
    Column("targets", "on", 14, lambda e, _: targets_text(e), targets_text, grow=3, max_width=60,
           identity=lambda e: len(e.targets) == 1, export=(attribute("kind"), attribute("targets"))),
    Column("outcome", "what came of it", 17, result, outcome_text, grow=1, max_width=34, volatile=True,
           export=(ExportField("outcome", lambda e, _: outcome_text(e)),
               ExportField("undone", lambda e, c: c.undone.get(e.key)), attribute("undoes"),)),
    Column("reason", "reason", 8, _reason, lambda e: e.reason, priority=3, grow=4, export=(attribute("reason"),)),
    Column("host", "from", 10, lambda e, _: e.host or "", lambda e: e.host, priority=5, grow=1, max_width=20,
           export=(attribute("host"),)),
    Column("cluster", "cluster", 9, lambda e, _: e.cluster, lambda e: e.cluster, priority=6, grow=1, max_width=14),
)  # fmt: skip


def commands(entry: JournalEntry) -> str:
    """The commands in shell syntax."""
    return "; ".join(shlex.join(argv) for argv in entry.argv)


def detail(
    entry: JournalEntry, ctx: JournalCtx, room: int, back: Mapping[str, JournalEntry], undoes: JournalEntry | None
) -> list[PaneLine]:
    """One entry in full, in lines of at most `room` cells. `back` maps a target to the action that undid it."""
    lines = _hang("outcome", [result(entry, ctx)], room)
    for one in dict.fromkeys(back.values()):
        mine = [target for target, undo in back.items() if undo is one]
        lines += _hang("", f"{_several(entry, mine)} undone by {one.person}, {when(one.at, ctx.now)}", room)
    if entry.orphan and entry.key not in ctx.under_way:
        lines += _hang("", [("its outcome was not recorded: read it back", "bad")], room)
    lines += _hang("on", targets_text(entry), room)
    if entry.reason:
        lines += _hang("reason", f'"{entry.reason}"', room)
    if entry.undoes:
        told = f"{undoes.action} by {undoes.person}, {when(undoes.at, ctx.now)}" if undoes is not None else "not here"
        lines += _hang("undo of", f"{entry.undoes} ({told})", room)
    if entry.broke_glass:
        lines += _hang("glass", [(f"broken: {entry.broke_glass}", "warn")], room)
    lines += _hang("when", _times(entry), room)
    lines += _hang("who", _person(entry, ctx), room)
    if entry.age_s is not None:
        lines += _hang("facts", f"{duration(entry.age_s)} old when it was sent", room)
    for argv in entry.argv or ((),):
        lines += _hang("command", shlex.join(argv) or UNKNOWN, room)
    lines += _said(entry, room)
    if entry.note:
        lines += _hang("note", entry.note, room)
    lines += _targets(entry, room)
    for target, why in list(entry.dropped.items())[:_EACH]:
        if target not in entry.outcome:
            lines += _hang("not sent", f"{target}: {why}", room)
    lines += [pane_line("")]
    lines += _hang("plan", entry.plan or UNKNOWN, room)
    lines += _hang("hash", [(entry.sum or UNKNOWN, "text-dim")], room)
    return lines


def _times(entry: JournalEntry) -> str:
    if entry.at is None:
        return UNKNOWN
    try:
        utc = f"{datetime.fromtimestamp(entry.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        proven = "" if entry.proven_at is None else f"; proven {duration(entry.proven_at - entry.at)} later"
        return f"{stamp(entry.at)}  ({utc}){proven}"
    except (OverflowError, OSError, ValueError):
        return UNKNOWN


def _person(entry: JournalEntry, ctx: JournalCtx) -> str:
    parts = [who(entry, ctx), f"uid {entry.uid}" if entry.uid is not None and entry.who else "",
             f"on {entry.host}" if entry.host else "", f"from {entry.ssh.split()[0]}" if entry.ssh else "",
             f"process {entry.pid}" if entry.pid is not None else "",
             f"session {entry.session}" if entry.session else ""]  # fmt: skip
    return ", ".join(part for part in parts if part)


def _said(entry: JournalEntry, room: int) -> list[PaneLine]:
    """The answer to each command."""
    lines: list[PaneLine] = []
    for one in entry.sent[:50]:
        rc, took, err = whole(one.get("rc")), number(one.get("took_s")), text(one.get("err"))
        ended = f"ended with {rc}" if rc is not None else "gave no answer"
        after = f" after {took:.1f} s" if took is not None else ""
        lines += _hang("answer", [(f"{ended}{after}{f': {err}' if err else ''}", "" if rc == 0 else "warn")], room)
    if entry.failure:
        lines += _hang("failure", [(entry.failure, "bad")], room)
    return lines


def _targets(entry: JournalEntry, room: int) -> list[PaneLine]:
    """The outcome of each target, the worst first, and its state before; equal ones share a line."""
    rank = {state: at for at, state in enumerate(reversed(STATES))}
    alike: dict[tuple[int, str, str, str], list[str]] = {}
    for target in [*entry.targets, *(target for target in entry.outcome if target not in entry.targets)]:
        told = entry.outcome.get(target)
        before = _before(entry, entry.seen.get(target, {})) + _given(entry, target)
        state, why = (told.state, told.why) if told is not None else ("no result", "")
        alike.setdefault((rank.get(state, -1), state, why, before), []).append(target)
    lines = [pane_line("")] if alike else []
    for (_, state, why, before), targets in sorted(alike.items(), key=lambda item: item[0][0])[:_EACH]:
        head = [(f"{_several(entry, targets)}  ", "text-strong"), (state, ROLES.get(state, "bad"))]
        lines += _hang(head, "   ".join(part for part in (why, before) if part), room)
    if len(alike) > _EACH:
        lines.append(pane_line((f"and {len(alike) - _EACH:,} more", "text-dim")))
    return lines


def _several(entry: JournalEntry, targets: Sequence[str]) -> str:
    return targets_text(msgspec.structs.replace(entry, targets=tuple(targets)))


def _given(entry: JournalEntry, target: str) -> str:
    """The new value and the one before: `: 1:00:00 → 4:00:00`."""
    if target not in entry.values:
        return ""
    was = value_before(entry, target)
    return f": {'unknown' if was is None else was or 'none'} → {entry.values[target] or 'none'}"


def _before(entry: JournalEntry, seen: Mapping[str, Any]) -> str:
    get = {key: clean(str(value)) for key, value in seen.items() if value is not None and value != []}
    if not get:
        return ""
    state = get.get("state", "")
    if entry.kind == "node":
        state = "+".join((parse_state(state)[0], *parse_state(state)[1]))
    told = {"reason": '"{}"', "by": "by {}", "user": "user {}", "nodes": "on {}", "priority": "priority {}",
            "comment": '"{}"'}  # fmt: skip
    parts = [f"was {state}", *(form.format(get[key]) for key, form in told.items() if key in get)]
    return " ".join(part for part in parts if part)


def _hang(head: str | Sequence[Span], body: str | Sequence[Span], room: int) -> list[PaneLine]:
    """A label (or spans) and a text after it, wrapped."""
    first: Sequence[Span] = [(f"{head:<{_LABEL}}", "text-dim")] if isinstance(head, str) else [*head, ("  ", "")]
    ((told, role),) = ((body, ""),) if isinstance(body, str) else body
    before = spans_width(first) if isinstance(head, str) else _LABEL
    width = max(20, room - before)
    at_once = max(10, room - spans_width(first))
    pieces = textwrap.wrap(told, at_once, break_on_hyphens=False)[:1] or [""]
    rest = told[len(pieces[0]) :].lstrip()
    pieces += textwrap.wrap(rest, width, break_on_hyphens=False)
    return [
        PaneLine([*first, (pieces[0], role)]),
        *(PaneLine([(" " * before, ""), (piece, role)]) for piece in pieces[1:]),
    ]
