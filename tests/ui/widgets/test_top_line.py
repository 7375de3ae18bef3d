"""Where am I: the crumbs in the top line, and which of two tables on one screen the keys go to, in every theme."""

from __future__ import annotations

import pytest

from tests.support import make
from tests.support.operator import console
from themes import themes
from widgets.cells import spans_width
from widgets.chips import top_spans


def text(cells: int, *trail: str) -> str:
    spans = top_spans(make.cluster(), 0, 0, ["READ-ONLY"], cells, None, (), trail)
    assert spans_width(spans) == cells
    return "".join(part for part, _ in spans)


def test_the_trail_takes_nothing_from_the_others():
    wide = text(120, "nodes", "gpu0001")
    name = make.cluster().name
    assert f"{name} › nodes › gpu0001  " in wide
    for cells in range(20, 160):
        with_trail, without = text(cells, "nodes", "gpu0001"), text(cells)
        assert with_trail.replace(" › nodes", "").replace(" › gpu0001", "").split() == without.split(), cells


def test_where_there_is_room_for_one_step_it_is_the_last():
    room = next(cells for cells in range(40, 160) if " › " in text(cells, "nodes", "gpu0001"))
    assert "› gpu0001" in text(room, "nodes", "gpu0001") and "› nodes" not in text(room, "nodes", "gpu0001")


@pytest.mark.slow
async def test_every_screen_says_where_it_is():
    async with console((160, 40)) as op:
        for screen in ("overview", "nodes", "jobs", "gpus", "power", "inbox", "alerts", "partitions", "journal"):
            op.app.navigation.go(screen)
            await op.pilot.pause()
            op.sees(f"groningen › {screen}  ")
        op.app.navigation.go("nodes")
        await op.press("enter")
        op.sees(f"groningen › nodes › {op.app.screen.key}  ")
        await op.press("escape")
        op.sees("groningen › nodes  ")


@pytest.mark.slow
@pytest.mark.parametrize("theme", themes())
async def test_of_two_tables_the_one_that_keys_go_to_is_seen(theme):
    async with console((140, 40), theme=theme) as op:
        for screen, first, second in (
            ("partitions", "Partitions", "Reservations"),
            ("inbox", "Out of service", "Inconsistencies"),
            ("power", "Racks", "Jobs that draw most"),
            ("fabric", "Fabric", "Ports that are not well"),
            ("storage", "Storage", "Nodes"),
        ):
            op.app.navigation.go(screen)
            await op.pilot.pause()
            shown = op.app.screen
            op.sees(f"▸{first}", f" {second}")
            assert [table.shows_cursor for table in shown._tables] == [True, False]
            shown._tables[1].focus()
            await op.pilot.pause()
            op.sees(f" {first}", f"▸{second}")
            assert [table.shows_cursor for table in shown._tables] == [False, True]
            assert shown.active is shown._tables[1]
