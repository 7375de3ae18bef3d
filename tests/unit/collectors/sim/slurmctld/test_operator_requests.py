"""The simulated controller does what an operator asks, or refuses in Slurm's words."""

from __future__ import annotations

import pytest

from collectors.sim.slurmctld.job_queue import REQUEUE_WAIT_S
from collectors.sim.slurmctld.operator_requests import commands
from tests.support.make import change_of
from tests.support.sim_operator import HOUR, START, Operator

# -- nodes -------------------------------------------------------------------------------------------------------------


def test_a_drained_node_works_until_its_last_job_ends():
    op = Operator()
    name = op.find("allocated")
    jobs = list(op.machine.host(name).jobs)
    sent = op.does("drain", name, reason="bad DIMM")
    assert sent.argv == ("scontrol", "update", f"NodeName={name}", "State=DRAIN", "Reason=bad DIMM")
    assert (sent.rc, sent.err, sent.refused, sent.targets) == (0, "", {}, (name,))
    node = op.node(name)
    assert (node.display, node.flags, node.state) == ("draining", ("DRAIN",), "ALLOCATED")
    assert (node.reason, node.reason_by, node.reason_at) == ("bad DIMM", "mdejong", START)
    assert all(op.job(job).state == "RUNNING" for job in jobs)
    for job in jobs:
        op.does("cancel", job)
    assert op.node(name).display == "drained"
    op.wait(30 * HOUR)
    assert op.node(name).display == "drained" and not op.machine.host(name).jobs


def test_a_drain_needs_a_reason():
    op = Operator()
    name = op.find("allocated")
    for action in ("drain", "down"):
        with pytest.raises(ValueError, match="needs a reason"):
            op.does(action, name, reason=" ")
    assert op.node(name).display == "allocated"


def test_many_are_folded_and_some_are_refused():
    op = Operator()
    sent = op.does("drain", "gpu0001", "gpu0002", "gpu0003", "gpu9999", reason="power work")
    assert sent.argv[2] == "NodeName=gpu[0001-0003,9999]"
    assert sent.rc == 1 and sent.refused == {"gpu9999": "Invalid node name specified"}
    assert sent.err == "slurm_update error: Invalid node name specified"
    assert all(op.node(f"gpu000{n}").reason == "power work" for n in (1, 2, 3))


def test_a_drained_node_resumes_and_takes_work():
    op = Operator()
    name = op.find("allocated")
    op.does("drain", name, reason="look")
    for job in list(op.machine.host(name).jobs):
        op.does("cancel", job)
    assert op.does("resume", name).rc == 0
    node = op.node(name)
    assert node.reason is node.reason_by is node.reason_at is None and "DRAIN" not in node.flags
    op.wait(120)
    assert op.machine.host(name).jobs and op.node(name).display in {"mixed", "allocated"}


def test_undrain_clears_the_drain_and_leaves_down():
    op = Operator()
    name = op.find("allocated")
    op.does("drain", name, reason="look")
    op.does("undrain", name)
    assert op.node(name).display == "allocated" and op.node(name).reason is None
    op.machine.break_node(name)
    op.does("drain", name, reason="look")
    assert op.node(name).flags == ("DRAIN", "NOT_RESPONDING")
    assert op.does("undrain", name).rc == 0
    assert (op.node(name).display, op.node(name).reason) == ("down", "look")


def test_resume_from_down_waits_for_slurmd():
    op = Operator()
    name = op.find("allocated")
    op.machine.break_node(name)
    host = op.machine.host(name)
    host.failure = None  # somebody switched it on again
    assert op.does("resume", name).rc == 0
    node = op.node(name)
    assert (node.state, node.flags, node.display) == ("IDLE", ("NOT_RESPONDING",), "resuming")
    assert node.reason is None
    op.wait(60)
    assert op.machine.host(name).jobs and op.node(name).display in {"mixed", "allocated"}
    assert op.node(name).slurmd_at > START


def test_resume_does_not_mend():
    op = Operator()
    dead, ill = op.find("allocated"), "gpu0040"
    op.machine.break_node(dead)
    op.machine.break_node(ill, "NHC: check_gpu", down=False)
    op.does("resume", dead, ill)
    op.wait(300)
    assert (op.node(dead).display, op.node(dead).reason) == ("down", "Not responding")
    assert op.node(ill).reason == "NHC: check_gpu" and "DRAIN" in op.node(ill).flags


def test_what_is_in_service_has_nothing_to_resume():
    op = Operator()
    name = op.find("allocated")
    sent = op.does("resume", name)
    assert sent.rc == 1 and sent.refused == {name: "Invalid node state specified"}
    assert op.node(name).display == "allocated"


def test_a_node_that_registered_wrongly_does_not_resume():
    op = Operator(nodes=1024)
    name = op.find("invalid")
    assert op.does("resume", name).refused == {name: "Invalid node state specified"}
    assert op.node(name).display == "invalid"


def test_what_an_operator_drained_no_robot_resumes():
    op = Operator()
    name = "gpu0011"
    op.machine.break_node(name, "NHC: check_gpu", down=False)
    op.does("drain", name, reason="hands off [KubeGPU-1]")
    for job in list(op.machine.host(name).jobs):
        op.does("cancel", job)
    op.machine.repair_node(name)
    assert (op.node(name).display, op.node(name).reason_by) == ("drained", "mdejong")


def test_nodes_keep_reasons_of_their_own():
    op = Operator()
    change = change_of(action="drain", kind="node", targets=("gpu0001", "gpu0002"), reason="fw",
                    reasons={"gpu0002": "fw [was: NHC]"})  # fmt: skip
    assert [sent.targets for sent in op.machine.apply(change)] == [("gpu0001",), ("gpu0002",)]
    assert [op.node(name).reason for name in change.targets] == ["fw", "fw [was: NHC]"]


def test_down_kills_what_runs_there():
    op = Operator()
    odd = op.running(plain=False)
    index = op.machine.queue.runs[odd].hosts[0]
    name = op.machine.site.hosts[index].name
    plain = [job for job in op.machine.host(name).jobs if job not in op.machine.queue.not_requeueable]
    sent = op.does("down", name, reason="smoke")
    assert sent.argv == ("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=smoke") and sent.rc == 0
    node = op.node(name)
    assert (node.state, node.flags, node.reason, node.gpus_alloc) == ("DOWN", (), "smoke", 0)
    assert odd not in op.machine.jobs() and op.machine.accounting.account(odd).run.state == "NODE_FAIL"
    assert all(op.job(job).restarts for job in plain if job not in op.machine.queue.interactive)
    assert op.machine.gpus(name), "the node itself is on"
    assert op.does("resume", name).rc == 0
    op.wait(15)
    assert op.node(name).state != "DOWN" and op.node(name).reason is None


def test_a_drain_that_ends_by_itself():
    op = Operator()
    name = op.find("allocated")
    sent = op.does("drain", name, reason="a look", resume_after_s=600)
    assert sent.argv[-1] == "ResumeAfter=600" and op.node(name).resume_at == START + 600
    op.does("drain", name, reason="a longer look")
    op.wait(599)
    assert "DRAIN" in op.node(name).flags
    op.wait(1)
    node = op.node(name)
    assert "DRAIN" not in node.flags and node.reason is node.resume_at is None


@pytest.mark.parametrize("meanwhile", ["undrain", "resume", "down"])
def test_another_hand_takes_the_end_of_a_drain_away(meanwhile):
    op = Operator()
    name = op.find("allocated")
    op.does("drain", name, reason="a look", resume_after_s=600)
    op.does(meanwhile, name, reason="smoke")
    assert op.node(name).resume_at is None
    op.does("drain", name, reason="ask jdv")
    op.wait(700)
    assert op.node(name).reason == "ask jdv"


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_requeue_kills_the_work_and_keeps_the_id():
    op = Operator()
    job_id = op.running()
    before = op.job(job_id)
    op.wait(5)
    sent = op.does("requeue", job_id)
    assert sent.argv == ("scontrol", "requeue", "Incomplete", job_id) and sent.rc == 0
    job = op.job(job_id)
    assert (job.state, job.reason, job.restarts) == ("PENDING", "BeginTime", before.restarts + 1)
    assert job.submitted == START + 5 and job.nodes is job.started is job.gpus_held is None
    op.wait(REQUEUE_WAIT_S + 1)
    assert op.job(job_id).reason != "BeginTime"


def test_what_cannot_be_requeued():
    op = Operator()
    plain, odd, pending = op.running(), op.running(plain=False), op.waiting()
    assert not op.machine.job_detail(odd).requeueable and op.machine.job_detail(plain).requeueable
    sent = op.does("requeue", plain, odd, pending, "1")
    assert sent.rc == 1
    why = "Only batch jobs are accepted or processed"
    assert sent.refused[odd] == (
        why if odd in op.machine.queue.interactive else "Requested operation is presently disabled"
    )
    assert pending not in sent.refused and not op.job(pending).restarts
    assert sent.refused["1"] == "Invalid job id specified"
    assert "Invalid job id specified for job 1" in sent.err.splitlines()
    assert op.job(plain).state == "PENDING" and op.job(odd).state == "RUNNING"


def test_requeue_and_hold():
    op = Operator()
    job_id = op.running()
    prior = op.job(job_id).priority
    op.does("requeuehold", job_id)
    job = op.job(job_id)
    assert (job.state, job.reason, job.priority) == ("PENDING", "job_requeued_in_held_state", 0)
    op.wait(HOUR)
    assert op.job(job_id).reason == "job_requeued_in_held_state"
    op.does("release", job_id)
    assert op.job(job_id).priority == prior and op.job(job_id).reason == "Priority"


@pytest.mark.parametrize(("action", "reason"), [("hold", "JobHeldAdmin"), ("uhold", "JobHeldUser")])
def test_hold_and_release(action, reason):
    op = Operator()
    one, two = op.waiting(), op.waiting("Resources")
    prior = op.job(one).priority
    sent = op.does(action, one, two)
    assert sent.argv == ("scontrol", action, one, two) and sent.rc == 0
    assert {(op.job(job).priority, op.job(job).reason) for job in (one, two)} == {(0, reason)}
    op.does(action, one)
    sent = op.does("release", one)
    assert sent.argv == ("scontrol", "release", one)
    assert (op.job(one).priority, op.job(one).reason) == (prior, "Priority")
    assert op.does("release", one).rc == 0


def test_a_hold_on_a_running_job_counts_when_it_is_queued_again():
    op = Operator()
    job_id = op.running()
    op.does("hold", job_id)
    assert (op.job(job_id).state, op.job(job_id).priority) == ("RUNNING", 0)
    op.does("requeue", job_id)
    assert (op.job(job_id).state, op.job(job_id).reason) == ("PENDING", "JobHeldAdmin")


def test_a_priority_moves_a_job_in_its_line():
    op = Operator()
    last = op.machine.queue.eligible["gpu"][-1][2]
    sent = op.does("priority", last, values={last: "4000000000"})
    assert sent.argv == ("scontrol", "update", f"JobId={last}", "Priority=4000000000") and sent.rc == 0
    assert op.machine.queue.eligible["gpu"][0][2] == last and op.job(last).priority == 4_000_000_000
    running = op.running()
    op.does("priority", running, values={running: "5"})
    assert (op.job(running).state, op.job(running).priority) == ("RUNNING", 5)


def test_a_held_job_has_no_priority_to_change():
    op = Operator()
    job_id = op.waiting()
    op.does("hold", job_id)
    sent = op.does("priority", job_id, "1", values={job_id: "5", "1": "5"})
    assert sent.rc == 1 and sent.refused == {
        job_id: "Job is in held state, pending scheduler release", "1": "Invalid job id specified",
    }  # fmt: skip
    assert op.job(job_id).priority == 0


def test_cancel():
    op = Operator()
    running, waiting = op.running(), op.waiting()
    hosts = op.machine.queue.runs[running].hosts
    sent = op.does("cancel", running, waiting, "1")
    assert sent.argv == ("scancel", running, waiting, "1")
    assert sent.refused == {"1": "Invalid job id specified"} and sent.rc == 1
    assert not {running, waiting} & set(op.machine.jobs())
    assert all(running not in op.machine.site.hosts[index].jobs for index in hosts)


def test_those_that_waited_for_a_cancelled_job_go_with_it():
    op = Operator()
    op.wait(12 * HOUR)
    child = op.waiting("Dependency")
    parent = op.machine.queue.parents[child]
    assert parent in op.machine.job_detail(child).dependency
    op.does("cancel", parent)
    assert child not in op.machine.jobs()


def test_the_next_in_line_says_what_it_waits_for():
    op = Operator()
    first = op.machine.queue.eligible["gpu"][0][2]
    second = op.machine.queue.eligible["gpu"][1][2]
    assert op.job(first).reason == "Resources" and op.job(second).reason == "Priority"
    op.does("hold", first)
    op.wait(3)
    assert second not in op.machine.jobs() or op.job(second).reason != "Priority"


def test_an_action_that_there_is_not():
    with pytest.raises(ValueError, match="reboot"):
        commands(change_of(action="reboot", kind="node", targets=("gpu0001",), reason="x"))
    with pytest.raises(ValueError, match="drain"):
        commands(change_of(action="drain", kind="job", targets=("1",)))
