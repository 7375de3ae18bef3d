"""A program in a pseudo-terminal, with the moment of every byte it writes.

A thread stamps what comes and does nothing else; pyte, which is slow, replays it afterwards. So reading the screen
does not disturb what is measured, although both run on the same two cores.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import termios
import threading
import time
from collections.abc import Mapping, Sequence

import pyte

KEYS = {
    "down": "\x1b[B", "up": "\x1b[A", "pagedown": "\x1b[6~", "pageup": "\x1b[5~", "enter": "\r", "escape": "\x1b",
    "home": "\x1b[H", "end": "\x1b[F",
}  # fmt: skip
# pyte stumbles over the private queries that Textual sends; they show nothing.
_QUERIES = re.compile(rb"\x1b\[[<>=][0-9;]*[A-Za-z]|\x1b\[\?[0-9;]*\$p")
_ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=$]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()=>78][A-Z0-9]?")
GAP_S = 0.015
"""Output that goes on after such a pause is another frame."""


class Answer:
    """What came back for one key: seconds to the first and to the last byte, and how many bytes."""

    def __init__(self, first_s: float, last_s: float, size: int) -> None:
        self.first_s = first_s
        self.last_s = last_s
        self.size = size


class Terminal:
    """Starts `argv` in a pty of `size` (columns, rows). Close it, or use it in a with block."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], size: tuple[int, int] = (200, 50)) -> None:
        self.size = size
        self._chunks: list[tuple[float, bytes]] = []
        self._more = threading.Condition()
        self._ended = False
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._fed = 0
        self.began = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                termios.tcsetwinsize(0, (size[1], size[0]))
                os.execvpe(argv[0], list(argv), dict(env))
            finally:
                os._exit(127)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program: politely, then at once."""
        for sig, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, sig)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                with contextlib.suppress(ChildProcessError):
                    if os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                        time.sleep(0.02)
                        continue
                self._reader.join(1.0)
                with contextlib.suppress(OSError):
                    os.close(self._fd)
                return

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65_536)
            except OSError:
                data = b""
            with self._more:
                if data:
                    self._chunks.append((time.monotonic(), data))
                else:
                    self._ended = True
                self._more.notify_all()
            if not data:
                return

    # what it wrote

    @property
    def written(self) -> int:
        """Bytes so far."""
        return sum(len(data) for _, data in self._chunks)

    @property
    def ended(self) -> bool:
        """Whether the program closed its terminal."""
        return self._ended

    def text(self) -> str:
        """The screen as it is now, one line a row."""
        self._feed(len(self._chunks))
        return self._shown()

    def _feed(self, upto: int) -> None:
        for _, data in self._chunks[self._fed : upto]:
            self._stream.feed(_QUERIES.sub(b"", data))
        self._fed = max(self._fed, upto)

    def _shown(self) -> str:
        columns = range(self.size[0])
        rows = (self._screen.buffer[row] for row in range(self.size[1]))
        return "\n".join("".join(row[column].data for column in columns).rstrip() for row in rows)

    def wait_quiet(self, quiet_s: float = 0.3, timeout_s: float = 10.0) -> None:
        """Until nothing was written for so long, or the time is up."""
        deadline = time.monotonic() + timeout_s
        while (now := time.monotonic()) < deadline:
            last = self._chunks[-1][0] if self._chunks else self.began
            if now - last >= quiet_s:
                return
            time.sleep(min(0.01, quiet_s))

    def first(self, patterns: Sequence[re.Pattern[str]], timeout_s: float) -> list[float | None]:
        """Seconds from the start until the screen first showed each pattern; None for what it never did."""
        deadline = self.began + timeout_s
        found: list[float | None] = [None] * len(patterns)
        # On the screen and not in the stream: what is sent is only what differs, never a whole word for sure.
        while None in found and time.monotonic() < deadline:
            with self._more:
                if self._fed == len(self._chunks) and not self._ended:
                    self._more.wait(max(0.0, min(0.5, deadline - time.monotonic())))
            if self._ended and self._fed == len(self._chunks):
                break
            for upto in range(self._fed + 1, len(self._chunks) + 1):
                self._feed(upto)
                at, shown = self._chunks[upto - 1][0], self._shown()
                for index, pattern in enumerate(patterns):
                    if found[index] is None and pattern.search(shown):
                        found[index] = at - self.began
        return found

    # what it is told

    def send(self, key: str) -> None:
        """Press one key, by name or as it is."""
        os.write(self._fd, KEYS.get(key, key).encode())

    def press(self, key: str, timeout_s: float = 1.0, gap_s: float = GAP_S) -> Answer | None:
        """Press a key once the terminal is quiet and return what came back; None when nothing did in time.

        The answer ends at a pause of `gap_s`: short for the frame that a key makes, longer for all that follows it.
        """
        self.wait_quiet(0.08, 2.0)  # a hand is no faster, and no frame of before may count
        start = len(self._chunks)
        began = time.monotonic()
        self.send(key)
        deadline = began + timeout_s
        with self._more:
            while len(self._chunks) == start and (left := deadline - time.monotonic()) > 0 and not self._ended:
                self._more.wait(left)
            seen = start
            while len(self._chunks) > seen:
                seen = len(self._chunks)
                self._more.wait(gap_s)
        answer = self._chunks[start:]
        if not answer:
            return None
        return Answer(answer[0][0] - began, answer[-1][0] - began, sum(len(data) for _, data in answer))
