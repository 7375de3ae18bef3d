"""State files: small files of lines that outlive a console, such as the command history and saved filters. Mode 0600,
in wacht's state folder, shared by all consoles of a user.

A line is appended under a lock; a file that has grown is rewritten, shorter, under the same lock. All functions may
wait for a disk: `BackgroundWriter` runs them in threads that do not delay the program's end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from collectors import files
from collectors.clean import clean

from .errors import UserError

#: Most characters in a line; longer lines are not stored.
LONGEST = 4000
_LARGEST = 4 << 20
_LOCK_S = 2.0
_LEAVE_S = 0.5


class StateFileFault(UserError):
    """A state file cannot be read or written."""


class StateFile:
    """One file of lines, oldest first. `shorten` selects the lines to keep when there are more than twice `most`."""

    def __init__(self, path: Path, most: int, shorten: Callable[[Sequence[str]], Sequence[str]]) -> None:
        self.path = path
        self._most = most
        self._shorten = shorten

    def read(self) -> list[str]:
        """All lines, shortened; none when the file does not exist. Raises StateFileFault."""
        try:
            raw = files.read(self.path, _LARGEST, files.SECRET)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StateFileFault(f"{self.path}: {error.strerror}") from None
        except files.UntrustedFile as error:
            raise StateFileFault(f"{self.path}: {error}") from None
        return list(self._shorten(_lines(raw)))

    def add(self, line: str) -> None:
        """Append a line. Raises StateFileFault."""
        text = clean(line)
        if not text or len(text) > LONGEST:
            return
        try:
            fd = files.open_to_append(self.path)
        except OSError as error:
            raise StateFileFault(f"{self.path}: {error.strerror}") from None
        except files.UntrustedFile as error:
            raise StateFileFault(f"{self.path}: {error}") from None
        try:
            _lock(fd)
            # A line that another console left unfinished must not merge with this one.
            size = os.fstat(fd).st_size
            broken = size and os.pread(fd, 1, size - 1) != b"\n"
            os.write(fd, b"\n" * bool(broken) + text.encode() + b"\n")
            self._tidy(fd)
        except OSError as error:
            raise StateFileFault(f"{self.path}: {error.strerror}") from None
        finally:
            os.close(fd)

    def _tidy(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        lines = _lines(os.pread(fd, min(size, _LARGEST), 0)) if size <= _LARGEST else []
        if len(lines) > 2 * self._most or size > _LARGEST:
            os.ftruncate(fd, 0)
            os.write(fd, b"".join(line.encode() + b"\n" for line in self._shorten(lines)))


def _lines(raw: bytes) -> list[str]:
    cleaned = map(clean, raw.decode("utf-8", "replace").split("\n"))
    return [line for line in cleaned if line and len(line) <= LONGEST]


def _lock(fd: int) -> None:
    until = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        except OSError:
            return  # a file system without locks: a line is one write and seldom torn


def newest(most: int) -> Callable[[Sequence[str]], Sequence[str]]:
    """Keeps the newest lines, without duplicates."""

    def shorten(lines: Sequence[str]) -> Sequence[str]:
        return list(reversed(list(dict.fromkeys(reversed(lines)))[:most]))

    return shorten


class BackgroundWriter:
    """Runs work that may wait for a disk in threads."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def do(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread, in no particular order."""
        self._threads = [one for one in self._threads if one.is_alive()]
        one = threading.Thread(target=work, daemon=True, name="wacht-kept")
        self._threads.append(one)
        one.start()

    def leave(self) -> None:
        """Wait up to half a second for the threads."""
        until = time.monotonic() + _LEAVE_S
        for one in self._threads:
            with contextlib.suppress(RuntimeError):
                one.join(max(0.0, until - time.monotonic()))
