"""Two charts of the last hours of the whole site, shown where a map leaves room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import events
from textual.containers import Horizontal

from collectors.model import Fault, Series
from console.plant.power import site_w
from console.tables import chart_marks
from widgets.chart import Chart
from widgets.chart_layout import ChartContent, ChartLimit, ChartMark, ChartSeries

from .layout.screen import WachtScreen

TITLES = {"W": "Site power", "%": "GPU utilisation"}
SPAN_S = 24 * 3600
#: Seconds between two reads; the charts have about one point for every five minutes.
EVERY_S = 300.0
#: Fewest and most lines of a chart.
MIN_LINES, MAX_LINES = 5, 48
#: Number of lines from which the charts are one above the other: wide charts show more.
STACKED_LINES = 22
#: Number of cells below which only one chart is shown.
TWO_CHARTS_WIDTH = 60


class Trends(Horizontal):
    """Charts of power and utilisation, side by side. They are read only while shown."""

    DEFAULT_CSS = """
    Trends { height: auto; display: none; margin-top: 1; }
    Trends.-stacked { layout: vertical; }
    """

    def __init__(self, id: str | None = None) -> None:
        self.charts = {"W": Chart(id="trend-power"), "%": Chart(id="trend-util")}
        super().__init__(*self.charts.values(), id=id)
        self._read_mono: float | None = None
        self.series: Sequence[Series] = ()
        self._marks: tuple[ChartMark, ...] = ()
        self._budget_w: float | None = None
        self._note = "reading …"
        self._current_values: dict[str, float | None] = {}

    def fit(self, lines: int) -> None:
        """Take this many lines; hide the charts where that is too few."""
        self.display = lines > MIN_LINES
        self.styles.height = max(1, min(lines - 1, MAX_LINES))
        self.set_class(lines > STACKED_LINES, "-stacked")

    def on_resize(self, event: events.Resize) -> None:
        """Show only power where both charts do not fit."""
        self.charts["%"].display = event.size.width >= TWO_CHARTS_WIDTH

    def discard_fetched(self) -> None:
        """Drop the charts, since another time is shown from now on."""
        self._read_mono = None
        self._show((), "reading …")

    def read(self, screen: WachtScreen) -> None:
        """Read the charts where it is due. The present values are those of the other panes."""
        cluster = screen.cluster
        now = {"W": site_w(cluster), "%": cluster.totals.gpu_util_pct}
        budget = cluster.power.budget_w if cluster.power is not None else None
        if (now, budget) != (self._current_values, self._budget_w):
            self._current_values, self._budget_w = now, budget
            self._show(self.series, self._note)
        mono = screen.app.clock.mono()
        if self.display and (self._read_mono is None or mono - self._read_mono >= EVERY_S):
            self._read_mono = mono
            screen.fetch(lambda: read_site(screen, SPAN_S), self._series_fetched, "trends")

    def _series_fetched(self, answer: Any) -> None:
        if isinstance(answer, Fault):
            self._show((), str(answer))
        else:
            series, self._marks = answer
            self._show(series, "no source gives a history of it")

    def _show(self, series: Sequence[Series], note: str) -> None:
        self.series, self._note = series, note
        for unit, chart in self.charts.items():
            budget = self._budget_w if unit == "W" else None
            chart.show(
                ChartContent(
                    title=TITLES[unit],
                    over="24 h",
                    unit=unit,
                    series=site_series(series, unit, self._current_values.get(unit)),
                    limit=ChartLimit("budget", budget) if budget else None,
                    marks=self._marks,
                    empty_text=note,
                )
            )


def read_site(screen: WachtScreen, seconds: int) -> tuple[Sequence[Series], tuple[ChartMark, ...]]:
    """The history of the site, and what happened meanwhile. Blocks; raises SourceFault."""
    series = screen.at.telemetry.site_history(seconds)
    times = screen.app.journal_queries.action_times(screen.at, screen.at.clock.now() - seconds)
    return series, chart_marks.site_marks(screen.cluster, times)


def site_series(series: Sequence[Series], unit: str, now: float | None = None) -> tuple[ChartSeries, ...]:
    """The series of that unit, for a chart; `now` is the present value where a newer reading gives it."""
    return tuple(ChartSeries(one.points, one.name, now) for one in series if one.unit == unit)
