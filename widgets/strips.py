"""Strips that are freed when nobody paints them any more.

Textual 8.2.8 lets a line that is not cut keep itself as its only piece. It refers to itself then, with its seven
caches, and only a full collection of garbage frees it: 40 to 60 ms at a time while somebody walks through the screens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.strip import Strip

_divide = Strip.divide


def divide(strip: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """`Strip.divide`, which keeps nothing of a line that is not cut."""
    cuts = list(cuts)
    return [strip] if cuts == [strip.cell_length] else _divide(strip, cuts)


def free_strips() -> None:
    """From now on, in this process."""
    Strip.divide = divide  # type: ignore[assignment, method-assign]
