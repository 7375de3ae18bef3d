"""The faults on the map: those of the attention list over the states of Slurm, by node and by rack."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collectors.nodestate import DISPLAYS, UNAVAILABLE
from console.triage.attention import attention_lines
from console.triage.attention_list import AttentionLine
from console.triage.fault_map import map_health, node_faults
from tests.support.machine_room import HOUR, NOW, alert, node, site, xid
from tests.support.widget_app import machine
from tests.support.yardstick import cost
from widgets.map_health import FAULT_LEVELS, RackHealth

states = st.sampled_from(["IDLE", "ALLOCATED", "DOWN*", "IDLE+DRAIN", "MIXED*", "IDLE+INVALID_REG"])
roles = st.sampled_from(["bad", "warn", "text-dim", "state-draining"])


def line(role: str, *names: str) -> AttentionLine:
    """A line of the attention list about these nodes."""
    return AttentionLine("!", role, "text", None, "", nodes=names)


def test_a_node_with_an_xid_or_an_alert_is_at_fault_though_slurm_says_it_works() -> None:
    some = [node(n, "ALLOCATED", rack=(n - 1) // 4) for n in range(1, 13)]
    cluster = site(*some, xids=[xid(2, 79, HOUR)], alerts=[alert("GpuHot", "warning", "gpu0007", HOUR)])
    lines = attention_lines(cluster, NOW)
    found = map_health(cluster, lines, NOW, None)
    assert lines[0].role == "bad" and lines[0].nodes == ("gpu0002",)
    assert found.faults == {"gpu0002": "bad", "gpu0007": "warn"}
    hidden = [(one.level, one.faults, one.hidden) for one in found.racks.values()]
    assert hidden == [("bad", 1, True), ("warn", 1, True), (None, 0, False)]
    assert dict(found.states) == {"allocated": 10}


@given(st.lists(states, max_size=24), st.lists(st.tuples(roles, st.lists(st.integers(1, 24), max_size=5)), max_size=5))
def test_what_a_line_names_never_looks_healthy_and_the_numbers_agree(found_states, said) -> None:
    some = {f"gpu{n:04d}": node(n, state, rack=n // 5) for n, state in enumerate(found_states, 1)}
    cluster = site(*some.values())
    lines = [line(role, *(f"gpu{n:04d}" for n in numbers)) for role, numbers in said]
    found = map_health(cluster, lines, NOW, None)
    for one in lines:
        if one.role in {"bad", "warn"}:
            for name in set(one.nodes) & some.keys():
                display = some[name].display
                assert (
                    name in found.faults or display in FAULT_LEVELS or (one.role == "warn" and display in UNAVAILABLE)
                )
    at_fault = {name for name, one in some.items() if one.display in FAULT_LEVELS} | found.faults.keys()
    for rack, names in cluster.racks.items():
        assert found.racks[rack].faults == len(at_fault & set(names))
        assert (found.racks[rack].level is None) == (found.racks[rack].faults == 0)
    assert sum(found.states.values()) + len(found.faults) == len(some)


def test_the_worst_state_of_a_rack_names_it() -> None:
    def rack(*states: str) -> RackHealth:
        return map_health(machine(racks=1, each=len(states), states=states), (), 0.0, 0.0).racks["R00"]

    assert rack("ALLOCATED", "IDLE+DRAIN", "UNKNOWN", "DOWN") == RackHealth("down", "bad", 2)
    assert rack("ALLOCATED", "IDLE+DRAIN", "UNKNOWN") == RackHealth("unknown", "warn", 1)
    assert rack("ALLOCATED", "IDLE+DRAIN", "ALLOCATED") == RackHealth("drained")
    assert rack("IDLE", "MIXED", "MIXED") == RackHealth("mixed")
    assert set(FAULT_LEVELS) <= set(DISPLAYS)


def test_a_line_does_not_lower_what_another_said() -> None:
    cluster = machine(racks=1, each=2)
    both = [line("warn", "gpu0000"), line("bad", "gpu0000"), line("warn", "gpu0000", "elsewhere")]
    assert node_faults(cluster, both) == {"gpu0000": "bad"}


def test_the_health_of_12000_nodes_is_a_sum_that_a_step_of_the_clock_does_not_make_again() -> None:
    cluster = machine(racks=750, each=16)
    lines = [line("bad", *(f"gpu{at:02d}00" for at in range(80)))]
    map_health(cluster, lines, 0.0, 0.0)
    assert cost(lambda: map_health(cluster, lines, 0.0, 0.0)) < 2  # 0.3 where it was measured
