"""Where one widget at a time is put on trial, and what holds for all of them: any size will do."""

from __future__ import annotations

import pytest
from textual.widget import Widget

from tests.support.widget_app import Bench, machine
from widgets.key_bar import KeyBar, KeyHint
from widgets.node_map import NodeMap
from widgets.pane import Pane, pane_line
from widgets.top_line import TopLine


@pytest.mark.parametrize("widget", [Pane("x", select=True), NodeMap(), TopLine(), KeyBar([KeyHint("d", "drain")])])
async def test_any_size_will_do(widget: Widget) -> None:
    app = Bench(widget)
    async with app.run_test(size=(80, 24)) as pilot:
        if isinstance(widget, Pane):
            widget.set_title("title " * 9, right="right")
            widget.set_lines([pane_line("東京" * 40, [("right", "")], key=str(i)) for i in range(40)])
        if isinstance(widget, NodeMap):
            widget.set_cluster(machine())
        if isinstance(widget, TopLine):
            widget.show(machine(), 0, 0.0, ["DEMO", "READ-ONLY"])
        for size in ((1, 1), (2, 2), (5, 3), (200, 50), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.press("down", "tab")
            height = widget.size.height
            assert all(widget.render_line(y).cell_length == widget.size.width for y in range(height))
