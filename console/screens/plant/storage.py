"""The storage screen: file systems, and the nodes on which the one under the cursor hangs or is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from console.plant import storage
from console.screens.layout.two_table_screen import Head, TableSpec, TwoTableScreen, TwoTableSpec
from console.tables.storage_columns import STORE_NODES, STORES, store_lines
from widgets.cells import Span
from widgets.pane import PaneLine
from widgets.units import count

SOURCE = "prom.storage"
NO_FILE_SYSTEMS = (
    "no shared file system is known: Prometheus has no node_filesystem_device_error of one, and no exporter of servers"
)
NO_SOURCE = "no Prometheus is configured: mounts come from node_exporter, through prometheus = { url = … }"


def _head(screen: TwoTableScreen) -> Head:
    rows = storage.store_rows(screen.cluster)
    known = "storage" in screen.cluster.known
    spans: list[Span] = [("Storage ", "title"), (f" {len(rows)}" if known else " —", "text-strong")]
    hit = {job for row in rows.values() if row.bad for job in row.jobs or ()}
    if any(row.bad for row in rows.values()):
        jobs = count(len(hit)) if "jobs" in screen.cluster.known else "an unknown number of"
        spans.append((f"   {jobs} jobs on nodes where one hangs", "bad"))
    return spans, screen.source_spans(SOURCE)


def _empty(screen: TwoTableScreen) -> str:
    return screen.empty_text_for("storage", SOURCE, NO_SOURCE, NO_FILE_SYSTEMS)


def _nodes(screen: TwoTableScreen) -> Mapping[str, Any]:
    row = screen.row_above()
    return {} if row is None else storage.nodes_of(row, screen.cluster)


def _nodes_head(screen: TwoTableScreen) -> Head:
    row = screen.row_above()
    if row is None:
        return (("Nodes ", "title"),), ()
    hit = len(screen.lower.keys)
    spans: list[Span] = [("Nodes ", "title"), (f" {row.store.name}", "text-strong"), (f"  {hit:,}", "")]
    if row.stuck:
        spans.append((f"   on {len(row.stuck)} a job cannot end", "bad"))
    if row.users:
        spans.append((f"   users: {', '.join(row.users[:6])}{', …' if len(row.users) > 6 else ''}", "text-dim"))
    return spans, ()


def _no_nodes(screen: TwoTableScreen) -> str:
    row = screen.row_above()
    if row is None:
        return _empty(screen)
    none = f"{row.store.name} hangs on no node that reports it, and is mounted on all in service"
    return screen.missing_text("storage", SOURCE, none)


def _beside(screen: TwoTableScreen) -> tuple[str, Iterable[PaneLine]]:
    row = screen.row_above()
    return ("", ()) if row is None else (row.store.name, store_lines(row, screen.cluster))


SCREEN = TwoTableSpec(
    crumb="storage",
    beside=_beside,
    acts_on="node",
    needed_kinds=frozenset({"storage"}),
    sums=(storage.store_rows,),
    upper=TableSpec(
        id="main", columns=STORES, height=2, fitted=True, sources=(SOURCE,), head=_head, empty=_empty,
        rows=lambda screen: storage.store_rows(screen.cluster), changes=frozenset({"storage", "nodes", "jobs"}),
        targets={"node": lambda row: row.store.hung}, opened=TwoTableScreen.enter_lower,
        reason=lambda row: f"{row.store.name} hangs" if row.bad else None,
    ),
    lower=TableSpec(
        id="store-nodes", columns=STORE_NODES, height=3, sources=(SOURCE,), head=_nodes_head, empty=_no_nodes,
        rows=_nodes, targets={"node": lambda row: (row.name,)}, opened=lambda screen, row: screen.open_node(row.name),
        reason=lambda row: f"{row.mount} {row.how}" if row.how == "hangs" else f"{row.mount} is missing",
    ),
)  # fmt: skip
