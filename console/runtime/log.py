"""The log (`--log FILE`, or the key `log`): one line for each event, with UTC time, level, source and text.

It records what the screen does not keep: faults of sources and their end, slow readings, the terminal's speed, ids of
actions, start and stop. The journal holds the actions themselves. Plain text of mode 0600, at most `LARGEST` bytes plus
one older file of that size, written by its own thread so that the console never waits for a disk. A write fault is
reported once, and lost lines are counted.

Only messages passed to this module are logged: no library's logger writes to it, and nothing reaches the terminal.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import threading
from datetime import UTC, datetime
from pathlib import Path

from collectors import files
from collectors.clean import clean
from collectors.model import Cluster
from collectors.redaction import redact

LARGEST = 10 << 20
#: Lines that may wait for the disk, and seconds that the program's end waits for them.
WAITING, STOP_S = 1000, 1.0
#: Seconds from which a reading counts as slow; below half of it, no longer.
SLOW_S = 5.0
_WIDEST = 1000

_LOGGER = logging.getLogger("wacht")
_LOGGER.propagate = False
_LOGGER.addHandler(logging.NullHandler())


class FileLog(logging.Handler):
    """Queues records without waiting and writes them in a thread."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.fault = ""
        """The first write fault."""
        self.reported = False
        self.lost = 0
        """Lines lost and not yet reported in the file."""
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._fd = -1
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record. Never blocks: when the queue is full the line is lost and counted."""
        try:
            self._lines.put_nowait(line_of(record))
        except queue.Full:
            self.lost += 1

    def end(self) -> None:
        """Write the waiting lines, for at most STOP_S."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            lost = self.lost
            try:
                if lost:
                    self._write(_stamped(datetime.now(UTC), "WARNING", "log", f"{lost:,} lines were lost before this"))
                    self.lost -= lost
                self._write(line)
            except (OSError, files.UntrustedFile) as error:
                self.lost += 1
                self.fault = self.fault or str(getattr(error, "strerror", None) or error)
                self._close()
        self._close()

    def _write(self, line: str) -> None:
        """Write one line, whole or not at all, also when others write to the same file."""
        data = line.encode()
        size = self._locked()
        if size and size + len(data) > LARGEST:
            self.path.replace(f"{self.path}.1")
            size = self._locked()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            os.ftruncate(self._fd, size)
            raise
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _locked(self) -> int:
        """Lock the file of this path now: another console may have rotated it. Returns its size."""
        while True:
            if self._fd < 0:
                self._fd = files.open_to_append(self.path)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            held = os.fstat(self._fd)
            try:
                if os.path.samestat(held, self.path.lstat()):
                    return held.st_size
            except FileNotFoundError:
                pass
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_file: FileLog | None = None


def line_of(record: logging.LogRecord) -> str:
    """The record's line: cleaned, of bounded width, without tokens, with a newline."""
    at = datetime.fromtimestamp(record.created, UTC)
    return _stamped(at, record.levelname, getattr(record, "source", "wacht"), record.getMessage())


def _stamped(at: datetime, level: str, source: str, what: str) -> str:
    text = clean(redact(what))
    text = text if len(text) <= _WIDEST else f"{text[:_WIDEST]}…"
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{stamp} {level} {clean(source).replace(' ', '_')} {text}\n"


def begin(path: str) -> None:
    """Log to this file from now on."""
    global _file  # noqa: PLW0603 - the one log of the program
    end()
    _file = FileLog(Path(path).expanduser())
    _LOGGER.addHandler(_file)
    _LOGGER.setLevel(logging.INFO)


def end() -> None:
    """Write the waiting lines and stop logging."""
    if _file is not None and _file in _LOGGER.handlers:
        _LOGGER.removeHandler(_file)
        _file.end()


def unreported_fault() -> str:
    """Why the log cannot be written, once; "" otherwise."""
    if _file is None or not _file.fault or _file.reported:
        return ""
    _file.reported = True
    return f"the log {_file.path} cannot be written: {_file.fault}; wacht goes on without it"


def info(source: str, what: str) -> None:
    """Log a normal event."""
    _LOGGER.info("%s", what, extra={"source": source})


def warning(source: str, what: str) -> None:
    """Log a problem."""
    _LOGGER.warning("%s", what, extra={"source": source})


def error(source: str, what: str) -> None:
    """Log an error of wacht itself."""
    _LOGGER.error("%s", what, extra={"source": source})


class SourceLog:
    """Logs a cluster's sources: each fault, its end and each slow phase once, not for every reading."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}
        self._slow: set[str] = set()

    def see(self, cluster: Cluster) -> None:
        """Log what changed since the last call."""
        for source in cluster.sources.values():
            if not source.tried:
                continue
            before = self._faults.get(source.name)
            kind = source.fault.kind if source.fault is not None else ""
            if kind != before:
                self._faults[source.name] = kind
                if source.fault is not None:
                    tell = error if kind == "internal" else warning
                    tell(source.name, f"{kind}: {source.fault}")
                else:
                    info(source.name, "answers" if before is None else "answers again")
            self._pace(source.name, source.took_s)

    def _pace(self, name: str, took_s: float | None) -> None:
        if took_s is None:
            return
        if took_s >= SLOW_S and name not in self._slow:
            self._slow.add(name)
            warning(name, f"slow: a reading took {took_s:.1f} s")
        elif took_s < SLOW_S / 2 and name in self._slow:
            self._slow.discard(name)
            info(name, f"no longer slow: a reading took {took_s:.1f} s")
