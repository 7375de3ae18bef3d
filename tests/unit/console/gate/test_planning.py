"""What the gate plans and refuses, what must be typed; and the small world that the other gate tests share."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import Cluster, Fault, Source
from console.actions.plan import Confirmation, Plan, Refusal, Skip
from console.actions.registry import ACTIONS
from console.gate.gate import Gate
from tests.support import make
from tests.support.gate_world import job, planned, small
from tests.support.make import change_of


@pytest.fixture
def world(tmp_path):
    return small(tmp_path)


def refused(gate: Gate, action: str, *targets: str, cluster: Cluster) -> str:
    refusal = gate.plan(action, targets, "x", cluster)
    assert isinstance(refusal, Refusal), refusal
    return refusal.why


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        ((), "no nodes were named"),
        (("ALL",), "ALL is never sent"),
        (("gpu0001", "all"), "ALL is never sent"),
        (("gpu9999",), "unknown node gpu9999"),
        (("gpu0001", "gpu9998", "gpu9999"), "unknown nodes gpu[9998-9999]"),
        (("gpu0001", "gpu0001"), "a node was named twice"),
        (("gpu[0001-0002]",), "unknown node gpu[0001-0002]"),
        (("-oProxyCommand=x",), "unknown node -oProxyCommand=x"),
        (("\x1b]52;c;x\x07",), r"unknown node \e]52;c;x\x07"),
        (("gpu0003",), 'gpu0003: already drained by nhc "NHC: check_gpu"'),
    ],
)
def test_targets_that_are_refused(world, targets, why):
    assert refused(world.gate(), "drain", *targets, cluster=world.cluster()).startswith(why)


def test_jobs_are_refused_by_name(world):
    assert refused(world.gate(), "cancel", "99", "98", cluster=world.cluster()) == "unknown jobs 99, 98"
    assert refused(world.gate(), "cancel", "88140", cluster=world.cluster()).endswith("it has ended: COMPLETED")


def test_what_was_never_read_is_not_acted_on(world):
    silent = Source(name="slurm.jobs", fault=Fault("refused", "Unable to contact slurm controller"))
    blank = make.cluster(sources=[silent])
    alike = [msgspec.structs.replace(silent, name=name) for name in ("slurm.nodes", "slurm.jobs", "slurm.diag")]
    for cluster in (blank, make.cluster(sources=alike)):  # a dead controller is said once
        assert refused(world.gate(), "cancel", "1", cluster=cluster) == (
            "the jobs of lab were never read: Unable to contact slurm controller"
        )


def test_unknown_actions_and_foreign_clusters(world):
    assert refused(world.gate(), "nuke", "gpu0001", cluster=world.cluster()).startswith(
        "unknown action nuke; there is drain"
    )
    foreign = msgspec.structs.replace(world.cluster(), name="other")
    assert "facts of other" in refused(world.gate(), "drain", "gpu0001", cluster=foreign)


@pytest.mark.parametrize("action", [action.id for action in ACTIONS])
def test_read_only_plans_nothing(world, action):
    gate = world.gate(read_only=True)
    for targets in (("gpu0001",), ("88121",), ("88133",), ()):
        assert gate.plan(action, targets, "x", world.cluster()) == Refusal("read-only")
    assert world.sent == [] and world.journal() == []


def test_the_preview_of_a_drain(world):
    plan = planned(world.gate(), "drain", "gpu0001", "gpu0002", "gpu0003", cluster=world.cluster())
    assert plan.change == change_of(action="drain", kind="node", targets=("gpu0001", "gpu0002"), reason="bad DIMM")
    assert plan.skipped == (Skip("gpu0003", 'already drained by nhc "NHC: check_gpu"'),)
    (hit,) = plan.jobs or ()
    assert (hit.id, hit.user, hit.gpus, hit.elapsed_s, hit.left_s) == ("88121", "alice", 8, 3600, 3600)
    assert plan.empty_in_s == 3600 and not plan.kills
    share, every = plan.shares
    assert (share.partition, share.nodes, share.healthy, share.newly_out) == ("gpu", 4, 2, 2)
    assert msgspec.structs.replace(every, partition="gpu") == share and every.partition == "all"
    assert share.fraction == 1.0 and share.out_fraction_after == 1.0
    assert plan.commands == (("do", "drain", "Reason=bad DIMM", "gpu0001", "gpu0002"),)
    assert plan.confirmation == Confirmation("count", 2) and world.sent == [] and world.reads == 0


def test_jobs_without_a_limit_make_the_end_unknown(world):
    world.jobs["88122"] = job("88122", nodes="gpu0002")
    assert planned(world.gate(), "drain", "gpu0002", cluster=world.cluster()).empty_in_s is None


def test_unread_jobs_are_unknown_not_none(world):
    cluster = world.cluster(jobs={}, jobs_on={}, known=frozenset({"nodes"}))
    assert planned(world.gate(), "drain", "gpu0002", cluster=cluster).jobs is None


@pytest.mark.parametrize(
    ("action", "targets", "confirm"),
    [
        ("drain", ("gpu0001",), Confirmation("plain", 1)),
        ("drain", ("gpu0001", "gpu0003"), Confirmation("plain", 1)),
        ("drain", ("gpu0001", "gpu0002"), Confirmation("count", 2)),
        ("resume", ("gpu0003", "gpu0004"), Confirmation("count", 2)),
        ("hold", ("88133",), Confirmation("plain", 1)),
        ("cancel", ("88133",), Confirmation("count", 1)),
        ("requeue", ("88121",), Confirmation("count", 1)),
    ],
)
def test_what_must_be_typed(world, action, targets, confirm):
    assert planned(world.gate(), action, *targets, cluster=world.cluster()).confirmation == confirm


def test_a_drain_that_kills_needs_the_count(world):
    world.node("gpu0002", "ALLOCATED#")
    plan = planned(world.gate(), "drain", "gpu0002", cluster=world.cluster())
    assert plan.confirmation == Confirmation("count", 1) and plan.kills


@pytest.mark.parametrize(
    ("confirm", "right", "wrong"),
    [
        (Confirmation("plain", 1), ("y", "yes", "1"), ("", "n", "Y", "yy", "y\n", "2", "01")),
        (Confirmation("count", 4), ("4",), ("", "y", "yes", "3", "04", "4 ", "44", "4\n", "٤")),
    ],
)
def test_only_the_very_answer_counts(confirm, right, wrong):
    assert all(confirm.accepts(answer) for answer in right)
    assert not any(confirm.accepts(answer) for answer in wrong)


def test_a_reason_can_come_later_and_makes_the_first_plan_void(world):
    gate = world.gate()
    first = planned(gate, "drain", "gpu0001", reason=None, cluster=world.cluster())
    assert first.missing_reason and first.commands == (("do", "drain", "Reason=…", "gpu0001"),)
    assert gate.with_reason(first, " \n") == Refusal("a reason is required")
    second = gate.with_reason(first, "bad\nDIMM")
    assert isinstance(second, Plan) and second.change.reason == "bad DIMM" and not second.missing_reason
    assert gate.with_reason(first, "again") == Refusal("this plan was used already")
    assert gate.send(first, "y").refused is not None and world.sent == []
    assert gate.send(second, "y").refused is None
    assert world.sent[0].reason == "bad DIMM"


def test_without_its_reason_nothing_is_sent(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", reason=None, cluster=world.cluster())
    assert gate.send(plan, "y").refused == "a reason is required" and world.sent == []
