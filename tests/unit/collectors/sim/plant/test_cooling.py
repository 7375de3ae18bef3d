"""The cooling loops of the simulated cluster, and the CDU that trips: water, chips, nodes, and back again."""

from __future__ import annotations

import pytest

from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.incidents import STARTS_S
from collectors.sim.machine import Machine
from collectors.sim.plant.cooling import SUPPLY_HIGH, exposition, read

MINUTE, HOUR = 60, 3600


class Watched:
    def __init__(self, nodes=128, **more):
        self.clock = ManualClock()
        self.machine = Machine(SimSettings(nodes=nodes, **more), self.clock)

    def wait(self, seconds):
        self.clock.advance(seconds)
        self.machine.advance()

    def water(self, loop="cdu-02"):
        rows = read(self.machine)
        return {what: rows[f"{loop}/{what}/"].value for what in ("supply", "return", "flow", "pressure")}


def test_every_rack_hangs_on_one_loop_and_its_water_follows_what_it_draws():
    watched = Watched(256)
    rows = read(watched.machine)
    racks = [rack for row in rows.values() if row.what == "supply" for rack in row.racks]
    assert sorted(racks) == sorted(watched.machine.site.racks) and len(set(racks)) == len(racks)
    water = watched.water()
    assert 27 < water["supply"] < 30 and 5 < water["return"] - water["supply"] < 13
    empty = Watched(256, jobs=0).water()
    assert empty["return"] - empty["supply"] < (water["return"] - water["supply"]) / 2
    assert not any(row.value for row in rows.values() if row.what == "leak"), "it is dry"
    assert sum(row.unknown for row in rows.values()) == 1, "one detector says nothing"


def test_the_exporter_says_the_same():
    machine = Watched(128).machine
    machine.site.loops["cdu-01"].wet.add("R01 tray")
    lines = dict(line.rsplit(" ", 1) for line in exposition(machine).splitlines() if not line.startswith("#"))
    for row in read(machine).values():
        if row.what == "supply":
            assert float(lines[f'cdu_supply_temperature_celsius{{cdu="{row.loop}"}}']) == row.value
    assert lines['redfish_leak_detector_state{cdu="cdu-01",rack="R01",detector="R01 tray"}'] == "1"
    assert lines['redfish_leak_detector_state{cdu="cdu-02",rack="R08",detector="R08 tray"}'] == "NaN"
    assert read(machine)["cdu-01/leak/R01"].wet == ("R01 tray",)


def test_a_trip_takes_flow_then_warmth_then_clocks_then_nodes_and_stays():
    watched = Watched(128, incident="cooling")
    machine = watched.machine
    watched.wait(STARTS_S + 1)
    hit = machine.incidents.affected
    assert len(hit) == 64 and {machine.host(name).rack for name in hit} == {"R05", "R06", "R07", "R08"}
    watched.wait(2 * MINUTE)
    water = watched.water()
    assert water["flow"] < 0.2 * machine.site.loops["cdu-02"].flow_lpm and water["supply"] < SUPPLY_HIGH
    assert {one.name for one in machine.alerts().values() if one.labels.get("cdu")} == {"CduFlowLow"}
    watched.wait(4 * MINUTE)
    warm = watched.water()
    assert warm["supply"] > SUPPLY_HIGH and warm["return"] > water["return"]
    assert read(machine)["cdu-02/supply/"].trend_h > 30
    gpus = [gpu for name in hit for gpu in machine.gpus(name) if gpu.temp_c is not None]
    slowed = [gpu for gpu in gpus if any("thermal" in word for word in gpu.throttle)]
    assert len(slowed) > 50 and any("HW thermal slowdown" in gpu.throttle for gpu in slowed)
    assert max(gpu.temp_c for gpu in gpus) <= 98
    assert sum(one.name == "GpuHot" for one in machine.alerts().values()) > 16
    before = sum(machine.nodes()[name].state == "DOWN" for name in hit)
    watched.wait(15 * MINUTE)
    down = [name for name in hit if machine.nodes()[name].state == "DOWN"]
    assert before < 5 and len(down) > 40
    well = [node for name, node in machine.nodes().items() if name not in hit]
    assert sum(node.state == "DOWN" for node in well) < 5, "the other loop is cold"
    watched.wait(3 * HOUR)
    assert len([name for name in down if machine.nodes()[name].state == "DOWN"]) == len(down), "nobody mends it yet"


def test_the_pump_runs_again_and_all_comes_back():
    watched = Watched(128, incident="cooling")
    machine = watched.machine
    watched.wait(STARTS_S + 25 * MINUTE)
    machine.incidents.cooling_trip.repair()
    watched.wait(10 * MINUTE)
    water = watched.water()
    assert water["flow"] == machine.site.loops["cdu-02"].flow_lpm and water["supply"] < SUPPLY_HIGH
    watched.wait(90 * MINUTE)
    assert not [one for one in machine.alerts().values() if one.labels.get("cdu")]
    trouble = [machine.host(name).failure for name in machine.incidents.affected]
    assert not [one for one in trouble if one is not None and one.kind == "heat"]
    assert watched.water()["supply"] < 29


def test_a_node_without_work_lives():
    watched = Watched(128, incident="cooling", jobs=0)
    watched.wait(STARTS_S + HOUR)
    down = [name for name in watched.machine.incidents.affected if watched.machine.host(name).failure is not None
            and watched.machine.host(name).failure.kind == "heat"]  # fmt: skip
    assert len(down) < 8


def test_charts_show_that_it_was_cool_before():
    watched = Watched(128, incident="cooling")
    watched.wait(STARTS_S + 8 * MINUTE)
    loads = watched.machine.loads()
    name = max((loads[one].temp_c or 0, one) for one in watched.machine.incidents.affected if one in loads)[1]
    series = next(one for one in watched.machine.history(name, HOUR) if one.name == "temperature")
    known = [value for _, value in series.points if value is not None]
    assert known[-1] > max(known[:60]) + 5


@pytest.mark.parametrize("nodes", [1, 17, 1000])
def test_any_machine_has_loops(nodes):
    machine = Watched(nodes).machine
    assert {host.loop.name for host in machine.site.hosts} == {row.loop for row in read(machine).values()}
