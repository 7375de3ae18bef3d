"""A screen of two tables: which of them keys go to is seen by its cursor and a sign before its head, in any theme."""

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
    """Subclasses call `set_tables` when they are made, and `set_head` for what stands over each."""

    def set_tables(self, first: VirtualTable[Any], second: VirtualTable[Any]) -> None:
        """The tables; the first has the focus to begin with."""
        self._tables = (first, second)
        self._heads = (Pane(border=False, classes="crumbs"), Pane(border=False, classes="crumbs"))
        self._head_spans: dict[int, tuple[Sequence[Span], Sequence[Span]]] = {}
        self._active = 0
        second.shows_cursor = False

    def body(self) -> Iterable[Widget]:
        """Each table under its head."""
        for head, table in zip(self._heads, self._tables, strict=True):
            yield head
            yield table

    def empty_text_for(self, kind: str, source: str, no_source: str, nothing: str) -> str:
        """Why there are no rows of what a site may lack: nobody is asked for them, or who is asked has none."""
        state, known = self.cluster.sources.get(source), kind in self.cluster.known
        if state is None and not known:
            return no_source
        if state is not None and state.ok and not known:
            return nothing
        return self.missing_text(kind, source, nothing)

    @property
    def selected_keys(self) -> tuple[str, ...]:
        """What an action of the table that keys go to is of: its marked lines as shown, else the one under the
        cursor."""
        table = self.active
        marked = tuple(key for key in table.keys if key in table.marked)
        return marked or ((table.cursor_key,) if table.cursor_key else ())

    def keys(self) -> Sequence[KeyHint]:
        """Ways around."""
        return (KeyHint("Enter", "open"), KeyHint("Tab", "other table"), KeyHint("o", "order"), KeyHint(":", "command"))

    def copy_text(self) -> str | None:
        """The command that shows the nodes of what is under the cursor."""
        names = self.targets("node")
        return shlex.join(["scontrol", "show", "node", fold_for_slurm(names)]) if names else None

    def clear_marks(self) -> None:
        """The marked lines were taken."""
        for table in self._tables:
            table.mark(())

    def follow(self) -> None:
        """The cursor of a table has moved: the other one may be of what it is on."""

    @on(TableKeys.Moved)
    @on(TableKeys.Marked)
    def _cursor_moved(self) -> None:
        self.follow()
        self.refresh_keys()

    @property
    def active(self) -> VirtualTable[Any]:
        """The table that keys go to."""
        return self._tables[self._active]

    def set_head(self, at: int, spans: Sequence[Span], right: Sequence[Span] = ()) -> None:
        """What stands over a table; the first span is its name."""
        self._head_spans[at] = spans, right
        mark: Span = ("▸", "accent") if at == self._active else (" ", "")
        (name, _), *rest = spans
        role = "title" if at == self._active else "text-dim"
        self._heads[at].set_lines([PaneLine([mark, (name, role), *rest], right)])

    def on_descendant_focus(self) -> None:
        """Another table, other targets."""
        if self.focused in self._tables:
            self._active = self._tables.index(self.focused)
            for at, table in enumerate(self._tables):
                table.shows_cursor = at == self._active
                if at in self._head_spans:
                    self.set_head(at, *self._head_spans[at])
            self.follow()
            self.refresh_keys()
