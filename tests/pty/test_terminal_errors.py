"""What goes wrong in the console, or in a program that it started: the terminal is given back all the same.

tests/support/pty_console.py knows what a terminal may be left in; signals and the terminal itself: test_terminal.py.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.faults import fault
from tests.nvml.driver import Driver
from tests.support.pty_console import TOKEN, left_on, rooms

pytestmark = pytest.mark.pty


@pytest.fixture
def room(tmp_path):
    with rooms(tmp_path) as begin:
        yield begin


def script(folder: Path, name: str, text: str) -> None:
    """A program of the room."""
    (folder / "bin").mkdir(exist_ok=True)
    file = folder / "bin" / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


# Errors of its own.


@pytest.mark.parametrize(
    ("inject", "key"),
    [
        pytest.param(
            "handler", b"?", marks=fault("terminal", "exception", "a plain message after the screen, exit code 1")
        ),
        pytest.param(
            "thread",
            b"?",
            marks=fault("terminal", "exception in a thread", "a plain message, exit code 1: not silence"),
        ),
        pytest.param(
            "publish", b"", marks=fault("terminal", "exception in the poller's own thread", "a plain message, exit 1")
        ),
        pytest.param(
            "frame", b"", marks=fault("terminal", "exception in the driver, painting", "a plain message, exit code 1")
        ),
        pytest.param(
            "input", b"5", marks=fault("terminal", "exception in the driver, reading", "a plain message, exit code 1")
        ),
        pytest.param(
            "line",
            b"",
            marks=fault("terminal", "exception in the thread that writes", "given back past it, exit code 1"),
        ),
        pytest.param(
            "start", b"", marks=fault("terminal", "exception as the terminal is taken", "given back, exit code 1")
        ),
        pytest.param(
            "stop", b"q", marks=fault("terminal", "exception as the terminal is given back", "given back, exit code 1")
        ),
    ],
)
def test_an_error_of_its_own_is_told_in_a_terminal_that_can_show_it(room, inject, key):
    one = room(inject=inject)
    if inject in {"handler", "thread", "input", "stop"}:
        one.up()
    one.type(key)
    assert one.end() == 1
    assert one.after.startswith("wacht: an error of its own ended the console: RuntimeError")
    assert "\x1b" not in one.after and "Traceback" not in one.after
    assert "\r\n" in one.after and "\n" not in one.after.replace("\r\n", ""), "lines start at the left"
    assert TOKEN.encode() not in one.out
    one.given_back()


@fault("terminal", "exceptions in a collector and in a worker", "the source says so, the console goes on")
def test_an_error_of_one_source_or_worker_ends_nothing(room):
    one = room(inject="goes on")
    one.ready()
    one.comes(lambda: re.search(r"alerts +(never|error|—|✖|failed|internal)", one.rows[0]))
    one.type(b"2")
    one.comes(one.says("gpu0002"))
    one.type(b"q")
    assert one.end() == 0
    one.given_back()


# Other programs.

_RUDE = """stty raw -echo -opost
printf '\\033[?1049h\\033[?1002h\\033[?2004h\\033[?1h\\033[31;1m\\033[?25l'
echo rude
exec sleep 1000"""


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            "kill -9 of ssh",
            marks=fault(
                "terminal", "kill -9 of ssh (x), which leaves it raw", "the console comes back; at its end as before"
            ),
        ),
        pytest.param(
            "SIGTERM while ssh runs",
            marks=fault("terminal", "SIGTERM while ssh (x) has the terminal", "ssh ends too, as before, exit code 143"),
        ),
    ],
)
def test_another_program_that_dies_with_the_terminal_in_its_hands(room, tmp_path, how):
    script(tmp_path, "ssh", _RUDE)
    one = room("demo", "--nodes", "32", "--screen", "nodes", inject="ssh")
    one.comes(one.says("gpu0002"))
    one.type(b"x")
    one.comes(lambda: b"rude" in one.out)
    assert "mouse 1002" in left_on(one.out)
    if how == "kill -9 of ssh":
        one.comes(lambda: one.pid_of("sleep 1000"))
        os.kill(one.pid_of("sleep 1000"), signal.SIGKILL)
        one.comes(one.says("ssh ended with -9"))
        assert "mouse 1002" not in left_on(one.out) and "application cursor keys" not in left_on(one.out)
        one.type(b"q")
        assert one.end() == 0
    else:
        one.child.terminate()
        assert one.end() == 128 + signal.SIGTERM
    one.given_back()


@fault("terminal", "kill -9 of a running squeue", "the console goes on; no zombie stays, no process at the end")
def test_a_command_that_is_killed(room, tmp_path):
    for name in ("scontrol", "squeue", "sinfo", "sdiag", "sacctmgr", "scancel"):
        script(tmp_path, name, f"exec sleep {1000 + len(name)}")
    config = tmp_path / "config.toml"
    config.write_text("[cluster.here]\nslurm = {}\n")
    config.chmod(0o600)
    one = room("--config", str(config))
    one.comes(lambda: one.pid_of("sleep 1006"), why="no squeue runs")
    killed = one.pid_of("sleep 1006")
    os.kill(killed, signal.SIGKILL)
    one.comes(lambda: not Path(f"/proc/{killed}").exists(), why="it stays as a zombie")
    assert not one.ended()
    one.type(b"q")
    assert one.end() == 0
    one.given_back()


@fault("terminal", "kill -9 of the NVML worker", "another is started; no process stays at the end")
def test_a_worker_that_is_killed(room, tmp_path):
    Driver(tmp_path, 2)
    for name in ("scontrol", "squeue", "sinfo", "sdiag", "sacctmgr", "scancel"):
        script(tmp_path, name, "exit 1")
    config = tmp_path / "config.toml"
    config.write_text("[cluster.here]\nslurm = {}\nnvml = { facts = true }\n")
    config.chmod(0o600)
    one = room("--config", str(config), env={"LD_LIBRARY_PATH": str(tmp_path)})
    one.comes(lambda: one.pid_of("nvml"), why="no worker runs")
    killed = one.pid_of("nvml")
    os.kill(killed, signal.SIGKILL)
    one.comes(lambda: one.pid_of("nvml") not in {None, killed}, why="no other worker was started")
    one.type(b"q")
    assert one.end() == 0
    one.given_back()
