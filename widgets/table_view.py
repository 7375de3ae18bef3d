"""TableView: the rows of a table in the order shown. Created in any thread, immutable, shown by a table.

Sorting 100,000 rows takes a tenth of a second, mostly to compute the sort values. So that no key waits for it, large
views are made off the event loop, and the values of unchanged rows are reused.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

Row = TypeVar("Row")
SortValue = Callable[[Any], Any]

MAX_SYNC_ROWS = 5000
"""Up to this number of rows are sorted by the caller's thread: 5 ms on two cores."""
_MAX_SORT_KEYS = 12_500
"""Keys to sort in one call, during which no other thread runs. More keys are first distributed into parts, each sorted
by itself.
"""
_SAMPLE = 1000
"""Keys that are sampled to choose the limits of the parts."""


class SortKey(NamedTuple):
    """The sort of rows: the value of a row (None: the given order), and whether the greatest is first."""

    sort: SortValue | None = None
    reverse: bool = False


class TableView(Generic[Row]):
    """Rows by key, and their keys in order. Unknown (None) is last in either direction; rows with equal values are in
    the order of the mapping.
    """

    __slots__ = ("_known", "keys", "rows", "sort_key", "values")

    def __init__(
        self, rows: Mapping[str, Row], by: SortKey, values: Mapping[str, Any], keys: Sequence[str], known: int
    ) -> None:
        """Use `arrange` instead. The first `known` keys have a value."""
        self.rows, self.sort_key, self.values, self.keys = rows, by, values, keys
        self._known = known

    def index(self, key: str) -> int | None:
        """The position of a key; None where it is absent."""
        if key not in self.rows:
            return None
        value = self.values.get(key)
        if value is None:
            return self.keys.index(key, self._known)
        keys, values, reverse = self.keys, self.values, self.sort_key.reverse
        low, high = 0, self._known
        while low < high:
            middle = (low + high) // 2
            other = values[keys[middle]]
            if (other > value) if reverse else (other < value):
                low = middle + 1
            else:
                high = middle
        try:
            return keys.index(key, low)
        except ValueError:  # only where a value is not comparable, such as NaN
            return keys.index(key)

    def nearest(self, at: int, gone: Callable[[str], bool]) -> str | None:
        """The key at a position, else the nearest below, then above, for which `gone` is false."""
        keys = self.keys
        at = max(0, min(at, len(keys) - 1))
        for place in range(at, len(keys)):
            if not gone(keys[place]):
                return keys[place]
        return next((keys[place] for place in range(at - 1, -1, -1) if not gone(keys[place])), None)


def arrange(rows: Mapping[str, Row], by: SortKey = SortKey(), before: TableView[Row] | None = None) -> TableView[Row]:  # noqa: B008
    """Sort rows. `before` is an earlier view with the same sort, whose values are reused."""
    if by.sort is None:
        return TableView(rows, by, {}, list(rows), 0)
    sort = by.sort
    if before is not None and before.sort_key.sort is sort:
        old, had = before.rows, before.values
        values = {key: had[key] if old.get(key) is row else sort(row) for key, row in rows.items()}
    else:
        values = {key: sort(row) for key, row in rows.items()}
    keys = [key for key, value in values.items() if value is not None]
    parts = _partitioned(keys, values)
    if by.reverse:
        parts.reverse()
    keys = [key for part in parts for key in sorted(part, key=values.__getitem__, reverse=by.reverse)]
    known = len(keys)
    if known < len(values):
        keys += [key for key, value in values.items() if value is None]
    return TableView(rows, by, values, keys, known)


def _partitioned(keys: Sequence[str], values: Mapping[str, Any]) -> list[list[str]]:
    """The keys in parts, each sorting before the next; keys of equal value are in one part, in their order."""
    if len(keys) <= _MAX_SORT_KEYS:
        return [list(keys)]
    some = sorted(values[key] for key in keys[:: max(1, len(keys) // _SAMPLE)])
    bounds = some[:: max(1, len(some) * _MAX_SORT_KEYS // len(keys))][1:]
    parts: list[list[str]] = [[] for _ in range(len(bounds) + 1)]
    for key in keys:
        parts[bisect_left(bounds, values[key])].append(key)
    return parts
