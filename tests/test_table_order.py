"""Order: small changes end in the same order as sorting everything anew would."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from widgets.order import Order

Rows = dict[str, tuple[int | None]]
KEYS = st.sampled_from([f"k{i}" for i in range(40)])
ROW = st.tuples(st.none() | st.integers(0, 5))
ROWS = st.dictionaries(KEYS, ROW, max_size=40)


def expected(rows: Mapping[str, Any], reverse: bool, sort: Any) -> list[str]:
    """What the rules say: known values in order, those alike as they came, unknown last."""
    if sort is None:
        return list(rows)
    known = sorted((key for key in rows if sort(rows[key]) is not None), key=lambda k: sort(rows[k]), reverse=reverse)
    return known + [key for key in rows if sort(rows[key]) is None]


@given(
    ROWS,
    st.lists(st.dictionaries(KEYS, st.none() | ROW, max_size=4), max_size=8),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_changes_end_in_the_order_of_a_full_sort(
    rows: Rows, changes: list[dict[str, tuple[int | None] | None]], reverse: bool, sorted_by: bool, few: bool
) -> None:
    sort = (lambda row: row[0]) if sorted_by else None
    order: Order[tuple[int | None]] = Order()
    order.sort_by(sort, reverse)
    order.set(rows)
    model = dict(rows)
    assert order.keys == expected(model, reverse, sort)
    for change in changes:
        before = list(order.keys)
        # A table this small is always sorted anew, if one does not insist.
        moved = order._change_few(change) if few else order.change(change)
        for key, row in change.items():
            if row is None:
                model.pop(key, None)
            else:
                model[key] = row
        assert order.keys == expected(model, reverse, sort)
        assert order.rows == model
        assert moved or before == order.keys
        assert [order.index(key) for key in order.keys] == list(range(len(order.keys)))


def test_a_value_that_does_not_compare_breaks_nothing() -> None:
    order: Order[float] = Order()
    order.sort_by(lambda row: row)
    order.set({f"k{i}": (math.nan if i % 3 else float(i)) for i in range(300)})
    order.change({"k1": None, "k3": 7.0, "k5": math.nan})
    assert sorted(order.keys) == sorted(order.rows)
    assert order.index("k5") == order.keys.index("k5")
    assert order.index("no") is None


def test_the_nearest_that_stays() -> None:
    order: Order[int] = Order()
    order.set(dict.fromkeys("abcde", 0))
    assert order.nearest(2, lambda key: key in "cd") == "e"
    assert order.nearest(2, lambda key: key in "cde") == "b"
    assert order.nearest(9, lambda key: key == "e") == "d"
    assert order.nearest(2, lambda _: True) is None
