"""The chart of a running job: the GPU utilisation of its most and its least used node since it started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collectors.model import Fault, Job
from console.tables import chart_marks
from widgets.chart import Chart
from widgets.chart_layout import ChartContent, ChartMark, ChartSeries
from widgets.units import duration

from .layout.screen import WachtScreen

#: Seconds between two reads.
EVERY_S = 60.0
#: Shortest and longest time shown, in seconds.
SHORTEST_S, LONGEST_S = 900, 7 * 86_400
#: Height of the screen from which there is room for the chart.
_LEAST_ROWS = 34


class JobChart(Chart):
    """Read only while shown: where the job runs on GPUs, a source gives their utilisation, and there is room."""

    DEFAULT_CSS = """
    JobChart { height: 1fr; display: none; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._read_mono: float | None = None

    def follow(self, screen: WachtScreen, job: Job | None, nodes: Sequence[str]) -> None:
        """Show the chart where it can be, and read it where it is due."""
        telemetry = "prom.loads" in screen.cluster.sources and not screen.app.fleet.replaying
        runs = job is not None and job.started is not None and bool(job.gpus) and bool(nodes)
        self.display = telemetry and runs and screen.size.height >= _LEAST_ROWS
        mono = screen.app.clock.mono()
        if not self.display or (self._read_mono is not None and mono - self._read_mono < EVERY_S):
            return
        self._read_mono = mono
        assert job is not None and job.started is not None
        cluster, job_id, now = screen.cluster, job.id, screen.app.clock.now()
        seconds = max(SHORTEST_S, min(LONGEST_S, int(now - job.started) + 60))
        loads = ((load.gpu_util_pct, name) for name in nodes if (load := cluster.loads.get(name)) is not None)
        known = [(used, name) for used, name in loads if used is not None] or [(0.0, nodes[0])]
        chosen = tuple(dict.fromkeys((max(known)[1], min(known)[1])))

        def work() -> tuple[tuple[ChartSeries, ...], tuple[ChartMark, ...]]:
            series = tuple(
                ChartSeries(one.points, name)
                for name in chosen
                for one in screen.at.telemetry.history(name, seconds)
                if one.name == "utilisation"
            )
            times = screen.app.journal_queries.action_times(screen.at, now - seconds, "job", job_id)
            return series, chart_marks.job_marks(cluster, job_id, chosen, times)

        which = f"most and least used of {len(nodes):,} nodes" if len(chosen) > 1 else f"of {chosen[0]}"

        def came(answer: Any) -> None:
            failed = isinstance(answer, Fault)
            series, marks = ((), ()) if failed else answer
            content = ChartContent(
                title="GPU utilisation",
                over=f"{which}  {duration(seconds)}",
                unit="%",
                series=series,
                marks=marks,
                empty_text=str(answer) if failed else "no sample in this time",
            )
            self.show(content)

        screen.fetch(work, came, "chart")
