"""Views: rows in order, whatever they were before; and large tables that are put in order off the event loop."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.table_app import Bench, Row
from widgets import table_view
from widgets.table_view import MAX_SYNC_ROWS, SortKey, arrange

Rows = dict[str, tuple[int | None]]
KEYS = st.sampled_from([f"k{i}" for i in range(40)])
ROW = st.tuples(st.none() | st.integers(0, 5))
ROWS = st.dictionaries(KEYS, ROW, max_size=40)


def expected(rows: Mapping[str, Any], by: SortKey) -> list[str]:
    """What the rules say: known values in order, those alike as they came, unknown last."""
    sort = by.sort
    if sort is None:
        return list(rows)
    known = sorted(
        (key for key in rows if sort(rows[key]) is not None), key=lambda k: sort(rows[k]), reverse=by.reverse
    )
    return known + [key for key in rows if sort(rows[key]) is None]


@given(ROWS, ROWS, st.booleans(), st.booleans(), st.integers(1, 9))
def test_any_view_is_in_the_order_of_a_full_sort(
    before: Rows, changed: Rows, reverse: bool, sorted_by: bool, slice_of: int
) -> None:
    asked: list[Any] = []

    def value(row: tuple[int | None]) -> int | None:
        asked.append(row)
        return row[0]

    by = SortKey(value if sorted_by else None, reverse)
    rows = {**before, **changed}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_view, "_MAX_SORT_KEYS", slice_of)
        earlier = arrange(before, by)
        asked.clear()
        later = arrange(rows, by, earlier)
    assert len(asked) <= len(changed), "the values of rows that are the same are known"
    assert list(later.keys) == expected(rows, by)
    assert [later.index(key) for key in later.keys] == list(range(len(rows)))
    assert later.index("no") is None


def test_values_of_another_order_are_not_used_again():
    rows = {"a": (2, 1), "b": (1, 2)}
    first = arrange(rows, SortKey(lambda row: row[0]))
    assert list(first.keys) == ["b", "a"]
    assert list(arrange(rows, SortKey(lambda row: row[1]), first).keys) == ["a", "b"]


def test_a_value_that_does_not_compare_breaks_nothing() -> None:
    made = arrange({f"k{i}": (math.nan if i % 3 else float(i)) for i in range(300)}, SortKey(lambda row: row))
    assert sorted(made.keys) == sorted(made.rows)
    assert all(made.keys[made.index(key) or 0] == key for key in made.keys)


def test_the_nearest_that_stays() -> None:
    made = arrange(dict.fromkeys("abcde", 0))
    assert made.nearest(2, lambda key: key in "cd") == "e"
    assert made.nearest(2, lambda key: key in "cde") == "b"
    assert made.nearest(9, lambda key: key == "e") == "d"
    assert made.nearest(2, lambda _: True) is None


async def test_many_rows_are_put_in_order_by_another_thread_and_the_last_order_counts(monkeypatch):
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        by, release = [], threading.Event()

        def slow(*of: Any) -> Any:
            by.append(threading.current_thread())
            release.wait(20)
            return arrange(*of)

        monkeypatch.setattr("widgets.table.arrange", slow)
        many = {f"n{i:05d}": Row(f"n{i:05d}", load=i) for i in range(MAX_SYNC_ROWS + 1)}
        app.table.set_rows(many)
        app.table.sort_by("load")
        assert (len(app.table.keys), app.table.sort_column) == (100, "load"), "what stood there stands there still"
        await pilot.press("down")
        assert app.table.cursor_key == "gpu0001", "and keys go on"
        release.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.table.keys[0] == f"n{MAX_SYNC_ROWS:05d}", "greatest load first, of the rows that came last"
        assert len(app.table.keys) == len(many)
        assert threading.main_thread() not in by


async def test_a_view_in_this_order_needs_no_sorting_and_one_in_another_gets_it():
    app = Bench()
    async with app.run_test(size=(80, 24)):
        rows = {name: Row(name, load=load) for name, load in (("a", 1), ("b", 3), ("c", 2))}
        app.table.sort_by("load")
        ready = arrange(rows, app.table.sort_key)
        app.table.set_rows(ready)
        assert app.table._view is ready
        app.table.set_rows(arrange(rows, SortKey()))
        assert list(app.table.keys) == ["b", "c", "a"]
