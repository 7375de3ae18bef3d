"""Cooling loops: how each fares, what hangs on it, what needs a person, and what may go back on a warm loop."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import Coolant, Load, Source
from console.filters.language import compile_filter
from console.plant import cooling
from console.preflight import plant_checks
from console.recording.row_codec import pack_rows, unpack_rows
from console.tables.cooling_columns import leak as leak_cell
from console.tables.cooling_columns import node_cooling_lines
from console.triage import attention_cooling
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.machine_room import HOUR, MINUTE, alert, down, rack, site
from tests.support.make import NOW

RACKS = ("R05", "R06")
LIMITS = {"supply": {"high": 34.0}, "return": {"high": 50.0}, "flow": {"low": 300.0}}


def point(what="supply", value=30.0, loop="cdu-2", at="", racks=RACKS, **more):
    given = LIMITS.get(what, {}) | {"sampled_at": int(NOW - 5)} | more
    return Coolant(loop=loop, what=what, at=at, value=value, racks=racks, **given)


def leaks(value=0.0, loop="cdu-2", at="R05", racks=RACKS, **more):
    return Coolant(loop=loop, what="leak", at=at, value=value, racks=racks, **({"detectors": 4} | more))


def room(*rows, ago=0.0, ok=True, broken=(), alerts=(), **facts):
    """Two racks of eight nodes on cdu-2, one on none, with these points; cooling was read so long ago."""
    made = site(
        *rack(broken, rack=5, size=8), *rack(broken, rack=6, size=8, first=9), *rack(rack=7, size=8, first=17),
        alerts=alerts, **facts,
    )  # fmt: skip
    source = Source(name="prom.cooling", ok=ok, tried=True, read_mono=1000.0 - ago, due_s=15.0)
    other = Source(name="slurm.nodes", ok=True, tried=True, read_mono=1000.0, due_s=15.0)
    return msgspec.structs.replace(
        made, cooling={row.key: row for row in rows}, known=made.known | {"cooling"},
        sources={source.name: source, other.name: other},
    )  # fmt: skip


def one(*rows, **facts):
    (found,) = cooling.loops(room(*rows, **facts)).values()
    return found


def said(cluster, **more):
    return [each.text for each in attention_lines(cluster, NOW, mono=1000.0, **more)]


# -- how a loop fares ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "state", "text"),
    [
        ([point(value=32.8)], "ok", "supply 32.8 °C, 1.2 below its limit"),
        ([point("return", 48.8)], "ok", "return 48.8 °C, 1.2 below its limit"),
        ([point(value=32.8, trend_h=12.0)], "ok", "supply 32.8 °C, 1.2 below its limit, there in 6m"),
        ([point(value=32.8, trend_h=0.5)], "ok", "supply 32.8 °C, 1.2 below its limit"),
        ([point(value=34.0)], "ok", "supply 34.0 °C, 0.0 below its limit"),
        ([point(value=36.1, trend_h=31.0)], "warm", "supply 36.1 °C, 2.1 above its limit, +31 °C/h"),
        ([point("return", 51.0), point(value=30.0)], "warm", "return 51.0 °C, 1.0 above its limit"),
        ([point("flow", 62.0), point(value=36.1)], "low flow", "flow 62 l/min, 238 below its limit, supply 36.1 °C"),
        ([point("pressure", 4.1, high=3.5)], "pressure", "pressure 4.1 bar, 0.6 above its limit"),
        ([point("pressure", 0.4, low=1.0)], "pressure", "pressure 0.4 bar, 0.6 below its limit"),
        ([leaks(1.0), point("flow", 9.0)], "leak", "1 detector wet: R05"),
        ([leaks(2.0, wet=("R05 tray", "R05 hose"))], "leak", "2 detectors wet: R05 tray, R05 hose"),
        ([leaks(0.0)], "ok", "4 detectors dry"),
        ([leaks(None)], "silent", "leak not known"),
        ([point(value=None), point("flow", 500.0)], "silent", "supply not known"),
        ([point(value=None), point("flow", 100.0)], "low flow", "flow 100 l/min, 200 below its limit"),
        ([point(value=30.0, high=None)], "no limits", "no limit is configured"),
    ],
)
def test_the_worst_makes_the_state(rows, state, text):
    found = one(*rows)
    assert (found.state, found.text) == (state, text)


def test_a_detector_that_says_nothing_is_never_dry():
    assert leak_cell(one(leaks(0.0, unknown=1))) == ("3 dry, 1 ?", "warn")
    assert leak_cell(one(leaks(None, unknown=4))) == ("4 ?", "warn")
    assert leak_cell(one(leaks(1.0, unknown=3))) == ("1 wet", "bad")
    assert leak_cell(one(point())) == ("—", "text-dim"), "no detector at all is no dry one"


def test_of_several_points_the_nearest_to_its_limit_stands_for_all():
    found = one(point(at="east", value=29.0), point(at="west", value=33.5), point("return", 40.0))
    assert found.supply.at == "west" and found.delta_c == pytest.approx(6.5)
    assert found.text == "supply 33.5 °C, 0.5 below its limit"


def test_what_hangs_on_a_loop_is_known_by_its_racks():
    jobs = [make.job("1", nodes="gpu[0001-0002]"), make.job("2", nodes="gpu0016"), make.job("3", nodes="gpu0020")]
    loads = [Load(node=f"gpu{n:04d}", power_w=5000.0, sampled_at=int(NOW)) for n in range(1, 17)]
    found = one(point(), jobs=jobs, loads=loads)
    assert (len(found.nodes), found.jobs, found.power_w) == (16, ("1", "2"), 80_000.0)
    assert cooling.impact_text(found) == "R[05-06], 16 nodes, 2 jobs"
    assert one(point(), jobs=jobs).power_w is None, "not measured is no nought"
    assert one(point()).jobs is None, "never read is not none"
    assert cooling.impact_text(one(point(racks=()))) == "no rack is known to hang on it"


def test_a_detector_of_a_rack_or_of_a_node_is_of_the_loop_that_feeds_it():
    node = Coolant(loop="", what="leak", at="gpu0009", value=1.0, detectors=1)
    other = Coolant(loop="", what="leak", at="R06", value=0.0, detectors=2, racks=("R06",))
    stray = Coolant(loop="", what="leak", at="R07", value=0.0, detectors=2, racks=("R07",))
    found = cooling.loops(room(point(), node, other, stray))
    assert set(found) == {"cdu-2", cooling.UNNAMED_LOOP}
    assert (found["cdu-2"].state, found["cdu-2"].wet, found["cdu-2"].detectors) == ("leak", 1, 3)
    assert found[cooling.UNNAMED_LOOP].racks == ("R07",) and len(found[cooling.UNNAMED_LOOP].nodes) == 8


def test_the_worst_stand_first():
    rows = [point(loop="a"), point(loop="b", value=36.0), leaks(1.0, loop="c"), point(loop="d", value=None)]
    assert [each.name for each in cooling.worst_first(room(*rows))] == ["c", "b", "d", "a"]


def test_nodes_are_filtered_by_their_loop():
    cluster = room(point(), point(loop="cdu 3", racks=("R07",)))
    rows = cluster.nodes.values()
    for text, number in (("loop=cdu-2", 16), ('loop="cdu 3"', 8), ("cdu=cdu-2 & rack=R05", 8), ("loop=cdu-9", 0)):
        chosen = compile_filter(text, "node")
        assert sum(chosen.matches(row, cluster, NOW) for row in rows) == number, text


# -- what needs a person ---------------------------------------------------------------------------------------------


def test_a_leak_is_the_first_of_all():
    ring = alert("PduPowerLost", ago=MINUTE, pdu="R07-pdu-b", summary="R07-pdu-b lost its input")
    old = alert("CoolantLeak", ago=HOUR, cdu="cdu-2")
    found = said(room(point(), leaks(1.0, wet=("R05 tray",)), alerts=[ring, old]))
    assert found[0] == ("cdu-2 leak: 1 detector wet: R05 tray; R[05-06], 16 nodes: "
                        "send somebody now, be ready to cut its power")  # fmt: skip
    assert "PduPowerLost" in found[1]


def test_one_line_speaks_for_the_loop_its_alerts_and_the_nodes_that_went_down_on_it():
    broken = [down(n, ago=5 * MINUTE, rack=5 + n // 9) for n in range(1, 10)]
    alerts = [alert("CduFlowLow", ago=20 * MINUTE, cdu="cdu-2"), alert("RackInletHot", rack="R05")]
    alerts += [alert("GpuHot", "warning", about=f"gpu{n:04d}", ago=9 * MINUTE) for n in range(1, 17)]
    cluster = room(point("flow", 50.0), broken=broken, alerts=alerts, jobs=[make.job("1", nodes="gpu0012")])
    found = attention_lines(cluster, NOW, mono=1000.0)
    assert [each.text for each in found] == [
        "cdu-2 low flow: flow 50 l/min, 250 below its limit; R[05-06], 16 nodes, 1 job (9 down): "
        "stop what runs there and call facilities: GPUs overheat within minutes"
    ]
    assert (found[0].opens, found[0].since, found[0].role) == ('loop="cdu-2"', int(NOW - 20 * MINUTE), "bad")


def test_a_loop_that_only_its_alert_calls_ill_explains_what_goes_down_on_it():
    broken = [down(n, ago=5 * MINUTE, rack=5 + n // 9) for n in (1, 2, 3, 9, 10, 11)]
    trip = alert("CduTripped", ago=9 * MINUTE, cdu="cdu-2", summary="its pump stopped")
    assert said(room(point(high=None), broken=broken, alerts=[trip])) == ["cdu-2: 6 of 16 nodes down: its pump stopped"]
    assert not any(one.startswith("cdu-2") for one in said(room(point(), broken=broken))), "the loop is well"


def test_what_has_nothing_to_do_with_the_water_keeps_its_own_line():
    lost = alert("GpuXid", about="gpu0002", ago=MINUTE, xid="79", summary="gpu0002 XID 79")
    gpu = "NHC: check_gpu GPU 3 is off the bus"
    broken = [down(3, ago=5 * HOUR, rack=5), down(5, ago=MINUTE, reason=gpu, rack=5)]
    found = said(room(point(value=36.0), broken=broken, alerts=[lost]))
    assert len(found) == 4 and found[0].startswith("cdu-2 warm: supply 36.0 °C, 2.0 above its limit")
    assert "down)" not in found[0]


def test_a_silent_loop_is_told_as_unknown_and_a_loop_that_is_well_is_not_told():
    rows = [point(value=None, sampled_at=int(NOW - 12 * MINUTE)), point(loop="cdu-3", racks=("R07",))]
    (found,) = attention_lines(room(*rows), NOW, mono=1000.0)
    assert found.text == "cdu-2 silent: supply not known; R[05-06], 16 nodes: look at the CDU itself"
    assert (found.since, found.role) == (int(NOW - 12 * MINUTE), "warn")


@pytest.mark.parametrize("stale", [{"ago": 300.0}, {"ok": False}])
def test_old_facts_accuse_nobody_but_water_stays_water(stale):
    assert said(room(point(value=40.0), **stale)) == []
    (found,) = said(room(leaks(1.0), **stale))
    assert found.startswith("cdu-2 leak when last read: ")


def test_many_loops_in_one_state_are_one_line():
    rows = [point(loop=f"cdu-{n}", value=36.0, racks=(f"R{n:02d}",)) for n in range(4, 9)]
    (found,) = said(room(*rows))
    assert found == ("5 cooling loops warm: cdu-4, cdu-5, cdu-6, cdu-7, …; 24 nodes: "
                     "let no new work start there and call facilities")  # fmt: skip


def test_nobody_stops_what_does_not_run():
    assert attention_cooling.loop_items(room(point("flow", 5.0), jobs=[]), NOW, 1000.0, [])[0].text.endswith(
        "let no new work start there and call facilities"
    )


def test_a_row_that_comes_later_is_recorded_as_it_is():
    first, later = leaks(0.0), leaks(1.0, at="R06", unknown=2, wet=("R06 tray",))
    old, new = {first.key: first}, {first.key: first, later.key: later}
    assert unpack_rows("cooling", pack_rows("cooling", old, new, [later.key]), old)[0] == new


# -- what may go back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "level", "told"),
    [
        ([point(value=36.0)], "bad", "cdu-2 warm, supply 36.0 °C"),
        ([leaks(1.0)], "bad", "cdu-2 leak, 1 detector wet"),
        ([point("flow", 10.0)], "bad", "cdu-2 low flow"),
        ([point(value=None)], "unknown", "of cdu-2 supply not known"),
        ([point()], "ok", "cooling ok (cdu-2)"),
    ],
)
def test_a_node_on_a_loop_that_is_not_well_does_not_go_back(rows, level, told):
    cluster, found = room(*rows), []
    plant_checks.check_cooling(cluster.nodes["gpu0001"], cluster, NOW, found)
    assert [(check.target, check.level) for check in found] == [("gpu0001", level)] and told in found[0].text
    found.clear()
    plant_checks.check_cooling(cluster.nodes["gpu0020"], cluster, NOW, found)
    assert found == [], "it hangs on no loop"


def test_what_a_sensor_measures_is_no_other_trouble_and_another_loop_is():
    def troubles(*rows):
        cluster, found = room(*rows), []
        plant_checks.check_cooling(cluster.nodes["gpu0001"], cluster, NOW, found)
        return [check.identity for check in found], [check.text for check in found]

    (low, words), (lower, others) = troubles(point("flow", 10.0)), troubles(point("flow", 9.0))
    assert low == lower == [("gpu0001", "cooling", ("cdu-2", "low flow"))] and words != others
    assert troubles(point(value=36.0))[0] != low


def test_the_nodes_own_screen_tells_of_a_loop_that_is_not_well():
    (line,) = node_cooling_lines("gpu0001", room(point(value=36.0)), NOW)
    assert "".join(text for text, _ in line.spans) == "cooling        cdu-2 warm: supply 36.0 °C, 2.0 above its limit"
    (old,) = node_cooling_lines("gpu0001", room(point(value=36.0), ok=False), NOW)
    assert "cdu-2 warm when last read: " in "".join(text for text, _ in old.spans)
    assert (
        node_cooling_lines("gpu0001", room(point()), NOW)
        == []
        == node_cooling_lines("gpu0020", room(point(value=36.0)), NOW)
    )


def test_old_facts_refuse_nobody():
    cluster, found = room(point(value=36.0), ok=False), []
    plant_checks.check_cooling(cluster.nodes["gpu0001"], cluster, NOW, found)
    assert [check.level for check in found] == ["unknown"]
