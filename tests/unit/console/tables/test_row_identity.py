"""What a row is: a job id or a node name is never cut while the row has room elsewhere. Over all tables there are."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from textual.app import ComposeResult

import console.fields as fields_package
import console.tables as tables_package
import themes
from console.fields.common_cells import Ctx
from console.fields.job_fields import JOBS
from tests.support import make
from tests.support.make import cluster
from widgets.column_layout import GAP, needed_widths, place_columns
from widgets.row_painter import GUTTER
from widgets.table import VirtualTable
from widgets.table_column import Column, always_identity
from widgets.terminal.quiet_app import QuietApp

pytestmark = pytest.mark.slow

SIZES = ((80, 24), (120, 40), (200, 50))
WITHOUT = {"alert_columns.SILENCES"}
"""Tables of which no row has a name: a silence is known by what it matches."""


def tables() -> dict[str, tuple[Column, ...]]:
    """Every table of the console: `MODULE.NAME` to its columns."""
    found = {}
    folders = ((fields_package, "*_fields.py"), (tables_package, "*columns.py"))
    for package, path in [(one, path) for one, names in folders for path in sorted(Path(one.__path__[0]).glob(names))]:
        module = importlib.import_module(f"{package.__name__}.{path.stem}")
        for name, value in vars(module).items():
            if not name.startswith("_") and isinstance(value, tuple) and value and isinstance(value[0], Column):
                found[f"{path.stem}.{name}"] = value
    return found


def identities(columns: tuple[Column, ...]) -> list[str]:
    return [column.key for column in columns if column.identity is not None]


def test_every_table_says_which_column_names_its_rows() -> None:
    assert len(tables()) >= 22
    assert {name for name, columns in tables().items() if not identities(columns)} == WITHOUT


class Bench(QuietApp[None]):
    """One table whose rows have nothing but a name."""

    def __init__(self, columns: tuple[Column, ...], rows: dict[str, str]) -> None:
        super().__init__()
        self.rows = rows
        self.table: VirtualTable[str] = VirtualTable(columns)

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        themes.register(self)
        self.table.set_rows(self.rows, ctx=0)
        self.table.focus()

    @property
    def lines(self) -> list[str]:
        return [strip.text.rstrip() for strip in self.screen._compositor.render_strips(self.size)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", [name for name in tables() if name not in WITHOUT])
async def test_a_long_name_takes_the_room_that_it_needs(name: str, size: tuple[int, int]) -> None:
    """Names come into sight later than the columns were laid out, by new rows and by scrolling."""
    columns = tables()[name]
    first = identities(columns)[0]

    def with_text(column: Column) -> Column:
        cell = (lambda row, _: row) if column.key == first else (lambda row, _: "")
        return structs.replace(
            column, cell=cell, sort=None, identity=always_identity if column.key == first else None, volatile=False
        )

    short, long, longest = "gpu0001", "node-of-the-third-building-r07-0136", "195395_1234" * 5
    plain = {f"{short}-{at}": short for at in range(90)}
    app = Bench(tuple(map(with_text, columns)), plain)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        many = len(app.table._placed)
        app.table.set_rows({"0": long, **plain, "last": longest})
        await pilot.press("home")
        await pilot.pause()
        assert long in app.lines[1]
        await pilot.press("end")
        await pilot.pause()
        assert longest in app.lines[-1]
        await pilot.press("home")
        app.table.set_rows(plain)
        await pilot.pause()
        assert len(app.table._placed) == many, "columns that gave way come back when the name is gone"


def test_tasks_of_an_array_are_told_apart_beside_a_pane() -> None:
    jobs = [make.job(f"195395_{task}") for task in (999, 1234, 1235)]
    need = needed_widths(JOBS, jobs, Ctx(cluster(), 0.0))
    assert need == {"id": len("195395_1234")}
    for width in (20, 60, 79, 99, 119):
        placed = place_columns(JOBS, width, GUTTER, need)
        assert placed[0].column.key == "id" and placed[0].width >= len("195395_1234")


def test_a_list_of_names_is_no_name() -> None:
    from console.health.inconsistencies import Inconsistency
    from console.tables.inbox_columns import INCONSISTENCIES

    def row(*nodes: str) -> Any:
        return Inconsistency(kind=next(iter(_kinds())), node=nodes[0], nodes=nodes, text="", severity="note")

    assert needed_widths(INCONSISTENCIES, [row(*(f"long-name-{n}-x" for n in range(0, 99, 7)))], None) == {"node": 0}
    assert needed_widths(INCONSISTENCIES, [row("a-rather-long-name-of-a-node")], None) == {"node": 28}


def _kinds() -> Any:
    from console.health.inconsistencies import KINDS

    return KINDS


def column(key: str, width: int, priority: int, grow: int, named: bool) -> Column:
    return Column(
        key, key, width, lambda row, ctx: "", priority=priority, grow=grow, identity=always_identity if named else None
    )


@given(
    st.lists(
        st.tuples(st.integers(1, 20), st.integers(0, 6), st.integers(0, 2), st.booleans()), min_size=1, max_size=8
    ),
    st.integers(0, 200),
    st.integers(1, 60),
)
def test_a_name_is_cut_only_where_nothing_else_stands(
    given: list[tuple[int, int, int, bool]], width: int, need: int
) -> None:
    columns = [column(str(at), *one) for at, one in enumerate(given)]
    named = [one.key for one in columns if one.identity is not None]
    placed = place_columns(columns, width, 0, dict.fromkeys(named, need))
    shown = {one.column.key: one.width for one in placed}
    assert sum(shown.values()) + GAP * max(0, len(shown) - 1) <= width
    if any(shown.get(key, 0) < need for key in named):
        assert set(shown) <= set(named), "another column stands while a name is cut"
