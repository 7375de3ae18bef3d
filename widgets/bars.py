"""Bars, gauges and sparklines, as text and spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cells import Span

_EIGHTHS = " ▏▎▍▌▋▊▉"
LEVELS = " ▁▂▃▄▅▆▇█"


def bar(part: float | None, cells: int, full: str = "fill", empty: str = "trough") -> list[Span]:
    """A bar of a share 0..1 in eighths of a cell, `██████▍░░░`. An unknown share is a row of dots."""
    if cells <= 0:
        return []
    if part is None:
        return [("·" * cells, empty)]
    whole, rest = divmod(_steps(part, cells * 8), 8)
    text = "█" * whole + (_EIGHTHS[rest] if rest else "")
    spans: list[Span] = [(text, full)] if text else []
    if cells > len(text):
        spans.append(("░" * (cells - len(text)), empty))
    return spans


def gauge(part: float | None, cells: int, full: str = "fill", empty: str = "trough") -> list[Span]:
    """A slim bar for tables, `━━━━╸───`, in halves of a cell: bars on lines below each other do not grow together."""
    if cells <= 0:
        return []
    if part is None:
        return [("·" * cells, empty)]
    whole, rest = divmod(_steps(part, cells * 2), 2)
    text = "━" * whole + "╸" * rest
    spans: list[Span] = [(text, full)] if text else []
    if cells > len(text):
        spans.append(("─" * (cells - len(text)), empty))
    return spans


def _steps(part: float, steps: int) -> int:
    """The number of filled steps of a bar. A trace must be visible, and only the whole may look whole."""
    found = round(max(0.0, min(1.0, part)) * steps)
    if part > 0:
        found = max(1, found)
    return found if part >= 1 else min(steps - 1, found)


def sparkline(values: Sequence[float | None], cells: int, low: float | None = None, high: float | None = None) -> str:
    """The last values as a sparkline, one per cell; unknown ones are dots. `low` and `high` default to
    those of the values.
    """
    last = list(values)[-cells:] if cells > 0 else []
    known = [value for value in last if value is not None]
    if not known:
        return "·" * len(last)
    low = min(known) if low is None else low
    high = max(known) if high is None else high
    reach = high - low
    out = []
    for value in last:
        if value is None:
            out.append("·")
        else:
            step = 0 if reach <= 0 else int((value - low) / reach * 7.999)
            out.append(LEVELS[1 + max(0, min(7, step))])
    return "".join(out)
