"""The side pane: on a wide terminal, the inspection of the row under the cursor, beside the list.

Moving the cursor costs nothing: the pane follows once the cursor has rested, and on-demand facts (telemetry) are read
then, once. Until then the title names the row that is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from textual.containers import Vertical
from textual.timer import Timer
from textual.widget import Widget

from collectors.jobstate import WAITING
from collectors.model import Cluster, Gpu, Job, Node
from collectors.nodeset import names_in
from console.fields.common_cells import state_cell
from console.health.unknown_reasons import why_unknown
from console.queue.job_arrays import JobArray, array_key
from console.tables import inspection_lines
from console.tables.gpu_table import gpu_table, gpus_title
from widgets.cells import spans_of
from widgets.pane import Pane, PaneLine, pane_line
from widgets.units import clock_span, percent, power

if TYPE_CHECKING:
    from console.actions.action import Kind
    from console.queue.pending_reason import PendingReason
    from console.queue.queue_reads import QueueCache

    from .screen import WachtScreen

#: Number of columns from which list and pane fit.
WIDE = 160
#: Seconds that the cursor must rest: after a single move, after moves in quick succession, and on a slow line, where
#: painting would delay keys.
REST_S, WALK_REST_S, SLOW_REST_S = 0.15, 0.35, 1.0
#: Moves at most this far apart (seconds) are in quick succession.
WALK_S = 0.5
#: Most nodes of a job that are listed; its inspection lists all.
MAX_NODES = 200
#: Seconds for which a pending reason stays valid; computing it takes a walk over all jobs and nodes.
REASON_S = 15.0


class SidePane(Vertical):
    """The panes. Call `follow` when the cursor moved, `paint` when facts or ages changed."""

    DEFAULT_CSS = """
    SidePane { width: 45%; min-width: 72; max-width: 130; height: 1fr; display: none; }
    SidePane.-on { display: block; }
    SidePane Pane { height: auto; }
    SidePane #beside-last { height: 1fr; }
    """

    def __init__(
        self, screen: WachtScreen, kind: Kind, cursor: Callable[[], str | None], row_of: Callable[[str], Any]
    ) -> None:
        super().__init__(id="beside")
        self._screen, self._kind, self._cursor, self._row_of = screen, kind, cursor, row_of
        self.facts = Pane("—", scroll=True, id="beside-facts")
        self.gpus = Pane("GPUs", scroll=True, empty_text="asking …", id="beside-gpus")
        self.more = Pane("Jobs here", select=True, empty_text="no job is on this node", id="beside-more")
        self.last = Pane("—", scroll=True, id="beside-last")
        self.key: str | None = None
        """The row that is shown."""
        self._moved_mono = 0.0
        self._walking = False
        self._timer: Timer | None = None
        self._gpus: tuple[Gpu, ...] = ()
        self._gpus_message = ""
        self._reason: PendingReason | None = None
        self._reason_job: Job | None = None
        """The row of the waiting job for which the pending reason was computed."""
        self._fetched_mono: float | None = None
        """Monotonic time of the cluster when the GPUs or the pending reason were requested; None: not yet."""

    def compose(self) -> Iterable[Widget]:
        """The panes, one above the other."""
        yield self.facts
        yield self.gpus
        yield self.more
        yield self.last

    @property
    def is_on(self) -> bool:
        """Whether the pane is shown."""
        return self.has_class("-on")

    def switch(self, on: bool) -> None:
        """Show or hide the pane."""
        if on != self.is_on:
            self.set_class(on, "-on")
            self.key = None
            if on:
                self.call_after_refresh(self._rested)

    def follow(self) -> None:
        """The cursor moved: update once it has rested."""
        now = time.monotonic()
        self._walking, self._moved_mono = now - self._moved_mono < WALK_S, now
        if self.is_on and self._timer is None:
            self._timer = self.set_timer(self._rest_s, self._check_rest)

    @property
    def _rest_s(self) -> float:
        return SLOW_REST_S if self._screen.app.slow_line else WALK_REST_S if self._walking else REST_S

    def _check_rest(self) -> None:
        self._timer = None
        left = self._moved_mono + self._rest_s - time.monotonic()
        if left > 0.005:
            self._timer = self.set_timer(left, self._check_rest)
        elif self.is_attached:
            self._rested()

    def _rested(self) -> None:
        key = self._cursor()
        if key != self.key:
            self.key = key
            self.discard_fetched()
            for pane in (self.facts, self.gpus, self.more, self.last):
                pane.scroll_top(0)
        self.paint()

    def discard_fetched(self) -> None:
        """Drop what was read for another row or time."""
        self._gpus, self._gpus_message, self._fetched_mono = (), "", None
        self._reason = self._reason_job = None

    def paint(self) -> None:
        """Show the facts as they are now."""
        if not self.is_on or not self.is_attached:
            return
        with self.app.batch_update():
            if self.key is None:
                self._paint_empty("nothing is under the cursor")
            elif self._kind == "node":
                self._paint_node(self.key)
            else:
                self._paint_job(self.key)

    def _paint_empty(self, said: str) -> None:
        self.facts.set_title(self.key or "—")
        self._set_lines(self.facts, [pane_line((said, "text-dim"))])
        for pane in (self.gpus, self.more):
            pane.display = False
        self.last.display = False

    def _set_lines(
        self, pane: Pane, lines: list[PaneLine], most: int = 40, least: int = 1, *, fills: bool = False
    ) -> None:
        """Set the lines and a height that fits them and leaves room for the other panes; or, for the lowest pane, all
        the room left."""
        pane.display = True
        pane.styles.height = "1fr" if fills else min(max(len(lines), least), most) + 2
        pane.set_lines(lines)

    def _paint_node(self, key: str) -> None:
        screen, cluster = self._screen, self._screen.cluster
        now, node = screen.ctx().now, cluster.nodes.get(key)
        if node is None:
            self._paint_empty(f"Slurm has no node {key} any more")
            return
        self.facts.set_title([(key, "title")], self._pending_spans(key) or screen.stale_mark("slurm.nodes"))
        self._set_lines(self.facts, inspection_lines.node_lines(node, cluster, now), max(8, self.size.height // 3))
        app = screen.app
        troubles = inspection_lines.problem_lines(key, cluster, app.policy, now, app.clock.mono(), app.session.resumed)
        last = [*troubles, *inspection_lines.process_lines(self._gpus)]
        ids = cluster.jobs_on.get(key, ())
        known = "jobs" in cluster.known
        self.more.set_title([("Jobs here", "title"), (f" {len(ids)}" if known else " —", "text-strong")])
        rows = (
            inspection_lines.job_rows(ids, cluster.jobs, now)
            if known
            else [pane_line((why_unknown(cluster, "jobs"), "text-dim"))]
        )
        # A pane that has nothing to say gives its room to the one above it.
        self._paint_gpus(node, now, fills=not rows and not last)
        if rows:
            self._set_lines(self.more, rows, max(4, self.size.height // 4), fills=not last)
        self.last.set_title("XIDs, inconsistencies, processes")
        self.last.set_lines(last)
        self.more.display, self.last.display = bool(rows), bool(last)
        mono = app.clock.mono()
        if self._fetched_mono is None or mono - self._fetched_mono >= app.session.gpus_every_s:
            self._fetched_mono = mono
            screen.fetch(
                lambda: screen.at.telemetry.gpus([key]), lambda answer: self._gpus_fetched(key, answer), "beside"
            )

    def _paint_gpus(self, node: Node, now: float, *, fills: bool) -> None:
        lines = gpu_table(self._gpus, self._screen.cluster.jobs, max(20, self.gpus.size.width - 4))
        title, age = gpus_title(self._gpus, node, now)
        self.gpus.set_title(title, age)
        if self._gpus_message:
            lines.append(pane_line((self._gpus_message, "warn")))
        # Use the final height now, so that the panes below do not move when the answer arrives.
        self._set_lines(
            self.gpus, lines or [pane_line(("asking …", "text-dim"))], 18, 1 + (node.gpus or 0), fills=fills
        )

    def _gpus_fetched(self, key: str, answer: Any) -> None:
        if key != self.key or not self.is_on:
            return
        if isinstance(answer, Mapping):
            self._gpus = answer.get(key, ())
            self._gpus_message = "" if self._gpus else "no sample: is its exporter up?"
        else:
            self._gpus_message = str(answer)
        self.paint()

    def _paint_array(self, array: JobArray) -> None:
        """An array: its tasks by state, and those that run."""
        screen = self._screen
        self.facts.set_title(
            [(f"Job array {array.id.partition('_')[0]}", "title")], screen.stale_mark("slurm.jobs")
        )  # fmt: skip
        self._set_lines(self.facts, inspection_lines.array_lines(array), max(8, self.size.height // 2))
        self.gpus.display = self.more.display = False
        self.last.display = True
        first = array.tasks[0]
        if not array.placed:
            self._paint_waiting(array_key(first.id), first)
            self.last.set_title(f"Pending reason of {first.id}")
            return
        lines = inspection_lines.job_rows(array.placed, screen.cluster.jobs, screen.ctx().now)
        self.last.set_title("Tasks with nodes")
        self.last.set_lines(lines)

    def _paint_job(self, key: str) -> None:
        screen, cluster = self._screen, self._screen.cluster
        if isinstance(row := self._row_of(key), JobArray):
            self._paint_array(row)
            return
        job = cluster.jobs.get(key)
        if job is None:
            self._paint_empty(f"job {key} is not in the queue any more")
            return
        self.facts.set_title([(f"Job {key}", "title")], self._pending_spans(key) or screen.stale_mark("slurm.jobs"))
        self._set_lines(
            self.facts, inspection_lines.job_lines(job, cluster, screen.ctx().now), max(8, self.size.height // 2)
        )
        self.gpus.display = self.more.display = False
        self.last.display = True
        if job.state in WAITING:
            self._paint_waiting(key, job)
            return
        names = names_in(job.nodes)
        self.last.set_title([("Nodes", "title"), (f" {len(names)}", "text-strong")])
        rest = [pane_line((f"and {len(names) - MAX_NODES:,} more", "text-dim"))] if len(names) > MAX_NODES else []
        nodes = [self._node_line(name) for name in names[:MAX_NODES]]
        self.last.set_lines([*nodes, *rest] if names else [pane_line(("it has no nodes", "text-dim"))])

    def _paint_waiting(self, key: str, job: Job) -> None:
        """A waiting job has no nodes: show why it waits, without a read for this job alone."""
        from console.screens.pending_pane import reason_lines

        screen = self._screen
        mono, opens = screen.app.clock.mono(), screen.app.input.keymap.first("open")
        if self._reason_job is not job or self._fetched_mono is None or not 0 <= mono - self._fetched_mono < REASON_S:
            self._reason_job, self._fetched_mono = job, mono
            cluster, now, queueing = screen.cluster, screen.ctx().now, screen.at.queueing
            screen.fetch(
                lambda: _reason(job, cluster, now, queueing), lambda answer: self._reason_fetched(key, answer), "beside"
            )
        self.last.set_title("Pending reason", f"{opens}: its priority, shares and limits")
        lines = [pane_line(("looking …", "text-dim"))] if self._reason is None else reason_lines(
            self._reason, max(20, self.last.size.width - 4))  # fmt: skip
        self.last.set_lines(lines)

    def _reason_fetched(self, key: str, answer: Any) -> None:

        from console.queue.pending_reason import PendingReason

        if key == self.key and self.is_on:
            self._reason = answer if isinstance(answer, PendingReason) else PendingReason(str(answer))
            self.paint()

    def _node_line(self, name: str) -> PaneLine:
        node = self._screen.cluster.nodes.get(name)
        if node is None:
            said = (
                ("  unknown to Slurm", "bad")
                if "nodes" in self._screen.cluster.known
                else ("  state unknown", "text-dim")
            )
            return PaneLine([(name, ""), said])
        load = self._screen.cluster.loads.get(name)
        use = "" if load is None else f"   GPUs {percent(load.gpu_util_pct)}   {power(load.power_w)}"
        rack = f"   {node.rack}" if node.rack else ""
        return PaneLine([(f"{name}  ", "text-strong"), *spans_of(state_cell(node)), (f"{rack}{use}", "text-dim")])

    def _pending_spans(self, key: str) -> list[tuple[str, str]]:
        word = self._screen.app.session.pending_words(self._kind).get(key)
        return [(word, "pending")] if word else []


def _reason(job: Job, cluster: Cluster, now: float, queueing: QueueCache) -> PendingReason:
    """Why a job waits, and what it requests. Limits, where they matter, are read at most once a minute for all screens.
    Blocks."""
    from console.queue.limit_hits import limit_hit
    from console.queue.pending_reason import PendingFacts, PendingReason, counted, pending_reason

    meets = limit_hit((job.reason or "").partition(",")[0])
    answer = pending_reason(job, cluster, now, PendingFacts(limits=queueing.limits().value if meets else None))
    limit = "no time limit" if job.unlimited else clock_span(job.time_limit_s)
    wants = [counted(job.node_count, "node"), counted(job.gpus, "GPU"), limit]
    figures = [("asks", ", ".join(wants)), *answer.figures]
    if job.expected is None:
        figures.insert(1, ("expected", "Slurm does not say yet when it will start"))
    return PendingReason(answer.sentence, tuple(figures))
