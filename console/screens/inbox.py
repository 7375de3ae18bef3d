"""Inbox: every node that is out, sorted by what ails it and aged; and below it the facts that disagree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from collectors.nodeset import fold
from console import reasons
from console.actions import Kind
from console.columns import Ctx
from console.contradictions import contradictions, suspects
from console.inbox_columns import CONTRADICTIONS, INBOX
from console.screens.base import WachtScreen
from widgets.keybar import Key
from widgets.pane import Line, Pane
from widgets.table import VirtualTable
from widgets.tablekeys import TableKeys


class InboxScreen(WachtScreen):
    """Work that waits for somebody."""

    DEFAULT_CSS = """
    InboxScreen .crumbs { height: 1; }
    InboxScreen #main { height: 3fr; }
    InboxScreen #disagree { height: 2fr; }
    """
    crumb = "inbox"
    acts_on = "node"
    sums = (suspects,)

    def __init__(self) -> None:
        super().__init__()
        self.inbox: VirtualTable[Any] = VirtualTable(INBOX, id="main")
        self.disagree: VirtualTable[Any] = VirtualTable(CONTRADICTIONS, id="disagree")
        self._heads = (Pane(border=False, classes="crumbs"), Pane(border=False, classes="crumbs"))

    def body(self) -> Iterable[Widget]:
        """Each table under its head."""
        yield self._heads[0]
        yield self.inbox
        yield self._heads[1]
        yield self.disagree

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Both are made anew from the facts: 12,000 nodes take some 20 ms."""
        ctx = self.ctx()
        entries = {one.nodes[0]: one for one in reasons.inbox(cluster, ctx.now)}
        self.inbox.set_rows(entries, ctx=ctx)
        found = contradictions(cluster, ctx.now, self.app.policy, mono=self.app.clock.mono(), resumed=self.app.resumed)
        found.sort(key=lambda one: ("bad", "warn", "note").index(one.severity))
        self.disagree.set_rows({f"{one.node}/{one.kind}/{at}": one for at, one in enumerate(found)}, ctx=ctx)
        self.inbox.dimmed = self.stale("slurm.nodes")
        self.disagree.dimmed = self.stale("slurm.nodes", "prom.loads")
        nodes = sum(len(one.nodes) for one in entries.values())
        old = sum(len(one.nodes) for one in entries.values() if one.forgotten)
        late = ((f"{old:,} for more than 7 days", "warn"),) if old else ()
        known = "nodes" in cluster.known
        self._heads[0].set_lines(
            [Line(((" Out of service ", "title"), (f" {nodes:,} nodes" if known else " —", "text-strong")), late)]
        )
        self._heads[1].set_lines(
            [Line(((" Facts that disagree ", "title"), (f" {len(found):,}" if known else " —", "text-strong")))]
        )
        self.inbox.empty_text = self.missing_text("nodes", "slurm.nodes", "every node is in service")
        telemetry = "prom.loads" in cluster.sources
        none = "no facts are known to disagree" if telemetry else "no telemetry is configured to hold against Slurm"
        self.disagree.empty_text = self.missing_text("nodes", "slurm.nodes", none)

    def tick(self, ctx: Ctx) -> None:
        """Ages move."""
        self.inbox.set_ctx(ctx)
        self.disagree.set_ctx(ctx)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """All nodes of the marked lines, or of the line under the cursor."""
        if kind != "node":
            return ()
        table = self.disagree if self.focused is self.disagree else self.inbox
        keys = [key for key in table.keys if key in table.marked] or ([table.cursor_key] if table.cursor_key else [])
        rows = [row for key in keys if (row := table.row_of(key)) is not None]
        names = [name for row in rows for name in (row.nodes if table is self.inbox else (row.node,))]
        return tuple(dict.fromkeys(name for name in names if name in self.cluster.nodes))

    def clear_marks(self) -> None:
        """The marked lines were taken."""
        self.inbox.mark(())
        self.disagree.mark(())

    def keys(self) -> Sequence[Key]:
        """Ways around."""
        return (Key("Enter", "open"), Key("Space", "mark"), Key("Tab", "other table"), Key("o", "order"))

    def copyable(self) -> str | None:
        """The command that lists the reasons."""
        names = self.targets("node")
        return f"sinfo -R -n {fold(names)}" if names else "sinfo -R"

    @on(TableKeys.Moved)
    @on(TableKeys.Marked)
    def _moved(self) -> None:
        self.refresh_keys()

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        row = event.table.row_of(event.key) if isinstance(event.table, VirtualTable) else None
        if isinstance(row, reasons.Entry) and len(row.nodes) > 1:
            self.app.open_list("nodes", fold(row.nodes))
        elif row is not None:
            self.app.open_row("node", row.nodes[0] if isinstance(row, reasons.Entry) else row.node)
