"""The terminal is always given back, whatever ends or stops the console: its settings, its modes, and nothing runs on.

What a terminal may be asked for and left in is in tests/support/pty_console.py; tests/pty/test_line.py tests the Line.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import termios
import time

import pytest

from tests.bench.procs import cpu_s
from tests.faults import fault
from tests.support.pty_console import Room, ever_on, left_on, rooms

pytestmark = pytest.mark.pty

_SGR = re.compile(rb"\x1b\[([\d;]+)m")


@pytest.fixture
def room(tmp_path):
    with rooms(tmp_path) as begin:
        yield begin


# Signals.


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, marks=fault("terminal", "SIGTERM", "terminal as before, exit code 143")),
        pytest.param(signal.SIGINT, marks=fault("terminal", "SIGINT", "terminal as before, exit code 130")),
        pytest.param(signal.SIGHUP, marks=fault("terminal", "SIGHUP", "terminal as before, exit code 129")),
        pytest.param(signal.SIGQUIT, marks=fault("terminal", "SIGQUIT", "terminal as before, exit code 131, no core")),
    ],
    ids=lambda number: signal.Signals(number).name,
)
def test_a_signal_ends_it(room, number):
    one = room()
    one.up()
    assert {2026, 2048} <= ever_on(one.out)
    os.kill(one.child.pid, number)
    if number == signal.SIGHUP:
        os.kill(one.child.pid, number)  # the system says it, and then the shell
    assert one.end() == 128 + number
    assert one.after == ""
    one.given_back()


@fault("terminal", "event loop that hangs, then SIGTERM twice", "terminal as before at the second, exit code 143")
def test_a_second_signal_ends_one_that_hangs(room):
    one = room(inject="hang")
    one.up()
    one.type(b"?")
    one.comes(lambda: (one.folder / "hangs").exists())
    one.child.terminate()
    one.pump(1.1)  # a second signal at once is the same wish
    assert not one.ended()
    one.child.terminate()
    assert one.end() == 128 + signal.SIGTERM
    one.given_back()


@fault(
    "terminal",
    "what there was to read has been read by the shell (SIGSTOP, fg), then SIGTERM",
    "no thread waits for a key: the terminal is given back, exit code 143",
)
def test_what_the_shell_has_read_is_not_waited_for(room):
    one = room(inject="taken")
    one.up()
    (one.folder / "taken").touch()
    one.child.terminate()
    assert one.end(30.0) == 128 + signal.SIGTERM
    one.given_back()


@fault(
    "terminal",
    "Ctrl+Z, resized, bg, fg; then SIGSTOP, fg; then Ctrl+Z, SIGTERM",
    "the shell has its terminal each time, the screen comes back whole in the new size, exit code 143",
)
def test_a_shell_gets_the_terminal_and_gives_it_again(room):
    one = room(shell=True)
    one.start()
    one.ready()
    size = len(one.out)
    shell = _settings_at_prompt(one, b"\x1a")
    one.resize(100, 30)
    one.pump(2.0, lambda: one.out.count(b"shell> ", size) > 1)  # keys may be lost while it repaints
    size = len(one.out)
    one.type(b"bg\r")
    one.comes(lambda: one.out.rfind(b"shell> ") > size and one.stopped(), why="bg: as any that wants the terminal")
    assert left_on(one.out) == ["bracketed paste"] and termios.tcgetattr(one.slave) == shell
    one.wipe()
    one.type(b"fg\r")
    one.comes(one.says("Attention"), why="not all of it was painted again")
    one.comes(lambda: "Enter open" in one.rows[29], why="it is not as large as the terminal is")
    assert "bracketed paste" in left_on(one.out)
    one.type(b"2")
    one.comes(one.says("gpu0002"), why="the keys are not its own again")

    pid = one.pid_of("tests.support.pty_console")
    size = len(one.out)
    os.kill(pid, signal.SIGSTOP)
    one.comes(lambda: one.out.rfind(b"shell> ") > size)
    taken = one.out.count(b"\x1b[?1049h")
    one.wipe()
    one.type(b"\x15fg\r")  # what the terminal had still to say is on the shell's line
    one.comes(lambda: one.out.count(b"\x1b[?1049h") == taken + 1, why="it knows of SIGSTOP only afterwards, but then")
    one.comes(one.says("gpu0002"))
    one.type(b"1")
    one.comes(one.says("Attention"))
    assert _settings_at_prompt(one, b"\x1a") == shell

    one.type(b"kill %1\r")
    one.comes(lambda: not one.left_running(), why="it was to end in the background, without the terminal")
    one.comes(lambda: b"Exit 143" in one.out)
    assert left_on(one.out) == ["bracketed paste"] and termios.tcgetattr(one.slave) == shell
    one.type(b"exit\r")
    one.end()
    one.given_back()


def _settings_at_prompt(one: Room, key: bytes) -> list:
    """Type a key that gives the terminal to the shell; its settings then, when its prompt is there."""
    size = len(one.out)
    one.type(key)
    one.comes(lambda: one.out.rfind(b"shell> ") > size, why="no shell came")
    # A shell switches bracketed paste on itself, at its prompt.
    assert left_on(one.out) in ([], ["bracketed paste"])
    return termios.tcgetattr(one.slave)


@fault(
    "terminal",
    "Ctrl+Z and fg, 10 minutes later by the clock",
    "what was read before is told as stale, 10 minutes old, until it is read again",
    case="Ctrl-Z and fg after 10 minutes",
)
@fault("terminal", "started in the background, then fg", "it waits for the foreground, and then takes the terminal")
def test_what_was_read_before_a_long_stop_is_old(room):
    one = room(shell=True, inject="later")
    one.start(" &")
    one.comes(one.stopped)
    assert 1049 not in ever_on(one.out)
    one.type(b"fg\r")
    one.ready()
    one.comes(lambda: re.search(r"slurm \ds", one.rows[0]))
    _settings_at_prompt(one, b"\x1a")
    (one.folder / "later").touch()
    one.wipe()
    one.type(b"fg\r")
    one.comes(lambda: "slurm stale 10m" in one.rows[0], why="what was read 10 minutes ago is told as new")
    # Only the clock has moved on, not what waits for the next reading.
    one.type(b":refresh\r")
    one.comes(lambda: re.search(r"slurm \ds", one.rows[0]), why="it is not read again")
    one.type(b"q")
    one.comes(lambda: one.out.endswith(b"shell> "))
    one.type(b"exit\r")
    one.end()
    one.given_back()


@fault("terminal", "Ctrl+Z where no shell started it (ssh -t)", "it says so and goes on: nobody could continue it")
def test_without_a_shell_it_does_not_stop(room):
    one = room()
    one.up()
    one.type(b"\x1a")
    one.comes(one.says("no shell started this console"))
    one.type(b"q")
    assert one.end() == 0
    one.given_back()


@fault("terminal", "mouse moved while it is left, 100 ms away", "none of that is typed into the shell")
def test_what_the_mouse_still_says_is_read(room):
    one = room()
    one.up()
    one.delay_s = 0.1
    one.type(b"q")
    while not one.ended():
        one.pump(0.02)
        if "mouse 1003" in left_on(one.out):
            one.type(b"\x1b[<35;5;5M")
    assert one.end() == 0
    one.pump(0.3)
    assert one.after == ""
    one.given_back()


# The terminal itself.


@fault("terminal", "terminal closed with SIGHUP ignored", "it ends at once with 129, and does not spin")
def test_a_terminal_that_goes_away(room):
    one = room(ignore=(signal.SIGHUP,))
    one.up()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    lived, began = cpu_s(one.child.pid), time.monotonic()
    one.hang_up()
    assert one.child.wait(60) == 128 + signal.SIGHUP
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert time.monotonic() - began < 20
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2 * lived, "it spins"
    assert not one.left_running()


@fault(
    "terminal",
    "terminal stops reading (2 s here), SIGTERM while it does",
    "exit code 143 at once; as before when it reads again",
    case="terminal stops reading for 60 s",
)
def test_a_terminal_that_stands_still(room):
    one = room(size=(200, 60))
    one.up()
    until = time.monotonic() + 2
    while time.monotonic() < until:
        os.write(one.master, b"23")
        time.sleep(0.1)
    began = time.monotonic()
    one.child.terminate()
    assert one.child.wait(60) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 20
    assert termios.tcgetattr(one.slave) == one.before
    one.drain()
    one.given_back()


@fault("terminal", "200 resizes in 2 s, down to 1x1", "the last size is what is shown; terminal as before")
def test_two_hundred_resizes(room):
    one = room()
    one.ready()
    for number in range(200):  # in 2 s, where the machine is fast enough
        one.resize(1 + (199 - number) * 3 % 150, 1 + (199 - number) % 50)
        one.pump(0.01)
    assert one.size == (1, 1)
    one.pump(0.2)
    one.resize(90, 25)
    one.comes(lambda: "Enter open" in one.rows[24])
    assert 1016 not in ever_on(one.out), "the mouse reports cells, although the terminal reports its size"
    one.type(b"q")
    assert one.end() == 0
    one.given_back()


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"TERM": "dumb"}, marks=fault("terminal", "TERM=dumb", "one plain line, exit code 2")),
        pytest.param({"TERM": ""}, marks=fault("terminal", "no TERM", "one plain line, exit code 2")),
    ],
)
def test_a_terminal_that_can_show_nothing(room, env):
    one = room(env=env)
    assert one.end() == 2
    assert one.out.count(b"\n") == 1 and b"\x1b" not in one.out and b"wacht snapshot" in one.out
    assert termios.tcgetattr(one.slave) == one.before


@fault("terminal", "no terminal", "stdin or stdout is none: one plain line, exit code 2")
@pytest.mark.parametrize("which", ["stdin", "stdout"])
def test_no_terminal(which):
    master, slave = os.openpty()
    streams = {"stdin": slave, "stdout": slave, "stderr": subprocess.PIPE}
    streams[which] = subprocess.DEVNULL
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.pty_console", "", "demo"], **streams, timeout=60, check=False, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "wacht snapshot --json" in ended.stderr
    os.close(master)
    os.close(slave)


def colours(out: bytes) -> set[tuple[int, ...]]:
    """All that was asked for, as numbers after 38 or 48, or a number from 30 on."""
    found: set[tuple[int, ...]] = set()
    for codes in _SGR.findall(out):
        numbers = [int(one or 0) for one in codes.split(b";")]
        while numbers:
            first = numbers.pop(0)
            if first in {38, 48}:
                size = 4 if numbers[0] == 2 else 2
                found.add(tuple(numbers[:size]))
                del numbers[:size]
            elif 30 <= first <= 37 or 40 <= first <= 47 or first >= 90:
                found.add((first,))
    return found


@fault("terminal", "16 colours", "nothing but the 16 is asked for")
@fault("terminal", "LANG=C", "drawn in UTF-8 all the same, as every terminal of today reads it")
def test_a_plain_old_terminal(room):
    shell = {"COLUMNS": "70", "LINES": "20"}  # some export them, once and for all
    one = room(env={"TERM": "xterm", "COLORTERM": "", "LANG": "C", "LC_ALL": "C", **shell}, modern=False)
    one.ready()
    one.comes(one.says("╭─ Nodes 32"))
    asked = colours(one.out)
    assert asked and all(len(one) == 1 for one in asked), asked
    one.resize(100, 30)
    one.comes(lambda: "Enter open" in one.rows[29], why="it is not as large as the terminal is")
    one.type(b"q")
    assert one.end() == 0
    one.given_back()


@fault("terminal", "NO_COLOR", "no hue is sent")
def test_no_colour(room):
    one = room(env={"NO_COLOR": "1"})
    one.ready()
    hues = {one for one in colours(one.out) if one[0] == 2 and len(set(one[1:])) > 1}
    assert not hues
    one.type(b"q")
    assert one.end() == 0
    one.given_back()
