"""A job that is not in the queue any more: its account, on the screen of the job, asked for once that is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from collectors.model import Fault, JobAccount
from collectors.nodeset import names_in
from console.queue.job_accounting import ALIVE, gpu_mean
from console.tables.accounting_lines import account_lines, beside_lines, fault_lines
from console.tables.table_columns import Ctx
from widgets.pane import line
from widgets.units import age, percent

if TYPE_CHECKING:
    from .job import JobScreen

#: The accounts come a moment after the queue. So often, and after so many seconds, they are asked again for a job that
#: has just left the queue and that they have running.
_TIMES, _AGAIN_S = 4, 10.0
#: Charts of a node are not asked for further back.
_CHART_S = 7 * 86_400
#: Lines that stay for what stands below the facts.
_BELOW = 9


class EndedJob:
    """The account of one job, for its screen."""

    def __init__(self, screen: JobScreen, job: str) -> None:
        self._on = screen
        self._job = job
        self.account: JobAccount | None = None
        self._fault: Fault | None = None
        self._asked: float | None = None
        self._came_at: float | None = None
        self._times = 0
        self._telemetry: str | None = None

    @property
    def was_asked(self) -> bool:
        """Whether the job was seen to be gone."""
        return self._asked is not None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that it ran on."""
        return () if self.account is None else names_in(self.account.run.nodes)

    def follow(self, ctx: Ctx) -> None:
        """The facts or the clock have moved: ask where that is due, and show what is known."""
        screen, mono = self._on, self._on.app.clock.mono()
        behind = self.account is not None and self.account.run.state in ALIVE and self._times < _TIMES
        if self._asked is None or (behind and mono - self._asked >= _AGAIN_S):
            self._asked, self._times = mono, self._times + 1
            ledger, job = screen.at.ledger, self._job
            screen.ask(lambda: ledger.account_of_job(job), self._came, "account")
        told = f"accounting, as of {age(mono - self._came_at)} ago" if self._came_at is not None else "asking …"
        screen.facts.set_title([(f"Job {self._job}", "title")], told)
        screen.more.set_title("Steps, and its nodes meanwhile")
        gone = f"job {self._job} is not in the queue any more"
        if self.account is None:
            lines = [line((gone, "text-dim" if self._fault is None else "warn"))]
            lines += fault_lines("why it ended", self._fault) if self._fault is not None else []
            screen.more.set_lines([] if self._fault is None else [line(("not known", "text-dim"))])
        else:
            lines = account_lines(self.account, ctx.now, self._telemetry)
            if self.account.run.state in ALIVE:
                lines.insert(0, line((f"{gone}; its end is not in the accounting yet", "warn")))
            screen.more.set_lines(beside_lines(self.account, ctx.now))
        screen.facts.set_lines(lines)
        screen.facts.styles.height = min(len(screen.facts.lines) + 2, max(6, screen.size.height - 2 - _BELOW))
        screen.show_nodes(self.nodes, known=self.account is not None)

    def _came(self, answer: Any) -> None:
        self._came_at = self._asked
        if isinstance(answer, JobAccount):
            self.account, self._fault = answer, None
            self._ask_telemetry(answer)
        elif self.account is None:
            self._fault = answer
        self._on.tick(self._on.ctx())

    def _ask_telemetry(self, account: JobAccount) -> None:
        """Where Slurm counts no GPUs, the charts of its first node may tell."""
        run, nodes, now = account.run, self.nodes, self._on.app.clock.now()
        if account.gpu_util_pct is not None or not run.gpus or not nodes or run.started is None or run.ended is None:
            return
        back = int(now - run.started) + 60
        if back > _CHART_S:
            return
        telemetry = self._on.at.telemetry
        of = f"all GPUs of {nodes[0]}" + (f", one of its {len(nodes):,} nodes" if len(nodes) > 1 else "")

        def came(answer: Any) -> None:
            mean = gpu_mean(answer, run) if isinstance(answer, Sequence) else None
            if mean is not None:
                self._telemetry = f"{percent(mean)} of {of}  (telemetry)"
                self._on.tick(self._on.ctx())

        self._on.ask(lambda: telemetry.history(nodes[0], back), came, "use")
