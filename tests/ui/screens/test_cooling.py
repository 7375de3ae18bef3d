"""The Cooling screen and its place on the Power screen: there where there are loops, no hole where there are none."""

from __future__ import annotations

import msgspec
import pytest

from collectors.sim.incidents import STARTS_S
from console.app.screen_factory import make
from console.screens.plant.cooling import NOT_CONFIGURED
from tests.support.operator import console

MINUTE = 60


TRIPS = {"nodes": 128, "incident": "cooling"}


async def later(op, seconds):
    op.app.clock.advance(seconds)
    await op.look_again()
    await op.until(lambda: op.cluster.cooling["cdu-02/flow/"].value < 100, "the trip")
    await op.pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_a_key_shows_the_loops_and_enter_their_nodes(size):
    async with console(size, **TRIPS) as op:
        await op.until(lambda: "cooling" in op.cluster.known, "cooling")
        await op.press("c")
        await op.until(lambda: op.app.screen.crumb == "cooling", "the screen")
        op.sees("Cooling", "2 loops", "cdu-01", "cdu-02", "● ok")
        await later(op, STARTS_S + 6 * MINUTE)
        assert list(op.app.screen.table.keys) == ["cdu-02", "cdu-01"], "the worst is first"
        op.app.screen.table.select("cdu-02")
        await op.pilot.pause()
        op.sees("1 ill", "✖ low flow", "flow 54 l/min, 269 below its limit", "R[05-08], 64 nodes", "flow at least 323")
        await op.press("enter")
        await op.until(lambda: op.app.screen.crumb == "nodes", "the nodes")
        assert op.list.filter_text == 'loop="cdu-02"' and len(op.list.table.keys) == 64


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_the_power_screen_has_them_too(size):
    async with console(size, **TRIPS) as op:
        await op.until(lambda: "cooling" in op.cluster.known, "cooling")
        await op.press("5")
        op.sees("Cooling", "2 of 2")
        await later(op, STARTS_S + 6 * MINUTE)
        op.sees("✖ cdu-02", "flow 54 l/min", "1 of 2")


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_without_cooling_the_power_screen_has_no_hole_and_its_own_says_why(size):
    async with console(size) as op:
        await op.press("5")
        await op.until(lambda: op.app.screen.crumb == "power", "power")
        op.app.session.poller.stop()
        bare = {name: one for name, one in op.cluster.sources.items() if name != "prom.cooling"}
        cluster = msgspec.structs.replace(op.cluster, cooling={}, sources=bare, known=op.cluster.known - {"cooling"})
        op.app.screen.update_cluster(cluster, None)
        await op.pilot.pause()
        assert "Cooling" not in op.screen() and not op.app.screen.loops.display and not op.app.screen.loops_line.display
        shown = make("cooling")
        await op.app.push_screen(shown)
        shown.update_cluster(cluster, None)
        await op.pilot.pause()
        op.sees(NOT_CONFIGURED[:60])


@pytest.mark.parametrize(("size", "beside"), [((119, 40), False), ((120, 40), True), ((200, 50), True)])
async def test_with_room_the_details_are_beside_the_list_and_have_the_water_and_the_racks(size, beside):
    async with console(size, **TRIPS) as op:
        await op.until(lambda: "cooling" in op.cluster.known, "cooling")
        await op.press("c")
        await later(op, STARTS_S + 6 * MINUTE)
        screen = op.app.screen
        assert (screen.detail.region.x > screen.table.region.x) == beside
        assert screen.table.select("cdu-02")
        await op.pilot.pause()
        assert ("R05         16" in op.screen()) == ("hottest" in op.screen()) == beside
        await op.press("down")
        op.sees("─ cdu-01 ─")
