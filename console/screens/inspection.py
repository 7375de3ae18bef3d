"""Inspection of one node and of one job: everything known, and more asked for on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from textual import events, on
from textual.containers import Container, Horizontal
from textual.widget import Widget

from collectors.model import Cluster, Diff, JobDetail, SourceFault
from collectors.nodeset import expand
from console import inspect
from console.actions import Kind
from console.columns import Ctx, state_cell
from console.screens.base import WachtScreen
from widgets.cells import spans_of
from widgets.keybar import Key
from widgets.pane import Line, Pane, line

_WIDE = 140


class _Inspection(WachtScreen):
    """Pushed on top of a list; Esc goes back to it."""

    DEFAULT_CSS = """
    _Inspection #facts { height: 3fr; }
    _Inspection #more { height: 2fr; }
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.facts = Pane(key, scroll=True, id="facts")

    def ask(self, call: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Ask a source off the event loop; what comes back, a fault too, is handed over on it."""

        def work() -> None:
            try:
                answer: Any = call()
            except SourceFault as error:
                answer = error.fault
            self.app.call_from_thread(self._came, answer, then)

        self.run_worker(work, thread=True, group="ask", exclusive=True, exit_on_error=False)

    def _came(self, answer: Any, then: Callable[[Any], None]) -> None:
        if self.is_mounted:
            then(answer)

    def keys(self) -> Sequence[Key]:
        """Ways around."""
        return (Key("Enter", "open"), Key("Tab", "next pane"), Key("y", "copy"), Key("Esc", "back"))


class NodeScreen(_Inspection):
    """One node."""

    crumb = "node"
    acts_on = "node"
    AUTO_FOCUS = "#jobs"
    DEFAULT_CSS = """
    NodeScreen #above { height: 2fr; layout: vertical; }
    NodeScreen #facts { height: 1fr; min-height: 4; }
    NodeScreen #gpus { height: auto; max-height: 11; }
    NodeScreen #jobs { height: 1fr; min-height: 4; max-height: 5; }
    NodeScreen.-wide #above { height: 18; layout: horizontal; }
    NodeScreen.-wide #gpus { height: 1fr; max-height: 100%; }
    NodeScreen.-wide #facts { height: 1fr; }
    NodeScreen.-wide #jobs { max-height: 100%; }
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.gpus = Pane("GPUs", id="gpus")
        self.jobs = Pane("Jobs here", select=True, empty_text="no job is on this node", id="jobs")

    def body(self) -> Iterable[Widget]:
        """Facts, GPUs, jobs."""
        yield Container(self.facts, self.gpus, id="above")
        yield self.jobs

    def on_resize(self, event: events.Resize) -> None:
        """Side by side where there is room."""
        self.set_class(event.size.width >= _WIDE, "-wide")

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """All of it: a node is one line of facts."""
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Ages move."""
        cluster = self.cluster
        node = cluster.nodes.get(self.key)
        if node is None:
            known = "nodes" in cluster.known
            self.facts.set_lines(
                [line((f"Slurm has no node {self.key}" if known else "reading …", "bad" if known else "text-dim"))]
            )
            return
        lines = inspect.node_lines(node, cluster, ctx.now)
        word = self.app.pending_words("node").get(self.key)
        self.facts.set_title([(self.key, "title")], [(word, "pending")] if word else "")
        self.facts.set_lines(lines)
        read_gpus = getattr(self.app.transport, "node_gpus", None)
        table = inspect.gpu_table(read_gpus(self.key), cluster.jobs) if read_gpus is not None else []
        self.gpus.display = bool(table)
        if not self.has_class("-wide"):
            self.gpus.styles.height = len(table) + 2
        else:
            self.gpus.styles.height = None
        self.gpus.set_lines(table)
        ids = cluster.jobs_on.get(self.key, ())
        self.jobs.set_title(
            [("Jobs here", "title"), (f" {len(ids)}" if "jobs" in cluster.known else " —", "text-strong")]
        )
        self.jobs.set_lines(inspect.job_rows(ids, cluster.jobs, ctx.now))

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """This node; or the job under the cursor, for an action on jobs."""
        if kind == "node":
            return (self.key,)
        return (self.jobs.cursor_key,) if self.jobs.cursor_key else ()

    def copyable(self) -> str | None:
        """The command behind it."""
        return f"scontrol show node {self.key} -d"

    @on(Pane.Opened, "#jobs")
    def _job(self, event: Pane.Opened) -> None:
        self.app.open_row("job", event.key)


class JobScreen(_Inspection):
    """One job."""

    crumb = "job"
    acts_on = "job"
    AUTO_FOCUS = "#nodes"
    DEFAULT_CSS = """
    JobScreen #facts { height: 14; }
    JobScreen #under { height: 1fr; }
    JobScreen #nodes { width: 1fr; }
    JobScreen #more { width: 2fr; height: 1fr; }
    """

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.nodes = Pane("Nodes", select=True, empty_text="it has no nodes", id="nodes")
        self.more = Pane("More from Slurm", scroll=True, empty_text="asking …", id="more")

    def body(self) -> Iterable[Widget]:
        """Facts above, nodes and details below."""
        yield self.facts
        yield Horizontal(self.nodes, self.more, id="under")

    def on_mount(self) -> None:
        """The queue's facts at once, the details when they come."""
        super().on_mount()
        self.ask(lambda: self.app.transport.job_detail(self.key), self._detail)

    def _detail(self, answer: Any) -> None:
        if isinstance(answer, JobDetail):
            self.more.set_lines(inspect.detail_lines(answer))
        else:
            self.more.set_lines([line((str(answer), "bad"))])

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
        self.facts.styles.height = len(lines) + 2
        self.facts.set_lines(lines)
        try:
            names = expand(job.nodes) if job.nodes else ()
        except ValueError:
            names = ()
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
