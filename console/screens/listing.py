"""A screen that is one table with a filter: nodes and jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from textual import on
from textual.widget import Widget

from collectors.model import Cluster, Diff
from console.actions import Kind
from console.columns import Ctx
from console.filters import Filter, compile_filter
from console.reduce import differing
from console.screens.filtered import FilteredScreen
from widgets.cells import Span
from widgets.columns import Column
from widgets.keybar import Key
from widgets.pane import Line, Pane
from widgets.table import VirtualTable
from widgets.tablekeys import TableKeys


class ListScreen(FilteredScreen):
    """Rows of one kind. The filter, the order and the marks are this screen's own and never in the Cluster."""

    DEFAULT_CSS = """
    ListScreen #crumbs { height: 1; }
    """
    rows_of: ClassVar[str]
    """Field of the Cluster that holds the rows: nodes or jobs."""
    source: ClassVar[str]
    kind: ClassVar[Literal["node", "job"]]
    columns: ClassVar[Sequence[Column]]
    first_order: ClassVar[tuple[str | None, bool]] = (None, False)
    joins: ClassVar[frozenset[str]] = frozenset()
    """Kinds whose change may change what a row's cells show."""

    def __init__(self) -> None:
        super().__init__()
        self.filter: Filter | None = None
        self._holds: Mapping[str, Any] | None = None
        """The rows in the table, where they are all there were."""
        column, reverse = self.first_order
        self.table: VirtualTable[Any] = VirtualTable(
            self.columns, sort=column, reverse=reverse, pending_column="state", id="main"
        )
        self.crumbs = Pane(border=False, id="crumbs")

    def body(self) -> Iterable[Widget]:
        """The crumbs and the table."""
        yield self.crumbs
        yield self.table

    def rows(self) -> Mapping[str, Any]:
        """All rows there are."""
        found: Mapping[str, Any] = getattr(self.cluster, self.rows_of)
        return found

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Take in what changed; with a filter on, a change of any kind may let rows in or out."""
        ctx = self.ctx()
        every = self.rows()
        self.table.dimmed = self.stale(self.source)
        if self.filter is not None or self._holds is None:
            if diff is None or diff.kinds - {"sources", "diag"}:
                self._fill(ctx)
        elif diff is None or self.rows_of in diff.keys:
            # What came while another screen was on top is found by looking: a tenth of what sorting anew costs.
            keys = differing(self._holds, every) if diff is None else diff.keys[self.rows_of]
            self.table.update({key: every.get(key) for key in keys}, ctx=ctx, alive=every)
            self._holds = every
        elif diff.kinds & self.joins:
            self.table.set_ctx(ctx)
        self.table.pending = self.app.pending_words(self.kind)
        self._say()

    def _fill(self, ctx: Ctx) -> None:
        every = self.rows()
        chosen = self.filter
        if chosen is not None:
            every = {key: row for key, row in every.items() if chosen.matches(row, self.cluster, ctx.now)}
        self.table.set_rows(every, ctx=ctx, alive=self.rows())
        self._holds = every if chosen is None else None

    def tick(self, ctx: Ctx) -> None:
        """Ages move; facts grow stale."""
        self.table.dimmed = self.stale(self.source)
        self.table.set_ctx(ctx)

    def targets(self, kind: Kind) -> tuple[str, ...]:
        """The marked rows in the order shown, hidden ones last; else the one under the cursor."""
        if kind != self.kind:
            return ()
        marked = self.table.marked
        if marked:
            shown = [key for key in self.table.keys if key in marked]
            return (*shown, *sorted(marked.difference(shown)))
        return () if self.table.cursor_key is None else (self.table.cursor_key,)

    def shown_jobs(self) -> frozenset[str]:
        """Those of the page, and the marked ones."""
        if self.kind != "job":
            return frozenset()
        top = self.table.top
        return frozenset(self.table.keys[top : top + self.table.page]) | self.table.marked

    def clear_marks(self) -> None:
        """The marked rows were taken."""
        self.table.mark(())

    @property
    def filter_text(self) -> str:
        """The filter that is on, as typed."""
        return self.filter.text if self.filter is not None else ""

    def set_filter(self, text: str) -> None:
        """Filter by this text; "" shows all. Raises FilterError."""
        self.filter = compile_filter(text, self.kind) if text.strip() else None
        if self.is_mounted:
            self._fill(self.ctx())
            self._say()
            self.refresh_keys()

    def _say(self) -> None:
        """The crumbs: how many, which filter, what is marked; and what an empty table says."""
        every, shown = len(self.rows()), len(self.table.keys)
        spans: list[Span] = [(f" {self.crumb.capitalize()} ", "title")]
        known = self.rows_of in self.cluster.known
        if self.filter is None:
            spans.append((f" {every:,}" if known else " —", "text-strong"))
            self.table.empty_text = self.missing_text(self.rows_of, self.source, f"there are no {self.crumb}")
        else:
            spans += [(f" {shown:,} of {every:,}", "text-strong"), ("   / ", "text-dim"), (self.filter.text, "accent")]
            self.table.empty_text = self.missing_text(
                self.rows_of, self.source, f"no {self.crumb} match {self.filter.text}  (Esc shows all)"
            )
        marked = self.table.marked
        right: list[Span] = []
        if marked:
            hidden = len(self.table.hidden_marks)
            right.append((f"{len(marked):,} marked" + (f", {hidden:,} not shown" if hidden else ""), "mark"))
        state = self.cluster.sources.get(self.source)
        if state is not None and state.fault is not None:
            right += [("   " if right else "", ""), (str(state.fault), "bad")]
        elif state is not None and state.warnings:
            right += [("   " if right else "", ""), (state.warnings[0], "warn")]
        self.crumbs.set_lines([Line(spans, right)])

    def keys(self) -> Sequence[Key]:
        """Ways to find one's way in a table."""
        some = self.filter is not None or bool(self.table.marked)
        every = (Key("*", "mark all"),) if some else ()
        mark = (Key("Space", "mark"), *every)
        return (Key("Enter", "open"), Key("/", "filter"), *mark, Key("o", "order"), Key(":", "command"))

    @on(TableKeys.Moved)
    @on(TableKeys.Marked)
    def _moved(self) -> None:
        self._say()
        self.refresh_keys()

    @on(TableKeys.Vanished)
    def _vanished(self, event: TableKeys.Vanished) -> None:
        if self.filter is None:
            self.app.tell(f"{event.gone} is gone from the list; the cursor is on {event.key or 'nothing'} now")

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        self.app.open_row(self.kind, event.key)
