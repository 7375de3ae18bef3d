"""A chart as lines of spans: a filled area, further series as lines, limits, marks on the time axis. Pure.

The first series is an area of block characters, eight steps a line; further ones are lines of braille dots, each with
its own pattern and role. A gap in the samples is a gap in the area: unknown is never 0, and a known value is at least
one step tall.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from itertools import pairwise
from textwrap import wrap

from msgspec import Struct

from .bars import LEVELS
from .cells import Span, cut_spans, pad_spans, spans_width
from .chart_scale import Unit, ValueAxis, limit_fits, time_ticks, unit_of, value_axis

Point = tuple[float, float | None]
"""Seconds since the epoch, and a value or None."""

#: Kinds of marks on the time axis, most important first: glyph, role, word of the legend.
MARKS: dict[str, tuple[str, str, str]] = {
    "alert": ("!", "bad", "alert"),
    "action": ("▲", "text-strong", "action"),
    "job start": ("►", "accent", "job start"),
    "job end": ("◄", "text-dim", "job end"),
}
#: Pattern (every how many-th column of dots is drawn), role and legend of the series after the first.
_LINES = ((1, "text-strong", "⠒⠒"), (2, "accent", "⠂⠂"), (4, "title", "⠂ "))
#: The roles of the top of the area and of what is below it.
_EDGE, _BODY = "fill", "trough"
_AREA_LEGEND = "▆"
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
#: Neighbouring samples further apart than this many usual steps have a gap between them.
_GAP_STEPS = 2.5
#: Least height for the time axis, for its line with marks, and for a legend on a line of its own.
_TIMES_HEIGHT, _AXIS_HEIGHT, _LEGEND_HEIGHT = 4, 7, 9


class ChartSeries(Struct, frozen=True):
    """One series. The name is shown where a chart has several."""

    points: Sequence[Point]
    name: str = ""
    now: float | None = None
    """The present value, where a newer reading than the last point gives it."""

    @property
    def newest(self) -> float | None:
        """The present value."""
        return self.now if self.now is not None or not self.points else self.points[-1][1]


class ChartLimit(Struct, frozen=True):
    """A limit: a power budget, a temperature."""

    name: str
    value: float


class ChartMark(Struct, frozen=True):
    """Something that happened: when, and what of `MARKS`."""

    at: float
    kind: str


class ChartContent(Struct, frozen=True, kw_only=True):
    """What a chart shows."""

    title: str = ""
    """Without a title nothing is shown at all."""
    over: str = ""
    """The time that it covers, as a word."""
    unit: str = ""
    series: tuple[ChartSeries, ...] = ()
    limit: ChartLimit | None = None
    marks: tuple[ChartMark, ...] = ()
    empty_text: str = ""
    """Why there is nothing to show."""
    with_legend: bool = True
    """False where a chart beside it has the legend of the marks."""


def chart_lines(content: ChartContent, cells: int, height: int, zone: tzinfo | None = None) -> list[list[Span]]:
    """The chart in exactly `height` lines of exactly `cells` cells."""
    if cells <= 0 or height <= 0:
        return []
    lines = _lines(content, cells, height, zone) if content.title else []
    lines += [[] for _ in range(height - len(lines))]
    return [pad_spans(line, cells) for line in lines[:height]]


def _lines(content: ChartContent, cells: int, height: int, zone: tzinfo | None) -> list[list[Span]]:
    unit = unit_of(content.unit)
    known = [value for one in content.series for _, value in one.points if value is not None]
    title: list[Span] = [(f" {content.title}", "title"), (f"  {content.over}" if content.over else "", "text-dim")]
    if not known:
        now = unit.write(content.series[0].newest if content.series else None)
        said = wrap(content.empty_text, max(1, cells - 4))[: height - 1]
        return [_spread(title, (now, "text-strong"), cells=cells), *([("   " + one, "text-dim")] for one in said)]
    low, high, limit = min(known), max(known), content.limit
    if limit is not None and limit_fits(limit.value, low, high):
        low, high = min(low, limit.value), max(high, limit.value)
    span = _span(content.series)
    legend = _series_legend(content.series, unit) if len(content.series) > 1 else []
    marks = [one for one in content.marks if one.at >= span[0]] if height >= _AXIS_HEIGHT else []
    marks_legend = _marks_legend(marks) if content.with_legend else []

    own_line = False
    while True:
        rows = height - 1 - own_line - (height >= _TIMES_HEIGHT) - (height >= _AXIS_HEIGHT)
        axis = value_axis(low, high, unit, rows)
        notes = _axis_notes(axis, limit, unit, cells - spans_width(title) - 12)
        figures = legend or _figures(content.series[0], unit, cells - spans_width([*title, *notes]) - 2)
        head = [*figures, *([("   ", "")] if marks_legend else []), *marks_legend]
        if own_line or spans_width([*title, *notes, *head]) + 1 <= cells:
            break
        if height < (_AXIS_HEIGHT if legend else _LEGEND_HEIGHT) or not (legend or marks_legend):
            # Without its legend a mark means nothing.
            marks, head = [] if content.with_legend else marks, figures
            break
        own_line = True
    if own_line:
        gap = [("   ", "")] if legend and marks_legend else []
        if spans_width([*legend, *gap, *marks_legend]) >= cells:
            legend = legend and _series_legend(content.series, unit, with_reach=False)
        below = [*legend, *gap, *marks_legend]
        lines = [_spread([*title, *notes], *([] if legend else figures), cells=cells), [(" ", ""), *below]]
    else:
        lines = [_spread([*title, *notes], *head, cells=cells)]
    gutter = max(len(label) for _, label in axis.ticks) + 2
    columns = cells - gutter
    if rows < 1 or columns < 4:
        return lines
    labels = {_row(axis, value, rows): label for value, label in reversed(axis.ticks)}
    for row, painted in enumerate(_plot(content, axis, limit, span, columns, rows)):
        label = labels.get(rows - 1 - row)
        edge = f"{label or '':>{gutter - 1}}{'┤' if label else '│'}"
        lines.append([(edge, "text-dim"), *painted])
    ticks = time_ticks(*span, columns, zone)
    if height >= _AXIS_HEIGHT:
        lines.append([(" " * (gutter - 1) + "└", "text-dim"), *_time_axis(ticks, marks, span, columns)])
    if height >= _TIMES_HEIGHT:
        lines.append([(" " * gutter, ""), (_time_labels(ticks, span, columns), "text-dim")])
    return lines


# The title and the legends.


def _axis_notes(axis: ValueAxis, limit: ChartLimit | None, unit: Unit, room: int) -> list[Span]:
    """What must be known to read the axis: a limit that is not on it, and that it does not start at 0. Its lowest label
    says the latter too, so that is left out where it does not fit.
    """
    notes = []
    if axis.low:
        label = next((label for value, label in axis.ticks if value == axis.low), unit.write(axis.low))
        if len(note := f"  axis from {label}") <= room:
            notes.append((note, "text-dim"))
    if limit is not None and not axis.low <= limit.value <= axis.high:
        way = "above" if limit.value > axis.high else "below"
        notes.append((f"  {limit.name} {unit.write(limit.value)} {way} this axis", "text-dim"))
    return notes


def _spread(left: Sequence[Span], *right: Span, cells: int) -> list[Span]:
    """The left part, cut where needed, and the right part at the right border."""
    right_part = cut_spans(right, cells)
    room = cells - spans_width(right_part) - 1
    return [*pad_spans(left, room), (" ", ""), *right_part] if room > 0 else list(right_part)


def _figures(series: ChartSeries, unit: Unit, room: int) -> list[Span]:
    """The newest value, and as much of the least and greatest as there is room for."""
    known = [value for _, value in series.points if value is not None]
    now, least, most = unit.write(series.newest), unit.write(min(known)), unit.write(max(known))
    for rest in (f"  min {least}  max {most}", f"  max {most}", ""):
        if len(now) + len(rest) <= room:
            break
    return [(now, "text-strong"), (rest, "text-dim")]


def _series_legend(series: Sequence[ChartSeries], unit: Unit, *, with_reach: bool = True) -> list[Span]:
    """Sign, name and newest value of each series, and its least and greatest."""
    spans: list[Span] = []
    for at, one in enumerate(series):
        sign, role = (_AREA_LEGEND, _EDGE) if at == 0 else _line_style(at)[:0:-1]
        known = [value for _, value in one.points if value is not None]
        reach = f" ({unit.write(min(known))} to {unit.write(max(known))})" if known and with_reach else ""
        now = unit.write(one.newest)
        spans += [
            (f"{'  ' if at else ''}{sign} ", role),
            (f"{one.name} ", ""),
            (now, "text-strong"),
            (reach, "text-dim"),
        ]
    return spans


def _line_style(at: int) -> tuple[int, str, str]:
    return _LINES[(at - 1) % len(_LINES)]


def _marks_legend(marks: Iterable[ChartMark]) -> list[Span]:
    kinds = {one.kind for one in marks}
    spans: list[Span] = []
    for kind, (glyph, role, word) in MARKS.items():
        if kind in kinds:
            spans += [(f"{'  ' if spans else ''}{glyph} ", role), (word, "text-dim")]
    return spans


# The plot.


def _span(series: Sequence[ChartSeries]) -> tuple[float, float]:
    """The first and last time of all points."""
    ends = [(one.points[0][0], one.points[-1][0]) for one in series if one.points]
    return min(start for start, _ in ends), max(end for _, end in ends)


def _column(at: float, span: tuple[float, float], columns: int) -> int:
    reach = span[1] - span[0]
    return columns - 1 if reach <= 0 else round((at - span[0]) * (columns - 1) / reach)


def _row(axis: ValueAxis, value: float, rows: int) -> int:
    """The line of a value, counted from the bottom."""
    return min(rows - 1, int(axis.part(value) * rows + 1e-9))


def column_values(points: Sequence[Point], span: tuple[float, float], columns: int) -> list[float | None]:
    """The greatest value of each column's time; None where no sample is known. Columns between two samples that
    follow each other get a value between theirs.
    """
    found: list[float | None] = [None] * columns
    times = [at for at, _ in points]
    steps = sorted(after - before for before, after in pairwise(times))
    usual = steps[len(steps) // 2] if steps else 0
    before: tuple[float, float, int] | None = None
    for at, value in points:
        if value is None or not span[0] <= at <= span[1]:
            before = None
            continue
        x = _column(at, span, columns)
        if before is not None and at - before[0] <= _GAP_STEPS * usual:
            for between in range(before[2] + 1, x):
                found[between] = before[1] + (value - before[1]) * (between - before[2]) / (x - before[2])
        held = found[x]
        found[x] = value if held is None or value > held else held
        before = at, value, x
    return found


def _plot(
    content: ChartContent, axis: ValueAxis, limit: ChartLimit | None, span: tuple[float, float], columns: int, rows: int
) -> list[list[Span]]:
    """The lines of the plot, from the top, each as spans of `columns` cells together."""
    drawn = limit is not None and axis.low <= limit.value <= axis.high
    at_limit = _row(axis, limit.value, rows) if limit is not None and drawn else None
    levels = [
        0 if value is None else max(1, round(axis.part(value) * rows * 8))
        for value in column_values(content.series[0].points, span, columns)
    ]
    curves = [
        (_line_style(at)[1], _curve(one.points, axis, span, columns, rows, _line_style(at)[0]))
        for at, one in enumerate(content.series[1:], 1)
    ]
    lines = []
    for row in range(rows):
        base = (rows - 1 - row) * 8
        text = [LEVELS[min(8, max(0, level - base))] for level in levels]
        over = limit is not None and at_limit is not None and base >= at_limit * 8 and axis.part(limit.value) < 1
        roles = ["bad" if over else _EDGE if level <= base + 8 else _BODY for level in levels]
        if rows - 1 - row == at_limit and limit is not None:
            _draw_limit(text, roles, limit.name, unit_of(content.unit).write(limit.value))
        for line_role, cells in curves:
            for x, dots in cells[row].items():
                text[x], roles[x] = chr(0x2800 + dots), line_role
        lines.append(_runs(text, roles))
    return lines


def _draw_limit(text: list[str], roles: list[str], name: str, value: str) -> None:
    """Draw a limit over a line of the plot. Its label is where the line is free, if it is anywhere."""
    columns = len(text)
    free = "".join(" " if sign == " " else "x" for sign in text)
    for x in range(columns):
        if text[x] in " █":
            text[x], roles[x] = "╌", "warn"
    labels = (f" {name} {value} ", f" {name} ")
    label = next((one for one in labels if " " * len(one) in free), None)
    if label is None:  # little of the area may be hidden
        label = next((one for one in labels if 3 * len(one) <= columns), "")
    start = free.rfind(" " * len(label)) if " " * len(label) in free else columns - len(label)
    text[start : start + len(label)] = label
    roles[start : start + len(label)] = ["warn"] * len(label)


def _curve(
    points: Sequence[Point], axis: ValueAxis, span: tuple[float, float], columns: int, rows: int, every: int
) -> list[dict[int, int]]:
    """The braille dots of a line: for each line of the plot, column to dots."""
    cells: list[dict[int, int]] = [{} for _ in range(rows)]
    tall, before = rows * 4, None
    for x, value in enumerate(column_values(points, span, columns * 2)):
        if value is None:
            before = None
            continue
        height = min(tall - 1, int(axis.part(value) * tall))
        # A steep line is drawn from just beside the dot before it, so that it does not tear.
        near = height if before is None else before
        first, last = (height, max(height, near - 1)) if near > height else (min(height, near + 1), height)
        before = height
        if x % every:
            continue
        for y in range(first, last + 1):
            line = cells[rows - 1 - y // 4]
            line[x // 2] = line.get(x // 2, 0) | _DOTS[x % 2][3 - y % 4]
    return cells


def _runs(text: Sequence[str], roles: Sequence[str]) -> list[Span]:
    """Cells of the same role as one span."""
    spans: list[Span] = []
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or roles[at] != roles[start]:
            spans.append(("".join(text[start:at]), roles[start]))
            start = at
    return spans


# The time axis.


def _time_axis(
    ticks: Iterable[tuple[float, str]], marks: Iterable[ChartMark], span: tuple[float, float], columns: int
) -> list[Span]:
    """The line below the plot, with the ticks and the marks."""
    text, roles = ["─"] * columns, ["text-dim"] * columns
    for at, _ in ticks:
        text[_column(at, span, columns)] = "┬"
    order = list(MARKS)
    # The most important last: it stays where two fall on one column.
    for mark in sorted(marks, key=lambda one: -order.index(one.kind)):
        x = _column(min(mark.at, span[1]), span, columns)  # what is newer than the newest sample is at the end
        text[x], roles[x] = MARKS[mark.kind][:2]
    return _runs(text, roles)


def _time_labels(ticks: Iterable[tuple[float, str]], span: tuple[float, float], columns: int) -> str:
    """The labels, each below its tick; one that would touch another or the border is left out."""
    text = ""
    for at, label in ticks:
        start = max(0, _column(at, span, columns) - len(label) // 2)
        if start + len(label) <= columns and (not text or start > len(text)):
            text = text.ljust(start) + label
    return text
