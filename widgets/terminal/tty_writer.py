"""TtyWriter: writes to a terminal that may be slow, stall or disappear; used by widgets.terminal.terminal_driver.

Textual 8.2.8 writes in a thread behind a queue of 30 entries, and blocks the event loop when it is full.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import cycle

from .flow_control import FlowState

MAX_MESSAGE_BYTES = 65_536
"""Bytes of messages (bell, notification, clipboard) that may be queued; later ones are dropped."""
QUERY_EVERY = 4_096
"""Bytes after which the terminal is asked whether they have arrived."""
ANSWER_TIMEOUT_S = 5.0
"""A query without an answer for this long no longer delays frames: the answer may be lost."""
STOP_S = 0.4
"""Seconds that the end of the program waits for the terminal, three times at most."""
_RECENT_S = 5.0
_WRITE_BYTES = 4_096
_POLL_MS = 100
_ABORT = b"\x18\x1b\\"
"""CAN and ST end any sequence that the terminal is in; elsewhere they do nothing."""
_QUERY_ROW = 2
"""Queries are sent from this row. Row 1 is unsuitable: a terminal reports F3 with a modifier as a position in it."""


class TtyWriter:
    """Takes output, at once and whole, and writes it in a thread as the terminal accepts it.

    Frames are not bounded here: the caller checks `state` first and passes one at a time.
    """

    def __init__(self, fd: int, moved: Callable[[], None], lost: Callable[[], None]) -> None:
        """`moved` is called from a thread, once after `wanted` was set; `lost` when the terminal is gone."""
        self.wanted = False
        """Set before reading `state`, to have `moved` called when it improves."""
        self._fd = open_nonblocking(fd)
        self._moved, self._lost = moved, lost
        self._more = threading.Condition()
        self._chunks: deque[tuple[bytes, float, bool]] = deque()
        self._chunk_offset = 0
        """Bytes of the first chunk that are written."""
        self._queued_bytes = self._written_bytes = self._message_bytes = self._answered_bytes = self._asked_at = 0
        self._queries: deque[tuple[int, int, float]] = deque(maxlen=8)  # column, queue position, when
        self._answers = False
        self._columns = cycle(range(1, 21))
        self._blocked: deque[tuple[float, float, int]] = deque(maxlen=512)  # when, seconds waited, bytes then taken
        self._ending = self._gone = False
        self._final_messages: list[bytes] | None = None
        """The messages since `drop`."""
        self._thread = threading.Thread(target=self._run, name="wacht-line", daemon=True)
        self._thread.start()

    # Called by the app. Nothing here blocks.

    def write_message(self, text: str) -> None:
        """Write a message, which is not a frame."""
        with self._more:
            if self._message_bytes <= MAX_MESSAGE_BYTES:
                self._enqueue(text.encode("utf-8", "replace"), word=True)

    def write_frame(self, text: str) -> None:
        """Write a frame, and ask now and then whether it has arrived."""
        with self._more:
            data = text.encode("utf-8", "replace")
            due = self._queued_bytes + len(data) - self._asked_at >= QUERY_EVERY and (
                self._answers or not self._queries
            )
            self._enqueue(data + (self._query(len(data)) if due else b""))

    def ask(self) -> int:
        """Ask whether everything up to here has arrived. Returns the position for `is_shown`."""
        with self._more:
            if self._answers:
                self._enqueue(self._query(0))
            return self._queued_bytes

    def is_shown(self, position: int) -> bool:
        """Whether the terminal shows everything up to this position, as far as is known."""
        with self._more:
            return (self._answered_bytes if self._answers else self._written_bytes) >= position

    def answer(self, row: int, column: int) -> bool:
        """Handle a cursor position (counted from 1) from the terminal; False when it answers no query."""
        with self._more:
            if row != _QUERY_ROW or all(column != asked for asked, _, _ in self._queries):
                return False
            while self._queries:
                asked, self._answered_bytes, _ = self._queries.popleft()
                if asked == column:
                    break
            self._answers = True
            if not self._queries and self._queued_bytes - self._asked_at >= QUERY_EVERY:
                self._enqueue(self._query(0))  # later output has no query, and may delay the next frame
            self._more.notify_all()
        self._notify_moved()
        return True

    def state(self, now: float | None = None) -> FlowState:
        """The state of the line now."""
        now = time.monotonic() if now is None else now
        with self._more:
            oldest = [self._chunks[0][1]] if self._chunks else []
            on_way = None
            if self._answers and not (self._queries and now - self._queries[0][2] > ANSWER_TIMEOUT_S):
                on_way = self._queued_bytes - self._answered_bytes
                oldest += [self._queries[0][2]] if self._queries else []
            while self._blocked and now - self._blocked[0][0] > _RECENT_S:
                self._blocked.popleft()
            return FlowState(
                unsent_bytes=self._queued_bytes - self._written_bytes,
                in_flight=on_way,
                behind_s=max(0.0, now - min(oldest, default=now)),
                blocked_s=sum(waited for _, waited, _ in self._blocked),
                blocked_bytes=sum(size for _, _, size in self._blocked),
            )

    def drop(self) -> None:
        """Drop what is not written yet: only the sequences that restore the terminal follow."""
        with self._more:
            if self._final_messages is None:
                self._final_messages = []
                cut = bool(self._chunks)  # the thread may be in the middle of the first
                while self._queries and self._queries[-1][1] > self._written_bytes:
                    self._queries.pop()
                self._clear()
                if cut:
                    self._enqueue(_ABORT)

    def wait_answers(self) -> None:
        """Wait a little for the terminal's pending answers, so that no other program reads them."""
        with self._more:
            if self._answers or not self._queries:
                self._enqueue(self._query(0))
            if self._queries and time.monotonic() - self._queries[-1][2] < ANSWER_TIMEOUT_S:
                self._more.wait_for(lambda: self._gone or not self._queries, STOP_S)

    def stop(self) -> bool:
        """End the thread, once all is written or the time is over (twice STOP_S at most).

        Returns whether the system has accepted everything.
        """
        with self._more:
            self._ending = True
            self._more.notify_all()
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            # The terminal does not read. Discard what the system has buffered, and write the end for when it does.
            with self._more:
                last = b"".join(self._final_messages or [])
                self._clear()
                self._enqueue(_ABORT + last)
            with contextlib.suppress(termios.error):
                termios.tcflush(self._fd, termios.TCOFLUSH)
            self._thread.join(STOP_S)
        with self._more:
            whole = self._gone or not self._chunks
        self.abandon()
        return whole

    def abandon(self) -> None:
        """Write nothing more: the terminal is gone."""
        with self._more:
            self._gone = True
            self._clear()
            self._more.notify_all()

    # Called under the lock.

    def _enqueue(self, data: bytes, word: bool = False) -> None:
        if self._gone or not data:
            return
        self._chunks.append((data, time.monotonic(), word))
        self._queued_bytes += len(data)
        self._message_bytes += len(data) if word else 0
        if self._final_messages is not None and word:
            self._final_messages.append(data)
        self._more.notify_all()

    def _query(self, before: int) -> bytes:
        """A cursor position query, sent from a place that distinguishes it from the others; then back."""
        column = next(self._columns)
        text = f"\x1b7\x1b[{_QUERY_ROW};{column}H\x1b[6n\x1b8".encode()
        self._asked_at = self._queued_bytes + before + len(text)
        self._queries.append((column, self._asked_at, time.monotonic()))
        return text

    def _clear(self) -> None:
        self._chunks.clear()
        self._written_bytes, self._chunk_offset, self._message_bytes = self._queued_bytes, 0, 0

    # The thread.

    def _notify_moved(self) -> None:
        if self.wanted:
            self.wanted = False
            self._moved()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        waiting_since: float | None = None
        while True:
            with self._more:
                self._more.wait_for(lambda: self._chunks or self._ending or self._gone)
                if not self._chunks:
                    break
                first = self._chunks[0][0]
                piece = first[self._chunk_offset : self._chunk_offset + _WRITE_BYTES]
            try:
                size = os.write(self._fd, piece)
            except BlockingIOError:
                waiting_since = time.monotonic() if waiting_since is None else waiting_since
                poll.poll(_POLL_MS)
                continue
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                self.abandon()
                self._lost()
                break
            with self._more:
                if waiting_since is not None:
                    now = time.monotonic()
                    self._blocked.append((now, now - waiting_since, size))
                    waiting_since = None
                if self._chunks and self._chunks[0][0] is first:  # unless it was dropped meanwhile
                    self._count_written(size)
                empty = not self._chunks
            if empty:
                self._notify_moved()
        os.close(self._fd)

    def _count_written(self, size: int) -> None:
        self._written_bytes += size
        self._chunk_offset += size
        data, _, word = self._chunks[0]
        if self._chunk_offset == len(data):
            self._chunks.popleft()
            self._chunk_offset = 0
            self._message_bytes -= len(data) if word else 0


def open_nonblocking(fd: int, way: int = os.O_WRONLY) -> int:
    """A non-blocking descriptor of the terminal, to write or (os.O_RDONLY) to read.

    O_NONBLOCK on the given one would also affect the shell. After su the terminal belongs to another user and may not
    be opened by its name, but as /dev/tty. Where neither works, a copy that does block, but only the thread.
    """
    flags = way | os.O_NONBLOCK | os.O_NOCTTY
    with contextlib.suppress(OSError):
        return os.open(os.ttyname(fd), flags)
    with contextlib.suppress(OSError):
        os.tcgetpgrp(fd)  # fails where it is not the terminal of /dev/tty
        return os.open("/dev/tty", flags)
    return os.dup(fd)
