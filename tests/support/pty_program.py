"""The program in a pseudo-terminal whose settings can be read before and after."""

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


def restored(one: Pty) -> None:
    """The line settings are those from before, and every mode that was switched on is off again, in the end."""
    assert termios.tcgetattr(one.slave) == one.before
    for on, off in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?1000h", b"\x1b[?1000l"), (b"\x1b[?25l", b"\x1b[?25h"),
                    (b"\x1b[?2004h", b"\x1b[?2004l")):  # fmt: skip
        assert one.out.rfind(off) > one.out.rfind(on), f"{on!r} stayed on"
