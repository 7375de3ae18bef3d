"""The list as a whole: no node is listed twice; on the simulated cluster the first line says what happened."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.clock import ManualClock
from collectors.model import Facts, Reading
from collectors.nodeset import expand
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from console.ingest import reduce as reducer
from console.runtime.memo import forget
from console.triage.attention import attention_lines
from tests.support import make
from tests.support.machine_room import DAY, HOUR, MINUTE, alert, down, node, site, well, xid
from tests.support.make import NOW
from tests.support.yardstick import cost
from themes.roles import ROLES

numbers = st.integers(1, 40)
broken = st.builds(
    lambda n, state, ago, reason, by: node(n, state, ago, reason, by, rack=(n - 1) // 16),
    numbers,
    st.sampled_from(
        ["IDLE", "ALLOCATED", "DOWN*", "IDLE+DRAIN", "ALLOCATED+DRAIN", "IDLE+INVALID_REG", "UNKNOWN", "MIXED*"]
    ),
    st.none() | st.integers(0, 20 * DAY),
    st.sampled_from([None, "Not responding", "NHC: check_ib", "XID 79", "bad DIMM [OPS-1]"]),
    st.sampled_from([None, "slurm", "root", "jdv"]),
)
xids = st.builds(xid, numbers, st.sampled_from([79, 31, 43, 63, 74, 999]), st.integers(0, DAY), st.integers(0, 7))
alerts = st.builds(
    alert,
    st.sampled_from(["A", "B"]),
    st.sampled_from(["critical", "warning", "info", None]),
    st.sampled_from(["gpu0001", "gpu0020", "elsewhere", None]),
    st.integers(0, 9 * DAY),
    st.none() | st.just("so it is"),
)
loads = st.builds(
    well, numbers, sampled_at=st.none() | st.integers(int(NOW) - HOUR, int(NOW)), gpus_idle=st.integers(0, 8)
)


@given(
    st.lists(broken, max_size=30),
    st.lists(xids, max_size=12),
    st.lists(alerts, max_size=5),
    st.lists(loads, max_size=9),
)
def test_no_node_is_told_twice_and_every_line_opens_something_real(some, codes, said, sampled):
    nodes = {f"gpu{n:04d}": node(n, rack=(n - 1) // 16) for n in range(1, 41)} | {one.name: one for one in some}
    jobs = [make.job("7", nodes="gpu[0001-0016]", started=int(NOW - HOUR))]
    cluster = site(*nodes.values(), xids=codes, alerts=said, loads=sampled, jobs=jobs)
    found = attention_lines(cluster, NOW)
    told = Counter(name for one in found for name in expand(one.opens) if one.opens)
    assert all(count == 1 for count in told.values()), told.most_common(3)
    assert told.keys() <= nodes.keys()
    assert all(one.role in ROLES and one.text and len(one.glyph) == 1 for one in found)
    assert found == attention_lines(cluster, NOW)
    out = {
        name
        for name, one in nodes.items()
        if one.display == "down" and one.reason_by != "jdv" and "DRAIN" not in one.flags
    }
    assert {
        name for name in out if nodes[name].reason is None or nodes[name].reason_by in {None, "slurm"}
    } <= told.keys()


# -- on the simulated cluster -----------------------------------------------------------------------------------------


def seen(machine, clock):
    """The cluster as the poller would have it."""
    cluster = reducer.begin("demo", [])
    for source, facts in (
        ("slurm.nodes", Facts(nodes=machine.nodes())), ("slurm.jobs", Facts(jobs=machine.jobs())),
        ("prom.loads", Facts(loads=machine.loads())), ("prom.xids", Facts(xids=machine.xids())),
        ("alerts.alerts", Facts(alerts=machine.alerts())),
    ):  # fmt: skip
        reading = Reading(cluster="demo", source=source, at=clock.now(), mono=clock.mono(), took_s=0.1, facts=facts)
        cluster, _ = reducer.reduce(cluster, reading)
    return cluster


def first_line(incident, *times, nodes=40, seed=1):
    """The first line at these seconds after the start, and the nodes that were hit."""
    clock = ManualClock()
    machine = Machine(SimSettings(nodes=nodes, incident=incident, seed=seed), clock)
    found = []
    for at in times:
        clock.advance(at - clock.mono())
        machine.advance()
        found.append(attention_lines(seen(machine, clock), clock.now(), mono=clock.mono())[0])
    return found, set(machine.incidents.affected)


def test_pdu_the_first_line_is_the_pdu():
    found, hit = first_line("pdu", 31, 40, 60, 300, nodes=128)
    assert all("R05-pdu-b" in one.text and one.event for one in found)
    assert "lost its input" in found[0].text
    assert found[2].text.startswith("R05-pdu-b: 8 nodes down") and set(expand(found[3].opens)) == hit


def test_fabric_the_first_line_is_the_switch():
    found, hit = first_line("fabric", 31, 60, 120, 300, nodes=128)
    assert all("leaf-R05" in one.text and "loses links" in one.text for one in found)
    assert "of 16 nodes" in found[1].text and set(expand(found[3].opens)) == hit


def test_xid_storm_the_first_line_is_the_storm_and_then_the_gpu_that_is_lost():
    found, hit = first_line("xid-storm", 60, 120, 180, 250)
    assert all(one.text.startswith("XID 31") and f"on {len(hit)} nodes" in one.text for one in found[:3])
    assert set(expand(found[1].opens)) == hit
    assert "XID 79" in found[3].text and "drain, reboot the node" in found[3].text and found[3].opens in hit


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lemon_the_first_line_names_it_each_time_it_fails(seed):
    found, hit = first_line("lemon", 32, 60, seed=seed)
    (name,) = hit
    for one in found:
        assert name in one.text and "XID" in one.text and name in expand(one.opens)


@pytest.mark.parametrize("incident", [None, "pdu", "xid-storm"])
def test_twelve_thousand_nodes_are_quick(incident):
    clock = ManualClock()
    machine = Machine(SimSettings(nodes=12_000, jobs=2_000, incident=incident), clock)
    clock.advance(250)
    machine.advance()
    cluster = seen(machine, clock)
    now = clock.now()
    # Once a reading, in the thread that reduces; and then again and again, as the clock goes on.
    assert cost(lambda: (forget(cluster.name), attention_lines(cluster, now))) < 27  # 6 to 9 where it was measured
    assert cost(lambda: attention_lines(cluster, now)) < 4  # 1.1 to 1.3


def test_the_whole_machine_at_once_is_quick_too():
    nodes = [down(n, 5 * MINUTE, rack=n // 16) for n in range(1, 9_000)]
    cluster = site(*nodes)
    assert len(attention_lines(cluster, NOW)) < 5
    assert cost(lambda: (forget(cluster.name), attention_lines(cluster, NOW))) < 45  # 14 where it was measured
