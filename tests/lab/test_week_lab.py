"""The week's actions on jobs and nodes against a living Slurm of each version, through the gate: planned, confirmed,
sent, proven by our reading, written down, and taken back from the journal where that can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.actions.registry import BY_ID
from console.gate import preview

from .place import wait_for
from .roots import SUITES
from .running import running
from .shift import Shift
from .slurm import Lab

pytestmark = pytest.mark.lab
#: Power saving of which the programs do nothing: what Slurm makes of it is what is looked at. 24.11 takes no order
#: without a SuspendTime.
POWER = """\
SuspendProgram=/bin/true
ResumeProgram=/bin/true
SuspendTime=86400
SuspendTimeout=1
ResumeTimeout=60
SlurmctldParameters=power_save_interval=1,power_save_min_interval=0
"""


@pytest.fixture(scope="module", params=SUITES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from running(request.param, nodes=8, accounting=True, extra=POWER)


@pytest.fixture
def shift(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shift]:
    yield Shift(lab, monkeypatch, tmp_path)
    monkeypatch.undo()
    lab.reset()


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_time_limits(shift: Shift) -> None:
    runs, waits = shift.runs(time_limit="1:00:00"), shift.waits(time_limit="30:00")
    (array,) = shift.lab.submit(1, gpus=1, array="0-2", begin="now+1hour", time_limit="30:00")
    names = (runs, waits, f"{array}_1")
    assert shift.does("timelimit", *names, value="4h") == dict.fromkeys(names, "done")
    assert [shift.job(name).time_limit_s for name in (*names, f"{array}_2")] == [14_400] * 3 + [1800]
    assert shift.undoes() == dict.fromkeys(names, "done")
    assert [shift.job(name).time_limit_s for name in names] == [3600, 1800, 1800]
    assert "would kill it" in shift.why("timelimit", runs, value="5m") and shift.job(runs).state == "RUNNING"
    # What Slurm itself refuses is told of the very job: its owner may not ask for more.
    shift.become("alice")
    mine = shift.waits(user="alice", time_limit="30:00")
    plan = shift.plan("timelimit", mine, waits, value="4h")
    told = shift.sends(plan)
    assert told.keys() == {mine, waits} and told[waits] == "Invalid user id" != told[mine]


def test_no_time_limit_at_all(shift: Shift) -> None:
    """Slurm takes it for jobs that run and that wait, beyond what the partition allows too; its owner may not ask."""
    runs, waits = shift.runs(time_limit="1:00:00"), shift.waits(time_limit="30:00")
    plan = shift.plan("timelimit", runs, waits, value="unlimited")
    assert "no reservation and no maintenance bounds it" in "\n".join(preview.text(plan))
    assert shift.sends(plan) == {runs: "done", waits: "done"}
    for name in (runs, waits):
        assert shift.job(name).unlimited and shift.job(name).time_limit_s is None
        assert shift.lab.check(["squeue", "-h", "-j", name, "-o", "%l"]).strip() == "UNLIMITED"
    polled = shift.cluster("timelimit").jobs
    assert polled[runs].unlimited and polled[waits].unlimited
    assert shift.why("timelimit", runs, value="UNLIMITED").endswith("its time limit is that already")
    assert shift.undoes() == {runs: "done", waits: "done"}
    assert [(shift.job(name).time_limit_s, shift.job(name).unlimited) for name in (runs, waits)] == [
        (3600, False), (1800, False)]  # fmt: skip
    shift.become("alice")
    mine = shift.waits(user="alice", time_limit="30:00")
    assert shift.does("timelimit", mine, value="unlimited")[mine] not in {"done", "unknown"}
    assert not shift.job(mine).unlimited


def test_where_and_how_a_job_waits(shift: Shift) -> None:
    shift.lab.run(["sacctmgr", "-i", "-Q", "add", "qos", "high"])
    shift.lab.run(["sacctmgr", "-i", "-Q", "modify", "user", "alice", "set", "qos+=high"])
    waits, runs = shift.waits(user="alice"), shift.runs()
    for action, value, was in (
        ("jobpartition", "long", "gpu"), ("qos", "high", "normal"), ("nice", "100", "0"), ("nice", "-50", "0"),
        ("exclude", "gpu[0001-0003]", ""),
    ):  # fmt: skip
        assert shift.does(action, waits, value=value) == {waits: "done"}, action
        assert BY_ID[action].value.current(shift.job(waits)) == value
        assert shift.undoes() == {waits: "done"}, action
        assert BY_ID[action].value.current(shift.job(waits)) == was
    assert shift.does("exclude", waits, value="gpu0002") == {waits: "done"}
    assert shift.does("exclude", waits, value="none") == {waits: "done"} and shift.job(waits).excluded == ""
    assert "there is no partition nowhere" in shift.why("jobpartition", waits, value="nowhere")
    assert "only a waiting job" in shift.why("jobpartition", runs, value="long")
    assert "unknown nodes: gpu0099" in shift.why("exclude", waits, value="gpu0099")
    # Where slurm.conf enforces no QOS, both versions take any name, with exit status 0, and change nothing.
    assert shift.does("qos", waits, value="platinum", within=1.0) == {waits: "unknown"}


def test_suspend_frees_the_cpus_and_keeps_the_gpus(shift: Shift) -> None:
    job = shift.runs()
    before = shift.node("gpu0001")
    assert shift.does("suspend", job) == {job: "done"} and shift.job(job).state == "SUSPENDED"
    during = shift.node("gpu0001")
    assert (during.cpus_alloc, during.gpus_alloc) == (0, before.gpus_alloc)
    assert "already suspended" in shift.why("suspend", job)
    assert shift.undoes() == {job: "done"} and shift.job(job).state == "RUNNING"
    assert "does not run: PENDING" in shift.why("suspend", shift.waits())
    shift.become("alice")
    mine = shift.runs("gpu0002", user="alice")
    # An owner may do it on 26.05, and not on 24.11.
    told = {"trixie": "Access/permission denied", "forky": "done"}[shift.lab.suite]
    assert shift.does("suspend", mine) == {mine: told}
    assert shift.does("suspend", job) == {job: "Access/permission denied"}, "somebody else's"


def test_signals_reach_the_steps_or_the_script(shift: Shift, tmp_path: Path) -> None:
    place = f"{shift.lab.state.place}/signals"
    step = f"trap 'echo step >> {place}' USR1; touch {place}.heeds; while :; do sleep 0.2; done"
    job = shift.runs(script=f"trap 'echo script >> {place}' USR1; srun -n1 sh -c \"{step}\" & wait; wait", gpus=0)
    file = shift.lab.folder / "signals"

    def told() -> list[str]:
        return file.read_text().split() if file.exists() else []

    def until(words: list[str]) -> None:
        wait_for(lambda: "" if told() == words else f"{told()} was written", 60)

    wait_for(lambda: "" if shift.lab.check(["squeue", "-h", "-s", "-j", job]).count(f"{job}.0") else "no step", 60)
    wait_for(lambda: "" if (shift.lab.folder / "signals.heeds").exists() else "the step sets no trap", 60)
    assert shift.does("signal", job, value="USR1") == {job: "sent"}
    until(["step"])
    assert shift.does("signal", job, value="B:USR1") == {job: "sent"}
    until(["step", "script"])
    assert shift.does("signal", job, value="KILL") == {job: "sent"}
    shift.lab.wait_jobs("CANCELLED", [job])
    assert "no process of it runs" in shift.why("signal", shift.waits(), value="TERM")


def test_a_message_reaches_one_job_of_each_user(shift: Shift) -> None:
    place = shift.lab.state.place
    out = {user: f"{place}/out-{user}" for user in ("alice", "bob")}
    shift.lab.run(["sh", "-c", f"touch {' '.join(out.values())}; chmod 666 {' '.join(out.values())}"])
    first = shift.runs(user="alice", extra=[f"--output={out['alice']}"])
    other = shift.runs(user="alice")
    bobs = shift.runs("gpu0002", user="bob", extra=[f"--output={out['bob']}"])
    plan = shift.plan("notify", first, other, bobs, value="gpu0001 goes down; your jobs {jobs}")
    assert plan.change.targets == (first, bobs) and other in "\n".join(preview.text(plan))
    assert shift.sends(plan) == {first: "sent", bobs: "sent"}
    for user, jobs in (("alice", f"{first}, {other}"), ("bob", bobs)):
        file = shift.lab.folder / f"out-{user}"
        wait_for(lambda file=file: "" if "goes down" in file.read_text() else "no message yet", 15)  # type: ignore[misc]
        assert f"gpu0001 goes down; your jobs {jobs}" in file.read_text()


def test_whose_jobs_are_a_frozen_list(shift: Shift) -> None:
    hers = [shift.runs(user="alice"), shift.waits(user="alice")]
    theirs = [shift.runs("gpu0002", user="bob"), shift.waits(user="bob")]
    plan = shift.plan("cancel", "user=alice")
    later = shift.waits(user="alice")
    assert plan.change.targets == tuple(sorted(hers, key=int)) and plan.confirmation.kind == "count"
    assert all("-u" not in argv and "--user" not in " ".join(argv) for argv in plan.commands)
    assert shift.sends(plan) == dict.fromkeys(hers, "done")
    assert shift.job(later).state == "PENDING", "what was submitted meanwhile was not confirmed"
    assert shift.plan("cancel", "nodes=gpu0002").change.targets == (theirs[0],)
    assert shift.plan("cancel", "account=ml", "user=bob").change.targets == tuple(sorted(theirs, key=int))


# -- nodes ------------------------------------------------------------------------------------------------------------


def test_what_stands_in_a_node(shift: Shift) -> None:
    names = ("gpu0001", "gpu0002")
    assert shift.does("comment", *names, value='spare "PSU" = $(id) |é') == dict.fromkeys(names, "done")
    assert shift.node("gpu0001").comment == 'spare "PSU" = $(id) |é'
    assert shift.does("ticket", "gpu0001", value="KubeGPU-1182") == {"gpu0001": "done"}
    assert shift.node("gpu0001").comment.startswith("ticket=KubeGPU-1182 since=20")
    assert shift.node("gpu0001").comment.endswith('spare "PSU" = $(id) |é')
    assert shift.undoes() == {"gpu0001": "done"} and shift.node("gpu0001").comment == 'spare "PSU" = $(id) |é'
    assert shift.does("comment", *names, value="none") == dict.fromkeys(names, "done")
    assert not shift.node("gpu0001").comment
    assert shift.undoes() == dict.fromkeys(names, "done") and shift.node("gpu0002").comment is not None
    shift.become("alice")
    assert "invalid user id" in shift.does("comment", "gpu0001", value="mine")["gpu0001"].lower()


def test_features(shift: Shift) -> None:
    shift.lab.check(["scontrol", "update", "NodeName=gpu0001", "AvailableFeatures=h100,ib", "ActiveFeatures=h100,ib"])
    assert shift.does("features", "gpu0001", value="h100") == {"gpu0001": "done"}
    assert shift.undoes() == {"gpu0001": "done"} and set(shift.node("gpu0001").features) == {"h100", "ib"}
    assert "feature" in shift.does("features", "gpu0001", value="gold")["gpu0001"].lower()
    shift.lab.check(["scontrol", "update", "NodeName=gpu0001", "ActiveFeatures=", "AvailableFeatures="])


def test_a_reboot_is_called_off(shift: Shift) -> None:
    job = shift.runs()
    assert "no reboot is asked for" in shift.why("cancel_reboot", "gpu0001")
    plan = shift.plan("reboot", "gpu0001", reason="fw")
    shift.gate.send(plan, plan.confirmation.prompt)
    wait_for(lambda: "" if "REBOOT_REQUESTED" in shift.node("gpu0001").flags else "not asked yet", 60)
    assert shift.does("cancel_reboot", "gpu0001") == {"gpu0001": "done"}
    now = shift.node("gpu0001")
    assert now.display == "mixed" and shift.job(job).state == "RUNNING", "the drain that came with it is gone"


def test_a_reboot_at_once_kills_and_comes_back(shift: Shift) -> None:
    job = shift.runs("gpu0003", requeue=False)
    plan = shift.plan("reboot-now", "gpu0003", reason="fw")
    assert plan.kills and plan.confirmation.kind == "count" and [hit.id for hit in plan.jobs] == [job]
    outcome = shift.gate.follow(shift.gate.send(plan, plan.confirmation.prompt), 60.0)
    assert {one.state for one in outcome.results.values()} == {"done"}, outcome.results
    assert shift.lab.job_states([job])[job] == "NODE_FAIL"
    wait_for(lambda: "" if shift.node("gpu0003").display == "idle" else shift.node("gpu0003").display, 60)


def test_power_goes_once_the_jobs_have_ended_and_is_given_back(shift: Shift) -> None:
    names = ("gpu0004", "gpu0005")
    job = shift.runs("gpu0004")
    shift.lab.check(["scontrol", "update", "NodeName=gpu0005", "State=DRAIN", "Reason=bad DIMM"])
    plan = shift.plan("powerdown", *names)
    assert "Slurm takes the drain off with the power" in " ".join("\n".join(preview.text(plan)).split())
    assert shift.sends(plan) == dict.fromkeys(names, "done")
    assert shift.job(job).state == "RUNNING" and "DRAIN" in shift.node("gpu0004").flags
    assert "powered off, or on its way" in shift.why("powerdown", "gpu0005")
    shift.lab.check(["scancel", job])

    def missing(flag: str) -> str:
        seen = [shift.node(name).flags for name in names]
        return "" if all(flag in flags for flags in seen) else str(seen)

    wait_for(lambda: missing("POWERED_DOWN"), 40)
    assert "DRAIN" not in shift.node("gpu0005").flags, "the drain is gone with the power"
    assert "it has power" in shift.why("powerup", "gpu0001")
    assert shift.undoes() == dict.fromkeys(names, "done"), "an undo of a power down is a power up"
    assert "POWERING_UP" in shift.node("gpu0005").flags or "POWER_UP" in shift.node("gpu0005").flags
    # There is no machine behind them that could boot: for the next test they are off, and idle.
    shift.lab.check(["scontrol", "update", f"NodeName={','.join(names)}", "State=POWER_DOWN_FORCE"])
