"""A screen of two tables. A cursor and a sign in its head show, in any theme, which table has the focus."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from textual import on
from textual.widget import Widget

from collectors.nodeset import fold_for_slurm
from widgets.cells import Span
from widgets.key_bar import KeyHint
from widgets.pane import Pane, PaneLine
from widgets.table import VirtualTable
from widgets.table_keys import TableKeys

from .screen import WachtScreen


class TwoTables(WachtScreen):
    """Subclasses call `set_tables` in their constructor, and `set_head` for the head of each table."""

    def set_tables(self, first: VirtualTable[Any], second: VirtualTable[Any]) -> None:
        """Set the tables; the first has the focus initially."""
        self._tables = (first, second)
        self._heads = (Pane(border=False, classes="crumbs"), Pane(border=False, classes="crumbs"))
        self._head_spans: dict[int, tuple[Sequence[Span], Sequence[Span]]] = {}
        self._active = 0
        second.shows_cursor = False

    def body(self) -> Iterable[Widget]:
        """Each table below its head."""
        for head, table in zip(self._heads, self._tables, strict=True):
            yield head
            yield table

    def empty_text_for(self, kind: str, source: str, no_source: str, nothing: str) -> str:
        """The text of an empty table of an optional kind: no source is configured, or the source reports nothing."""
        state, known = self.cluster.sources.get(source), kind in self.cluster.known
        if state is None and not known:
            return no_source
        if state is not None and state.ok and not known:
            return nothing
        return self.missing_text(kind, source, nothing)

    @property
    def selected_keys(self) -> tuple[str, ...]:
        """The marked rows of the focused table in the order shown, else the row under its cursor."""
        table = self.active
        marked = tuple(key for key in table.keys if key in table.marked)
        return marked or ((table.cursor_key,) if table.cursor_key else ())

    def keys(self) -> Sequence[KeyHint]:
        """The keys of this screen for the key bar."""
        return (KeyHint("Enter", "open"), KeyHint("Tab", "other table"), KeyHint("o", "sort"))

    def copy_text(self) -> str | None:
        """The command that shows the nodes of the row under the cursor."""
        names = self.targets("node")
        return shlex.join(["scontrol", "show", "node", fold_for_slurm(names)]) if names else None

    def clear_marks(self) -> None:
        """Clear the marks after they were used."""
        for table in self._tables:
            table.mark(())

    def follow(self) -> None:
        """The cursor of a table moved: update the other table where it depends on it."""

    @on(TableKeys.Moved)
    @on(TableKeys.Marked)
    def _cursor_moved(self) -> None:
        self.follow()
        self.refresh_keys()

    @property
    def active(self) -> VirtualTable[Any]:
        """The table that has the focus."""
        return self._tables[self._active]

    def set_head(self, at: int, spans: Sequence[Span], right: Sequence[Span] = ()) -> None:
        """Set the head of a table; the first span is its name."""
        self._head_spans[at] = spans, right
        mark: Span = ("▸", "accent") if at == self._active else (" ", "")
        (name, _), *rest = spans
        role = "title" if at == self._active else "text-dim"
        self._heads[at].set_lines([PaneLine([mark, (name, role), *rest], right)])

    def on_descendant_focus(self) -> None:
        """The focus moved to another table: update cursors and keys."""
        if self.focused in self._tables:
            self._active = self._tables.index(self.focused)
            for at, table in enumerate(self._tables):
                table.shows_cursor = at == self._active
                if at in self._head_spans:
                    self.set_head(at, *self._head_spans[at])
            self.follow()
            self.refresh_keys()
