"""XIDs beyond the gauge: what one reading after another, and the past, tell of them."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from collectors.model import Xid
from collectors.prometheus.sources import Loads
from collectors.prometheus.xids import BATCH, DAY, MONTH, XidMemory, last_of_node, step_of
from tests.support.make import NOW
from tests.support.prometheus_server import StandIn, gpu, machine

ONE = ("gpu1", 0, "u1")
TWO = ("gpu2", 3, "u2")


def rows(memory: XidMemory, at: float = NOW):
    return {key: (row.first_at, row.last_at, row.count) for key, row in memory.rows(at).items()}


def watched(*gauges: dict, step: int = 15) -> tuple[XidMemory, int]:
    memory, at = XidMemory(), NOW
    for gauge in gauges:
        memory.see(gauge, at)
        at += step
    return memory, at - step


def test_one_that_comes_while_watched_is_seen_to_come():
    memory, at = watched({}, {ONE: 79})
    assert rows(memory) == {"gpu1/0/79": (at, at, 1)}
    assert memory.wanted() == ((ONE,), DAY)


def test_one_that_changes_keeps_both_codes():
    memory, _ = watched({}, {ONE: 31}, {ONE: 94}, {ONE: 94})
    assert rows(memory) == {"gpu1/0/31": (NOW + 15, NOW + 15, 1), "gpu1/0/94": (NOW + 30, NOW + 30, 1)}


def test_one_that_was_there_at_the_start_has_no_time_until_the_past_tells():
    memory, _ = watched({ONE: 79})
    assert rows(memory) == {"gpu1/0/79": (None, None, None)}
    past = [(NOW - 3600, 0.0), (NOW - 1800, 31.0), (NOW - 900, None), (NOW - 800, 31.0), (NOW - 600, 79.0)]
    memory.learn(ONE, past, DAY, NOW)
    assert rows(memory) == {
        "gpu1/0/31": (NOW - 1800, NOW - 1800, 1), "gpu1/0/79": (NOW - 600, NOW - 600, 1),
    }  # fmt: skip
    assert memory.wanted()[0] == ()


def test_one_older_than_the_day_is_looked_for_in_the_month_and_then_has_no_time():
    memory, _ = watched({ONE: 79})
    memory.learn(ONE, [(NOW - DAY, 79.0), (NOW - 60, 79.0)], DAY, NOW)
    assert memory.wanted() == ((ONE,), MONTH)
    memory.learn(ONE, [(NOW - MONTH, 79.0)], MONTH, NOW)
    assert memory.wanted()[0] == () and rows(memory) == {"gpu1/0/79": (None, None, None)}
    other, _ = watched({ONE: 79})
    other.learn(ONE, [(NOW - 60, 79.0)], DAY, NOW)
    other.learn(ONE, [(NOW - 9 * DAY, 0.0), (NOW - 8 * DAY, 79.0)], MONTH, NOW)
    assert rows(other) == {"gpu1/0/79": (NOW - 8 * DAY, NOW - 8 * DAY, 1)}


def test_an_exporter_that_returns_brings_no_new_xid():
    memory, at = watched({ONE: 79}, {}, {ONE: 79})
    memory.learn(ONE, [(NOW - 600, 0.0), (NOW - 300, 79.0), (NOW + 10, None)], DAY, at)
    assert rows(memory) == {"gpu1/0/79": (NOW - 300, NOW - 300, 1)}


def test_a_cleared_gauge_and_the_same_code_again_are_two():
    memory, at = watched({}, {ONE: 79}, {}, {ONE: 79})
    memory.learn(ONE, [(NOW - 60, 0.0), (NOW + 14, 79.0), (NOW + 30, 0.0)], DAY, at)
    assert rows(memory) == {"gpu1/0/79": (NOW + 14, at, 2)}


def test_after_a_pause_the_past_is_asked():
    memory, _ = watched({ONE: 31}, {ONE: 94}, step=600)
    assert memory.wanted() == ((ONE,), DAY)
    assert rows(memory)["gpu1/0/94"] == (None, None, None)


def test_counted_repeats_are_counted():
    memory = XidMemory()
    for at, times in ((0, 1), (15, 1), (30, 3), (45, 2), (60, 2)):
        memory.see({ONE: 94}, NOW + at)
        memory.count({(ONE, 94): times}, NOW + at)
    assert rows(memory) == {"gpu1/0/94": (NOW, NOW + 30, 3)}
    memory.count({}, NOW + 400)
    memory.count({(ONE, 94): 1}, NOW + 700)
    first, last, count = rows(memory)["gpu1/0/94"]
    assert (first, count) == (NOW, 4) and last == NOW + 700


def test_a_storm_is_asked_for_in_parts():
    memory = XidMemory()
    many = {(f"gpu{n}", n % 8, f"u{n}"): 31 for n in range(BATCH * 2 + 5)}
    memory.see(many, NOW)
    asked = []
    while gpus := memory.wanted()[0]:
        asked.append(len(gpus))
        for one in gpus:
            memory.learn(one, [(NOW - 60, 0.0)], DAY, NOW)
    assert asked == [BATCH, BATCH, 5]
    assert {count for _, _, count in rows(memory).values()} == {1}


def test_a_gpu_without_a_uuid_is_never_asked_for():
    memory, _ = watched({("gpu1", 0, ""): 31})
    assert memory.wanted()[0] == () and memory.wanted()[0] == ()
    assert rows(memory) == {"gpu1/0/31": (None, None, None)}


def test_what_is_over_for_a_day_is_forgotten():
    memory, at = watched({}, {ONE: 31}, {})
    memory.learn(ONE, [], DAY, at)
    assert rows(memory, at + DAY - 100) and rows(memory, at + DAY + 100) == {}
    memory, at = watched({}, {ONE: 31})
    assert rows(memory, at + 9 * DAY), "the gauge still shows it"


def test_a_look_at_the_past_stays_small():
    for gpus in (1, 8, BATCH):
        for span in (DAY, MONTH):
            step = step_of(span, gpus)
            assert step >= 60 and span / step <= 11_000 and span / step * gpus <= 110_000


def test_a_node_shows_the_xid_that_came_last():
    known = [
        Xid(node="gpu1", gpu=0, code=31, last_at=10), Xid(node="gpu1", gpu=5, code=79, last_at=20),
        Xid(node="gpu2", gpu=3, code=94),
    ]  # fmt: skip
    shown = {ONE: 31, ("gpu1", 5, "u5"): 79, TWO: 94, ("gpu2", 1, "u9"): 13}
    assert last_of_node(known, shown) == {"gpu1": 79, "gpu2": 13}


GAUGES = st.dictionaries(st.sampled_from([ONE, TWO, ("gpu1", None, "")]), st.integers(1, 200), max_size=3)
POINTS = st.lists(st.one_of(st.none(), st.integers(0, 200).map(float)), max_size=30)


@given(st.lists(st.tuples(GAUGES, st.integers(1, 500), POINTS), max_size=12))
def test_whatever_comes_the_rows_make_sense(steps):
    memory, at = XidMemory(), float(NOW)
    for gauges, later, past in steps:
        at += later
        memory.see(gauges, at)
        gpus, span = memory.wanted()
        for one in gpus:
            points = [(int(at) - 60 * back, value) for back, value in zip(range(len(past), 0, -1), past, strict=True)]
            memory.learn(one, points, span, at)
        found = memory.rows(at)
        assert {(row.node, row.gpu, row.code) for row in found.values()} >= {
            (n, g, c) for (n, g, _), c in gauges.items()
        }
        for row in found.values():
            assert (row.first_at is None) == (row.last_at is None) == (row.count is None)
            if row.first_at is not None:
                assert row.first_at <= row.last_at <= at and row.count >= 1


def test_a_reading_asks_for_the_past_once():
    with StandIn() as server:
        server.rows = machine(2)
        server.rows["xids"] = [(gpu("gpu00001", 3), 79)]
        server.ranges["xid_past"] = lambda start, end, step: [
            ({"UUID": "GPU-gpu00001-3"}, [(start, "0"), (end - 3600, "0"), (end - 1800, "79"), (end, "79")])
        ]
        source = Loads(server.settings)
        row = source.collect().xids["gpu00001/3/79"]
        assert row.count == 1 and abs(time.time() - 1800 - row.last_at) < 120
        assert source.collect().xids["gpu00001/3/79"] == row
        asked = [params["query"] for _, params, _ in server.seen if "step" in params]
        assert len(asked) == 1 and 'UUID=~"GPU' in asked[0]


def test_what_stood_between_two_steps_before_a_code_that_follows_is_told():
    memory, at = watched({}, {ONE: 45})
    assert memory.follows(ONE) and not memory.follows(TWO)
    past = [(NOW - 120, 0.0), (NOW - 60, 45.0), (NOW, 45.0)]
    memory.learn(ONE, past, DAY, at, [(NOW - 60, 62), (NOW - 60, 45)])
    assert rows(memory) == {"gpu1/0/62": (NOW - 60, NOW - 60, 1), "gpu1/0/45": (NOW - 60, NOW - 60, 1)}
    assert memory.wanted()[0] == ()


def test_what_came_before_the_day_and_a_code_that_follows_is_looked_for_in_the_month():
    memory, at = watched({ONE: 45})
    memory.learn(ONE, [(NOW - DAY, 62.0), (NOW - 60, 45.0)], DAY, at, [(None, 62)])
    assert rows(memory) == {"gpu1/0/62": (None, None, None), "gpu1/0/45": (NOW - 60, NOW - 60, 1)}
    assert memory.wanted() == ((ONE,), MONTH)
    memory.learn(ONE, [(NOW - 9 * DAY, 0.0), (NOW - 8 * DAY, 62.0), (NOW - 3600, 45.0)], MONTH, at)
    assert rows(memory) == {
        "gpu1/0/62": (NOW - 8 * DAY, NOW - 8 * DAY, 1), "gpu1/0/45": (NOW - 60, NOW - 60, 1),
    }, "what the day tells to the minute stays"  # fmt: skip
    assert memory.wanted()[0] == ()


def test_the_code_before_is_remembered_while_the_gauge_shows_what_follows():
    memory, at = watched({}, {ONE: 31}, {ONE: 62}, {ONE: 45})
    for span in (DAY, MONTH):
        memory.learn(ONE, [], span, at)
    later = at + 3 * DAY
    memory.see({ONE: 45}, later)
    assert rows(memory, later).keys() == {"gpu1/0/62", "gpu1/0/45"}, "31 is over, 62 is what happened"
    memory.see({ONE: 13}, later + 15)
    for span in (DAY, MONTH):
        memory.learn(ONE, [], span, later + 15)
    assert "gpu1/0/62" not in rows(memory, later + 15)


def test_another_between_two_readings_is_asked_for_where_the_new_code_follows():
    memory, _ = watched({ONE: 31})
    memory.learn(ONE, [(NOW - 60, 0.0)], DAY, NOW)
    assert memory.wanted()[0] == ()
    memory.see({ONE: 45}, NOW + 15)
    assert memory.wanted() == ((ONE,), DAY)


def test_a_node_shows_the_xid_before_a_code_that_follows():
    known = [Xid(node="gpu1", gpu=0, code=62, last_at=10), Xid(node="gpu1", gpu=0, code=31, last_at=5),
             Xid(node="gpu1", gpu=0, code=45, last_at=11)]  # fmt: skip
    assert last_of_node(known, {ONE: 45, TWO: 45}) == {"gpu1": 62, "gpu2": 45}


def test_a_reading_asks_what_the_gauge_hides_and_what_was_counted():
    with StandIn() as server:
        server.rows = machine(2)
        server.rows["xids"] = [(gpu("gpu00001", 3), 45)]
        uuid = {"UUID": "GPU-gpu00001-3"}
        server.ranges["xid_past"] = lambda start, end, step: [(uuid, [(start, "0"), (end - 1800, "45"), (end, "45")])]
        server.ranges["xid_hidden"] = lambda start, end, step: [
            (uuid, [(end - 1800, "62")]),
            ({**uuid, "xid": "48"}, [(end - 1860, "1"), (end - 1800, "1")]),
            ({**uuid, "xid": "no"}, [(end - 1860, "13")]),
        ]
        facts = Loads(server.settings).collect()
        assert {row.code: row.count for row in facts.xids.values()} == {45: 1, 62: 1, 48: 1, 13: 1}
        assert facts.loads["gpu00001"].xid == 62
        asked = [params["query"] for _, params, _ in server.seen if "step" in params]
        assert len(asked) == 2 and "> 0 != 43 != 45 != 154 != 171 != 172" in asked[1]
