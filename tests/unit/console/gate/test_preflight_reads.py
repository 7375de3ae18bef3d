"""What is read on demand before an action is planned: only what it needs, not for ever, and faults as words."""

from __future__ import annotations

import pytest

from collectors.model import JobDetail, SourceFault
from console.actions.registry import BY_ID
from console.cli.act import sources_of
from console.gate.preflight_reads import JOBS_MOST, NODES_MOST, RETURN_SOURCES, needs_reads, read_for
from console.preflight.checks import PreflightReads
from console.runtime.null_sources import NoTelemetry
from tests.support import make
from tests.support.gpu_checks import eight, node, site


class Ear:
    """A Telemetry and Transport that notes what it was asked, and takes its time."""

    def __init__(self, fails=None, takes_s=0.0):
        self.fails, self.takes_s = fails, takes_s
        self.asked: list[tuple[str, ...]] = []
        self.mono = 0.0

    def _answer(self, *what):
        self.asked.append(what)
        self.mono += self.takes_s
        if self.fails is not None:
            raise self.fails

    def gpus(self, nodes):
        self._answer(*nodes)
        return {name: eight(name=name) for name in nodes}

    def job_detail(self, job):
        self._answer(job)
        return JobDetail(id=job, batch=True, requeueable=True)

    def gather(self, cluster, action, targets=None, **more):
        rows = cluster.nodes if BY_ID[action].kind == "node" else cluster.jobs
        named = list(rows) if targets is None else targets
        resumed = more.pop("resumed", {})
        return read_for(BY_ID[action], named, cluster, self, self, resumed, mono=lambda: self.mono, **more)


def test_only_what_the_action_needs_is_read():
    ear = Ear()
    cluster = site(
        node("a"), node("b", "IDLE"), node("c", gpus=0), jobs=[make.job("7", nodes="a"), make.job("8", "PENDING")]
    )
    for action in ("drain", "down", "reboot", "hold", "release", "cancel", "priority"):
        assert ear.gather(cluster, action) == PreflightReads() and ear.asked == []
    extra = ear.gather(cluster, "resume", resumed={"a": 5.0, "z": 6.0})
    assert ear.asked == [("a",)] and list(extra.gpus) == ["a"] and extra.resumed == {"a": 5.0} and extra.faults == ()
    ear.asked.clear()
    assert list(ear.gather(cluster, "requeue").details) == ["7"] and ear.asked == [("7",)]
    assert ear.gather(cluster, "resume", ["c", "gone"]).gpus is None and ear.asked == [("7",)]


@pytest.mark.parametrize("action", ["resume", "undrain", "cancel_reboot"])
def test_whatever_puts_a_node_back_is_judged_by_the_same_facts(action):
    ear = Ear()
    cluster = site(node("a", "IDLE+DRAIN+REBOOT_REQUESTED"))
    extra = ear.gather(cluster, action, resumed={"a": 5.0})
    assert needs_reads(BY_ID[action]) and list(extra.gpus) == ["a"] and extra.resumed == {"a": 5.0}
    assert sources_of(action) == sources_of("resume") >= RETURN_SOURCES


def test_of_many_only_some_are_looked_at_and_that_is_said():
    ear = Ear()
    extra = ear.gather(site(*(node(f"gpu{number:04d}") for number in range(400))), "resume")
    assert len(extra.gpus) == NODES_MOST and extra.faults == (
        "the GPUs of 336 of 400 nodes were not looked at one by one",
    )
    ear.asked.clear()
    extra = ear.gather(site(jobs=[make.job(str(number), nodes="a") for number in range(40)]), "requeue")
    assert len(extra.details) == len(ear.asked) == JOBS_MOST
    assert extra.faults == ("8 of 40 jobs were not looked at one by one",)


def test_the_deadline_ends_it():
    ear = Ear(takes_s=5.0)
    extra = ear.gather(site(*(node(f"gpu{number:04d}") for number in range(64))), "resume")
    assert len(extra.gpus) == 32 and extra.faults[0] == "the telemetry is slow" and len(ear.asked) == 1
    ear = Ear(takes_s=1.0)
    extra = ear.gather(site(jobs=[make.job(str(number), nodes="a") for number in range(20)]), "requeue", deadline_s=3.0)
    assert len(extra.details) == 3 and extra.faults == ("17 of 20 jobs were not looked at one by one",)


def test_where_there_is_no_telemetry_that_is_no_fault():
    assert read_for(BY_ID["resume"], ["gpu0001"], site(node()), Ear(), NoTelemetry(), {}) == PreflightReads()


def test_a_fault_is_told_and_never_raised():
    nodes, jobs = site(node()), site(jobs=[make.job(str(number), nodes="a") for number in range(20)])
    silent = SourceFault("timeout", "prom does not answer", "is it up?")
    assert Ear(silent).gather(nodes, "resume") == PreflightReads(faults=("prom does not answer (is it up?)",))
    (fault,) = Ear(ValueError("\x1b[2J")).gather(nodes, "resume").faults
    assert "ValueError" in fault and "\x1b" not in fault
    ear = Ear(silent)
    assert len(ear.gather(jobs, "requeue").faults) == 2 and len(ear.asked) == 1
    gone = Ear(SourceFault("missing", "Slurm shows no job"))
    assert gone.gather(jobs, "requeue").faults == ("Slurm shows no job",) and len(gone.asked) == 20
    each = Ear()
    each.job_detail = lambda job: (_ for _ in ()).throw(ValueError(job))
    faults = each.gather(jobs, "requeue").faults
    assert len(faults) == 4 and faults[-1] == "and 17 faults more"
