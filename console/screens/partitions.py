"""The partitions and reservations screen: two tables, one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual import on

from collectors.model import Cluster, Diff
from console.actions.action import Kind
from console.fields.common_cells import Ctx
from console.fields.partition_fields import PARTITIONS
from console.fields.reservation_fields import RESERVATIONS
from console.journal.still_closed import closed_text
from console.plant.totals import partition_uses
from widgets.cells import Span
from widgets.key_bar import KeyHint
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys

from .layout.two_tables import TwoTables


class PartitionsScreen(TwoTables):
    """Partitions and reservations."""

    DEFAULT_CSS = """
    PartitionsScreen .crumbs { height: 1; }
    PartitionsScreen #main { height: 3fr; }
    PartitionsScreen #reservations { height: 2fr; }
    """
    crumb = "partitions"
    needed_kinds = frozenset({"partitions", "reservations"})
    sums = (partition_uses,)
    acts_on = ("partition", "reservation")

    def __init__(self) -> None:
        super().__init__()
        self.partitions: VirtualTable[Any] = VirtualTable(PARTITIONS, id="main")
        self.reservations: VirtualTable[Any] = VirtualTable(RESERVATIONS, sort="starts", id="reservations")
        self.set_tables(self.partitions, self.reservations)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Rebuild both tables; they are short."""
        ctx = self.ctx()
        if diff is None or diff.kinds & {"partitions", "nodes", "jobs"}:
            self.partitions.set_rows(partition_uses(cluster), ctx=ctx)
        if diff is None or "reservations" in diff.kinds:
            self.reservations.set_rows(cluster.reservations, ctx=ctx)
        self.partitions.pending = self.app.session.pending_words("partition")
        self.reservations.pending = self.app.session.pending_words("reservation")
        self.partitions.dimmed = self.stale("slurm.partitions", "slurm.jobs", "slurm.nodes")
        self.reservations.dimmed = self.stale("slurm.reservations")
        for at, kind, source, rows, empty in (
            (0, "partitions", "slurm.partitions", self.partitions, "there are no partitions"),
            (1, "reservations", "slurm.reservations", self.reservations, "no reservation is set"),
        ):
            state = cluster.sources.get(source)
            fault = ((str(state.fault), "bad"),) if state is not None and state.fault is not None else ()
            count = f" {len(rows.keys):,}" if kind in cluster.known else " —"
            texts = self._closed_spans() if rows is self.partitions else ()
            self.set_head(at, ((f"{kind.capitalize()} ", "title"), (count, "text-strong"), *texts), fault)
            rows.empty_text = self.missing_text(kind, source, empty)

    def _closed_spans(self) -> Sequence[Span]:
        """Partitions and users that a person must open again."""
        now = self.app.clock.now()
        texts = [text for row in self.cluster.partitions.values()
                if (text := closed_text(row, self.app.session.still_closed, now)) is not None]  # fmt: skip
        return [(f"   ▲ {texts[0]}{f', and {len(texts) - 1} more' if texts[1:] else ''}", "warn")] if texts else []

    def tick(self, ctx: Ctx) -> None:
        """Update waiting times."""
        self.partitions.set_ctx(ctx)
        self.reservations.set_ctx(ctx)
        self.show(self.cluster, Diff())

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The selected rows of the focused table."""
        table = {"partition": self.partitions, "reservation": self.reservations}.get(kind)
        return self.selected_keys if table is self.active else ()

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen, and the actions on the row under the cursor."""
        acts = "partition-down, -up" if self.active is self.partitions else "extend, unreserve"
        opens = "its jobs" if self.active is self.partitions else "its nodes"
        return (KeyHint("Enter", opens), KeyHint("Tab", "other table"), KeyHint("o", "order"), KeyHint(":", acts))

    def copy_text(self) -> str | None:
        """The command that shows what is under the cursor."""
        if self.active is self.reservations:
            key = self.reservations.cursor_key
            return None if key is None else f"scontrol show reservation {key}"
        key = self.partitions.cursor_key
        return None if key is None else f"scontrol show partition {key}"

    @on(TableKeys.Opened, "#main")
    def _partition_opened(self, event: TableKeys.Opened) -> None:
        self.app.navigation.go("jobs", f"partition={event.key}")

    @on(TableKeys.Opened, "#reservations")
    def _reservation_opened(self, event: TableKeys.Opened) -> None:
        one = self.cluster.reservations.get(event.key)
        if one is not None and one.nodes:
            self.app.navigation.go("nodes", one.nodes)
