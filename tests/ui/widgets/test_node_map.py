"""The map of the machine: every node in its place, only what changed painted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from textual.geometry import Region

from collectors.model import Cluster, Load
from collectors.nodestate import DISPLAYS
from console.ingest.reduce import reduce
from console.triage.attention_list import AttentionLine
from console.triage.fault_map import map_health
from tests.support import make
from tests.support.widget_app import Bench, machine
from widgets.map_health import MapHealth, RackHealth
from widgets.map_layout import lay_out, lay_out_rack
from widgets.map_measures import (
    MEASURES,
    UNKNOWN_CELL,
    cell_function,
    fault_tile,
    figure_cell,
    heat_cell,
    power_top,
    state_cell,
    widened,
)
from widgets.node_map import NodeMap


def with_node(cluster: Cluster, name: str, state: str) -> Cluster:
    changed = make.node(name, state, rack=cluster.nodes[name].rack)
    return reduce(cluster, make.reading(nodes={**cluster.nodes, name: changed}))[0]


def attention(role: str, *nodes: str) -> AttentionLine:
    """A line of the attention list about these nodes."""
    return AttentionLine("!", role, "text", None, "", False, nodes)


async def test_the_map_shows_racks_and_paints_only_cells_that_changed() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(19, 4)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        cluster = machine()
        shown.set_cluster(cluster)
        await pilot.pause()
        assert app.lines[0].rstrip() == "R00 ▃▃▃▃▃▃▃▃" and app.lines[3].rstrip() == "R03 ▃▃▃▃▃▃▃▃"
        regions = app.watch_refreshes()
        shown.set_cluster(with_node(cluster, "gpu0205", "IDLE+DRAIN"))
        assert regions == [Region(9, 2, 1, 1)]
        assert app.lines[2].rstrip() == "R02 ▃▃▃▃▃▼▃▃"
        regions.clear()
        shown.set_cluster(with_node(cluster, "gpu0205", "IDLE+DRAIN"))
        assert regions == []


@pytest.mark.slow
async def test_walking_the_map() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(19, 4)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        shown.set_cluster(machine(racks=4))
        shown.focus()
        await pilot.press("right", "l", "down")
        assert shown.cursor_key == "gpu0102"
        await pilot.press("j", "left")
        assert shown.cursor_key == "gpu0201"
        regions = app.watch_refreshes()
        await pilot.press("right")
        assert sorted((region.x, region.width) for region in regions) == [(5, 1), (6, 1)]
        await pilot.press("end", "right", "enter")
        opened = app.last(NodeMap.Opened)
        assert isinstance(opened, NodeMap.Opened) and opened.key == "gpu0307"
        await pilot.press("home", "left", "up", "pagedown", "pageup")
        assert shown.cursor_key == "gpu0000"
        await pilot.press("end", "home", "right", "right", "right", "right", "right", "right", "right", "right")
        assert shown.cursor_key == "gpu0100"  # past the end of a line on to the next
        moved = app.last(NodeMap.Moved)
        assert isinstance(moved, NodeMap.Moved) and moved.key == "gpu0100"
        await pilot.click(NodeMap, offset=(6, 0), times=2)
        opened = app.last(NodeMap.Opened)
        assert isinstance(opened, NodeMap.Opened) and opened.key == "gpu0002"
        assert shown.select("gpu0303") and not shown.select("nothing")
        shown.set_cluster(make.cluster())
        assert shown.cursor_key is None
        await pilot.press("right", "down", "enter", "end")


async def test_measures_and_their_legends() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(19, 6)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        cluster = machine(states=("ALLOCATED", "DOWN", "IDLE+DRAIN", "ALLOCATED"))
        shown.set_cluster(cluster)
        shown.set_health(map_health(cluster, (), 0.0, 0.0))
        text = "".join(piece for piece, _ in shown.legend())
        assert text == "✖ down 8  ▼ drained 8  ▃ allocated 16  "
        shown.set_health(map_health(cluster, [attention("bad", "gpu0000"), attention("warn", "gpu0003")], 0.0, 0.0))
        text = "".join(piece for piece, _ in shown.legend())
        assert text == "! fault 1  ▲ check 1  ✖ down 8  ▼ drained 8  ▃ allocated 14  "
        cluster = machine()
        shown.set_cluster(cluster)
        shown.set_health(map_health(cluster, (), 0.0, 0.0))
        seen = {}
        for measure in MEASURES:
            shown.measure = measure
            await pilot.pause()
            seen[measure] = app.lines[0].rstrip()
        assert seen["util"] == "R00 ▁▂▂▃▄▄▅▆"
        assert seen["power"] == "R00 ········"
        shown.measure = "temp"
        assert "".join(piece for piece, _ in shown.legend()) == "30 °C ▁▂▂▃▄▄▅▆▆▇ 85 °C  ° over 85 °C  · unknown"
        shown.dimmed = True
        await pilot.pause()
        assert app.lines[0].startswith("R00")


def test_heat_is_held_to_its_scale_and_unknown_is_never_cold() -> None:
    assert heat_cell(None, 0, 100) == UNKNOWN_CELL == heat_cell(5, 1, 1)
    assert heat_cell(-5, 0, 100)[1] == "heat-0" and heat_cell(100, 0, 100)[1] == heat_cell(900, 0, 100)[1] == "heat-9"
    assert state_cell(None) == UNKNOWN_CELL
    assert len({state_cell(replace(make.node(), display=word)) for word in DISPLAYS}) == len(DISPLAYS)
    loads = {"a": Load(node="a", power_w=5210.0), "b": Load(node="b")}
    cluster = make.cluster(loads=loads)
    assert power_top(cluster) == 5500 and power_top(cluster, 6000.0) == 6000 and power_top(make.cluster()) == 0
    power = cell_function("power", cluster, MapHealth(), 5500, {})
    assert power("a")[1] == "heat-9"
    assert power("b") == power("c") == UNKNOWN_CELL


def test_figures_that_tremble_keep_their_cell() -> None:
    cell = heat_cell(42, 0, 100)
    assert [heat_cell(value, 0, 100, cell) == cell for value in (42, 49, 53, 54, 37, 36)] == [
        True,
        True,
        True,
        False,
        True,
        False,
    ]


@given(
    st.lists(st.integers(0, 40), max_size=12),
    st.integers(1, 100),
    st.integers(0, 30),
)
def test_every_node_has_one_place_inside_the_map(sizes: list[int], cells: int, page: int) -> None:
    racks = {f"R{at}": tuple(f"n{at}-{i}" for i in range(size)) for at, size in enumerate(sizes)}
    layout = lay_out(racks, cells, page)
    assert layout.tiles <= (len([nodes for nodes in racks.values() if nodes]) > 1)
    names = [name for rack, nodes in racks.items() for name in ([rack] if layout.tiles and nodes else nodes)]
    if layout.tiles:
        assert len(lay_out(racks, cells, 10_000).lines) > page, "nodes that fit are shown"
    assert sorted(layout.places) == sorted(names)
    assert len(set(layout.places.values())) == len(names)
    for name, (y, x) in layout.places.items():
        assert 0 <= x < cells and layout.key_at(y, x) == name == layout.nearest(y, x)
    for runs in layout.lines:
        assert runs, "no line is wasted"
        end = 0
        for run in runs:
            assert run.x >= end
            end = run.first + len(run.keys)


def test_racks_stand_in_columns_as_on_the_floor() -> None:
    racks = {f"R{at:02d}": tuple(f"n{at}-{i}" for i in range(32)) for at in range(8)}
    layout = lay_out(racks, 80, 4)
    assert [[run.label for run in runs] for runs in layout.lines] == [[f"R0{i}", f"R0{i + 4}"] for i in range(4)]
    assert lay_out({"": tuple("abcdef")}, 4, 9).lines[1][0].keys == ("e", "f")
    assert lay_out(racks, 0, 9).lines == ()


def test_nodes_grow_with_the_room_while_all_are_in_sight() -> None:
    racks = {f"R{at:02d}": tuple(f"n{at}-{i}" for i in range(10)) for at in range(8)}
    assert [lay_out(racks, cells, 8).scale for cells in (14, 24, 40, 66, 200)] == [1, 2, 3, 6, 6]
    assert [lay_out(racks, 66, page).scale for page in (8, 7, 4)] == [6, 2, 2]
    layout = lay_out(racks, 40, 8)
    assert [layout.key_at(0, x) for x in (3, 4, 6, 7)] == [None, "n0-0", "n0-0", "n0-1"]
    assert widened(("▇", "x"), 1) == ("▇", "x") and widened(("▇", "x"), 3) == ("▇▇▇", "x")
    assert widened(("▼", "x"), 3) == (" ▼ ", "x")


async def test_a_node_at_fault_is_solid_whatever_slurm_and_the_measure_say() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(19, 4)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        cluster = machine(
            states=("ALLOCATED", "DOWN", "ALLOCATED", "ALLOCATED", "IDLE+DRAIN", "IDLE+DRAIN", "IDLE", "UNKNOWN")
        )
        shown.set_cluster(cluster)
        await pilot.pause()
        assert app.lines[0].rstrip() == "R00 ▃✖▃▃▼▼▁?"
        found = [attention("bad", "gpu0000", "gpu0001", "gpu0005"), attention("warn", "gpu0000", "gpu0002", "gpu0004")]
        regions = app.watch_refreshes()
        shown.set_health(map_health(cluster, [*found, attention("text-dim", "gpu0003")], 0.0, 0.0))
        # A person has taken a drained node out: only a bad line lies over it.
        assert app.lines[0].rstrip() == "R00 !✖▲▃▼!▁?"
        assert regions == [Region(4, 0, 6, 1)]
        for measure in MEASURES:
            shown.measure = measure
            await pilot.pause()
            line = app.lines[0]
            assert (line[4], line[5], line[6], line[9], line[11]) == ("!", "✖", "▲", "!", "?"), measure
            (bad,) = {part.style for part in shown.render_line(0) if part.text.strip("R0 ")[:1] in {"!", "✖"}}
            assert bad == shown.role_styles("map-bad")
        regions.clear()
        shown.set_health(map_health(cluster, [*found], 0.0, 0.0))
        assert regions == []


async def test_a_fault_fills_its_cell_and_not_the_blank_beside_it() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(60, 4)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        shown.set_cluster(with_node(with_node(machine(), "gpu0001", "down"), "gpu0002", "down"))
        await pilot.pause()
        bad = shown.role_styles("map-bad")
        filled = [(part.text, part.style == bad) for part in shown.render_line(0)]
        assert [text for text, solid in filled if solid] == ["  ✖  ", "  ✖  "]
        assert all("✖" not in text for text, solid in filled if not solid)


def test_a_gpu_over_its_limit_is_a_fault_and_a_full_one_is_not() -> None:
    full = Load(node="a", gpu_util_pct=100.0, gpu_memory_pct=100.0, temp_c=85.0, power_w=5500.0)
    for measure in MEASURES[1:]:
        assert figure_cell(measure, full, 5500.0)[1] == "heat-9"
    assert figure_cell("temp", Load(node="a", temp_c=85.5), 0.0)[1] == "map-warn"


def test_750_racks_fit_one_screen_of_120x40() -> None:
    racks = {f"R{at:02d}": tuple(f"gpu{at * 16 + i:05d}" for i in range(16)) for at in range(1, 751)}
    for cells, page in ((80, 20), (72, 36), (133, 30)):  # the overview, the GPU screen, the overview at 200x50
        layout = lay_out(racks, cells, page)
        assert layout.tiles and len(layout.lines) <= page and len(layout.places) == 750
        assert layout.scale >= 2, "there is room for the number of faults"
    assert lay_out(racks, 44, 9).scale == 1  # 80x24: it scrolls
    few = dict(list(racks.items())[:40])
    assert lay_out(few, 44, 9).named and lay_out(few, 44, 9).tiles
    assert (lay_out(few, 44, 7).named, lay_out(few, 44, 7).scale) == (0, 5)
    zoomed = lay_out_rack(racks["R07"], 44, 9)
    assert zoomed.named and not zoomed.tiles and list(zoomed.places) == list(racks["R07"])
    assert not lay_out_rack(racks["R07"], 8, 9).named  # too narrow for names


def test_a_tile_tells_the_worst_state_and_the_number_as_far_as_there_is_room() -> None:
    down, xid = RackHealth("down", "bad", 3), RackHealth("allocated", "bad", 12, hidden=True)
    assert [fault_tile(down, wide, wide > 0)[0] for wide in (1, 2, 3, 4)] == ["3", " 3", "✖ 3", "✖  3"]
    assert [fault_tile(xid, wide, True)[0] for wide in (1, 2, 3, 4)] == ["+", "12", "!12", "! 12"]
    assert fault_tile(xid, 1, False)[0] == "!" and fault_tile(RackHealth("unknown", "warn", 1), 1, False)[0] == "?"
    assert fault_tile(RackHealth("allocated", "bad", 0, hidden=True), 3, True)[0] == " ! "  # the rack as a whole


async def test_from_the_racks_to_one_and_back() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(40, 6)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        cluster = with_node(with_node(machine(racks=40), "gpu0103", "down"), "gpu0105", "drained")
        shown.set_cluster(cluster)
        shown.set_health(map_health(cluster, (), 0.0, 0.0))
        shown.focus()
        await pilot.pause()
        assert shown.shows_racks and shown.cursor_node is None and app.lines[0].startswith("R00 ▃▃▃▃ ✖  1 ▃▃▃▃")
        assert "".join(text for text, _ in shown.legend()) == "3 fault 1 rack, 1 node  ▃ allocated 39  "
        await pilot.press("right", "right")
        assert (shown.chosen_rack, shown.chosen_key) == ("R02", None)
        await pilot.press("left", "enter")
        opened = app.last(NodeMap.RackOpened)
        assert isinstance(opened, NodeMap.RackOpened) and opened.rack == "R01"
        assert shown.zoom(opened.rack) and not shown.zoom(opened.rack) and not shown.zoom("no such rack")
        await pilot.pause()
        # The cursor goes to the node at fault.
        assert shown.chosen_key == "gpu0103" and not shown.shows_racks and shown.cursor_rack == "R01"
        assert app.lines[0].startswith("R01  8 nodes  1 fault") and app.lines[0].rstrip().endswith("‹ whole machine")
        assert " ✖  gpu0103" in "".join(app.lines)
        await pilot.press("right")
        assert shown.chosen_key == "gpu0104"
        await pilot.click(NodeMap, offset=(38, 0))
        assert isinstance(app.last(NodeMap.RackLeft), NodeMap.RackLeft)
        assert shown.zoom(None) and not shown.zoom(None)
        assert (shown.chosen_rack, shown.head) == ("R01", 0)
        await pilot.click(NodeMap, offset=(15, 0), times=2)
        opened = app.last(NodeMap.RackOpened)
        assert isinstance(opened, NodeMap.RackOpened) and opened.rack == "R02"
        assert shown.select("gpu0501") and shown.chosen_rack == "R05"
        shown.zoom("R05")
        shown.set_cluster(Cluster(name="lab"))  # the rack is gone
        assert shown.zoomed is None and shown.cursor_key is None


async def test_a_cursor_follows_its_node_to_a_map_of_racks_and_a_node_is_not_chosen_by_it() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(19, 40)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        shown.set_cluster(machine(racks=20))
        shown.focus()
        await pilot.pause()
        assert shown.select("gpu0703") and shown.chosen_key == "gpu0703"
        await pilot.resize_terminal(19, 5)
        assert shown.chosen_rack == "R07"
        await pilot.resize_terminal(19, 40)
        assert shown.cursor_key == "gpu0700" and shown.chosen_key is None


async def test_a_rack_that_is_ill_as_a_whole_is_marked() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(19, 6)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        shown.set_cluster(machine(racks=2))
        await pilot.pause()
        shown.set_health(MapHealth(ill_racks=frozenset({"R01"})))
        assert app.lines[1].startswith("R01!")
        assert app.lines[0].startswith("R00 ")
