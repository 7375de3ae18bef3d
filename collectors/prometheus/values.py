"""Converts rows of an answer to values: invalid numbers and values out of bounds become counted gaps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from collectors.clean import clean
from collectors.nodeset import natural_key

from .query_table import BY_NAME

if TYPE_CHECKING:
    from .answers import Row

#: The form of a node's name in Slurm, and thus of one that may be queried.
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Notes:
    """Collects what is left out of the facts and why, for their warnings."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, *texts: str) -> None:
        """Add texts that are not there yet."""
        self.said += [text for text in texts if text not in self.said]

    def some(self, noun: str, what: str, names: Iterable[str]) -> None:
        """Add a count of a noun, what is wrong with them, and three names; nothing for an empty list."""
        known = sorted(names, key=natural_key)
        if known:
            some = ", ".join(clean(name[:80]) for name in known[:3]) + (", …" if len(known) > 3 else "")
            self.said.append(f"{len(known)} {noun}{'' if len(known) == 1 else 's'} {what} ({some})")


def number(text: str, name: str) -> float | None:
    """A sample's value; None for NaN, Inf, invalid numbers, and DCGM's blanks."""
    query = BY_NAME[name]
    try:
        value = float(text)
    except ValueError:
        return None
    return value if query.low <= value <= query.high else None


def by_label(rows: Iterable[Row], name: str, label: str, notes: Notes) -> dict[str, float]:
    """Label to value; gaps are left out and noted. Rows without the label are under ""."""
    query = BY_NAME[name]
    low, high = query.low, query.high
    found: dict[str, float] = {}
    bad: list[str] = []
    for row in rows:
        key = row.metric.get(label, "")
        try:
            value = float(row.value[1])  # type: ignore[index]
        except (TypeError, ValueError):
            value = float("nan")
        if low <= value <= high:
            found[key] = value
        else:
            bad.append(key)
    notes.some("value", f"of {name} left out: NaN, infinite or out of bounds", bad)
    return found


def points(rows: Sequence[Row], name: str, start: int, end: int, step: int) -> tuple[tuple[int, float | None], ...]:
    """The single series of a range answer as (epoch, value) at every step; None without a valid sample."""
    found: list[float | None] = [None] * ((end - start) // step + 1)
    for row in rows[:1]:
        for at, text in row.values:
            place = round((at - start) / step)
            if 0 <= place < len(found):
                found[place] = number(text, name)
    return tuple((start + place * step, value) for place, value in enumerate(found))


def part_of_total(counts: Mapping[str, float], what: str) -> str:
    """`3 of 4` of a job's targets."""
    return f"{what} ({counts.get('up', 0):.0f} of {counts.get('all', 0):.0f} up)"
