"""Markdown that shows what a text says, whatever it holds, and reads well as plain text too. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

#: Columns of a line in a file; on a wide screen no line is longer than is good to read.
WIDTH, WIDEST = 78, 110
_SPECIAL = re.compile(r"[\\|`*]|<(?=[A-Za-z/!?])|~(?=~)|(?<!\w)_|_(?!\w)")
_BLOCK = re.compile(r"#{1,6}(?=\s|$)|>|[+-](?=\s|$)|(?:=+|-+)\s*$|\d+[.)](?=\s|$)")


def escaped(text: str) -> str:
    """A text that Markdown shows as it is. A node set stays readable: only a bracket that could make a link is told."""
    if not text or text.isalnum():
        return text
    one_line = " ".join(text.split("\n")).replace("\r", " ")
    return _SPECIAL.sub(r"\\\g<0>", one_line).replace("](", "]\\(")


def item(text: str, indent: int = 0, width: int = WIDTH) -> str:
    """A point of a list, wrapped; `text` is escaped already. No line of it can begin another block."""
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
    """A row of a table; the cells are escaped here."""
    return "| " + " | ".join(map(escaped, cells)) + " |"


def rule(right: Sequence[bool]) -> str:
    """What stands below the titles: which columns stand on the right."""
    return "|" + "|".join("--:" if one else "---" for one in right) + "|"


def table(titles: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose columns stand below each other in plain text too."""
    told = [[escaped(cell) for cell in one] for one in [list(titles), *rows]]
    widths = [max(3, *(len(one[at]) for one in told)) for at in range(len(titles))]

    def said(one: Sequence[str]) -> str:
        cells = (cell.rjust(width) if far else cell.ljust(width)
                 for cell, width, far in zip(one, widths, right, strict=True))  # fmt: skip
        return f"| {' | '.join(cells)} |"

    lines = ("-" * (width + 1) + ":" if far else "-" * (width + 2) for width, far in zip(widths, right, strict=True))
    return [said(told[0]), f"|{'|'.join(lines)}|", *map(said, told[1:])]
