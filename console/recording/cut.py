"""Cuts an incident out of a recording to share it, optionally with people's names masked.

Masked are users, accounts, and the names and comments of jobs, also where these words appear elsewhere (reasons,
alerts, the journal). A name has the same mask everywhere. Nodes, partitions and times stay: they are the incident. A
free-text reason may still hold the name of a person who is not a user here; that cannot be detected.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from collectors.model import Cluster, Control, Cost, Diag
from console.journal import chain

from .frame import pack, unpack
from .moments import FindMoment
from .row_codec import ROWS
from .store import FrameTime, Mark, RecordingFault, RecordingFile, RecordingReader

#: Fields that hold the name of a person, account or job, and the kind of mask.
_NAMES: Mapping[str, Mapping[str, str]] = {
    "jobs": {"user": "user", "account": "account", "name": "job"},
    "nodes": {"reason_by": "user", "comment": "comment", "extra": "extra"},
    "silences": {"by": "user"},
    "reservations": {"comment": "comment"},
}
#: Fields that hold a comma-separated list of names.
_LISTS: Mapping[str, Mapping[str, str]] = {
    "reservations": {"users": "user", "accounts": "account"},
    "partitions": {"allow_accounts": "account", "deny_accounts": "account"},
}  # fmt: skip
_KEPT = frozenset({"root", "slurm", "ALL", "(null)", ""})
_LEAST = 3
"""Shorter words are too common to be sought in free text."""
#: Fields of a journal line that identify the person, beside `login`.
_PERSON = ("uid", "ssh", "pid", "began", "session")


class Masks:
    """Gives every name one mask, always the same."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], str] = {}
        self._words: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._seek: re.Pattern[str] | None = None

    def name(self, value: str | None, kind: str) -> str | None:
        """The mask of a name of this kind: user, account, job, comment, extra."""
        if value is None or value in _KEPT:
            return value
        found = self._of.get((kind, value))
        if found is None:
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            found = self._of[kind, value] = f"{kind}{number:03}"
            if kind in {"user", "account"} and len(value) >= _LEAST:
                self._words.setdefault(value, found)
                self._seek = None
        return found

    def listed(self, value: str | None, kind: str) -> str | None:
        """The masks of comma-separated names."""
        return value and ",".join(self.name(one, kind) or "" for one in value.split(","))

    def words(self, text: str) -> str:
        """Free text with all names known so far masked."""
        if not self._words:
            return text
        if self._seek is None:
            every = "|".join(re.escape(word) for word in sorted(self._words, key=len, reverse=True))
            self._seek = re.compile(rf"(?<![A-Za-z0-9_-])(?:{every})(?![A-Za-z0-9_-])")
        return self._seek.sub(lambda match: self._words[match[0]], text)

    def all(self, value: Any) -> Any:
        """A value with every text in it masked."""
        if isinstance(value, str):
            return self.words(value)
        if isinstance(value, Mapping):
            return {key: self.all(one) for key, one in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(self.all(one) for one in value)
        if isinstance(value, Struct):
            return replace(value, **{name: self.all(getattr(value, name)) for name in value.__struct_fields__})
        return value

    def learn(self, cluster: Cluster) -> None:
        """Register every name in a name field, so that it is found in free text."""
        for job in cluster.jobs.values():
            self.name(job.user, "user")
            self.name(job.account, "account")
        for node in cluster.nodes.values():
            self.name(node.reason_by, "user")
        for silence in cluster.silences.values():
            self.name(silence.by, "user")
        if cluster.diag is not None:
            for user in (*cluster.diag.user_calls, *([cluster.diag.reader] if cluster.diag.reader else ())):
                self.name(user, "user")
        if cluster.control is not None:
            for ending in cluster.control.completing or ():
                self.name(ending.user, "user")
            for lost in cluster.control.runaway or ():
                self.name(lost.user, "user")


class Masked:
    """Masks a series of Clusters; an unchanged row is masked once."""

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._last = Cluster(name="")
        self._made = Cluster(name="")

    def __call__(self, cluster: Cluster) -> Cluster:
        """The Cluster with names masked."""
        masks = self._masks
        changed: dict[str, Any] = {}
        for kind in ROWS:
            old, new, done = (getattr(one, kind) for one in (self._last, cluster, self._made))
            changed[kind] = done if old is new else {
                key: done[key] if key in done and old.get(key) is row else self._row(kind, row)
                for key, row in new.items()
            }  # fmt: skip
        was, made = self._last, self._made
        changed["diag"] = made.diag if cluster.diag is was.diag else self._diag(cluster.diag)
        changed["cost"] = made.cost if cluster.cost is was.cost else self._cost(cluster.cost)
        changed["control"] = made.control if cluster.control is was.control else self._control(cluster.control)
        changed["sources"] = {
            name: made.sources[name] if was.sources.get(name) is one else masks.all(one)
            for name, one in cluster.sources.items()
        }
        self._last = cluster
        self._made = replace(cluster, **changed)
        return self._made

    def _diag(self, diag: Diag | None) -> Diag | None:
        def users(counts: Mapping[str, int]) -> dict[str, int]:
            return {self._masks.name(user, "user") or "": count for user, count in counts.items()}

        return diag and replace(
            diag, reader=self._masks.name(diag.reader, "user"), user_calls=users(diag.user_calls),
            user_time_us=users(diag.user_time_us),
        )  # fmt: skip

    def _control(self, control: Control | None) -> Control | None:
        return control and replace(
            control,
            completing=control.completing and tuple(map(self._owned, control.completing)),
            runaway=control.runaway and tuple(map(self._owned, control.runaway)),
        )

    def _owned(self, job: Any) -> Any:
        return replace(job, user=self._masks.name(job.user, "user"))

    def _cost(self, cost: Cost | None) -> Cost | None:
        return cost and replace(cost, user=self._masks.name(cost.user, "user"))

    def _row(self, kind: str, row: Any) -> Any:
        masks = self._masks
        values = {name: masks.name(getattr(row, name), what) for name, what in _NAMES.get(kind, {}).items()}
        values |= {name: masks.listed(getattr(row, name), what) for name, what in _LISTS.get(kind, {}).items()}
        for name in row.__struct_fields__:
            if name not in values and name not in {"id", "nodes", "node", "partition", "partitions"}:
                values[name] = masks.all(getattr(row, name))
        return replace(row, **values)


def cut(path: Path, out: Path, since: FindMoment | None, until: FindMoment | None, *, mask: bool) -> str:
    """Write what was recorded between two moments to a new file; returns a summary for the user.

    Raises RecordingFault, also when the new file exists already.
    """
    recording = RecordingReader(path)
    first, last = recording.first(), recording.last()
    if first is None or last is None:
        raise RecordingFault(f"{path}: nothing was recorded yet")
    begin = first.at if since is None else since(recording, None)
    end = last.at if until is None else until(recording, None)
    here = recording.at(begin) or first
    if begin > end or here.at > end:
        raise RecordingFault(f"{path}: nothing of it is between these two moments")
    try:
        taken = out.exists() or out.is_symlink()
    except OSError as error:
        raise RecordingFault(f"{out}: {error.strerror}") from None
    if taken:
        raise RecordingFault(f"{out}: it is there already; name another file")
    masks = Masks()
    masked: Callable[[Cluster], Cluster] = (lambda one: one) if not mask else Masked(masks)
    whole = recording.whole_before(here)
    if whole is None:
        raise RecordingFault(f"{path}: what came before that moment is not there any more")
    if mask:
        _learn(recording, whole, end, masks)
    store = RecordingFile(out)
    try:
        count = _copy(recording, whole, here, end, store, masked)
        with store.change():
            _add_actions(recording, here.at, end, store, masks if mask else None)
    except (ValueError, OSError, sqlite3.Error, RecordingFault) as error:
        out.unlink()
        raise RecordingFault(f"{out}: {error}") from None
    finally:
        store.close()
        recording.close()
    return f"{out}: {count:,} moments, {out.stat().st_size / 1e6:.1f} MB" + (", users masked" if mask else "")


def _clusters(recording: RecordingReader, whole: FrameTime, end: float) -> Any:
    """Each moment with its Cluster and the difference to the one before (None: anything may differ)."""
    here: FrameTime | None = whole
    cluster: Cluster | None = None
    while here is not None and here.at <= end:
        step, all_of_it = recording.frame(here)
        afresh = cluster is None or step is None
        cluster, diff = unpack((all_of_it if afresh else step) or b"", None if afresh else cluster)
        yield here, cluster, None if afresh else diff
        here = recording.after(here)


def _learn(recording: RecordingReader, whole: FrameTime, end: float, masks: Masks) -> None:
    for _, cluster, _ in _clusters(recording, whole, end):
        masks.learn(cluster)
    for _, line in recording.actions(end):
        login = chain.record(line).get("login")
        if isinstance(login, str):
            masks.name(login, "user")


def _copy(
    recording: RecordingReader,
    whole: FrameTime,
    here: FrameTime,
    end: float,
    store: RecordingFile,
    masked: Callable[[Cluster], Cluster],
) -> int:
    before: Cluster | None = None
    count = stepped = largest = 0
    for moment, cluster, diff in _clusters(recording, whole, end):
        made = masked(cluster)
        if moment.at < here.at:
            continue
        afresh = before is None or diff is None
        step = None if afresh else pack(before, made, 0.0, diff)
        stepped += len(step or b"")
        complete = pack(None, made, 0.0) if afresh or stepped > 2 * largest else None
        if complete is not None:
            stepped, largest = 0, len(complete)
        with store.change():
            store.add(moment.at, moment.wall, step, complete, [])
        before, count = made, count + 1
    return count


def _add_actions(
    recording: RecordingReader, begin: float, end: float, store: RecordingFile, masks: Masks | None
) -> None:
    """Copy the journal lines and bookmarks of that time."""
    for at, line in recording.actions(end):
        if at < begin:
            continue
        if masks is not None:
            fields = {key: value for key, value in chain.record(line).items() if key not in _PERSON}
            login = fields.get("login")
            fields = masks.all(fields)
            fields["login"] = masks.name(login, "user") if isinstance(login, str) else None
            store.add_action(at, msgspec.json.encode(fields))
        else:
            store.add_action(at, line)
    for mark in recording.marks(begin, end):
        store.add_mark(mark if masks is None else Mark(mark.at, mark.kind, masks.words(mark.what)))
