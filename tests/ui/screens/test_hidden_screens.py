"""A screen that nobody looks at holds the newest facts, or none: each would hold a Cluster of long ago."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
from msgspec.structs import replace

from collectors.clock import ManualClock
from collectors.model import Cluster, Diff
from console.config.commands import SCREENS
from console.screens.journal import JournalScreen
from console.screens.layout.list_screen import ListScreen
from console.screens.layout.screen import WachtScreen
from console.screens.overview import OverviewScreen
from console.tables.journal_columns import JournalCtx
from tests.support.make import change_of
from tests.support.operator import Operator, console

READINGS = 3
"""Two are kept on purpose (`console.runtime.memo`), and one is shown."""


async def _some_readings(op: Operator, clock: ManualClock) -> None:
    for _ in range(READINGS):
        clock.advance(30.0)
        await op.look_again()


def _list(op: Operator, name: str) -> ListScreen:
    found = op.app.get_screen(name)
    assert isinstance(found, ListScreen)
    return found


@pytest.mark.slow
async def test_no_screen_holds_the_cluster_that_it_showed() -> None:
    clock = ManualClock()
    async with console((200, 50), clock=clock, incident="cooling") as op:
        seen: dict[str, ref[Cluster]] = {}
        for name in SCREENS:
            await op.command(name)
            clock.advance(30.0)
            await op.look_again()
            screen = op.app.screen
            assert isinstance(screen, WachtScreen) and screen.cluster is op.cluster
            seen[name] = ref(op.cluster)
        await op.command("overview")
        await _some_readings(op, clock)
        gc.collect()
        assert [name for name, one in seen.items() if one() is not None] == []


@pytest.mark.slow
async def test_what_was_set_is_there_when_it_comes_back() -> None:
    clock = ManualClock()
    async with console((200, 50), clock=clock) as op:
        for key, name in (("2", "nodes"), ("3", "jobs")):
            await op.press(key, "down", "space", "down", "down")
            table = _list(op, name).table
            cursor, marked = table.cursor_key, table.marked
            assert cursor is not None and len(marked) == 1
            await op.press("1")
            await _some_readings(op, clock)
            assert (table.cursor_key, table.marked) == (cursor, marked)
            await op.press(key)
            assert (table.cursor_key, table.marked) == (cursor, marked)
            op.sees(cursor, *marked)


async def test_who_comes_back_sees_the_facts_of_now() -> None:
    clock = ManualClock()
    async with console((200, 50), clock=clock) as op:
        await op.press("2", "end")
        name = _list(op, "nodes").table.cursor_key
        assert name is not None
        await op.press("1")
        op.machine.break_node(name, "bad fan")
        await op.look_again()
        await op.press("2")
        assert _list(op, "nodes").table.cursor_key == name
        op.sees("bad fan")


@pytest.mark.slow
async def test_whose_row_went_meanwhile_stands_on_the_one_behind_it() -> None:
    async with console((200, 50)) as op:
        await op.press("3", "down", "down")
        table = _list(op, "jobs").table
        gone, behind = table.keys[2:4]
        assert table.cursor_key == gone
        await op.press("1")
        op.machine.apply(change_of(action="cancel", kind="job", targets=(gone,)))
        await op.look_again()
        await op.press("3")
        assert gone not in table.keys and table.cursor_key == behind


@pytest.mark.slow
async def test_a_machine_that_changed_meanwhile_is_laid_out_anew() -> None:
    async with console((200, 50)) as op:
        screen = op.app.screen
        assert isinstance(screen, OverviewScreen)
        await op.press("2")
        racks = dict(list(op.cluster.racks.items())[1:])
        fewer = replace(op.cluster, racks=racks)
        screen.update_hidden(fewer)
        gone = next(iter(op.cluster.racks.values()))[0]
        assert screen.map.select(gone)
        screen.map.set_cluster(fewer)
        assert not screen.map.select(gone)


@pytest.mark.slow
async def test_a_table_with_a_context_of_its_own_keeps_it() -> None:
    clock = ManualClock()
    async with console((200, 50), clock=clock) as op:
        await op.command("journal")
        journal = op.app.screen
        assert isinstance(journal, JournalScreen)
        before = journal.table.ctx
        await op.press("1")
        await _some_readings(op, clock)
        assert type(journal.table.ctx) is type(before) is JournalCtx


async def test_who_comes_back_while_a_reading_comes_sees_all_that_changed() -> None:
    """Taken in between the key and the moment at which the screen hears of it."""
    async with console((200, 50)) as op:
        await op.press("2", "end")
        nodes = _list(op, "nodes")
        name = nodes.table.cursor_key
        assert name is not None
        await op.press("1")
        op.machine.break_node(name, "bad fan")
        await op.look_again()
        op.app.navigation.go("nodes")
        nodes.update_cluster(op.cluster, Diff())
        await op.pilot.pause()
        op.sees("bad fan")


async def test_below_an_inspection_the_list_stands_still() -> None:
    clock = ManualClock()
    async with console((200, 50), clock=clock) as op:
        await op.press("2")
        shown = op.cluster
        await op.press("enter")
        await _some_readings(op, clock)
        assert op.cluster is not shown and _list(op, "nodes").cluster is shown
