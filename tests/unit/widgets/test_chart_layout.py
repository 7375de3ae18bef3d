"""A chart as text: it fills its box and never leaves it, and unknown is never painted as a value."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from widgets.cells import spans_width
from widgets.chart_layout import (
    MARKS,
    ChartContent,
    ChartLimit,
    ChartMark,
    ChartSeries,
    Point,
    chart_lines,
    column_values,
)

START = 1_790_000_000
BLOCKS = "▁▂▃▄▅▆▇█"


def points(*values: float | None, step: int = 60) -> tuple[Point, ...]:
    return tuple((START + step * at, value) for at, value in enumerate(values))


def content(*values: float | None, title: str = "power", unit: str = "W", **more) -> ChartContent:
    return ChartContent(title=title, unit=unit, series=(ChartSeries(points(*values)),), **more)


def text(shown: ChartContent, cells: int = 60, height: int = 12) -> list[str]:
    return ["".join(piece for piece, _ in line) for line in chart_lines(shown, cells, height, UTC)]


def plot(lines: list[str]) -> list[str]:
    """The lines of the plot, right of the axis."""
    return [line.replace("┤", "│").partition("│")[2] for line in lines if "│" in line or "┤" in line]


def roles(shown: ChartContent, cells: int = 60, height: int = 12) -> set[str]:
    return {role for line in chart_lines(shown, cells, height, UTC) for piece, role in line if piece.strip()}


def test_the_area_below_the_line_is_filled():
    lines = plot(text(content(*range(100, 200))))
    for x in range(len(lines[0])):
        column = "".join(line[x] for line in lines).lstrip(" ")
        assert column and set(column[1:]) <= {"█"}, "one step at the top, full below it"


def test_a_line_uses_all_of_the_plot():
    lines = plot(text(content(*([600, 1000] * 40)), 100, 30))
    assert any(mark in lines[0] for mark in BLOCKS) and len(lines) == 27 and all(len(line) > 80 for line in lines)


def test_zero_is_painted_and_unknown_is_not():
    (*_, last) = plot(text(content(0, 0, 0, None, None, None, 0, 0, 50, unit="%"), 60, 8))
    assert last[0] == "▁" and "   " in last.strip(), last


def test_a_missing_sample_is_a_gap_where_no_point_says_so():
    known = [(START + at, 1.0) for at in (*range(0, 600, 60), *range(1200, 1800, 60))]
    values = column_values(known, (START, START + 1740), 60)
    assert None in values and values[0] == values[-1] == 1.0
    assert None not in values[:18] and None not in values[45:], "between neighbours there is no gap"


def test_the_title_has_the_newest_value_the_least_and_the_greatest():
    assert "700 W  min 500 W  max 900 W" in text(content(600, 500, 900, 700))[0]
    assert "max 900 W" in text(content(600, 500, 900, 700), 42)[0]
    series = ChartSeries(points(600, 900), now=950)
    assert "950 W" in text(ChartContent(title="power", unit="W", series=(series,)))[0], "a newer reading"


def test_the_title_says_where_the_axis_starts_unless_at_0():
    assert "axis from 500 W" in text(content(610, 900), 100)[0]
    assert "axis from" not in text(content(75, 89, unit="%"), 100)[0]


def test_a_limit_is_a_line_with_its_label():
    shown = content(*[700] * 20, limit=ChartLimit("budget", 800))
    lines = text(shown)
    (line,) = [one for one in lines if "╌" in one]
    assert "budget 800 W" in line and lines.index(line) < next(at for at, one in enumerate(lines) if "█" in one), lines


def test_what_is_above_a_limit_is_painted_as_bad():
    assert "bad" not in roles(content(*[700] * 20, limit=ChartLimit("budget", 800)))
    assert "bad" in roles(content(*[900] * 20, limit=ChartLimit("budget", 700)))


def test_a_limit_far_away_is_in_the_title():
    first, *rest = text(content(*[700] * 20, limit=ChartLimit("budget", 9000)), 100)
    assert "budget 9.0 kW above this axis" in first and not any("╌" in line for line in rest)


TWO = ChartContent(
    title="use",
    unit="%",
    series=(ChartSeries(points(*[80] * 30), "utilisation"), ChartSeries(points(*[40] * 30), "memory")),
)


def test_two_series_differ_without_colour_and_have_a_legend():
    shown = "\n".join(text(TWO, 100, 14))
    assert "▆ utilisation 80 % (80 % to 80 %)  ⠒⠒ memory 40 % (40 % to 40 %)" in shown
    assert "█" in shown and any(0x2800 <= ord(sign) < 0x2900 for line in plot(text(TWO, 100, 14)) for sign in line)
    assert {"fill", "text-strong"} <= roles(TWO, 100, 14)


def test_a_legend_that_does_not_fit_the_title_has_its_own_line():
    lines = text(TWO, 60, 14)
    assert "▆" not in lines[0] and "▆ utilisation" in lines[1]


def test_a_narrow_legend_leaves_out_the_least_and_greatest_first():
    both = structs.replace(TWO, marks=(ChartMark(START + 600, "job start"), ChartMark(START + 900, "job end")))
    assert " ▆ utilisation 80 %  ⠒⠒ memory 40 %   ► job start  ◄ job end" in text(both, 80, 12)[1]


def test_marks_are_at_their_time_with_a_legend_and_only_then():
    marks = tuple(ChartMark(START + 60 * at, kind) for at, kind in zip((5, 15, 25, 30), MARKS, strict=True))
    shown = content(*[700] * 40, marks=marks)
    lines = text(shown, 100, 12)
    legend = "! alert  ▲ action  ► job start  ◄ job end"
    assert legend in lines[0] or legend in lines[1]
    (axis,) = [line for line in lines if "└" in line]
    assert [sign for sign in axis if sign in "!▲►◄"] == ["!", "▲", "►", "◄"]
    small = text(shown, 40, 7)
    assert not any(sign in "".join(small) for sign in "!▲►◄"), "a mark without its legend means nothing"
    outside = content(*[700] * 40, marks=(ChartMark(START - 1, "alert"),))
    assert "alert" not in "".join(text(outside, 100, 12))


def test_an_alert_is_not_hidden_by_a_job_that_started_then():
    marks = (ChartMark(START + 600, "alert"), ChartMark(START + 600, "job start"))
    assert "!" in next(line for line in text(content(*[700] * 40, marks=marks), 100) if "└" in line)


def test_without_a_sample_it_says_why():
    lines = text(content(None, None, empty_text="no source gives a history of it"), 50, 5)
    assert "power" in lines[0] and "—" in lines[0] and "no source gives a history" in lines[1]
    assert not any(mark in "".join(lines) for mark in BLOCKS)
    assert not "".join(text(ChartContent())).strip(), "nothing was shown yet"


VALUE = st.none() | st.floats(-1e7, 1e7) | st.floats(0, 100)


@st.composite
def contents(draw) -> ChartContent:
    series = tuple(
        ChartSeries(points(*draw(st.lists(VALUE, max_size=80))), name)
        for name in ("one", "two", "three", "four")[: draw(st.integers(0, 4))]
    )
    limit = draw(st.none() | st.builds(ChartLimit, st.just("budget"), st.floats(1, 1e7)))
    mark = st.builds(ChartMark, st.integers(START - 100, START + 6000), st.sampled_from(tuple(MARKS)))
    return ChartContent(
        title="Site power", over="24 h", unit=draw(st.sampled_from(("%", "W", "°C", "MHz"))), series=series,
        limit=limit, marks=tuple(draw(st.lists(mark, max_size=9))), empty_text="no history was recorded",
    )  # fmt: skip


@given(shown=contents(), cells=st.integers(0, 300), height=st.integers(0, 60))
def test_a_chart_fills_its_box_exactly(shown, cells, height):
    lines = chart_lines(shown, cells, height, UTC)
    assert len(lines) == (height if cells else 0)
    assert all(spans_width(line) == cells for line in lines)


@given(values=st.lists(VALUE, min_size=2, max_size=60), cells=st.integers(20, 300), height=st.integers(5, 40))
def test_unknown_is_never_painted(values, cells, height):
    """A column without a sample, and not between two samples that follow each other, is blank."""
    lines = plot(text(content(*values), cells, height))
    if not lines:
        return
    columns = min(len(line) for line in lines)
    ends = points(*values)[0][0], points(*values)[-1][0]
    expected = column_values(points(*values), ends, columns)
    for x, value in enumerate(expected):
        column = "".join(line[x] for line in lines)
        assert bool(column.strip()) == (value is not None), (x, value, column)


@given(values=st.lists(VALUE, min_size=2, max_size=60), columns=st.integers(2, 600))
def test_a_column_is_known_only_near_a_sample(values, columns):
    found = points(*values)
    span = found[0][0], found[-1][0]
    per_column = (span[1] - span[0]) / max(1, columns - 1)
    for x, value in enumerate(column_values(found, span, columns)):
        at = span[0] + x * per_column
        before = [point for point in found if point[0] <= at]
        after = [point for point in found if point[0] >= at]
        distances = [abs(point[0] - at) for point in found if point[1] is not None]
        # A sample halfway between two columns may be on either.
        near = any(one <= per_column / 2 + 1e-6 for one in distances)
        close = any(one < per_column / 2 - 1e-6 for one in distances)
        between = before and after and before[-1][1] is not None and after[0][1] is not None
        assert value is None or near or between
        assert value is not None or not close


@pytest.mark.parametrize("cells", [20, 30, 40, 60, 80, 120, 200, 300])
@pytest.mark.parametrize("height", [4, 6, 9, 20])
def test_at_every_size_there_is_a_plot_with_units(cells, height):
    lines = text(content(*range(600, 900, 5), limit=ChartLimit("budget", 1000)), cells, height)
    assert sum("W┤" in line for line in lines) >= 2
    assert len(plot(lines)) >= height - 4
