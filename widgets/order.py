"""Order: the keys of a table in the order they are shown, kept sorted through small changes.

A hundred thousand rows are sorted when they are set or when the sort changes. A reading that changes 45 of them
takes those out and puts them in again by bisection, which costs microseconds each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")
Sort = Callable[[Any], Any]

_MANY = 64
"""A change of more than one row in so many is cheaper sorted anew (timsort is quick on what is nearly sorted)."""


class Order(Generic[Row]):
    """Rows by key, and their keys sorted by `sort` (None: as they came). Unknown (None) stands last either way.

    Rows that sort alike keep the order in which they came; rows that came by `change` came last.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.keys: list[str] = []
        self.sort: Sort | None = None
        self.reverse = False
        self._numbers: dict[str, int] | None = None
        self._next = 0
        self._values: dict[str, Any] = {}

    def set(self, rows: Mapping[str, Row]) -> None:
        """Replace all rows; their order in the mapping is the order in which they came."""
        self.rows = dict(rows)
        self._numbers = None
        self._resort()

    def sort_by(self, sort: Sort | None, reverse: bool = False) -> None:
        """Sort by another value."""
        self.sort, self.reverse = sort, reverse
        self._resort()

    def change(self, changed: Mapping[str, Row | None]) -> bool:
        """Put in the changed rows, take out those that are None. True when any key came, went or moved."""
        if len(changed) * _MANY > len(self.rows):
            return self._change_many(changed)
        return self._change_few(changed)

    def index(self, key: str) -> int | None:
        """Where the key stands, None where it does not."""
        if key not in self.rows:
            return None
        at = self._find(key)
        return at if at < len(self.keys) and self.keys[at] == key else self.keys.index(key)

    def nearest(self, at: int, gone: Callable[[str], bool]) -> str | None:
        """The key at a place or else the nearest one below, then above, for which `gone` is not true."""
        keys = self.keys
        at = max(0, min(at, len(keys) - 1))
        for key in keys[at:]:
            if not gone(key):
                return key
        return next((key for key in reversed(keys[:at]) if not gone(key)), None)

    def _change_few(self, changed: Mapping[str, Row | None]) -> bool:
        """Each changed row by bisection."""
        moved = False
        for key, row in changed.items():
            known = key in self.rows
            if row is None:
                if known:
                    self._take_out(key)
                    del self._came[key], self.rows[key]
                    self._values.pop(key, None)
                    moved = True
            elif not known:
                came = self._came  # first: it may be made from the rows
                self.rows[key] = row
                came[key] = self._next
                self._next += 1
                self._put_in(key, row)
                moved = True
            else:
                self.rows[key] = row
                if self.sort is not None and (value := self.sort(row)) != self._values[key]:
                    self._take_out(key)
                    self._put_in(key, row, value)
                    moved = True
        return moved

    def _change_many(self, changed: Mapping[str, Row | None]) -> bool:
        """The same by sorting anew."""
        before = self.keys
        for key, row in changed.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        self._numbers = None
        self._resort()
        return self.keys != before

    @property
    def _came(self) -> dict[str, int]:
        """Which came first, by number; made when it is asked for, since a list that is only looked at needs none."""
        if self._numbers is None:
            self._numbers = dict(zip(self.rows, range(len(self.rows)), strict=True))
            self._next = len(self.rows)
        return self._numbers

    def _resort(self) -> None:
        # The rows stand as they came: what comes is put last in both, and a new value takes the old one's place.
        rows = self.rows
        if self.sort is None:
            self._values = {}
            self.keys = list(rows)
            return
        each = list(map(self.sort, rows.values()))
        values = self._values = dict(zip(rows, each, strict=True))
        self.keys = [key for key, value in values.items() if value is not None]
        self.keys.sort(key=values.__getitem__, reverse=self.reverse)
        if len(self.keys) < len(values):
            self.keys += [key for key, value in values.items() if value is None]

    def _put_in(self, key: str, row: Row, value: Any = None) -> None:
        if self.sort is not None:
            self._values[key] = self.sort(row) if value is None else value
        self.keys.insert(self._find(key), key)

    def _take_out(self, key: str) -> None:
        at = self._find(key)
        if at >= len(self.keys) or self.keys[at] != key:  # only where a value does not compare, as NaN
            at = self.keys.index(key)
        del self.keys[at]

    def _find(self, key: str) -> int:
        """Place of a key among the others by bisection: where it stands, or where it belongs."""
        value, came = self._values.get(key), self._came[key]
        low, high = 0, len(self.keys)
        while low < high:
            middle = (low + high) // 2
            if self._before(self.keys[middle], value, came):
                low = middle + 1
            else:
                high = middle
        return low

    def _before(self, key: str, value: Any, came: int) -> bool:
        """Whether a key stands before one of this value that came so."""
        other = self._values.get(key)
        if other is None or value is None:
            if other is None and value is None:
                return self._came[key] < came
            return other is not None
        if other != value:
            return bool(other > value) if self.reverse else bool(other < value)
        return self._came[key] < came
