"""A hash-chained file with one JSON object a line: append, verify, read and follow.

Each line holds `prev`, the SHA-256 of the raw line before it, and ends with `sum`, the SHA-256 of the line up to there.
`verify` detects any changed byte, missing line or cut. All functions may block: reading gives up when the file system
does not answer within READ_S; `console.journal.writer` sets a deadline for appending.
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
#: Longest time in seconds that a read may make no progress.
READ_S = 5.0
T = TypeVar("T")
NO_JOURNAL = "there is no journal yet; it begins with the first action"


class JournalFault(Exception):
    """The journal cannot be written or read. The message is for the user and says what to do."""


class Verdict(Struct, frozen=True, kw_only=True):
    """The result of `verify`. `broken` is the first line (counted from 1) that does not fit, `why` the reason."""

    ok: bool
    lines: int
    broken: int | None = None
    why: str = ""
    cut: tuple[int, ...] = ()
    """Lines that a crash left unfinished and a later session sealed: part of the chain, but unreadable."""
    gaps: tuple[tuple[int, int], ...] = ()
    """Lines that report a gap, each with the number of lines that only syslog had until then."""

    def __str__(self) -> str:
        if not self.ok:
            return f"broken at line {self.broken}: {self.why}"
        return f"whole, {self.lines:,} line{'' if self.lines == 1 else 's'}"


def append(path: Path, lines: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Append chained lines, sync them to disk and return the raw lines as written. Raises OSError, JournalFault."""
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
            # The disk filled up halfway: restore the chain as it was.
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
    """The raw line of these fields, with its hash at the end."""
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    return body + _SUM + _digest(body).encode() + b'"}'


def verify(path: Path) -> Verdict:
    """Verify the whole chain. Raises JournalFault when the journal does not exist or cannot be read."""
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
        # An unreadable line may be left by a crash; the next line then records it (`after_cut`).
        unread = "" if found is not None else why
        before = line
    if unread:
        return broken(number, unread)
    return Verdict(ok=True, lines=number, cut=tuple(cut), gaps=tuple(gaps))


def there(path: Path) -> bool:
    """Whether the journal file exists. Raises JournalFault when the file system hangs."""
    return _within(path, TimedCall("look", lambda _: files.exists(path)))


def read(path: Path, last: int | None = None) -> list[dict[str, Any]]:
    """The last lines as records, oldest first; an unreadable line becomes `{"event": "unreadable"}`."""
    raws = _within(path, TimedCall("read", lambda moves: deque(_lines(path, moves), maxlen=last)))
    return [record(raw) for raw in raws]


def _within(path: Path, work: TimedCall[T]) -> T:
    """The result of this call. Raises JournalFault when the file system hangs."""
    try:
        return work.result(READ_S)
    except CallTimeout:
        raise JournalFault(f"{path}: the file system did not answer in {READ_S:g} s") from None


class _Place:
    """How far a journal was read: the file's identity and size then, and the byte offset reached."""

    def __init__(self) -> None:
        self.seen: tuple[int, ...] | None = None
        self.at = 0


class Follower:
    """Reads a journal once, then only the lines added since. Blocks. Not thread-safe."""

    def __init__(self, path: Path, last: int) -> None:
        """`last`: how many of the existing lines to read at first."""
        self.path = path
        self._last = last
        self._place = _Place()
        self._asking: TimedCall[tuple[bool, list[bytes]] | None] | None = None

    def more(self) -> tuple[bool, list[dict[str, Any]]] | None:
        """The new lines, or None when there are none. The flag is True when all lines were read anew (the file was
        replaced or changed), False when the lines were added. A file that does not exist yet has no lines. Raises
        JournalFault.
        """
        if self._asking is not None and self._asking.is_alive():
            raise JournalFault(f"{self.path}: the file system still does not answer")
        place = self._place
        self._asking = TimedCall("follow", lambda _: self._more(place))
        try:
            found = _within(self.path, self._asking)
        except JournalFault:
            # The late thread may still read on and its lines are lost, so the next call reads everything anew.
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
                # A last line without its newline was cut by a crash or is still being written: read it again later.
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
    """A raw line as a record; an unreadable line becomes `{"event": "unreadable"}`."""
    return _record(raw) or {"event": "unreadable"}


def _check(line: bytes, before: bytes) -> tuple[dict[str, Any] | None, str]:
    """Check one raw line against the line before it. Returns the record (None: unreadable) and what does not fit."""
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
        # Three times slower, but reads the lone surrogates that json.dumps writes.
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _open(path: Path) -> int:
    """Open the journal for appending: a plain file of our own that no other user can read or write."""
    try:
        return files.open_to_append(path)
    except files.UntrustedFile as error:
        raise JournalFault(f"{path}: {error}") from None


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """Open the journal for reading. Undo and read-back commands are derived from it, so it must belong to this user;
    only root may read another user's journal.
    """
    try:
        with files.open_to_read(path, None, follow=False) as fd, os.fdopen(fd, "rb", closefd=False) as file:
            if os.geteuid() not in (0, owner := os.fstat(fd).st_uid):
                raise JournalFault(f"{path}: it belongs to another user (uid {owner})")
            yield file
    except files.UntrustedFile as error:
        raise JournalFault(f"{path}: {error}") from None


def _last(fd: int, size: int) -> tuple[bytes, bool]:
    """The last raw line, and whether its newline is missing."""
    tail = b""
    start = size
    while start > 0 and tail.count(b"\n", 0, max(0, len(tail) - 1)) == 0:
        step = min(_BLOCK, start)
        start -= step
        tail = os.pread(fd, step, start) + tail
    cut = bool(tail) and not tail.endswith(b"\n")
    return tail.removesuffix(b"\n").rpartition(b"\n")[2], cut


def _lines(path: Path, moves: Callable[[], None]) -> Iterator[bytes]:
    """The raw lines, read under a shared lock so that a line being written is not taken for a cut line."""
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
