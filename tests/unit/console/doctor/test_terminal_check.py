"""What `wacht doctor` says of a terminal, and that it gives it back as it was, whatever happens while it asks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from collectors.model import SourceFault
from console.doctor import terminal_check

PLAIN = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "en_GB.UTF-8"}
TMUX = {"version": "3.5", "escape": "10", "term": "tmux-256color", "mouse": "on", "clipboard": "on",
        "features": "features clipboard,RGB,title"}  # fmt: skip


def found(ended=None, **environ):
    """Name to marks and texts of what is found in such an environment."""
    said: dict[str, list[tuple[str, str]]] = {}
    chosen = {key: value for key, value in (PLAIN | environ).items() if value is not None}
    for one in terminal_check.findings(ended or {}, chosen):
        said.setdefault(one.name, []).append((one.mark, f"{one.said} → {one.mend}"))
    return said


@pytest.mark.parametrize(
    ("environ", "name", "mark", "words"),
    [
        ({}, "TERM", "ok", "xterm-256color, COLORTERM truecolor"),
        ({"TERM": "dumb"}, "TERM", "warn", "export TERM=xterm-256color"),
        ({"TERM": None}, "TERM", "warn", "TERM=(not set)"),
        ({"TERM": "x\x1b[31m"}, "TERM", "ok", "x\\e[31m"),
        ({}, "encoding", "ok", "LANG=en_GB.UTF-8"),
        ({"LANG": "C"}, "encoding", "warn", "export LC_ALL=C.UTF-8"),
        ({"LC_ALL": "POSIX"}, "encoding", "warn", "LC_ALL=POSIX"),
        ({"LANG": None}, "encoding", "warn", "no locale is set"),
        ({}, "colours", "ok", "true colour"),
        ({"COLORTERM": None}, "colours", "note", "256 colours"),
        ({"COLORTERM": None, "TERM": "xterm"}, "colours", "note", "16 colours"),
        ({"NO_COLOR": ""}, "colours", "note", "NO_COLOR is set"),
        ({"STY": "1.x"}, "screen", "note", "truecolor on"),
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "ssh", "note", "tmux new -A"),
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22", "TMUX": "/tmp/x,1,0"}, "ssh", "ok", "outlives a lost line"),
        ({}, "tty", "note", "wacht snapshot"),
    ],
)
def test_an_environment(environ, name, mark, words):
    ((got, text),) = found(**environ)[name]
    assert got == mark and words in text


def test_a_tmux_that_is_as_it_should_be():
    ((mark, text),) = found({"tmux": TMUX}, TMUX="/tmp/x,1,0")["tmux"]
    assert mark == "ok" and "3.5: escape-time 10, default-terminal tmux-256color, mouse on, set-clipboard on" in text


@pytest.mark.parametrize(
    ("setting", "mark", "mend"),
    [
        ({"escape": "500"}, "warn", "set -s escape-time 10"),
        ({"term": "xterm"}, "warn", "set -g default-terminal tmux-256color"),
        ({"clipboard": "external"}, "note", "set -s set-clipboard on"),
        ({"features": "features "}, "note", "set -as terminal-features ',xterm*:RGB'"),
    ],
)
def test_a_setting_of_tmux_that_is_in_the_way(setting, mark, mend):
    (_, (got, text)) = found({"tmux": TMUX | setting}, TMUX="/tmp/x,1,0")["tmux"]
    assert got == mark and text.endswith(mend)


def test_a_tmux_that_does_not_tell():
    ((mark, text),) = found({"tmux": SourceFault("refused", "no server")}, TMUX="/tmp/x,1,0")["tmux"]
    assert mark == "note" and "no server" in text


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux here")
def test_a_real_tmux_tells_its_settings(tmp_path):
    socket = tmp_path / "tmux"
    run = ["tmux", "-f", os.devnull, "-S", str(socket)]
    subprocess.run([*run, "new-session", "-d", "-x", "80", "-y", "24", "sleep 60"], check=True, timeout=20)
    try:
        subprocess.run([*run, "set", "-s", "escape-time", "77"], check=True, timeout=20)
        told = terminal_check.tmux(f"{socket},1,0")
        assert told["escape"] == "77" and told["version"][0].isdigit() and told["mouse"] in {"on", "off"}
        assert told["features"].startswith("features")
    finally:
        subprocess.run([*run, "kill-server"], check=False, timeout=20)


# -- in a pty ----------------------------------------------------------------------------------------------------------

ASK = "from console.doctor.terminal_probe import ask_terminal; found = ask_terminal(); print('TOLD', found, flush=True)"
#: The same, and a busy machine that answers for the terminal has its time.
PATIENT = f"from console.doctor import terminal_probe; terminal_probe.LATE_S = 60; {ASK}"
TOOK = re.compile(rb"TOLD TerminalAnswer\(took_s=([\d.]+)")

#: The same from a group that is not the terminal's; ends with 1 where it was stopped for it.
BEHIND = f"""
import os, signal
child = os.fork()
if not child:
    os.setpgid(0, 0)
    {ASK}
    os._exit(0)
_, how = os.waitpid(child, os.WUNTRACED)
if os.WIFSTOPPED(how):
    os.kill(child, signal.SIGKILL)
os._exit(int(how != 0))
"""


class Terminal:
    """A pty with a program in it that asks what it is."""

    def __init__(self, code: str = ASK) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.out = b""

        self.child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={key: value for key, value in os.environ.items() if key != "NO_COLOR"} | PLAIN,
        )  # fmt: skip

    def read_until(self, sign: bytes, seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while sign not in self.out:
            assert select.select([self.master], [], [], max(0.0, until - time.monotonic()))[0], self.out
            self.out += os.read(self.master, 65536)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self) -> int:
        code = self.child.wait(60)
        while select.select([self.master], [], [], 0)[0]:
            self.out += os.read(self.master, 65536)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is as it was"
        return code

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()
        self.child.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def started():
    made = []

    def start(*words):
        made.append(Terminal(*words))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.mark.pty
def test_a_terminal_that_answers(started):
    one = started(PATIENT)
    one.read_until(b"\x1b[c")
    one.type(b"x\x1b[?62;22c")
    assert one.end() == 0 and TOOK.search(one.out)
    assert b"62;22" not in one.out, "the answer is not echoed"


@pytest.mark.pty
@pytest.mark.slow
def test_one_that_answers_late_or_not(started):
    late, silent = started(PATIENT), started()
    late.read_until(b"\x1b[c")
    silent.read_until(b"\x1b[c")
    time.sleep(0.4)
    late.type(b"\x1b[?1;2c")
    assert late.end() == 0 and float(TOOK.search(late.out)[1]) >= 0.4
    assert silent.end() == 0 and b"took_s=None" in silent.out and b"within 1 s" in silent.out


@pytest.mark.pty
@pytest.mark.parametrize("how", ["ctrl-c", signal.SIGTERM, signal.SIGHUP])
def test_it_is_given_back_when_the_program_is_told_to_end(started, how):
    one = started(PATIENT)
    one.read_until(b"\x1b[c")
    if how == "ctrl-c":
        one.type(b"\x03")
        assert one.end() != 0 and b"KeyboardInterrupt" in one.out
    else:
        one.child.send_signal(how)
        assert one.end() == 128 + how
    assert b"TOLD" not in one.out


@pytest.mark.pty
def test_in_the_background_it_is_not_asked(started):
    one = started(BEHIND)
    assert one.end() == 0, "the kernel stops who asks from there"
    assert b"does not run in the foreground" in one.out and b"\x1b[c" not in one.out


@pytest.mark.pty
def test_the_whole_program_in_a_terminal(started, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    run = "import sys; sys.argv = ['wacht', 'doctor']; from console.cli.main import main; main()"
    one = started(f"from console.doctor import terminal_probe; terminal_probe.LATE_S = 60; {run}")
    one.read_until(b"\x1b[c")
    one.type(b"\x1b[?62;22c")
    one.read_until(b"nothing works")
    assert one.end() == 2
    text = one.out.decode()
    assert "no cluster to watch" in text and "\x1b[31mbad \x1b[0m" in text and "80x24" in text
    # Nothing but the question and the colours of the marks.
    assert not text.replace("\x1b[c", "", 1).replace("\x1b[0m", "").count("\x1b") - text.count("\x1b[3")
