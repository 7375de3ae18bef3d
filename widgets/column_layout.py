"""How the columns of a table fit the width there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from .cells import spans_of, spans_width
from .table_column import Column

GAP = 2
"""Blank cells between two columns."""
ESSENTIAL = 4
"""Columns up to this priority justify narrowing others."""


class PlacedColumn(Struct, frozen=True):
    """A column that is shown, and its position on the line."""

    column: Column
    x: int
    width: int


def needed_widths(columns: Sequence[Column], rows: Iterable[Any], ctx: Any) -> dict[str, int]:
    """Key of each identity column to the cells of the longest name in these rows."""
    found = {column.key: 0 for column in columns if column.identity is not None}
    for row in rows if found else ():
        for column in columns:
            if column.identity is not None and column.identity(row):
                size = spans_width(spans_of(column.cell(row, ctx)))
                found[column.key] = max(found[column.key], size)
    return found


def place_columns(
    columns: Sequence[Column], width: int, start: int = 0, need: Mapping[str, int] | None = None
) -> tuple[PlacedColumn, ...]:
    """Choose the columns that fit and place each.

    An identity column first gets what it needs, and all others are narrowed. Without one the first column is always
    shown, however narrow it is.
    """
    room = width - start
    need = need or {}
    shown = list(columns)
    kept = [column for column in shown if need.get(column.key)] or shown[:1]
    wanted = _widths(shown, need)
    while not _fits(wanted, room) and len(shown) > len(kept):
        can = [(column.priority, at) for at, column in enumerate(shown) if column not in kept]
        # The first column identifies the row: among equals it is dropped last.
        worst, last = max(can)
        if worst <= ESSENTIAL and _fits(narrow := _widths(shown, need, least=True), room):
            wanted = narrow
            break
        del shown[last]
        wanted = _widths(shown, need)
    if not shown or room <= 0:
        return ()
    placed, x = [], start
    widths: list[int] = []
    for at in range(len(shown)):
        widths.append(min(wanted[at], room - sum(widths) - GAP * at))
    shown = [column for column, cells in zip(shown, widths, strict=True) if cells > 0]
    del widths[len(shown) :]
    _grow(shown, widths, room - sum(widths) - GAP * (len(shown) - 1))
    for column, cells in zip(shown, widths, strict=True):
        placed.append(PlacedColumn(column, x, cells))
        x += cells + GAP
    return tuple(placed)


def _widths(shown: Sequence[Column], need: Mapping[str, int], *, least: bool = False) -> list[int]:
    return [
        max(column.min_width if least and column.min_width is not None else column.width, need.get(column.key, 0))
        for column in shown
    ]


def _fits(widths: Sequence[int], room: int) -> bool:
    return sum(widths) + GAP * (len(widths) - 1) <= room


def _grow(shown: Sequence[Column], widths: list[int], spare: int) -> None:
    """Distribute the spare cells among the columns that grow, by weight, none beyond its `max_width`."""
    while spare > 0:
        can = [at for at, c in enumerate(shown) if c.grow and (c.max_width is None or widths[at] < c.max_width)]
        if not can:
            return
        weight = sum(shown[at].grow for at in can)
        deal = spare
        for at in can:
            most = shown[at].max_width
            part = min(max(1, deal * shown[at].grow // weight), spare)
            if most is not None:
                part = min(part, most - widths[at])
            widths[at] += part
            spare -= part
