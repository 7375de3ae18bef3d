"""What somebody shut and has to open again: partitions that are down, users who may submit nothing. From the journal,
and from Slurm as it is. Pure.

A partition that Slurm says is DOWN is told of, whoever did it; the journal knows who, when and why, as far as it was
done from here. Of users Slurm is asked about those alone whom the journal calls blocked
(`console.app.journal_queries`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from collectors.model import Cluster, Partition
from console.health.inconsistencies import is_kind_fresh
from widgets.units import duration

if TYPE_CHECKING:
    from .entries import JournalEntry

Record = Mapping[str, Any]
#: What shuts, and what opens again.
_SHUTS = {"partition-down": True, "partition-up": False, "block": True, "unblock": False}
#: States of a partition in which no job starts, whoever set them. INACTIVE is how sites park one for good.
_CLOSED = frozenset({"DOWN", "DRAIN"})


class LeftoverOrigin(Struct, frozen=True, kw_only=True):
    """Who did it, when and why, as far as the journal says."""

    who: str
    at: float | None = None
    why: str | None = None

    def words(self, now: float) -> str:
        """`for 2h 3m, by jdv: cooling`."""
        since = "" if self.at is None else f" for {duration(now - self.at)},"
        return f"{since} by {self.who}{f': {self.why}' if self.why else ''}"


class Left(Struct, frozen=True, kw_only=True):
    """What stands of all that was shut from here."""

    partitions: Mapping[str, LeftoverOrigin] = field(default_factory=dict)
    users: Mapping[str, LeftoverOrigin] = field(default_factory=dict)


def left(records: Iterable[Record]) -> Left:
    """What was shut and not opened again, as far as these lines of the journal tell."""
    from .entries import join

    found: dict[str, dict[str, LeftoverOrigin]] = {"partition": {}, "user": {}}
    for entry in join(records).values():
        shuts = _SHUTS.get(entry.action)
        if shuts is None or entry.kind not in found:
            continue
        for target in entry.targets:
            if entry.took_place(target):
                found[entry.kind].pop(target, None)
                if shuts:
                    found[entry.kind][target] = _deed(entry)
    return Left(partitions=found["partition"], users=found["user"])


def still(of: Left, blocked: Collection[str]) -> Left:
    """The same without the users whom Slurm lets submit again."""
    users = {name: deed for name, deed in of.users.items() if name in blocked}
    return Left(partitions=of.partitions, users=users)


def _deed(entry: JournalEntry) -> LeftoverOrigin:
    return LeftoverOrigin(who=entry.person, at=entry.at, why=entry.reason)


def closed(row: Partition, of: Left, now: float) -> str | None:
    """What is to be said of a partition, None where there is nothing."""
    deed = of.partitions.get(row.name)
    if row.state == "UP" or (row.state not in _CLOSED and deed is None):
        return None
    if deed is None or row.state != "DOWN":
        starts = "it takes no new job" if row.state == "DRAIN" else "no job starts there"
        return f"{row.name} is {row.state}: {starts}"
    return f"{row.name} is DOWN{deed.words(now)}"


def reminders(cluster: Cluster, of: Left, now: float, mono: float | None) -> list[str]:
    """What has to be opened again. Nothing of partitions while what is known of them is old."""
    found = []
    if mono is None or is_kind_fresh(cluster, "partitions", "slurm", mono):
        found += [one for row in cluster.partitions.values() if (one := closed(row, of, now)) is not None]
    return found + [f"{name} may submit no job{deed.words(now)}" for name, deed in of.users.items()]
