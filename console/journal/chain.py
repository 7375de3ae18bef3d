"""A chained file: one JSON object a line, each with the hash of the line before. It appends, walks and follows.

A line holds `prev`, the SHA-256 of the raw line before it, and ends with `sum`, the SHA-256 of itself up to there: any
changed byte, lost line or cut shows in `verify`. Everything here may block. Reading gives up where the file system
does not answer for READ_S, and appending has its deadline in `console.journal.writer`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
from msgspec import Struct

from collectors import files
from console.runtime.timeouts import CallTimeout, TimedCall

_SUM = b',"sum":"'
_BLOCK = 1 << 16
#: Longest that reading may stand still.
READ_S = 5.0
T = TypeVar("T")
NO_JOURNAL = "there is no journal yet; it begins with the first action"


class JournalFault(Exception):
    """The journal cannot be written or read; the text is for people and says what to do."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What `verify` found. `broken` is the first line (from 1) that does not fit, with `why`."""

    ok: bool
    lines: int
    broken: int | None = None
    why: str = ""
    cut: tuple[int, ...] = ()
    """Lines that a crash left unfinished and a later session sealed: part of the chain, not readable."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Lines that own up to a gap, each with how many lines only syslog had until then."""

    def __str__(self) -> str:
        if not self.ok:
            return f"broken at line {self.broken}: {self.why}"
        return f"whole, {self.lines:,} line{'' if self.lines == 1 else 's'}"


def append(path: Path, lines: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Append chained lines and sync them; gives them back as they stand in the file. Raises OSError, JournalFault."""
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        last, cut = _last(fd, size)
        raws = []
        for number, fields in enumerate(lines):
            sealed = {"after_cut": True} if cut and not number else {}
            raws.append(seal({**fields, "prev": _digest(last), **sealed}))
            last = raws[-1]
        data = (b"\n" if cut else b"") + b"\n".join(raws) + b"\n"
        try:
            written = 0
            while written < len(data):
                written += os.write(fd, data[written:])
        except OSError:
            # A full disk took a part of it: leave the chain as it was.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, size)
            raise
        os.fsync(fd)
        if size == 0:
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        os.close(fd)
    return raws


def seal(fields: Mapping[str, Any]) -> bytes:
    """A line as it is written, its hash at the end."""
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    return body + _SUM + _digest(body).encode() + b'"}'


def verify(path: Path) -> Verdict:
    """Walk the whole chain. Raises JournalFault when there is no journal or it cannot be read."""
    return _within(path, TimedCall("verify", lambda moves: _walked(path, moves)))


def _walked(path: Path, moves: Callable[[], None]) -> Verdict:
    before = b""
    cut: list[int] = []
    gaps: list[tuple[int, int]] = []
    number = 0
    unread = ""

    def broken(at: int, why: str) -> Verdict:
        return Verdict(ok=False, lines=number, broken=at, why=why, cut=tuple(cut), gaps=tuple(gaps))

    for number, raw in enumerate(_lines(path, moves), 1):
        line, whole = raw.rstrip(b"\n"), raw.endswith(b"\n")
        found, why = _check(line, before)
        if unread and not (found and found.get("after_cut") is True):
            return broken(number - 1, unread)
        if unread:
            cut.append(number - 1)
        if not whole:
            return broken(number, "unfinished last line")
        if found is not None and why:
            return broken(number, why)
        if found is not None and found.get("event") == "gap":
            missed = found.get("gap")
            gaps.append((number, missed if isinstance(missed, int) else 0))
        # What is no record may be a crash that the next line owns up to.
        unread = "" if found is not None else why
        before = line
    if unread:
        return broken(number, unread)
    return Verdict(ok=True, lines=number, cut=tuple(cut), gaps=tuple(gaps))


def there(path: Path) -> bool:
    """Whether there is a journal yet. Raises JournalFault where the file system hangs."""
    return _within(path, TimedCall("look", lambda _: files.exists(path)))


def read(path: Path, last: int | None = None) -> list[dict[str, Any]]:
    """The last lines as records, oldest first; one that cannot be read is `{"event": "unreadable"}`."""
    raws = _within(path, TimedCall("read", lambda moves: deque(_lines(path, moves), maxlen=last)))
    return [record(raw) for raw in raws]


def _within(path: Path, work: TimedCall[T]) -> T:
    """What that work gives. Raises JournalFault where the file system hangs."""
    try:
        return work.result(READ_S)
    except CallTimeout:
        raise JournalFault(f"{path}: the file system did not answer in {READ_S:g} s") from None


class _Place:
    """How far a journal was read: what its file looked like then, and up to which byte."""

    def __init__(self) -> None:
        self.seen: tuple[int, ...] | None = None
        self.at = 0


class Follower:
    """Reads a journal once and from then on only what was added. Blocks; not for two threads at once."""

    def __init__(self, path: Path, last: int) -> None:
        """`last` is how many lines of what is there already are read."""
        self.path = path
        self._last = last
        self._place = _Place()
        self._asking: TimedCall[tuple[bool, list[bytes]] | None] | None = None

    def more(self) -> tuple[bool, list[dict[str, Any]]] | None:
        """What is new, None when nothing is: True with everything, where the file is another or was changed, else
        False with the lines added. Raises JournalFault; where there is no file yet that is all, of nothing.
        """
        if self._asking is not None and self._asking.is_alive():
            raise JournalFault(f"{self.path}: the file system still does not answer")
        place = self._place
        self._asking = TimedCall("follow", lambda _: self._more(place))
        try:
            found = _within(self.path, self._asking)
        except JournalFault:
            # Where it was late it may still read on: nobody gets those lines, so all are read anew.
            if self._asking.is_alive():
                self._place = _Place()
            raise
        return None if found is None else (found[0], [record(raw) for raw in found[1]])

    def _more(self, place: _Place) -> tuple[bool, list[bytes]] | None:
        try:
            with _reading(self.path) as file:
                now = os.fstat(file.fileno())
                seen = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
                if seen == place.seen:
                    return None
                fcntl.flock(file, fcntl.LOCK_SH)
                before = place.seen
                grown = before is not None and before[:2] == seen[:2] and now.st_size > before[2] and place.at
                if grown:
                    file.seek(place.at)
                lines = deque(file, maxlen=None if grown else self._last)
                # A line without its end is one that a crash cut, or is read again when it has one.
                place.at = file.tell() - (len(lines.pop()) if lines and not lines[-1].endswith(b"\n") else 0)
                place.seen = seen
        except FileNotFoundError:
            if place.seen == ():
                return None
            place.seen, place.at = (), 0
            return True, []
        except OSError as error:
            raise JournalFault(f"{self.path}: {error.strerror}") from None
        return not grown, list(lines)


def record(raw: bytes) -> dict[str, Any]:
    """A raw line as a record; what is none is `{"event": "unreadable"}`."""
    return _record(raw) or {"event": "unreadable"}


def _check(line: bytes, before: bytes) -> tuple[dict[str, Any] | None, str]:
    """One raw line against the one before: the record (None when it is none), and what does not fit."""
    body, mark, rest = line.rpartition(_SUM)
    if not mark or rest != _digest(body).encode() + b'"}':
        return None, "its own checksum does not fit: it was changed or cut"
    found = _record(body + b"}")
    if found is None:
        return None, "it is no record"
    if found.get("prev") != _digest(before):
        return found, "it does not follow the line before: something was changed, taken out or put in between"
    return found, ""


def _record(raw: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        # Three times slower, but it reads what json.dumps writes of a lone surrogate, too.
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _open(path: Path) -> int:
    """The journal, opened for appending: a plain file of our own that nobody else can read or write."""
    try:
        return files.open_to_append(path)
    except files.UntrustedFile as error:
        raise JournalFault(f"{path}: {error}") from None


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """The journal, opened for reading: what is undone and read back is proposed from it, so it must be our own; only
    root reads anybody's."""
    try:
        with files.open_to_read(path, None, follow=False) as fd, os.fdopen(fd, "rb", closefd=False) as file:
            if os.geteuid() not in (0, owner := os.fstat(fd).st_uid):
                raise JournalFault(f"{path}: it belongs to another user (uid {owner})")
            yield file
    except files.UntrustedFile as error:
        raise JournalFault(f"{path}: {error}") from None


def _last(fd: int, size: int) -> tuple[bytes, bool]:
    """The last raw line, and whether it lacks its end."""
    tail = b""
    start = size
    while start > 0 and tail.count(b"\n", 0, max(0, len(tail) - 1)) == 0:
        step = min(_BLOCK, start)
        start -= step
        tail = os.pread(fd, step, start) + tail
    cut = bool(tail) and not tail.endswith(b"\n")
    return tail.removesuffix(b"\n").rpartition(b"\n")[2], cut


def _lines(path: Path, moves: Callable[[], None]) -> Iterator[bytes]:
    """The raw lines, under a shared lock so that a line being written is not taken for a cut one."""
    try:
        with _reading(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            for line in file:
                moves()
                yield line
    except FileNotFoundError:
        raise JournalFault(f"{path}: {NO_JOURNAL}") from None
    except OSError as error:
        raise JournalFault(f"{path}: {error.strerror}") from None
