"""Columns as data: what a table shows, and how it fits the width there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from widgets.cells import Align, Cell

GAP = 2
"""Blank cells between two columns."""
ESSENTIAL = 4
"""Columns up to this priority are worth making others narrower for."""


class Column(Struct, frozen=True):
    """One column. `cell(row, ctx)` gives its text, a (text, role) or spans; `ctx` is whatever the table was given.

    `width` is how many cells it wants at least; a column that grows takes its part of what is left, up to `most`. On a
    narrow screen columns of the highest `priority` number vanish first (0 last of all); before one that is ESSENTIAL
    does, those with a `least` become as narrow as that. The text of a `volatile` column depends on `ctx` (the clock,
    say) and not on the row alone.
    """

    key: str
    title: str
    width: int
    cell: Callable[[Any, Any], Cell]
    sort: Callable[[Any], Any] | None = None
    grow: int = 0
    most: int | None = None
    align: Align = "left"
    priority: int = 0
    volatile: bool = False
    least: int | None = None
    descending: bool = False
    """Whether sorting by it begins with the greatest: figures mostly do, names do not."""


class Placed(Struct, frozen=True):
    """A column that is shown, and its cells on the line."""

    column: Column
    x: int
    width: int


def place(columns: Sequence[Column], width: int, start: int = 0) -> tuple[Placed, ...]:
    """Choose the columns that fit and give each its place. At least the first is shown, however narrow it is."""
    room = width - start
    shown = list(columns)
    wanted = _widths(shown)
    while len(shown) > 1 and not _fits(wanted, room):
        worst = max(column.priority for column in shown[1:])
        if worst <= ESSENTIAL and _fits(narrow := _widths(shown, least=True), room):
            wanted = narrow
            break
        del shown[max(at for at, column in enumerate(shown) if at and column.priority == worst)]
        wanted = _widths(shown)
    if not shown or room <= 0:
        return ()
    widths = [min(width, room) for width in wanted]
    _grow(shown, widths, room - sum(widths) - GAP * (len(shown) - 1))
    placed, x = [], start
    for column, cells in zip(shown, widths, strict=True):
        placed.append(Placed(column, x, cells))
        x += cells + GAP
    return tuple(placed)


def _widths(shown: Sequence[Column], *, least: bool = False) -> list[int]:
    return [column.least if least and column.least is not None else column.width for column in shown]


def _fits(widths: Sequence[int], room: int) -> bool:
    return sum(widths) + GAP * (len(widths) - 1) <= room


def _grow(shown: Sequence[Column], widths: list[int], spare: int) -> None:
    """Deal what is left to the columns that grow, by weight, none beyond its most."""
    while spare > 0:
        can = [at for at, c in enumerate(shown) if c.grow and (c.most is None or widths[at] < c.most)]
        if not can:
            return
        weight = sum(shown[at].grow for at in can)
        deal = spare
        for at in can:
            most = shown[at].most
            part = min(max(1, deal * shown[at].grow // weight), spare)
            if most is not None:
                part = min(part, most - widths[at])
            widths[at] += part
            spare -= part
