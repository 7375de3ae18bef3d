"""How the screens look, cell by cell, at the sizes people have. `pytest --snapshot-update` accepts a new look."""

from __future__ import annotations

import time

import pytest
from pytest_textual_snapshot import SVGImageExtension

from console.screens.layout.list_screen import ListScreen
from tests.support.operator import console

SMALL, MIDDLE, LARGE = (80, 24), (120, 40), (200, 50)


@pytest.fixture(autouse=True)
def _one_place_and_time(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "Europe/Amsterdam")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def rested(op):
    """What follows the cursor has come to it."""
    screen = op.app.screen
    if isinstance(screen, ListScreen) and screen.side_pane.is_on:
        beside = screen.side_pane
        await op.until(lambda: beside.key is not None and beside._timer is None, "what is beside the list")


SHOTS = [
    *(("overview", size, ("1",)) for size in (SMALL, MIDDLE, LARGE)),
    *(("nodes", size, ("2",)) for size in (SMALL, MIDDLE, LARGE)),
    *(("jobs", size, ("3",)) for size in (SMALL, LARGE)),
    *(("partitions", size, ("7",)) for size in (SMALL, LARGE)),
    *(("node", size, ("2", "enter")) for size in (SMALL, LARGE)),
    *(("drain", size, ("2", "d")) for size in (SMALL, MIDDLE)),
    *(("alerts", size, ("6",)) for size in (SMALL, LARGE)),
    ("help", SMALL, ("2", "question_mark")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "keys"), SHOTS, ids=lambda value: str(value) if isinstance(value, str) else ""
)
@pytest.mark.parametrize("theme", ["groningen"])
async def test_screen(name, size, keys, theme, snapshot):
    async with console(size, theme=theme) as op:
        await op.press(*keys)
        await rested(op)
        # Nothing on the screen may depend on how long it took to get there.
        await op.app.workers.wait_for_complete()
        await op.pilot.pause()
        assert op.app.export_screenshot() == snapshot(extension_class=SVGImageExtension)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["overview", "jobs"])
async def test_daylight(name, snapshot):
    async with console(SMALL, theme="daylight") as op:
        await op.command(name)
        await rested(op)
        await op.app.workers.wait_for_complete()
        await op.pilot.pause()
        assert op.app.export_screenshot() == snapshot(extension_class=SVGImageExtension)
