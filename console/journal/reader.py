"""What is known of the journal, read again as it grows: its entries, who made them, what was taken back."""

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

#: Entries without a result of which it is looked whether their process is still there.
_ORPHANS = 200


class JournalReader(Struct, frozen=True, eq=False, kw_only=True):
    """What was read of the journal, at one moment."""

    entries: Mapping[str, JournalEntry] = field(default_factory=dict)
    """Oldest first."""
    under_way: frozenset[str] = frozenset()
    """Keys of entries without a result whose process is still there."""
    users: Mapping[tuple[str, int | None], str] = field(default_factory=dict)
    """Login and uid to how the person is told: `jdv as root`."""
    undone: Mapping[str, str] = field(default_factory=dict)
    """Key to how much of it was taken back: `undone`, `2 undone`."""
    by: Mapping[str, Sequence[JournalEntry]] = field(default_factory=dict)
    """As `console.journal.undo.undos` gives it."""

    @classmethod
    def of(cls, entries: Mapping[str, JournalEntry]) -> JournalReader:
        """The book of these entries."""
        return _grown(cls(), entries)


class JournalReaders(Protocol):
    """Where actions are looked up: the journal, or what was recorded of it. Blocks."""

    kept: str
    """What stands in place of a word on the chain of hashes, where this is a copy without it."""

    def read(self, now: float) -> JournalReader:
        """The book as it is now, the very same as before where nothing changed. Raises JournalFault."""
        ...

    def lines(self) -> list[dict[str, Any]]:
        """The last lines as records, none where there is no journal yet. Raises JournalFault."""
        ...


class JournalFollower:
    """Reads one journal, each time only what was added. Blocks; not for two threads at once."""

    kept = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._follower = Follower(path, LOOKBACK)
        self._book: JournalReader | None = None

    def read(self, now: float) -> JournalReader:
        """The book as it is now, the very same as before where nothing changed. Raises JournalFault."""
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
        """The last lines as records, none where there is no journal yet. Any thread may ask. Raises JournalFault."""
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
    """The person, with the account whose rights they used where that is another. May block: names may be elsewhere."""
    if uid is None:
        return login or "unknown"
    try:
        account = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError, OSError):
        account = f"uid {uid}"
    return account if not login or login == account else f"{login} as {account}"
