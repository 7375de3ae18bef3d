"""What is looked at before an action on nodes and jobs, and what each finding says."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import JobDetail, Reservation, Rights
from console.actions.registry import BY_ID
from console.gate.preflight_reads import run_checks
from console.health.xid_policy import default_policy
from console.preflight.checks import PreflightReads
from tests.support import make
from tests.support.gpu_checks import DAY, HOUR, load, node, of, said, site, xid
from tests.support.make import NOW
from tests.support.yardstick import cost

# -- a node that comes back: what Slurm says --------------------------------------------------------------------------


def told(state="IDLE+DRAIN", action="resume", **more):
    return said(site(node(state=state, gpus=0, **more)), action)


def test_who_took_it_out_when_and_why_is_told():
    (note,) = of("note", told(reason="swap DIMM [KubeGPU-1]", reason_by="jdv", reason_at=int(NOW - 6720)))
    assert note == 'drained by jdv (human) 1h 52m ago: "swap DIMM [KubeGPU-1]"'
    assert "by nhc (automation)" in of("note", told(reason="NHC: check_gpu", reason_by="nhc", reason_at=int(NOW)))[0]
    found = told(reason="x", reason_by="jdv", reason_at=int(NOW - 8 * DAY))
    assert of("note", found)[1].startswith("out for more than 7 days")


@pytest.mark.parametrize(
    ("reason", "level", "means"),
    [
        ("Kill task failed", "warn", "would not die"),
        ("Low RealMemory (reported:1000 < 100.00% of configured:2000)", "warn", "DIMM"),
        ("Low TmpDisk", "warn", "less than slurm.conf says"),
        ("gres/gpu count reported lower than configured (7 < 8)", "warn", "fewer GPUs"),
        ("Node unexpectedly rebooted", "warn", "rebooted by itself"),
        ("Epilog error", "warn", "log says why"),
        ("Duplicate jobid", "warn", "two jobs"),
        ("Not responding", "note", "did not answer"),
    ],
)
def test_what_slurm_itself_wrote_is_explained(reason, level, means):
    (text,) = of(level, told(reason=reason, reason_by="slurm", reason_at=int(NOW - 60)))
    assert f'"{reason}": ' in text and means in text
    assert of("warn", told(reason=reason, reason_by="jdv", reason_at=int(NOW - 60))) == []


@pytest.mark.parametrize(
    ("state", "action", "level", "text"),
    [
        ("DOWN", "resume", "note", "must register first"),
        ("IDLE*+DRAIN", "resume", "note", "must register first"),
        ("DOWN+DRAIN", "undrain", "note", "stays down"),
        ("IDLE*+DRAIN", "undrain", "note", "does not answer"),
        ("IDLE~+DRAIN", "resume", "note", "powered off"),
        ("IDLE#+DRAIN", "resume", "note", "powering up"),
        ("IDLE+DRAIN+REBOOT_REQUESTED", "resume", "warn", "calls it off"),
        ("IDLE+DRAIN+REBOOT_ISSUED", "resume", "warn", "rebooting now"),
        ("IDLE+DRAIN+COMPLETING", "resume", "warn", "still ending"),
    ],
)
def test_the_states_that_matter_to_a_resume(state, action, level, text):
    assert text in of(level, told(state, action))[0]


def test_that_a_drain_goes_with_the_power_is_said_before():
    (text,) = of("warn", told("IDLE+DRAIN", "powerdown", reason="bad DIMM", reason_by="jdv", reason_at=int(NOW - 60)))
    assert '"bad DIMM"; Slurm takes the drain off with the power, and the next job boots it' in text
    assert of("warn", told("IDLE", "powerdown")) == []


def test_a_reboot_that_is_called_off_is_looked_at_as_a_resume():
    """It clears the drain, whoever put it there: the node takes work again."""
    was = {"reason": "new BIOS [was by bob: XID 79]", "reason_by": "jdv", "reason_at": int(NOW - 60)}
    facts = {"loads": [load()], "xids": [xid()]}
    drained = site(node(state="MIXED+DRAIN+REBOOT_REQUESTED", **was), **facts)
    found = said(drained, "cancel_reboot")
    assert of("bad", found) == of("bad", said(drained, "resume")) and of("bad", found)[0].startswith("XID 79 on GPU 3")
    assert "the drain of that reboot goes with it, and its reason" in of("note", found)
    assert any("[was by bob: XID 79]" in text for text in of("note", found))
    # One that was asked for without a drain leaves it in service: it does not come back.
    assert said(site(node(state="MIXED+REBOOT_REQUESTED"), **facts), "cancel_reboot") == []


# -- nodes that go out ------------------------------------------------------------------------------------------------


def test_a_drain_keeps_what_stood_there():
    (note,) = said(
        site(node(state="DOWN", reason="Not responding", reason_by="slurm", reason_at=int(NOW - 60))), "drain"
    )
    assert note == ("note", 'down by slurm (automation) 1m ago: "Not responding"; it is kept behind yours')
    assert said(site(node(state="IDLE", reason="left over", reason_by="jdv")), "drain") == []


@pytest.mark.parametrize("state", ["ALLOCATED#", "MIXED~", "ALLOCATED%"])
def test_a_drain_of_a_node_without_power_kills(state):
    (warn,) = said(site(node(state=state)), "drain")
    assert warn[0] == "warn" and "a drain kills the jobs" in warn[1]


def test_a_reservation_is_told_of_with_its_end_and_who_it_is_for():
    held = Reservation(name="maint", state="ACTIVE", ends=int(NOW + HOUR), users="alice")
    (note,) = said(site(node(state="IDLE", reservation="maint"), reservations={"maint": held}), "drain")
    assert note[0] == "note" and note[1].startswith("in reservation maint until ") and note[1].endswith("for alice")
    assert said(site(node(state="IDLE", reservation="x")), "reboot") == [("note", "in reservation x")]


def test_a_down_says_how_many_jobs_die():
    nodes = [node(f"gpu000{number}", "ALLOCATED") for number in (1, 2)]
    jobs = [make.job("7", nodes="gpu[0001-0002]"), make.job("8", nodes="gpu0002")]
    assert said(site(*nodes, jobs=jobs), "down") == [("warn", "2 jobs die at once, on all their nodes")]
    assert said(site(*nodes, jobs=jobs[:1]), "down") == [("warn", "1 job dies at once, on all its nodes")]
    assert said(site(node("gpu0001", "IDLE")), "down") == [("ok", "no job is there")]
    assert of("unknown", said(site(*nodes, jobs=None), "down"))[0].startswith("how many jobs die is not known")


@pytest.mark.parametrize("state", ["ALLOCATED", "MIXED", "IDLE+COMPLETING", "MIXED+DRAIN"])
@pytest.mark.parametrize("action", ["down", "reboot-now"])
def test_jobs_that_are_not_shown_are_unknown_and_never_none(state, action):
    """PrivateData hides the jobs of others, or a reading lost rows: what works there dies all the same."""
    hidden = "on gpu0001: Slurm says that it works, and shows you no job there"
    found = said(site(node("gpu0001", state)), action)
    assert of("unknown", found) == [f"how many jobs die is unknown {hidden}"] and of("ok", found) == []
    some = site(node("gpu0001", state), node("gpu0002", "ALLOCATED"), jobs=[make.job("7", nodes="gpu0002")])
    assert of("warn", said(some, action)) == ["1 job dies at once, on all its nodes"]
    assert of("unknown", said(some, action)) == [f"how many more jobs die is unknown {hidden}"]


def test_a_power_down_waits_for_jobs_that_are_not_shown_too():
    assert "once its jobs have ended" in of("note", said(site(node(state="ALLOCATED")), "powerdown"))[0]
    assert of("note", said(site(node(state="IDLE")), "powerdown")) == []


def test_what_does_not_answer_is_not_rebooted_by_slurm():
    assert "use the BMC" in of("warn", said(site(node(state="DOWN*")), "reboot"))[0]
    assert said(site(node(state="DOWN")), "reboot") == said(site(node(state="IDLE+DRAIN")), "reboot") == []


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_a_requeue_looks_at_the_job_itself():
    def look(batch=True, requeueable=True, restarts=0, action="requeue", **more):
        one = make.job("7", nodes="gpu0001", restarts=restarts, **more)
        return said(site(jobs=[one]), action, details=[JobDetail(id="7", batch=batch, requeueable=requeueable)])

    assert look() == look(action="requeuehold") == [("ok", "a batch job that may be requeued")]
    assert look(batch=False) == [("refused", "no batch script: Slurm would refuse")]
    assert of("refused", look(requeueable=False))[0].endswith("Slurm would refuse")
    assert look(batch=None)[0][0] == look(requeueable=None)[0][0] == "unknown"
    assert of("warn", look(restarts=3)) == ["it was requeued 3 times before"] and of("warn", look(restarts=2)) == []
    assert of("unknown", look(restarts=None)) and of("note", look(state="SUSPENDED"))
    assert said(site(jobs=[make.job("7", nodes="gpu0001", restarts=0)]), "requeue") == [
        ("unknown", "whether it can be requeued was not read")
    ]


def test_an_admin_hold_is_told_of_unless_the_job_is_ones_own():
    waiting = make.job("7", "PENDING", reason="Priority")
    assert "U, the user hold, is the polite one" in said(site(jobs=[waiting]), "hold")[0][1]
    assert said(site(jobs=[waiting], rights=Rights(user="alice", level="no admin")), "hold") == []
    assert said(site(jobs=[waiting]), "uhold") == []
    taken = said(site(jobs=[msgspec.structs.replace(waiting, reason="JobHeldUser")]), "hold")
    assert "held by its owner, alice, already" in taken[1][1]


@pytest.mark.parametrize(
    ("reason", "level", "text"),
    [
        ("JobHeldUser", "note", "held by its owner, alice"),
        ("JobHeldAdmin", "note", "held by an admin"),
        ("JobHoldMaxRequeue", "warn", "as often as is allowed"),
        ("launch failed requeued held", "warn", "its launch failed"),
    ],
)
def test_a_release_says_whose_hold_it_lifts(reason, level, text):
    (found,) = said(site(jobs=[make.job("7", "PENDING", reason=reason, priority=0)]), "release")
    assert found[0] == level and text in found[1]


@pytest.mark.parametrize("action", ["cancel", "uhold"])
def test_what_hides_nothing_has_nothing_to_look_at(action):
    assert said(site(jobs=[make.job("7", "PENDING", reason="Priority")]), action) == []


@pytest.mark.slow
def test_a_whole_machine_is_looked_at_while_somebody_waits():
    names = [f"gpu{number:05d}" for number in range(12_000)]
    was = {"reason": "maintenance", "reason_by": "jdv", "reason_at": int(NOW - HOUR)}
    cluster = site(*(node(name, **was) for name in names), loads=[load(name=name) for name in names],
                   xids=[xid(name=name) for name in names[:600]])  # fmt: skip
    policy = default_policy()

    def look():
        return run_checks(BY_ID["resume"], cluster, cluster.nodes, PreflightReads(gpus={}), NOW, policy)

    found = look()
    assert len({one.text for one in found}) < 20 and len([one for one in found if one.level == "bad"]) == 600
    assert cost(look) < 130  # 42 where it was measured
