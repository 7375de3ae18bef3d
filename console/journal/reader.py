"""The journal as the screens use it, kept current as the file grows: entries, their authors, and what was undone."""

from __future__ import annotations

import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

from .chain import Follower, read, there
from .entries import JournalEntry, join
from .undo import undone_by, undos_by_plan
from .writer import LOOKBACK, may_still_end

#: Number of entries without a result that are checked for a live process.
_ORPHANS = 200


class JournalSnapshot(Struct, frozen=True, eq=False, kw_only=True):
    """The contents of the journal at one moment."""

    entries: Mapping[str, JournalEntry] = field(default_factory=dict)
    """Oldest first."""
    under_way: frozenset[str] = frozenset()
    """Keys of entries without a result whose process is still alive."""
    users: Mapping[tuple[str, int | None], str] = field(default_factory=dict)
    """Login and uid to the displayed name: `jdv as root`."""
    undone: Mapping[str, str] = field(default_factory=dict)
    """Key to how much of it was undone: `undone_by`, `2 undone`."""
    by: Mapping[str, Sequence[JournalEntry]] = field(default_factory=dict)
    """Id of a plan to the actions that undid it (`console.journal.undo.undos_by_plan`)."""

    @classmethod
    def of(cls, entries: Mapping[str, JournalEntry]) -> JournalSnapshot:
        """A reader value for these entries."""
        return _grown(cls(), entries)


class JournalReader(Protocol):
    """Where actions are looked up: the journal, or the copy in a recording. Blocks."""

    kept: str
    """Shown in place of the hash chain's verdict when this is a copy without hashes; "" otherwise."""

    def read(self, now: float) -> JournalSnapshot:
        """The journal now; the same object as before when nothing changed. Raises JournalFault."""
        ...

    def lines(self) -> list[dict[str, Any]]:
        """The last lines as records; none when the journal does not exist yet. Raises JournalFault."""
        ...


class JournalFollower:
    """Reads one journal; after the first call only the lines added. Blocks. Not thread-safe."""

    kept = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._follower = Follower(path, LOOKBACK)
        self._snapshot: JournalSnapshot | None = None

    def read(self, now: float) -> JournalSnapshot:
        """The journal now; the same object as before when nothing changed. Raises JournalFault."""
        more = self._follower.more()
        journal = self._snapshot or JournalSnapshot()
        if more is not None:
            fresh, records = more
            journal = _grown(journal, join(records, None if fresh else journal.entries))
        orphans = [one for one in journal.entries.values() if one.orphan][-_ORPHANS:]
        under_way = frozenset(one.key for one in orphans if may_still_end(one, now))
        if more is not None or under_way != journal.under_way:
            journal = JournalSnapshot(
                entries=journal.entries, under_way=under_way, users=journal.users, undone=journal.undone, by=journal.by
            )
        self._snapshot = journal
        return journal

    def lines(self) -> list[dict[str, Any]]:
        """The last lines as records; none when the journal does not exist yet. Thread-safe. Raises JournalFault."""
        return read(self._path, LOOKBACK) if there(self._path) else []


def _grown(before: JournalSnapshot, entries: Mapping[str, JournalEntry]) -> JournalSnapshot:
    by = undos_by_plan(entries)
    taken = {}
    for entry in entries.values():
        back = undone_by(entry, by) if entry.plan in by else {}
        if back:
            taken[entry.key] = "undone" if len(back) == len(entry.targets) else f"{len(back):,} undone"
    pairs = {(one.who, one.uid) for one in entries.values()} - before.users.keys()
    users = {**before.users, **{pair: _user(*pair) for pair in pairs}}
    return JournalSnapshot(entries=entries, users=users, undone=taken, by=by)


def _user(login: str, uid: int | None) -> str:
    """The person, and the account used when that is another one. May block on a directory service."""
    if uid is None:
        return login or "unknown"
    try:
        account = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, OSError):
        account = f"uid {uid}"
    return account if not login or login == account else f"{login} as {account}"
