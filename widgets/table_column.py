"""Columns as data: what a table shows, how it is sorted and what is exported of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from .cells import Align, Cell


class ExportField(NamedTuple):
    """One field for programs: a name that includes its unit, and its value from a row and the context of the table."""

    name: str
    value: Callable[[Any, Any], Any]


class Column(Struct, frozen=True):
    """One column. `cell(row, ctx)` returns its text, a (text, role) or spans; `ctx` is the context of the table.

    `width` is its minimum width in cells; a column that grows gets its share of the rest, up to `max_width`. On a
    narrow screen columns of the highest `priority` number are dropped first (0 last); before a column of priority
    `ESSENTIAL` or lower is dropped, those with a `min_width` are narrowed to it. The text of a `volatile` column
    depends on `ctx` (such as the clock) and not on the row alone.
    """

    key: str
    title: str
    width: int
    cell: Callable[[Any, Any], Cell]
    sort: Callable[[Any], Any] | None = None
    grow: int = 0
    max_width: int | None = None
    align: Align = "left"
    priority: int = 0
    volatile: bool = False
    min_width: int | None = None
    descending: bool = False
    """Whether sorting by it starts with the greatest value: usual for figures, not for names."""
    identity: Callable[[Any], bool] | None = None
    """Of a column that identifies the row (job id, node name): whether the cell of a row is one such name, not a list
    of them. A name is never cut while another column can be narrowed.
    """
    export: tuple[ExportField, ...] | None = None
    """The fields exported for programs; None: its text, under its key."""


def always_identity(_: Any) -> bool:
    """For `Column.identity`: each cell is one name."""
    return True
