"""A program in a pseudo-terminal, with the time of every byte it writes; directly or over a slow line.

A thread timestamps the output, answers cursor position queries like a terminal, and does nothing else; pyte, which is
slow, replays the output afterwards. So reading the screen does not disturb the measurement, although both run on the
same two cores.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import termios
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyte

KEYS = {
    "down": "\x1b[B", "up": "\x1b[A", "pagedown": "\x1b[6~", "pageup": "\x1b[5~", "enter": "\r", "escape": "\x1b",
    "home": "\x1b[H", "end": "\x1b[F",
}  # fmt: skip
# pyte fails on the private queries that Textual sends; they display nothing.
QUERIES = re.compile(rb"\x1b\[[<>=][0-9;]*[A-Za-z]|\x1b\[\?[0-9;]*\$p")
# Cursor position query, with the position that was set just before it.
_CURSOR_QUERY = re.compile(rb"\x1b\[(?:(\d+);(\d+)H\x1b\[)?6n")
_QUERY_BYTES = 24
"""Maximum length of such a query in bytes."""
GAP_S = 0.015
"""Output after a longer pause belongs to another frame."""
_POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class Answer:
    """The output after one key: seconds to its first and last byte, and its bytes."""

    first_s: float
    last_s: float
    size: int


class Terminal:
    """Starts `argv` in a pty of `size` (columns, rows). Close it, or use it in a with block.

    `rate` is the bandwidth of the line in bytes per second (None: unlimited), `delay_s` its delay in each direction.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        size: tuple[int, int] = (200, 50),
        *,
        rate: float | None = None,
        delay_s: float = 0.0,
    ) -> None:
        self.size = size
        self.rate = rate
        self.delay_s = delay_s
        self._outgoing: deque[tuple[float, bytes]] = deque()
        self._incoming: deque[tuple[float, bytes]] = deque()
        self._tail = b""
        self._chunks: list[tuple[float, bytes]] = []
        self._more = threading.Condition()
        self._written = 0
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
        """End the program: SIGTERM, then SIGKILL."""
        for sig, timeout_s in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, sig)
            deadline = time.monotonic() + timeout_s
            while time.monotonic() < deadline:
                with contextlib.suppress(ChildProcessError):
                    if os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                        time.sleep(0.02)
                        continue
                self._reader.join(1.0 + self.delay_s)
                with contextlib.suppress(OSError):
                    os.close(self._fd)
                return

    def _read(self) -> None:
        """Read the output. Without a slow line it is delivered at once, else both directions are delayed."""
        far = self.rate is not None or self.delay_s > 0
        credit, counted = 0.0, time.monotonic()
        ended = False
        while not ended or self._incoming:
            most = 65_536
            if far:
                now = time.monotonic()
                self._deliver(now)
                if self.rate is not None:
                    credit = min(credit + (now - counted) * self.rate, self.rate / 20)
                    counted = now
                    most = int(credit)
                if ended or most < 1 or not select.select([self._fd], [], [], _POLL_S)[0]:
                    time.sleep(_POLL_S if ended or most < 1 else 0.0)
                    continue
            try:
                data = os.read(self._fd, most)
            except OSError:
                data = b""
            ended = not data
            credit -= len(data)
            if data:
                self._incoming.append((time.monotonic() + self.delay_s, data))
            if not far:
                self._deliver(time.monotonic())
        with self._more:
            self._ended = True
            self._more.notify_all()

    def _deliver(self, now: float) -> None:
        while self._outgoing and self._outgoing[0][0] <= now:
            with contextlib.suppress(OSError):
                os.write(self._fd, self._outgoing.popleft()[1])
        while self._incoming and self._incoming[0][0] <= now:
            at, data = self._incoming.popleft()
            with self._more:
                self._chunks.append((at, data))
                self._written += len(data)
                self._more.notify_all()
            seen = self._tail + data
            for asked in _CURSOR_QUERY.finditer(seen):
                if asked.end() > len(self._tail):
                    row, column = (asked[1] or b"1").decode(), (asked[2] or b"1").decode()
                    self._type(f"\x1b[{row};{column}R".encode())
            self._tail = seen[-_QUERY_BYTES:]

    def _type(self, data: bytes) -> None:
        if self.delay_s:
            self._outgoing.append((time.monotonic() + self.delay_s, data))
        else:
            with contextlib.suppress(OSError):
                os.write(self._fd, data)

    # -- output

    @property
    def written(self) -> int:
        """Bytes written so far."""
        return self._written

    @property
    def last_at(self) -> float:
        """Time of the last byte (monotonic); the start if there is none."""
        return self._chunks[-1][0] if self._chunks else self.began

    @property
    def ended(self) -> bool:
        """True if the program closed its terminal."""
        return self._ended

    def text(self) -> str:
        """The current screen, one line per row."""
        self._feed(len(self._chunks))
        return self._shown()

    def _feed(self, upto: int) -> None:
        for _, data in self._chunks[self._fed : upto]:
            self._stream.feed(QUERIES.sub(b"", data))
        self._fed = max(self._fed, upto)

    def _shown(self) -> str:
        columns = range(self.size[0])
        rows = (self._screen.buffer[row] for row in range(self.size[1]))
        return "\n".join("".join(row[column].data for column in columns).rstrip() for row in rows)

    def wait_quiet(self, quiet_s: float = 0.3, timeout_s: float = 10.0) -> None:
        """Wait until nothing was written for `quiet_s`, or until the timeout."""
        deadline = time.monotonic() + timeout_s
        while (now := time.monotonic()) < deadline:
            if now - self.last_at >= quiet_s:
                return
            time.sleep(min(0.01, quiet_s))

    def first(self, patterns: Sequence[re.Pattern[str]], timeout_s: float) -> list[float | None]:
        """Seconds from the start until the screen first showed each pattern; None for one that it never showed."""
        deadline = self.began + timeout_s
        found: list[float | None] = [None] * len(patterns)
        # Search the screen, not the stream: only differences are sent, rarely whole words.
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

    # -- input

    def send(self, key: str) -> None:
        """Press one key, by name or literally. Raises RuntimeError if the program has ended."""
        if self._ended:
            raise RuntimeError(f"the program has ended; last it showed:\n{self.text()[-4_000:]}")
        self._type(KEYS.get(key, key).encode())

    def press(self, key: str, timeout_s: float = 1.0, gap_s: float = GAP_S) -> Answer | None:
        """Press a key once the terminal is quiet. Returns the output that follows; None if there is none in time.

        The answer ends at a pause of `gap_s`: short for the frame of the key itself, longer for all that follows.
        """
        self.wait_quiet(0.08, 2.0)  # people are no faster, and no earlier frame may count
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
