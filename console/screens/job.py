"""Inspection of one job: the queue's facts at once, the details and the energy when they come."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget

from collectors.model import Cluster, Diff, JobDetail
from collectors.nodeset import expand
from console import inspect
from console.actions import Kind
from console.columns import Ctx, state_cell
from console.screens.inspection import Inspection
from widgets.cells import spans_of
from widgets.pane import Line, Pane, line
from widgets.units import energy


class JobScreen(Inspection):
    """One job."""

    crumb = "job"
    acts_on = "job"
    AUTO_FOCUS = "#nodes"
    DEFAULT_CSS = """
    JobScreen #facts { height: 14; }
    JobScreen #below { height: 1fr; }
    JobScreen #nodes { width: 1fr; }
    JobScreen #more { width: 2fr; height: 1fr; }
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.nodes = Pane("Nodes", select=True, empty_text="it has no nodes", id="nodes")
        self.more = Pane("More from Slurm", scroll=True, empty_text="asking …", id="more")
        self._energy: str | None = None

    def body(self) -> Iterable[Widget]:
        """Facts above, nodes and details below."""
        yield self.facts
        yield Horizontal(self.nodes, self.more, id="below")

    def on_mount(self) -> None:
        """Ask for what is not polled."""
        super().on_mount()
        self.ask(lambda: self.app.transport.job_detail(self.key), self._detail, "detail")
        job = self.app.cluster.jobs.get(self.key)
        if job is not None and job.started is not None and job.nodes:
            started, names = job.started, self._names()
            self.ask(lambda: self.app.telemetry.energy_j(names, started), self._energy_came, "energy")

    def _names(self) -> tuple[str, ...]:
        job = self.app.cluster.jobs.get(self.key)
        try:
            return expand(job.nodes) if job is not None and job.nodes else ()
        except ValueError:
            return ()

    def _detail(self, answer: Any) -> None:
        if isinstance(answer, JobDetail):
            self.more.set_lines(inspect.detail_lines(answer))
        else:
            self.more.set_lines([line((str(answer), "bad"))])

    def _energy_came(self, answer: Any) -> None:
        if isinstance(answer, float | int):
            alone = all(len(self.cluster.jobs_on.get(name, ())) < 2 for name in self._names())
            self._energy = energy(answer) + (" by its GPUs so far" if alone else " by all GPUs of its nodes so far")
            self.tick(self.ctx())

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """All of it."""
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Ages move."""
        job = self.cluster.jobs.get(self.key)
        if job is None:
            known = "jobs" in self.cluster.known
            said = f"job {self.key} is not in the queue any more; try: sacct -j {self.key}" if known else "reading …"
            self.facts.set_lines([line((said, "warn" if known else "text-dim"))])
            self.nodes.set_lines([])
            return
        word = self.app.pending_words("job").get(self.key)
        self.facts.set_title([(f"Job {self.key}", "title")], [(word, "pending")] if word else "")
        lines = inspect.job_lines(job, self.cluster, ctx.now)
        if self._energy is not None:
            lines.append(inspect.fact("energy", self._energy))
        self.facts.styles.height = len(lines) + 2
        self.facts.set_lines(lines)
        names = self._names()
        self.nodes.set_title([("Nodes", "title"), (f" {len(names)}", "text-strong")])
        self.nodes.set_lines([self._node_line(name) for name in names])

    def _node_line(self, name: str) -> Line:
        node = self.cluster.nodes.get(name)
        if node is None:
            return Line([(name, ""), ("  unknown to Slurm", "bad")], (), name)
        return Line([(f"{name}  ", "text-strong"), *spans_of(state_cell(node))], (), name)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """This job; or the node under the cursor, for an action on nodes."""
        if kind == "job":
            return (self.key,)
        return (self.nodes.cursor_key,) if self.nodes.cursor_key else ()

    def copyable(self) -> str | None:
        """The command behind it."""
        return f"scontrol show job -d {self.key}"

    @on(Pane.Opened, "#nodes")
    def _node(self, event: Pane.Opened) -> None:
        self.app.open_row("node", event.key)
