"""Two charts of the last hours of the whole site, shown where a map leaves room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from textual import events
from textual.containers import Horizontal

from console.plant.power import site_w
from widgets.chart import Chart
from widgets.units import percent
from widgets.units import power as watts

from .layout.screen import WachtScreen

SPAN_S = 24 * 3600
#: Seconds between two reads; the charts have about one point for every five minutes.
EVERY_S = 300.0
#: Fewest and most lines of a chart.
MIN_LINES, MAX_LINES = 5, 32
#: Number of cells below which only one chart is shown.
TWO_CHARTS_WIDTH = 60


class Trends(Horizontal):
    """Charts of power and utilisation, side by side. They are read only while shown."""

    DEFAULT_CSS = """
    Trends { height: auto; display: none; margin-top: 1; }
    """

    def __init__(self, id: str | None = None) -> None:
        self._charts: dict[str, tuple[str, Chart, Callable[[float | None], str], float | None]] = {
            "W": ("Site power", Chart(id="trend-power"), watts, None),
            "%": ("GPU utilisation", Chart(id="trend-util"), percent, 100.0),
        }
        super().__init__(*(chart for _, chart, _, _ in self._charts.values()), id=id)
        self._read_mono: float | None = None
        self._series: Sequence[Any] = ()
        self._note = "reading …"
        self._current_values: dict[str, float | None] = {}

    def fit(self, lines: int) -> None:
        """Take this many lines; hide the charts where that is too few."""
        self.display = lines > MIN_LINES
        self.styles.height = max(1, min(lines - 1, MAX_LINES))

    def on_resize(self, event: events.Resize) -> None:
        """Show only power where both charts do not fit."""
        self._charts["%"][1].display = event.size.width >= TWO_CHARTS_WIDTH

    def discard_fetched(self) -> None:
        """Drop the charts, since another time is shown from now on."""
        self._read_mono = None
        self._show((), "reading …")

    def read(self, screen: WachtScreen) -> None:
        """Read the charts where it is due. The present values are those of the other panes."""
        cluster = screen.cluster
        now = {"W": site_w(cluster), "%": cluster.totals.gpu_util_pct}
        if now != self._current_values:
            self._current_values = now
            self._show(self._series, self._note)
        mono = screen.app.clock.mono()
        if self.display and (self._read_mono is None or mono - self._read_mono >= EVERY_S):
            self._read_mono = mono
            screen.fetch(lambda: screen.at.telemetry.site_history(SPAN_S), self._series_fetched, "trends")

    def _series_fetched(self, answer: Any) -> None:
        series = answer if isinstance(answer, Sequence) else ()
        self._show(series, "no source gives a history of it" if isinstance(answer, Sequence) else str(answer))

    def _show(self, series: Sequence[Any], say: str) -> None:
        self._series, self._note = series, say
        for unit, (title, chart, write, top) in self._charts.items():
            points = next((one.points for one in series if one.unit == unit), ())
            chart.show(title, points, write, top=top, say=say, now=self._current_values.get(unit))
