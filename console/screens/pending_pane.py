"""Why the inspected job is pending: a pane of the job screen, there only while it waits. The sentence comes at once
from what is polled; what is asked for on demand (limits, priority factors, fair shares) makes it better when it comes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from collectors.jobstate import WAITING
from collectors.model import Fault, Job, JobDetail
from console.queue.pending import PendingFacts, PendingReason, pending_reason
from console.queue.queue_reads import CACHE_S, QueueCache
from widgets.pane import Pane, PaneLine
from widgets.units import age

from .layout.screen import WachtScreen

_LABEL = 12


class PendingPane(Pane):
    """Follows one job of its screen."""

    DEFAULT_CSS = """
    PendingPane { height: 8; display: none; }
    """

    def __init__(self, screen: WachtScreen, job: str) -> None:
        super().__init__("Why it waits", scroll=True, empty_text="looking …", id="waiting")
        self._on = screen
        self._job = job
        self._known = PendingFacts()
        self._why: PendingReason | None = None
        self._asked: float | None = None
        self._told: float | None = None
        """When the oldest of what was asked for on demand was asked."""

    def detail_came(self, answer: JobDetail | Fault) -> None:
        """What Slurm tells of this job alone: the screen asks for it anyway."""
        self._known = self._known._replace(detail=answer)
        self.follow()

    def follow(self) -> None:
        """The facts or the clock have moved."""
        screen, job = self._on, self._row()
        self.display = job is not None
        if job is None:
            return
        mono = screen.app.clock.mono()
        if self._asked is None or mono - self._asked >= CACHE_S:
            self._asked = mono
            queueing = screen.at.queueing
            screen.ask(lambda: _ask(queueing, self._job), self._came, "queueing")
        cluster, now, known = screen.cluster, screen.ctx().now, self._known
        screen.ask(lambda: pending_reason(job, cluster, now, known), self._answered, "why")
        self._say()

    def _row(self) -> Job | None:
        job = self._on.cluster.jobs.get(self._job)
        return job if job is not None and job.state in WAITING else None

    def _came(self, answer: Any) -> None:
        if isinstance(answer, Fault):
            self._known = self._known._replace(factors=answer, limits=answer, shares=answer)
        else:
            told, factors, limits, shares = answer
            # Nothing that was told has no age.
            self._told = None if isinstance(limits, Fault) and isinstance(shares, Fault) else told
            self._known = self._known._replace(factors=factors, limits=limits, shares=shares)
        self.follow()

    def _answered(self, answer: Any) -> None:
        self._why = answer if isinstance(answer, PendingReason) else PendingReason(str(answer))
        self._say()

    def _say(self) -> None:
        mono = self._on.app.clock.mono()
        old = f"shares and limits {age(mono - self._told)} old" if self._told is not None else ""
        self.set_title("Why it waits", old)
        if self._why is None:
            return
        lines = lines_of(self._why, max(20, self._on.size.width - 4))
        most = max(7, self._on.size.height * 2 // 5)
        self.styles.height = min(len(lines) + 2, most)
        self.set_lines(lines)


def _ask(queueing: QueueCache, job: str) -> Sequence[Any]:
    factors, limits, shares = queueing.factors(job), queueing.limits(), queueing.shares()
    return min(one.mono for one in (limits, shares)), factors.value, limits.value, shares.value


def lines_of(found: PendingReason, room: int) -> list[PaneLine]:
    """The sentence, then the figures, on as many lines as they take."""
    lines = [PaneLine([(piece, "text-strong")]) for piece in textwrap.wrap(found.sentence, room)]
    for label, text in found.figures:
        pieces = textwrap.wrap(text, max(20, room - _LABEL)) or [""]
        for at, piece in enumerate(pieces):
            lines.append(PaneLine([(f"{'' if at else label:<{_LABEL}}", "text-dim"), (piece, "")]))
    return lines
