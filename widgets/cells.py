"""Text measured in terminal cells: cutting and padding.

A wide character takes two cells and a combining mark none, so nothing here counts characters. Texts are only ever
cut, never parsed: a `[` in a job name is a `[`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, cast

from rich.cells import cell_len, chop_cells, split_graphemes

Span = tuple[str, str]
"""A piece of text and the role it is painted in; "" is the plain text of its surroundings."""
Cell = str | Span | Sequence[Span]
"""What a column may return for a row."""
Align = Literal["left", "right", "center"]

ELLIPSIS = "…"
_WORDS = re.compile(r" *[^ ]+| +")


def width(text: str) -> int:
    """Cells the text takes."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, cells: int) -> str:
    """The text in at most `cells` cells, with an ellipsis where something was cut off."""
    if cells <= 0:
        return ""
    if len(text) <= cells and text.isascii():
        return text
    if width(text) <= cells:
        return text
    if text.isascii():
        return text[: cells - 1] + ELLIPSIS
    end, used = 0, 0
    # Twice the number of cells suffices: more characters would all have to be combining marks.
    for _start, stop, size in split_graphemes(text[: 4 * cells])[0]:
        if used + size > cells - 1:
            break
        used += size
        end = stop
    return text[:end] + ELLIPSIS


def pad(text: str, cells: int, align: Align = "left") -> str:
    """The text in exactly `cells` cells."""
    if len(text) > cells or not text.isascii():
        text = cut(text, cells)
    spare = cells - width(text)
    if spare <= 0:
        return text
    if align == "left":
        return text + " " * spare
    if align == "right":
        return " " * spare + text
    left = spare // 2
    return " " * left + text + " " * (spare - left)


def spans_of(cell: Cell) -> Sequence[Span]:
    """A cell in any of its forms, as spans."""
    if isinstance(cell, str):
        return ((cell, ""),)
    if isinstance(cell, tuple) and len(cell) == 2 and isinstance(cell[0], str) and isinstance(cell[1], str):
        return ((cell[0], cell[1]),)
    return cast("Sequence[Span]", cell)


def spans_width(spans: Iterable[Span]) -> int:
    """Cells the spans take together."""
    return sum(width(text) for text, _ in spans)


def cut_spans(spans: Sequence[Span], cells: int) -> list[Span]:
    """The spans in at most `cells` cells; the one that does not fit ends in an ellipsis."""
    out: list[Span] = []
    left = cells
    for at, (text, role) in enumerate(spans):
        size = width(text)
        # One cell is reserved for the ellipsis only where something follows.
        if size > left or (size == left and any(rest for rest, _ in spans[at + 1 :])):
            out.append((cut(text + "  " if size <= left else text, left), role))
            return out
        out.append((text, role))
        left -= size
    return out


def wrap_spans(spans: Sequence[Span], cells: int, indent: int = 0, first: int | None = None) -> list[list[Span]]:
    """The spans on as many lines as they take, broken at blanks; every line after the first begins `indent` cells in.
    `first` are the cells of the first line, where it has fewer.

    Only a word longer than a line is broken itself.
    """
    rows: list[list[Span]] = [[]]
    cells, after = cells if first is None else first, cells
    used = start = 0
    for text, role in spans:
        for word in _WORDS.findall(text):
            if used + width(word) > cells and not word.strip(" "):
                continue
            if used + width(word) > cells and used > start:
                rows.append([(" " * indent, "")])
                used, start, cells = indent, indent, after
            fresh = word.lstrip(" ") if used == start == indent and len(rows) > 1 else word
            for at, piece in enumerate(chop_cells(fresh, max(1, cells - max(used, indent)))):
                if at:
                    rows.append([(" " * indent, "")])
                    used, start, cells = indent, indent, after
                rows[-1].append((piece, role))
                used += width(piece)
    return rows


def pad_spans(spans: Sequence[Span], cells: int, align: Align = "left") -> list[Span]:
    """The spans in exactly `cells` cells. Padding has the role ""."""
    out = cut_spans(spans, cells)
    spare = cells - spans_width(out)
    if spare > 0:
        left = {"left": 0, "right": spare, "center": spare // 2}[align]
        if left:
            out.insert(0, (" " * left, ""))
        if spare - left:
            out.append((" " * (spare - left), ""))
    return out
