"""The inbox: every node that is out of service, by cause and age, and below it inconsistent facts."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from textual import events, on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from collectors.nodeset import fold, fold_for_slurm
from console.actions.action import Kind
from console.fields.common_cells import Ctx
from console.health import drain_reasons
from console.health.inconsistencies import inconsistencies, suspect_nodes
from console.health.version_drift import drifts
from console.tables.inbox_columns import INBOX, INCONSISTENCIES, full_spans
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys

from .layout.two_tables import TwoTables

#: Number of columns below which columns are dropped or cut.
_WIDE_COLUMNS = 150


class InboxScreen(TwoTables):
    """Nodes and inconsistencies that need a person."""

    DEFAULT_CSS = """
    InboxScreen .crumbs { height: 1; }
    InboxScreen #main { height: 3fr; }
    InboxScreen #disagree { height: 2fr; }
    InboxScreen #words { height: 3; display: none; }
    InboxScreen.-narrow #words { display: block; }
    """
    crumb = "inbox"
    acts_on = "node"
    sums = (suspect_nodes, drifts)

    def __init__(self) -> None:
        super().__init__()
        self.inbox: VirtualTable[Any] = VirtualTable(INBOX, id="main")
        self.inconsistencies: VirtualTable[Any] = VirtualTable(INCONSISTENCIES, id="disagree")
        self.full_text = Pane(border=False, wrap=True, id="words")
        self.set_tables(self.inbox, self.inconsistencies)

    def body(self) -> Iterable[Widget]:
        """Both tables; on a narrow screen also the full text of the row under the cursor."""
        yield from super().body()
        yield self.full_text

    def on_resize(self, event: events.Resize) -> None:
        """Check whether all columns fit."""
        self.set_class(event.size.width < _WIDE_COLUMNS, "-narrow")

    def follow(self) -> None:
        """Show the full text of the row under the cursor."""
        row = self.active.row_of(self.active.cursor_key or "")
        self.full_text.set_lines([PaneLine(full_spans(row, self.ctx().now))] if row is not None else [])

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Rebuild both tables: 12,000 nodes take some 20 ms."""
        ctx = self.ctx()
        entries = {one.nodes[0]: one for one in drain_reasons.drain_groups(cluster, ctx.now)}
        self.inbox.set_rows(entries, ctx=ctx)
        found = inconsistencies(
            cluster, ctx.now, self.app.policy, mono=self.app.clock.mono(), resumed=self.app.session.resumed
        )
        found.sort(key=lambda one: ("bad", "warn", "note").index(one.severity))
        self.inconsistencies.set_rows({f"{one.node}/{one.kind}/{at}": one for at, one in enumerate(found)}, ctx=ctx)
        self.inbox.dimmed = self.stale("slurm.nodes")
        self.inconsistencies.dimmed = self.stale("slurm.nodes", "prom.loads")
        nodes = sum(len(one.nodes) for one in entries.values())
        old = sum(len(one.nodes) for one in entries.values() if one.forgotten)
        late = ((f"{old:,} for more than 7 days", "warn"),) if old else ()
        known = "nodes" in cluster.known
        self.set_head(0, (("Out of service ", "title"), (f" {nodes:,} nodes" if known else " —", "text-strong")), late)
        self.set_head(1, (("Facts that disagree ", "title"), (f" {len(found):,}" if known else " —", "text-strong")))
        self.inbox.empty_text = self.missing_text("nodes", "slurm.nodes", "every node is in service")
        telemetry = "prom.loads" in cluster.sources
        self.follow()
        none = "no facts are known to disagree" if telemetry else "no telemetry is configured to hold against Slurm"
        telemetry_now = ("loads", "xids") if telemetry else ()
        self.inconsistencies.empty_text = self.why_unknown("nodes", "jobs", *telemetry_now) or none

    def tick(self, ctx: Ctx) -> None:
        """Update the ages."""
        self.follow()
        self.inbox.set_ctx(ctx)
        self.inconsistencies.set_ctx(ctx)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """All nodes of the marked lines, or of the line under the cursor."""
        if kind != "node":
            return ()
        rows = [row for key in self.selected_keys if (row := self.active.row_of(key)) is not None]
        names = [name for row in rows for name in (row.nodes or (row.node,))]
        return tuple(dict.fromkeys(name for name in names if name in self.cluster.nodes))

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (
            KeyHint("Enter", "open"),
            KeyHint("Space", "mark"),
            KeyHint("Tab", "other table"),
            KeyHint("o", "order"),
        )

    def copy_text(self) -> str | None:
        """The command that lists the drain reasons."""
        names = self.targets("node")
        return shlex.join(["sinfo", "-R", "-n", fold_for_slurm(names)]) if names else "sinfo -R"

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        row = event.table.row_of(event.key) if isinstance(event.table, VirtualTable) else None
        if row is None:
            return
        if len(row.nodes) > 1:
            self.app.navigation.go("nodes", fold(row.nodes))
        else:
            self.app.navigation.open_row("node", row.nodes[0] if row.nodes else row.node)
