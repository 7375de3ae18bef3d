"""TableView: the rows of a table in the order they are shown. Made by any thread, never changed, shown by a table.

A hundred thousand rows take a tenth of a second to put in order, most of it for the values to sort by. So that no key
waits for it, large views are made off the event loop, and the values of rows that are the same as before are kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

Row = TypeVar("Row")
SortValue = Callable[[Any], Any]

MAX_SYNC_ROWS = 5000
"""Rows up to this number are put in order where they are asked for: 5 ms on two cores."""
_MAX_SORT_KEYS = 12_500
"""Keys to sort in one call, which lets no other thread run until it ends. More are first dealt into so many parts, each
of which is sorted by itself."""
_SAMPLE = 1000
"""Keys that are looked at to say where the parts end."""


class SortKey(NamedTuple):
    """What rows are sorted by: the value of a row (None: as they came), and whether the greatest stand first."""

    sort: SortValue | None = None
    reverse: bool = False


class TableView(Generic[Row]):
    """Rows by key, and their keys in order. Unknown (None) stands last either way; rows that sort alike stand in the
    order of the mapping."""

    __slots__ = ("_known", "keys", "rows", "sort_key", "values")

    def __init__(
        self, rows: Mapping[str, Row], by: SortKey, values: Mapping[str, Any], keys: Sequence[str], known: int
    ) -> None:
        """Use `arrange`. `known` keys, the first ones, have a value."""
        self.rows, self.sort_key, self.values, self.keys = rows, by, values, keys
        self._known = known

    def index(self, key: str) -> int | None:
        """Where the key stands, None where it does not."""
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
        except ValueError:  # only where a value does not compare, as NaN
            return keys.index(key)

    def nearest(self, at: int, gone: Callable[[str], bool]) -> str | None:
        """The key at a place or else the nearest one below, then above, for which `gone` is not true."""
        keys = self.keys
        at = max(0, min(at, len(keys) - 1))
        for place in range(at, len(keys)):
            if not gone(keys[place]):
                return keys[place]
        return next((keys[place] for place in range(at - 1, -1, -1) if not gone(keys[place])), None)


def arrange(rows: Mapping[str, Row], by: SortKey = SortKey(), before: TableView[Row] | None = None) -> TableView[Row]:  # noqa: B008
    """Put rows in order. `before` is an earlier view, sorted by the same, whose values are used again."""
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
    """The keys in parts, all of one before all of the next; those of one value are in one part, in their order."""
    if len(keys) <= _MAX_SORT_KEYS:
        return [list(keys)]
    some = sorted(values[key] for key in keys[:: max(1, len(keys) // _SAMPLE)])
    bounds = some[:: max(1, len(some) * _MAX_SORT_KEYS // len(keys))][1:]
    parts: list[list[str]] = [[] for _ in range(len(bounds) + 1)]
    for key in keys:
        parts[bisect_left(bounds, values[key])].append(key)
    return parts
