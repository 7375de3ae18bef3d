"""The past on a live Slurm with slurmdbd: how jobs ended and why, when nodes were out, whatever a job is called."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from collectors.model import JobAccount, PastJob, SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.accounting import SlurmAccounting
from collectors.slurm.rest.accounting import RestAccounting
from collectors.slurm.sources import open_accounting
from console.queue.job_accounting import end_reason

from . import accounting, rest
from .place import wait_for
from .roots import SUITES, USERS
from .running import running
from .slurm import Lab

pytestmark = pytest.mark.lab

EVIL = "evil\n99999|99999|0|root|x|y\x1b]52;c;eA==\x07|\n"
#: So that memory is counted, as on a real site.
GATHER = "JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=1\n"


class Story(NamedTuple):
    """A lab in which a night has passed."""

    lab: Lab
    accounts: SlurmAccounting
    began: int
    jobs: dict[str, str]

    def account(self, name: str) -> JobAccount:
        return self.accounts.account_of_job(self.jobs[name])


@pytest.fixture(scope="module", params=SUITES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from running(request.param, nodes=4, accounting=True, restd=True, extra=GATHER)


@pytest.fixture(scope="module")
def story(lab: Lab) -> Iterator[Story]:
    """Jobs that end in every way, and a node that goes down under two of them."""
    began = int(time.time()) - 1
    one = {"user": "alice", "gpus": 1, "nodelist": "gpu0001"}
    jobs = {
        "ok": lab.submit(**one, script="exit 0", name=EVIL),
        "failed": lab.submit(**one, script="srun sh -c 'exit 7'; exit 3", extra=("--output=/tmp/%x-%j.out",)),
        "killed": lab.submit(**one, script="kill -SEGV $$"),
        "cancelled": lab.submit(**one),
        "moved": lab.submit(user="alice", gpus=1, nodelist="gpu0002"),
        "dead": lab.submit(user="bob", gpus=1, nodelist="gpu0002", requeue=False),
        "array": lab.submit(**one, array="0-1", script="exit 0"),
    }
    if lab.suite == "forky":  # once is enough: slurmctld looks for such jobs every 30 s
        jobs["late"] = lab.submit(**one)
    ids = {name: found for name, (found,) in jobs.items()}
    lab.wait_jobs("RUNNING", [ids[name] for name in ("cancelled", "late", "moved", "dead") if name in ids])
    if "late" in ids:
        lab.check(["scontrol", "update", f"JobId={ids['late']}", "EndTime=now"])
    lab.check(["scancel", ids["cancelled"]], "bob")
    lab.check(["scontrol", "update", "NodeName=gpu0002", "State=DOWN", "Reason=x|\ngpu0002|DOWN|9|10|root|forged"])
    down = time.time()
    accounts = SlurmAccounting(SlurmSettings())
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{lab.bin_dir}:{path}"
    try:
        wait_for(lambda: _not_told(accounts, ids), 60)
        # Of one that began and ended in the same second slurmdbd keeps nothing (24.11).
        wait_for(lambda: "" if time.time() > down + 2 else "the outage is too short", 5)
        lab.check(["scontrol", "update", "NodeName=gpu0002", "State=RESUME"])
        yield Story(lab, accounts, began, ids)
    finally:
        os.environ["PATH"] = path


def _not_told(accounts: SlurmAccounting, ids: dict[str, str]) -> str:
    """The accounts come a moment after the queue."""
    for name, job in ids.items():
        if name == "array":
            continue
        try:
            found = accounts.account_of_job(job)
        except SourceFault as error:
            return f"{name}: {error}"
        if not _killed(found) if name == "moved" else found.run.ended is None:
            return f"{name} has not ended: {found.run.state}"
    return ""


def _killed(found: JobAccount) -> list[tuple[str, str | None]]:
    """The runs that a node took down with it. One that waits again comes into the accounting when it may start."""
    return [(run.state, run.nodes) for run in (found.run, *found.earlier) if run.state == "NODE_FAIL"]


def test_why_each_of_them_ended(story: Story) -> None:
    now = time.time()
    said = {name: end_reason(story.account(name), now) for name in story.jobs if name not in {"array", "moved"}}
    assert said["ok"] == "it completed"
    assert said["failed"] == "its script ended with exit code 3"
    assert said["killed"] == "its script was ended by signal 11 (SIGSEGV)"
    assert said["cancelled"] == f"it was cancelled by uid {USERS['bob']}"
    assert said.get("late", "it reached its time limit").startswith("it reached its time limit")
    assert said["dead"].startswith("killed by the failure of gpu0002 at ")
    assert "(set DOWN by " in said["dead"] and "forged" in said["dead"]
    assert _killed(story.account("moved")) == [("NODE_FAIL", "gpu0002")]


def test_a_name_is_a_name(story: Story) -> None:
    found = story.account("ok").run
    assert found.name.isprintable() and found.name.startswith("evil\\n99999|99999|0|root|x|y\\e]52")
    assert (found.user, found.exit_code, found.gpus, found.node_count) == ("alice", 0, 1, 1)
    with pytest.raises(SourceFault, match="has no job 99999"):
        story.accounts.account_of_job("99999")


def test_steps_codes_and_where_it_wrote(story: Story) -> None:
    failed = story.account("failed")
    codes = {step.id: (step.state, step.exit_code) for step in failed.steps}
    assert codes["batch"] == ("FAILED", 3) and codes["0"] == ("FAILED", 7)
    assert (failed.run.exit_code, failed.run.derived_code) == (3, 7)
    assert failed.stdout == f"/tmp/wrap-{failed.run.id}.out" and failed.working_dir == "/tmp"
    assert failed.memory_alloc_mb and failed.cpu_s is not None


def test_the_last_jobs_of_a_node(story: Story) -> None:
    one = story.accounts.jobs_of_node("gpu0001", story.began, 50)
    tasks = {f"{story.jobs['array']}_{task}" for task in (0, 1)}
    assert {run.id for run in one} == {
        story.jobs[name] for name in story.jobs if name not in {"array", "moved", "dead"}
    } | tasks
    assert [run.ended for run in one] == sorted((run.ended for run in one), reverse=True)
    two = {run.id: run for run in story.accounts.jobs_of_node("gpu0002", story.began, 50)}
    assert {run.state for run in two.values()} == {"NODE_FAIL"}
    assert set(two) == {story.jobs["moved"], story.jobs["dead"]}, "one that was queued again ran here all the same"
    assert story.accounts.jobs_of_node("gpu0003", story.began, 50) == []
    assert len(story.accounts.jobs_of_node("gpu0001", story.began, 2)) == 2


def test_when_a_node_was_out(story: Story) -> None:
    (event,) = [one for one in story.accounts.events_of_node("gpu0002", story.began) if "forged" in (one.reason or "")]
    assert event.state.startswith("DOWN") and event.by == "root"
    assert event.reason == "x|\\ngpu0002|DOWN|9|10|root|forged"
    assert story.began <= event.began and (event.ended is None or event.began <= event.ended <= time.time())
    assert all(one.began >= 1000 for one in story.accounts.events_of_node("gpu0002", 0)), "no event is forged"
    during = story.account("dead").events
    assert during is not None and event.began in {one.began for one in during}


def test_an_array_is_asked_for_by_task(story: Story) -> None:
    array = story.jobs["array"]
    with pytest.raises(SourceFault, match="2 jobs in one"):
        story.accounts.account_of_job(array)
    assert story.accounts.account_of_job(f"{array}_1").run.state == "COMPLETED"


def test_slurmrestd_tells_the_same(story: Story) -> None:
    over = open_accounting("lab", SlurmSettings(transport="rest", socket=str(rest.socket(story.lab))))
    assert isinstance(over, RestAccounting)

    def same(run: PastJob) -> PastJob:
        return replace(
            run, cancelled_by=run.cancelled_by and "somebody", derived_code=run.derived_code or 0,
            derived_signal=run.derived_signal or 0,
        )  # fmt: skip

    for node in ("gpu0001", "gpu0002"):
        told, here = ({same(run) for run in one.jobs_of_node(node, story.began, 50)} for one in (over, story.accounts))
        assert told == here, node
    for name, job in story.jobs.items():
        if name in {"array", "moved"}:
            continue
        told, here = over.account_of_job(job), story.account(name)
        assert same(told.run) == same(here.run), name
        assert [step.id for step in told.steps] == [step.id for step in here.steps]
        assert [(step.state, step.exit_code, step.signal, step.nodes) for step in told.steps] == [
            (step.state, step.exit_code, step.signal, step.nodes) for step in here.steps
        ], name
        assert (told.stdout, told.working_dir, told.memory_alloc_mb) == (
            here.stdout, here.working_dir, here.memory_alloc_mb,
        )  # fmt: skip
    moved = over.account_of_job(story.jobs["moved"])
    assert _killed(moved) == [("NODE_FAIL", "gpu0002")]
    assert moved.run.state == "NODE_FAIL" or (moved.run.ended is None and moved.earlier)
    assert end_reason(over.account_of_job(story.jobs["cancelled"]), time.time()) == "it was cancelled by bob"


def test_without_slurmdbd(story: Story) -> None:
    """Last: it ends slurmdbd."""
    accounting.stop_slurmdbd(story.lab)
    try:
        with pytest.raises(SourceFault) as raised:
            story.accounts.jobs_of_node("gpu0001", story.began, 5)
        assert raised.value.fault.kind == "refused" and "slurmdbd does not answer" in raised.value.fault.what
    finally:
        accounting.start_slurmdbd(story.lab)


def test_a_site_without_accounts_says_so(lab_forky: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{lab_forky.bin_dir}:{os.environ['PATH']}")
    accounts = SlurmAccounting(SlurmSettings())
    for ask in (lambda: accounts.jobs_of_node("gpu0001", 0, 5), lambda: accounts.events_of_node("gpu0001", 0)):
        with pytest.raises(SourceFault) as raised:
            ask()
        assert raised.value.fault.kind == "missing" and "keeps no job accounting" in raised.value.fault.what
