"""What reaches scontrol and scancel: exact argv, nothing hostile, and what their answers are taken for."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.model import Change, SourceFault
from collectors.nodeset import expand
from collectors.slurm import SlurmSettings
from collectors.slurm.write import BATCH, CliWriter, open_writer, refusals

HOSTILE = ["-oProxyCommand=x", "a;b", "$(x)", "`x`", "ALL", "all", "aLL", "", " ", "gpu[1-2]", "a,b", "a b", "a\nb",
           "@x", "--help", "gpu1=x", "gpu\u0661", "é", "../x", "*"]  # fmt: skip
NO_IDS = ["101;1", "101_", "_1", "1_2_3", "1-5", "101_[1-3]", "-1", "alice", "1 2", "\u0661", "9" * 11]
LONG = "x" * 5000
REASONS = [LONG, "$(reboot); `x` | y > /z", "-h", "State=RESUME NodeName=ALL", "\x1b]52;c;eA==\x07", "é ✓"]


class Slurm:
    """Stand-ins for scontrol and scancel that note their argv and answer as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        for name in ("scontrol", "scancel", "sudo"):
            script = folder / name
            script.write_text(
                f"#!{sys.executable} -IS\nimport json, os, sys, time\n"
                f"with open({str(self.log)!r}, 'a') as log: log.write(json.dumps(sys.argv) + '\\n')\n"
                f"answer = {str(folder / 'answer')!r}\n"
                "rc, err, hang = json.load(open(answer)) if os.path.exists(answer) else (0, '', 0)\n"
                "sys.stderr.write(err); sys.stderr.flush(); time.sleep(hang); sys.exit(rc)\n"
            )
            script.chmod(0o755)

    def answers(self, rc: int, err: str = "", hang: float = 0) -> None:
        (self.folder / "answer").write_text(json.dumps([rc, err, hang]))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    return Slurm(tmp_path)


def nodes(action: str, *names: str, reason: str | None = None) -> Change:
    return Change(action=action, kind="node", targets=names, reason=reason)


def jobs(action: str, *ids: str) -> Change:
    return Change(action=action, kind="job", targets=ids)


def test_one_call_for_many_nodes(slurm):
    change = nodes("drain", "gpu0001", "gpu0003", "gpu0002", reason="bad DIMM")
    expected = (f"{slurm.folder}/scontrol", "update", "NodeName=gpu[0001-0003]", "State=DRAIN", "Reason=bad DIMM")
    assert CliWriter().commands(change) == (expected,)
    (sent,) = CliWriter().send(change)
    assert slurm.calls == [list(expected)]
    assert (sent.argv, sent.rc, sent.targets, sent.refused) == (expected, 0, change.targets, {})


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


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_never_reach_slurm(slurm, name):
    for change in (
        nodes("drain", "gpu0001", name, reason="x"),
        nodes("resume", name),
        jobs("cancel", "101", name),
        jobs("requeue", name),
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
        nodes("cancel", "101"),
        jobs("cancel"),
        jobs("drain", "101"),
        Change(action="drain", kind="partition", targets=("gpu",), reason="x"),
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
    assert time.monotonic() - began < 5
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
    assert sent.rc == 1 and set(sent.refused) == {"gpu0001", "gpu0002"}


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
        (1, "4_[9-1,]: x\n5_[0-99999999]: x", {}),
        (1, "Invalid job id specified for job 77\n", {}),
        (0, "", {}),
    ],
)  # fmt: skip
def test_refusals_by_name(rc, err, refused):
    """Texts of live 24.11.5 and 26.05.5 controllers."""
    assert refusals(rc, err.strip(), ("5", "99", "4_2", "6")) == refused


def test_a_cut_error_text_names_no_wrong_job():
    err = "\n".join(f"Invalid user id for job {job}" for job in range(20000, 20133)) + "\nInvalid user id for job 2"
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
