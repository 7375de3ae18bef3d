"""The power screen: power against the budget, the trend, the racks and jobs that draw most, the power freed by draining
a rack, and the cooling loops where there are any."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textual import events, on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from collectors.model import Cluster, Diff, Fault, Series
from collectors.nodeset import fold_for_slurm
from console.fields.common_cells import Ctx
from console.plant import cooling, power
from console.tables.cooling_columns import figure, look
from console.tables.power_columns import JOBS, RACKS
from widgets.bars import bar
from widgets.cells import Span, pad
from widgets.chart import Chart
from widgets.chart_layout import ChartContent, ChartLimit, ChartMark
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys
from widgets.units import UNKNOWN, duration, percent, plural
from widgets.units import power as watts

from .layout.two_tables import TwoTables
from .trends import read_site, site_series

#: Most jobs listed.
JOBS_LISTED = 100
#: Most lines of the pane of cooling loops.
LOOPS_SHOWN = 7
CHART_S = 6 * 3600
#: Seconds between two reads of the chart, about one step of it.
CHART_EVERY_S = 120.0


class PowerScreen(TwoTables):
    """Figures and a chart at the top, racks and jobs below."""

    DEFAULT_CSS = """
    PowerScreen #site { width: 46; }
    PowerScreen #loops { width: 48; display: none; }
    PowerScreen #loops-line { height: 1; display: none; }
    PowerScreen.-cooled #loops { display: block; }
    PowerScreen.-cooled.-narrow #loops { display: none; }
    PowerScreen.-cooled.-narrow #loops-line { display: block; }
    PowerScreen #below { height: 1fr; }
    PowerScreen .half { width: 1fr; height: 1fr; }
    PowerScreen .crumbs { height: 1; }
    PowerScreen.-narrow #below { layout: vertical; }
    PowerScreen.-narrow #site { width: 42; }
    """
    crumb = "power"
    needed_kinds = frozenset({"power"})
    sums = (power.by_rack, power.by_job, cooling.worst_first)

    def __init__(self) -> None:
        super().__init__()
        self.site = Pane("Power", id="site")
        self.loops = Pane("Cooling", id="loops")
        self.loops_line = Pane(border=False, id="loops-line")
        self.chart = Chart(id="chart")
        self.racks: VirtualTable[Any] = VirtualTable(RACKS, sort="power", reverse=True, id="main")
        self.jobs: VirtualTable[Any] = VirtualTable(JOBS, sort="power", reverse=True, id="power-jobs")
        self.set_tables(self.racks, self.jobs)
        self._chart_mono: float | None = None
        self._rows: Mapping[str, float | None] = {}

    def body(self) -> Iterable[Widget]:
        """The figures and chart, and the tables."""
        yield Horizontal(self.site, self.loops, self.chart, id="above")
        yield self.loops_line
        yield Horizontal(
            Vertical(self._heads[0], self.racks, classes="half"),
            Vertical(self._heads[1], self.jobs, classes="half"),
            id="below",
        )

    def on_resize(self, event: events.Resize) -> None:
        """Side by side where there is room."""
        self.set_class(event.size.width < 130, "-narrow")
        self.query_one("#above").styles.height = max(8, event.size.height // 3)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update the sums and the rows that differ."""
        if diff is None or diff.kinds & {"loads", "power", "jobs", "nodes"}:
            ctx = self.ctx()
            racks = power.by_rack(cluster)
            self._rows = power.by_row(racks.values())
            self.racks.set_rows(racks, ctx=ctx)
            self.jobs.set_rows({one.job.id: one for one in power.by_job(cluster)[:JOBS_LISTED]}, ctx=ctx)
        stale = self.stale("prom.loads", "prom.power")
        self.racks.dimmed = self.jobs.dimmed = stale
        self.racks.empty_text = self.why_unknown("nodes") or "no racks"
        self.jobs.empty_text = self.why_unknown("jobs") or "no running jobs"
        self.set_head(0, (("Racks ", "title"),))
        self.set_head(1, (("Jobs that draw most ", "title"),))
        if diff is None or diff.kinds & {"cooling", "sources"}:
            self._paint_loops()
        self._paint_figures()
        self._fetch_chart()

    def tick(self, ctx: Ctx) -> None:
        """Update the time left; read the chart again when it is due."""
        self.jobs.set_ctx(ctx)
        self._paint_figures()
        self._fetch_chart()

    def _paint_figures(self) -> None:
        cluster = self.cluster
        now, facts = power.site_w(cluster), cluster.power
        budget = facts.budget_w if facts is not None else None
        source = power.source(cluster) if "loads" in cluster.known else ""
        self.site.set_title("Power", self.stale_mark("prom.loads", "prom.power") or source)
        lines: list[PaneLine] = []

        def add(label: str, *spans: Span) -> None:
            lines.append(PaneLine([(f"{label:<9}", "text-dim"), *spans]))

        # The budget is read with the power of the site: without that source it is unknown whether there is one.
        state = cluster.sources.get("prom.power")
        unread = facts is None and state is not None and not state.ok
        none = "budget unknown" if unread else "no budget is configured"
        add("now", (watts(now), "text-strong"), (f" of {watts(budget)}" if budget else f"  {none}", ""))
        if budget and now is not None:
            role = "bad" if now > 0.98 * budget else "warn" if now > 0.93 * budget else "accent"
            add("", *bar(now / budget, 20, role), (f" {percent(100 * now / budget)}", role))
        trend = facts.trend_w_h if facts is not None else None
        sign = "+" if trend is not None and trend >= 0 else ""
        add("trend", (UNKNOWN if trend is None else f"{sign}{watts(trend)}/h", ""))
        hours = power.hours_to_ceiling(cluster)
        if budget:
            soon = hours is not None and hours < 4
            flat = "not at this trend" if trend is not None else UNKNOWN
            add("ceiling", (flat if hours is None else f"in {duration(hours * 3600)}", "bad" if soon else ""))
        if self._rows:
            add("rows", ("  ".join(f"{row} {watts(drawn)}" for row, drawn in sorted(self._rows.items())), ""))
        reporting = sum(1 for load in cluster.loads.values() if load.power_w is not None)
        if "loads" not in cluster.known:
            add("measured", (self.why_unknown("loads"), "text-dim"))
        elif cluster.totals.nodes:
            short = reporting < cluster.totals.nodes
            add("measured", (f"{reporting:,} of {plural(cluster.totals.nodes, 'node')}", "warn" if short else ""))
        self.site.set_lines(lines)

    def _paint_loops(self) -> None:
        """Show the cooling loops, the worst first; nothing where no cooling is known."""
        found = cooling.worst_first(self.cluster)
        self.set_class(bool(found), "-cooled")
        stale = "text-dim" if self.stale("prom.cooling") else ""
        fine = sum(one.state == "ok" for one in found)
        self.loops.set_title("Cooling", self.stale_mark("prom.cooling") or f"{fine} of {len(found)} ok")
        room = LOOPS_SHOWN if len(found) <= LOOPS_SHOWN else LOOPS_SHOWN - 1
        lines = [loop_line(one, stale) for one in found[:room]]
        if len(found) > room:
            lines.append(
                PaneLine([(f"and {len(found) - room:,} more ({self.app.input.keymap.first('cooling')})", "text-dim")])
            )
        self.loops.set_lines(lines)
        spans: list[Span] = [(" Cooling ", "text-dim")]
        for one in found[:2]:
            if one.state != "ok":
                glyph, role = look(one)
                spans.append((f" {glyph} {one.name} {cooling.short_text(one)} ", stale or role))
        old = self.stale_mark("prom.cooling")
        spans += old or [(f" {fine} of {plural(len(found), 'loop')} ok", "")]
        self.loops_line.set_lines([PaneLine(spans)])

    def _fetch_chart(self) -> None:
        mono = self.app.clock.mono()
        if self._chart_mono is not None and mono - self._chart_mono < CHART_EVERY_S:
            return
        self._chart_mono = mono
        self.fetch(lambda: read_site(self, CHART_S), self._chart_fetched)

    def discard_fetched(self) -> None:
        """Drop the chart."""
        self._chart_mono = None
        self._show_chart((), "reading …")

    def _chart_fetched(self, answer: Any) -> None:
        if isinstance(answer, Fault):
            self._show_chart((), str(answer))
        else:
            self._show_chart(answer[0], "no source gives a history of power", answer[1])

    def _show_chart(self, series: Sequence[Series], note: str, marks: tuple[ChartMark, ...] = ()) -> None:
        budget = self.cluster.power.budget_w if self.cluster.power is not None else None
        self.chart.show(
            ChartContent(
                title="Site power",
                over="6 h",
                unit="W",
                series=site_series(series, "W"),
                limit=ChartLimit("budget", budget) if budget else None,
                marks=marks,
                empty_text=note,
            )
        )

    def copy_text(self) -> str | None:
        """The command that shows the nodes of the rack under the cursor."""
        names = self.cluster.racks.get(self.racks.cursor_key or "", ())
        return shlex.join(["scontrol", "show", "node", fold_for_slurm(names)]) if names else None

    @on(TableKeys.Opened, "#main")
    def _rack_opened(self, event: TableKeys.Opened) -> None:
        self.app.navigation.go("nodes", f"rack={event.key}" if event.key else "")

    @on(TableKeys.Opened, "#power-jobs")
    def _job_opened(self, event: TableKeys.Opened) -> None:
        self.app.navigation.open_row("job", event.key)


def loop_line(one: cooling.LoopStatus, stale: str = "") -> PaneLine:
    """`✖ cdu-03  flow 54 l/min  41.0→50.4 °C`."""
    glyph, role = look(one)
    water = [figure(one.supply), ("→", "text-dim"), figure(one.return_point), (" °C", "text-dim")]
    spans: list[Span] = [
        (f"{glyph} ", role),
        (f"{pad(one.name, 10)} ", "text-strong"),
        (f"{pad(cooling.short_text(one), 18)} ", role),
    ]
    return PaneLine([(text, stale or of) for text, of in (*spans, *water)])
