"""The storage screen: file systems, and the nodes on which the one under the cursor hangs or is missing."""

from __future__ import annotations

from typing import Any

from textual import on

from collectors.model import Cluster, Diff
from collectors.slurm.operations import DRAIN
from console.actions.action import Kind
from console.actions.registry import BY_ID
from console.fields.common_cells import Ctx
from console.plant import storage
from console.tables.storage_columns import STORE_NODES, STORES
from widgets.cells import Span
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys
from widgets.units import count

from .layout.two_tables import TwoTables

SOURCE = "prom.storage"
NO_FILE_SYSTEMS = (
    "no shared file system is known: Prometheus has no node_filesystem_device_error of one, and no exporter of servers"
)
NO_SOURCE = "no Prometheus is configured: mounts come from node_exporter, through prometheus = { url = … }"


class StorageScreen(TwoTables):
    """File systems that hang, on which nodes, and the jobs affected."""

    DEFAULT_CSS = """
    StorageScreen .crumbs { height: 1; }
    StorageScreen #main { height: 2fr; }
    StorageScreen #store-nodes { height: 3fr; }
    """
    crumb = "storage"
    acts_on = "node"
    needed_kinds = frozenset({"storage"})
    sums = (storage.store_rows,)

    def __init__(self) -> None:
        super().__init__()
        self.stores: VirtualTable[Any] = VirtualTable(STORES, id="main")
        self.nodes_hit: VirtualTable[Any] = VirtualTable(STORE_NODES, id="store-nodes")
        self.set_tables(self.stores, self.nodes_hit)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update from sums that are computed once for each reading."""
        if diff is None or diff.kinds & {"storage", "nodes", "jobs"}:
            self.stores.set_rows(storage.store_rows(cluster), ctx=self.ctx())
        self.stores.empty_text = self.nodes_hit.empty_text = self.empty_text_for(
            "storage", SOURCE, NO_SOURCE, NO_FILE_SYSTEMS
        )
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update ages."""
        self.stores.dimmed = self.nodes_hit.dimmed = self.stale(SOURCE)
        self.stores.set_ctx(ctx)
        self._paint_head()
        self.follow()

    def _paint_head(self) -> None:
        rows = storage.store_rows(self.cluster)
        known = "storage" in self.cluster.known
        spans: list[Span] = [("Storage ", "title"), (f" {len(rows)}" if known else " —", "text-strong")]
        hit = {job for row in rows.values() if row.bad for job in row.jobs or ()}
        if any(row.bad for row in rows.values()):
            jobs = count(len(hit)) if "jobs" in self.cluster.known else "an unknown number of"
            spans.append((f"   {jobs} jobs on nodes where one hangs", "bad"))
        state = self.cluster.sources.get(SOURCE)
        told: tuple[Span, ...] = ()
        if state is not None and state.fault is not None:
            told = ((str(state.fault), "bad"),)
        elif state is not None and state.warnings:
            told = ((state.warnings[0], "warn"),)
        self.set_head(0, spans, told)

    def follow(self) -> None:
        """Show the nodes of the file system under the cursor."""
        row = storage.store_rows(self.cluster).get(self.stores.cursor_key or "")
        hit = {} if row is None else storage.nodes_of(row, self.cluster)
        self.nodes_hit.set_rows(hit, ctx=self.ctx())
        if row is None:
            self.set_head(1, (("Nodes ", "title"),))
            return
        none = f"{row.store.name} hangs on no node that tells of it, and none in service lacks it"
        self.nodes_hit.empty_text = self.missing_text("storage", SOURCE, none)
        spans: list[Span] = [("Nodes ", "title"), (f" {row.store.name}", "text-strong"), (f"  {len(hit):,}", "")]
        if row.stuck:
            spans.append((f"   on {len(row.stuck)} a job cannot end", "bad"))
        if row.users:
            spans.append((f"   users: {', '.join(row.users[:6])}{', …' if len(row.users) > 6 else ''}", "text-dim"))
        self.set_head(1, spans)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The marked nodes, or the one under the cursor; for a file system the nodes on which it hangs."""
        if kind != "node":
            return ()
        table = self.active
        rows = [row for key in self.selected_keys if (row := table.row_of(key)) is not None]
        names = [name for row in rows for name in (row.store.hung if table is self.stores else (row.name,))]
        return tuple(dict.fromkeys(name for name in names if name in self.cluster.nodes))

    def suggested_reason(self, action_id: str) -> str | None:
        """The file system that hangs, as the reason of a drain."""
        row = self.active.row_of(self.active.cursor_key or "")
        if row is None or BY_ID[action_id].operation != DRAIN:
            return None
        if self.active is self.nodes_hit:
            return f"{row.mount} {row.how}" if row.how == "hangs" else f"{row.mount} is missing"
        return f"{row.store.name} hangs" if row.bad else None

    @on(TableKeys.Opened, "#main")
    def _store_opened(self, event: TableKeys.Opened) -> None:
        self.follow()
        if self.nodes_hit.keys:
            self.nodes_hit.focus()

    @on(TableKeys.Opened, "#store-nodes")
    def _node_opened(self, event: TableKeys.Opened) -> None:
        self.app.navigation.open_row("node", event.key)
