"""Processes and the jobs they belong to, on a fake /proc, and where only Slurm can tell."""

from __future__ import annotations

import getpass
import os
import threading
from pathlib import Path

import pytest

from collectors.nvml import process_owner
from collectors.nvml.process_owner import Owner, Owners, ProcessOwners, UserNames, job_of, parse_listpids

SLUID = "s5B1M86DP5S700"  # as 26.05 wrote it on a live node
V2 = "0::/system.slice/slurmstepd.scope"

#: What `scontrol listpids` of 26.05 and 24.11 print.
LISTPIDS = """\
PID      JOBID    STEPID   LOCALID GLOBALID
104      3        batch    0       0
4711     88133    0        -       -
"""


class Proc:
    """A /proc with the processes that a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self, pid: int, cgroup: str, *, comm: str = "python", env: dict[str, str] | None = None, born: int = 1
    ) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "cgroup").write_text(cgroup + "\n")
        (folder / "comm").write_text(comm + "\n")
        (folder / "status").write_text(f"Name:\t{comm}\nUid:\t{os.getuid()}\t0\t0\t0\n")
        (folder / "stat").write_text(f"{pid} (a ) name) S " + " ".join(["0"] * 18) + f" {born} 0 0\n")
        if env is not None:
            (folder / "environ").write_bytes(b"\0".join(f"{key}={value}".encode() for key, value in env.items()))


@pytest.fixture
def proc(tmp_path) -> Proc:
    return Proc(tmp_path)


@pytest.mark.parametrize(
    ("cgroup", "job", "sluid"),
    [
        (
            "11:memory:/slurm/uid_1000/job_88121/step_0/task_0\n1:name=systemd:/system.slice/slurmd.service",
            "88121",
            None,
        ),
        ("4:devices:/slurm_gpu0001/uid_1000/job_7/step_batch", "7", None),
        (f"{V2}/job_88121/step_0/user/task_0", "88121", None),
        ("0::/system.slice/gpu0001_slurmstepd.scope/job_9/step_extern/user/task_special", "9", None),
        (f"{V2}/{SLUID}/step_0/user/task_0", None, SLUID),
        (f"{V2}/system", None, None),
        ("0::/system.slice/nvidia-dcgm.service", None, None),
        ("0::/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/job_1/x", None, None),
        ("0::/user.slice/user-1000.slice/session-3.scope", None, None),
        (f"{V2}/job_12x/step_0", None, None),
        ("0::/evil/slurm/uid_1000/job_1/step_0", None, None),
        ("", None, None),
    ],
)
def test_the_job_that_a_cgroup_names(cgroup, job, sluid):
    assert job_of(cgroup) == (job, sluid)


def test_user_command_and_job(proc):
    proc.add(4711, f"{V2}/job_88121/step_0/user/task_0", comm="py\x1bthon")
    assert Owners(proc.root).of(4711) == Owner(name="py\\ethon", user=getpass.getuser(), job="88121")


def test_a_sluid_is_the_job_that_the_process_says_where_it_can_be_read(proc):
    cgroup = f"{V2}/{SLUID}/step_0/user/task_0"
    proc.add(1, cgroup, env={"SLURM_JOB_ID": "88121", "SLURM_JOB_SLUID": SLUID})
    proc.add(2, cgroup, env={"SLURM_JOB_ID": "88121", "SLURM_JOB_SLUID": "s0000000000000"})
    proc.add(3, cgroup, env={"SLURM_JOB_ID": "88121; rm"})
    proc.add(4, cgroup)
    owners = Owners(proc.root)
    assert [owners.of(pid).job for pid in (1, 2, 3, 4)] == ["88121", None, None, None]
    assert {owners.of(pid).sluid for pid in (1, 2, 3, 4)} == {SLUID}


def test_an_environment_alone_proves_nothing(proc):
    proc.add(1, "0::/user.slice/user-1000.slice/session-3.scope", env={"SLURM_JOB_ID": "88121"})
    assert Owners(proc.root).of(1).job is None


def test_a_process_that_ended_and_a_number_used_again(proc):
    owners = Owners(proc.root)
    assert owners.of(4711) == Owner()
    proc.add(4711, f"{V2}/job_1/step_0", born=100)
    assert owners.of(4711).job == "1"
    proc.add(4711, f"{V2}/job_2/step_0", born=100)
    assert owners.of(4711).job == "1", "the same process: known"
    proc.add(4711, f"{V2}/job_2/step_0", born=200)
    assert owners.of(4711).job == "2"
    owners.keep(frozenset())
    assert owners._known == {}


def test_a_directory_service_that_hangs_costs_no_reading(proc, monkeypatch):
    held = threading.Event()

    def slow(uid: int) -> object:
        held.wait(30)
        raise KeyError(uid)

    monkeypatch.setattr(process_owner.pwd, "getpwuid", slow)
    monkeypatch.setattr(process_owner, "_NAME_WAIT_S", 0.01)
    proc.add(4711, f"{V2}/job_1/step_0")
    owners = Owners(proc.root)
    assert owners.of(4711) == Owner(name="python", user=f"uid {os.getuid()}", job="1")
    held.set()


def test_a_user_without_a_name():
    assert UserNames().of(4_000_000_000) == "uid 4000000000"


def test_a_process_wedged_in_the_driver_costs_no_reading():
    held = threading.Event()

    class Wedged(Owners):
        def of(self, pid: int) -> Owner:
            held.wait(30)
            return Owner(job="1")

    desk = ProcessOwners(Wedged())
    assert desk.of(frozenset({1}), wait_s=0.01) == {}
    assert desk.of(frozenset({1, 2}), wait_s=30) == {}, "nothing is queued behind it"
    held.set()
    desk._done.wait(20)
    assert desk.of(frozenset({1}), wait_s=20) == {1: Owner(job="1")}
    assert desk.of(frozenset()) == {1: Owner(job="1")}


def test_what_listpids_prints():
    assert parse_listpids(LISTPIDS) == {104: "3", 4711: "88133"}
    assert parse_listpids("slurmstepd: error\n\n12 x\n") == {}


# -- through the driver -----------------------------------------------------------------------------------------------


def scontrol(folder: Path, monkeypatch, lines: str) -> Path:
    """A scontrol that prints these lines, and leaves a mark each time."""
    marks = folder / "marks"
    program = folder / "scontrol"
    (folder / "answer").write_text(lines)
    program.write_text(f"#!/bin/sh\necho $* >> {marks}\ncat {folder}/answer\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return marks


def test_slurm_tells_the_job_where_the_cgroup_does_not(driver, nvml, monkeypatch):
    pid = os.getpid()
    marks = scontrol(driver.folder, monkeypatch, LISTPIDS.replace("4711 ", f"{pid} "))
    driver.line("proc", 3, pid, 2048)
    gpu = nvml.read().gpus[3]
    (one,) = gpu.processes or ()
    assert (one.pid, one.job, one.user, one.memory_mb) == (pid, "88133", getpass.getuser(), 2048)
    assert gpu.job == "88133"
    nvml.read()
    assert marks.read_text() == "listpids\n", "asked once a minute at most"


def test_a_slurm_that_does_not_answer_costs_no_gpu(driver, nvml, monkeypatch):
    scontrol(driver.folder, monkeypatch, "")
    driver.line("proc", 3, os.getpid(), 2048)
    sample = nvml.read()
    assert sample.gpus[3].job is None and (sample.gpus[3].processes or ())[0].job is None


def test_a_gpu_that_several_jobs_share_is_nobodys(driver, nvml, monkeypatch):
    pid, parent = os.getpid(), os.getppid()
    scontrol(driver.folder, monkeypatch, f"PID JOBID\n{pid} 1\n{parent} 2\n")
    driver.line("proc", 3, pid, 1)
    driver.line("proc", 3, parent, 1)
    gpu = nvml.read().gpus[3]
    assert {one.job for one in gpu.processes or ()} == {"1", "2"} and gpu.job is None
