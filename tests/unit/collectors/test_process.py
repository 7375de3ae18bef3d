"""The one place where a process starts: it always ends, with all that it started, and inherits next to nothing."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from collectors import process
from collectors.model import SourceFault
from tests.faults import fault

SH = shutil.which("sh")
OPEN = Path("/proc/self/fd")
LONG = 60.0
"""A deadline that no passing test reaches."""


def run(script: str, deadline_s: float = LONG, **more) -> process.ProcessResult:
    return process.run([SH, "-c", script], deadline_s=deadline_s, **more)


def ended_after_speaking(script: str) -> process.ProcessResult:
    """Run a script that hangs after it has printed; a machine too slow to start it in time gets more time."""
    for deadline_s in (0.2, 1.0, 5.0):
        ended = run(script, deadline_s)
        if ended.out:
            break
    return ended


def dies(pid: int) -> bool:
    """True when that process has ended, or ends within a generous time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 20)[0])
    finally:
        os.close(handle)


def test_says_how_it_ended():
    ended = run("printf out; printf 'one\\ntwo\\033' >&2; exit 3")
    assert (ended.rc, ended.out, ended.err) == (3, b"out", "one\\ntwo\\e")
    assert not ended.timed_out and not ended.capped and ended.took_s >= 0
    assert ended.argv == (SH, "-c", "printf out; printf 'one\\ntwo\\033' >&2; exit 3")


def test_a_signal_is_a_negative_status():
    assert run("kill -9 $$").rc == -9


def test_both_outputs_may_be_large():
    size = 3_000_000
    ended = run(f"head -c {size} /dev/zero; head -c {size} /dev/zero >&2; head -c {size} /dev/zero")
    assert ended.rc == 0 and len(ended.out) == 2 * size and len(ended.err) <= 4 * process.ERR_BYTES


def test_a_hang_ends_at_the_deadline():
    ended = run("sleep 60", 0.2)
    assert ended.timed_out and ended.rc < 0 and not ended.capped
    assert ended.took_s >= 0.2


def test_what_was_said_before_the_deadline_is_kept():
    ended = ended_after_speaking("echo half a row; exec sleep 60")
    assert ended.timed_out and ended.out == b"half a row\n"


def test_the_grandchild_dies_too():
    ended = ended_after_speaking("sleep 60 & echo $!; wait")
    assert ended.timed_out and dies(int(ended.out))


@fault("process", "a grandchild that outlives its parent and holds the pipe", "it is killed too")
def test_the_grandchild_dies_even_when_only_it_holds_the_pipe():
    ended = ended_after_speaking("sleep 60 & echo $!; exit 0")
    assert ended.timed_out and dies(int(ended.out))


@fault("process", "child that ignores SIGTERM", "SIGKILL, within the deadline and its grace")
def test_ignoring_sigterm_helps_nobody():
    ended = ended_after_speaking("trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 60; done'")
    assert ended.timed_out and ended.rc == -9 and dies(int(ended.out))


def test_closing_its_output_is_no_end():
    ended = run("exec >&- 2>&-; sleep 60", 0.2)
    assert ended.timed_out and ended.rc < 0


def test_a_flood_is_capped_and_its_writer_killed():
    ended = run("echo $$; exec yes", cap_bytes=100_000)
    assert ended.capped and not ended.timed_out and ended.rc < 0
    assert len(ended.out) <= 100_000
    assert dies(int(ended.out.split()[0]))


def test_a_flood_of_errors_is_capped():
    ended = run("yes >&2", cap_bytes=100_000)
    assert ended.capped and len(ended.err) <= 2 * process.ERR_BYTES


def test_just_below_the_cap_is_whole():
    ended = run("head -c 1000 /dev/zero", cap_bytes=1000)
    assert not ended.capped and len(ended.out) == 1000
    assert run("head -c 1001 /dev/zero", cap_bytes=1000).capped


def test_the_operators_keys_do_not_reach_it():
    kept, (read, write) = os.dup(0), os.pipe()
    os.write(write, b"keys of the operator\n")
    os.close(write)
    os.dup2(read, 0)
    try:
        assert run("cat; echo end").out == b"end\n"
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(read)


def test_it_has_a_session_of_its_own_and_stands_at_the_root():
    script = "import os; print(os.getsid(0) == os.getpgid(0) == os.getpid(), os.getcwd())"
    assert process.run([sys.executable, "-IS", "-c", script], deadline_s=LONG).out == b"True /\n"


@fault("process", "commands that fail, hang and flood, many times", "no descriptor is left open")
def test_no_descriptor_leaks():
    before = set(OPEN.iterdir())
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        script = f"import os\ntry: os.fstat({write}); print('leaked')\nexcept OSError: print('closed')"
        assert process.run([sys.executable, "-IS", "-c", script], deadline_s=LONG).out == b"closed\n"
    finally:
        os.close(read)
        os.close(write)
    run("yes", cap_bytes=10)
    run("sleep 60", 0.1)
    assert set(OPEN.iterdir()) == before


def environment_of_a_child() -> dict[str, str]:
    words = process.run([shutil.which("env")], deadline_s=LONG).out.decode().splitlines()
    return dict(word.split("=", 1) for word in words)


def test_the_environment_is_small(monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "LD_PRELOAD", "PYTHONPATH", "SQUEUE_STATES", "SINFO_FORMAT"):
        monkeypatch.setenv(name, "secret")
    for name in ("SLURM_CLUSTERS", "SLURM_JOB_ID", "SLURM_BITSTR_LEN", "SLURM_TOPO_LEN", "SLURM_JSON"):
        monkeypatch.setenv(name, "shaping")
    monkeypatch.setenv("SLURM_CONF", "/etc/site/slurm.conf")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    monkeypatch.setenv("LC_ALL", "nl_NL")
    monkeypatch.setenv("HOME", "/home/op")
    child = environment_of_a_child()
    assert not {"secret", "shaping"} & set(child.values())
    assert child["SLURM_CONF"] == "/etc/site/slurm.conf" and child["HOME"] == "/home/op"
    assert child["SLURM_TIME_FORMAT"] == "%s" and child["LC_ALL"] == "C.UTF-8"
    assert child["PATH"] == os.environ["PATH"]
    allowed = {"HOME", "USER", "LOGNAME", "PATH", "XDG_RUNTIME_DIR", "KRB5CCNAME", "SSH_AUTH_SOCK", "LC_ALL"}
    assert not {name for name in child if name not in allowed and not name.startswith("SLURM_")}


def test_there_is_always_a_path(monkeypatch):
    monkeypatch.delenv("PATH")
    assert process.environment({"EXTRA": "1"}) | {"PATH": os.defpath, "EXTRA": "1"} == process.environment(
        {"EXTRA": "1"}
    )


def test_an_environment_given_is_taken_whole():
    assert process.run([shutil.which("env")], deadline_s=LONG, env={"A": "1"}).out == b"A=1\n"


@pytest.mark.parametrize("name", ["no-such-command", "x\0y", "x\udc80\ud800"])
def test_what_cannot_be_started_is_missing(name):
    with pytest.raises(SourceFault) as caught:
        process.run([f"/nowhere/{name}"], deadline_s=LONG)
    assert caught.value.fault.kind == "missing" and "cannot be started" in caught.value.fault.what
    assert caught.value.fault.what.isprintable()


def test_what_may_not_be_run_is_missing(tmp_path):
    plain = tmp_path / "squeue"
    plain.write_text("no program")
    plain.chmod(0o644)
    with pytest.raises(SourceFault, match="cannot be started: Permission denied"):
        process.run([str(plain)], deadline_s=LONG)


def test_finds_on_path_only(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceFault) as caught:
        process.find("squeue")
    assert caught.value.fault.kind == "missing" and str(caught.value.fault).startswith("squeue is not on PATH (")
    assert "Slurm's client commands" in caught.value.fault.mend
    with pytest.raises(SourceFault) as caught:
        process.find("sudo")  # of a site's prefix: no module of Slurm's brings it
    assert "Slurm" not in caught.value.fault.mend
    real = tmp_path / "multicall"
    real.write_text("#!/bin/sh\n")
    real.chmod(0o755)
    (tmp_path / "squeue").symlink_to(real)
    assert process.find("squeue") == str(tmp_path / "squeue")


def test_stop_all_ends_what_runs(tmp_path):
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run(f"sleep 60 & echo $! > {ready}; wait")))
    thread.start()
    child = int(ready.read_text())  # waits until it is written
    process.stop_all()
    thread.join(30)
    assert len(ended) == 1 and ended[0].rc < 0 and not ended[0].timed_out
    assert dies(child) and not process._live


def test_what_starts_while_all_is_stopped_does_not_live_on(monkeypatch):
    real = subprocess.Popen

    def stopped_meanwhile(*args, **more):
        child = real(*args, **more)
        process.stop_all()  # before it is known to run
        return child

    monkeypatch.setattr(subprocess, "Popen", stopped_meanwhile)
    ended = run("sleep 60", deadline_s=30)
    assert ended.rc < 0 and not ended.timed_out


def test_an_interrupt_leaves_nothing_behind(monkeypatch):
    pids = []

    def interrupted(child, *_):
        pids.append(child.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_drain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("sleep 60")
    assert dies(pids[0]) and not process._live
