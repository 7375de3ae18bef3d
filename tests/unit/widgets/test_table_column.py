"""Columns: which vanish, which grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from widgets.column_layout import GAP, place_columns
from widgets.table_column import Column


def column(key: str, width: int, priority: int = 0, grow: int = 0, most: int | None = None) -> Column:
    return Column(key, key, width, lambda row, ctx: "", priority=priority, grow=grow, max_width=most)


COLUMNS = (
    column("node", 8),
    column("state", 12),
    column("power", 8, priority=3),
    column("gpus", 6, priority=2),
    column("rack", 5, priority=3),
    column("reason", 10, priority=1, grow=1),
)


def shown(width: int) -> list[str]:
    return [p.column.key for p in place_columns(COLUMNS, width)]


def test_the_highest_priority_number_goes_first_and_the_rightmost_of_equals() -> None:
    assert shown(59) == ["node", "state", "power", "gpus", "rack", "reason"]
    assert shown(58) == ["node", "state", "power", "gpus", "reason"]
    assert shown(51) == ["node", "state", "gpus", "reason"]
    assert shown(35) == ["node", "state", "reason"]
    assert shown(22) == ["node", "state"]
    assert shown(10) == ["node"]
    assert shown(3) == ["node"]
    assert shown(0) == []


def test_growing_columns_share_what_is_left() -> None:
    placed = place_columns((column("a", 4), column("b", 4, grow=1), column("c", 4, grow=2)), 4 + 4 + 4 + 2 * GAP + 9)
    assert [p.width for p in placed] == [4, 7, 10]
    placed = place_columns((column("a", 4, grow=1, most=6), column("b", 4, grow=1)), 30)
    assert [p.width for p in placed] == [6, 22]
    assert place_columns((column("a", 4),), 30)[0].width == 4


@given(
    st.lists(
        st.builds(
            column,
            st.text("abc", min_size=1),
            st.integers(1, 20),
            st.integers(0, 3),
            st.integers(0, 2),
            st.none() | st.integers(20, 30),
        ),
        max_size=8,
    ),
    st.integers(0, 200),
    st.integers(0, 2),
)
def test_no_column_leaves_the_line_or_touches_the_next(columns: list[Column], width: int, start: int) -> None:
    placed = place_columns(columns, width, start)
    x = start
    for spot in placed:
        assert spot.x == x
        x += spot.width + GAP
        assert spot.x + spot.width <= max(width, start)
        assert spot.width >= spot.column.width or len(placed) == 1
    if columns and width > start:
        assert placed and placed[0].column is columns[0]
