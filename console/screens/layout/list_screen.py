"""A screen that is one table with a filter: nodes and jobs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple
from weakref import ref

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget

from collectors.model import Cluster, Diff, Fault
from console.actions.action import Kind
from console.fields.common_cells import Ctx
from console.filters.language import Filter, compile_filter, unknown_values, unread_fields
from widgets.cells import Span
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_column import Column
from widgets.table_keys import TableKeys
from widgets.table_view import MAX_SYNC_ROWS, SortKey, TableView, arrange

from .filtered_screen import FilteredScreen
from .side_pane import WIDE, SidePane

if TYPE_CHECKING:
    from console.clusters.cluster_session import ClusterSession
    from console.health.xid_policy import Policy


class PreparedView(NamedTuple):
    """A filtered and sorted view that is ready to be shown, and the inputs that it was made from."""

    cluster: ref[Cluster]
    """A weak reference: a view may be kept for long, and must not keep an old Cluster alive."""
    rows: Mapping[str, Any]
    """All rows of that Cluster; none with a filter, so that an old list is freed."""
    inputs: tuple[object, ...]
    """`view_inputs` of that Cluster."""
    matches: int
    """Number of rows that match."""
    filter: Filter | None
    view: TableView[Any]
    unmatched: Sequence[str] = ()
    """Values in the filter that no row has, with the values that exist."""


class ListScreen(FilteredScreen):
    """Rows of one kind. Filter, order and marks belong to this screen, never to the Cluster."""

    DEFAULT_CSS = """
    ListScreen #crumbs { height: 1; }
    """
    cluster_field: ClassVar[str]
    """Field of the Cluster that holds the rows: nodes or jobs."""
    source: ClassVar[str]
    kind: ClassVar[Literal["node", "job"]]
    columns: ClassVar[Sequence[Column]]
    default_sort: ClassVar[tuple[str | None, bool]] = (None, False)
    given_order: ClassVar[str] = ""
    """The name of the order without a column, where it has one."""
    joins: ClassVar[frozenset[str]] = frozenset()
    """Other kinds of facts that are shown in a row's cells."""

    def __init__(self) -> None:
        super().__init__()
        self.filter: Filter | None = None
        self._prepared: PreparedView | None = None
        """The newest view; any thread may set it."""
        column, reverse = self.default_sort
        self.table: VirtualTable[Any] = VirtualTable(
            self.columns, sort=column, reverse=reverse, arranged=self.arranged, given_order=self.given_order,
            pending_column="state", id="main",
        )  # fmt: skip
        self.crumbs = Pane(border=False, id="crumbs")
        self.side_pane = SidePane(self, self.kind, lambda: self.table.cursor_key, self.table.row_of)

    def body(self) -> Iterable[Widget]:
        """The crumbs, the table, and where there is room the pane beside it."""
        yield self.crumbs
        yield Horizontal(self.table, self.side_pane)

    def rows(self, cluster: Cluster | None = None) -> Mapping[str, Any]:
        """All rows, unfiltered."""
        found: Mapping[str, Any] = getattr(cluster or self.cluster, self.cluster_field)
        return found

    # For subclasses.

    def table_rows(self, cluster: Cluster, rows: Mapping[str, Any]) -> Mapping[str, Any]:
        """The rows of the table, of those that match the filter. Called off the event loop for long lists."""
        return rows

    def view_inputs(self, cluster: Cluster) -> tuple[object, ...]:
        """What `table_rows` depends on beside its rows, to be compared."""
        return ()

    def arranged(self, rows: Mapping[str, Any], by: SortKey, before: TableView[Any] | None) -> TableView[Any]:
        """Sort rows made by `table_rows`."""
        return arrange(rows, by, before)

    def alive(self) -> Container[str]:
        """Keys of the rows that exist, those that a filter hides too."""
        return self.rows()

    def exported(self) -> tuple[Sequence[str], Mapping[str, Any]]:
        """Keys and rows to be exported: as for an action the marked ones, also where a filter hides them; else all that
        are shown."""
        view, every = self.table.view, self.rows()
        if not self.table.marked:
            return view.keys, view.rows
        rows = {
            key: view.rows[key] if key in view.rows else every[key]
            for key in self.targets(self.kind)
            if key in view.rows or key in every
        }
        return tuple(rows), rows

    def open_row(self, key: str) -> None:
        """Open the row under the cursor."""
        self.app.navigation.open_row(self.kind, key)

    # The view.

    def prepare(self, cluster: Cluster, session: ClusterSession, policy: Policy, *, shown: bool) -> None:
        """Prepare the view as well, so that the event loop need not sort 100,000 rows. A filter is applied only if
        shown."""
        super().prepare(cluster, session, policy, shown=shown)
        if (self.filter is None or shown) and not self._is_current(cluster):
            self._prepare_view(cluster, self.filter, self.table.sort_key, session.clock.now())

    def _is_current(self, cluster: Cluster) -> bool:
        """Whether the newest view is of this Cluster, this filter and this order."""
        made = self._prepared
        if made is None or made.filter is not self.filter or made.view.sort_key != self.table.sort_key:
            return False
        # Without a filter only a change of the rows matters; with one any change may alter the matches.
        same = made.cluster() is cluster or (made.filter is None and made.rows is self.rows(cluster))
        return same and made.inputs == self.view_inputs(cluster)

    def _prepare_view(self, cluster: Cluster, chosen: Filter | None, by: SortKey, now: float) -> None:
        every = rows = self.rows(cluster)
        if chosen is not None:
            rows = {key: row for key, row in rows.items() if chosen.matches(row, cluster, now)}
        inputs = self.view_inputs(cluster)
        unmatched = (*unread_fields(chosen, cluster), *unknown_values(chosen, cluster)) if chosen is not None else ()
        before = self._prepared.view if self._prepared is not None else None
        view = self.arranged(self.table_rows(cluster, rows), by, before)
        whole = every if chosen is None else {}
        self._prepared = PreparedView(ref(cluster), whole, inputs, len(rows), chosen, view, unmatched)

    def show(self, cluster: Cluster, diff: Diff | None) -> None:
        """Show what changed. With a filter, a change of any kind may alter the matches."""
        self.table.dimmed = self.stale(self.source)
        of = self.joins | {self.cluster_field}
        if diff is None or (diff.kinds & of if self.filter is None else diff.kinds - {"sources", "diag"}):
            self._show_rows()
        self.table.pending = self.app.session.pending_words(self.kind)
        self._paint_crumbs()
        self.side_pane.paint()

    def _show_rows(self) -> None:
        """Show the rows of the present Cluster: at once for few rows, else after a thread has sorted them."""
        if self._is_current(self.cluster):
            self._set_rows()
        elif len(self.rows()) <= MAX_SYNC_ROWS:
            self._prepare_view(self.cluster, self.filter, self.table.sort_key, self.ctx().now)
            self._set_rows()
        else:
            self.table.rows_outdated = True
            cluster, chosen, by, now = self.cluster, self.filter, self.table.sort_key, self.ctx().now
            self.fetch(lambda: self._prepare_view(cluster, chosen, by, now), self._view_ready, group="view")

    def _view_ready(self, answer: Any) -> None:
        """Show the view made by the thread if it is still current; otherwise request another."""
        if isinstance(answer, Fault):
            self.app.show_message(str(answer), "error")
            return
        self._show_rows()
        self._paint_crumbs()

    def _set_rows(self) -> None:
        assert self._prepared is not None
        self.table.rows_outdated = False
        self.table.set_rows(self._prepared.view, ctx=self.ctx(), alive=self.alive())
        self.views_changed()

    def tick(self, ctx: Ctx) -> None:
        """Update ages and staleness."""
        self.table.dimmed = self.stale(self.source)
        self.table.set_ctx(ctx)
        self.side_pane.paint()

    def discard_fetched(self) -> None:
        """Drop what the side pane read for another time."""
        self.side_pane.discard_fetched()

    def on_resize(self) -> None:
        """Show or hide the side pane for the new width."""
        self.views_changed()

    def views_changed(self) -> None:
        """Show or hide the side pane as configured, if there is room and a row that it can show."""
        self.side_pane.switch(
            self.size.width >= WIDE and self.app.input.views.get("beside", True) and bool(self.table.keys)
        )

    def action_beside(self) -> None:
        """Key `w`: show or hide the side pane."""
        if self.size.width < WIDE:
            self.app.show_message(f"there is room beside a list from {WIDE} columns on; here are {self.size.width}")
            return
        self.app.input.switch_view("beside", not self.app.input.views.get("beside", True))
        self.views_changed()
        self.refresh_keys()

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
        """Jobs on the visible page, and marked ones."""
        if self.kind != "job":
            return frozenset()
        top = self.table.top
        return frozenset(self.table.keys[top : top + self.table.page]) | self.table.marked

    def clear_marks(self) -> None:
        """Clear the marks after they were used."""
        self.table.mark(())

    @property
    def filter_text(self) -> str:
        """The active filter as typed."""
        return self.filter.text if self.filter is not None else ""

    def set_filter(self, text: str) -> None:
        """Filter by this text; "" shows all. Raises FilterError."""
        self.filter = compile_filter(text, self.kind) if text.strip() else None
        if self.is_mounted:
            self._show_rows()
            self._paint_crumbs()
            self.refresh_keys()

    def _paint_crumbs(self) -> None:
        """Paint the crumbs (row count, filter, marks) and the text of an empty table."""
        every = len(self.rows())
        shown = self._prepared.matches if self._prepared is not None else every
        spans: list[Span] = [(f" {self.crumb.capitalize()} ", "title")]
        known = self.cluster_field in self.cluster.known
        if self.filter is None:
            spans.append((f" {every:,}" if known else " —", "text-strong"))
            self.table.empty_text = self.missing_text(self.cluster_field, self.source, f"there are no {self.crumb}")
        else:
            count = "…" if self.table.rows_outdated else f"{shown:,}"
            spans += [
                (f" {count} of {every:,}" if known else " —", "text-strong"),
                ("   / ", "text-dim"),
                (self.filter.text, "accent"),
            ]
            unmatched = (
                self._prepared.unmatched if self._prepared is not None and self._prepared.filter is self.filter else ()
            )
            why = ": ".join((f"no {self.crumb} match {self.filter.text}", *unmatched[:1]))
            self.table.empty_text = self.missing_text(self.cluster_field, self.source, f"{why}  (Esc shows all)")
            if unmatched:
                spans.append((f"   {unmatched[0]}", "warn"))
        if self.given_order and self.table.sort_column is None:
            spans += [("   order: ", "text-dim"), (self.given_order, "text-strong")]
        marked = self.table.marked
        right: list[Span] = []
        if marked:
            hidden = len(self.table.hidden_marks)
            right.append((f"{len(marked):,} marked" + (f", {hidden:,} not shown" if hidden else ""), "mark"))
        if said := self.source_spans(self.source):
            right += [*([("   ", "")] if right else ()), *said]
        self.crumbs.set_lines([PaneLine(spans, right)])

    def keys(self) -> Sequence[KeyHint]:
        """The keys of a table for the key bar."""
        some = self.filter is not None or bool(self.table.marked)
        every = (KeyHint("*", "mark all"),) if some else ()
        mark = (KeyHint("Space", "mark"), *every)
        beside = (KeyHint("w", "list alone" if self.side_pane.is_on else "beside"),) if self.size.width >= WIDE else ()
        return (
            KeyHint("Enter", "open"),
            KeyHint("/", "filter"),
            *mark,
            KeyHint("o", "sort"),
            *beside,
        )

    @on(TableKeys.Moved)
    @on(TableKeys.Marked)
    @on(TableKeys.Sorted)
    def _moved(self) -> None:
        self._paint_crumbs()
        self.refresh_keys()
        self.side_pane.follow()

    @on(Pane.Opened)
    def _job_opened(self, event: Pane.Opened) -> None:
        self.app.navigation.open_row("job", event.key)

    @on(TableKeys.Vanished)
    def _vanished(self, event: TableKeys.Vanished) -> None:
        if self.filter is None:
            self.app.show_message(f"{event.gone} is gone from the list; the cursor is on {event.key or 'nothing'} now")

    @on(TableKeys.Opened)
    def _opened(self, event: TableKeys.Opened) -> None:
        self.open_row(event.key)
