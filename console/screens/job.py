"""Inspection of one job: the queue's facts at once, the details and the energy when they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget

from collectors.model import Cluster, Diff, Fault, JobAccount, JobDetail
from collectors.nodeset import names_in
from console.actions.action import Kind
from console.health.unknown_reasons import why_unknown
from console.tables import inspection_lines
from console.tables.accounting_lines import before_lines
from console.tables.table_columns import Ctx, state_cell
from widgets.cells import spans_of
from widgets.pane import Pane, PaneLine, line
from widgets.units import energy

from .ended_job import EndedJob
from .layout.inspection import Inspection
from .pending_pane import PendingPane


class JobScreen(Inspection):
    """One job."""

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
        self.ended = EndedJob(self, key)
        self.nodes = Pane("Nodes", select=True, empty_text="it has no nodes", id="nodes")
        self.more = Pane("More from Slurm", scroll=True, wrap=True, empty_text="asking …", id="more")
        self._energy: str | None = None

    def body(self) -> Iterable[Widget]:
        """Facts above, nodes and details below."""
        yield self.waiting
        yield self.facts
        yield Horizontal(self.nodes, self.more, id="below")

    def on_mount(self) -> None:
        """Ask for what is not polled."""
        super().on_mount()
        job = self.app.cluster.jobs.get(self.key)
        if job is not None or "jobs" not in self.app.cluster.known:
            self._ask_detail()
        if job is not None and job.started is not None and job.nodes:
            started, names = job.started, self._names()
            self.ask(lambda: self.at.telemetry.energy_j(names, started), self._energy_came, "energy")

    def _names(self) -> tuple[str, ...]:
        job = self.app.cluster.jobs.get(self.key)
        return () if job is None else names_in(job.nodes)

    def _ask_detail(self) -> None:
        self.ask(lambda: self.at.transport.job_detail(self.key), self._detail, "detail")

    def _detail(self, answer: Any) -> None:
        self.waiting.detail_came(answer)
        known = isinstance(answer, JobDetail)
        missing = isinstance(answer, Fault) and answer.kind == "missing"
        lines = (
            inspection_lines.detail_lines(answer) if known else [line((str(answer), "text-dim" if missing else "bad"))]
        )
        self.more.set_lines(lines)
        job = self.cluster.jobs.get(self.key)
        if job is not None and job.restarts:
            ledger = self.at.ledger
            self.ask(lambda: ledger.account_of_job(self.key), lambda found: self._before(found, lines), "before")

    def _before(self, answer: Any, lines: list[PaneLine]) -> None:
        """It was queued again: what ended its runs before stands first."""
        if isinstance(answer, JobAccount) and self.key in self.cluster.jobs:
            runs = [run for run in (answer.run, *answer.earlier) if run.ended is not None]
            self.more.set_lines([*before_lines(answer, runs, self.ctx().now), *lines])

    def _energy_came(self, answer: Any) -> None:
        if isinstance(answer, float | int):
            alone = all(len(self.cluster.jobs_on.get(name, ())) < 2 for name in self._names())
            self._energy = energy(answer) + (" by its GPUs so far" if alone else " by all GPUs of its nodes so far")
            self.tick(self.ctx())

    def on_resize(self) -> None:
        """Another width, other lines."""
        self.call_after_refresh(lambda: self.tick(self.ctx()))

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """All of it."""
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Ages move."""
        self.waiting.follow()
        self.set_class(self.waiting.display and self.size.height < 40, "-waits")
        job = self.cluster.jobs.get(self.key)
        if job is None:
            if "jobs" in self.cluster.known:
                self.ended.follow(ctx)
            else:
                self.facts.set_lines([line((why_unknown(self.cluster, "jobs"), "text-dim"))])
                self.show_nodes((), known=False)
            return
        if self.ended.was_asked:  # it was queued again
            self.ended = EndedJob(self, self.key)
            self.more.set_title("More from Slurm")
            self._ask_detail()
        word = self.app.pending_words("job").get(self.key)
        self.facts.set_title([(f"Job {self.key}", "title")], [(word, "pending")] if word else self.old("slurm.jobs"))
        lines = inspection_lines.job_lines(job, self.cluster, ctx.now)
        if self._energy is not None:
            lines.append(inspection_lines.fact("energy", self._energy))
        self.facts.set_lines(lines)
        self.facts.styles.height = len(self.facts.lines) + 2
        self.show_nodes(self._names())

    def show_nodes(self, names: tuple[str, ...], known: bool = True) -> None:
        """The nodes that it has or had, as they are now; `known` is False where nobody tells of them."""
        if not known:
            self.nodes.set_title([("Nodes", "title"), (" —", "text-strong")])
            self.nodes.set_lines([line(("not known", "text-dim"))])
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

    def copyable(self) -> str | None:
        """The command behind it."""
        alive = self.key in self.cluster.jobs
        return f"scontrol show job -d {self.key}" if alive else f"sacct -D -j {self.key} --format=ALL"

    @on(Pane.Opened, "#nodes")
    def _node(self, event: Pane.Opened) -> None:
        self.app.open_row("node", event.key)
