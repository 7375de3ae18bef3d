"""Changing Slurm through pyslurm: one process a call, what it says, and what is certain when it says nothing."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from collectors.slurm import writers
from collectors.slurm.native.write import NativeWriter
from tests.native.recorded import recorded_rows
from tests.support.make import change_of

HAND = (sys.executable, "-P", "-m", "collectors.slurm.native.write_worker")


def job(action, *targets, **more):
    return change_of(action=action, kind="job", targets=targets, **more)


def node(action, *targets, **more):
    return change_of(action=action, kind="node", targets=targets, **more)


def send(change, **more):
    (sent,) = NativeWriter(**more).send(change)
    return sent


CALLS = [
    (node("drain", "gpu0001", "gpu0002", reason="bad DIMM"), ("DRAIN", "--reason=bad DIMM", "gpu[0001-0002]"),
     ["modify gpu[0001-0002] state=DRAIN reason=bad DIMM"]),
    (node("undrain", "gpu0001"), ("UNDRAIN", "gpu0001"), ["modify gpu0001 state=UNDRAIN"]),
    (node("resume", "gpu0001"), ("RESUME", "gpu0001"), ["modify gpu0001 state=RESUME"]),
    (node("down", "gpu0001", reason="-x y"), ("DOWN", "--reason=-x y", "gpu0001"),
     ["modify gpu0001 state=DOWN reason=-x y"]),
    (job("hold", "2", "9"), ("hold", "2,9"), ["hold 2", "hold 9"]),
    (job("release", "9"), ("release", "9"), ["release 9"]),
    (job("cancel", "9"), ("scancel", "9"), ["cancel 9"]),
    (job("requeue", "2"), ("requeue", "2"), ["requeue 2"]),
    (job("requeuehold", "2"), ("requeuehold", "2"), ["requeuehold 2"]),
    (job("priority", "9", values={"9": "77"}), ("Priority", "--priority=77", "9"), ["priority 9 77"]),
]  # fmt: skip


@pytest.mark.parametrize("change, words, done", CALLS, ids=[change.action for change, _, _ in CALLS])
def test_what_is_shown_is_what_runs(standin, change, words, done):
    assert NativeWriter().commands(change) == ((*HAND, *words),)
    sent = send(change)
    assert (sent.argv, sent.targets) == ((*HAND, *words), change.targets) and standin.done == done
    assert (sent.rc, sent.refused, sent.fatal, sent.err) == (0, {}, False, "")


def test_each_reason_is_a_call_of_its_own(standin):
    change = node("drain", "gpu0001", "gpu0002", "gpu0003", reason="x", reasons={"gpu0002": "old"})
    assert [one[4:] for one in NativeWriter().commands(change)] == [
        ("DRAIN", "--reason=x", "gpu[0001,0003]"),
        ("DRAIN", "--reason=old", "gpu0002"),
    ]


def test_a_sites_prefix_comes_first(standin):
    assert NativeWriter(("env", "-i")).commands(job("hold", "9"))[0][1:3] == ("-i", sys.executable)


@pytest.mark.parametrize(
    "change",
    [
        job("uhold", "9"),
        job("hold", "7+1"),
        node("reboot", "gpu0001", reason="x", next_state={"gpu0001": "RESUME"}),
        node("drain", "gpu0001", reason="x", resume_after_s=600),
    ],
    ids=["uhold", "part", "reboot", "for a time"],
)
def test_what_it_cannot_do_is_refused_with_the_reason(standin, change):
    writer = NativeWriter()
    assert list(writer.unsupported_targets(change)) == list(change.targets)
    with pytest.raises(ValueError, match="pyslurm"):
        writer.send(change)
    assert standin.done == []


def test_only_the_tasks_go_another_way(standin):
    assert list(NativeWriter().unsupported_targets(job("cancel", "9", "5_3"))) == ["5_3"]


@pytest.mark.parametrize("name", ["ALL", "gpu[1-2]", "-x", "$(x)", ""])
def test_only_plain_names_are_sent(standin, name):
    with pytest.raises(ValueError):
        NativeWriter().send(node("resume", name))
    assert standin.done == []


def test_the_hand_itself_takes_no_task_for_a_number(standin):
    """int("5_3") is 53."""
    sent = NativeWriter()._one((*HAND, "scancel", "5_3"), ("5_3",))
    assert "only together with" in sent.refused["5_3"] and standin.done == [] and sent.rc == 1
    sent = NativeWriter()._one((*HAND, "scancel", "5 3"), ("5_3",))
    assert "by number alone" in sent.refused["5_3"] and standin.done == [] and sent.rc == 1


def array(standin, running=(), waiting="2-4", of=50):
    """An array: two tasks that run as 51 and 52, the rest waits in the record with the array's own number."""
    plain = next(row for row in recorded_rows("jobs") if row["id"] == 2)
    rows = [plain | {"id": of + 1 + task, "array_id": of, "array_task_id": task or None} for task in running]
    last = {"id": of, "array_id": of, "array_task_id": None, "array_tasks_waiting": waiting, "state": "PENDING",
            "allocated_nodes": None}  # fmt: skip
    standin.holds(jobs=[*rows, plain | last] if waiting else rows)


ALL = tuple(f"50_{task}" for task in range(5))


@pytest.mark.parametrize(
    ("action", "targets", "words", "done"),
    [
        # The number of an array ends all of its tasks.
        ("cancel", ALL, ("scancel", "50_[0-4]"), ["cancel 51", "cancel 52", "cancel 50"]),
        ("cancel", ALL[:2], ("scancel", "50_[0-1]"), ["cancel 51", "cancel 52"]),
        ("hold", ALL[2:], ("hold", "50_[2-4]"), ["hold 50"]),
        ("release", ALL[2:], ("release", "50_[2-4]"), ["release 50"]),
        ("requeue", ALL[:1], ("requeue", "50_0"), ["requeue 51"]),
        ("priority", ALL[2:], ("Priority", "--priority=7", "50_[2-4]"), ["priority 50 7"]),
    ],
)  # fmt: skip
def test_arrays_are_changed_by_the_numbers_of_their_records(standin, action, targets, words, done):
    array(standin, (0, 1))
    change = job(action, *targets, values=dict.fromkeys(targets, "7") if action == "priority" else {})
    assert NativeWriter().unsupported_targets(change) == {}
    assert NativeWriter().commands(change) == ((*HAND, *words),)
    sent = send(change)
    assert (sent.rc, sent.refused, sent.targets) == (0, {}, targets) and standin.done == done


@pytest.mark.parametrize(
    ("action", "targets", "others"),
    [("cancel", ALL[2:], 2), ("cancel", ALL[1:], 1), ("hold", ALL[2:4], 1), ("cancel", ALL[2:3], 4)],
)
def test_no_task_is_changed_that_was_not_named(standin, action, targets, others):
    array(standin, (0, 1))
    change = job(action, *targets)
    waiting = set(targets) & set(ALL[2:])
    why = f"pyslurm changes it only together with {others} other tasks of array 50"
    assert NativeWriter().unsupported_targets(change) == dict.fromkeys(waiting, why)
    sent = send(change)  # the array moved on between the preview and now
    assert {one for one, text in sent.refused.items() if text == why} == waiting and sent.rc == 1
    assert not [one for one in standin.done if one.endswith(" 50")]


def test_tasks_that_have_ended_and_arrays_that_cannot_be_read_are_left_alone(standin):
    array(standin, (0, 1), waiting="")
    change = job("hold", "50_0", "50_7")
    assert NativeWriter().unsupported_targets(change) == {}
    assert send(change).refused == {"50_7": "it has ended or is gone"} and standin.done == ["hold 51"]
    array(standin, (0,), waiting="2-4,...")
    assert list(NativeWriter().unsupported_targets(job("cancel", "50_0"))) == []
    assert send(job("cancel", "50_2")).refused == {"50_2": "it has ended or is gone"}
    standin.meets({"jobs": [1800, "Unable to contact slurm controller"]})
    assert "its array cannot be read" in send(job("cancel", *ALL)).refused["50_0"]
    assert standin.done == ["hold 51"]


def test_jobs_and_arrays_are_calls_of_their_own(standin):
    array(standin)
    change = job("hold", "9", "50_2", "10", "50_3", "50_4")
    assert [one[4:] for one in NativeWriter().commands(change)] == [("hold", "9,10"), ("hold", "50_[2-4]")]


def test_refusals_by_job(standin):
    standin.meets({"hold 9": [2017, "Invalid job id specified"]})
    sent = send(job("hold", "2", "9", "10"))
    assert (sent.rc, sent.refused, sent.fatal) == (1, {"9": "Invalid job id specified"}, False)
    assert standin.done == ["hold 2", "hold 9", "hold 10"]


def test_a_node_update_that_fails_names_no_node(standin):
    standin.meets({"modify gpu[0001-0002] state=RESUME": [2180, "Invalid node state transition"]})
    sent = send(node("resume", "gpu0001", "gpu0002"))
    assert (sent.rc, sent.refused, sent.err) == (1, {}, "Invalid node state transition")


def test_a_caller_without_rights_is_refused_everything(standin):
    standin.meets({"modify gpu[0001-0002] state=RESUME": [2010, "Invalid user id"]})
    sent = send(node("resume", "gpu0001", "gpu0002"))
    assert sent.refused == dict.fromkeys(("gpu0001", "gpu0002"), "Invalid user id") and sent.fatal


def test_a_dead_controller_stops_the_rest(standin):
    standin.meets({"hold 2": [1800, "Unable to contact slurm controller (connect failure)"]})
    sent = send(job("hold", "2", "9"))
    assert set(sent.refused) == {"2", "9"} and sent.fatal and standin.done == ["hold 2"]


def test_an_answer_that_never_came_is_in_doubt(standin):
    standin.meets({"hold 2": [5004, "Socket timed out on send/recv operation"]})
    sent = send(job("hold", "2", "9"))
    assert sent.rc is None and set(sent.refused) == {"9"} and "may have been done" in sent.err
    assert standin.done == ["hold 2"]


def test_a_node_update_that_got_no_answer_is_in_doubt(standin):
    """A stopped slurmctld drains the node when it goes on, ten seconds after libslurm gave up."""
    standin.meets({"modify gpu0001 state=DRAIN reason=x": [5004, "Socket timed out on send/recv operation"]})
    sent = send(node("drain", "gpu0001", reason="x"))
    assert (sent.rc, sent.refused) == (None, {}) and "may have been done" in sent.err


@pytest.mark.parametrize("fault, says", [("hang", "no answer in"), (int(signal.SIGSEGV), "ended by -11")])
def test_a_call_that_died_after_it_began_is_in_doubt(standin, fault, says):
    standin.meets({"hold 9": fault})
    sent = send(job("hold", "9"), deadline_s=3.0 if fault == "hang" else 30.0)
    assert (sent.rc, sent.refused) == (None, {}) and says in sent.err and "it may have been done" in sent.err


@pytest.mark.parametrize("fault", ["exit", "missing", int(signal.SIGKILL)])
def test_a_call_that_died_before_it_began_has_changed_nothing(standin, fault):
    standin.meets({"import": fault})
    sent = send(job("hold", "9"))
    assert sent.rc and list(sent.refused) == ["9"] and sent.fatal and standin.done == []


def test_a_requeue_reruns_nothing_that_waits_or_has_ended(standin):
    standin.holds(jobs=[row | ({"state": "COMPLETED"} if row["id"] == 3 else {}) for row in recorded_rows("jobs")])
    sent = send(job("requeue", "2", "3", "9", "77"))
    assert standin.done == ["requeue 2"] and sent.rc == 1
    assert sent.refused == {
        "3": "it has ended or is gone",
        "9": "it waits already (PENDING)",
        "77": "it has ended or is gone",
    }


def test_a_requeue_whose_states_cannot_be_read_is_not_sent(standin):
    standin.meets({"jobs": [1800, "Unable to contact slurm controller"]})
    sent = send(job("requeue", "2"))
    assert standin.done == [] and list(sent.refused) == ["2"] and sent.rc == 1


def test_a_cancel_that_nothing_came_of_is_in_doubt(standin):
    standin.meets(deaf=[2])
    sent = send(job("cancel", "2", "9"))
    assert sent.rc is None and "job 2 was asked to end and is still RUNNING" in sent.err and sent.refused == {}


def test_a_program_that_cannot_be_started_has_changed_nothing(standin, monkeypatch):
    monkeypatch.setattr(sys, "executable", os.devnull)
    sent = send(job("hold", "9"))
    assert (sent.rc, list(sent.refused), sent.fatal) == (127, ["9"], True)


def test_the_gates_writer_sends_over_pyslurm(standin):
    from collectors.slurm import SlurmSettings

    writer = writers.open_writer(SlurmSettings(transport="native"))
    assert writer.commands(job("hold", "9"))[0][:4] == HAND
    with pytest.raises(ValueError, match="crashes on a hold by the owner"):
        writer.commands(job("uhold", "9"))
