"""The program in a real terminal: it starts, answers, quits, and gives the terminal back as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence

import pytest

pytestmark = pytest.mark.pty

WACHT = [sys.executable, "-c", "from console.cli.main import main; main()"]


class Pty:
    """A pty with the program in it, whose settings can be read before and after."""

    def __init__(
        self, *words: str, size: tuple[int, int] = (80, 24), program: Sequence[str] = WACHT, **env: str
    ) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.out = b""
        self.child = subprocess.Popen(
            [*program, *words], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm-256color", **env},
        )  # fmt: skip

    def read_until(self, sign: bytes, seconds: float = 60.0) -> None:
        """Read until the program has written `sign`; fails when it does not within a generous time."""
        until = time.monotonic() + seconds
        while sign not in self.out:
            ready, _, _ = select.select([self.master], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{sign!r} never came; it wrote {self.out[-400:]!r}"
            self.out += os.read(self.master, 65536)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self, seconds: float = 20.0) -> int:
        """Wait for the end, reading on, so that the program never blocks on a full terminal."""
        while self.child.poll() is None:
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                self.out += os.read(self.master, 65536)
            seconds -= 0.0 if ready else 0.2
            assert seconds > 0, "it never ended"
        while select.select([self.master], [], [], 0)[0]:
            self.out += os.read(self.master, 65536)
        return self.child.returncode

    def close(self) -> None:
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def start(tmp_path):
    made = []

    def begin(*words, **options):
        made.append(Pty(*words, XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


def restored(one: Pty) -> None:
    """The line settings are those from before, and every mode that was switched on is off again, in the end."""
    assert termios.tcgetattr(one.slave) == one.before
    for on, off in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?1000h", b"\x1b[?1000l"), (b"\x1b[?25l", b"\x1b[?25h"),
                    (b"\x1b[?2004h", b"\x1b[?2004l")):  # fmt: skip
        assert one.out.rfind(off) > one.out.rfind(on), f"{on!r} stayed on"


def test_it_starts_quits_and_the_terminal_is_restored(start):
    one = start("demo", "--nodes", "32")
    one.read_until(b"Needs you")
    one.type(b"2")
    one.read_until(b"gpu0001")
    one.type(b"q")
    assert one.end() == 0
    restored(one)


def test_a_demo_says_so_and_a_key_is_answered(start):
    one = start("demo", "--nodes", "32", "--screen", "jobs")
    one.read_until(b"DEMO")
    one.read_until(b"pending")
    one.type(b"?")
    one.read_until(b"Acting on the machine")
    one.out = b""
    one.type(b"\x1b")
    one.read_until(b"Jobs")  # Esc and a key at once would be Alt and that key
    one.type(b":quit\r")
    assert one.end() == 0
    restored(one)


def test_keys_that_come_faster_than_screens_do_no_harm(start):
    one = start("demo", "--nodes", "32")
    one.read_until(b"DEMO")
    one.type(b"i2i34i5i7i1?i?2dddyyq" * 3 + b"\x1b")
    code = None
    for _ in range(10):
        # A dialog that was asked for may come when the key that leaves has gone by already: q is a letter in it then.
        one.type(b"\x1b\x1b")
        one.type(b"\x03")
        one.type(b"q")
        try:
            code = one.end(3.0)
        except AssertionError:
            continue
        break
    assert code == 0
    restored(one)
