"""The line in which the sort column is chosen by its letter."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import NamedTuple

from .cells import Span, width
from .table_column import Column

#: The letter that opens the line, and reverses the sort while it is open.
REVERSE_LETTER = "o"
_LEAD = "  sort by  "
_GAP = 2


class SortChoice(NamedTuple):
    """One column that the rows can be sorted by; `column` None is the given order."""

    letter: str
    title: str
    column: str | None


class PlacedChoice(NamedTuple):
    """A choice and its cells on the line."""

    choice: SortChoice
    x: int
    width: int


def sort_choices(columns: Sequence[Column], given_order: str = "") -> list[SortChoice]:
    """A choice with a letter of its own for each column that can be sorted by: the first of its title, else another
    one of it that is free, else any. `given_order` is the name of the order without a column, "" for none."""
    names: list[tuple[str, str | None]] = [(given_order, None)] if given_order else []
    names += [(column.title, column.key) for column in columns if column.sort is not None]
    letters: dict[str, str] = {}
    taken = {REVERSE_LETTER}
    # No first letter is taken by a later one of another title.
    for offers in ([title[:1] for title, _ in names], [title + ascii_lowercase for title, _ in names]):
        for (title, _), offered in zip(names, offers, strict=True):
            letter = next((one for one in offered.lower() if _is_free(one, taken)), None)
            if title not in letters and letter is not None:
                taken.add(letter)
                letters[title] = letter
    return [SortChoice(letters[title], title, column) for title, column in names if title in letters]


def _is_free(letter: str, taken: set[str]) -> bool:
    return letter.isascii() and letter.isalpha() and letter not in taken


def chooser_line(
    choices: Sequence[SortChoice], cells: int, column: str | None, reverse: bool
) -> tuple[list[Span], list[PlacedChoice]]:
    """The spans of the line and the places of the choices on it. What does not fit is left out at the end; its letters
    work all the same."""
    spans: list[Span] = [(_LEAD, "text-dim")]
    placed: list[PlacedChoice] = []
    used = width(_LEAD)
    for choice in choices:
        is_sorted = choice.column == column
        arrow = ("▼" if reverse else "▲") if is_sorted and column is not None else ""
        title = f" {choice.title}{arrow}"
        size = 1 + width(title)
        if used + size + _GAP + 1 > cells:
            spans.append(("…", "text-dim"))
            break
        spans += [(choice.letter, "key"), (title, "header-sorted" if is_sorted else ""), (" " * _GAP, "")]
        placed.append(PlacedChoice(choice, used, size))
        used += size + _GAP
    return spans, placed
