"""A screen of two tables as data: rows, heads, targets and keys. Only special screens add code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from weakref import ref

from msgspec import Struct, field
from textual import events, on
from textual.containers import Horizontal
from textual.widget import Widget

from collectors.model import Cluster, Diff
from collectors.slurm.operations import DRAIN
from console.actions.action import ROWS, Kind
from console.actions.registry import BY_ID
from console.fields.common_cells import Ctx
from console.runtime.memo import Sum
from widgets.cells import Span
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_column import Column
from widgets.table_keys import TableKeys

from .two_tables import TwoTables

#: Number of columns from which details are beside a list.
BESIDE = 120
#: Step (rows) in which a table that is fitted to its rows grows: one row more must not move what is below it.
_HEIGHT_STEP = 4
#: The spans of a head from the left, the first its name, and those from the right.
Head = tuple[Sequence[Span], Sequence[Span]]


class TableSpec(Struct, frozen=True, kw_only=True):
    """One of the two tables. Its functions get the screen for the cluster and the time, or a row."""

    id: str
    columns: Sequence[Column]
    height: int
    """Its share of the height."""
    fitted: bool = False
    """Whether it is no higher than its rows need."""
    sources: tuple[str, ...]
    """It is dimmed while one of these is stale."""
    rows: Callable[[TwoTableScreen], Mapping[str, Any]]
    changes: frozenset[str] | None = None
    """Kinds of facts that its rows are made of; None: they depend on the time or on the row under the other cursor."""
    head: Callable[[TwoTableScreen], Head]
    empty: Callable[[TwoTableScreen], str]
    """The text where there are no rows."""
    opened: Callable[[TwoTableScreen, Any], None]
    """Enter on a row."""
    targets: Mapping[Kind, Callable[[Any], Iterable[str]]] = field(default_factory=dict)
    """Kind of target to the targets that a row stands for."""
    reason: Callable[[Any], str | None] = lambda _: None
    """The reason that is proposed for a drain."""
    copied: Callable[[TwoTableScreen, Any], str | None] | None = None
    """The command behind the row under the cursor (None: no row); without it, that which shows its nodes."""
    keys: Sequence[KeyHint] = (
        KeyHint("Enter", "open"), KeyHint("Tab", "other table"), KeyHint("o", "sort"),
    )  # fmt: skip
    pending: Kind | None = None
    """Kind of target whose actions in progress are shown in the rows."""
    sort: str | None = None
    reverse: bool = False


class TwoTableSpec(Struct, frozen=True, kw_only=True):
    """A screen of two tables."""

    crumb: str
    upper: TableSpec
    lower: TableSpec
    beside: Callable[[TwoTableScreen], tuple[str, Iterable[PaneLine]]] | None = None
    """Title and lines of a pane beside the lower table, where there is room: the details of the row above."""
    acts_on: Kind | tuple[Kind, ...] | None = None
    needed_kinds: frozenset[str] = frozenset()
    sums: tuple[Sum, ...] = ()

    def screen(self) -> TwoTableScreen:
        """A new screen."""
        return TwoTableScreen(self)


class TwoTableScreen(TwoTables):
    """Shows a `TwoTableSpec`."""

    DEFAULT_CSS = """
    TwoTableScreen .crumbs { height: 1; }
    TwoTableScreen #beside { width: 38%; min-width: 44; max-width: 80; display: none; }
    TwoTableScreen.-beside #beside { display: block; }
    """

    def __init__(self, spec: TwoTableSpec) -> None:
        super().__init__()
        self.crumb, self.acts_on = spec.crumb, spec.acts_on
        self.needed_kinds, self.sums = spec.needed_kinds, spec.sums
        self.specs = spec.upper, spec.lower
        self.upper, self.lower = map(_table, self.specs)
        self.set_tables(self.upper, self.lower)
        self._beside = spec.beside
        self._shown_beside: tuple[Any, ref[Cluster] | None] = (None, None)
        """The row and the cluster of which the pane was made: the lines of a large file system take long."""
        self.pane = Pane("", wrap=True, id="beside")

    def body(self) -> Iterable[Widget]:
        """Each table below its head; the pane, if there is one, beside the lower table."""
        *above, lower = super().body()
        yield from above
        if self._beside is None:
            yield lower
        else:
            both = Horizontal(lower, self.pane)
            both.styles.height = lower.styles.height
            lower.styles.height = "1fr"
            yield both

    def on_resize(self, event: events.Resize) -> None:
        """Show the pane where there is room."""
        self.set_class(event.size.width >= BESIDE, "-beside")

    @property
    def active_spec(self) -> TableSpec:
        """The data of the table that has the focus."""
        return self.specs[self._active]

    def row_above(self) -> Any:
        """The row of the upper table under its cursor; None where there is none."""
        return self.upper.row_of(self.upper.cursor_key or "")

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Update the rows whose facts changed."""
        ctx = self.ctx()
        for spec, table in zip(self.specs, self._tables, strict=True):
            if spec.changes is not None and (diff is None or diff.kinds & spec.changes):
                table.set_rows(rows := spec.rows(self), ctx=ctx)
                if spec.fitted:
                    table.styles.max_height = _HEIGHT_STEP * -(-(len(rows) + 1) // _HEIGHT_STEP) if rows else None
        self.tick(ctx)

    def tick(self, ctx: Ctx) -> None:
        """Update ages and staleness."""
        for at, (spec, table) in enumerate(zip(self.specs, self._tables, strict=True)):
            table.dimmed = self.stale(*spec.sources)
            table.set_ctx(ctx)
            if spec.pending is not None:
                table.pending = self.app.session.pending_words(spec.pending)
            if spec.changes is not None:
                self._paint(at)
        self.follow()

    def follow(self) -> None:
        """Update what depends on the time or on the row under the cursor."""
        for at, spec in enumerate(self.specs):
            if spec.changes is None:
                self._tables[at].set_rows(spec.rows(self), ctx=self.ctx())
                self._paint(at)
        if self._beside is not None and (shown := (self.row_above(), ref(self.cluster))) != self._shown_beside:
            self._shown_beside = shown
            title, lines = self._beside(self)
            self.pane.set_title([(title, "title")] if title else "")
            self.pane.set_lines(list(lines))

    def _paint(self, at: int) -> None:
        self._tables[at].empty_text = self.specs[at].empty(self)
        self.set_head(at, *self.specs[at].head(self))

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The targets that the marked rows of the focused table stand for, else those of the row under the cursor."""
        of = self.active_spec.targets.get(kind)
        if of is None:
            return ()
        known = getattr(self.cluster, ROWS[kind])
        rows = [row for key in self.selected_keys if (row := self.active.row_of(key)) is not None]
        return tuple(dict.fromkeys(name for row in rows for name in of(row) if name in known))

    def suggested_reason(self, action_id: str) -> str | None:
        """What is wrong with the row under the cursor, as the reason of a drain."""
        row = self.active.row_of(self.active.cursor_key or "")
        return None if row is None or BY_ID[action_id].operation != DRAIN else self.active_spec.reason(row)

    def keys(self) -> Sequence[KeyHint]:
        """The keys of the focused table for the key bar."""
        return self.active_spec.keys

    def copy_text(self) -> str | None:
        """The command behind what is under the cursor."""
        if (of := self.active_spec.copied) is None:
            return super().copy_text()
        return of(self, self.active.row_of(self.active.cursor_key or ""))

    def enter_lower(self, _: Any = None) -> None:
        """Move the focus to the lower table, which shows what belongs to the row above."""
        self.follow()
        if self.lower.keys:
            self.lower.focus()

    def open_node(self, name: str) -> None:
        """Open a node."""
        self.app.navigation.open_row("node", name)

    @on(TableKeys.Opened)
    def _row_opened(self, event: TableKeys.Opened) -> None:
        at = (self.upper, self.lower).index(event.table)
        if (row := self._tables[at].row_of(event.key)) is not None:
            self.specs[at].opened(self, row)


def _table(spec: TableSpec) -> VirtualTable[Any]:
    table: VirtualTable[Any] = VirtualTable(spec.columns, sort=spec.sort, reverse=spec.reverse, id=spec.id)
    table.styles.height = f"{spec.height}fr"
    return table
