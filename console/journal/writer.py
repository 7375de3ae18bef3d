"""Writes the journal of every action on the machine: one JSON object a line, each chained to the line before.

A person who may write the file can still rewrite or truncate it. For that reason every line also goes to syslog
(`console.journal.syslog_witness`), with its hash.

The broken part may be the disk itself (a home directory that hangs in a storage outage), so every write runs in its own
thread with a deadline. If the file cannot be written, syslog holds the audit copy and a warning is shown; if neither
accepts an intent, nothing is sent. Once the file is back, the lines that only syslog had are written to it, after a
line that reports the gap.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from collectors.clock import Clock
from console.runtime import log
from console.runtime.operator_identity import login_name

from . import chain
from .chain import JournalFault, Verdict, read, verify
from .entries import JournalEntry, join, line_text, orphans_text
from .syslog_witness import LOCAL, Witness

__all__ = ["Journal", "JournalFault", "Verdict", "orphans", "read", "show", "unfinished", "verified", "verify"]

#: Journal lines searched for an action: about a year of a busy site.
LOOKBACK = 20_000
DEADLINE_S = 5.0
#: Seconds since its last line for which an intent from another host counts as under way, because its process cannot be
#: checked from here. The long one is for actions of several commands, which may pause between two of them or be slowed
#: by a power ramp.
ELSEWHERE_S, ELSEWHERE_LONG_S = 600.0, 86_400.0
#: Lines kept in memory while the file cannot be written; beyond that only their number.
MISSED_KEPT = 500
_FIX = "mend it, or name another place (`journal` in the configuration)"


class Journal:
    """Writes one cluster's journal. Touches no file before the first line. Thread-safe."""

    def __init__(
        self,
        path: Path,
        cluster: str,
        clock: Clock,
        deadline_s: float = DEADLINE_S,
        witness: Witness | None = LOCAL,
    ) -> None:
        self.path = path
        self._cluster = cluster
        self._clock = clock
        self._deadline_s = deadline_s
        self._witness = witness
        self._session = secrets.token_hex(4)
        self._seq = 0
        self._lock = threading.Lock()
        self._writing: _Write | None = None
        self._missed: list[dict[str, Any]] = []
        self._gap = 0
        """Lines that only syslog has; the last MISSED_KEPT of them are in `_missed`."""

    def write(self, event: str, **fields: Any) -> str:
        """Append one line and wait until it is on disk. Returns "", or a warning that only syslog has it.

        Raises JournalFault when neither accepts it, at the latest at the deadline.
        """
        with self._lock:
            try:
                line = self._line(event, fields)
            except TypeError as error:
                raise JournalFault(f"this cannot be written down: {error}") from None
            log.info("journal", f"{event} of {fields.get('action', 'nothing')} {fields.get('id', '')}")
            before = self._writing
            if before is not None and before.is_alive():
                return self._witnessed(line, f"{self.path}: the file system still does not answer")
            if before is not None and before.late and before.fault is not None:
                self._missing(before.counted)
            owned = [{**one, "late": True} for one in self._missed]
            owned = [self._line("gap", {"gap": self._gap}), *owned] if self._gap else []
            self._writing = writing = _Write(self.path, [*owned, line], self._witness)
            try:
                writing.start()
            except RuntimeError:
                # No more threads are available: write without a deadline rather than lose an outcome.
                writing.run()
            else:
                # Syslog is tried last and needs its share of the deadline.
                asked_s = self._witness.timeout_s if self._witness is not None else 0.0
                writing.join(self._deadline_s - min(asked_s, self._deadline_s / 2))
            overdue = writing.overdue()
            # Read after `overdue`: a fault of the last moment still means that the line is not on disk.
            fault = writing.fault
            if overdue:
                fault = f"{self.path}: the file system did not answer in {self._deadline_s:g} s"
            if fault is None or overdue:
                self._missed, self._gap = [], 0  # on disk, or in the hands of the late thread
            if fault is None:
                return ""
            counts = False
            try:
                # A late line may still arrive; its thread then decides what it means.
                warning = self._witnessed(line, fault, keep=not writing.late)
                counts = True
            finally:
                writing.settle(counts)
            return warning

    def _line(self, event: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """One line with time and origin. Raises TypeError for values that JSON cannot hold."""
        self._seq += 1
        at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = msgspec.to_builtins({
            "time": at, "mono": round(self._clock.mono(), 3), "seq": self._seq, "session": self._session,
            "cluster": self._cluster, "event": event, **fields, **_origin(),
        })  # fmt: skip
        return line

    def _witnessed(self, line: dict[str, Any], fault: str | None, keep: bool = True) -> str:
        """Write to syslog only. Returns a warning on success; raises JournalFault otherwise."""
        why = "there is none"
        if self._witness is not None:
            sealed = json.loads(chain.seal(line))
            why = self._witness.tell(line, sealed["sum"])
        if why:
            raise JournalFault(f"{fault}; {_FIX}; syslog does not take it either: {why}")
        if keep:
            self._missing([line])
        return f"the journal file cannot be written ({fault}): syslog has the audit copy"

    def _missing(self, lines: Sequence[dict[str, Any]]) -> None:
        self._gap += len(lines)
        self._missed = [*self._missed, *lines][-MISSED_KEPT:]


class _Write(threading.Thread):
    """Writes lines to disk; the last one is new. A line that arrives too late to count is retracted."""

    def __init__(self, path: Path, lines: Sequence[dict[str, Any]], witness: Witness | None) -> None:
        super().__init__(name="journal", daemon=True)
        self._path = path
        self._lines = lines
        self._witness = witness
        self._lock = threading.Lock()
        self._arrived = False
        self._settled = threading.Event()
        self._counts = False
        self.late = False
        self.fault: str | None = None

    @property
    def counted(self) -> list[dict[str, Any]]:
        """Lines that count but never reached the disk."""
        return [line for line in self._lines if line.get("late")] + ([self._lines[-1]] if self._counts else [])

    def run(self) -> None:
        """Append the lines, then send them to syslog as written."""
        raws: list[bytes] = []
        try:
            who = {"login": login_name()}
            raws = chain.append(self._path, [{**line, **({} if line.get("late") else who)} for line in self._lines])
        except JournalFault as error:
            self.fault = str(error)
        except OSError as error:
            self.fault = f"{self._path}: {error.strerror}"
        except Exception as error:
            self.fault = f"{self._path}: {type(error).__name__}: {error}"
        with self._lock:
            self._arrived = True
        if self.fault is not None:
            return
        if self._witness is not None:
            for raw in raws:
                line = json.loads(raw)
                self._witness.tell(line, line.pop("sum"))
        if self.late:
            self._take_back()

    def overdue(self) -> bool:
        """Whether it has not arrived. A late line counts only if `settle` says so."""
        with self._lock:
            self.late = not self._arrived
            return self.late

    def settle(self, counts: bool) -> None:
        """Decide whether a late line counts: it does when syslog has it."""
        self._counts = counts
        self._settled.set()

    def _take_back(self) -> None:
        self._settled.wait()
        line = self._lines[-1]
        if self._counts or line["event"] != "intent":
            return
        note = {**line, "event": "result", "sent": [], "note": "written too late, not sent"}
        with contextlib.suppress(OSError, JournalFault):
            chain.append(self._path, [note])


def entries_of(path: Path) -> Mapping[str, JournalEntry]:
    """The entries of a journal, oldest first; none when it does not exist yet. Raises JournalFault. Blocks."""
    return join(read(path, LOOKBACK)) if chain.there(path) else {}


def unfinished(path: Path) -> list[JournalEntry]:
    """Intents without a result: sent without an answer, or under way. Raises JournalFault."""
    return [one for one in join(read(path)).values() if one.orphan]


def orphans(path: Path, now: float | None = None) -> list[JournalEntry]:
    """Intents without a result whose process is gone, so that none will be written. Raises JournalFault."""
    at = datetime.now(UTC).timestamp() if now is None else now
    return [one for one in unfinished(path) if not may_still_end(one, at)]


def of_this_process(path: Path) -> list[JournalEntry]:
    """The entries that this process wrote. Raises JournalFault."""
    me = os.getpid(), _began(os.getpid())
    return [one for one in entries_of(path).values() if (one.pid, one.began) == me]


def may_still_end(entry: JournalEntry, now: float) -> bool:
    """Whether the process that wrote an intent may still write its result."""
    if entry.host != os.uname().nodename:
        last = max((at for at in (entry.at, entry.proven_at) if at is not None), default=None)
        return last is not None and now - last < (ELSEWHERE_LONG_S if len(entry.argv) > 1 else ELSEWHERE_S)
    return entry.pid is not None and entry.began is not None and _began(entry.pid) == entry.began


def show(path: Path, last: int | None = None, as_json: bool = False) -> tuple[str, int]:
    """The output of `wacht journal show`, and its exit status."""
    try:
        records = read(path, last)
    except JournalFault as error:
        return f"{error}\n", 2
    if as_json:
        return json.dumps({"version": 1, "path": str(path), "entries": records}, indent=1) + "\n", 0
    return "".join(f"{line_text(record)}\n" for record in records), 0


def verified(path: Path, as_json: bool = False, witness: Witness = LOCAL) -> tuple[str, int]:
    """The output of `wacht journal verify`, and its exit status: 0 intact, 1 broken, 2 not readable."""
    try:
        found, left = verify(path), orphans(path)
    except JournalFault as error:
        return f"{error}\n", 2
    silent = witness.missing()
    if as_json:
        document = {"version": 1, "path": str(path), "ok": found.ok, "lines": found.lines, "broken": found.broken,
                "why": found.why, "cut": found.cut, "gaps": found.gaps, "orphans": [one.plan for one in left],
                "syslog": silent or None}  # fmt: skip
        return json.dumps(document) + "\n", int(not found.ok)
    lines = [f"{path}: {found}" + (f"; unfinished and sealed later: {_numbers(found.cut)}" if found.cut else "")]
    lines += [f"line {at}: {missed:,} line{'s' if missed != 1 else ''} could not be written at the time; "
              "syslog has the audit copy" for at, missed in found.gaps]  # fmt: skip
    if left:
        lines.append(orphans_text(left))
    if silent:
        lines.append(f"no syslog here, so this file is the only record: {silent}")
    return "\n".join(lines) + "\n", int(not found.ok)


def _numbers(lines: Sequence[int]) -> str:
    return f"line {', '.join(map(str, lines))}"


def _origin() -> Mapping[str, Any]:
    """The host, user and process that write. `began` distinguishes a process from a later one with the same pid."""
    return {
        "uid": os.getuid(), "login": os.environ.get("SUDO_USER") or os.environ.get("LOGNAME"),
        "ssh": os.environ.get("SSH_CONNECTION"), "host": os.uname().nodename, "pid": os.getpid(),
        "began": _began(os.getpid()),
    }  # fmt: skip


def _began(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    # The program's name is in brackets and may hold any character.
    after = stat.rpartition(")")[2].split()
    return int(after[19]) if len(after) > 19 and after[19].isdigit() else None
