"""Escapes and formats Markdown that stays readable as plain text. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

#: Columns of a line in a file, and the most on a wide screen.
WIDTH, WIDEST = 78, 110
_SPECIAL = re.compile(r"[\\|`*]|<(?=[A-Za-z/!?])|~(?=~)|(?<!\w)_|_(?!\w)")
_BLOCK = re.compile(r"#{1,6}(?=\s|$)|>|[+-](?=\s|$)|(?:=+|-+)\s*$|\d+[.)](?=\s|$)")


def escaped(text: str) -> str:
    """The text escaped for Markdown. A node set stays readable: a bracket is escaped only where it could start a
    link.
    """
    if not text or text.isalnum():
        return text
    one_line = " ".join(text.split("\n")).replace("\r", " ")
    return _SPECIAL.sub(r"\\\g<0>", one_line).replace("](", "]\\(")


def item(text: str, indent: int = 0, width: int = WIDTH) -> str:
    """A list item, wrapped; `text` is escaped already. No line of it can start another Markdown block."""
    lead = " " * indent
    first, *rest = textwrap.wrap(
        text, width, initial_indent=f"{lead}- ", subsequent_indent=f"{lead}  ", break_long_words=False,
        break_on_hyphens=False,
    ) or [f"{lead}-"]  # fmt: skip
    cut = len(lead) + 2
    return "\n".join([_tame(first, cut), *(_tame(one, cut) for one in rest)])


def _tame(text: str, at: int) -> str:
    match = _BLOCK.match(text, at)
    if match is None:
        return text
    end = match.end() - 1 if match[0][0].isdigit() else at
    return f"{text[:end]}\\{text[end:]}"


def row(cells: Iterable[str]) -> str:
    """A table row; escapes the cells."""
    return "| " + " | ".join(map(escaped, cells)) + " |"


def rule(right: Sequence[bool]) -> str:
    """The line below the titles, with the alignment of each column."""
    return "|" + "|".join("--:" if one else "---" for one in right) + "|"


def table(titles: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose columns are aligned in plain text too."""
    texts = [[escaped(cell) for cell in one] for one in [list(titles), *rows]]
    widths = [max(3, *(len(one[at]) for one in texts)) for at in range(len(titles))]

    def line_of(one: Sequence[str]) -> str:
        cells = (cell.rjust(width) if far else cell.ljust(width)
                 for cell, width, far in zip(one, widths, right, strict=True))  # fmt: skip
        return f"| {' | '.join(cells)} |"

    lines = ("-" * (width + 1) + ":" if far else "-" * (width + 2) for width, far in zip(widths, right, strict=True))
    return [line_of(texts[0]), f"|{'|'.join(lines)}|", *map(line_of, texts[1:])]
