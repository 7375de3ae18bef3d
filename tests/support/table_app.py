"""An app with one table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from textual.app import ComposeResult
from textual.geometry import Region
from textual.message import Message

import themes
from widgets.table import VirtualTable
from widgets.table_column import Column
from widgets.terminal.quiet_app import QuietApp


class Row(Struct, frozen=True):
    name: str
    state: str = "idle"
    load: int | None = 0


COLUMNS = (
    Column("node", "node", 10, lambda row, ctx: row.name, sort=lambda row: row.name),
    Column("state", "state", 10, lambda row, ctx: (row.state, "state-idle"), sort=lambda row: row.state),
    Column(
        "load",
        "load",
        6,
        lambda row, ctx: "—" if row.load is None else f"{row.load} %",
        sort=lambda row: row.load,
        align="right",
        descending=True,
    ),
    Column("clock", "clock", 8, lambda row, ctx: f"t{ctx}", volatile=True, priority=1),
    Column("note", "note", 10, lambda row, ctx: [("a ", "text-dim"), ("[/]", "warn")], grow=1, priority=2),
)


class Bench(QuietApp[None]):
    """An app with one table, and the messages it sent."""

    def __init__(self, count: int = 100) -> None:
        super().__init__()
        self.table: VirtualTable[Row] = VirtualTable(
            COLUMNS, key=lambda row: row.name, pending_column="state", empty_text="no node matches - Esc clears"
        )
        self.rows = {f"gpu{i:04d}": Row(f"gpu{i:04d}", load=i) for i in range(count)}
        self.told: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        themes.register(self)
        self.table.set_rows(self.rows, ctx=0)
        self.table.focus()

    def line_of(self, key: str) -> int:
        """The line of the screen on which a key stands."""
        return self.lines.index(next(text for text in self.lines if key in text))

    @property
    def lines(self) -> list[str]:
        return [self.table.render_line(y).text for y in range(self.table.size.height)]

    @contextmanager
    def painting(self) -> Iterator[list[Region]]:
        """The regions that get repainted."""
        regions: list[Region] = []
        refresh = self.table.refresh

        def record(*asked: Region, **options: bool) -> VirtualTable[Row]:
            regions.extend(asked or [self.table.size.region])
            return refresh(*asked, **options)

        self.table.refresh = record  # type: ignore[method-assign]
        try:
            yield regions
        finally:
            del self.table.refresh  # type: ignore[method-assign]

    @property
    def names(self) -> list[str]:
        return [type(message).__name__ for message in self.told]

    def on_virtual_table_opened(self, message: VirtualTable.Opened) -> None:
        self.told.append(message)

    def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
        self.told.append(message)

    def on_virtual_table_vanished(self, message: VirtualTable.Vanished) -> None:
        self.told.append(message)

    def on_virtual_table_marked(self, message: VirtualTable.Marked) -> None:
        self.told.append(message)

    def on_virtual_table_sorted(self, message: VirtualTable.Sorted) -> None:
        self.told.append(message)
