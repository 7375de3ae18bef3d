"""TableKeys: the table's keys, mouse and messages; their effect on the rows is in VirtualTable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from .scroll import Scrolled
from .sort_chooser import REVERSE_LETTER, PlacedChoice, SortChoice, sort_choices

if TYPE_CHECKING:
    from .column_layout import PlacedColumn
    from .table_column import Column


class _TableMessage(Message):
    """A message of a table."""

    def __init__(self, table: TableKeys) -> None:
        super().__init__()
        self.table = table

    @property
    def control(self) -> TableKeys:
        """The table, so that `@on(VirtualTable.Opened, "#jobs")` works."""
        return self.table


class TableKeys(Scrolled):
    """A cursor that is a key, moved by keys and mouse."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "Up", show=False),
        Binding("down,j", "step(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "ends(False)", "First", show=False),
        Binding("end", "ends(True)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
        Binding("space", "mark", "Mark", show=False),
        Binding("asterisk", "mark_all", "Mark all", show=False),
        Binding("o", "choose_sort", "Sort by a column", show=False),
        Binding("O", "reverse_sort", "Reverse the sort", show=False),
    ]

    class Opened(_TableMessage, namespace="virtual_table"):
        """The operator opened a row."""

        def __init__(self, table: TableKeys, key: str) -> None:
            super().__init__(table)
            self.key = key

    class Moved(_TableMessage, namespace="virtual_table"):
        """The cursor moved to another key; None where there are no rows."""

        def __init__(self, table: TableKeys, key: str | None) -> None:
            super().__init__(table)
            self.key = key

        def can_replace(self, message: Message) -> bool:
            """Of several moves in the queue only the last counts."""
            return isinstance(message, TableKeys.Moved) and message.table is self.table

    class Vanished(_TableMessage, namespace="virtual_table"):
        """The row under the cursor was removed; the cursor is on `key` now."""

        def __init__(self, table: TableKeys, gone: str, key: str | None) -> None:
            super().__init__(table)
            self.gone, self.key = gone, key

    class Marked(_TableMessage, namespace="virtual_table"):
        """The marks changed."""

        def __init__(self, table: TableKeys, keys: frozenset[str]) -> None:
            super().__init__(table)
            self.keys = keys

    class Sorted(_TableMessage, namespace="virtual_table"):
        """The operator sorted by another column, or reversed the order."""

        def __init__(self, table: TableKeys, column: str | None, reverse: bool) -> None:
            super().__init__(table)
            self.column, self.reverse = column, reverse

    columns: tuple[Column, ...]
    given_order: str
    sort_column: str | None
    _placed: tuple[PlacedColumn, ...]
    _marks: set[str]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.cursor_key: str | None = None
        """The key under the cursor; None while there are no rows."""
        self._at = 0
        self.rows_outdated = False
        """Whether newer rows than those shown are being prepared: actions must not apply to all shown rows then."""
        self._focus_is_new = False
        self._opened_by_click = False
        self.choices: Sequence[SortChoice] = ()
        """What the rows can be sorted by, while the line of titles offers it."""
        self.placed_choices: Sequence[PlacedChoice] = ()
        """Those on the line, as painted."""

    @property
    def keys(self) -> Sequence[str]:
        """The keys in the order shown."""
        raise NotImplementedError

    @property
    def reverse(self) -> bool:
        """Whether the greatest value is first."""
        raise NotImplementedError

    def sort_by(self, column: str | None, reverse: bool | None = None) -> None:
        """Sort by a column."""
        raise NotImplementedError

    def _show_changes(self) -> None:
        raise NotImplementedError

    def _refresh_head(self) -> None:
        raise NotImplementedError

    def _set_marks(self, marks: set[str]) -> None:
        raise NotImplementedError

    def _put(self, at: int) -> bool:
        """Put the cursor on a position without scrolling or painting. True when it is on another key now."""
        keys = self.keys
        if not keys:
            return False
        self._at = max(0, min(at, len(keys) - 1))
        moved = self.cursor_key != keys[self._at]
        self.cursor_key = keys[self._at]
        return moved

    def _go(self, at: int) -> None:
        """Move the cursor to a position, make it visible, and send Moved."""
        moved = self._put(at)
        # Scrolling repaints what changed, including the cursor.
        if self.keys and not self.show_line(self._at):
            self._show_changes()
        if moved:
            self.post_message(self.Moved(self, self.cursor_key))

    def action_step(self, by: int) -> None:
        """Move one row up or down."""
        self._go(self._at + by)

    def action_page(self, by: int) -> None:
        """Move a page up or down: the cursor keeps its line of the screen while there is a page to turn."""
        step = by * max(1, self.page - 1)
        moved = self._put(self._at + step)
        top = max(0, min(self.top + step, self.body_lines - self.page))
        scrolled = top != self.top
        self.top = top
        if not self.show_line(self._at) and (scrolled or moved):
            self._show_changes()
        if moved:
            self.post_message(self.Moved(self, self.cursor_key))

    def action_ends(self, last: bool) -> None:
        """Move to the first or the last row."""
        self._go(len(self.keys) - 1 if last else 0)

    def action_open(self) -> None:
        """Open the row under the cursor."""
        if self.cursor_key is not None:
            self.post_message(self.Opened(self, self.cursor_key))

    def action_mark(self) -> None:
        """Mark or unmark the row under the cursor, and move one row down."""
        if self.cursor_key is not None:
            self._set_marks(self._marks ^ {self.cursor_key})
            self.action_step(1)

    def action_mark_all(self) -> None:
        """Mark every row shown; when all are marked, unmark them."""
        if self.rows_outdated:
            return
        every = set(self.keys)
        self._set_marks(set() if every <= self._marks else every)

    def action_choose_sort(self) -> None:
        """Offer the columns in the line of titles, visible ones first: a letter sorts, again `o` reverses the sort."""
        shown = {None, *(place.column.key for place in self._placed)}
        # The letter of a column is the same at every width.
        self._offer(sorted(sort_choices(self.columns, self.given_order), key=lambda one: one.column not in shown))

    def _offer(self, choices: Sequence[SortChoice]) -> None:
        self.choices = choices
        self._refresh_head()

    def action_reverse_sort(self) -> None:
        """Reverse the order."""
        if self.sort_column is not None:
            self._sort(self.sort_column, not self.reverse)

    def _choose(self, column: str | None) -> None:
        """Sort by a column that was picked; the one that sorts already is reversed."""
        if column is not None and column == self.sort_column:
            self.action_reverse_sort()
        else:
            self._sort(column)

    def _sort(self, column: str | None, reverse: bool | None = None) -> None:
        self.sort_by(column, reverse)
        self.post_message(self.Sorted(self, self.sort_column, self.reverse))

    def focus_changed(self) -> None:
        """A click that gives the focus selects; it does not open."""
        self._focus_is_new = self.has_focus
        if self.choices:
            self._offer(())

    def on_key(self, event: events.Key) -> None:
        """A key press shows that the table has had the focus for a while. While columns are offered it picks one, and
        does nothing else."""
        self._focus_is_new = False
        if not self.choices:
            return
        event.stop()
        event.prevent_default()
        letter = (event.character or "").lower()
        picked = next((one for one in self.choices if one.letter == letter), None)
        self._offer(())
        if picked is not None:
            self._choose(picked.column)
        elif letter == REVERSE_LETTER:
            self.action_reverse_sort()

    def on_click(self, event: events.Click) -> None:
        """Select a row, or open the one under the cursor; on a title sort by it, or reverse its order."""
        where = event.get_content_offset(self)
        fresh, self._focus_is_new = self._focus_is_new, False
        if where is None or (self.has_bar and where.x == self.extent.width - 1):
            return
        event.stop()
        if where.y < self.head:
            self._click_title(where.x)
            return
        at = self.top + where.y - self.head
        if at >= len(self.keys):
            return
        again = event.chain > 1
        if self.keys[at] != self.cursor_key or (fresh and not again):
            self._opened_by_click = False
            self._go(at)
        elif not (again and self._opened_by_click):
            self._opened_by_click = True
            self.action_open()

    def _click_title(self, x: int) -> None:
        if self.choices:
            picked = next((one for one in self.placed_choices if one.x <= x < one.x + one.width + 1), None)
            self._offer(())
            if picked is not None:
                self._choose(picked.choice.column)
            return
        for place in self._placed:
            if place.x <= x < place.x + place.width + 1 and place.column.sort is not None:
                self._choose(place.column.key)
