"""Alerts folded by cooling loop: those of a loop, of its racks and of its nodes are one line, and no other's."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import Coolant
from console.alerts.groups import alert_groups
from console.health.failure_domains import place_of_alert
from console.plant.loop_folds import is_about_heat, may_follow_heat
from tests.support.machine_room import HOUR, MINUTE, alert, rack, site
from tests.support.make import NOW

FED = {"cdu-2": ("R04", "R05", "R06", "R07"), "cdu-3": ("R08", "R09")}


def room(*alerts, supply=30.0, loops=FED):
    """Six racks of four nodes, gpu0001 to gpu0024: four on cdu-2, two on cdu-3."""
    nodes = [one for at in range(6) for one in rack(rack=4 + at, size=4, first=1 + 4 * at)]
    made = site(*nodes, alerts=alerts)
    rows = [Coolant(loop=loop, what="supply", value=supply if loop == "cdu-2" else 30.0, high=34.0, racks=racks)
            for loop, racks in loops.items()]  # fmt: skip
    return msgspec.structs.replace(made, cooling={row.key: row for row in rows}, known=made.known | {"cooling"})


def hot(*numbers, name="GpuHot", ago=5 * MINUTE):
    return [alert(name, "warning", about=f"gpu{n:04d}", ago=ago + n) for n in numbers]


def racks(*names, name="RackInletHot", ago=5 * MINUTE):
    return [alert(name, "warning", ago=ago, rack=one) for one in names]


def own(name="CduFlowLow", ago=8 * MINUTE, **labels):
    return alert(name, ago=ago, **(labels or {"cdu": "cdu-2"}))


ALL = range(1, 17)
CASES = {
    "the loop itself": ([own()], {"cdu-2: CduFlowLow"}),
    "by whatever label": ([own(circuit="cdu-2")], {"cdu-2: CduFlowLow"}),
    "by its address": ([alert("TargetHot", about="cdu-2:9100")], {"cdu-2: TargetHot"}),
    "its nodes alone": (hot(*ALL), {"cdu-2: GpuHot"}),
    "half of its nodes, here and there": (hot(*range(1, 17, 2)), {"cdu-2: GpuHot"}),
    "the loop and its nodes": ([own(), *hot(*ALL)], {"cdu-2: CduFlowLow"}),
    "the loop and one node": ([own(), *hot(3)], {"cdu-2: CduFlowLow"}),
    "the loop and its racks": ([own(), *racks("R04", "R06")], {"cdu-2: CduFlowLow"}),
    "its racks alone": (racks("R04", "R05", "R06"), {"cdu-2: RackInletHot"}),
    "hot, then down": ([*hot(*ALL), *hot(*range(1, 9), name="NodeDown", ago=0)], {"cdu-2: GpuHot"}),
    "down after the loop": ([own(), *hot(*ALL, name="NodeDown", ago=0)], {"cdu-2: CduFlowLow"}),
    # Never what has nothing to do with it.
    "one rack of four": (hot(*range(1, 5)), {"R04: GpuHot"}),
    "two racks of four": (racks("R04", "R05"), {"R04: RackInletHot", "R05: RackInletHot"}),
    "racks of two loops": (racks("R07", "R08"), {"R07: RackInletHot", "R08: RackInletHot"}),
    "racks hours apart": ([*racks("R04", "R05"), *racks("R06", ago=5 * HOUR)],
                          {"R04: RackInletHot", "R05: RackInletHot", "R06: RackInletHot"}),
    "nodes down with no word of heat": (hot(1, 5, 9, 13, name="NodeDown"), {"NodeDown on 4 nodes"}),
    "an XID on it": ([own(), alert("GpuXid", about="gpu0003", ago=MINUTE, xid="79")],
                     {"cdu-2: CduFlowLow", "XID 79 on gpu0003"}),
    "a PDU in one of its racks": ([own(), alert("PduPowerLost", ago=MINUTE, rack="R05", pdu="R05-pdu-a")],
                                  {"cdu-2: CduFlowLow", "R05-pdu-a: PduPowerLost"}),
    "its rack's power": ([own(), *racks("R05", name="RackPowerHigh")], {"cdu-2: CduFlowLow", "R05: RackPowerHigh"}),
    "links on it": ([own(), *hot(1, 2, 3, 4, name="IbLinkDown")], {"cdu-2: CduFlowLow", "leaf-R04: IbLinkDown"}),
    "a memory leak on it": ([own(), *hot(1, 5, 9, name="MemoryLeak")], {"cdu-2: CduFlowLow", "MemoryLeak on 3 nodes"}),
    "a rack of the other loop": ([own(), *racks("R08", name="RackInletHot")],
                                 {"cdu-2: CduFlowLow", "R08: RackInletHot"}),
    "what was hot long before": ([own(), *hot(1, ago=3 * HOUR)], {"cdu-2: CduFlowLow", "GpuHot on gpu0001"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_folds_into_a_loop_and_what_does_not(case):
    alerts, titles = CASES[case]
    found = alert_groups(room(*alerts), NOW)
    assert {one.title for one in found} == titles
    assert sorted(one for group in found for one in group.alerts) == sorted(one.id for one in alerts)


def test_the_line_tells_what_the_water_is_and_how_many_are_hot():
    (found,) = alert_groups(room(own(), *hot(*range(1, 13)), supply=38.1), NOW)
    assert (found.key, found.title) == ("cdu=cdu-2", "cdu-2: supply 38.1 °C, 12 nodes hot")
    assert (len(found.nodes), found.place_size) == (16, 16)
    (bare,) = alert_groups(room(*hot(*ALL), supply=38.1), NOW)
    assert bare.title == "cdu-2: supply 38.1 °C, 16 nodes hot" and bare.key == found.key


def test_the_size_of_a_loop_is_that_of_all_its_racks():
    (found,) = alert_groups(room(own(), *hot(1, 2, 3)), NOW)
    assert found.place_size == 16
    (few,) = [one for one in alert_groups(room(*hot(1, 2, 5, 6, 9, 10)), NOW) if one.place == ("cdu", "cdu-2")]
    assert (few.place_size, len(few.nodes)) == (16, 6)


def test_without_loops_nothing_of_it_is_there():
    found = alert_groups(room(*hot(*ALL), *racks("R04", "R05", "R06"), loops={}), NOW)
    assert not any(one.place is not None and one.place[0] == "cdu" for one in found)
    assert place_of_alert(alert("X", circuit="cdu-2"), room(loops={})) is None


def test_a_number_is_no_name_of_a_loop():
    cluster = room(loops={"2": ("R04",)})
    assert place_of_alert(alert("X", gpu="2"), cluster) is None
    assert place_of_alert(alert("X", cdu="2"), cluster) == ("cdu", "2")


@pytest.mark.parametrize(
    ("name", "heat", "after"),
    [
        ("GpuHot", True, True), ("RackInletTemperatureHigh", True, True), ("CDU_LEAK", True, True),
        ("gpu_temp_high", True, True), ("NodeDown", False, True), ("HwThermalSlowdown", True, True),
        ("GPUThrottled", False, True), ("MemoryLeak", False, False), ("IBLinkDown", False, False),
        ("PSUOverTemp", False, False), ("GpuXid", False, False), ("Attempts", False, False), ("", False, False),
    ],
)  # fmt: skip
def test_names_that_speak_of_heat(name, heat, after):
    assert (is_about_heat(name), may_follow_heat(name)) == (heat, after)
