"""Beside a list, on a wide terminal: the inspection of what the cursor is on, once it rests there.

A cursor that moves costs nothing here: the panes follow when it has stood still for a moment, and what is read on
demand (telemetry) is read then, once. Until then the title says whose facts they are.
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
from console.health.unknown_reasons import why_unknown
from console.tables import inspection_lines
from console.tables.gpu_table import gpu_table, gpus_title
from console.tables.table_columns import state_cell
from widgets.cells import spans_of
from widgets.pane import Pane, PaneLine, pane_line
from widgets.units import clock_span

if TYPE_CHECKING:
    from console.actions.action import Kind
    from console.queue.pending import PendingReason
    from console.queue.queue_reads import QueueCache

    from .screen import WachtScreen

#: A terminal of fewer columns has no room for both.
WIDE = 160
#: Seconds that the cursor must rest; where one key follows the other, so that what lies on the way is not painted; and
#: on a slow line, where the panes would hold up the keys.
REST_S, WALK_REST_S, SLOW_REST_S = 0.15, 0.35, 1.0
#: Moves that are no further apart follow each other.
WALK_S = 0.5
#: Nodes of a job that are listed: what else there is, its own inspection shows.
NODES_MOST = 200
#: Seconds for which the answer does why a job waits: it takes a walk over all jobs and nodes.
WHY_S = 15.0


class SidePane(Vertical):
    """The panes. `follow` says that the cursor moved, `paint` that facts or ages did."""

    DEFAULT_CSS = """
    SidePane { width: 45%; min-width: 72; max-width: 130; height: 1fr; display: none; }
    SidePane.-on { display: block; }
    SidePane Pane { height: auto; }
    SidePane #beside-last { height: 1fr; }
    """

    def __init__(self, screen: WachtScreen, kind: Kind, cursor: Callable[[], str | None]) -> None:
        super().__init__(id="beside")
        self._screen, self._kind, self._cursor = screen, kind, cursor
        self.facts = Pane("—", scroll=True, id="beside-facts")
        self.gpus = Pane("GPUs", scroll=True, empty_text="asking …", id="beside-gpus")
        self.more = Pane("Jobs here", select=True, empty_text="no job is on this node", id="beside-more")
        self.last = Pane("—", scroll=True, id="beside-last")
        self.key: str | None = None
        """What is shown."""
        self._moved = 0.0
        self._walks = False
        self._timer: Timer | None = None
        self._found: tuple[Gpu, ...] = ()
        self._said = ""
        self._why: PendingReason | None = None
        self._waits: Job | None = None
        """The row of a job that waits, of which it was asked why."""
        self._asked: float | None = None
        """When the GPUs were asked for, or why it waits, by the clock of the cluster; None: they were not yet."""

    def compose(self) -> Iterable[Widget]:
        """One over the other."""
        yield self.facts
        yield self.gpus
        yield self.more
        yield self.last

    @property
    def is_on(self) -> bool:
        """Whether it is there."""
        return self.has_class("-on")

    def switch(self, on: bool) -> None:
        """Show it or take it away."""
        if on != self.is_on:
            self.set_class(on, "-on")
            self.key = None
            if on:
                self.call_after_refresh(self._rested)

    def follow(self) -> None:
        """The cursor moved: look again when it has rested."""
        now = time.monotonic()
        self._walks, self._moved = now - self._moved < WALK_S, now
        if self.is_on and self._timer is None:
            self._timer = self.set_timer(self._rest_s, self._look)

    @property
    def _rest_s(self) -> float:
        return SLOW_REST_S if self._screen.app.slow_line else WALK_REST_S if self._walks else REST_S

    def _look(self) -> None:
        self._timer = None
        left = self._moved + self._rest_s - time.monotonic()
        if left > 0.005:
            self._timer = self.set_timer(left, self._look)
        elif self.is_attached:
            self._rested()

    def _rested(self) -> None:
        key = self._cursor()
        if key != self.key:
            self.key = key
            self.forget()
            for pane in (self.facts, self.gpus, self.more, self.last):
                pane.scroll_top(0)
        self.paint()

    def forget(self) -> None:
        """What was asked for is of another row, or another time."""
        self._found, self._said, self._asked = (), "", None
        self._why = self._waits = None

    def paint(self) -> None:
        """Show the facts as they are now."""
        if not self.is_on or not self.is_attached:
            return
        with self.app.batch_update():
            if self.key is None:
                self._none("nothing is under the cursor")
            elif self._kind == "node":
                self._paint_node(self.key)
            else:
                self._paint_job(self.key)

    def _none(self, said: str) -> None:
        self.facts.set_title(self.key or "—")
        self._lines(self.facts, [pane_line((said, "text-dim"))])
        for pane in (self.gpus, self.more):
            pane.display = False
        self.last.set_title("—")
        self.last.set_lines([])

    def _lines(self, pane: Pane, lines: list[PaneLine], most: int = 40, least: int = 1) -> None:
        """As high as it needs, and not higher than leaves the others room."""
        pane.display = True
        pane.styles.height = min(max(len(lines), least), most) + 2
        pane.set_lines(lines)

    def _paint_node(self, key: str) -> None:
        screen, cluster = self._screen, self._screen.cluster
        now, node = screen.ctx().now, cluster.nodes.get(key)
        if node is None:
            self._none(f"Slurm has no node {key} any more")
            return
        self.facts.set_title([(key, "title")], self._pending(key) or screen.old("slurm.nodes"))
        self._lines(self.facts, inspection_lines.node_lines(node, cluster, now), max(8, self.size.height // 3))
        self._paint_gpus(node, now)
        ids = cluster.jobs_on.get(key, ())
        known = "jobs" in cluster.known
        self.more.set_title([("Jobs here", "title"), (f" {len(ids)}" if known else " —", "text-strong")])
        rows = (
            inspection_lines.job_rows(ids, cluster.jobs, now)
            if known
            else [pane_line((why_unknown(cluster, "jobs"), "text-dim"))]
        )
        self._lines(self.more, rows, max(4, self.size.height // 4))
        app = screen.app
        troubles = inspection_lines.trouble_lines(key, cluster, app.policy, now, app.clock.mono(), app.resumed)
        self.last.set_title("XIDs, contradictions, processes")
        last = [*troubles, *inspection_lines.process_lines(self._found)]
        self.last.set_lines(last or [pane_line(("none is known", "text-dim"))])
        mono = app.clock.mono()
        if self._asked is None or mono - self._asked >= app.gpus_every_s:
            self._asked = mono
            screen.ask(lambda: screen.at.telemetry.gpus([key]), lambda answer: self._came(key, answer), "beside")

    def _paint_gpus(self, node: Node, now: float) -> None:
        lines = gpu_table(self._found, self._screen.cluster.jobs, max(20, self.gpus.size.width - 4))
        title, age = gpus_title(self._found, node, now)
        self.gpus.set_title(title, age)
        if self._said:
            lines.append(pane_line((self._said, "warn")))
        # As high as it will be: what stands beneath it does not move when the answer comes.
        self._lines(self.gpus, lines or [pane_line(("asking …", "text-dim"))], 18, 1 + (node.gpus or 0))

    def _came(self, key: str, answer: Any) -> None:
        if key != self.key or not self.is_on:
            return
        if isinstance(answer, Mapping):
            self._found = answer.get(key, ())
            self._said = "" if self._found else "no sample: is its exporter up?"
        else:
            self._said = str(answer)
        self.paint()

    def _paint_job(self, key: str) -> None:
        screen, cluster = self._screen, self._screen.cluster
        job = cluster.jobs.get(key)
        if job is None:
            self._none(f"job {key} is not in the queue any more")
            return
        self.facts.set_title([(f"Job {key}", "title")], self._pending(key) or screen.old("slurm.jobs"))
        self._lines(
            self.facts, inspection_lines.job_lines(job, cluster, screen.ctx().now), max(8, self.size.height // 2)
        )
        self.gpus.display = self.more.display = False
        if job.state in WAITING:
            self._paint_waiting(key, job)
            return
        names = names_in(job.nodes)
        self.last.set_title([("Nodes", "title"), (f" {len(names)}", "text-strong")])
        rest = [pane_line((f"and {len(names) - NODES_MOST:,} more", "text-dim"))] if len(names) > NODES_MOST else []
        nodes = [self._node_line(name) for name in names[:NODES_MOST]]
        self.last.set_lines([*nodes, *rest] if names else [pane_line(("it has no nodes", "text-dim"))])

    def _paint_waiting(self, key: str, job: Job) -> None:
        """It has no nodes yet: why it waits stands there, from what is polled; nothing of this job alone is asked."""
        from console.screens.pending_pane import lines_of

        screen = self._screen
        mono, opens = screen.app.clock.mono(), screen.app.keymap.first("open")
        if self._waits is not job or self._asked is None or not 0 <= mono - self._asked < WHY_S:
            self._waits, self._asked = job, mono
            cluster, now, queueing = screen.cluster, screen.ctx().now, screen.at.queueing
            screen.ask(lambda: _why(job, cluster, now, queueing), lambda told: self._why_came(key, told), "beside")
        self.last.set_title("Why it waits", f"{opens}: its priority, shares and limits")
        lines = [pane_line(("looking …", "text-dim"))] if self._why is None else lines_of(
            self._why, max(20, self.last.size.width - 4))  # fmt: skip
        self.last.set_lines(lines)

    def _why_came(self, key: str, told: Any) -> None:

        from console.queue.pending import PendingReason

        if key == self.key and self.is_on:
            self._why = told if isinstance(told, PendingReason) else PendingReason(str(told))
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
        return PaneLine([(f"{name}  ", "text-strong"), *spans_of(state_cell(node))])

    def _pending(self, key: str) -> list[tuple[str, str]]:
        word = self._screen.app.pending_words(self._kind).get(key)
        return [(word, "pending")] if word else []


def _why(job: Job, cluster: Cluster, now: float, queueing: QueueCache) -> PendingReason:
    """Why a job waits, and what it asks for. Limits are asked for where it meets one: at most once a minute, by all
    screens together. Blocks."""
    from console.queue import pending
    from console.queue.limit_hits import limit_hit

    meets = limit_hit((job.reason or "").partition(",")[0])
    told = pending.pending_reason(
        job, cluster, now, pending.PendingFacts(limits=queueing.limits().value if meets else None)
    )
    limit = "no time limit" if job.unlimited else clock_span(job.time_limit_s)
    wants = [pending.counted(job.node_count, "node"), pending.counted(job.gpus, "GPU"), limit]
    figures = [("asks", ", ".join(wants)), *told.figures]
    if job.expected is None:
        figures.insert(1, ("expected", "Slurm does not say yet when it will start"))
    return pending.PendingReason(told.sentence, tuple(figures))
