"""A terminal at the end of a line: it reads as fast as the line is, later by its delay, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyte

from tests.bench.terminal import QUERIES

#: Esc alone, however late the program reads it: with a key close behind it would be Alt and that key. What comes after
#: it here is what a terminal says that has the focus, which changes nothing.
ESCAPE = b"\x1b\x1b[I"


def terminal_env(more: Mapping[str, str] | None) -> dict[str, str]:
    """The environment of a program in it: the size is that of the terminal, whatever a runner of tests says."""
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    return {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(more or {})}


class Screen(pyte.Screen):
    """A screen that answers where its cursor is, as every terminal does."""

    answer: Callable[[str], None] | None = None

    def write_process_input(self, data: str) -> None:
        if self.answer is not None:
            self.answer(data)


class FarTerminal:
    """Starts a program in a pty. `answers`: whether it says where its cursor is when it is asked."""

    def __init__(
        self,
        argv: Sequence[str],
        size: tuple[int, int] = (120, 40),
        answers: bool = True,
        ignore: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.size = size
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.screen = self._blank(answers)
        self.out = b""
        self.rate: float | None = None
        """Bytes a second."""
        self.delay_s = 0.0
        """One way."""
        self._incoming: deque[tuple[float, bytes]] = deque()
        self._outgoing: deque[tuple[float, bytes]] = deque()
        self._credit, self._counted = 0.0, time.monotonic()

        def begin() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            for number in (signal.SIGINT, signal.SIGQUIT):  # a runner in the background has its own ignored
                signal.signal(number, signal.SIG_DFL)
            for number in ignore:
                signal.signal(number, signal.SIG_IGN)

        self.child: subprocess.Popen[bytes] = subprocess.Popen(
            list(argv), stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=begin, env=terminal_env(env),
        )  # fmt: skip

    def _blank(self, answers: bool) -> Screen:
        screen = Screen(*self.size)
        if answers:
            screen.answer = lambda text: self._outgoing.append((time.monotonic() + self.delay_s, text.encode()))
        self.answers = answers
        self._stream = pyte.ByteStream(screen)
        return screen

    def wipe(self) -> None:
        """From now on, a screen on which nothing stands."""
        self.screen = self._blank(self.answers)

    def type(self, keys: bytes) -> None:
        self._outgoing.append((time.monotonic() + self.delay_s, keys))

    def pump(self, seconds: float, until: Callable[[], Any] | None = None) -> bool:
        """Let the line work for so long, or until something is true; says whether it was."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self._step(now, min(end - now, 0.02))
            if until is not None and until():
                return True
        return False

    def _step(self, now: float, wait: float) -> None:
        while self._outgoing and self._outgoing[0][0] <= now:
            os.write(self.master, self._outgoing.popleft()[1])
        while self._incoming and self._incoming[0][0] <= now:
            self._stream.feed(QUERIES.sub(b"", self._incoming.popleft()[1]))
        most = 65_536
        if self.rate is not None:
            self._credit = min(self._credit + (now - self._counted) * self.rate, self.rate / 20)
            self._counted = now
            most = int(self._credit)
        dues = [queue[0][0] - now for queue in (self._outgoing, self._incoming) if queue]
        wait = max(0.0, min([wait, *dues]))
        if most < 1:
            time.sleep(min(wait, 0.005))
        elif select.select([self.master], [], [], wait)[0]:
            try:
                data = os.read(self.master, most)
            except OSError as error:
                assert error.errno == errno.EIO
                data = b""
                time.sleep(wait)
            self._credit -= len(data)
            self.out += data
            self._incoming.append((time.monotonic() + self.delay_s, data))

    @property
    def rows(self) -> list[str]:
        """What stands there, line by line; pyte's own words stumble over half of a wide character."""
        screen = self.screen
        return ["".join(screen.buffer[y][x].data for x in range(screen.columns)) for y in range(screen.lines)]

    @property
    def top(self) -> str:
        return self.rows[0]

    def cells(self) -> list[list[tuple[object, ...]]]:
        """What can be seen: the ink of a blank cannot."""
        rows = [self.screen.buffer[y] for y in range(self.size[1])]
        return [
            [
                (c.data, c.bg, *(() if c.data == " " else (c.fg, c.bold)))
                for c in map(row.__getitem__, range(self.size[0]))
            ]
            for row in rows
        ]

    def ended(self) -> bool:
        return self.child.poll() is not None

    def hang_up(self) -> None:
        """The terminal goes away."""
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    def close(self) -> None:
        if not self.ended():
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)
