"""Columns of the drain inbox and of inconsistent facts, as data."""

from __future__ import annotations

from collectors.nodeset import fold, natural_key
from console.fields.common_cells import Ctx, dim
from console.fields.field import attribute, moment
from console.health.drain_reasons import DrainGroup
from console.health.inconsistencies import KINDS, Inconsistency
from themes.roles import state_look
from widgets.cells import Cell, Span
from widgets.table_column import Column
from widgets.units import count, duration

_SEVERITY = {"bad": ("✖", "bad"), "warn": ("▲", "warn"), "note": ("·", "text-dim")}


def _state(one: DrainGroup, _: Ctx) -> Cell:
    glyph, role = state_look(one.displays[0])
    return (f"{glyph} {', '.join(one.displays)}", role)


def _who(one: DrainGroup, _: Ctx) -> Cell:
    return f"{one.by} ({one.author})" if one.by else ("unknown", "text-dim")


def _age(one: DrainGroup, ctx: Ctx) -> Cell:
    text = duration(None if one.since is None else ctx.now - one.since)
    return (text, "warn" if one.forgotten else "")


INBOX: tuple[Column, ...] = (
    Column("nodes", "nodes", 14, lambda e, _: fold(e.nodes), lambda e: natural_key(e.nodes[0]), grow=2, max_width=40,
           identity=lambda e: len(e.nodes) == 1, export=(attribute("nodes"),)),
    Column("state", "state", 12, _state, lambda e: e.displays[0], grow=1, max_width=24,
           export=(attribute("states", "displays"),)),
    Column("kind", "kind", 21, lambda e, _: e.label, lambda e: e.kind, priority=2, grow=1, max_width=24),
    Column("age", "out for", 8, _age, lambda e: e.since, align="right", volatile=True,
           export=(moment("since"), attribute("forgotten"))),
    Column("by", "by", 12, _who, lambda e: e.by, priority=3, grow=1, max_width=20,
           export=(attribute("by"), attribute("who", "author"))),
    Column("ticket", "ticket", 10, lambda e, _: dim(e.ticket), lambda e: e.ticket, priority=5, grow=1, max_width=18,
           export=(attribute("ticket"),)),
    Column("rack", "rack", 5, lambda e, _: dim(e.rack), lambda e: e.rack and natural_key(e.rack), priority=6,
           export=(attribute("rack"),)),
    Column("jobs", "jobs left", 9, lambda e, _: count(None if e.jobs is None else len(e.jobs)),
           lambda e: None if e.jobs is None else len(e.jobs), align="right", priority=4, descending=True,
           export=(attribute("jobs"),)),
    Column("reason", "reason", 28, lambda e, _: e.reason or "", lambda e: e.reason, priority=1, grow=6,
           export=(attribute("reason"), attribute("xid"))),
)  # fmt: skip


def _text(one: Inconsistency, _: Ctx | None) -> list[Span]:
    glyph, role = _SEVERITY[one.severity]
    return [(f"{glyph} ", role), (one.text, "")]


INCONSISTENCIES: tuple[Column, ...] = (
    Column("node", "node", 10, lambda c, _: fold(c.nodes or (c.node,)), lambda c: natural_key(c.node), grow=1,
           max_width=24, identity=lambda c: len(c.nodes) <= 1, export=(attribute("node"), attribute("nodes"))),
    Column("text", "what disagrees", 48, _text, lambda c: c.text, grow=4, export=(attribute("text"),)),
    Column("since", "since", 8, lambda c, ctx: "" if c.since is None else duration(ctx.now - c.since),
           lambda c: c.since, align="right", priority=1, volatile=True, export=(moment("since"),)),
    # The kind repeats the text: it is last, and shown only where there is room.
    Column("kind", "kind", 56, lambda c, _: (KINDS[c.kind], "text-dim"),
           lambda c: ("bad", "warn", "note").index(c.severity), priority=4,
           export=(attribute("kind"), attribute("severity"))),
    Column("jobs", "held by", 10, lambda c, _: ", ".join(c.jobs), priority=3, grow=1, max_width=24,
           export=(attribute("jobs"),)),
)  # fmt: skip


def full_spans(one: DrainGroup | Inconsistency, now: float) -> list[Span]:
    """The full text of a row, for a screen that is too narrow for its columns."""
    if isinstance(one, Inconsistency):
        since = f", for {duration(now - one.since)}" if one.since is not None else ""
        jobs = f"; held by {', '.join(one.jobs)}" if one.jobs else ""
        return [(f" {fold(one.nodes or (one.node,))}  ", "text-strong"), *_text(one, None), (since + jobs, "text-dim")]
    glyph, role = state_look(one.displays[0])
    since = "unknown since when" if one.since is None else f"for {duration(now - one.since)}"
    by = f" by {one.by} ({one.author})" if one.by else ""
    more = [f"rack {one.rack}" if one.rack else "", f"ticket {one.ticket}" if one.ticket else "",
            f"{count(len(one.jobs))} job{'' if len(one.jobs) == 1 else 's'} left" if one.jobs else ""]  # fmt: skip
    return [
        (f" {fold(one.nodes)}  ", "text-strong"), (f"{glyph} {', '.join(one.displays)} ", role),
        (f"{since}{by}: ", "text-dim"), (one.reason or "no reason given", ""),
        (f"  ({', '.join((one.label, *filter(None, more)))})", "text-dim"),
    ]  # fmt: skip
