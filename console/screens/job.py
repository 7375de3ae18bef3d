"""Inspection of one job: facts of the queue at once; details and energy are read on demand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget

from collectors.model import Cluster, Diff, Fault, JobAccount, JobDetail
from collectors.nodeset import names_in
from console.actions.action import Kind
from console.fields.common_cells import Ctx, state_cell
from console.health.unknown_reasons import why_unknown
from console.queue.job_accounting import UNFINISHED_STATES, gpu_mean
from console.tables import inspection_lines
from console.tables.accounting_lines import account_lines, context_lines, earlier_run_lines, fault_lines
from widgets.cells import spans_of
from widgets.pane import Pane, PaneLine, pane_line
from widgets.units import age, energy, percent

from .job_chart import JobChart
from .layout.screen import Inspection
from .pending_pane import PendingPane

#: Number of attempts, and seconds between them, to read the accounting of a job that has just left the queue: the
#: accounting shows its end a little later.
_MAX_ATTEMPTS, _RETRY_S = 4, 10.0
#: Longest lookback (seconds) of the charts of a node.
_MAX_LOOKBACK_S = 7 * 86_400
#: Lines kept for the panes below the facts.
_LINES_BELOW = 9


class JobScreen(Inspection):
    """The inspection of one job."""

    crumb = "job"
    acts_on = "job"
    AUTO_FOCUS = "#nodes"
    DEFAULT_CSS = """
    JobScreen #facts { height: 14; }
    JobScreen.-waits #facts { max-height: 9; }
    JobScreen #below { height: 1fr; }
    JobScreen #nodes { width: 1fr; }
    JobScreen #more { width: 2fr; height: 1fr; }
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.waiting = PendingPane(self, key)
        self.ended = EndedJobView(self, key)
        self.nodes = Pane("Nodes", select=True, empty_text="it has no nodes", id="nodes")
        self.more = Pane("More from Slurm", scroll=True, wrap=True, empty_text="asking …", id="more")
        self.chart = JobChart(id="chart")
        self._energy: str | None = None

    def body(self) -> Iterable[Widget]:
        """Facts above, the chart, nodes and details below."""
        yield self.waiting
        yield self.facts
        yield self.chart
        yield Horizontal(self.nodes, self.more, id="below")

    def on_mount(self) -> None:
        """Read what is not polled."""
        super().on_mount()
        job = self.app.cluster.jobs.get(self.key)
        if job is not None or "jobs" not in self.app.cluster.known:
            self._fetch_detail()
        if job is not None and job.started is not None and job.nodes:
            started, names = job.started, self._names()
            self.fetch(lambda: self.at.telemetry.energy_j(names, started), self._energy_fetched, "energy")

    def _names(self) -> tuple[str, ...]:
        job = self.app.cluster.jobs.get(self.key)
        return () if job is None else names_in(job.nodes)

    def _fetch_detail(self) -> None:
        self.fetch(lambda: self.at.transport.job_detail(self.key), self._detail_fetched, "detail")

    def _detail_fetched(self, answer: Any) -> None:
        self.waiting.detail_came(answer)
        known = isinstance(answer, JobDetail)
        missing = isinstance(answer, Fault) and answer.kind == "missing"
        lines = (
            inspection_lines.detail_lines(answer)
            if known
            else [pane_line((str(answer), "text-dim" if missing else "bad"))]
        )
        self.more.set_lines(lines)
        job = self.cluster.jobs.get(self.key)
        if job is not None and job.restarts:
            ledger = self.at.ledger
            self.fetch(
                lambda: ledger.account_of_job(self.key),
                lambda found: self._earlier_runs_fetched(found, lines),
                "before",
            )

    def _earlier_runs_fetched(self, answer: Any, lines: list[PaneLine]) -> None:
        """For a requeued job, show first why its earlier runs ended."""
        if isinstance(answer, JobAccount) and self.key in self.cluster.jobs:
            runs = [run for run in (answer.run, *answer.earlier) if run.ended is not None]
            self.more.set_lines([*earlier_run_lines(answer, runs, self.ctx().now), *lines])

    def _energy_fetched(self, answer: Any) -> None:
        if isinstance(answer, float | int):
            alone = all(len(self.cluster.jobs_on.get(name, ())) < 2 for name in self._names())
            self._energy = energy(answer) + (" by its GPUs so far" if alone else " by all GPUs of its nodes so far")
            self.tick(self.ctx())

    def on_resize(self) -> None:
        """Lay out the lines for the new width."""
        self.call_after_refresh(lambda: self.tick(self.ctx()))

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update all panes."""
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update the ages."""
        self.waiting.follow()
        self.set_class(self.waiting.display and self.size.height < 40, "-waits")
        job = self.cluster.jobs.get(self.key)
        self.chart.follow(self, job, self._names())
        if job is None:
            if "jobs" in self.cluster.known:
                self.ended.follow(ctx)
            else:
                self.facts.set_lines([pane_line((why_unknown(self.cluster, "jobs"), "text-dim"))])
                self.show_nodes((), known=False)
            return
        if self.ended.was_queried:  # it was requeued
            self.ended = EndedJobView(self, self.key)
            self.more.set_title("More from Slurm")
            self._fetch_detail()
        word = self.app.session.pending_words("job").get(self.key)
        self.facts.set_title(
            [(f"Job {self.key}", "title")], [(word, "pending")] if word else self.stale_mark("slurm.jobs")
        )
        lines = inspection_lines.job_lines(job, self.cluster, ctx.now)
        if self._energy is not None:
            lines.append(inspection_lines.fact("energy", self._energy))
        self.facts.set_lines(lines)
        self.facts.styles.height = len(self.facts.lines) + 2
        self.show_nodes(self._names())

    def show_nodes(self, names: tuple[str, ...], known: bool = True) -> None:
        """Show the nodes of the job with their present states. `known` is False where no source lists them."""
        if not known:
            self.nodes.set_title([("Nodes", "title"), (" —", "text-strong")])
            self.nodes.set_lines([pane_line(("not known", "text-dim"))])
            return
        self.nodes.set_title([("Nodes", "title"), (f" {len(names)}", "text-strong")])
        self.nodes.set_lines([self._node_line(name) for name in names])

    def _node_line(self, name: str) -> PaneLine:
        node = self.cluster.nodes.get(name)
        if node is None:
            said = ("  unknown to Slurm", "bad") if "nodes" in self.cluster.known else ("  state unknown", "text-dim")
            return PaneLine([(name, ""), said], (), name)
        return PaneLine([(f"{name}  ", "text-strong"), *spans_of(state_cell(node))], (), name)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """This job; or the node under the cursor, for an action on nodes."""
        if kind == "job":
            return (self.key,)
        return (self.nodes.cursor_key,) if self.nodes.cursor_key else ()

    def copy_text(self) -> str | None:
        """The command that shows this job."""
        alive = self.key in self.cluster.jobs
        return f"scontrol show job -d {self.key}" if alive else f"sacct -D -j {self.key} --format=ALL"

    @on(Pane.Opened, "#nodes")
    def _node_opened(self, event: Pane.Opened) -> None:
        self.app.navigation.open_row("node", event.key)


class EndedJobView:
    """Accounting of an ended job, for its screen."""

    def __init__(self, screen: JobScreen, job: str) -> None:
        self._screen = screen
        self._job = job
        self.account: JobAccount | None = None
        self._fault: Fault | None = None
        self._asked_mono: float | None = None
        self._answered_mono: float | None = None
        self._attempts = 0
        self._telemetry: str | None = None

    @property
    def was_queried(self) -> bool:
        """Whether the job was found to have ended."""
        return self._asked_mono is not None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that it ran on."""
        return () if self.account is None else names_in(self.account.run.nodes)

    def follow(self, ctx: Ctx) -> None:
        """Read the accounting where it is due, and show what is known."""
        screen, mono = self._screen, self._screen.app.clock.mono()
        behind = (
            self.account is not None and self.account.run.state in UNFINISHED_STATES and self._attempts < _MAX_ATTEMPTS
        )
        if self._asked_mono is None or (behind and mono - self._asked_mono >= _RETRY_S):
            self._asked_mono, self._attempts = mono, self._attempts + 1
            ledger, job = screen.at.ledger, self._job
            screen.fetch(lambda: ledger.account_of_job(job), self._account_fetched, "account")
        told = (
            f"accounting, as of {age(mono - self._answered_mono)} ago"
            if self._answered_mono is not None
            else "asking …"
        )
        screen.facts.set_title([(f"Job {self._job}", "title")], told)
        screen.more.set_title("Steps, and its nodes meanwhile")
        gone = f"job {self._job} is not in the queue any more"
        if self.account is None:
            lines = [pane_line((gone, "text-dim" if self._fault is None else "warn"))]
            lines += fault_lines("why it ended", self._fault) if self._fault is not None else []
            screen.more.set_lines([] if self._fault is None else [pane_line(("not known", "text-dim"))])
        else:
            lines = account_lines(self.account, ctx.now, self._telemetry)
            if self.account.run.state in UNFINISHED_STATES:
                lines.insert(0, pane_line((f"{gone}; its end is not in the accounting yet", "warn")))
            screen.more.set_lines(context_lines(self.account, ctx.now))
        screen.facts.set_lines(lines)
        screen.facts.styles.height = min(len(screen.facts.lines) + 2, max(6, screen.size.height - 2 - _LINES_BELOW))
        screen.show_nodes(self.nodes, known=self.account is not None)

    def _account_fetched(self, answer: Any) -> None:
        self._answered_mono = self._asked_mono
        if isinstance(answer, JobAccount):
            self.account, self._fault = answer, None
            self._fetch_telemetry(answer)
        elif self.account is None:
            self._fault = answer
        self._screen.tick(self._screen.ctx())

    def _fetch_telemetry(self, account: JobAccount) -> None:
        """Where Slurm counts no GPUs, read the charts of the first node instead."""
        run, nodes, now = account.run, self.nodes, self._screen.app.clock.now()
        if account.gpu_util_pct is not None or not run.gpus or not nodes or run.started is None or run.ended is None:
            return
        back = int(now - run.started) + 60
        if back > _MAX_LOOKBACK_S:
            return
        telemetry = self._screen.at.telemetry
        of = f"all GPUs of {nodes[0]}" + (f", one of its {len(nodes):,} nodes" if len(nodes) > 1 else "")

        def came(answer: Any) -> None:
            mean = gpu_mean(answer, run) if isinstance(answer, Sequence) else None
            if mean is not None:
                self._telemetry = f"{percent(mean)} of {of}  (telemetry)"
                self._screen.tick(self._screen.ctx())

        self._screen.fetch(lambda: telemetry.history(nodes[0], back), came, "use")
