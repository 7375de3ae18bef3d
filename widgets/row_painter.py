"""Paints a row of the table, and its header, as a Strip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from textual.strip import Strip

from .cells import Span, cut, pad, pad_spans, spans_of
from .column_layout import GAP, PlacedColumn
from .role_styles import RoleStyles

GUTTER = 2
"""Cells left of the first column: the cursor's bar and the mark, so that neither depends on colour alone."""
CURSOR_GLYPH, MARK_GLYPH = "▌", "◆"

Cells = tuple[tuple[Span, ...], ...]
"""The columns of a row, each cut and padded to its place."""


class PaintedRow(Struct):
    """A row as last painted, and what it was painted from."""

    row: Any
    ctx_version: int
    """Version of its context. Never the context itself: a row that scrolled away would keep a whole Cluster alive."""
    pending_text: str | None
    cells: Cells
    strips: dict[tuple[bool, bool], Strip]
    """Strips by (under the cursor, marked)."""


class LineState(Struct, frozen=True):
    """The content of one line of the screen."""

    key: str
    cells: Cells
    cursor: bool
    marked: bool


def paint_cells(row: Any, placed: Sequence[PlacedColumn], ctx: Any, word: str | None, word_column: str) -> Cells:
    """The cells of a row; `word` replaces the text of one column."""
    cells: list[tuple[Span, ...]] = []
    for place in placed:
        column = place.column
        if word is not None and column.key == word_column:
            cells.append(((pad(word, place.width), "pending"),))
            continue
        cell = column.cell(row, ctx)
        if isinstance(cell, str):
            cells.append(((pad(cell, place.width, column.align), ""),))
        else:
            spans = spans_of(cell)
            if len(spans) == 1:
                cells.append(((pad(spans[0][0], place.width, column.align), spans[0][1]),))
            else:
                cells.append(tuple(pad_spans(spans, place.width, column.align)))
    return tuple(cells)


def paint_row(
    cells: Cells, end: int, styles: RoleStyles, total: int, *, cursor: bool, marked: bool, dim: bool
) -> Strip:
    """The line of a row in exactly `total` cells; its last column ends at cell `end`."""
    gutter = [
        (CURSOR_GLYPH if cursor else " ", "accent"),
        (MARK_GLYPH if marked else " ", "mark"),
    ]
    spans: list[Span] = [(text, role) for text, role in gutter][: max(0, total)]
    for at, cell in enumerate(cells):
        if at:
            spans.append((" " * GAP, ""))
        if marked and not at:
            spans.extend((text, "mark") for text, _ in cell)
        else:
            spans.extend(cell)
    if end < total:
        spans.append((" " * (total - end), ""))
    return styles.strip(spans, total, on="cursor" if cursor else "", dim=dim)


def header_strip(
    placed: Sequence[PlacedColumn], styles: RoleStyles, total: int, sort: str | None, reverse: bool
) -> Strip:
    """The line of titles; the sort column has an arrow: ▲ ascending, ▼ descending."""
    spans: list[Span] = [(" " * min(GUTTER, total), "")]
    used = GUTTER
    for at, place in enumerate(placed):
        column = place.column
        if at:
            spans.append((" " * GAP, ""))
            used += GAP
        title, role = column.title, ""
        if column.key == sort:
            title, role = cut(title, place.width - 1) + ("▼" if reverse else "▲"), "header-sorted"
        spans.append((pad(title, place.width, column.align), role))
        used += place.width
    if used < total:
        spans.append((" " * (total - used), ""))
    return styles.strip(spans, total, on="header")
