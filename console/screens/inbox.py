"""The inbox: every node that is out of service, by cause and age, and below it inconsistent facts."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from textual import events
from textual.widget import Widget

from collectors.nodeset import fold, fold_for_slurm
from console.health import drain_reasons
from console.health.inconsistencies import Inconsistency, inconsistencies, suspect_nodes
from console.health.version_drift import drifts
from console.tables.inbox_columns import INBOX, INCONSISTENCIES, full_spans
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine

from .layout.two_table_screen import Head, TableSpec, TwoTableScreen, TwoTableSpec

#: Number of columns below which columns are dropped or cut.
_WIDE_COLUMNS = 150
_KEYS = (KeyHint("Enter", "open"), KeyHint("Space", "mark"), KeyHint("Tab", "other table"), KeyHint("o", "sort"))
#: The sources change with every reading: inconsistencies depend on nearly all facts.
_EVERY_READING = frozenset({"sources"})


def _out(screen: TwoTableScreen) -> Mapping[str, drain_reasons.DrainGroup]:
    return {one.nodes[0]: one for one in drain_reasons.drain_groups(screen.cluster, screen.ctx().now)}


def _out_head(screen: TwoTableScreen) -> Head:
    groups = [one for key in screen.upper.keys if (one := screen.upper.row_of(key)) is not None]
    nodes, old = (sum(len(one.nodes) for one in groups if one.forgotten or every) for every in (True, False))
    count = f" {nodes:,} nodes" if "nodes" in screen.cluster.known else " —"
    late = ((f"{old:,} for more than 7 days", "warn"),) if old else ()
    return (("Out of service ", "title"), (count, "text-strong")), late


def _disagreeing(screen: TwoTableScreen) -> Mapping[str, Inconsistency]:
    app = screen.app
    found = inconsistencies(
        screen.cluster, screen.ctx().now, app.policy, mono=app.clock.mono(), resumed=app.session.resumed
    )
    found.sort(key=lambda one: ("bad", "warn", "note").index(one.severity))
    return {f"{one.node}/{one.kind}/{at}": one for at, one in enumerate(found)}


def _disagreeing_head(screen: TwoTableScreen) -> Head:
    count = f" {len(screen.lower.keys):,}" if "nodes" in screen.cluster.known else " —"
    return (("Inconsistencies ", "title"), (count, "text-strong")), ()


def _all_agree(screen: TwoTableScreen) -> str:
    telemetry = "prom.loads" in screen.cluster.sources
    none = "no facts are known to disagree" if telemetry else "no telemetry is configured to hold against Slurm"
    return screen.why_unknown("nodes", "jobs", *(("loads", "xids") if telemetry else ())) or none


def _nodes(row: Any) -> tuple[str, ...]:
    return row.nodes or (row.node,)


def _open(screen: TwoTableScreen, row: Any) -> None:
    if len(row.nodes) > 1:
        screen.app.navigation.go("nodes", fold(row.nodes))
    else:
        screen.open_node(_nodes(row)[0])


def _copied(screen: TwoTableScreen, _: Any) -> str:
    names = screen.targets("node")
    return shlex.join(["sinfo", "-R", "-n", fold_for_slurm(names)]) if names else "sinfo -R"


_SPEC = TwoTableSpec(
    crumb="inbox",
    acts_on="node",
    sums=(suspect_nodes, drifts),
    upper=TableSpec(
        id="main", columns=INBOX, height=3, sources=("slurm.nodes",), rows=_out, changes=_EVERY_READING,
        head=_out_head, targets={"node": _nodes}, opened=_open, copied=_copied, keys=_KEYS,
        empty=lambda screen: screen.missing_text("nodes", "slurm.nodes", "every node is in service"),
    ),
    lower=TableSpec(
        id="disagree", columns=INCONSISTENCIES, height=2, sources=("slurm.nodes", "prom.loads"), rows=_disagreeing,
        changes=_EVERY_READING, head=_disagreeing_head, targets={"node": _nodes}, opened=_open, copied=_copied,
        keys=_KEYS, empty=_all_agree,
    ),
)  # fmt: skip


class InboxScreen(TwoTableScreen):
    """Nodes and inconsistencies that need a person."""

    DEFAULT_CSS = """
    InboxScreen #words { height: 3; display: none; }
    InboxScreen.-narrow #words { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(_SPEC)
        self.full_text = Pane(border=False, wrap=True, id="words")

    def body(self) -> Iterable[Widget]:
        """Both tables; on a narrow screen also the full text of the row under the cursor."""
        yield from super().body()
        yield self.full_text

    def on_resize(self, event: events.Resize) -> None:
        """Check whether all columns fit."""
        super().on_resize(event)
        self.set_class(event.size.width < _WIDE_COLUMNS, "-narrow")

    def follow(self) -> None:
        """Show the full text of the row under the cursor."""
        super().follow()
        row = self.active.row_of(self.active.cursor_key or "")
        self.full_text.set_lines([PaneLine(full_spans(row, self.ctx().now))] if row is not None else [])
