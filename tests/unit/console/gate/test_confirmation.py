"""The guard: what a large or a doubtful action asks for, what is sent in batches, what is kept of old reasons."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from collectors.model import Rights, SourceFault, Xid
from console.actions.options import Guard, Options
from console.actions.plan import Confirmation, Plan, Refusal
from console.gate.outcome import Progress, SendResult
from console.preflight.checks import PreflightReads
from tests.support.gate_world import World, alert, job, node, planned
from tests.support.make import NOW

HUNDRED = [f"gpu{number:04d}" for number in range(1, 101)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [node(name) for name in HUNDRED])


def drain_of(world: World, names: Sequence[str], **options: object) -> Plan:
    return planned(world.gate(**options), "drain", *names, cluster=world.cluster())


@pytest.mark.parametrize(
    ("names", "confirm"),
    [
        (1, Confirmation("plain", 1)),
        (5, Confirmation("count", 5)),
        (6, Confirmation("count", 6)),
        (20, Confirmation("count", 20)),
        (21, Confirmation("break", 21, "gpu", "it takes 21 % of gpu out, more than 20 %")),
    ],
)
def test_what_a_share_of_the_partition_asks_for(world, names, confirm):
    assert drain_of(world, HUNDRED[:names]).confirmation == confirm


def test_the_figures_are_the_sites_own(world):
    loose = Guard(plain_most=10, share_pct=50, break_pct=90)
    assert drain_of(world, HUNDRED[:10], guard=loose).confirmation == Confirmation("plain", 10)
    # A plain yes for ten nodes ends where they are more than the share that a site lets go.
    assert drain_of(world, HUNDRED[:10], guard=Guard(plain_most=10)).confirmation == Confirmation("count", 10)
    assert drain_of(world, HUNDRED[:3], guard=Guard(break_pct=1)).confirmation.kind == "break"


def test_nodes_that_are_out_already_weigh_nothing(world):
    for name in HUNDRED[:60]:
        world.node(name, "DOWN", reason="power")
    plan = drain_of(world, HUNDRED[:60])
    assert plan.confirmation == Confirmation("count", 60) and plan.shares[0].newly_out == 0
    # Of 40 healthy ones 9 are more than a fifth.
    assert drain_of(world, HUNDRED[60:69]).confirmation.kind == "break"


def test_two_nodes_of_a_small_partition_are_no_catastrophe(tmp_path):
    small = World(tmp_path, [node(f"gpu000{at}") for at in range(1, 5)])
    assert drain_of(small, ["gpu0001", "gpu0002"]).confirmation == Confirmation("count", 2)
    assert drain_of(small, ["gpu0001", "gpu0002", "gpu0003"]).confirmation.kind == "break"


def test_the_glass_is_broken_by_the_partitions_name_alone(world):
    for wrong in ("y", "30", "GPU", "gpu ", ""):
        gate = world.gate()
        plan = planned(gate, "drain", *HUNDRED[:30], cluster=world.cluster())
        assert "not confirmed" in (gate.send(plan, wrong).refused or "")
    assert world.sent == []
    gate = world.gate()
    assert gate.send(planned(gate, "drain", *HUNDRED[:30], cluster=world.cluster()), "gpu").refused is None
    assert world.journal()[0]["broke_glass"] == "it takes 30 % of gpu out, more than 20 %"


def test_a_killing_action_wants_the_count_beside_the_name(world):
    plan = planned(world.gate(), "down", *HUNDRED[:30], cluster=world.cluster())
    assert plan.confirmation.word == "gpu 30" and not plan.confirmation.accepts("gpu") and plan.kills


def broken_node(world: World) -> dict[str, object]:
    world.node("gpu0001", "IDLE+DRAIN", reason="XID 79", reason_by="jdv", boot_at=NOW - 9000)
    xid = Xid(node="gpu0001", gpu=3, code=79, first_at=NOW - 600, last_at=NOW - 600, count=1)
    known = world.cluster().known | {"xids"}
    return {"xids": {xid.key: xid}, "known": known}


def test_a_failed_pre_flight_keeps_its_node_out(world):
    facts = broken_node(world)
    world.node("gpu0002", "IDLE+DRAIN", reason="done", reason_by="jdv")
    gate, cluster = world.gate(), world.cluster(**facts)
    refusal = gate.plan("resume", ("gpu0001",), None, cluster)
    assert isinstance(refusal, Refusal) and refusal.can_break_glass and "XID 79" in refusal.why
    both = planned(gate, "resume", "gpu0001", "gpu0002", cluster=cluster)
    assert both.change.targets == ("gpu0002",) and "XID 79" in both.skipped[0].why


def test_against_a_failed_pre_flight_a_word_and_a_reason_are_asked_for(world):
    facts = broken_node(world)
    gate = world.gate()
    plan = gate.plan("resume", ("gpu0001",), None, world.cluster(**facts), Options(break_glass=True))
    assert isinstance(plan, Plan) and plan.confirmation.word == "anyway" and plan.missing_reason
    plan = gate.with_reason(plan, "GPU 3 was changed")
    assert isinstance(plan, Plan) and plan.change.reason is None
    assert gate.send(plan, "anyway").refused is None
    assert world.journal()[0]["reason"] == "GPU 3 was changed"


def test_a_reason_that_stands_on_a_node_out_of_service_is_kept(world):
    world.node("gpu0001", "DOWN", reason="NHC: check_gpu", reason_by="nhc")
    world.node("gpu0002", "IDLE", reason="last year's trouble", reason_by="jdv")
    plan = drain_of(world, ["gpu0001", "gpu0002"])
    assert plan.change.reason == "bad DIMM"
    assert plan.change.reasons == {"gpu0001": "bad DIMM [was by nhc: NHC: check_gpu]"}


def test_the_same_reason_twice_is_not_stacked(world):
    world.node("gpu0001", "DOWN", reason="bad DIMM [was by nhc: x]", reason_by="jdv")
    assert drain_of(world, ["gpu0001"]).change.reasons == {"gpu0001": "bad DIMM [was by nhc: x]"}


def test_a_drained_node_comes_back_down_from_a_reboot_unless_told_otherwise(world):
    world.node("gpu0002", "IDLE+DRAIN", reason="XID 79", reason_by="jdv")
    gate, cluster = world.gate(), world.cluster()
    plan = planned(gate, "reboot", "gpu0001", "gpu0002", cluster=cluster)
    assert plan.change.next_state == {"gpu0001": "RESUME", "gpu0002": "DOWN"} and plan.confirmation.kind == "count"
    told = gate.plan("reboot", ("gpu0002",), "new kernel", cluster, Options(next_state="RESUME"))
    assert isinstance(told, Plan) and told.change.next_state == {"gpu0002": "RESUME"}


def test_options_that_an_action_does_not_know_are_refused(world):
    refusal = world.gate().plan("undrain", ("gpu0001",), None, world.cluster(), Options(resume_after_s=3600))
    assert isinstance(refusal, Refusal) and "takes no --resume-after; it takes " in refusal.why
    assert isinstance(world.gate().plan("priority", ("1",), None, world.cluster()), Refusal)


def crowd(tmp_path: Path, count: int) -> World:
    return World(tmp_path, jobs=[job(str(at), nodes=f"gpu{at:04d}") for at in range(1, count + 1)])


def test_killing_goes_in_batches_and_one_intent_covers_them(tmp_path):
    world = crowd(tmp_path, 120)
    gate = world.gate()
    outcome = gate.send(planned(gate, "cancel", *world.jobs, cluster=world.cluster()), "120")
    assert [len(change.targets) for change in world.sent] == [50, 50, 20]
    assert [line["event"] for line in world.journal()] == ["intent", "result"]
    assert len(world.journal()[0]["targets"]) == 120 and {one.state for one in outcome.results.values()} == {"pending"}
    # Each batch was read again before it went.
    assert world.reads == 3


def test_a_stop_between_batches_leaves_the_rest_out(tmp_path):
    world = crowd(tmp_path, 120)
    gate, progress = world.gate(), Progress()
    world.before_send = progress.stop
    outcome = gate.send(planned(gate, "cancel", *world.jobs, cluster=world.cluster()), "120", progress)
    assert len(world.sent) == 1 and len(world.jobs) == 70
    left = [
        result for result in outcome.results.values() if result == SendResult("dropped", "not sent: you stopped it")
    ]
    assert len(left) == 70 and progress.ended and len(progress.results) == 50


def test_a_pause_holds_the_next_batch_back(tmp_path):
    world = crowd(tmp_path, 120)
    gate, progress, first = world.gate(), Progress(), threading.Event()

    def pause_after_the_first() -> None:
        if not first.is_set():
            progress.pause()
            first.set()

    world.before_send = pause_after_the_first
    plan = planned(gate, "cancel", *world.jobs, cluster=world.cluster())
    sending = threading.Thread(target=gate.send, args=(plan, "120", progress))
    sending.start()
    assert first.wait(60)
    # It waits as long as nobody lets it go: the thread cannot end, and the rest is not sent.
    sending.join(0.3)
    assert sending.is_alive() and len(world.sent) == 1
    progress.resume()
    sending.join(60)
    assert not sending.is_alive() and len(world.sent) == 3


def test_what_changed_before_its_batch_is_dropped(tmp_path):
    world = crowd(tmp_path, 60)

    def restarted() -> None:
        world.jobs["55"] = job("55", restarts=1, nodes="gpu0055")

    world.before_send = restarted
    gate = world.gate()
    outcome = gate.send(planned(gate, "cancel", *world.jobs, cluster=world.cluster()), "60")
    assert outcome.results["55"] == SendResult("dropped", "it was requeued meanwhile")
    assert "55" in world.jobs and len(world.jobs) == 1


def test_a_controller_that_goes_silent_stops_the_batches(tmp_path):
    world = crowd(tmp_path, 120)
    gate = world.gate()
    plan = planned(gate, "cancel", *world.jobs, cluster=world.cluster())
    world.rc, world.err, world.deaf = None, "no answer in 30 s", True
    outcome = gate.send(plan, "120")
    states = [result.state for result in outcome.results.values()]
    assert len(world.sent) == 1 and states.count("unknown") == 50 and states.count("dropped") == 70


def test_a_job_that_started_meanwhile_saves_its_node_from_going_down(world):
    world.jobs = {"1": job("1", nodes="gpu0001")}
    gate = world.gate()
    plan = planned(gate, "down", "gpu0001", "gpu0002", cluster=world.cluster())
    world.jobs["2"] = job("2", nodes="gpu0002", user="bob")
    outcome = gate.send(plan, "2")
    assert outcome.results["gpu0002"].state == "dropped" and world.sent[0].targets == ("gpu0001",)


def test_rights_are_known_before_the_key(world):
    bob = Rights(user="bob", level="Operator", nodes=False, jobs=True)
    refusal = world.gate().plan("drain", ("gpu0001",), "x", world.cluster(rights=bob))
    assert isinstance(refusal, Refusal) and refusal.why == "drain needs Administrator; you are Operator"


def test_alerts_are_taken_with_a_name_and_lifted_again(tmp_path, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "jdv")
    monkeypatch.setattr("console.gate.gate.login_name", lambda: "jdv")
    world = World(tmp_path, alerts=[alert(f"f{at}", node=f"gpu000{at}") for at in range(1, 4)])
    gate = world.gate()
    plan = planned(gate, "take", "f1", "f2", reason=None, cluster=world.cluster())
    assert plan.confirmation == Confirmation("plain", 2)
    (made,) = plan.change.silences
    assert made.by == "jdv" and made.comment == "taken: I'm on it" and made.seconds == 3600
    outcome = gate.follow(gate.send(plan, "y"), sleep=world.clock.advance)
    assert (
        outcome.results == {"f1": SendResult("done"), "f2": SendResult("done")} and world.alerts["f3"].state == "active"
    )
    lift = planned(gate, "lift", *world.silences, reason=None, cluster=world.cluster())
    outcome = gate.follow(gate.send(lift, "2"), sleep=world.clock.advance)
    assert {one.state for one in outcome.results.values()} == {"done"} and world.silences == {}


def test_a_silence_wants_a_reason_and_its_length_is_said(tmp_path):
    world = World(tmp_path, alerts=[alert("f1", node="gpu0001")])
    gate = world.gate()
    assert planned(gate, "silence", "f1", reason=None, cluster=world.cluster()).missing_reason
    plan = gate.plan("silence", ("f1",), "spare part on its way", world.cluster(), Options(seconds=1800))
    assert isinstance(plan, Plan) and plan.change.silences[0].seconds == 1800


def test_without_an_alertmanager_a_silence_is_refused(tmp_path):
    def none(kind: str) -> object:
        raise SourceFault("missing", "no Alertmanager is configured")

    world = World(tmp_path, alerts=[alert("f1")])
    gate = world.gate()
    gate._open_writer = none  # type: ignore[assignment]
    refusal = gate.plan("take", ("f1",), None, world.cluster())
    assert isinstance(refusal, Refusal) and "no Alertmanager" in refusal.why


def test_old_facts_are_read_again_and_never_acted_on_blindly(world):
    gate = world.gate(transport=None)
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    world.clock.advance(31)
    assert "too old" in (gate.send(plan, "y").refused or "")
    # Two polls of a slow source are longer than the figure: then they count.
    slow = msgspec.structs.replace(world.cluster().sources["slurm.nodes"], due_s=60.0)
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster(sources={"slurm.nodes": slow}))
    world.clock.advance(31)
    assert gate.send(plan, "y").refused is None


def test_an_extra_reading_is_what_the_pre_flight_judges_by(world):
    world.node("gpu0001", "IDLE+DRAIN", reason="x", reason_by="jdv")
    plan = world.gate().plan(
        "resume", ("gpu0001",), None, world.cluster(), None, PreflightReads(faults=("no telemetry",))
    )
    assert isinstance(plan, Plan) and any(check.level == "unknown" for check in plan.checks)


def test_a_preview_that_was_left_open_for_long_is_acted_on_no_more(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    world.clock.advance(301)
    assert "too old" in (gate.send(plan, "y").refused or "") and world.sent == []
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    world.clock.advance(299)
    assert gate.send(plan, "y").refused is None
