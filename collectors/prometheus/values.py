"""From rows of an answer to values: what is no number, or is out of all bounds, becomes a gap that is counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from collectors.clean import clean
from collectors.nodeset import natural_key

from .query_table import BY_NAME

if TYPE_CHECKING:
    from .http_transport import Row

#: What Slurm allows as a node's name, and what may therefore be asked for.
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Notes:
    """What is left out of the facts and why, for their warnings."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, *texts: str) -> None:
        """Take down what is not there yet."""
        self.said += [text for text in texts if text not in self.said]

    def some(self, noun: str, what: str, names: Iterable[str]) -> None:
        """How many of a noun, what is with them, and three of them by name; nothing of none."""
        known = sorted(names, key=natural_key)
        if known:
            some = ", ".join(clean(name[:80]) for name in known[:3]) + (", …" if len(known) > 3 else "")
            self.said.append(f"{len(known)} {noun}{'' if len(known) == 1 else 's'} {what} ({some})")


def number(text: str, name: str) -> float | None:
    """A sample's value; None for NaN, Inf, what is no number, and DCGM's blanks."""
    query = BY_NAME[name]
    try:
        value = float(text)
    except ValueError:
        return None
    return value if query.low <= value <= query.high else None


def by_label(rows: Iterable[Row], name: str, label: str, notes: Notes) -> dict[str, float]:
    """Label to value; gaps are left out and told. Rows without the label stand under ""."""
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
    """The one series of a range answer as (epoch, value) at every step; None where there is no sample or no number."""
    found: list[float | None] = [None] * ((end - start) // step + 1)
    for row in rows[:1]:
        for at, text in row.values:
            place = round((at - start) / step)
            if 0 <= place < len(found):
                found[place] = number(text, name)
    return tuple((start + place * step, value) for place, value in enumerate(found))


def part_of_total(counts: Mapping[str, float], what: str) -> str:
    """`3 of 4` of a job of targets."""
    return f"{what} ({counts.get('up', 0):.0f} of {counts.get('all', 0):.0f} up)"
