"""The harness itself: both versions side by side, jobs that truly run, and nothing left behind, however it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.paths import ROOT

from . import place
from .namespaces import in_namespace_of
from .nodes import is_in
from .place import wait_for
from .roots import SUITES, USERS, LabError, cache_dir, root_of
from .running import require
from .slurm import RESERVATION, Lab


def inside(root: Path) -> list[int]:
    """Every process of this machine whose root directory is that chroot, or that was entered from it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "root").readlink() == root:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def owners_of_sleeps(root: Path) -> set[int]:
    """The uids whose `sleep` runs in that chroot; a process that ends meanwhile is left out."""
    owners = set()
    for pid in inside(root):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"):
                owners.add(Path(f"/proc/{pid}").stat().st_uid)
    return owners


def outside(lab: Lab, *argv: str, user: str = "root", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a program outside the chroot finds it: by PATH."""
    folder = lab.bin_dir if user == "root" else lab.bin_dir_as(user)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **environment}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)


def test_both_versions_run_side_by_side(lab_trixie: Lab, lab_forky: Lab) -> None:
    for lab in (lab_trixie, lab_forky):
        assert lab.version in lab.check(["scontrol", "version"])
        assert len(lab.node_states()) == 64
        assert lab.cluster in lab.check(["scontrol", "show", "config"])
        assert RESERVATION in lab.check(["scontrol", "show", "reservation", "-o"])
    assert abs(lab_trixie.state.port - lab_forky.state.port) > 64


def test_jobs_run_as_their_user(lab: Lab) -> None:
    lab.reset()
    ids = lab.submit(user="alice", nodes=2, name="a 'quoted' name") + lab.submit(user="bob", gpus=1)
    lab.wait_jobs("RUNNING", ids)
    rows = lab.check(["squeue", "-h", "-o", "%u %D %b %j"]).splitlines()
    assert sorted(rows) == ["alice 2 gres/gpu:h100:8 a 'quoted' name", "bob 1 gres/gpu:h100:1 wrap"]
    # RUNNING is what the controller says; slurmd starts the work a moment later.
    wanted = {USERS["alice"], USERS["bob"]}
    wait_for(lambda: "" if owners_of_sleeps(lab.root) == wanted else "not both users have a sleep that runs", 60)
    assert owners_of_sleeps(lab.root) == wanted


def test_a_drain_shows_and_a_reset_heals(lab: Lab) -> None:
    lab.check(["scontrol", "update", "NodeName=gpu0005", "State=DRAIN", "Reason=bad DIMM"])
    lab.stop_nodes(["gpu0006"])
    lab.check(["scontrol", "update", "NodeName=gpu0006", "State=DOWN", "Reason=dead"])
    assert is_in(lab.node_states()["gpu0005"], "DRAIN")
    lab.reset()
    assert set(lab.node_states().values()) == {"IDLE"}


def test_a_reset_restarts_a_slurmd_that_hangs(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.reset()
    lab._inside("/bin/bash", "-c", 'kill -STOP "$(cat "$0")"', f"{lab.state.place}/run/gpu0007.pid")
    lab.check(["scontrol", "update", "NodeName=gpu0007", "State=DOWN", "Reason=hangs"])
    lab.reset(timeout=30)
    assert set(lab.node_states().values()) == {"IDLE"}
    assert "gpu0007" in capsys.readouterr().out


def test_a_reboot_takes_a_node_away_and_brings_it_back(lab: Lab) -> None:
    lab.reset()

    def boots() -> dict[str, str]:
        text = lab.check(["scontrol", "show", "node", "-o"])
        return dict(re.findall(r"^NodeName=(\S+) .*? BootTime=(\S+)", text, re.MULTILINE))

    before = boots()
    lab.check(["scontrol", "update", "NodeName=gpu0003", "State=DRAIN", "Reason=bad DIMM"])
    lab.wait_jobs("RUNNING", lab.submit(user="alice", nodelist="gpu0005"))
    lab.check(["scontrol", "reboot", "ASAP", "nextstate=RESUME", "Reason=kernel", "gpu0003"])
    lab.check(["scontrol", "reboot", "ASAP", "nextstate=DOWN", "Reason=kernel", "gpu0004,gpu0005"])
    assert is_in(lab.node_states()["gpu0005"], "REBOOT_REQUESTED"), "its job goes on"

    def done() -> str:
        seen = lab.node_states()
        return " ".join(name for name in ("gpu0003", "gpu0004") if "REBOOT" in seen[name])

    wait_for(done, 40)
    lab.wait_nodes("IDLE", names=["gpu0003"])  # RESUME takes the drain along
    assert lab.node_states()["gpu0004"] == "DOWN"
    after = boots()
    # Of those it was asked of: one that a test before stopped may only now have registered.
    assert {node for node in ("gpu0003", "gpu0004", "gpu0005") if after[node] > before[node]} == {"gpu0003", "gpu0004"}
    lab.reset()
    assert set(lab.node_states().values()) == {"IDLE"}
    assert boots()["gpu0005"] == before["gpu0005"], "a reset calls off what has not begun"


def test_wrappers_serve_a_program_outside(lab: Lab) -> None:
    lab.reset()
    lab.submit(user="alice", name="seen")
    assert "seen" in outside(lab, "squeue", "-h", "-o", "%j %S").stdout
    epoch = outside(lab, "squeue", "-h", "-o", "%V", SLURM_TIME_FORMAT="%s").stdout.strip()
    assert epoch.isdigit()
    denied = outside(lab, "scontrol", "update", "NodeName=gpu0001", "State=DRAIN", "Reason=x", user="alice")
    assert (denied.returncode, "Invalid user id" in denied.stderr) == (1, True)


def test_ten_thousand_pending_jobs(lab: Lab) -> None:
    lab.reset()
    lab.submit(user="alice", array="0-9999", nodes=56)  # all of the default partition
    many = lab.submit(200, user="bob", nodes=56)
    assert len(set(many)) == 200
    assert len(lab.check(["squeue", "-h", "-a", "-r", "-o", "%i"]).split()) == 10_200
    lab.reset()


def test_the_controller_stops_and_comes_back(lab: Lab) -> None:
    lab.reset()
    job = lab.submit(user="alice")
    lab.wait_jobs("RUNNING", job)
    lab.stop_controller()
    assert "DOWN" in lab.run(["scontrol", "ping"]).stdout
    lab.start_controller()
    lab.wait_jobs("RUNNING", job)
    lab.reset()


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.lab
def test_the_design_point(suite: str) -> None:
    require(suite)
    with Lab(suite, nodes=12_000, slurmd=False, max_jobs=100_000) as lab:
        lab.submit(user="alice", array="0-99999", nodes=4)
        assert lab.check(["sinfo", "-h", "-o", "%N", "-p", "gpu"]).strip() == "gpu[0001-10500]"
        assert lab.check(["scontrol", "show", "node", "-o"]).count("NodeName=") == 12_000


def test_a_root_is_not_made_anew_under_labs_that_run_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    state = place.claim("trixie", "busy", cluster="x", nodes=1, slurmd=False, stays=True)
    with pytest.raises(LabError, match="labs run in it: end busy first"):
        root_of("trixie")
    assert state.folder.exists()


@pytest.mark.lab
def test_stop_leaves_nothing() -> None:
    require("trixie")
    lab = Lab("trixie", nodes=4).start()
    lab.wait_jobs("RUNNING", lab.submit(2, user="alice", script="trap '' TERM; sleep 600 & sleep 600"))
    folder, ours = lab.folder, in_namespace_of(lab.state.init[0] if lab.state.init else 0)
    assert len(ours) > 8
    lab.stop()
    assert [pid for pid in ours if Path(f"/proc/{pid}").exists()] == []
    assert not folder.exists()
    assert str(cache_dir()) not in Path("/proc/mounts").read_text()


@pytest.mark.lab
def test_a_killed_owner_takes_its_lab_along() -> None:
    require("trixie")
    script = (
        "from tests.lab.slurm import Lab; lab = Lab('trixie', nodes=4).start(); print(lab.name, flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout
        state = place.find(owner.stdout.readline().strip())
        assert state and state.init
        ours = in_namespace_of(state.init[0])
        owner.send_signal(signal.SIGKILL)
    wait_for(lambda: "it lives" if any(Path(f"/proc/{pid}").exists() for pid in ours) else "", 60)
    wait_for(lambda: "its directory is there" if state.folder.exists() else "", 60)


@pytest.mark.lab
def test_a_killed_process_one_is_swept_by_the_next_start() -> None:
    require("trixie")
    first = Lab("trixie", nodes=2, name=f"swept-{os.getpid()}").start()
    folder, init = first.folder, first.state.init
    assert init
    os.kill(init[0], signal.SIGKILL)
    wait_for(lambda: "it lives" if place.is_alive(init) else "", 60)
    with Lab("trixie", nodes=2, name=f"swept-{os.getpid()}") as second:  # the name is free again
        assert second.folder == folder
        assert len(second.node_states()) == 2
    first.stop()


@pytest.mark.lab
def test_a_bad_configuration_says_why_and_leaves_nothing() -> None:
    require("trixie")
    lab = Lab("trixie", nodes=2, extra="Nonsense=1\n")
    with pytest.raises(LabError, match="Nonsense"):
        lab.start()
    assert place.find(lab.name) is None


@pytest.mark.lab
def test_the_command_line() -> None:
    require("forky")
    name = f"cli-{os.getpid()}"

    def call(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tests.lab", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    try:
        began = time.monotonic()
        said = call("up", "--suite=forky", "--nodes=8", "--jobs=20", f"--name={name}")
        assert time.monotonic() - began < 30
        assert f"PATH={cache_dir()}" in said
        assert "8 nodes" in call("status")
        shell = call("env", f"--name={name}") + "squeue -h -a -r | wc -l"
        counted = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
        assert counted.stdout.strip() == "20"
    finally:
        call("down", f"--name={name}")
    assert place.find(name) is None
