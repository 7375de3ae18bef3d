"""Chart: one line over time in braille dots, two by four a cell; a gap in the samples is a gap in the line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from textwrap import wrap

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from .cells import Span
from .role_styles import role_styles
from .units import duration

Point = tuple[int, float | None]
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_AXIS = 8


def round_up(value: float) -> float:
    """The next round number, so that the line fills its chart."""
    if value <= 0:
        return 1.0
    base = 1.0
    while base * 10 <= value:
        base *= 10
    while base > value:
        base /= 10
    return next(base * step for step in (1, 2, 3, 4, 5, 6, 8, 10) if base * step >= value)


def plot(points: Sequence[Point], columns: int, rows: int, low: float, high: float) -> list[str]:
    """The points as `rows` lines of `columns` braille characters. A column of dots shows the greatest value
    of its time.
    """
    if columns <= 0 or rows <= 0:
        return []
    cells = [[0] * columns for _ in range(rows)]
    if points and high > low:
        start, end = points[0][0], points[-1][0]
        span = max(1, end - start)
        wide, tall = columns * 2, rows * 4
        heights: list[int | None] = [None] * wide
        for at, value in points:
            if value is None:
                continue
            x = min(wide - 1, (at - start) * (wide - 1) // span)
            y = max(0, min(tall - 1, round((value - low) / (high - low) * (tall - 1))))
            before = heights[x]
            heights[x] = y if before is None or y > before else before
        _bridge(heights, 2 * max(1, -(-wide // max(1, len(points)))))
        for x, height in enumerate(heights):
            if height is not None:
                before = heights[x - 1] if x else None
                near = height if before is None else before
                # A steep line is drawn from just beside the dot before it, so that it does not tear.
                first, last = (height, max(height, near - 1)) if near > height else (min(height, near + 1), height)
                for y in range(first, last + 1):
                    cells[rows - 1 - y // 4][x // 2] |= _DOTS[x % 2][3 - y % 4]
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in line) for line in cells]


def _bridge(heights: list[int | None], most: int) -> None:
    """Fill in between two samples that are neighbours; what is further apart is a gap and must look like one."""
    last: int | None = None
    for x, height in enumerate(heights):
        if height is None:
            continue
        if last is not None and 1 < x - last <= most:
            start = heights[last] or 0
            for between in range(last + 1, x):
                heights[between] = round(start + (height - start) * (between - last) / (x - last))
        last = x


class Chart(Widget):
    """A chart with a title, points of (epoch, value or None) and a function that formats a value."""

    DEFAULT_CSS = """
    Chart { width: 1fr; height: 1fr; background: $background; }
    """
    ALLOW_SELECT = False

    def __init__(self, *, zone: tzinfo | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._zone = zone
        self._title = ""
        self._empty_text = ""
        self._now: float | None = None
        self._points: Sequence[Point] = ()
        self._write: Callable[[float | None], str] = str
        self._top: float | None = None
        self._role = "accent"

    def show(
        self,
        title: str,
        points: Sequence[Point],
        write: Callable[[float | None], str],
        *,
        top: float | None = None,
        role: str = "accent",
        say: str = "",
        now: float | None = None,
    ) -> None:
        """Show a line from 0 to `top`, by default a round number above the greatest; `say` is shown when there is no
        line.

        `now` is the present value where a newer reading than the last point gives it.
        """
        self._title, self._points, self._write, self._top = title, tuple(points), write, top
        self._role, self._empty_text, self._now = role, say, now
        self.refresh(Region(0, 0, self.size.width, self.size.height))

    def render_lines(self, crop: Region) -> list[Strip]:
        """All lines at once: the line of the chart is computed once a paint."""
        lines = self._lines(self.size.width, self.size.height)
        return [strip.crop(crop.x, crop.right) for strip in lines[crop.y : crop.bottom]]

    def _lines(self, cells: int, height: int) -> list[Strip]:
        paint = role_styles(self)
        if not self._title:
            return [paint.line((), cells)] * height  # nothing was shown yet
        known = [value for _, value in self._points if value is not None]
        now = self._write(self._points[-1][1] if known and self._now is None else self._now)
        title: list[Span] = [(f" {self._title}", "title")]
        figures: list[Span] = [(now, "text-strong")]
        if known:
            figures.append((f"  max {self._write(max(known))}", "text-dim"))
        lines = [paint.split_line(title, figures, cells)]
        rows, columns = height - 2, cells - _AXIS - 1
        if not known or rows < 1 or columns < 4:
            said = wrap(self._empty_text, max(1, cells - _AXIS - 1))[: max(0, height - 1)] if self._empty_text else []
            lines += [paint.line(((" " * _AXIS + one, "text-dim"),), cells) for one in said]
            lines += [paint.line((), cells)] * (height - len(lines))
            return lines[:height]
        top = self._top or round_up(max(known))
        for at, dots in enumerate(plot(self._points, columns, rows, 0.0, top)):
            label = self._write(top) if at == 0 else self._write(0.0) if at == rows - 1 else ""
            lines.append(paint.line(((f"{label:>{_AXIS - 1}} ", "text-dim"), (dots, self._role)), cells))
        lines.append(paint.line(self._times(columns), cells))
        return lines[:height]

    def _times(self, columns: int) -> list[Span]:
        start, end = self._points[0][0], self._points[-1][0]
        form = "%H:%M" if end - start <= 86_400 else "%d %b"
        first, last = (datetime.fromtimestamp(at, self._zone).strftime(form) for at in (start, end))
        middle = duration(end - start)
        gap = max(1, columns - len(first) - len(last) - len(middle))
        return [(" " * _AXIS + first + " " * (gap // 2) + middle + " " * (gap - gap // 2) + last, "text-dim")]
