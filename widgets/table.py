"""VirtualTable: the table of all lists. With 100,000 rows only the visible lines are painted.

Its cursor is a key and not a position: rows that are added or removed never put another node under it. After any change
the table compares what each line of the screen shows with what it should show, and repaints only the columns that
differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from textwrap import wrap
from typing import Any, Generic, TypeVar

from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip

from collectors.model import Cluster

from .cells import cut, width
from .column_layout import PlacedColumn, needed_widths, place_columns
from .row_painter import GUTTER, LineState, PaintedRow, header_strip, paint_cells, paint_row
from .sort_chooser import chooser_line
from .table_column import Column
from .table_keys import TableKeys
from .table_view import MAX_SYNC_ROWS, SortKey, TableView, arrange

R = TypeVar("R")

_CACHED = 1000
"""Number of painted rows to keep: twenty pages of a large screen."""


class VirtualTable(TableKeys, Generic[R]):
    """Rows by key in columns. Input is `set_rows`; keys and messages are in TableKeys."""

    DEFAULT_CSS = """
    VirtualTable { width: 1fr; height: 1fr; background: $background; }
    """
    head = 1

    dimmed: reactive[bool] = reactive(False, repaint=False)
    """The facts are stale: everything is painted dim."""
    shows_cursor: reactive[bool] = reactive(True, repaint=False)
    """Of two tables on one screen only the one that receives the keys shows its cursor."""
    empty_text: reactive[str] = reactive("", repaint=False)
    """Shown in the middle when there are no rows."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        key: Callable[[R], str] | None = None,
        sort: str | None = None,
        reverse: bool = False,
        pending_column: str | None = None,
        arranged: Callable[[Mapping[str, R], SortKey, TableView[R] | None], TableView[R]] | None = None,
        given_order: str = "",
        empty_text: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """`key` gives the key of a row where rows are a sequence; `sort` is the key of a column, None keeps
        the given order, which may have a name. `arranged` sorts the rows, in any thread.
        """
        super().__init__(id=id, classes=classes)
        self.columns: tuple[Column, ...] = tuple(columns)
        self._key_of = key
        self._own_arrange = arranged
        self.given_order = given_order
        self._view: TableView[R] = arrange({})
        self._request = 0
        """Incremented with every requested view: of several in progress only the last counts."""
        self._source_rows: tuple[Mapping[str, R], Container[str] | None] = ({}, None)
        """The rows given last, perhaps not shown yet, and the keys that are alive."""
        self._ctx: Any = None
        self._ctx_version = 0
        """Incremented with every new context."""
        self._marks: set[str] = set()
        self._pending: Mapping[str, str] = {}
        self._pending_column = pending_column or (self.columns[-1].key if self.columns else "")
        self._placed: tuple[PlacedColumn, ...] = ()
        self._name_widths: dict[str, int] = {}
        """Cells of the names that the columns are laid out for."""
        self._painted: dict[str, PaintedRow] = {}
        self._shown_lines: dict[int, LineState] = {}
        self._empty_shown = True
        self.sort_column: str | None = sort
        """Key of the column that the rows are sorted by; None for the given order."""
        self.sort_key = SortKey(self._sort_of(sort), reverse)
        """The sort of the rows, which may still be in progress."""
        self.set_reactive(VirtualTable.empty_text, empty_text)

    # Properties.

    @property
    def keys(self) -> Sequence[str]:
        """The keys in the order shown. Not to be changed."""
        return self._view.keys

    @property
    def marked(self) -> frozenset[str]:
        """The marked keys, including those hidden by a filter now."""
        return frozenset(self._marks)

    @property
    def hidden_marks(self) -> frozenset[str]:
        """Marked keys whose rows are not in the table now."""
        return frozenset(key for key in self._marks if key not in self._view.rows)

    @property
    def reverse(self) -> bool:
        """Whether the greatest value is first."""
        return self.sort_key.reverse

    @property
    def pending(self) -> Mapping[str, str]:
        """Text by key that is shown in the pending column until the facts show the result ("draining…")."""
        return self._pending

    @pending.setter
    def pending(self, words: Mapping[str, str]) -> None:
        self._pending = dict(words)
        self._show_changes()

    @property
    def view(self) -> TableView[R]:
        """The rows in the order shown; immutable, so any thread may read it."""
        return self._view

    @property
    def ctx(self) -> Any:
        """The context that the cells get besides their row."""
        return self._ctx

    def row_of(self, key: str) -> R | None:
        """The row of a key; None where there is none."""
        return self._view.rows.get(key)

    # Input.

    def set_rows(
        self,
        rows: Mapping[str, R] | Sequence[R] | TableView[R],
        *,
        ctx: Any = None,
        alive: Container[str] | None = None,
    ) -> None:
        """Replace all rows. A view that is sorted as this table is shown without sorting.

        More rows than `MAX_SYNC_ROWS` are sorted in a thread; until then the old order stays on the screen. `alive`
        holds the keys that still exist although a filter hides them: they stay marked.
        """
        if isinstance(rows, TableView):
            self._source_rows = rows.rows, alive
            if rows.sort_key == self.sort_key:
                self._request += 1
                self._show_view(rows, ctx, alive)
            else:
                self._arrange(ctx)
            return
        if not isinstance(rows, Mapping):
            if self._key_of is None:
                raise TypeError("rows in a sequence need the table to have a key function")
            key_of = self._key_of
            rows = {key_of(row): row for row in rows}
        self._source_rows = rows, alive
        self._arrange(ctx)

    def set_ctx(self, ctx: Any) -> None:
        """Set the context of the columns (such as the time): volatile columns are repainted where they differ."""
        self._set_context(ctx)
        self._show_changes()

    def update_hidden(self, cluster: Cluster, ctx: Any) -> None:
        """Set the context while hidden, if it is of the same kind; the rows stay."""
        if type(self._ctx) is type(ctx):
            self._set_context(ctx)

    def set_columns(self, columns: Sequence[Column], pending_column: str | None = None) -> None:
        """Set the columns. The sort is kept where its column is among them."""
        self.columns = tuple(columns)
        if pending_column is not None:
            self._pending_column = pending_column
        if self.sort_column not in {column.key for column in self.columns}:
            self.sort_column = None
        self._lay_out()
        self.sort_key = SortKey(self._sort_of(self.sort_column), self.sort_key.reverse)
        self._arrange()
        self.refresh()

    def sort_by(self, column: str | None, reverse: bool | None = None) -> None:
        """Sort by a column (None: the given order); `reverse` None is the column's default."""
        if reverse is None:
            reverse = any(c.descending for c in self.columns if c.key == column)
        self.sort_column = column
        self.sort_key = SortKey(self._sort_of(column), reverse)
        self._arrange()
        self._refresh_head()

    def mark(self, keys: Collection[str]) -> None:
        """Mark exactly these keys."""
        self._set_marks(set(keys))

    def select(self, key: str, line: int | None = None) -> bool:
        """Put the cursor on a key, on a line of the page if given. False when there is no such row."""
        at = self._view.index(key)
        if at is None:
            return False
        if line is not None:
            self._put(at)
            self.scroll_top(at - line)
        self._go(at)
        return True

    # Changes.

    def _set_context(self, ctx: Any) -> None:
        if ctx is not self._ctx:
            self._ctx = ctx
            self._ctx_version += 1

    def _sort_of(self, key: str | None) -> Callable[[Any], Any] | None:
        return next((column.sort for column in self.columns if column.key == key), None)

    def _arranged(self, rows: Mapping[str, R], by: SortKey, before: TableView[R] | None) -> TableView[R]:
        return (self._own_arrange or arrange)(rows, by, before)

    def _arrange(self, ctx: Any = None) -> None:
        """Sort the rows and show them: at once where they are few."""
        self._request += 1
        asked, by, before, (rows, alive) = self._request, self.sort_key, self._view, self._source_rows
        if len(rows) <= MAX_SYNC_ROWS or not self.is_running:
            self._show_view(self._arranged(rows, by, before), ctx, alive)
            return

        def work() -> None:
            view = self._arranged(rows, by, before)
            self.app.call_from_thread(came, view)

        def came(view: TableView[R]) -> None:
            if asked == self._request and self.is_running:
                self._show_view(view, ctx, alive)

        self.run_worker(work, thread=True, group="arrange")

    def _show_view(self, view: TableView[R], ctx: Any, alive: Container[str] | None) -> None:
        """Show other rows and keep the cursor on its key, and the key on its line of the screen, as far as possible."""
        before, cursor, rows = self._view, self.cursor_key, view.rows

        def gone(key: str) -> bool:
            return key not in rows

        if ctx is not None:
            self._set_context(ctx)
        line = self._at - self.top
        heir = before.nearest(self._at, gone) if cursor is not None and gone(cursor) else cursor
        anchor = heir
        if not 0 <= line < max(1, self.page) and before.keys:  # scrolled away from the cursor: keep the visible rows
            anchor, line = before.nearest(self.top, gone), 0
        self._view = view
        at = view.index(heir) if heir is not None else None
        self._at = at or 0
        held = at if anchor == heir else view.index(anchor) if anchor is not None else None
        self.top = max(0, min((held or 0) - line, len(view.keys) - self.page))
        self.cursor_key = view.keys[self._at] if view.keys else None
        self._drop_marks(alive)
        if cursor != self.cursor_key:
            if cursor is not None:
                self.post_message(self.Vanished(self, cursor, self.cursor_key))
            self.post_message(self.Moved(self, self.cursor_key))
        self._show_changes()

    def _drop_marks(self, alive: Container[str] | None) -> None:
        rows = self._view.rows
        lost = {key for key in self._marks if key not in rows and (alive is None or key not in alive)}
        if lost:
            self._set_marks(self._marks - lost)

    def _set_marks(self, marks: set[str]) -> None:
        if marks != self._marks:
            self._marks = marks
            self.post_message(self.Marked(self, frozenset(marks)))
            self._show_changes()

    # Painting.

    @property
    def body_lines(self) -> int:
        """Lines of the body: one per row."""
        return len(self._view.keys)

    def _lay_out(self) -> None:
        """Fit the columns to the width. The bar's cell is reserved, so that columns do not move when the
        bar appears.
        """
        self._name_widths = self._needed_name_widths()
        self._placed = self._place(self._name_widths)
        self._painted.clear()
        self._shown_lines.clear()

    def _place(self, need: Mapping[str, int]) -> tuple[PlacedColumn, ...]:
        return place_columns(self.columns, max(0, self.extent.width - 1), GUTTER, need)

    def _needed_name_widths(self) -> dict[str, int]:
        """Cells of the longest names on this page."""
        rows = self._view.rows
        return needed_widths(
            self.columns, (rows[key] for key in self._view.keys[self.top : self.top + self.page]), self._ctx
        )

    def _make_room(self) -> None:
        """Lay the columns out again where a name would be cut, or where shorter names leave room for more columns."""
        need = self._needed_name_widths()
        if need == self._name_widths:
            return
        longer = any(cells > self._name_widths.get(key, 0) for key, cells in need.items())
        placed = self._place(need)
        if (longer and placed != self._placed) or len(placed) > len(self._placed):
            self._lay_out()
            self.refresh()
        elif longer:
            self._name_widths = {key: max(cells, self._name_widths.get(key, 0)) for key, cells in need.items()}

    def _line_state(self, at: int) -> tuple[LineState, PaintedRow]:
        """What line `at` of the body should show."""
        key = self._view.keys[at]
        row, word, ctx = self._view.rows[key], self._pending.get(key), self._ctx
        painted = self._painted.get(key)
        version = self._ctx_version
        if painted is None or painted.pending_text != word or painted.ctx_version != version or painted.row is not row:
            # Equal rows, or a new time that no visible column depends on, look the same.
            same = painted is not None and painted.pending_text == word and painted.row == row
            if painted is None or not same or any(p.column.volatile for p in self._placed):
                cells = paint_cells(row, self._placed, ctx, word, self._pending_column)
                if painted is None or painted.cells != cells:
                    if len(self._painted) >= _CACHED:
                        self._painted.clear()
                    painted = self._painted[key] = PaintedRow(row, self._ctx_version, word, cells, {})
            painted.row, painted.ctx_version, painted.pending_text = row, self._ctx_version, word
        cursor = self.shows_cursor and key == self.cursor_key
        return LineState(key, painted.cells, cursor, key in self._marks), painted

    def _show_changes(self) -> None:
        """Repaint what differs from the screen: of each line the columns from the first to the last difference."""
        if not self.is_mounted or not self.extent.width:
            return
        self._make_room()
        count, seen = self.body_lines, self._shown_lines
        for y in range(self.page):
            at = self.top + y
            before = seen.get(y)
            if at >= count:
                if before is not None:
                    del seen[y]
                    self.repaint_line(at)
                continue
            now, _ = self._line_state(at)
            if before == now:
                continue
            seen[y] = now
            if before is None or before.cursor != now.cursor or before.marked != now.marked:
                self.repaint_line(at)
                continue
            differ = [i for i, (a, b) in enumerate(zip(before.cells, now.cells, strict=True)) if a != b]
            if differ:
                first, last = self._placed[differ[0]], self._placed[differ[-1]]
                self.repaint_line(at, first.x, last.x + last.width - first.x)
        self.repaint_bar()
        if self._empty_shown != (not count):
            self._empty_shown = not count
            for y in range(*self._empty_lines()):
                self.repaint_line(self.top + y)

    def scrolled(self) -> None:
        """Repaint as for any other change: columns that look alike on a line are not sent again."""
        self._show_changes()

    def paint_head(self, y: int, cells: int) -> Strip:
        """The line of titles, or of the columns to choose from."""
        if self.choices:
            spans, self.placed_choices = chooser_line(self.choices, cells, self.sort_column, self.sort_key.reverse)
            used = sum(width(text) for text, _ in spans)
            return self.role_styles.strip([*spans, (" " * max(0, cells - used), "")], cells, on="header")
        return header_strip(self._placed, self.role_styles, cells, self.sort_column, self.sort_key.reverse)

    def paint_body(self, at: int, cells: int) -> Strip:
        """The line of one row."""
        seen, painted = self._line_state(at)
        self._shown_lines[at - self.top] = seen
        self._empty_shown = False
        strip = painted.strips.get((seen.cursor, seen.marked))
        if strip is None or strip.cell_length != cells:
            end = self._placed[-1].x + self._placed[-1].width if self._placed else GUTTER
            strip = paint_row(
                seen.cells, end, self.role_styles, cells, cursor=seen.cursor, marked=seen.marked, dim=self.dimmed
            )
            painted.strips[seen.cursor, seen.marked] = strip
        return strip

    def paint_blank(self, y: int, cells: int) -> Strip:
        """The area below the last row; the text of an empty table is in the middle."""
        self._shown_lines.pop(y, None)
        self._empty_shown = not self.body_lines
        first, end = self._empty_lines()
        if self.body_lines or not first <= y < end:
            return self.role_styles.line((), cells)
        text = cut(self._empty_words()[y - first], max(0, cells - 2))
        left = (cells - width(text)) // 2
        return self.role_styles.line(((" " * max(0, left), ""), (text, "text-dim")), cells)

    def _empty_words(self) -> list[str]:
        """The text of an empty table, wrapped: it also says what to configure."""
        return wrap(self.empty_text, max(1, self.extent.width - 4))

    def _empty_lines(self) -> tuple[int, int]:
        """The lines of the page with that text: the first, and the one after the last."""
        count = len(self._empty_words())
        first = max(0, min(self.page // 2 - (count - 1) // 2, self.page - count))
        return first, min(first + count, self.page)

    def role_styles_changed(self) -> None:
        """Discard the strips: they hold the colours of the old theme."""
        self._painted.clear()

    def _refresh_head(self) -> None:
        if self.is_mounted and self.extent.width:
            self.refresh(Region(0, 0, self.extent.width, 1))

    def watch_shows_cursor(self) -> None:
        """Repaint the line of the cursor."""
        self._show_changes()

    def watch_dimmed(self) -> None:
        """Repaint everything in the new colours."""
        self._painted.clear()
        self.refresh()

    def watch_empty_text(self) -> None:
        """Repaint if there are no rows, as the text is visible only then."""
        if not self.body_lines:
            self.refresh()

    def resized(self) -> None:
        """Fit the columns and keep the cursor visible."""
        self._lay_out()
        if self.body_lines:
            self.show_line(self._at)
