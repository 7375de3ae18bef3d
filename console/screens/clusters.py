"""Clusters: every cluster that this console knows, one a line; Enter shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.cluster_columns import CLUSTERS, ClusterRow
from console.columns import Ctx
from console.elsewhere import active_of, summed
from console.needs import SUMS, needs
from console.screens.base import WachtScreen
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

    def body(self) -> Iterable[Widget]:
        """The crumbs and the table."""
        yield self.crumbs
        yield self.table

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Few lines: they are made anew."""
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Others are read beside this one: what they say comes with the clock."""
        rows = {}
        for one in self.app.standings():
            at = self.app.opened.get(one.name)
            known = at is not None and one.cluster is not None and "nodes" in one.cluster.known
            found = None
            if known and at is not None and one.cluster is not None:
                found = needs(one.cluster, ctx.now, self.app.policy, mono=one.mono, resumed=at.resumed, left=at.left)
            rows[one.name] = ClusterRow(standing=summed(one), needs=found)
        self.table.set_rows(rows, ctx=ctx)
        self.crumbs.set_lines([Line([(" Clusters ", "title"), (f" {len(rows):,}", "text-strong")])])

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
