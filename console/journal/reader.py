"""The journal as the screens use it, kept current as the file grows: entries, their authors, and what was undone."""

from __future__ import annotations

import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

from .chain import Follower, read, there
from .entries import JournalEntry, join
from .undo import undone, undos
from .writer import LOOKBACK, alive

#: Number of entries without a result that are checked for a live process.
_ORPHANS = 200


class JournalReader(Struct, frozen=True, eq=False, kw_only=True):
    """The contents of the journal at one moment."""

    entries: Mapping[str, JournalEntry] = field(default_factory=dict)
    """Oldest first."""
    under_way: frozenset[str] = frozenset()
    """Keys of entries without a result whose process is still alive."""
    users: Mapping[tuple[str, int | None], str] = field(default_factory=dict)
    """Login and uid to the displayed name: `jdv as root`."""
    undone: Mapping[str, str] = field(default_factory=dict)
    """Key to how much of it was undone: `undone`, `2 undone`."""
    by: Mapping[str, Sequence[JournalEntry]] = field(default_factory=dict)
    """Id of a plan to the actions that undid it (`console.journal.undo.undos`)."""

    @classmethod
    def of(cls, entries: Mapping[str, JournalEntry]) -> JournalReader:
        """A reader value for these entries."""
        return _grown(cls(), entries)


class JournalReaders(Protocol):
    """Where actions are looked up: the journal, or the copy in a recording. Blocks."""

    kept: str
    """Shown in place of the hash chain's verdict when this is a copy without hashes; "" otherwise."""

    def read(self, now: float) -> JournalReader:
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
        self._book: JournalReader | None = None

    def read(self, now: float) -> JournalReader:
        """The journal now; the same object as before when nothing changed. Raises JournalFault."""
        more = self._follower.more()
        book = self._book or JournalReader()
        if more is not None:
            fresh, records = more
            book = _grown(book, join(records, None if fresh else book.entries))
        orphans = [one for one in book.entries.values() if one.orphan][-_ORPHANS:]
        under_way = frozenset(one.key for one in orphans if alive(one, now))
        if more is not None or under_way != book.under_way:
            book = JournalReader(
                entries=book.entries, under_way=under_way, users=book.users, undone=book.undone, by=book.by
            )
        self._book = book
        return book

    def lines(self) -> list[dict[str, Any]]:
        """The last lines as records; none when the journal does not exist yet. Thread-safe. Raises JournalFault."""
        return read(self._path, LOOKBACK) if there(self._path) else []


def _grown(before: JournalReader, entries: Mapping[str, JournalEntry]) -> JournalReader:
    by = undos(entries)
    taken = {}
    for entry in entries.values():
        back = undone(entry, by) if entry.plan in by else {}
        if back:
            taken[entry.key] = "undone" if len(back) == len(entry.targets) else f"{len(back):,} undone"
    pairs = {(one.who, one.uid) for one in entries.values()} - before.users.keys()
    users = {**before.users, **{pair: _user(*pair) for pair in pairs}}
    return JournalReader(entries=entries, users=users, undone=taken, by=by)


def _user(login: str, uid: int | None) -> str:
    """The person, and the account used when that is another one. May block on a directory service."""
    if uid is None:
        return login or "unknown"
    try:
        account = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, OSError):
        account = f"uid {uid}"
    return account if not login or login == account else f"{login} as {account}"
