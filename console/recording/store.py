"""The file of a recording: an SQLite database of consecutive moments, most as differences, some as whole Clusters.

Only `wacht` writes it, with an SQLite rollback journal: after a crash it is as it was before the last moment. A reader
does not trust it: it must hold exactly these tables, no value may exceed a frame's size, and no query may run for ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from collectors import files
from collectors.clean import clean
from console.runtime.errors import UserError

from .row_codec import MalformedFrame

_APPLICATION_ID = 0x77616368
VERSION = 1
_TABLES = (
    "CREATE TABLE frames (id INTEGER PRIMARY KEY, at REAL NOT NULL, wall REAL NOT NULL, step BLOB, whole BLOB)",
    "CREATE INDEX frames_at ON frames (at)",
    "CREATE TABLE marks (at REAL NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL)",
    "CREATE INDEX marks_at ON marks (at)",
    "CREATE TABLE deeds (id INTEGER PRIMARY KEY, at REAL NOT NULL, digest TEXT NOT NULL UNIQUE, line BLOB NOT NULL)",
)
#: Largest value in bytes; a whole frame at the design size is 0.6 MB.
_MAX_VALUE_BYTES = 64 << 20
#: Steps of SQLite's virtual machine for one query: a hundred times what a long recording needs.
_MAX_QUERY_STEPS = 200_000_000
_LOCK_TIMEOUT_S = 10.0
#: Journal lines kept whatever their age.
ACTIONS_KEPT = 500
#: Kinds of bookmarks, as named by keys and commands.
KINDS = ("alert", "action", "failure")


class RecordingFault(UserError):
    """A recording cannot be written or read; the message says what to do."""


class FrameTime(Struct, frozen=True):
    """One frame. `at` is the recording's own time, which never goes back; `wall` the wall-clock time."""

    id: int
    at: float
    wall: float


class Mark(Struct, frozen=True):
    """A bookmark."""

    at: float
    kind: str
    what: str


class RecordingFile:
    """Writes one recording, from one thread. Raises RecordingFault; OSError or sqlite3.Error when the disk fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _create_own(path)
        self._database = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            (application_id,), (version,) = (self._database.execute(f"PRAGMA {what}").fetchone()
                                   for what in ("application_id", "user_version"))  # fmt: skip
            if (application_id, version) == (0, 0) and not _schema(self._database):
                self._create_tables()
            else:
                _check(path, application_id, version, _schema(self._database))
            for pragma in ("journal_mode=DELETE", "synchronous=NORMAL", "trusted_schema=OFF", "cache_size=-2048"):
                self._database.execute(f"PRAGMA {pragma}").fetchone()
        except sqlite3.DatabaseError as error:
            self._database.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise RecordingFault(f"{path}: it is no recording ({error}); name another file") from None
        except RecordingFault:
            self._database.close()
            raise

    def _create_tables(self) -> None:
        self._database.execute("PRAGMA auto_vacuum=INCREMENTAL")
        with self.change():
            for table in _TABLES:
                self._database.execute(table)
            self._database.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            self._database.execute(f"PRAGMA user_version={VERSION}")

    @contextlib.contextmanager
    def change(self) -> Iterator[None]:
        """A transaction: all or nothing that is written within is stored."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise

    def last_at(self) -> float | None:
        """The time of the newest frame."""
        found: float | None = self._database.execute("SELECT max(at) FROM frames").fetchone()[0]
        return found

    def add(self, at: float, wall: float, step: bytes | None, whole: bytes | None, marks: Sequence[Mark]) -> None:
        """Add a moment, later than all before."""
        self._database.execute(
            "INSERT INTO frames (at, wall, step, whole) VALUES (?, ?, ?, ?)", (at, wall, step, whole)
        )
        for mark in marks:
            self.add_mark(mark)

    def add_mark(self, mark: Mark) -> None:
        """Add a bookmark."""
        self._database.execute("INSERT INTO marks VALUES (?, ?, ?)", (mark.at, mark.kind, mark.what))

    def add_action(self, at: float, line: bytes) -> bool:
        """Add a journal line; False when it is stored already."""
        values = (at, hashlib.sha256(line).hexdigest(), line)
        added = self._database.execute("INSERT OR IGNORE INTO deeds (at, digest, line) VALUES (?, ?, ?)", values)
        return added.rowcount > 0

    def room(self, before: float, size: int) -> None:
        """Delete the oldest frames, up to a whole frame each time, until none is older than `before` and the rest fits
        into `size` bytes. The newest whole frame and its successors stay.
        """
        while True:
            wholes = self._database.execute(
                "SELECT id, at FROM frames WHERE whole IS NOT NULL ORDER BY id LIMIT 2"
            ).fetchall()
            if len(wholes) < 2 or (wholes[1][1] >= before and self.used() <= size):
                break
            next_id, next_at = wholes[1]
            self._database.execute("DELETE FROM frames WHERE id < ?", (next_id,))
            self._database.execute("DELETE FROM marks WHERE at < ?", (next_at,))
            self._database.execute(
                "DELETE FROM deeds WHERE at < ? AND id NOT IN (SELECT id FROM deeds ORDER BY id DESC LIMIT ?)",
                (next_at, ACTIONS_KEPT),
            )

    def used(self) -> int:
        """Bytes in use; the file is as large as their maximum so far."""
        pages, free, size = (self._database.execute(f"PRAGMA {what}").fetchone()[0]
                             for what in ("page_count", "freelist_count", "page_size"))  # fmt: skip
        return int((pages - free) * size)

    def shrink(self) -> None:
        """Return some free pages to the file system. Not within a transaction."""
        self._database.execute("PRAGMA incremental_vacuum(256)").fetchall()

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class RecordingReader:
    """Reads one recording, also while another process writes it. Thread-safe. Raises RecordingFault."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            with files.open_to_read(path, None):
                self._database = _readable(path)
        except files.UntrustedFile as error:
            raise RecordingFault(f"{path}: {error}") from None
        except OSError as error:
            raise RecordingFault(f"{path}: {error.strerror}") from None

    def first(self) -> FrameTime | None:
        """The oldest whole frame; None in an empty recording."""
        return self._frame_where("whole IS NOT NULL ORDER BY id LIMIT 1")

    def last(self) -> FrameTime | None:
        """The newest frame."""
        return self._frame_where("1 ORDER BY id DESC LIMIT 1")

    def at(self, at: float) -> FrameTime | None:
        """The frame that applies at this time of the recording: the last one not later."""
        return self._frame_where("at <= ? ORDER BY at DESC, id DESC LIMIT 1", at)

    def on_the_wall(self, wall: float) -> FrameTime | None:
        """The frame that applied at this wall-clock time."""
        return self._frame_where("wall <= ? ORDER BY id DESC LIMIT 1", wall)

    def after(self, moment: FrameTime) -> FrameTime | None:
        """The next frame."""
        return self._frame_where("id > ? ORDER BY id LIMIT 1", moment.id)

    def before(self, moment: FrameTime) -> FrameTime | None:
        """The frame before."""
        return self._frame_where("id < ? ORDER BY id DESC LIMIT 1", moment.id)

    def whole_before(self, moment: FrameTime) -> FrameTime | None:
        """The last whole frame not later than this one."""
        return self._frame_where("id <= ? AND whole IS NOT NULL ORDER BY id DESC LIMIT 1", moment.id)

    def frame(self, moment: FrameTime) -> tuple[bytes | None, bytes | None]:
        """A frame's difference and its whole Cluster; at least one is there. Raises MalformedFrame."""
        found = self._query("SELECT step, whole FROM frames WHERE id = ?", moment.id)
        if len(found) != 1 or not all(part is None or isinstance(part, bytes) for part in found[0]):
            raise MalformedFrame("a frame is missing or no frame")
        step, whole = found[0]
        return step, whole

    def mark(self, at: float, back: bool = False, kind: str | None = None) -> Mark | None:
        """The next bookmark after that time, or with `back` the one before it, of this kind or any."""
        which, order = ("<", "DESC") if back else (">", "ASC")
        found = self._query(
            f"SELECT at, kind, what FROM marks WHERE at {which} ? AND (? IS NULL OR kind = ?) "  # noqa: S608
            f"ORDER BY at {order} LIMIT 1", at, kind, kind,
        )  # fmt: skip
        if not found or not isinstance(found[0][0], float):
            return None
        return Mark(found[0][0], *(clean(str(one)[:400]) for one in found[0][1:]))

    def marks(self, since: float, until: float) -> list[Mark]:
        """All bookmarks between two times, inclusive."""
        found = self._query("SELECT at, kind, what FROM marks WHERE at >= ? AND at <= ? ORDER BY at", since, until)
        return [Mark(at, clean(str(kind)), clean(str(what)[:400])) for at, kind, what in found]

    def actions(self, until: float) -> list[tuple[float, bytes]]:
        """The journal lines recorded up to that time, oldest first."""
        found = self._query("SELECT at, line FROM deeds WHERE at <= ? ORDER BY at, id", until)
        return [(float(at), line) for at, line in found if isinstance(line, bytes)]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _frame_where(self, where: str, *values: float) -> FrameTime | None:
        found = self._query(f"SELECT id, at, wall FROM frames WHERE {where}", *values)  # noqa: S608 - words of ours alone
        if not found:
            return None
        id, at, wall = found[0]
        if not (isinstance(at, float) and isinstance(wall, float) and all(0 <= one < 1e11 for one in (at, wall))):
            raise RecordingFault(f"{self.path}: it holds a moment outside of time")
        return FrameTime(id, at, wall)

    def _query(self, sql: str, *values: Any) -> list[Any]:
        try:
            with self._lock:
                _limit_steps(self._database)
                return self._database.execute(sql, values).fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise RecordingFault(f"{self.path}: it cannot be read: {clean(str(error))}") from None


def _readable(path: Path) -> sqlite3.Connection:
    # After a crash, only a process that may write can roll back: tried when read-only access fails.
    for mode in ("ro", "rw"):
        database = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, timeout=_LOCK_TIMEOUT_S, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        try:
            _limit_steps(database)
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
            for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON", "mmap_size=0"):
                database.execute(f"PRAGMA {pragma}").fetchall()
            (application_id,), (version,) = (database.execute(f"PRAGMA {what}").fetchone()
                                   for what in ("application_id", "user_version"))  # fmt: skip
            _check(path, application_id, version, _schema(database))
            return database
        except sqlite3.OperationalError as error:
            database.close()
            if mode == "rw":
                raise RecordingFault(f"{path}: it cannot be read: {clean(str(error))}") from None
        except sqlite3.DatabaseError as error:
            database.close()
            raise RecordingFault(f"{path}: it is no recording ({clean(str(error))})") from None
        except RecordingFault:
            database.close()
            raise
    raise AssertionError("unreachable")


def _limit_steps(database: sqlite3.Connection) -> None:
    steps = iter(range(_MAX_QUERY_STEPS // 1_000_000))
    database.set_progress_handler(lambda: next(steps, None) is None, 1_000_000)


def _schema(database: sqlite3.Connection) -> list[str]:
    found = database.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_autoindex_%'").fetchall()
    return [str(sql) for (sql,) in found]


def _check(path: Path, application_id: int, version: int, schema: Sequence[str]) -> None:
    if application_id != _APPLICATION_ID:
        raise RecordingFault(f"{path}: it is no recording of wacht")
    if version != VERSION:
        raise RecordingFault(
            f"{path}: it is a recording of version {version}, this wacht knows {VERSION}: use the wacht that wrote it"
        )
    if sorted(schema) != sorted(_TABLES):
        raise RecordingFault(f"{path}: it holds other things than a recording does")


def _create_own(path: Path) -> None:
    """Create the file for its owner alone, or check that it is a plain file of our own."""
    try:
        os.close(files.open_to_append(path))
    except files.UntrustedFile as error:
        raise RecordingFault(f"{path}: {error}") from None
    except OSError as error:
        raise RecordingFault(f"{path}: {error.strerror}; name another file") from None
