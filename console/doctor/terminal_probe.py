"""Asks the terminal for its type (DA1) and restores its mode in any case."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Iterator
from types import FrameType

from msgspec import Struct

#: Time of an answer on a good line, and the longest wait, so that a late answer does not reach the shell.
DEADLINE_S, LATE_S = 0.2, 1.0
_QUESTION = b"\x1b[c"
_ANSWER = re.compile(rb"\x1b\[\?[0-9;]*c")


class TerminalAnswer(Struct, frozen=True, kw_only=True):
    """Whether the terminal answered, and how fast."""

    took_s: float | None = None
    """None when it did not answer or was not asked."""
    why: str = ""

    @property
    def late(self) -> bool:
        """Whether the answer took too long."""
        return self.took_s is not None and self.took_s > DEADLINE_S


def ask_terminal() -> TerminalAnswer:
    """Query the terminal; stdin and stdout must be one. Keys typed meanwhile are lost.

    Raises KeyboardInterrupt on Ctrl-C.
    """
    fd = sys.stdin.fileno()
    try:
        if os.tcgetpgrp(fd) != os.getpgrp():
            return TerminalAnswer(why="not asked: wacht does not run in the foreground")
        before = termios.tcgetattr(fd)
    except (OSError, termios.error):
        return TerminalAnswer(why="not asked: it is not this session's terminal")
    with _given_back(fd, before):
        return _asked(fd, sys.stdout.fileno())


@contextlib.contextmanager
def _given_back(fd: int, before: list[object]) -> Iterator[None]:
    """Set the terminal to no echo, byte-wise input and no signal keys; restore its mode at the end, also after a
    signal.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    mine = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    handlers = {number: signal.signal(number, end) for number in mine}
    quiet = termios.tcgetattr(fd)
    quiet[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    quiet[6][termios.VMIN], quiet[6][termios.VTIME] = 0, 0
    try:
        termios.tcsetattr(fd, termios.TCSANOW, quiet)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)  # type: ignore[arg-type]
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _asked(fd: int, out: int) -> TerminalAnswer:
    if not select.select([], [out], [], DEADLINE_S)[1]:
        return TerminalAnswer(why="not asked: it takes nothing (Ctrl-Q lets it go on)")
    began = time.monotonic()
    os.write(out, _QUESTION)
    said = b""
    while (left := began + LATE_S - time.monotonic()) > 0:
        if not select.select([fd], [], [], left)[0]:
            break
        piece = os.read(fd, 1024)
        if not piece:
            return TerminalAnswer(why="it hung up")
        said += piece
        if _ANSWER.search(said):
            return TerminalAnswer(took_s=time.monotonic() - began)
        if b"\x03" in piece:
            raise KeyboardInterrupt
    return TerminalAnswer(why=f"it does not answer what it is (DA1) within {LATE_S:g} s")
