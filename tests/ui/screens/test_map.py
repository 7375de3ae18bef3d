"""The map on the overview and on the GPU screen: faults over states, and from a machine of racks to a rack and back."""

from __future__ import annotations

import pytest

from collectors.nodeset import expand
from tests.support.operator import Operator, console
from widgets.map_measures import is_solid
from widgets.node_map import NodeMap

BIG = {"nodes": 12_000}


def the_map(op: Operator) -> NodeMap:
    return op.app.screen.query_one(NodeMap)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=str)
async def test_no_node_of_the_attention_list_looks_healthy_on_the_map(size):
    async with console(size) as op:
        shown = the_map(op)
        named = [line for line in op.app.screen._attention_lines if line.role in {"bad", "warn"}]
        assert named[0].text.split()[1] == "XID"
        for line in named:
            for name in expand(line.opens):
                assert is_solid(shown._cell(name)[1]), line
        healthy = [name for name, node in op.cluster.nodes.items() if node.display == "allocated"]
        assert sum(is_solid(shown._cell(name)[1]) for name in healthy) == len(shown.health.faults)


async def test_without_a_cursor_the_line_below_the_map_is_its_legend():
    async with console((200, 50)) as op:
        op.sees("! fault 1", "▲ check 2", "✖ down 1", "▃ allocated 54")
        await op.press("enter")
        op.sees_not("! fault 1")
        await op.press("m", "tab")
        op.sees("0 % ▁▂▂▃▄▄▅▆▆▇ 100 %")


@pytest.mark.slow
async def test_12000_nodes_fit_one_screen_and_a_rack_is_a_key_away():
    async with console((120, 40), **BIG) as op:
        shown = the_map(op)
        assert shown.shows_racks and len(shown._layout.places) == 750 and not shown.has_bar
        faulty = [rack for rack, one in shown.health.racks.items() if one.level == "bad"]
        assert shown.select(op.cluster.racks[faulty[0]][0]) and op.app.screen.targets("node") == ()
        await op.pilot.pause()
        op.sees(f" {faulty[0]}  ", "at fault")
        await op.press("enter")
        assert shown.zoomed == faulty[0] and shown.cursor_node in op.cluster.racks[faulty[0]]
        assert is_solid(shown._cell(shown.cursor_node)[1])
        assert op.app.screen.targets("node") == (shown.cursor_node,)
        op.sees("‹ whole machine", shown.cursor_node, "16 nodes", "Esc whole machine")
        await op.press("escape")
        assert shown.zoomed is None and shown.shows_racks and shown.chosen_rack == faulty[0]
        await op.until(lambda: len(shown._layout.lines) > 15, "the map has all the room again")
        assert len(shown._layout.places) == 750 and not shown.has_bar
        await op.press("z")
        assert shown.zoomed == faulty[0]
        await op.press("z")
        assert shown.zoomed is None


@pytest.mark.slow
async def test_the_zoom_by_mouse():
    async with console((120, 40), **BIG) as op:
        shown = the_map(op)
        rack = "R41"
        line, x = shown._layout.places[rack]
        await op.pilot.click(NodeMap, offset=(x, line), times=2)
        await op.until(lambda: shown.zoomed == rack, "the rack")
        await op.pilot.pause()
        await op.pilot.click(NodeMap, offset=(shown.size.width - 3, 0))
        await op.until(lambda: shown.zoomed is None, "the machine")
        await op.pilot.pause()
        await op.until(lambda: len(shown._layout.lines) > 15, "all the room")
        await op.pilot.click(NodeMap, offset=(x, line), times=2)
        await op.until(lambda: shown.zoomed == rack and "Esc whole machine" in op.screen(), "the rack")
        at = op.screen().splitlines()[-1].index("Esc whole")
        await op.pilot.click("#keys", offset=(at, 0))
        await op.until(lambda: shown.zoomed is None, "the machine")


@pytest.mark.slow
async def test_the_gpu_screen_opens_the_gpus_of_a_rack():
    async with console((120, 40), **BIG) as op:
        await op.press("4")
        shown = the_map(op)
        assert shown.shows_racks and shown.measure == "util" and len(shown._layout.places) == 750 and not shown.has_bar
        op.sees("fault", "racks")
        await op.press("enter", "right", "enter")
        assert op.app.screen.rack == "R02"
        await op.comes(" gpu00017 ")
        await op.press("escape")
        assert op.app.screen.rack is None and shown.chosen_rack == "R02"


@pytest.mark.slow
async def test_the_whole_machine_scrolls_on_80x24():
    async with console((80, 24), **BIG) as op:
        shown = the_map(op)
        assert shown.shows_racks and shown.has_bar and len(shown._layout.places) == 750
        await op.press("end")
        assert shown.chosen_rack == "R750" and shown.top > 0
