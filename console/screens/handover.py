"""The hand-over screen: what failed, what was done, what is open and what is unresolved since the last shift."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from textual import events, on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.clusters.cluster_session import ClusterSession
from console.export.markdown import WIDEST
from console.fields.common_cells import Ctx
from console.health.xid_policy import Policy
from console.journal.chain import JournalFault
from console.journal.entries import join
from console.journal.reader import JournalSnapshot
from console.journal.reminders import Reminder, empty_text, reminders
from console.journal.shifts import last_shift, shifts_file
from console.reports.period import Span, span_of
from console.reports.reads import ReportSources, book_of, gather
from console.reports.rendering import UNRESOLVED, as_markdown
from console.reports.report import ShiftReport
from console.runtime.state_files import StateFileFault
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine, pane_line
from widgets.units import age, when

from .layout.screen import WachtScreen

_BACKSLASH = re.compile(r"\\(.)")
_HEAD = f"## {UNRESOLVED}"
_KIND_WIDTH = 12
"""Width (cells) of the kind before a reminder."""


class _HandoverView(Struct, frozen=True):
    since: float
    """Start of the period (epoch)."""
    known: bool
    """False where the end of the last shift is unknown, and the period is the last twelve hours."""
    report: ShiftReport
    left: tuple[Reminder, ...]


class HandoverScreen(WachtScreen):
    """The report in one long pane."""

    crumb = "handover"
    needed_kinds = frozenset({"partitions", "reservations"})

    def __init__(self) -> None:
        super().__init__()
        self.text = Pane("Hand-over", select=True, empty_text="it is being put together …", id="main")
        self._view: _HandoverView | None = None
        self._fetched_mono: float | None = None

    def body(self) -> Iterable[Widget]:
        """The pane."""
        yield self.text

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Create the report when the first facts are known."""
        state = cluster.sources.get("slurm.nodes")
        if self._fetched_mono is None and ("nodes" in cluster.known or state is None or state.tried):
            self.read()

    def on_screen_resume(self) -> None:
        """Create the report again if it is more than a minute old."""
        super().on_screen_resume()
        if self._fetched_mono is not None and self.app.clock.mono() - self._fetched_mono > 60:
            self.read()

    def discard_fetched(self) -> None:
        """Drop the report, which belongs to another time."""
        self._fetched_mono = self._view = None

    def read(self) -> None:
        """Create the report off the event loop."""
        self._fetched_mono = self.app.clock.mono()
        sources, cluster = console_sources(self.app.session, self.app.policy), self.cluster
        self.fetch(lambda: _build_view(sources, cluster), self._view_fetched)

    def _view_fetched(self, answer: Any) -> None:
        if not isinstance(answer, _HandoverView):
            self.text.set_lines([pane_line((str(answer), "warn"))])
            return
        self._view = answer
        self._paint()
        self.tick(self.ctx())

    def _paint(self) -> None:
        """Show the lines, limited to a readable width."""
        if self._view is not None:
            self.text.set_lines(_lines(self._view, min(WIDEST, max(40, self.size.width - 4))))

    def on_resize(self, event: events.Resize) -> None:
        """Lay out the lines for the new width."""
        self._paint()

    def tick(self, ctx: Ctx) -> None:
        """Update the age of the report."""
        if self._view is None or self._fetched_mono is None:
            return
        since = when(self._view.since, now=ctx.now)
        what = f"since your last shift, {since}" if self._view.known else f"since {since}: your last shift is not known"
        made = age(self.app.clock.mono() - self._fetched_mono)
        self.text.set_title([("Hand-over ", "title"), (f" {what}", "text")], f"{made} old")

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "open"),)

    def copy_text(self) -> str | None:
        """The command that writes the same report."""
        return "wacht report"

    @on(Pane.Opened)
    def _opened(self, event: Pane.Opened) -> None:
        kind, _, opens = event.key.partition(" ")[2].partition(" ")
        if kind == "job" and opens:
            self.app.navigation.open_row("job", opens)
        elif opens:
            self.app.navigation.go("nodes", opens)


def _build_view(sources: ReportSources, cluster: Cluster) -> _HandoverView:
    try:
        since = last_shift(shifts_file().read(), sources.name, sources.now)
    except StateFileFault:
        since = None
    span = span_of(sources.now) if since is None else Span(since, sources.now)
    report = gather(sources, span)
    try:
        left = reminders(cluster, sources.journal(), sources.now)
    except JournalFault:
        left = ()
    return _HandoverView(span.since, since is not None, report, left)


def _lines(made: _HandoverView, width: int) -> list[PaneLine]:
    """The report as lines; reminders can be opened. Every line with text has a key, so that the cursor can reach it."""
    lines: list[PaneLine] = []
    unresolved = False
    for text in as_markdown(made.report, width).split("\n"):
        plain = _BACKSLASH.sub(r"\1", text)
        if text.startswith("## "):
            unresolved = text == _HEAD
            lines.append(pane_line((plain[3:], "title")))
            if unresolved:
                lines += [
                    PaneLine(()),
                    *_unresolved_lines(made.left, width, empty_text(made.report.left_unknown)),
                    PaneLine(()),
                ]
        elif not unresolved and not text.startswith("# "):
            lines.append(pane_line((plain, "text" if text.startswith(("-", " ", "|")) else "text-dim")))
    return [
        one if one.key or not one.spans or not one.spans[0][0] else one._replace(key=str(at))
        for at, one in enumerate(lines)
    ]


def _unresolved_lines(left: Sequence[Reminder], width: int, none: str) -> list[PaneLine]:
    """The reminders; Enter on any line of one opens its subject."""
    return [
        pane_line([(f"{'' if row else one.kind:<{_KIND_WIDTH}}", "text-dim"), (piece, "")],
             key=f"l{at}.{row} {one.kind} {one.opens}".rstrip())
        for at, one in enumerate(left)
        for row, piece in enumerate(textwrap.wrap(one.text, width - _KIND_WIDTH, break_on_hyphens=False) or [""])
    ] or [pane_line((none, "text-dim"))]  # fmt: skip


def console_sources(session: ClusterSession, policy: Policy) -> ReportSources:
    """The sources for a report on a cluster, live or replayed; fixed at the time of the call."""
    journal, path, clock, recorder = session.journal, session.journal_path, session.clock, session.recorder
    live = not session.site.recorded
    return ReportSources(
        name=session.cluster.name,
        now=clock.now(),
        mono=clock.mono(),
        cluster=session.cluster,
        recording=path if not live else None if recorder is None else recorder.path,
        journal=(lambda: book_of(path, clock.now())) if live else (lambda: JournalSnapshot.of(join(journal.lines()))),
        telemetry=session.telemetry if live else None,
        policy=policy,
    )
