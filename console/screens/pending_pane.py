"""Why the inspected job is pending: a pane of the job screen, shown while the job waits. The first text uses polled
facts; limits, priority factors and fair shares are read on demand and refine it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from collectors.jobstate import WAITING
from collectors.model import Fault, Job, JobDetail
from console.queue.pending_reason import PendingFacts, PendingReason, pending_reason
from console.queue.queue_reads import CACHE_S, QueueCache
from widgets.pane import Pane, PaneLine
from widgets.units import age

from .layout.screen import WachtScreen

_LABEL = 12


class PendingPane(Pane):
    """The pending pane of a job screen."""

    DEFAULT_CSS = """
    PendingPane { height: 8; display: none; }
    """

    def __init__(self, screen: WachtScreen, job: str) -> None:
        super().__init__("Pending reason", scroll=True, empty_text="looking …", id="waiting")
        self._screen = screen
        self._job = job
        self._known = PendingFacts()
        self._why: PendingReason | None = None
        self._asked_mono: float | None = None
        self._answered_mono: float | None = None
        """When the oldest of the on-demand facts was requested (monotonic)."""

    def detail_came(self, answer: JobDetail | Fault) -> None:
        """Take the details of the job, which the screen reads anyway."""
        self._known = self._known._replace(detail=answer)
        self.follow()

    def follow(self) -> None:
        """Update for new facts or a new time."""
        screen, job = self._screen, self._row()
        self.display = job is not None
        if job is None:
            return
        mono = screen.app.clock.mono()
        if self._asked_mono is None or mono - self._asked_mono >= CACHE_S:
            self._asked_mono = mono
            queueing = screen.at.queueing
            screen.fetch(lambda: _fetch_facts(queueing, self._job), self._facts_fetched, "queueing")
        cluster, now, known = screen.cluster, screen.ctx().now, self._known
        screen.fetch(lambda: pending_reason(job, cluster, now, known), self._reason_ready, "why")
        self._paint()

    def _row(self) -> Job | None:
        job = self._screen.cluster.jobs.get(self._job)
        return job if job is not None and job.state in WAITING else None

    def _facts_fetched(self, answer: Any) -> None:
        if isinstance(answer, Fault):
            self._known = self._known._replace(factors=answer, limits=answer, shares=answer)
        else:
            oldest_mono, factors, limits, shares = answer
            # Without on-demand facts there is no age.
            self._answered_mono = None if isinstance(limits, Fault) and isinstance(shares, Fault) else oldest_mono
            self._known = self._known._replace(factors=factors, limits=limits, shares=shares)
        self.follow()

    def _reason_ready(self, answer: Any) -> None:
        self._why = answer if isinstance(answer, PendingReason) else PendingReason(str(answer))
        self._paint()

    def _paint(self) -> None:
        mono = self._screen.app.clock.mono()
        old = f"shares and limits {age(mono - self._answered_mono)} old" if self._answered_mono is not None else ""
        self.set_title("Pending reason", old)
        if self._why is None:
            return
        lines = reason_lines(self._why, max(20, self._screen.size.width - 4))
        most = max(7, self._screen.size.height * 2 // 5)
        self.styles.height = min(len(lines) + 2, most)
        self.set_lines(lines)


def _fetch_facts(queueing: QueueCache, job: str) -> Sequence[Any]:
    factors, limits, shares = queueing.factors(job), queueing.limits(), queueing.shares()
    return min(one.mono for one in (limits, shares)), factors.value, limits.value, shares.value


def reason_lines(found: PendingReason, room: int) -> list[PaneLine]:
    """The text, then the figures, wrapped."""
    lines = [PaneLine([(piece, "text-strong")]) for piece in textwrap.wrap(found.sentence, room)]
    for label, text in found.figures:
        pieces = textwrap.wrap(text, max(20, room - _LABEL)) or [""]
        for at, piece in enumerate(pieces):
            lines.append(PaneLine([(f"{'' if at else label:<{_LABEL}}", "text-dim"), (piece, "")]))
    return lines
