"""Clusters: every cluster that this console knows, one a line; Enter shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff, Fault
from console.cluster_columns import CLUSTERS, ClusterRow
from console.columns import Ctx
from console.elsewhere import Standing, active_of, summed
from console.judging import Judged, judge
from console.need_list import Need
from console.needs import SUMS
from console.screens.base import WachtScreen, answer_or_fault, stepped
from widgets.keybar import Key
from widgets.pane import Line, Pane
from widgets.table import VirtualTable
from widgets.tablekeys import TableKeys

#: What is read of the others too while this is shown.
_MORE = frozenset({"loads", "power"})


class ClustersScreen(WachtScreen):
    """How they all are. Nothing is done here: an action is for the cluster that is shown."""

    DEFAULT_CSS = """
    ClustersScreen #crumbs { height: 1; }
    """
    crumb = "clusters"
    reads = frozenset({"power"})
    sums = (*SUMS, active_of)
    shows_all = True

    def __init__(self) -> None:
        super().__init__()
        self.table: VirtualTable[Any] = VirtualTable(CLUSTERS, id="main")
        self.crumbs = Pane(border=False, id="crumbs")
        self._judged: dict[str, Judged | Fault] = {}
        """What needs a person in each, as it was judged last: at 12,000 nodes the event loop has no time for it."""
        self._asked = 0
        """Which question of a thread was the last."""

    def body(self) -> Iterable[Widget]:
        """The crumbs and the table."""
        yield self.crumbs
        yield self.table

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Few lines: they are made anew."""
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Others are read beside this one: what they say comes with the clock."""
        standings = self.app.standings()
        self._fill(standings, ctx)
        if due := dict(self._due(standings)):
            self._asked += 1
            asked = self._asked
            self.ask(lambda: {name: answer_or_fault(judging) for name, judging in due.items()},
                     lambda found: self._judged_later(asked, found), "needs")  # fmt: skip

    def _due(self, standings: Iterable[Standing]) -> Iterator[tuple[str, Callable[[], Judged]]]:
        """What judges those of which something has changed since they were judged."""
        for one in standings:
            at = self.app.opened.get(one.name)
            if at is None or one.cluster is None or "nodes" not in one.cluster.known:
                self._judged.pop(one.name, None)
                continue
            now = stepped(at.live_clock.now())
            made = self._judged.get(one.name)
            if not isinstance(made, Judged) or not made.stands(one.cluster, at, at.live_clock, now):
                yield one.name, judge(one.cluster, at, at.live_clock, now, self.app.policy)

    def _judged_later(self, asked: int, found: dict[str, Judged | Fault] | Fault) -> None:
        if asked == self._asked and not isinstance(found, Fault):
            self._judged |= found
            self._fill(self.app.standings(), self.ctx())

    def _fill(self, standings: Iterable[Standing], ctx: Ctx) -> None:
        rows = {one.name: ClusterRow(standing=summed(one), needs=self._needs(one.name)) for one in standings}
        self.table.set_rows(rows, ctx=ctx)
        self.crumbs.set_lines([Line([(" Clusters ", "title"), (f" {len(rows):,}", "text-strong")])])

    def _needs(self, name: str) -> Sequence[Need] | Fault | None:
        made = self._judged.get(name)
        return made.needs if isinstance(made, Judged) else made

    def keys(self) -> Sequence[Key]:
        """What Enter does here."""
        return (Key("Enter", "show it"), Key("C", "next"), Key("o", "order"), Key(":", "command"))

    def on_screen_resume(self) -> None:
        """While this is shown, power is read of the others too."""
        super().on_screen_resume()
        self.app.watch_others(_MORE)

    def on_screen_suspend(self) -> None:
        """Then no longer."""
        self.app.watch_others()

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        if event.key == self.app.current:
            self.app.action_go("overview")
        else:
            self.app.go_to_cluster(event.key)
