"""Records beside a poller, in a thread of its own: a disk that is slow or full holds nothing up but the recording.

It takes the newest Cluster when it has written the one before, and rests as long as what it wrote is worth: the file
then holds its hours in its bytes by being written seldomer, never by forgetting sooner, as long as that does.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import Cluster, Diff
from console.ingest.reduce import merged

from .location import Bounds
from .session_writer import RecordingBusy, SessionWriter
from .store import RecordingFault

#: Seconds between two frames at least, and at most, whatever they cost.
_LEAST_S, _MOST_S = 1.0, 60.0
#: Part of the bytes that is spent by plan: the rest is for what was worse than planned.
_SPEND = 0.8
#: Seconds of the budget that may be spent at once: an incident is when everything changes.
_BURST_S = 600.0
#: Seconds after which what failed is tried again, and another's lock is looked at.
_AGAIN_S = 30.0
#: Seconds that one write may take before it is said that the disk hangs.
_HUNG_S = 20.0


class Recorder:
    """Records one cluster from `start` to `stop`. `offer` may be called by any thread and never waits for a disk."""

    def __init__(self, path: Path, bounds: Bounds, clock: Clock, journal: Path | None = None) -> None:
        self.path = path
        self.bounds = bounds
        self._trouble = ""
        self._writing_since: float | None = None
        self.writing = False
        """True while this one records."""
        self._clock = clock
        self._journal = journal
        self._rate = _SPEND * bounds.size / bounds.keep_s
        self._credit = self._rate * _BURST_S
        self._spent_at = time.monotonic()
        self._tape: SessionWriter | None = None
        self._waiting: tuple[Cluster, Diff, float, float] | None = None
        self._came = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    @property
    def trouble(self) -> str:
        """Why nothing is recorded, for people; "" while it is, or another console of this user does."""
        since = self._writing_since
        if since is not None and time.monotonic() - since > _HUNG_S:
            return f"{self.path}: the file system does not answer"
        return self._trouble

    def open(self) -> None:
        """Open the file at once, for who wants to hear of it: raises RecordingFault."""
        try:
            self._tape = SessionWriter(self.path, self.bounds, self._clock.now(), self._clock.mono(), self._journal)
        except (OSError, sqlite3.Error) as error:
            raise RecordingFault(_told(self.path, error)) from None

    def start(self) -> None:
        """Begin to record what is offered."""
        self._thread.start()

    def offer(self, cluster: Cluster, diff: Diff) -> None:
        """A newer Cluster. Those that come while one is being written become one."""
        now, mono = self._clock.now(), self._clock.mono()
        with self._came:
            diff = diff if self._waiting is None else merged(self._waiting[1], diff)
            self._waiting = cluster, diff, now, mono
            self._came.notify()

    def stop(self, patience_s: float = 2.0) -> None:
        """Write the last one and end; a disk that hangs is not waited for longer."""
        self._stopping.set()
        with self._came:
            self._came.notify()
        if self._thread.is_alive():
            self._thread.join(patience_s)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            self._writing_since = time.monotonic()
            try:
                if self._tape is None:
                    self.open()
                assert self._tape is not None
                size = self._tape.add(*item)
            except RecordingBusy:
                self._trouble, rest = "", _AGAIN_S
            except Exception as error:  # whatever it is, the console goes on
                self._trouble, rest = _told(self.path, error), _AGAIN_S
                self._close()
            else:
                self._trouble, self.writing, rest = "", True, self._rest_s(size)
            self._writing_since = None
            del item
            self._stopping.wait(rest)
        self._close()

    def _next(self) -> tuple[Cluster, Diff, float, float] | None:
        """What was offered, waited for; None when it is stopped and all is written."""
        with self._came:
            self._came.wait_for(lambda: self._waiting is not None or self._stopping.is_set())
            item, self._waiting = self._waiting, None
        return item

    def _rest_s(self, size: int) -> float:
        """How long to write nothing after so many bytes."""
        now = time.monotonic()
        self._credit = min(self._rate * _BURST_S, self._credit + (now - self._spent_at) * self._rate) - size
        self._spent_at = now
        return min(max(_LEAST_S, -self._credit / self._rate), _MOST_S)

    def _close(self) -> None:
        self.writing = False
        if self._tape is not None:
            self._tape.close()
            self._tape = None


def _told(path: Path, error: Exception) -> str:
    if isinstance(error, RecordingFault):
        return clean(str(error))
    what = error.strerror if isinstance(error, OSError) and error.strerror else f"{error}"
    return clean(f"{path}: {what or type(error).__name__}")[:300]
