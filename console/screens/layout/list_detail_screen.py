"""A list with a pane of details of the row under its cursor, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from textual import events, on
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widget import Widget

from collectors.model import Cluster, Diff
from collectors.nodeset import fold_for_slurm
from console.fields.common_cells import Ctx
from console.runtime.memo import Sum
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_column import Column
from widgets.table_keys import TableKeys

from .screen import WachtScreen
from .side_pane import SLOW_REST_S
from .two_table_screen import BESIDE, Head


class ListDetailSpec(Struct, frozen=True, kw_only=True):
    """A screen of a list and a pane. Its functions get the screen for the cluster and the time, or a row."""

    crumb: str
    columns: Sequence[Column]
    sources: tuple[str, ...]
    """The list is dimmed while one of these is stale."""
    rows: Callable[[Cluster], Mapping[str, Any]]
    changes: frozenset[str]
    """Kinds of facts that the rows are made of."""
    head: Callable[[ListDetailScreen], Head]
    empty: Callable[[ListDetailScreen], str]
    """The text where there are no rows."""
    detail: Callable[[Any, float], Iterable[PaneLine]]
    """The lines of the pane, from a row and the time (epoch)."""
    beside: Callable[[Cluster, Any], Iterable[PaneLine]] = lambda cluster, row: ()
    """Further lines where the pane is beside the list, from the cluster and a row: what the row consists of."""
    opened: Callable[[ListDetailScreen, Any], None]
    """Enter on a row."""
    title: Callable[[Any], str] = lambda row: row.name
    """The title of the pane."""
    nodes: Callable[[Any], Sequence[str]] = lambda row: row.nodes
    """The nodes that a row stands for."""
    copied_without_row: str | None = None
    """The command to copy where no row is under the cursor."""
    needed_kinds: frozenset[str] = frozenset()
    sums: tuple[Sum, ...] = ()

    def screen(self) -> ListDetailScreen:
        """A new screen."""
        return ListDetailScreen(self)


class ListDetailScreen(WachtScreen):
    """Shows a `ListDetailSpec`."""

    DEFAULT_CSS = """
    ListDetailScreen #crumbs { height: 1; }
    ListDetailScreen #both { height: 1fr; layout: vertical; }
    ListDetailScreen #main { height: 1fr; }
    ListDetailScreen #detail { height: 6; }
    ListDetailScreen.-beside #both { layout: horizontal; }
    ListDetailScreen.-beside #detail { width: 42%; min-width: 50; max-width: 90; }
    """

    def __init__(self, spec: ListDetailSpec) -> None:
        super().__init__()
        self.spec = spec
        self.crumb, self.needed_kinds, self.sums = spec.crumb, spec.needed_kinds, spec.sums
        self.table: VirtualTable[Any] = VirtualTable(spec.columns, id="main")
        self.crumbs = Pane(border=False, id="crumbs")
        self.detail = Pane("", wrap=True, id="detail")
        self._rest: Timer | None = None
        """Runs on a slow line until the cursor has rested."""

    def body(self) -> Iterable[Widget]:
        """The crumbs; the table with the details beside it, or below it on a narrow screen."""
        yield self.crumbs
        yield Horizontal(self.table, self.detail, id="both")

    def on_resize(self, event: events.Resize) -> None:
        """Put the details beside the list where there is room."""
        self.set_class(event.size.width >= BESIDE, "-beside")
        self._paint_detail()

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update from sums that are computed once for each reading."""
        if diff is None or diff.kinds & self.spec.changes:
            self.table.empty_text = self.spec.empty(self)
            self.table.set_rows(self.spec.rows(cluster), ctx=self.ctx())
        (first, *spans), right = self.spec.head(self)
        self.crumbs.set_lines([PaneLine([(f" {first[0]}", "title"), *spans], right)])
        self.tick(self.ctx())

    def tick(self, ctx: Ctx) -> None:
        """Update ages and staleness."""
        self.table.dimmed = self.stale(*self.spec.sources)
        self.table.set_ctx(ctx)
        self._paint_detail()

    @property
    def selected(self) -> Any:
        """The row under the cursor; None where there is none."""
        return self.table.row_of(self.table.cursor_key or "")

    def _paint_detail(self) -> None:
        row = self.selected
        self.detail.display = row is not None
        self.detail.set_title([(self.spec.title(row), "title")] if row is not None else "")
        lines = [] if row is None else list(self.spec.detail(row, self.ctx().now))
        if self.has_class("-beside"):
            lines += [] if row is None else self.spec.beside(self.cluster, row)
            self.detail.styles.height = "1fr"
        else:
            # A fixed height for all but the longest details, so that the table does not move.
            self.detail.styles.height = max(6, min(len(lines) + 2, 10))
        self.detail.set_lines(lines)

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "its nodes"), KeyHint("o", "sort"))

    def copy_text(self) -> str | None:
        """The command that shows the nodes of the row under the cursor."""
        if (row := self.selected) is None:
            return self.spec.copied_without_row
        nodes = self.spec.nodes(row)
        return f"scontrol show node {fold_for_slurm(nodes)}" if nodes else None

    @on(TableKeys.Moved)
    def _moved(self) -> None:
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(SLOW_REST_S, self._paint_detail) if self.app.slow_line else None
        if self._rest is None:
            self._paint_detail()

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        if (row := self.table.row_of(event.key)) is not None:
            self.spec.opened(self, row)
