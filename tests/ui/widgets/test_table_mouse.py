"""The table under the mouse."""

from __future__ import annotations

import pytest
from textual import events

from tests.support.table_app import Bench
from widgets.table import VirtualTable


@pytest.mark.slow
async def test_opening_by_key_and_mouse() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "enter")
        await pilot.click(VirtualTable, offset=(5, 4))
        assert app.table.cursor_key == "gpu0003"
        assert app.names.count("Opened") == 1
        await pilot.pause(0.6)  # else it is a double click
        await pilot.click(VirtualTable, offset=(5, 4))
        opened = [message.key for message in app.told if isinstance(message, VirtualTable.Opened)]
        assert opened == ["gpu0001", "gpu0003"]
        await pilot.click(VirtualTable, offset=(5, 8), times=2)
        opened = [message.key for message in app.told if isinstance(message, VirtualTable.Opened)]
        assert opened == ["gpu0001", "gpu0003", "gpu0007"]
        await pilot.click(VirtualTable, offset=(5, 23))
        assert app.table.cursor_key == "gpu0022"


async def test_the_click_that_brings_the_focus_does_not_open() -> None:
    app = Bench()
    async with app.run_test(size=(80, 24)) as pilot:
        app.set_focus(None)
        await pilot.pause()
        await pilot.click(VirtualTable, offset=(5, 1))
        assert app.table.has_focus and app.table.cursor_key == "gpu0000"
        assert "Opened" not in app.names


async def test_wheel_and_bar_scroll_without_moving_the_cursor() -> None:
    app = Bench(1000)
    async with app.run_test(size=(80, 24)) as pilot:
        table = app.table
        await pilot._post_mouse_events([events.MouseScrollDown], VirtualTable, (5, 5))
        assert table.top == 3 and table.cursor_key == "gpu0000"
        await pilot._post_mouse_events([events.MouseScrollUp], VirtualTable, (5, 5))
        assert table.top == 0
        assert "▐" in app.lines[1]
        await pilot.mouse_down(VirtualTable, offset=(79, 12))
        assert 300 < table.top < 600
        await pilot.hover(VirtualTable, offset=(79, 23))
        await pilot.mouse_up(VirtualTable, offset=(79, 23))
        assert table.top == 1000 - 23 and table.cursor_key == "gpu0000"
        await pilot.hover(VirtualTable, offset=(79, 3))
        assert table.top == 1000 - 23  # let go
