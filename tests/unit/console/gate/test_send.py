"""What the gate does with a confirmed plan: looks again, writes it down, sends it once, and sees what came of it."""

from __future__ import annotations

import threading

import msgspec
import pytest

from console.gate.gate import Gate
from console.gate.outcome import Outcome, SendResult
from console.journal.writer import Journal, JournalFault, verify
from tests.faults import fault
from tests.support.gate_world import job, planned, small


@pytest.fixture
def world(tmp_path):
    return small(tmp_path)


def test_done_is_what_a_later_reading_shows(world):
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.results == {"gpu0001": SendResult("pending")} and len(outcome.waiting) == 1
    outcome = gate.follow(outcome, sleep=world.clock.advance)
    assert outcome.results == {"gpu0001": SendResult("done", shown_state="drained")} and outcome.waiting == ()
    assert [line["event"] for line in world.journal()] == ["intent", "result", "verified"]
    assert verify(world.path).ok


def test_the_intent_is_on_the_disk_before_the_command(world):
    seen = []
    world.before_send = lambda: seen.extend(world.journal())
    gate = world.gate()
    gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    (intent,) = seen
    assert (intent["event"], intent["action"], intent["targets"]) == ("intent", "drain", ["gpu0001"])
    assert intent["argv"] == [["do", "drain", "Reason=bad DIMM", "gpu0001"]] and intent["age_s"] == 0
    assert intent["seen"] == {"gpu0001": {"state": "IDLE", "reason": None, "by": None, "at": None, "boot_at": None}}


@fault("journal", "neither disk nor syslog takes the intent", "nothing is sent")
def test_without_a_journal_nothing_is_sent(world):
    world.path.mkdir()
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert "the journal cannot be written" in (outcome.refused or "") and world.sent == []


def array(*numbers: int) -> list:
    return [job(f"7_{number}", "PENDING", reason="Priority") for number in numbers]


def test_an_array_goes_out_under_its_own_id_where_that_hits_exactly_the_targets(world):
    world.takes_arrays = True
    world.jobs |= {one.id: one for one in array(*range(120))}
    gate = world.gate()
    tasks = tuple(f"7_{number}" for number in range(120))
    outcome = gate.send(planned(gate, "cancel", *tasks, cluster=world.cluster()), "120")
    (sent,) = world.sent
    assert sent.arrays == {"7": tasks} and set(outcome.results) == set(tasks), "in one batch: it is one request"


def test_an_array_of_which_a_task_is_left_out_goes_out_task_by_task(world):
    world.takes_arrays = True
    world.jobs |= {one.id: one for one in array(0, 1, 2)}
    gate = world.gate()
    gate.send(planned(gate, "cancel", "7_0", "7_1", cluster=world.cluster()), "2")
    plan = planned(gate, "cancel", "7_2", cluster=world.cluster())
    assert [one.arrays for one in world.sent] == [{}] and plan.change.arrays == {}


def test_an_array_that_changed_since_the_preview_goes_out_task_by_task(world):
    world.takes_arrays = True
    world.jobs |= {one.id: one for one in array(0, 1, 2)}
    gate = world.gate()
    plan = planned(gate, "cancel", "7_0", "7_1", "7_2", cluster=world.cluster())
    assert plan.change.arrays
    world.jobs["7_1"] = job("7_1", "COMPLETED")
    gate.send(plan, "3")
    (sent,) = world.sent
    assert (sent.targets, sent.arrays) == (("7_0", "7_2"), {})


@pytest.mark.parametrize("takes", [False, True])
def test_only_a_cancel_by_a_writer_that_can_do_that_names_an_array(world, takes):
    world.takes_arrays = takes
    world.jobs |= {one.id: one for one in array(0, 1)}
    plan = planned(world.gate(), "hold" if takes else "cancel", "7_0", "7_1", cluster=world.cluster())
    assert plan.change.arrays == {}


def test_a_result_that_cannot_be_written_is_said(world):
    world.before_send = lambda: (world.path.unlink(), world.path.mkdir())
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.refused is None and outcome.results["gpu0001"].state == "pending"
    assert "not in the journal" in outcome.warning and "nothing was sent" not in outcome.warning


def test_a_wrong_answer_spends_the_plan(world):
    gate = world.gate()
    plan = planned(gate, "cancel", "88121", cluster=world.cluster())
    assert "1 was asked for" in (gate.send(plan, "y").refused or "")
    assert "used already" in (gate.send(plan, "1").refused or "")
    assert world.sent == [] and world.journal() == []


def test_a_journal_in_a_home_of_nobodys_sends_nothing(world, monkeypatch):
    def opened() -> None:
        raise RuntimeError("Could not determine home directory.")

    gate = world.gate()
    monkeypatch.setattr(gate, "_open_journal", opened)
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert "the journal cannot be written: Could not determine home" in (outcome.refused or "") and world.sent == []


@fault("people", "one plan confirmed by many threads at once", "sent once")
def test_many_hands_send_once(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    outcomes: list[Outcome] = []
    start = threading.Barrier(8)

    def press() -> None:
        start.wait()
        outcomes.append(gate.send(plan, "y"))

    hands = [threading.Thread(target=press) for _ in range(8)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    assert len(world.sent) == 1 and sum(outcome.refused is None for outcome in outcomes) == 1


def test_a_plan_of_another_gate_is_not_sent(world):
    plan = planned(world.gate(), "drain", "gpu0001", cluster=world.cluster())
    assert world.gate().send(plan, "y").refused is not None
    gate = world.gate()
    forged = msgspec.structs.replace(planned(gate, "drain", "gpu0001", cluster=world.cluster()), id="forged")
    assert gate.send(forged, "y").refused is not None and world.sent == []


# -- looked at again --------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_again_is_not_acted_on(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    world.blind = True
    assert "could not be read again" in (gate.send(plan, "y").refused or "") and world.sent == []


def test_without_a_transport_only_fresh_facts_count(world):
    gate = world.gate(transport=None)
    cluster = world.cluster()
    stale = planned(gate, "drain", "gpu0001", cluster=cluster)
    world.clock.advance(31)
    assert "too old" in (gate.send(stale, "y").refused or "") and world.sent == []
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert gate.follow(outcome, sleep=world.clock.advance).results["gpu0001"].state == "unknown"


def change_node(state: str, **more: object):
    return lambda world: world.node("gpu0002", state, **more)


def change_job(id: str, state: str, **more: object):
    return lambda world: world.jobs.update({id: job(id, state, **more)})


@pytest.mark.parametrize(
    ("action", "targets", "meanwhile", "why"),
    [
        ("drain", ("gpu0001", "gpu0002"), lambda world: world.nodes.pop("gpu0002"), "no longer lists it"),
        ("drain", ("gpu0001", "gpu0002"), change_node("MIXED+DRAIN", reason_by="jdv"), "already draining by jdv"),
        ("drain", ("gpu0001", "gpu0002"), change_node("MIXED", reason="mine", reason_by="jdv"), "another reason"),
        ("drain", ("gpu0001", "gpu0002"), change_node("ALLOCATED#"), "it would now kill jobs"),
        ("cancel", ("88133", "88121"), lambda world: world.jobs.pop("88121"), "no longer lists it"),
        ("cancel", ("88121", "88133"), change_job("88133", "RUNNING"), "it started meanwhile"),
        ("cancel", ("88133", "88121"), change_job("88121", "RUNNING", user="bob"), "another job of bob"),
        ("cancel", ("88133", "88121"), change_job("88121", "RUNNING", restarts=1), "requeued meanwhile"),
        ("cancel", ("88133", "88121"), change_job("88121", "COMPLETING"), "it is ending"),
    ],
)  # fmt: skip
def test_worse_than_confirmed_drops_that_target(world, action, targets, meanwhile, why):
    gate = world.gate()
    plan = planned(gate, action, *targets, cluster=world.cluster())
    meanwhile(world)
    outcome = gate.send(plan, "2")
    left, other = targets
    assert outcome.refused is None and world.sent[0].targets == (left,)
    assert outcome.results[other].state == "dropped" and why in outcome.results[other].why
    assert world.journal()[0]["dropped"].keys() == {other}


def test_a_new_reason_drops_a_resume(world):
    gate = world.gate()
    plan = planned(gate, "resume", "gpu0003", cluster=world.cluster())
    world.node("gpu0003", "IDLE+DRAIN", reason="do not touch", reason_by="jdv")
    assert 'another reason was set meanwhile by jdv "do not touch"' in (gate.send(plan, "y").refused or "")
    assert world.sent == [] and world.journal() == []


def test_less_harm_than_confirmed_does_not_stop_it(world):
    gate = world.gate()
    plan = planned(gate, "drain", "gpu0002", cluster=world.cluster())
    world.node("gpu0002", "DOWN")
    assert gate.send(plan, "y").refused is None


# -- what came of it --------------------------------------------------------------------------------------------------


def test_a_timeout_is_unknown_then_what_is_seen(world):
    world.rc, world.err = None, "no answer in 30 s"
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.results["gpu0001"] == SendResult("unknown", "no answer in 30 s")
    assert gate.follow(outcome, sleep=world.clock.advance).results["gpu0001"].state == "done"
    assert len(world.sent) == 1


def test_a_timeout_that_nobody_sees_stays_unknown_and_is_not_sent_again(world):
    world.rc, world.err, world.deaf = None, "no answer in 30 s", True
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    result = gate.follow(outcome, 60, sleep=world.clock.advance).results["gpu0001"]
    assert result.state == "unknown" and "now idle" in result.why and "no answer in 30 s" in result.why
    assert len(world.sent) == 1


def test_single_refusals_fail_and_the_rest_goes_on(world):
    world.rc, world.refuses = 1, {"88121": "Access/permission denied"}
    gate = world.gate()
    outcome = gate.send(planned(gate, "cancel", "88121", "88133", cluster=world.cluster()), "2")
    assert outcome.results == {
        "88121": SendResult("failed", "Access/permission denied"),
        "88133": SendResult("pending"),
    }
    assert gate.follow(outcome, sleep=world.clock.advance).results["88133"].state == "done"
    assert world.journal()[1]["outcome"]["88121"] == {"state": "failed", "why": "Access/permission denied"}


def test_an_error_that_names_nobody_is_unknown_until_read_back(world):
    world.rc, world.err = 1, "slurm_update error: Invalid node state specified"
    gate = world.gate()
    outcome = gate.send(planned(gate, "resume", "gpu0003", "gpu0004", cluster=world.cluster()), "2")
    assert {result.state for result in outcome.results.values()} == {"unknown"}
    assert {one.state for one in gate.follow(outcome, sleep=world.clock.advance).results.values()} == {"done"}


def test_what_was_not_sent_any_more_is_told(world):
    world.rc, world.err, world.batch = None, "no answer", 1
    gate = world.gate()
    outcome = gate.send(planned(gate, "cancel", "88121", "88133", cluster=world.cluster()), "2")
    assert [outcome.results[one].state for one in ("88121", "88133")] == ["unknown", "dropped"]
    assert "88133" in world.jobs


def test_a_broken_writer_is_unknown_and_written_down(world):
    world.explodes = True
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.results["gpu0001"] == SendResult("unknown", "RuntimeError: a bug in the writer")
    assert world.journal()[-1]["failure"] == "RuntimeError: a bug in the writer"


def test_the_result_is_written_though_no_thread_is_to_be_had(world, monkeypatch):
    def none_left(_):
        raise RuntimeError("can't start new thread")

    world.before_send = lambda: monkeypatch.setattr("console.journal.writer._Write.start", none_left)
    gate = world.gate()
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert outcome.warning == "" and [line["event"] for line in world.journal()] == ["intent", "result"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), KeyError("a bug")])
def test_whatever_cuts_it_off_the_result_is_written(world, monkeypatch, error):
    def cut(*_):
        raise error

    monkeypatch.setattr("console.gate.gate.pending_targets", cut)
    gate = world.gate()
    with pytest.raises(type(error)):
        gate.send(planned(gate, "drain", "gpu0001", "gpu0002", cluster=world.cluster()), "2")
    intent, result = world.journal()
    assert (result["event"], result["id"]) == ("result", intent["id"]) and verify(world.path).ok
    assert result["failure"].startswith(f"cut off: {type(error).__name__}")
    assert {told["state"] for told in result["outcome"].values()} == {"pending"}, "what was known of them stands"


def test_what_was_on_its_way_when_it_was_cut_off_is_unknown(world):
    def cut():
        raise KeyboardInterrupt

    world.before_send = cut
    gate = world.gate()
    with pytest.raises(KeyboardInterrupt):
        gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    assert world.journal()[-1]["outcome"]["gpu0001"]["state"] == "unknown"


def test_a_journal_that_cannot_be_opened_any_more_is_told(world):
    def gone():
        raise PermissionError(13, "Permission denied")

    gate = world.gate()
    plan = planned(gate, "drain", "gpu0001", cluster=world.cluster())
    world.before_send = lambda: (setattr(gate, "_journal", None), setattr(gate, "_open_journal", gone))
    outcome = gate.send(plan, "y")
    assert outcome.results["gpu0001"].state == "pending" and "not in the journal: PermissionError" in outcome.warning


@fault("journal", "the disk fails between intent and result", "what was done is told, and that it is not written")
def test_a_journal_that_breaks_on_the_way_does_not_hide_the_deed(world):
    class Broken(Journal):
        def write(self, event: str, **fields: object) -> str:
            if event != "intent":
                raise JournalFault("disk gone")
            return super().write(event, **fields)

    gate = Gate("lab", lambda kind: world, world, lambda: Broken(world.path, "lab", world.clock), world.clock)
    outcome = gate.send(planned(gate, "drain", "gpu0001", cluster=world.cluster()), "y")
    outcome = gate.follow(outcome, sleep=world.clock.advance)
    assert outcome.results["gpu0001"].state == "done" and outcome.warning == "this is not in the journal: disk gone"
