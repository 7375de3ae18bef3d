"""What reaches scontrol and scancel: exact argv, nothing hostile, and what their answers are taken for."""

from __future__ import annotations

import os
import stat
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors import process
from collectors.model import Change, SourceFault
from collectors.nodeset import expand
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.write import CliWriter, concerns_all, refusals
from collectors.slurm.operations import BATCH, calls
from collectors.slurm.writers import open_writer
from tests.faults import fault
from tests.support.make import change_of
from tests.support.slurm_scripts import Slurm, jobs, nodes, reboot

HOSTILE = ["-oProxyCommand=x", "a;b", "$(x)", "`x`", "ALL", "all", "aLL", "", " ", "gpu[1-2]", "a,b", "a b", "a\nb",
           "@x", "--help", "gpu1=x", "gpu\u0661", "é", "../x", "*"]  # fmt: skip
NO_IDS = ["101;1", "101_", "_1", "1_2_3", "1-5", "101_[1-3]", "-1", "alice", "1 2", "\u0661", "9" * 11]
LONG = "x" * 5000
REASONS = [LONG, "$(reboot); `x` | y > /z", "-h", "State=RESUME NodeName=ALL", "\x1b]52;c;eA==\x07", "é ✓"]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    return Slurm(tmp_path)


def words(change: Change) -> list[str]:
    return [" ".join(argv) for argv, _ in calls(change)]


def test_one_call_for_many_nodes(slurm):
    change = nodes("drain", "gpu0001", "gpu0003", "gpu0002", reason="bad DIMM")
    expected = (f"{slurm.folder}/scontrol", "update", "NodeName=gpu[0001-0003]", "State=DRAIN", "Reason=bad DIMM")
    assert CliWriter().commands(change) == (expected,)
    (sent,) = CliWriter().send(change)
    assert slurm.calls == [list(expected)]
    assert (sent.argv, sent.rc, sent.targets, sent.refused) == (expected, 0, change.targets, {})


def test_an_array_whose_tasks_are_all_targets_is_cancelled_by_its_own_id(slurm):
    tasks = tuple(f"101_{at}" for at in range(BATCH + 1))
    change = jobs("cancel", "7", *tasks, "102_3", arrays={"101": tasks})
    (sent,) = CliWriter().send(change)
    assert slurm.calls == [[f"{slurm.folder}/scancel", "7", "101", "102_3"]]
    assert sent.targets == change.targets, "each task is answered for"


@pytest.mark.parametrize(
    ("action", "arrays"),
    [
        ("hold", {"101": ("101_1", "101_2")}),  # it would also be put on tasks that run
        ("cancel", {"101": ("101_1", "101_2", "101_3")}),
        ("cancel", {"101": ()}),
        ("cancel", {"102": ("101_1",)}),
        ("cancel", {"-u": ("101_1",)}),
    ],
)
def test_no_array_is_named_that_is_more_than_the_targets(slurm, action, arrays):
    with pytest.raises(ValueError):
        CliWriter().send(jobs(action, "101_1", "101_2", arrays=arrays))
    assert slurm.calls == []


def test_nodes_that_are_told_the_same_are_told_in_one_call(slurm):
    own = {"gpu0002": "fw [was by nhc: NHC: gpu]", "gpu0004": "fw [was by nhc: NHC: gpu]"}
    names = ("gpu0001", "gpu0002", "gpu0003", "gpu0004")
    assert words(nodes("drain", *names, reason="fw", reasons=own, resume_after_s=600)) == [
        "scontrol update NodeName=gpu[0001,0003] State=DRAIN Reason=fw ResumeAfter=600",
        "scontrol update NodeName=gpu[0002,0004] State=DRAIN Reason=fw [was by nhc: NHC: gpu] ResumeAfter=600",
    ]
    change = nodes("down", *names, reason="fw", reasons=own)
    assert words(change)[0] == "scontrol update NodeName=gpu[0001,0003] State=DOWN Reason=fw"
    sent = CliWriter().send(change)
    assert [one.targets for one in sent] == [("gpu0001", "gpu0003"), ("gpu0002", "gpu0004")]
    assert slurm.calls == [list(one.argv) for one in sent] == [list(argv) for argv in CliWriter().commands(change)]
    assert words(nodes("down", "gpu0002", "gpu0004", reasons=own)) == words(change)[1:]


def test_a_reboot_is_one_call_for_each_way_to_come_back(slurm):
    to = {"gpu0001": "RESUME", "gpu0002": "DOWN", "gpu0003": "DOWN"}
    change = nodes("reboot", *to, reason='new fw = "2"', reasons={"gpu0003": "fw; bad DIMM"}, next_state=to)
    CliWriter().send(change)
    head = [f"{slurm.folder}/scontrol", "reboot", "ASAP"]
    assert slurm.calls == [
        [*head, "nextstate=RESUME", 'reason=new fw = "2"', "gpu0001"],
        [*head, "nextstate=DOWN", 'reason=new fw = "2"', "gpu0002"],
        [*head, "nextstate=DOWN", "reason=fw; bad DIMM", "gpu0003"],
    ]


def test_priorities_go_by_the_number(slurm):
    change = jobs("priority", "1", "2_3", "7+1", "4", values={"1": "50", "2_3": "7", "7+1": "50", "4": "4294967293"})
    CliWriter().send(change)
    head = [f"{slurm.folder}/scontrol", "update"]
    assert slurm.calls == [
        [*head, "JobId=1,7+1", "Priority=50"],
        [*head, "JobId=2_3", "Priority=7"],
        [*head, "JobId=4", "Priority=4294967293"],
    ]
    many = tuple(map(str, range(1, BATCH + 2)))
    assert [len(some) for _, some in calls(jobs("priority", *many, values=dict.fromkeys(many, "9")))] == [BATCH, 1]


@pytest.mark.parametrize("action", ["undrain", "resume"])
def test_a_reason_never_goes_with_a_resume(slurm, action):
    """Refused, 24.11 writes it all the same; accepted, 26.05 ignores it."""
    CliWriter().send(nodes(action, "gpu0001", reason="fixed"))
    assert slurm.calls == [[f"{slurm.folder}/scontrol", "update", "NodeName=gpu0001", f"State={action.upper()}"]]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("requeue", ["scontrol", "requeue", "Incomplete", "101,102_3,7+1"]),
        ("requeuehold", ["scontrol", "requeuehold", "Incomplete", "101,102_3,7+1"]),
        ("hold", ["scontrol", "hold", "101", "102_3", "7+1"]),
        ("uhold", ["scontrol", "uhold", "101", "102_3", "7+1"]),
        ("release", ["scontrol", "release", "101", "102_3", "7+1"]),
        ("cancel", ["scancel", "101", "102_3", "7+1"]),
    ],
)
def test_job_commands(slurm, action, words):
    CliWriter().send(jobs(action, "101", "102_3", "7+1"))
    assert slurm.calls == [[f"{slurm.folder}/{words[0]}", *words[1:]]]


def test_what_is_shown_is_what_runs_in_batches(slurm):
    change = jobs("cancel", *map(str, range(1, 2 * BATCH + 2)))
    commands = CliWriter().commands(change)
    sent = CliWriter().send(change)
    assert slurm.calls == [list(argv) for argv in commands]
    assert [len(argv) - 1 for argv in commands] == [BATCH, BATCH, 1]
    assert tuple(target for one in sent for target in one.targets) == change.targets


def test_the_prefix_comes_first(slurm):
    open_writer(SlurmSettings(prefix=("sudo", "-n"))).send(jobs("hold", "1"))
    assert slurm.calls == [[f"{slurm.folder}/sudo", "-n", f"{slurm.folder}/scontrol", "hold", "1"]]


@fault("hostile text", "hostile node names", "refused before any command is started")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_never_reach_slurm(slurm, name):
    for change in (
        nodes("drain", "gpu0001", name, reason="x"),
        nodes("resume", name),
        jobs("cancel", "101", name),
        jobs("requeue", name),
        nodes("down", name, reason="x"),
        nodes("reboot", name, reason="x", next_state={name: "DOWN"}),
        jobs("priority", name, values={name: "5"}),
    ):
        with pytest.raises(ValueError, match=r"named to Slurm"):
            CliWriter().send(change)
        with pytest.raises(ValueError, match=r"named to Slurm"):
            CliWriter().commands(change)
    assert slurm.calls == []


@pytest.mark.parametrize("name", NO_IDS)
def test_what_is_no_job_id(slurm, name):
    with pytest.raises(ValueError):
        CliWriter().send(jobs("cancel", name))
    assert slurm.calls == []


@pytest.mark.parametrize(
    "change",
    [
        nodes("drain", reason="x"),
        nodes("drain", "gpu0001"),
        nodes("drain", "gpu0001", reason=" \n "),
        nodes("drain", "gpu0001", "gpu0001", reason="x"),
        nodes("reboot", "gpu0001"),
        nodes("fail", "gpu0001", reason="x"),
        nodes("cancel", "101"),
        jobs("cancel"),
        jobs("drain", "101"),
        change_of(action="drain", kind="partition", targets=("gpu",), reason="x"),
    ],
)
def test_incomplete_changes_are_refused(slurm, change):
    with pytest.raises(ValueError):
        CliWriter().send(change)
    assert slurm.calls == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_any_reason_is_one_harmless_element(slurm, text):
    change = nodes("drain", "gpu0001", reason=text)
    if not text.split():
        with pytest.raises(ValueError, match="needs a reason"):
            CliWriter().commands(change)
        return
    (argv,) = CliWriter().commands(change)
    assert argv[-1].startswith("Reason=") and 8 <= len(argv[-1]) <= 1007
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in argv[-1])


@pytest.mark.parametrize("reason", REASONS)
def test_hostile_reasons_of_a_reboot_stay_one_element(slurm, reason):
    CliWriter().send(nodes("reboot", "gpu0001", reason=reason, next_state={"gpu0001": "DOWN"}))
    (argv,) = slurm.calls
    assert (
        argv[1:4] == ["reboot", "ASAP", "nextstate=DOWN"] and argv[4].startswith("reason=") and argv[5:] == ["gpu0001"]
    )
    assert "\x1b" not in argv[4] and len(argv[4]) <= 1007


@pytest.mark.parametrize("reason", REASONS)
def test_hostile_reasons_stay_one_element(slurm, reason):
    CliWriter().send(nodes("drain", "gpu0001", reason=reason))
    (argv,) = slurm.calls
    assert len(argv) == 5 and argv[2:4] == ["NodeName=gpu0001", "State=DRAIN"] and argv[4].startswith("Reason=")
    assert "\x1b" not in argv[4] and "\x07" not in argv[4] and len(argv[4]) <= 1007


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,6}\Z"), min_size=1, max_size=40))
def test_folding_means_exactly_these_nodes(slurm, names):
    names = {name for name in names if name.upper() != "ALL"} or {"gpu1"}
    (argv,) = CliWriter().commands(nodes("resume", *names))
    assert set(expand(argv[2].removeprefix("NodeName="))) == names


def test_a_hang_is_unknown_never_failed(slurm):
    slurm.answers(0, "", hang=60)
    began = time.monotonic()
    (sent,) = CliWriter(deadline_s=0.3).send(nodes("drain", "gpu0001", reason="x"))
    assert time.monotonic() - began < 20
    assert sent.rc is None and sent.refused == {} and "may have been done" in sent.err


def test_after_a_hang_no_further_batch_is_sent(slurm):
    slurm.answers(0, "", hang=60)
    sent = CliWriter(deadline_s=0.3).send(jobs("cancel", *map(str, range(1, BATCH + 2))))
    assert len(sent) == len(slurm.calls) == 1


@pytest.mark.parametrize(
    "err",
    [
        "slurm_update error: Socket timed out on send/recv operation\n",
        "Unexpected message received for job 101\nslurm_suspend error: Unexpected message received\n",
    ],
)
def test_a_doubtful_error_is_unknown(slurm, err):
    slurm.answers(1, err)
    (sent,) = CliWriter().send(jobs("hold", "101"))
    assert sent.rc is None and sent.refused == {}


def test_an_unreachable_controller_stops_it_and_has_done_nothing(slurm):
    slurm.answers(1, "slurm_update error: Unable to contact slurm controller (connect failure)\n")
    (sent,) = CliWriter().send(nodes("drain", "gpu0001", "gpu0002", reason="x"))
    assert sent.rc == 1 and set(sent.refused) == {"gpu0001", "gpu0002"} and sent.fatal


def test_what_meets_everybody_leaves_the_other_calls_out(slurm):
    for err in (
        "scontrol_reboot_nodes error: Permission denied",
        "scontrol_reboot_nodes error:Permission denied",
        "scontrol: error: RebootProgram isn't defined",
    ):
        slurm.answers(1, f"{err}\nscontrol_reboot_nodes error: Unspecified error\n")
        (sent,) = CliWriter().send(reboot(gpu0001="DOWN", gpu0002="RESUME"))
        assert sent.fatal and sent.refused == {"gpu0001": err}


def test_a_reboot_that_is_skipped_is_refused_though_scontrol_ends_well(slurm):
    err = "scontrol: error: Skipping reboot of nodes gpu[0002-0003] due to current node state."
    slurm.answers(0, f"{err}\n")
    (sent,) = CliWriter().send(reboot(gpu0001="DOWN", gpu0002="DOWN", gpu0003="DOWN"))
    assert sent.rc == 0 and not sent.fatal and set(sent.refused) == {"gpu0002", "gpu0003"}
    assert sent.refused["gpu0002"].startswith("Skipping reboot of nodes")


def test_an_owners_lower_priority_is_no_refusal(slurm):
    """Seen on both versions: exit status 1, and the priority is changed."""
    odd = "Changes to job priority are not persistent, change nice instead for job"
    slurm.answers(1, f"{odd} 5\n")
    (sent,) = CliWriter().send(jobs("priority", "5", values={"5": "3"}))
    assert sent.rc == 1 and sent.refused == {} and not sent.fatal
    slurm.answers(1, f"{odd} 5\nInvalid user id for job 6\n")
    (sent,) = CliWriter().send(jobs("priority", "5", "6", values={"5": "3", "6": "3"}))
    assert sent.refused == {"6": "Invalid user id"} and not sent.fatal


def test_missing_rights_refuse_every_node(slurm):
    slurm.answers(1, "slurm_update error: Invalid user id\n")
    (sent,) = CliWriter().send(nodes("resume", "gpu0001", "gpu0002"))
    assert sent.refused == dict.fromkeys(("gpu0001", "gpu0002"), "slurm_update error: Invalid user id")


def test_a_bulk_update_that_fails_names_nobody(slurm):
    slurm.answers(1, "slurm_update error: Invalid node state specified\n")
    (sent,) = CliWriter().send(nodes("resume", "gpu0001", "gpu0002"))
    assert sent.rc == 1 and sent.refused == {}
    (sent,) = CliWriter().send(nodes("resume", "gpu0001"))
    assert sent.refused == {"gpu0001": "slurm_update error: Invalid node state specified"}


@pytest.mark.parametrize(
    ("rc", "err", "refused"),
    [
        (1, "Job is pending execution for job 5\nInvalid job id specified for job 99\n",
         {"5": "Job is pending execution", "99": "Invalid job id specified"}),
        (1, "Invalid user id for job 5\nslurm_suspend error:Invalid user id\n", {"5": "Invalid user id"}),
        (210, "scancel: error: Kill job error on job id 4_2: Access/permission denied\n",
         {"4_2": "Access/permission denied"}),
        (1, "4_2: Invalid job id specified\n", {"4_2": "Invalid job id specified"}),
        (1, "4_0,2-9: Job is pending execution\n4_1: No error\n", {"4_2": "Job is pending execution"}),
        (1, "4_[0-5]: Job is pending execution\n", {"4_2": "Job is pending execution"}),
        (1, "4_[1-2]: No error\n4_[0]: Job is pending execution\n", {}),
        (1, "Job is in held state, pending scheduler release for job 5\n4_[2]: Invalid user id\n",
         {"5": "Job is in held state, pending scheduler release", "4_2": "Invalid user id"}),
        (1, "4_[9-1,]: x\n5_[0-99999999]: x", {}),
        (1, "Invalid job id specified for job 77\n", {}),
        (0, "", {}),
    ],
)  # fmt: skip
def test_refusals_by_name(rc, err, refused):
    """Texts of live 24.11.5 and 26.05.5 controllers."""
    assert refusals(rc, err.strip(), ("5", "99", "4_2", "6")) == refused


UNRESOLVED = "sudo: unable to resolve host login1: Name or service not known\n"


@pytest.mark.parametrize(
    ("err", "refused", "everybody"),
    [
        ("sudo: a password is required", "sudo: a password is required", True),
        (UNRESOLVED + "sudo: a password is required", "sudo: a password is required", True),
        ("[sudo] password for alice: \nsudo: no password was provided", "sudo: no password was provided", True),
        ("Sorry, user alice is not allowed to execute '/usr/bin/scontrol hold 1' as slurm on login1.",) * 2 + (True,),
        ("alice is not in the sudoers file.",) * 2 + (True,),
        # It ran: some of them may have been changed.
        (UNRESOLVED + "slurm_update error: Invalid node state specified", None, False),
        ("slurm_update error: Invalid node state specified", None, False),
    ],
)
def test_where_sudo_refused_nothing_ran_and_where_it_warned_something_may_have(err, refused, everybody):
    """Texts of sudo 1.9.16 and 1.9.17: tests/lab/test_sudo_lab.py."""
    assert refusals(1, err, ("gpu1", "gpu2")) == ({} if refused is None else dict.fromkeys(("gpu1", "gpu2"), refused))
    assert concerns_all(err) == everybody
    alone = refused or "slurm_update error: Invalid node state specified"
    assert refusals(1, err, ("gpu1",)) == {"gpu1": alone}, "not what was only a warning"
    assert refusals(1, UNRESOLVED.strip(), ("gpu1",)) == {"gpu1": "exit status 1"}


def test_a_cut_error_text_names_no_wrong_job():
    lines = [f"Invalid user id for job {job}" for job in range(20000, 20000 + process.ERR_BYTES // 29)]
    err = "\n".join([*lines, "Invalid user id for job 2"])
    assert "2" not in refusals(1, err, ("2", "20000", "20001"))


def test_single_refusals_do_not_stop_the_next_batch(slurm):
    slurm.answers(1, "Invalid user id for job 7\nslurm_suspend error: Invalid user id\n")
    assert len(CliWriter().send(jobs("hold", *map(str, range(1, BATCH + 2))))) == 2


def test_a_missing_command_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceFault, match="scontrol is not on PATH"):
        CliWriter().commands(jobs("hold", "1"))


def test_a_command_that_cannot_start_did_nothing(slurm):
    (slurm.folder / "scontrol").write_text("#!/nonexistent/interpreter\n")
    assert (slurm.folder / "scontrol").stat().st_mode & stat.S_IXUSR
    (sent,) = CliWriter().send(jobs("hold", "1"))
    assert sent.rc == 127 and set(sent.refused) == {"1"}
