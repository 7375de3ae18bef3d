"""The journal of everything done to the machine: one JSON object a line, each chained to the one before.

Somebody who may write the file can still rewrite all of it or cut off its end; against that every line goes to syslog
too (`console.journal.syslog_witness`), with its hash.

The disk may be the thing that is broken (a hung home directory in the middle of a storage outage), so every write
happens in a thread of its own with a deadline. Where the file cannot be written, syslog is the witness and the person
hears of it; where neither takes an intent, nothing is sent. What only syslog had is written down when the file is
back, after a line that owns up to the gap.
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
from console.runtime.operator_identity import person

from . import chain
from .chain import JournalFault, Verdict, read, verify
from .entries import JournalEntry, join, line_text, told_orphans
from .syslog_witness import LOCAL, Witness

__all__ = ["Journal", "JournalFault", "Verdict", "orphans", "read", "show", "unfinished", "verified", "verify"]

#: Lines of the journal in which an action is looked for: about a year of a busy site.
LOOKBACK = 20_000
DEADLINE_S = 5.0
#: Seconds since its last line for which an intent from another host counts as under way: nobody can look for its
#: process there. What goes in several commands may have been paused between two of them, or held up by a ramp of power.
ELSEWHERE_S, ELSEWHERE_LONG_S = 600.0, 86_400.0
#: Lines that are kept in memory while the file cannot be written; of more only the number.
KEPT = 500
_MEND = "mend it, or name another place (`journal` in the configuration)"


class Journal:
    """Writes one cluster's journal. Touches nothing before the first line; may be used from several threads."""

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
        """Lines that only syslog has; the last KEPT of them are in `_missed`."""

    def write(self, event: str, **fields: Any) -> str:
        """Append one line and return when it is on the disk: "", or a warning that only syslog has it.

        Raises JournalFault when neither takes it, at the latest at the deadline.
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
                # Not one more thread is to be had. Without a deadline, then: what came of a deed is not to be lost.
                writing.run()
            else:
                # Syslog is asked last, and has its part of the deadline.
                asked_s = self._witness.timeout_s if self._witness is not None else 0.0
                writing.join(self._deadline_s - min(asked_s, self._deadline_s / 2))
            overdue = writing.overdue()
            # Only now: a fault of the last moment is one, and no line on the disk.
            fault = writing.fault
            if overdue:
                fault = f"{self.path}: the file system did not answer in {self._deadline_s:g} s"
            if fault is None or overdue:
                self._missed, self._gap = [], 0  # they are on the disk, or the thread that is late has them
            if fault is None:
                return ""
            counts = False
            try:
                # A late line may still arrive by itself; its thread knows then what to think of it.
                told = self._witnessed(line, fault, keep=not writing.late)
                counts = True
            finally:
                writing.settle(counts)
            return told

    def _line(self, event: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """One line with when and where. Raises TypeError for what JSON cannot hold."""
        self._seq += 1
        at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = msgspec.to_builtins({
            "time": at, "mono": round(self._clock.mono(), 3), "seq": self._seq, "session": self._session,
            "cluster": self._cluster, "event": event, **fields, **_here(),
        })  # fmt: skip
        return line

    def _witnessed(self, line: dict[str, Any], fault: str | None, keep: bool = True) -> str:
        """Syslog alone: a warning when it took the line, else JournalFault."""
        why = "there is none"
        if self._witness is not None:
            sealed = json.loads(chain.seal(line))
            why = self._witness.tell(line, sealed["sum"])
        if why:
            raise JournalFault(f"{fault}; {_MEND}; syslog does not take it either: {why}")
        if keep:
            self._missing([line])
        return f"the journal file cannot be written ({fault}): syslog is the witness"

    def _missing(self, lines: Sequence[dict[str, Any]]) -> None:
        self._gap += len(lines)
        self._missed = [*self._missed, *lines][-KEPT:]


class _Write(threading.Thread):
    """Lines on their way to the disk; the last one is new. If it arrives too late to count, it takes itself back."""

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
        """What somebody counts on and what never got to the disk."""
        return [line for line in self._lines if line.get("late")] + ([self._lines[-1]] if self._counts else [])

    def run(self) -> None:
        """Append, then tell syslog what stands in the file."""
        raws: list[bytes] = []
        try:
            who = {"login": person()}
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
        """True when it has not arrived; from then on it counts only if `settle` says so."""
        with self._lock:
            self.late = not self._arrived
            return self.late

    def settle(self, counts: bool) -> None:
        """What is to be thought of a late line: it counts when syslog took it."""
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
    """The actions of a journal, oldest first; none where there is none yet. Raises JournalFault. Blocks."""
    return join(read(path, LOOKBACK)) if chain.there(path) else {}


def unfinished(path: Path) -> list[JournalEntry]:
    """Intents without a result: what was sent and never came back, or is on its way now. Raises JournalFault."""
    return [one for one in join(read(path)).values() if one.orphan]


def orphans(path: Path, now: float | None = None) -> list[JournalEntry]:
    """Intents without a result whose process is gone: nobody will write one any more. Raises JournalFault."""
    at = datetime.now(UTC).timestamp() if now is None else now
    return [one for one in unfinished(path) if not alive(one, at)]


def of_this_process(path: Path) -> list[JournalEntry]:
    """The actions that this very process wrote down. Raises JournalFault."""
    me = os.getpid(), _began(os.getpid())
    return [one for one in entries_of(path).values() if (one.pid, one.began) == me]


def alive(entry: JournalEntry, now: float) -> bool:
    """True where the process that wrote an intent may still write what came of it."""
    if entry.host != os.uname().nodename:
        last = max((at for at in (entry.at, entry.proven_at) if at is not None), default=None)
        return last is not None and now - last < (ELSEWHERE_LONG_S if len(entry.argv) > 1 else ELSEWHERE_S)
    return entry.pid is not None and entry.began is not None and _began(entry.pid) == entry.began


def show(path: Path, last: int | None = None, as_json: bool = False) -> tuple[str, int]:
    """What `wacht journal show` prints, and its exit status."""
    try:
        records = read(path, last)
    except JournalFault as error:
        return f"{error}\n", 2
    if as_json:
        return json.dumps({"version": 1, "path": str(path), "entries": records}, indent=1) + "\n", 0
    return "".join(f"{line_text(record)}\n" for record in records), 0


def verified(path: Path, as_json: bool = False, witness: Witness = LOCAL) -> tuple[str, int]:
    """What `wacht journal verify` prints, and its exit status: 0 whole, 1 broken, 2 there is none to read."""
    try:
        found, left = verify(path), orphans(path)
    except JournalFault as error:
        return f"{error}\n", 2
    silent = witness.missing()
    if as_json:
        told = {"version": 1, "path": str(path), "ok": found.ok, "lines": found.lines, "broken": found.broken,
                "why": found.why, "cut": found.cut, "gaps": found.gaps, "orphans": [one.plan for one in left],
                "syslog": silent or None}  # fmt: skip
        return json.dumps(told) + "\n", int(not found.ok)
    lines = [f"{path}: {found}" + (f"; unfinished and sealed later: {_numbers(found.cut)}" if found.cut else "")]
    lines += [f"line {at}: {missed:,} line{'s' if missed != 1 else ''} could not be written at the time; "
              "syslog was the witness" for at, missed in found.gaps]  # fmt: skip
    if left:
        lines.append(told_orphans(left))
    if silent:
        lines.append(f"no syslog here, so only this file tells: {silent}")
    return "\n".join(lines) + "\n", int(not found.ok)


def _numbers(lines: Sequence[int]) -> str:
    return f"line {', '.join(map(str, lines))}"


def _here() -> Mapping[str, Any]:
    """Where this is written and by which process: by `began` a process is told from a later one of the same number."""
    return {
        "uid": os.getuid(), "login": os.environ.get("SUDO_USER") or os.environ.get("LOGNAME"),
        "ssh": os.environ.get("SSH_CONNECTION"), "host": os.uname().nodename, "pid": os.getpid(),
        "began": _began(os.getpid()),
    }  # fmt: skip


def _began(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None where there is none of that number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    # The name of the program stands in brackets and may hold anything.
    after = stat.rpartition(")")[2].split()
    return int(after[19]) if len(after) > 19 and after[19].isdigit() else None
