"""The partitions and reservations screen: two tables, one above the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from console.fields.partition_fields import PARTITIONS
from console.fields.reservation_fields import RESERVATIONS
from console.journal.still_closed import closed_text
from console.plant.totals import partition_uses
from widgets.cells import Span
from widgets.key_bar import KeyHint

from .layout.two_table_screen import Head, TableSpec, TwoTableScreen, TwoTableSpec


def _closed_spans(screen: TwoTableScreen) -> Sequence[Span]:
    """Partitions and users that a person must open again."""
    now = screen.app.clock.now()
    texts = [text for row in screen.cluster.partitions.values()
             if (text := closed_text(row, screen.app.session.still_closed, now)) is not None]  # fmt: skip
    return [(f"   ▲ {texts[0]}{f', and {len(texts) - 1} more' if texts[1:] else ''}", "warn")] if texts else []


def _head(
    at: int, kind: str, more: Callable[[TwoTableScreen], Sequence[Span]] = lambda _: ()
) -> Callable[[TwoTableScreen], Head]:
    def head(screen: TwoTableScreen) -> Head:
        count = f" {len((screen.upper, screen.lower)[at].keys):,}" if kind in screen.cluster.known else " —"
        spans = ((f"{kind.capitalize()} ", "title"), (count, "text-strong"), *more(screen))
        return spans, screen.source_spans(f"slurm.{kind}", warnings=False)

    return head


def _copied(kind: str) -> Callable[[TwoTableScreen, Any], str | None]:
    def copied(screen: TwoTableScreen, _: Any) -> str | None:
        key = screen.active.cursor_key
        return None if key is None else f"scontrol show {kind} {key}"

    return copied


def _keys(opens: str, actions: str) -> Sequence[KeyHint]:
    return (KeyHint("Enter", opens), KeyHint("Tab", "other table"), KeyHint("o", "sort"), KeyHint(":", actions))


SCREEN = TwoTableSpec(
    crumb="partitions",
    acts_on=("partition", "reservation"),
    needed_kinds=frozenset({"partitions", "reservations"}),
    sums=(partition_uses,),
    upper=TableSpec(
        id="main", columns=PARTITIONS, height=3, fitted=True, sources=("slurm.partitions", "slurm.jobs", "slurm.nodes"),
        rows=lambda screen: partition_uses(screen.cluster), changes=frozenset({"partitions", "nodes", "jobs"}),
        head=_head(0, "partitions", _closed_spans), pending="partition", copied=_copied("partition"),
        empty=lambda screen: screen.missing_text("partitions", "slurm.partitions", "there are no partitions"),
        targets={"partition": lambda use: (use.partition.name,)}, keys=_keys("its jobs", "partition-down, -up"),
        opened=lambda screen, use: screen.app.navigation.go("jobs", f"partition={use.partition.name}"),
    ),
    lower=TableSpec(
        id="reservations", columns=RESERVATIONS, sort="starts", height=2, sources=("slurm.reservations",),
        rows=lambda screen: screen.cluster.reservations, changes=frozenset({"reservations"}),
        head=_head(1, "reservations"), pending="reservation", copied=_copied("reservation"),
        empty=lambda screen: screen.missing_text("reservations", "slurm.reservations", "no reservation is set"),
        targets={"reservation": lambda row: (row.name,)}, keys=_keys("its nodes", "extend, unreserve"),
        opened=lambda screen, row: screen.app.navigation.go("nodes", row.nodes) if row.nodes else None,
    ),
)  # fmt: skip
