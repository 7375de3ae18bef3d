"""Actions on a living Slurm, done and refused: the tests of every writer; a test module gives its own `desk`."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from collectors.model import Change, Cluster, Job, Node, Sent
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.write import CliWriter
from collectors.slurm.sources import open_transport
from console.actions.action import expected
from console.actions.registry import BY_ID
from console.actions.verification import PendingTarget, Settled, Verification
from tests.support.make import change_of

from .place import wait_for
from .slurm import Lab

SETTINGS = SlurmSettings()
#: 24.11 says "specified", 26.05 "transition".
BAD_STATE = "Invalid node state"


class Desk:
    """Somebody who changes the lab, and looks what came of it."""

    def __init__(self, lab: Lab, patch: pytest.MonkeyPatch) -> None:
        self.lab, self._patch = lab, patch
        self._transport = open_transport("lab", SETTINGS)
        self.become("root")

    def become(self, user: str) -> None:
        folder = self.lab.bin_dir if user == "root" else self.lab.bin_dir_as(user)
        self._patch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def node(self, name: str) -> Node:
        return self._transport.read_nodes([name])[name]

    def job(self, job: str) -> Job:
        return self._transport.read_jobs([job])[job]

    def does(self, action: str, *targets: str, reason: str | None = None, **more: Any) -> Act:
        kind = BY_ID[action].kind
        before = self._read(kind, targets)
        change = change_of(action, targets=targets, reason=reason, **more)
        sent = CliWriter(deadline_s=10).send(change)
        assert [one.argv for one in sent] == list(CliWriter().commands(change))[: len(sent)]
        return Act(self, change, before, sent)

    def _read(self, kind: str, targets: Collection[str]) -> Any:
        read: Any = self._transport.read_nodes if kind == "node" else self._transport.read_jobs
        return read(list(targets))

    def seen(self, kind: str, targets: Collection[str]) -> Cluster:
        rows: Any = {f"{kind}s": self._read(kind, targets)}
        return Cluster(name="lab", known=frozenset(rows), **rows)

    def runs(self, node: str, **options: Any) -> str:
        """A job that runs there."""
        (job,) = self.lab.submit(1, gpus=1, nodelist=node, **options)
        self.lab.wait_jobs("RUNNING", [job])
        return job

    def waits(self, **options: Any) -> str:
        """A job that waits for an hour."""
        (job,) = self.lab.submit(1, gpus=1, begin="now+1hour", **options)
        return job


class Act:
    """One change that was sent."""

    def __init__(self, desk: Desk, change: Change, before: Any, sent: Sequence[Sent]) -> None:
        self.sent, self._desk, self.words = sent, desk, set[str]()
        self.refused = {target: why for one in sent for target, why in one.refused.items()}
        self.watch = Verification(tuple(
            PendingTarget(plan="p", action=change.action, kind=BY_ID[change.action].kind, target=target,
                    sent=expected(change, target), before=before[target], since=time.monotonic())
            for target in change.targets if target in before and target not in self.refused
        ))  # fmt: skip
        self.settled: list[Settled] = []

    def look(self) -> None:
        kind = self.watch.waiting[0].kind
        now = self._desk.seen(kind, [one.target for one in self.watch.waiting])
        self.watch, over = self.watch.check(now, time.monotonic())
        self.words |= set(self.watch.row_texts(kind).values())
        self.settled += over

    def comes_to(self, word: str) -> None:
        """Wait until a row says that."""

        def missing() -> str:
            self.look()
            return "" if word in self.words else f"not yet {word}"

        wait_for(missing, 60)

    def ends(self, timeout: float = 60) -> dict[str, str]:
        """Wait for the proof of every target that was not refused; what was seen of each, "" where it is just done."""

        def missing() -> str:
            if self.watch.waiting:
                self.look()
            return f"not seen: {[one.target for one in self.watch.waiting]}" if self.watch.waiting else ""

        wait_for(missing, timeout)
        assert {one.state for one in self.settled} <= {"done"}, self.settled
        return {one.target: one.why for one in self.settled}


def test_drains_keep_work_and_reasons(desk: Desk) -> None:
    job = desk.runs("gpu0002")
    names = ("gpu0001", "gpu0002", "gpu0003", "gpu0004")
    assert desk.does("down", "gpu0003", reason="board").ends() == {"gpu0003": ""}
    desk.does("drain", "gpu0004", reason="NHC: check_gpu").ends()
    own = {"gpu0003": "fw [was by root: board]", "gpu0004": "fw [was by root: NHC: check_gpu]"}
    act = desk.does("drain", *names, reason='fw = "2"; $(id) | é', reasons=own)
    assert [one.targets for one in act.sent] == [names[:2], names[2:3], names[3:]]
    assert act.ends() == dict.fromkeys(names, "")
    assert [desk.node(name).display for name in names] == ["drained", "draining", "down", "drained"]
    assert desk.node("gpu0001").reason == 'fw = "2"; $(id) | é' and desk.node("gpu0004").reason == own["gpu0004"]
    assert desk.job(job).state == "RUNNING"
    assert desk.does("undrain", *names).ends() == dict.fromkeys(names, "")
    # Put back, a node is NOT_RESPONDING until its slurmd has been asked.
    desk.lab.wait_nodes("MIXED", 10, ["gpu0002"])
    assert desk.node("gpu0002").display == "mixed" and desk.node("gpu0003").display == "down"


def test_a_drain_that_ends_by_itself(desk: Desk) -> None:
    desk.does("drain", "gpu0001", "gpu0002", reason="a look", resume_after_s=3600).ends()
    at = desk.node("gpu0001").resume_at
    assert at is not None and abs(at - time.time() - 3600) < 30
    told = desk.does("drain", "gpu0001", reason="a longer look").ends()
    assert "ResumeAfter still applies" in told["gpu0001"] and desk.node("gpu0001").resume_at == at
    desk.does("down", "gpu0002", reason="smoke").ends()
    desk.does("undrain", "gpu0001").ends()
    assert desk.node("gpu0001").resume_at is desk.node("gpu0002").resume_at is None


def test_resume_is_followed_until_slurmd_registers(desk: Desk) -> None:
    dead, drained = "gpu0001", "gpu0002"
    desk.lab.stop_nodes([dead])
    desk.does("down", dead, reason="board").ends()
    desk.does("drain", drained, reason="a look").ends()
    act = desk.does("resume", dead, drained)
    act.comes_to("registering")
    assert dead in act.watch.row_texts("node") and desk.node(dead).display == "resuming"
    desk.lab.start_nodes([dead])
    assert act.ends() == dict.fromkeys((dead, drained), "registered, idle")


def test_what_works_has_nothing_to_resume_and_is_named_when_alone(desk: Desk) -> None:
    (why,) = desk.does("resume", "gpu0001").refused.values()
    assert BAD_STATE in why
    desk.does("drain", "gpu0002", reason="x").ends()
    act = desk.does("resume", "gpu0001", "gpu0002")
    assert act.sent[0].rc == 1 and act.refused == {}, "Slurm names nobody, and has done the other"
    assert "gpu0002" in act.ends()


def test_down_kills_the_jobs(desk: Desk) -> None:
    again, lost = desk.runs("gpu0001"), desk.runs("gpu0001", requeue=False)
    assert desk.does("down", "gpu0001", "gpu0002", reason="smoke", reasons={"gpu0002": "smoke next door"}).ends()
    assert desk.node("gpu0002").reason == "smoke next door" and desk.node("gpu0001").display == "down"
    assert (desk.job(again).state, desk.job(again).restarts) == ("PENDING", 1)
    assert desk.lab.job_states([lost])[lost] == "NODE_FAIL"
    assert desk.does("down", "gpu0001", reason="again").ends(), "Slurm takes it, and the newer reason"


def test_reboots_come_back_as_they_were_told(desk: Desk) -> None:
    job = desk.runs("gpu0003")
    desk.does("drain", "gpu0002", reason="bad DIMM").ends()
    to = {"gpu0001": "RESUME", "gpu0002": "DOWN", "gpu0003": "RESUME"}
    act = desk.does("reboot", *to, reason='fw = "2"', reasons={"gpu0002": "fw; bad DIMM"}, next_state=to)
    assert [one.rc for one in act.sent] == [0, 0] and not act.refused
    act.comes_to("reboot asked")
    assert desk.node("gpu0003").display == "draining" and desk.job(job).state == "RUNNING"
    again = desk.does("reboot", "gpu0003", reason="again", next_state={"gpu0003": "DOWN"})
    assert again.sent[0].rc == 0 and "Skipping reboot" in again.refused["gpu0003"]
    # An empty node is rebooted when slurmctld next looks, at once where a job has just ended.
    desk.does("cancel", job).ends()
    told = act.ends(40)
    assert told["gpu0001"] == told["gpu0003"] == "rebooted, idle"
    assert told["gpu0002"] == "rebooted, down: fw; bad DIMM : reboot issued : reboot complete"
    assert "rebooting" in act.words and desk.node("gpu0002").flags == ()


def test_a_reboot_that_waits_is_called_off_by_a_resume(desk: Desk) -> None:
    desk.runs("gpu0004")
    act = desk.does("reboot", "gpu0004", reason="fw", next_state={"gpu0004": "RESUME"})
    act.comes_to("reboot asked")
    assert desk.does("resume", "gpu0004").ends() == {"gpu0004": "registered, mixed"}
    act.look()
    assert [one.why.split(":")[0] for one in act.settled] == ["not rebooted, mixed"]


def test_requeue_and_what_cannot_be(desk: Desk) -> None:
    first, second = desk.runs("gpu0001"), desk.runs("gpu0001")
    fixed, fresh = desk.runs("gpu0002", requeue=False), desk.waits()
    said = desk.lab.run(["salloc", "--no-shell", "--nodelist=gpu0002", "--gpus=1", "--chdir=/tmp"]).stderr
    (bare,) = re.findall(r"Granted job allocation (\d+)", said)
    act = desk.does("requeue", first, fixed, fresh, bare)
    assert act.refused == {
        fixed: "Requested operation is presently disabled",
        bare: "Only batch jobs are accepted or processed",
    }
    act.watch = Verification(tuple(one for one in act.watch.waiting if one.target == first))
    assert act.ends() == {first: ""} and desk.job(first).restarts == 1
    assert desk.job(fresh).restarts == 0, "a waiting job is passed over without a word"
    assert desk.job(fixed).state == desk.job(bare).state == "RUNNING"
    assert desk.does("requeuehold", second).ends() == {second: ""}
    assert desk.job(second).priority == 0
    assert desk.does("release", second).ends() == {second: ""}
    desk.does("cancel", fixed, bare).ends()
    gone = desk.does("requeue", fixed)
    assert gone.refused == {} and desk.lab.job_states([fixed])[fixed] == "CANCELLED", "finished work is not run again"


def test_holds_of_two_kinds(desk: Desk) -> None:
    one, two, works = desk.waits(user="alice"), desk.waits(user="alice"), desk.runs("gpu0001")
    assert desk.does("hold", one).ends() == {one: ""} and desk.does("uhold", two).ends() == {two: ""}
    assert [desk.job(job).reason for job in (one, two)] == ["JobHeldAdmin", "JobHeldUser"]
    desk.become("alice")
    refused = desk.does("release", one, two)
    assert set(refused.refused) == {one} and refused.ends() == {two: ""}
    desk.become("root")
    assert desk.does("release", one).ends() == {one: ""}
    assert desk.does("hold", works).refused == {} and desk.job(works).state == "RUNNING"
    assert desk.does("hold", "99999").refused == {"99999": "Invalid job id specified"}


def test_cancel_is_silent_about_what_is_gone(desk: Desk) -> None:
    runs, waits = desk.runs("gpu0001"), desk.waits()
    assert desk.does("cancel", runs, waits).ends() == {runs: "", waits: ""}
    again = desk.does("cancel", runs, "99999")
    assert again.sent[0].rc == 0 and again.refused == {}


def test_without_rights_everything_is_refused_by_name(desk: Desk) -> None:
    runs, waits, mine = desk.runs("gpu0001", user="bob"), desk.waits(user="bob"), desk.waits(user="alice")
    before = desk.job(mine).priority
    desk.become("alice")
    for action in ("drain", "undrain", "resume", "down"):
        act = desk.does(action, "gpu0001", "gpu0002", reason="x" if action in {"drain", "down"} else None)
        assert act.sent[0].fatal and set(act.refused) == {"gpu0001", "gpu0002"}, action
        assert "Invalid user id" in act.refused["gpu0001"]
    act = desk.does("reboot", "gpu0001", "gpu0002", reason="x", next_state={"gpu0001": "DOWN", "gpu0002": "RESUME"})
    assert len(act.sent) == 1 and act.sent[0].fatal and "Permission denied" in act.refused["gpu0001"]
    for action, job in (("requeue", runs), ("requeuehold", runs), ("cancel", runs), ("hold", waits), ("uhold", waits),
                        ("release", waits)):  # fmt: skip
        assert set(desk.does(action, job).refused) == {job}, action
    lower, higher = (before or 0) - 1, (before or 0) + 1
    act = desk.does("priority", waits, mine, values={waits: str(lower), mine: str(lower)})
    assert set(act.refused) == {waits} and act.ends() == {mine: ""}, "an owner may lower it: an error that is none"
    assert "denied" in desk.does("priority", mine, values={mine: str(higher)}).refused[mine]
    assert desk.node("gpu0001").reason is None or desk.node("gpu0001").reason != "x"
    assert desk.job(runs).state == "RUNNING"
