"""One session of recording: from the first Cluster, which is kept whole, on only what changed, and whole now and then.

A recording has its own time, `at`: the wall's where a session began, and from there on monotonic, so that a clock that
is set makes no moment come twice. The file holds so many hours in so many bytes, whichever is less.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from collectors import files
from collectors.model import Cluster, Diff
from console.journal.chain import Follower, JournalFault
from console.journal.entries import moment

from .bookmarks import action_mark, marks
from .frame import pack
from .location import Bounds
from .store import DEEDS, Mark, RecordingFault, RecordingFile

#: A whole Cluster is kept when what changed since the last is so many times larger, or it is an hour old: to look at
#: any moment costs reading three times a Cluster at most, and a third of the file is whole ones.
_STEPS = 2
_WHOLE_S = 3600.0
#: What SQLite needs beside the frames: its indices, and pages that are not full.
_SLACK = 1 << 20


class SessionWriter:
    """Writes one session into one file; used by one thread. Raises RecordingFault, OSError or sqlite3.Error."""

    def __init__(self, path: Path, bounds: Bounds, now: float, mono: float, journal: Path | None = None) -> None:
        """`journal` is the file whose actions are kept too."""
        self._bounds = bounds
        self._lock = _locked(path)
        try:
            self._store = RecordingFile(path)
            last = self._store.last_at()
        except BaseException:
            os.close(self._lock)
            raise
        self._shift = max(now, 0.0 if last is None else last + 0.001) - mono
        self._follower = Follower(journal, DEEDS) if journal is not None else None
        self._before: Cluster | None = None
        self._at = mono + self._shift
        self._whole_at = 0.0
        self._whole_size = self._stepped = 0

    def add(self, cluster: Cluster, diff: Diff, now: float, mono: float) -> int:
        """Keep a Cluster as it was at that time; `diff` holds at least what differs from the one before. Returns the
        bytes that this took."""
        before, at = self._before, max(mono + self._shift, self._at + 0.001)
        step = None if before is None else pack(before, cluster, self._shift, diff)
        self._stepped += len(step or b"")
        whole = None
        if before is None or self._stepped >= _STEPS * self._whole_size or at - self._whole_at >= _WHOLE_S:
            whole = pack(None, cluster, self._shift)
            self._whole_at, self._whole_size, self._stepped = at, len(whole), 0
        found = [] if before is None else marks(before, cluster, diff.keys, at)
        size = len(step or b"") + len(whole or b"")
        with self._store.change():
            self._store.room(at - self._bounds.keep_s, self._bounds.size - size - _SLACK)
            found += self._add_actions(at, first=before is None)
            self._store.add(at, now, step, whole, found)
        self._store.shrink()
        self._before, self._at = cluster, at
        return size

    def _add_actions(self, at: float, first: bool) -> list[Mark]:
        """Keep what the journal has more than before; what stood there when the session began at its own time."""
        try:
            more = self._follower.more() if self._follower is not None else None
        except JournalFault:
            return []  # the journal's own screen tells of it
        found = []
        for record in more[1] if more is not None else ():
            when = min(moment(record.get("time")) or at, at) if first else at
            new = self._store.add_action(when, msgspec.json.encode(record))
            if new and not first and (mark := action_mark(record, at)) is not None:
                found.append(mark)
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()
        os.close(self._lock)


class RecordingBusy(RecordingFault):
    """Another one records into that file."""


def _locked(path: Path) -> int:
    """A lock that only one process has: of several consoles of a user one records. Raises Busy, OSError."""
    try:
        fd = files.appending(path.with_name(f"{path.name}.lock"))
    except files.Unfit as error:
        raise RecordingFault(f"{path}: {error}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            raise RecordingBusy(f"{path}: another wacht records into it") from None
        raise
    return fd
