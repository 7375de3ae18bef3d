"""Inspection of one node: Slurm's facts at once; GPUs, charts and history are read on demand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from textual import events, on
from textual.containers import Container, Grid, Horizontal
from textual.widget import Widget

from collectors.model import HOT_C, Attached, Cluster, Diff, Fault, Gpu, NodeEvent, PastJob, Series
from console.actions.action import Kind
from console.fields.common_cells import Ctx
from console.tables import chart_marks, inspection_lines, port_and_mount_lines
from console.tables.accounting_lines import ended_job, event_lines, fault_lines, last_job_lines
from console.tables.gpu_table import gpu_table, gpus_title
from console.tables.node_health_lines import health_lines
from widgets.chart import Chart
from widgets.chart_layout import ChartContent, ChartLimit, ChartMark, ChartSeries
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine, pane_line
from widgets.units import age, times

from .layout.screen import Inspection

_WIDE = 150
#: Lookbacks of the charts, in the order that `g` goes through them.
RANGES = (("1 h", 3600), ("6 h", 6 * 3600), ("24 h", 86_400), ("7 days", 7 * 86_400))
#: The charts: title and unit.
CHARTS = (("utilisation and memory", "%"), ("temperature", "°C"), ("power", "W"))
#: Days and jobs for which the accounting is queried.
PAST_DAYS, LAST_JOBS = 7, 30
#: Seconds between two reads of the charts.
CHARTS_EVERY_S = 60.0
#: Seconds between two reads of ports and mounts.
ATTACHED_EVERY_S = 30.0


class NodeScreen(Inspection):
    """The inspection of one node."""

    crumb = "node"
    acts_on = "node"
    AUTO_FOCUS = "#jobs"
    tick_s = 1.0
    sums = inspection_lines.NODE_SUMS
    DEFAULT_CSS = """
    NodeScreen #above { height: auto; layout: vertical; }
    NodeScreen #facts { height: 8; }
    NodeScreen #gpus { height: 4; max-height: 11; }
    NodeScreen #below { height: 1fr; }
    NodeScreen #jobs, NodeScreen #troubles { width: 1fr; height: 1fr; }
    NodeScreen #charts { height: 1fr; display: none; grid-size: 2 2; grid-gutter: 0 1; }
    NodeScreen.-charts #charts { display: block; }
    NodeScreen #chart0 { column-span: 2; }
    NodeScreen.-charts #below { display: none; }
    NodeScreen.-charts #gpus { display: none; }
    NodeScreen.-wide #above { layout: horizontal; height: 20; }
    NodeScreen.-wide #facts { width: 2fr; height: 1fr; }
    NodeScreen.-wide #gpus { width: 3fr; height: 1fr; max-height: 100%; }
    NodeScreen.-wide.-charts #gpus { display: block; }
    NodeScreen.-wide.-charts #above { height: 13; }
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.gpus = Pane("GPUs", scroll=True, empty_text="asking …", id="gpus")
        self.jobs = Pane("Jobs here", select=True, empty_text="no job is on this node", id="jobs")
        self.problems = Pane("XIDs, inconsistencies, past", scroll=True, wrap=True, id="troubles")
        self.charts = tuple(Chart(id=f"chart{at}") for at in range(len(CHARTS)))
        self._range: int | None = None
        self._gpus: tuple[Gpu, ...] = ()
        self._gpus_message = ""
        self._gpus_missing = False
        """Whether missing GPU telemetry is normal for this site, and not a failure."""
        self._fetched_mono: dict[str, float] = {}
        self._history_lines: list[PaneLine] = []
        self._ended_jobs: Sequence[PastJob] | Fault | None = None
        self._events: Sequence[NodeEvent] | Fault | None = None
        self._opened_at = 0.0
        self._attached: Attached | None = None

    def body(self) -> Iterable[Widget]:
        """Facts and GPUs; jobs and problems, or charts in their place."""
        yield Container(self.facts, self.gpus, id="above")
        yield Horizontal(self.jobs, self.problems, id="below")
        yield Grid(*self.charts, id="charts")

    def on_mount(self) -> None:
        """Start on-demand reads. The journal is read off the event loop: its disk may hang."""
        super().on_mount()
        self.fetch(
            lambda: self.app.journal_queries.action_history(self.at, "node", self.key), self._history_fetched, "past"
        )
        ledger, since = self.at.ledger, int(self.app.clock.now()) - PAST_DAYS * 86_400
        self._opened_at = self.app.clock.mono()
        self.fetch(lambda: ledger.jobs_of_node(self.key, since, LAST_JOBS), self._jobs_fetched, "last jobs")
        self.fetch(lambda: ledger.events_of_node(self.key, since), self._events_fetched, "events")

    def on_resize(self, event: events.Resize) -> None:
        """Side by side where there is room."""
        self.set_class(event.size.width >= _WIDE, "-wide")
        self.call_after_refresh(lambda: self.tick(self.ctx()))

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update all panes."""
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update ages and read GPUs again."""
        cluster = self.cluster
        node = cluster.nodes.get(self.key)
        if node is None:
            unknown = self.why_unknown("nodes")
            if "slurm.nodes" not in cluster.sources:
                unknown = unknown and "no Slurm here: what follows is from the driver alone"
            none = f"Slurm has no node {self.key}"
            self.facts.set_lines([pane_line((unknown, "text-dim") if unknown else (none, "bad"))])
            self.facts.styles.height = None if self.has_class("-wide") else 3
        else:
            word = self.app.session.pending_words("node").get(self.key)
            self.facts.set_title([(self.key, "title")], [(word, "pending")] if word else self.stale_mark("slurm.nodes"))
            attached = [] if self.has_class("-wide") else self._port_and_mount_lines(ctx.now)
            parts = health_lines(cluster, self.key, ctx.now, self.at.ticketed)
            lines = [*inspection_lines.node_lines(node, cluster, ctx.now), *parts, *attached]
            self.facts.set_lines(lines)
            # Side by side the panes share a height; one above the other the facts take what the GPUs leave.
            gpus, below = len(self._gpus) + 3 if self._gpus else 3, max(5, self.size.height // 4 - 1)
            room = max(4, self.size.height - 2 - gpus - below) if self._range is None else self.size.height // 5
            self.facts.styles.height = None if self.has_class("-wide") else min(len(self.facts.lines) + 2, room)
        ids = cluster.jobs_on.get(self.key, ())
        known_jobs = "jobs" in cluster.known
        asked = isinstance(self._ended_jobs, Sequence)
        old = f"accounting {age(self.app.clock.mono() - self._opened_at)} ago" if asked else ""
        self.jobs.set_title([("Jobs here", "title"), (f" {len(ids)}" if known_jobs else " —", "text-strong")], old)
        none = self.why_unknown("jobs") or "no job is on this node"
        rows = inspection_lines.job_rows(ids, cluster.jobs, ctx.now) or [pane_line((none, "text-dim"))]
        self.jobs.set_lines([*rows, *self._ended_job_lines(ctx.now)])
        self.problems.set_lines(
            [
                *inspection_lines.problem_lines(
                    self.key, cluster, self.app.policy, ctx.now, self.app.clock.mono(), self.app.session.resumed
                ),
                *inspection_lines.process_lines(self._gpus),
                *self._past_lines(ctx.now),
            ]
        )
        self._paint_gpus(ctx.now)
        if self._due("gpus", self.at.gpus_every_s):
            self.fetch(lambda: self.at.telemetry.gpus([self.key]), self._gpus_fetched, "gpus")
        if self._due("attached", self.at.gpus_every_s if self._attached is None else ATTACHED_EVERY_S):
            self.fetch(lambda: self.at.telemetry.attached(self.key), self._attached_fetched, "attached")
        if self._range is not None and self._due("charts", CHARTS_EVERY_S):
            self._read_charts()

    def _port_and_mount_lines(self, now: float) -> list[PaneLine]:
        """Its ports and mounts."""
        return port_and_mount_lines.lines(self._attached, self.cluster, self.key, now)

    def _attached_fetched(self, answer: Any) -> None:
        # Without a source for the node itself, show what the sums of the machine have.
        self._attached = answer if isinstance(answer, Attached) else Attached()
        self.tick(self.ctx())

    def _due(self, what: str, every_s: float) -> bool:
        mono = self.app.clock.mono()
        if what in self._fetched_mono and mono - self._fetched_mono[what] < every_s:
            return False
        self._fetched_mono[what] = mono
        return True

    # On-demand reads.

    def _gpus_fetched(self, answer: Any) -> None:
        if isinstance(answer, Mapping):
            self._gpus = answer.get(self.key, ())
            self._gpus_message = "" if self._gpus else "no sample: is its exporter up?"
            self._gpus_missing = False
        else:
            self._gpus_message = str(answer)
            self._gpus_missing = isinstance(answer, Fault) and answer.kind == "missing"
        self._paint_gpus(self.ctx().now)

    def _paint_gpus(self, now: float) -> None:
        lines = gpu_table(self._gpus, self.cluster.jobs, max(20, self.gpus.size.width - 4))
        self.gpus.set_title(*gpus_title(self._gpus, self.cluster.nodes.get(self.key), now))
        if self._gpus_message:
            lines.append(pane_line((self._gpus_message, "text-dim" if self._gpus_missing else "warn")))
        if self.has_class("-wide") and lines:
            # There is room below the GPUs for ports and mounts.
            lines += self._port_and_mount_lines(now)
        self.gpus.styles.height = None if self.has_class("-wide") else max(3, len(lines) + 2)
        self.gpus.set_lines(lines)

    def action_charts(self) -> None:
        """Show the charts, over a longer time with each press, then hide them."""
        self._range = 0 if self._range is None else self._range + 1
        if self._range >= len(RANGES):
            self._range = None
        self.set_class(self._range is not None, "-charts")
        self.tick(self.ctx())  # the facts leave their room to the charts
        if self._range is not None:
            self._fetched_mono["charts"] = self.app.clock.mono()
            self._read_charts()
        self.refresh_keys()

    def _read_charts(self) -> None:
        if self._range is not None:
            seconds = RANGES[self._range][1]
            ended = self._ended_jobs if isinstance(self._ended_jobs, Sequence) else ()

            def work() -> tuple[Sequence[Series], tuple[ChartMark, ...]]:
                series = self.at.telemetry.history(self.key, seconds)
                since = self.at.clock.now() - seconds
                times = self.app.journal_queries.action_times(self.at, since, "node", self.key)
                return series, chart_marks.node_marks(self.cluster, self.key, ended, times)

            self.fetch(work, self._charts_fetched, "charts")

    def _charts_fetched(self, answer: Any) -> None:
        over = RANGES[self._range][0] if self._range is not None else ""
        failed = isinstance(answer, Fault)
        series, marks = ((), ()) if failed else answer
        note = str(answer) if failed else "" if series else "no history"
        for (title, unit), chart in zip(CHARTS, self.charts, strict=True):
            # Empty charts would look broken: each says what it would show, and why it cannot.
            own = [one for one in series if one.unit == unit]
            name = own[0].name if len(own) == 1 else title
            chart.show(
                ChartContent(
                    title=name,
                    over=over,
                    unit=unit,
                    series=tuple(ChartSeries(one.points, one.name) for one in own),
                    limit=self._limit(unit, name),
                    marks=marks,
                    empty_text=note or "no sample in this time",
                    with_legend=chart is self.charts[0],
                )
            )

    def _limit(self, unit: str, name: str) -> ChartLimit | None:
        """The temperature above which a GPU counts as hot; the power limits of the GPUs together, for their power."""
        if unit == "°C":
            return ChartLimit("hot", HOT_C)
        limits = [one.power_limit_w for one in self._gpus]
        if unit != "W" or "GPU" not in name or not limits or None in limits:
            return None
        return ChartLimit("limit of the GPUs", sum(one for one in limits if one is not None))

    def _history_fetched(self, answer: Any) -> None:
        self._history_lines = list(answer) if isinstance(answer, Sequence) else [pane_line((str(answer), "bad"))]
        self.tick(self.ctx())

    def _jobs_fetched(self, answer: Any) -> None:
        self._ended_jobs = answer
        self.tick(self.ctx())

    def _events_fetched(self, answer: Any) -> None:
        self._events = answer
        self.tick(self.ctx())

    def _ended_job_lines(self, now: float) -> list[PaneLine]:
        """The jobs that ended on this node."""
        if self._ended_jobs is None:
            return [pane_line(("last jobs: asking the accounting …", "text-dim"))]
        if isinstance(self._ended_jobs, Fault):
            return fault_lines("last jobs", self._ended_jobs)
        return last_job_lines(self._ended_jobs, PAST_DAYS, now)

    def _outage_lines(self, now: float) -> list[PaneLine]:
        """The outages of the node. The jobs pane already shows why the accounting cannot be read."""
        if self._events is None or (isinstance(self._events, Fault) and self._events.kind == "missing"):
            return []
        if isinstance(self._events, Fault):
            return fault_lines("out of service", self._events)
        # PrivateData may hide some from this user, so the source of the number is named.
        said = f"out of service {times(len(self._events))} in {PAST_DAYS} days (Slurm's accounting)"
        return [pane_line((said, "text-dim")), *event_lines(self._events, now)]

    def _past_lines(self, now: float) -> list[PaneLine]:
        """The number of outages in one line: Slurm counts every outage, the journal the actions with wacht."""
        out, past = self._outage_lines(now), self._history_lines
        if out and past:
            return [PaneLine((*out[0].spans, ("; ", "text-dim"), *past[0].spans)), *out[1:], *past[1:]]
        return [*out, *past]

    # Targets and keys.

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """This node; or the job under the cursor, for an action on jobs."""
        if kind == "node":
            return (self.key,)
        key = self.jobs.cursor_key
        return (key,) if key and ended_job(key) is None else ()

    def selected_job(self) -> str | None:
        """The job under the cursor, also one that has ended here."""
        key = self.jobs.cursor_key
        return (ended_job(key) or key) if key else None

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        over = "charts" if self._range is None else f"charts {RANGES[self._range][0]}"
        return (
            KeyHint("g", over),
            KeyHint("x", "ssh"),
            KeyHint("Enter", "open job"),
            KeyHint("Tab", "next pane"),
            KeyHint("Esc", "back"),
        )

    def copy_text(self) -> str | None:
        """The command that shows this node."""
        return f"scontrol show node {self.key} -d"

    @on(Pane.Opened, "#jobs")
    def _job_opened(self, event: Pane.Opened) -> None:
        self.app.navigation.open_row("job", ended_job(event.key) or event.key)
