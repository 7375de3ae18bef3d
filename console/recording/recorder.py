"""Records beside a poller in its own thread: a slow or full disk delays only the recording.

After each write the recorder takes the newest Cluster and pauses in proportion to the bytes written. The file thus
covers its hours within its size by being written less often, not by dropping old frames sooner, as long as that is
enough.
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

#: Least and most seconds between two frames.
_LEAST_S, _MOST_S = 1.0, 60.0
#: Share of the bytes that is planned for; the rest is reserve.
_SPEND = 0.8
#: Seconds of the budget that may be spent in one burst, because everything changes in an incident.
_BURST_S = 600.0
#: Seconds until a failed write is retried, or another console's lock is checked again.
_AGAIN_S = 30.0
#: Seconds that a write may take before the disk is reported as hanging.
_HUNG_S = 20.0


class Recorder:
    """Records one cluster from `start` to `stop`. `offer` is thread-safe and never waits for a disk."""

    def __init__(self, path: Path, bounds: Bounds, clock: Clock, journal: Path | None = None) -> None:
        self.path = path
        self.bounds = bounds
        self._trouble = ""
        self._writing_since: float | None = None
        self.writing = False
        """True while this console records."""
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
        """Why nothing is recorded, as text; "" while this or another console of the user records."""
        since = self._writing_since
        if since is not None and time.monotonic() - since > _HUNG_S:
            return f"{self.path}: the file system does not answer"
        return self._trouble

    def open(self) -> None:
        """Open the file at once. Raises RecordingFault."""
        try:
            self._tape = SessionWriter(self.path, self.bounds, self._clock.now(), self._clock.mono(), self._journal)
        except (OSError, sqlite3.Error) as error:
            raise RecordingFault(_error_text(self.path, error)) from None

    def start(self) -> None:
        """Start recording what is offered."""
        self._thread.start()

    def offer(self, cluster: Cluster, diff: Diff) -> None:
        """Take a newer Cluster. Those that arrive during a write are merged."""
        now, mono = self._clock.now(), self._clock.mono()
        with self._came:
            diff = diff if self._waiting is None else merged(self._waiting[1], diff)
            self._waiting = cluster, diff, now, mono
            self._came.notify()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write the last Cluster and stop, waiting at most `timeout_s` for a hanging disk."""
        self._stopping.set()
        with self._came:
            self._came.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

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
            except Exception as error:  # whatever goes wrong, the console continues
                self._trouble, rest = _error_text(self.path, error), _AGAIN_S
                self._close()
            else:
                self._trouble, self.writing, rest = "", True, self._rest_s(size)
            self._writing_since = None
            del item
            self._stopping.wait(rest)
        self._close()

    def _next(self) -> tuple[Cluster, Diff, float, float] | None:
        """Wait for the next Cluster; None after `stop` when all is written."""
        with self._came:
            self._came.wait_for(lambda: self._waiting is not None or self._stopping.is_set())
            item, self._waiting = self._waiting, None
        return item

    def _rest_s(self, size: int) -> float:
        """Seconds to pause after a write of `size` bytes."""
        now = time.monotonic()
        self._credit = min(self._rate * _BURST_S, self._credit + (now - self._spent_at) * self._rate) - size
        self._spent_at = now
        return min(max(_LEAST_S, -self._credit / self._rate), _MOST_S)

    def _close(self) -> None:
        self.writing = False
        if self._tape is not None:
            self._tape.close()
            self._tape = None


def _error_text(path: Path, error: Exception) -> str:
    if isinstance(error, RecordingFault):
        return clean(str(error))
    what = error.strerror if isinstance(error, OSError) and error.strerror else f"{error}"
    return clean(f"{path}: {what or type(error).__name__}")[:300]
