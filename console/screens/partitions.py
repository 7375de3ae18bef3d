"""Partitions and Reservations: two tables, one over the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.columns import Ctx
from console.joins import partition_uses
from console.partition_columns import PARTITIONS, RESERVATIONS
from console.screens.base import WachtScreen
from widgets.keybar import Key
from widgets.pane import Line, Pane
from widgets.table import VirtualTable
from widgets.tablekeys import TableKeys


class PartitionsScreen(WachtScreen):
    """What there is to run in, and what is set aside."""

    DEFAULT_CSS = """
    PartitionsScreen .crumbs { height: 1; }
    PartitionsScreen #main { height: 3fr; }
    PartitionsScreen #reservations { height: 2fr; }
    """
    crumb = "partitions"
    reads = frozenset({"partitions", "reservations"})
    sums = (partition_uses,)

    def __init__(self) -> None:
        super().__init__()
        self.partitions: VirtualTable[Any] = VirtualTable(PARTITIONS, id="main")
        self.reservations: VirtualTable[Any] = VirtualTable(RESERVATIONS, sort="starts", id="reservations")
        self._heads = (Pane(border=False, classes="crumbs"), Pane(border=False, classes="crumbs"))

    def body(self) -> Iterable[Widget]:
        """Each table under its head."""
        yield self._heads[0]
        yield self.partitions
        yield self._heads[1]
        yield self.reservations

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Both tables are short: they are set whole."""
        ctx = self.ctx()
        if diff is None or diff.kinds & {"partitions", "nodes", "jobs"}:
            self.partitions.set_rows(partition_uses(cluster), ctx=ctx)
        if diff is None or "reservations" in diff.kinds:
            self.reservations.set_rows(cluster.reservations, ctx=ctx)
        self.partitions.dimmed = self.stale("slurm.partitions", "slurm.jobs", "slurm.nodes")
        self.reservations.dimmed = self.stale("slurm.reservations")
        for head, kind, source, rows, empty in (
            (self._heads[0], "partitions", "slurm.partitions", self.partitions, "there are no partitions"),
            (self._heads[1], "reservations", "slurm.reservations", self.reservations, "no reservation is set"),
        ):
            state = cluster.sources.get(source)
            fault = ((str(state.fault), "bad"),) if state is not None and state.fault is not None else ()
            count = f" {len(rows.keys):,}" if kind in cluster.known else " —"
            head.set_lines([Line(((f" {kind.capitalize()} ", "title"), (count, "text-strong")), fault)])
            rows.empty_text = self.missing_text(kind, source, empty)

    def tick(self, ctx: Ctx) -> None:
        """Waits grow."""
        self.partitions.set_ctx(ctx)
        self.reservations.set_ctx(ctx)

    def keys(self) -> Sequence[Key]:
        """What opens what."""
        return (Key("Enter", "jobs of it"), Key("Tab", "other table"), Key("o", "order"), Key(":", "command"))

    def copyable(self) -> str | None:
        """The command that shows what is under the cursor."""
        if self.focused is self.reservations:
            key = self.reservations.cursor_key
            return None if key is None else f"scontrol show reservation {key}"
        key = self.partitions.cursor_key
        return None if key is None else f"scontrol show partition {key}"

    @on(TableKeys.Opened, "#main")
    def _partition(self, event: TableKeys.Opened) -> None:
        self.app.open_list("jobs", f"partition={event.key}")

    @on(TableKeys.Opened, "#reservations")
    def _reservation(self, event: TableKeys.Opened) -> None:
        one = self.cluster.reservations.get(event.key)
        if one is not None and one.nodes:
            self.app.open_list("nodes", one.nodes)
