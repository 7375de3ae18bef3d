"""Heterogeneous jobs end, requeue and die as a whole: a preview names every part, or nothing is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.actions.plan import Confirmation, Plan, Refusal
from tests.support.gate_world import World, node, planned
from tests.support.make import job

PARTS = ["11+0", "11+1", "11+2"]


def world(folder: Path, *states: str) -> World:
    nodes = [node(f"gpu{at}", "ALLOCATED") for at in (1, 2, 3)]
    jobs = [job(part, state, nodes[at].name if state == "RUNNING" else None)
            for at, (part, state) in enumerate(zip(PARTS, states, strict=True))]  # fmt: skip
    return World(folder, nodes, [*jobs, job("12", "PENDING")])


def why(world: World, action: str, *targets: str) -> dict[str, str]:
    """What is left alone, and why."""
    plan = world.gate().plan(action, targets, "x", world.cluster())
    assert isinstance(plan, Plan | Refusal)
    return {skip.target: skip.why for skip in plan.skipped}


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
def test_the_first_part_takes_all_with_it(tmp_path, state):
    at = world(tmp_path, *[state] * 3)
    told = "would end with it: name the whole heterogeneous job, 11"
    assert why(at, "cancel", "11+0", "12") == {"11+0": f"11+1, 11+2 {told}"}
    plan = planned(at.gate(), "cancel", *PARTS, cluster=at.cluster())
    assert (plan.change.targets, plan.confirmation) == (tuple(PARTS), Confirmation("count", 3)) and not plan.skipped


def test_a_running_part_ends_by_itself_and_a_waiting_one_does_not(tmp_path):
    running, waiting = world(tmp_path, *["RUNNING"] * 3), world(tmp_path, *["PENDING"] * 3)
    assert why(running, "cancel", "11+1") == {}
    assert why(waiting, "cancel", "11+1", "11+2").keys() == {"11+1", "11+2"}
    assert why(waiting, "cancel", *PARTS[:2]).keys() == {"11+0", "11+1"}, "one that lacks the others helps nobody"


def test_a_part_that_has_ended_is_missed_by_nobody(tmp_path):
    at = world(tmp_path, "RUNNING", "RUNNING", "COMPLETED")
    assert why(at, "cancel", "11+0", "11+1") == {}


@pytest.mark.parametrize(("action", "states"), [("requeue", "RUNNING"), ("suspend", "RUNNING"),
                                                ("unsuspend", "SUSPENDED")])  # fmt: skip
def test_what_slurm_does_to_no_part_is_refused_by_name(tmp_path, action, states):
    at = world(tmp_path, *[states] * 3)
    said = "a part of the heterogeneous job 11: Slurm does that to all of it only"
    assert why(at, action, *PARTS) == dict.fromkeys(PARTS, said)


def test_a_node_that_goes_down_under_a_later_part_takes_all_of_them(tmp_path):
    at = world(tmp_path, *["RUNNING"] * 3)
    hits = {name: [hit.id for hit in planned(at.gate(), "down", name, cluster=at.cluster()).jobs or ()]
            for name in ("gpu1", "gpu2")}  # fmt: skip
    assert hits == {"gpu1": ["11+0"], "gpu2": ["11+1", "11+0", "11+2"]}
