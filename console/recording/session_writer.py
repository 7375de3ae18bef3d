"""Writes one session of a recording: a whole Cluster first, then differences, with a whole Cluster now and then.

A recording has its own time `at`: the wall clock at the start of the session, monotonic from there, so that a clock
change repeats no moment. The file is limited in hours and in bytes; the lower limit applies.
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
from .store import ACTIONS_KEPT, Mark, RecordingFault, RecordingFile

#: A whole Cluster is stored when the differences since the last exceed its size by this factor, or it is an hour old.
#: Any moment then costs reading at most three times a Cluster, and whole Clusters are a third of the file.
_STEPS = 2
_WHOLE_S = 3600.0
#: Bytes that SQLite needs beside the frames, for indices and partly filled pages.
_SLACK = 1 << 20


class SessionWriter:
    """Writes one session into one file, from one thread. Raises RecordingFault, OSError or sqlite3.Error."""

    def __init__(self, path: Path, bounds: Bounds, now: float, mono: float, journal: Path | None = None) -> None:
        """`journal`: the journal file whose actions are recorded too."""
        self._bounds = bounds
        self._lock = _locked(path)
        try:
            self._store = RecordingFile(path)
            last = self._store.last_at()
        except BaseException:
            os.close(self._lock)
            raise
        self._shift = max(now, 0.0 if last is None else last + 0.001) - mono
        self._follower = Follower(journal, ACTIONS_KEPT) if journal is not None else None
        self._before: Cluster | None = None
        self._at = mono + self._shift
        self._whole_at = 0.0
        self._whole_size = self._stepped = 0

    def add(self, cluster: Cluster, diff: Diff, now: float, mono: float) -> int:
        """Store a Cluster as of that time; `diff` holds at least what differs from the one before. Returns the bytes
        written.
        """
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
        """Store the new journal lines; those that existed at the start of the session get their own time."""
        try:
            more = self._follower.more() if self._follower is not None else None
        except JournalFault:
            return []  # the journal screen reports it
        found = []
        for record in more[1] if more is not None else ():
            when = min(moment(record.get("time")) or at, at) if first else at
            new = self._store.add_action(when, msgspec.json.encode(record))
            if new and not first and (mark := action_mark(record, at)) is not None:
                found.append(mark)
        return found

    def close(self) -> None:
        """Close the file."""
        self._store.close()
        os.close(self._lock)


class RecordingBusy(RecordingFault):
    """Another process records into that file."""


def _locked(path: Path) -> int:
    """Take the lock that lets only one of a user's consoles record. Raises RecordingBusy, OSError."""
    try:
        fd = files.open_to_append(path.with_name(f"{path.name}.lock"))
    except files.UntrustedFile as error:
        raise RecordingFault(f"{path}: {error}") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            raise RecordingBusy(f"{path}: another wacht records into it") from None
        raise
    return fd
