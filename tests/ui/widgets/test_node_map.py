"""The map of the machine: every node in its place, only what changed painted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from textual.geometry import Region

from collectors.model import Cluster, Load
from collectors.nodestate import DISPLAYS
from console.ingest.reduce import reduce
from tests.support import make
from tests.support.widget_app import Bench, machine
from widgets.map_layout import lay_out
from widgets.map_measures import MEASURES, UNKNOWN_CELL, cell_function, heat_cell, power_top, state_cell, widened
from widgets.node_map import NodeMap


def with_node(cluster: Cluster, name: str, state: str) -> Cluster:
    changed = make.node(name, state, rack=cluster.nodes[name].rack)
    return reduce(cluster, make.reading(nodes={**cluster.nodes, name: changed}))[0]


async def test_the_map_shows_racks_and_paints_only_cells_that_changed() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(20, 4)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        cluster = machine()
        shown.set_cluster(cluster)
        await pilot.pause()
        assert app.lines[0].rstrip() == "R00 ▇▇▇▇▇▇▇▇" and app.lines[3].rstrip() == "R03 ▇▇▇▇▇▇▇▇"
        regions = app.watch_refreshes()
        shown.set_cluster(with_node(cluster, "gpu0205", "IDLE+DRAIN"))
        assert regions == [Region(9, 2, 1, 1)]
        assert app.lines[2].rstrip() == "R02 ▇▇▇▇▇▼▇▇"
        regions.clear()
        shown.set_cluster(with_node(cluster, "gpu0205", "IDLE+DRAIN"))
        assert regions == []


async def test_walking_the_map() -> None:
    app = Bench(NodeMap())
    async with app.run_test(size=(20, 2)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        shown.set_cluster(machine(racks=4))
        shown.focus()
        await pilot.press("right", "l", "down")
        assert shown.cursor_key == "gpu0102"
        await pilot.press("j", "left")  # past the page: it scrolls
        assert shown.cursor_key == "gpu0201" and app.lines[1].startswith("R02")
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
    async with app.run_test(size=(20, 6)) as pilot:
        shown = app.widget
        assert isinstance(shown, NodeMap)
        shown.set_cluster(machine(states=("ALLOCATED", "DOWN")))
        text = "".join(piece for piece, _ in shown.legend())
        assert text == "▇ allocated 16  ✖ down 16  "
        seen = {}
        for measure in MEASURES:
            shown.measure = measure
            await pilot.pause()
            seen[measure] = app.lines[0].rstrip()
        assert seen["util"] == "R00 ▁▂▂▃▄▄▅▆"
        assert seen["power"] == "R00 ········"
        shown.measure = "temp"
        assert "".join(piece for piece, _ in shown.legend()) == "30 °C ▁▂▂▃▄▄▅▆▆▇ 90 °C  · unknown"
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
    assert cell_function("power", cluster, 5500, {})("a")[1] == "heat-9"
    assert (
        cell_function("power", cluster, 5500, {})("b") == cell_function("power", cluster, 5500, {})("c") == UNKNOWN_CELL
    )


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
    names = [name for nodes in racks.values() for name in nodes]
    assert sorted(layout.places) == sorted(names)
    assert len(set(layout.places.values())) == len(names)
    for name, (y, x) in layout.places.items():
        assert 0 <= x < cells and layout.node_at(y, x) == name == layout.nearest(y, x)
    for runs in layout.lines:
        assert runs, "no line is wasted"
        end = 0
        for run in runs:
            assert run.x >= end
            end = run.first + len(run.nodes)


def test_racks_stand_in_columns_as_on_the_floor() -> None:
    racks = {f"R{at:02d}": tuple(f"n{at}-{i}" for i in range(32)) for at in range(8)}
    layout = lay_out(racks, 80, 4)
    assert [[run.label for run in runs] for runs in layout.lines] == [[f"R0{i}", f"R0{i + 4}"] for i in range(4)]
    assert lay_out({"": tuple("abcdef")}, 4, 9).lines[1][0].nodes == ("e", "f")
    assert lay_out(racks, 0, 9).lines == ()


def test_nodes_grow_with_the_room_while_all_are_in_sight() -> None:
    racks = {f"R{at:02d}": tuple(f"n{at}-{i}" for i in range(10)) for at in range(8)}
    assert [lay_out(racks, cells, 8).scale for cells in (14, 24, 40, 66, 200)] == [1, 2, 3, 6, 6]
    assert [lay_out(racks, 66, page).scale for page in (8, 7, 4, 2)] == [6, 2, 2, 1]
    layout = lay_out(racks, 40, 8)
    assert [layout.node_at(0, x) for x in (3, 4, 6, 7)] == [None, "n0-0", "n0-0", "n0-1"]
    assert widened(("▇", "x"), 1) == ("▇", "x") and widened(("▇", "x"), 4) == ("▇▇▇ ", "x")
    assert widened(("▼", "x"), 4) == (" ▼  ", "x")
