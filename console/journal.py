"""The journal of everything done to the machine: one JSON object a line, each chained to the one before.

A line holds `prev`, the SHA-256 of the raw line before it, and ends with `sum`, the SHA-256 of itself up to there: any
changed byte, lost line or cut shows in `verify`. Somebody who may write the file can still rewrite all of it or cut
off its end; against that there is only a witness elsewhere.

The disk may be the thing that is broken (a hung home directory in the middle of a storage outage), so every write
happens in a thread of its own with a deadline, and nothing is sent to Slurm on an intent that is not on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pwd
import secrets
import stat
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from collectors.clean import clean
from collectors.clock import Clock
from collectors.nodeset import fold

DEADLINE_S = 5.0
_SUM = b',"sum":"'
_BLOCK = 1 << 16
_MEND = "mend it, or name another place (`journal` in the configuration)"


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


def default_path(cluster: str) -> Path:
    """Where a cluster's journal lies: `$XDG_STATE_HOME/wacht/journal/CLUSTER.jsonl`, by default in ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME", "")
    state = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return state / "wacht" / "journal" / f"{quote(cluster, safe='')}.jsonl"


class Journal:
    """Writes one cluster's journal. Touches nothing before the first line; may be used from several threads."""

    def __init__(self, path: Path, cluster: str, clock: Clock, deadline_s: float = DEADLINE_S) -> None:
        self.path = path
        self._cluster = cluster
        self._clock = clock
        self._deadline_s = deadline_s
        self._session = secrets.token_hex(4)
        self._seq = 0
        self._lock = threading.Lock()
        self._writing: _Write | None = None

    def write(self, event: str, **fields: Any) -> None:
        """Append one line and return when it is on the disk. Raises JournalFault, at the latest at the deadline."""
        with self._lock:
            if self._writing is not None and self._writing.is_alive():
                raise JournalFault(f"{self.path}: the file system still does not answer; {_MEND}")
            self._seq += 1
            line = {
                "time": datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds"),
                "mono": round(self._clock.mono(), 3), "seq": self._seq, "session": self._session,
                "cluster": self._cluster, "event": event, **fields,
            }  # fmt: skip
            self._writing = writing = _Write(self.path, line)
            writing.start()
            writing.join(self._deadline_s)
            if writing.overdue():
                raise JournalFault(f"{self.path}: the file system did not answer in {self._deadline_s:g} s; {_MEND}")
        if writing.fault is not None:
            raise JournalFault(writing.fault)


class _Write(threading.Thread):
    """One line on its way to the disk. When it arrives too late to count, it takes its own intent back."""

    def __init__(self, path: Path, line: Mapping[str, Any]) -> None:
        super().__init__(name="journal", daemon=True)
        self._path = path
        self._line = line
        self._lock = threading.Lock()
        self._arrived = self._late = False
        self.fault: str | None = None

    def run(self) -> None:
        try:
            append(self._path, self._line)
        except JournalFault as error:
            self.fault = str(error)
        except OSError as error:
            self.fault = f"{self._path}: {error.strerror}; {_MEND}"
        except Exception as error:
            self.fault = f"{self._path}: {type(error).__name__}: {error}; {_MEND}"
        with self._lock:
            self._arrived = True
        if self._late and self.fault is None and self._line["event"] == "intent":
            with contextlib.suppress(OSError, JournalFault):
                append(self._path, {**self._line, "event": "result", "sent": [], "note": "written too late, not sent"})

    def overdue(self) -> bool:
        """True when it has not arrived, and from now on never counts."""
        with self._lock:
            self._late = not self._arrived
            return self._late


def append(path: Path, fields: Mapping[str, Any]) -> None:
    """Append one chained line, with who and where, and sync it. May block. Raises OSError or JournalFault."""
    fd = _open(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        last, cut = _last(fd, size)
        line = {**fields, **_who(), "prev": _digest(last)}
        if cut:
            line["after_cut"] = True
        body = json.dumps(line, separators=(",", ":")).encode()[:-1]
        data = (b"\n" if cut else b"") + body + _SUM + _digest(body).encode() + b'"}\n'
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


def verify(path: Path) -> Verdict:
    """Walk the whole chain. Raises JournalFault when there is no journal or it cannot be read."""
    before, cut = b"", []
    number = 0
    unread = ""
    for number, raw in enumerate(_lines(path), 1):
        line, whole = raw.rstrip(b"\n"), raw.endswith(b"\n")
        record, why = _check(line, before)
        if unread and not (record and record.get("after_cut") is True):
            return Verdict(ok=False, lines=number, broken=number - 1, why=unread)
        if unread:
            cut.append(number - 1)
        if not whole:
            return Verdict(ok=False, lines=number, broken=number, why="unfinished last line", cut=tuple(cut))
        if record is not None and why:
            return Verdict(ok=False, lines=number, broken=number, why=why, cut=tuple(cut))
        # What is no record may be a crash that the next line owns up to.
        unread = "" if record is not None else why
        before = line
    if unread:
        return Verdict(ok=False, lines=number, broken=number, why=unread, cut=tuple(cut))
    return Verdict(ok=True, lines=number, cut=tuple(cut))


def read(path: Path, last: int | None = None) -> list[dict[str, Any]]:
    """The last lines as records, oldest first; one that cannot be read is `{"event": "unreadable"}`."""
    return [_record(raw) or {"event": "unreadable"} for raw in deque(_lines(path), maxlen=last)]


def orphans(path: Path) -> list[dict[str, Any]]:
    """Intents without a result: what was sent and never came back, or is on its way now."""
    intents: dict[Any, dict[str, Any]] = {}
    for record in read(path):
        if record.get("event") == "intent":
            intents[str(record.get("id"))] = record
        elif record.get("event") == "result":
            intents.pop(str(record.get("id")), None)
    return list(intents.values())


def show(path: Path, last: int | None = None, as_json: bool = False) -> tuple[str, int]:
    """What `wacht journal show` prints, and its exit status."""
    try:
        records = read(path, last)
    except JournalFault as error:
        return f"{error}\n", 2
    if as_json:
        return json.dumps({"version": 1, "path": str(path), "entries": records}, indent=1) + "\n", 0
    return "".join(f"{_told(record)}\n" for record in records), 0


def verified(path: Path, as_json: bool = False) -> tuple[str, int]:
    """What `wacht journal verify` prints, and its exit status: 0 whole, 1 broken, 2 there is none to read."""
    try:
        found = verify(path)
    except JournalFault as error:
        return f"{error}\n", 2
    if as_json:
        told = {"version": 1, "path": str(path), "ok": found.ok, "lines": found.lines, "broken": found.broken,
                "why": found.why, "cut": found.cut}  # fmt: skip
        return json.dumps(told) + "\n", int(not found.ok)
    if not found.ok:
        return f"{path}: broken at line {found.broken}: {found.why}\n", 1
    sealed = f"; unfinished and sealed later: line {', '.join(map(str, found.cut))}" if found.cut else ""
    return f"{path}: whole, {found.lines:,} lines{sealed}\n", 0


def _check(line: bytes, before: bytes) -> tuple[dict[str, Any] | None, str]:
    """One raw line against the one before: the record (None when it is none), and what does not fit."""
    body, mark, rest = line.rpartition(_SUM)
    if not mark or rest != _digest(body).encode() + b'"}':
        return None, "its own checksum does not fit: it was changed or cut"
    record = _record(body + b"}")
    if record is None:
        return None, "it is no record"
    if record.get("prev") != _digest(before):
        return record, "it does not follow the line before: something was changed, taken out or put in between"
    return record, ""


def _record(raw: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _who() -> dict[str, Any]:
    """Who sits here. The login user survives sudo and su: the kernel keeps it."""
    login = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME")
    with contextlib.suppress(OSError, ValueError, KeyError):
        uid = int(Path("/proc/self/loginuid").read_text())
        if uid != 0xFFFFFFFF:
            login = pwd.getpwuid(uid).pw_name
    return {"uid": os.getuid(), "login": login, "ssh": os.environ.get("SSH_CONNECTION"), "host": os.uname().nodename}


def _open(path: Path) -> int:
    """The journal, opened for appending: a plain file of our own that nobody else can read or write."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = path.parent.stat().st_mode
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        raise JournalFault(f"{path.parent}: everybody can write there; try: chmod o-w {path.parent}")
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise JournalFault(f"{path}: it is a symbolic link, the journal must be a plain file; {_MEND}") from None
        raise
    found = os.fstat(fd)
    wrong = ""
    if not stat.S_ISREG(found.st_mode):
        wrong = "it is no plain file"
    elif found.st_uid != os.geteuid():
        wrong = f"it belongs to another user (uid {found.st_uid})"
    elif stat.S_IMODE(found.st_mode) & 0o077:
        # Ours, only too open: what others could already read cannot be helped, the rest can.
        os.fchmod(fd, 0o600)
    if wrong:
        os.close(fd)
        raise JournalFault(f"{path}: {wrong}; {_MEND}")
    return fd


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


def _lines(path: Path) -> Iterator[bytes]:
    """The raw lines, under a shared lock so that a line being written is not taken for a cut one."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield from file
    except FileNotFoundError:
        raise JournalFault(f"{path}: there is no journal yet; it begins with the first action") from None
    except OSError as error:
        raise JournalFault(f"{path}: {error.strerror}") from None


def _told(record: Mapping[str, Any]) -> str:
    """One record as one line for people. The file may have been tampered with: everything is cleaned again."""
    outcome = record.get("outcome")
    results = outcome if isinstance(outcome, dict) else {}
    listed = record.get("targets")
    targets = [str(target) for target in (listed if isinstance(listed, list) else results)]
    parts = [f"{str(record.get('time'))[:19]}Z", str(record.get("login") or record.get("uid", "")),
             str(record.get("event", "")), str(record.get("action", "")),
             fold(targets) if record.get("kind") == "node" else ",".join(targets)]  # fmt: skip
    if record.get("reason"):
        parts.append(f'"{record["reason"]}"')
    words = [str(told.get("state")) for told in results.values() if isinstance(told, dict)]
    parts.append(", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)))
    return clean("  ".join(part for part in parts if part))
