"""The simulated controller does what the week asks of jobs and nodes, or refuses in Slurm's words."""

from __future__ import annotations

from functools import partial

from collectors.sim.sources import SimTransport
from console.actions.registry import BY_ID
from tests.support.make import change_of
from tests.support.sim_operator import HOUR, Operator


class Week(Operator):
    def does(self, action: str, *targets: str, value: str | None = None, **more):
        values = {} if value is None else dict.fromkeys(targets, value)
        sent = self.machine.apply(
            change_of(action=action, kind=BY_ID[action].kind, targets=targets, values=values, **more)
        )  # fmt: skip
        return sent[-1].refused

    def named(self, job: str):
        return SimTransport(partial(lambda machine: machine, self.machine)).read_jobs([job])[job]

    def gone(self, job: str) -> bool:
        return job not in self.machine.jobs()


def test_a_longer_limit_is_lived_to_and_a_shorter_one_ends_it():
    op = Week()
    job = next(one for one, run in op.machine.queue.runs.items() if run.end_state == "TIMEOUT" and run.token > 0)
    left = op.job(job).left_s(op.machine.now)
    was = op.job(job).time_limit_s
    assert op.does("timelimit", job, value="7-00:00:00") == {}
    op.wait(left + 120)
    assert not op.gone(job) and op.job(job).time_limit_s == 7 * 86_400 > was
    hours = -(-op.job(job).elapsed_s(op.machine.now) // HOUR) + 1
    assert op.does("timelimit", job, value=f"{hours // 24}-{hours % 24:02d}:00:00") == {}
    op.wait(2 * HOUR)
    assert op.gone(job), "it was ended by its new limit"
    assert op.does("timelimit", job, value="1:00:00") == {job: "Invalid job id specified"}


def test_a_waiting_job_moves_and_is_kept_off_nodes():
    op = Week()
    job, runs = op.waiting(), op.running()
    assert op.does("jobpartition", job, value="nowhere") == {job: "Invalid partition name specified"}
    there = next(name for name in op.machine.partitions() if name != op.job(job).partition)
    assert op.does("jobpartition", job, runs, value=there).keys() == {runs} and op.job(job).partition == there
    assert op.does("qos", job, value="x") == {job: "Invalid qos specification"}
    assert op.does("exclude", job, value="gpu[0001-0003]") == {} and op.named(job).excluded == "gpu[0001-0003]"
    assert op.does("exclude", job, value="gpu9999") == {job: "Invalid node name specified"}
    before = op.job(job).priority
    assert op.does("nice", job, value="1") == {} and op.named(job).nice == 1 and op.job(job).priority == before - 1
    assert op.does("nice", job, value="0") == {} and op.job(job).priority == before
    assert op.does("exclude", job, value="") == {} and op.named(job).excluded == ""


def test_an_excluded_node_is_not_used():
    op = Week()
    queue = [one for one in op.machine.jobs().values() if one.reason in {"Priority", "Resources"}]
    job = next(one.id for one in queue if one.node_count == 1 and one.partition == "gpu")
    op.machine.queue.set_priority(job, 10**8)
    free = [host.name for host in op.machine.site.hosts if "gpu" in host.partitions][::2]
    assert op.does("exclude", job, value=",".join(free)) == {}
    seen: set[str] = set()
    for _ in range(600):
        op.wait(300)
        if op.gone(job) or op.job(job).nodes is not None:
            seen |= {op.job(job).nodes} if not op.gone(job) else set()
            break
    assert seen and seen.isdisjoint(free), "it started elsewhere"


def test_a_suspended_job_stands_still_and_goes_on():
    op = Week()
    job = op.running()
    nodes, left = op.job(job).nodes, op.machine.queue.runs[job].ends - op.machine.now
    assert op.does("suspend", job) == {} and op.job(job).state == "SUSPENDED"
    assert op.does("suspend", job) == {job: "Requested operation is invalid for the job's state"}
    op.wait(left + HOUR)
    assert op.job(job).state == "SUSPENDED" and op.job(job).nodes == nodes, "it holds what it held"
    assert op.does("unsuspend", job) == {} and op.job(job).state == "RUNNING"
    op.wait(left - 60)
    assert not op.gone(job)
    op.wait(120)
    assert op.gone(job)


def test_signals():
    op = Week()
    job, waits = op.running(), op.waiting()
    assert op.does("signal", job, value="USR1") == {} and not op.gone(job)
    assert op.does("notify", job, value="hello") == {}
    assert op.does("signal", waits, value="TERM") == {waits: "Job/step not running, cannot signal"}
    assert op.does("signal", job, value="TERM") == {} and op.gone(job)


def test_what_stands_in_a_node():
    op = Week()
    assert op.does("comment", "gpu0001", value="spare PSU") == {} and op.node("gpu0001").comment == "spare PSU"
    assert op.does("comment", "gpu0001", value="") == {} and op.node("gpu0001").comment is None
    assert op.does("features", "gpu0001", value="h100") == {} and op.node("gpu0001").features == ("h100",)
    assert op.does("features", "gpu0001", value="gold") == {"gpu0001": "Invalid feature specification"}


def test_power_goes_after_the_last_job_and_comes_back():
    op = Week()
    name = op.find("allocated")
    assert op.does("powerdown", name) == {} and {"DRAIN", "POWER_DOWN"} <= set(op.node(name).flags)
    op.wait(30)
    assert op.machine.host(name).jobs, "what runs there goes on"
    op.empty(name)
    op.wait(20)
    assert "POWERING_DOWN" in op.node(name).flags and "DRAIN" not in op.node(name).flags
    op.wait(60)
    assert "POWERED_DOWN" in op.node(name).flags
    assert op.does("powerup", name) == {} and "POWERING_UP" in op.node(name).flags
    op.wait(300)
    assert not op.machine.host(name).power and "NOT_RESPONDING" not in op.node(name).flags


def test_a_power_down_that_waits_is_called_off():
    op = Week()
    name = op.find("allocated")
    op.does("powerdown", name)
    assert op.does("powerup", name) == {} and op.node(name).display == "allocated"


def test_a_reboot_is_called_off_or_had_at_once():
    op = Week()
    name = op.find("allocated")
    state = {name: "RESUME"}
    assert op.does("cancel_reboot", name) == {name: "Invalid node state specified"}
    op.does("reboot", name, reason="fw", next_state=state)
    assert op.does("cancel_reboot", name) == {} and op.node(name).display == "allocated"
    assert op.node(name).reason is None
    assert op.does("reboot-now", name, reason="fw", next_state=state) == {} and not op.machine.host(name).jobs
    op.wait(30)
    assert "REBOOT_ISSUED" in op.node(name).flags
    op.wait(600)
    assert op.machine.host(name).usable
