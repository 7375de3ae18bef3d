"""The clusters screen: every configured cluster, one in each row; Enter shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff, Fault
from console.clusters.cluster_summary import ClusterSummary, active_of, totals_only
from console.fields.common_cells import Ctx
from console.runtime import memo
from console.tables.cluster_columns import CLUSTERS, ClusterRow
from console.triage.attention import SUMS
from console.triage.attention_list import AttentionLine
from console.triage.attention_task import AttentionResult, attention_task
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys

from .layout.screen import CTX_STEP_S, WachtScreen, answer_or_fault, stepped

#: Kinds that are also polled of the other clusters while this screen is shown.
_BACKGROUND_KINDS = frozenset({"loads", "power"})
_MAX_AGE_S = 4 * CTX_STEP_S


class ClustersScreen(WachtScreen):
    """The state of all clusters. No actions are possible here: an action belongs to the cluster that is shown."""

    DEFAULT_CSS = """
    ClustersScreen #crumbs { height: 1; }
    """
    crumb = "clusters"
    needed_kinds = frozenset({"power"})
    sums = (*SUMS, active_of)
    shows_all_clusters = True

    def __init__(self) -> None:
        super().__init__()
        self.table: VirtualTable[Any] = VirtualTable(CLUSTERS, id="main")
        self.crumbs = Pane(border=False, id="crumbs")
        self._judged: dict[str, AttentionResult | Fault] = {}
        """Cluster name to its last computed attention list; computed in a thread, since 12,000 nodes take too long."""
        self._judging = False
        """Whether a thread is computing attention lists."""

    def body(self) -> Iterable[Widget]:
        """The crumbs and the table."""
        yield self.crumbs
        yield self.table

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Rebuild the table; it has few rows."""
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update all rows: other clusters are polled independently of this one, so a tick reads their facts."""
        standings = self.app.fleet.standings()
        due = dict(self._due(standings))
        self._paint(standings, ctx)
        # One computation at a time: a newer one would not end the older thread, and both would take longer.
        if due and not self._judging:
            self._judging = True
            self.fetch(
                lambda: {name: answer_or_fault(one) for name, one in due.items()}, self._judgements_ready, "needs"
            )

    def _due(self, standings: Iterable[ClusterSummary]) -> Iterator[tuple[str, Callable[[], AttentionResult]]]:
        """The clusters whose attention list is out of date, each with the function that computes it."""
        for one in standings:
            session = self.app.fleet.sessions.get(one.name)
            if session is None or one.cluster is None or "nodes" not in one.cluster.known:
                self._judged.pop(one.name, None)
                continue
            by, made = session.by, self._judged.get(one.name)
            now = stepped(by.clock.now())
            if not isinstance(made, AttentionResult) or not made.is_current(one.cluster, by, now):
                yield one.name, attention_task(one.cluster, by, now, self.app.policy)

    def _judgements_ready(self, found: dict[str, AttentionResult | Fault] | Fault) -> None:
        self._judging = False
        if isinstance(found, Fault):
            return  # the next tick asks again
        for name, made in found.items():
            if name in self.app.fleet.sessions:
                self._judged[name] = made
            else:
                # It was closed meanwhile: drop the sums that the thread cached for it again.
                self._judged.pop(name, None)
                memo.forget(name)
        self._paint(self.app.fleet.standings(), self.ctx())

    def _paint(self, standings: Iterable[ClusterSummary], ctx: Ctx) -> None:
        rows = {
            one.name: ClusterRow(standing=totals_only(one), needs=self._attention_of(one.name)) for one in standings
        }
        self.table.set_rows(rows, ctx=ctx)
        self.crumbs.set_lines([PaneLine([(" Clusters ", "title"), (f" {len(rows):,}", "text-strong")])])

    def _attention_of(self, name: str) -> Sequence[AttentionLine] | Fault | None:
        """The attention list of a cluster; None where it is not recent, a Fault where it failed."""
        at, made = self.app.fleet.sessions.get(name), self._judged.get(name)
        if at is None or made is None:
            return None
        if isinstance(made, Fault):
            return made
        clock = at.clock
        # A recording may be played faster than real time, so the age of its list does not count.
        lately = at.site.recorded or abs(clock.now() - made.now) < _MAX_AGE_S
        return made.lines if made.by.clock is clock and lately else None

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "show it"), KeyHint("C", "next"), KeyHint("o", "sort"))

    def on_screen_resume(self) -> None:
        """Poll power of the other clusters too while this screen is shown, and drop outdated lists."""
        super().on_screen_resume()
        self.app.clusters.poll_others(_BACKGROUND_KINDS)
        self._judged = {name: made for name, made in self._judged.items() if isinstance(made, AttentionResult)}
        if self.is_mounted:
            self.tick(self.ctx())

    def on_screen_suspend(self) -> None:
        """Stop polling these kinds of the other clusters."""
        self.app.clusters.poll_others()

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        if event.key == self.app.session.name:
            self.app.navigation.go("overview")
        else:
            self.app.clusters.go_to(event.key)
