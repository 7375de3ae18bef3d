"""StillClosed: partitions that are down and users who may not submit, from the journal and from Slurm. Pure.

A partition that Slurm shows as DOWN is listed, with who, when and why from the journal if it was closed with this
console. Slurm is only asked about users whom the journal shows as blocked (`console.app.journal_queries`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from collectors.model import Cluster, Operation, Partition
from collectors.slurm import operations
from console.actions.registry import BY_ID
from console.health.inconsistencies import is_kind_fresh
from widgets.units import duration

if TYPE_CHECKING:
    from .entries import JournalEntry

Record = Mapping[str, Any]
#: Operations that close a target (True) or open it again (False).
_SHUTS: Mapping[Operation, bool] = {
    operations.PARTITION_DOWN: True, operations.PARTITION_UP: False,
    operations.BLOCK_USER: True, operations.UNBLOCK_USER: False,
}  # fmt: skip
#: Partition states in which no job starts. Not INACTIVE: sites park partitions with it permanently.
_CLOSED = frozenset({"DOWN", "DRAIN"})


class LeftoverOrigin(Struct, frozen=True, kw_only=True):
    """Who closed it, when and why, as far as the journal knows."""

    who: str
    at: float | None = None
    why: str | None = None

    def words(self, now: float) -> str:
        """As text: `for 2h 3m, by jdv: cooling`."""
        since = "" if self.at is None else f" for {duration(now - self.at)},"
        return f"{since} by {self.who}{f': {self.why}' if self.why else ''}"


class StillClosed(Struct, frozen=True, kw_only=True):
    """Partitions and users closed with this console and still closed."""

    partitions: Mapping[str, LeftoverOrigin] = field(default_factory=dict)
    users: Mapping[str, LeftoverOrigin] = field(default_factory=dict)


def still_closed(records: Iterable[Record]) -> StillClosed:
    """The targets that these journal lines show as closed and not opened again."""
    from .entries import join

    found: dict[str, dict[str, LeftoverOrigin]] = {"partition": {}, "user": {}}
    for entry in join(records).values():
        action = BY_ID.get(entry.action)
        shuts = _SHUTS.get(action.operation) if action is not None and action.operation is not None else None
        if shuts is None or entry.kind not in found:
            continue
        for target in entry.targets:
            if entry.took_place(target):
                found[entry.kind].pop(target, None)
                if shuts:
                    found[entry.kind][target] = _origin(entry)
    return StillClosed(partitions=found["partition"], users=found["user"])


def still_blocked(of: StillClosed, blocked: Collection[str]) -> StillClosed:
    """The same without the users who may submit again in Slurm."""
    users = {name: origin for name, origin in of.users.items() if name in blocked}
    return StillClosed(partitions=of.partitions, users=users)


def _origin(entry: JournalEntry) -> LeftoverOrigin:
    return LeftoverOrigin(who=entry.person, at=entry.at, why=entry.reason)


def closed_text(row: Partition, of: StillClosed, now: float) -> str | None:
    """The text about a closed partition; None when there is nothing to report."""
    origin = of.partitions.get(row.name)
    if row.state == "UP" or (row.state not in _CLOSED and origin is None):
        return None
    if origin is None or row.state != "DOWN":
        starts = "it takes no new job" if row.state == "DRAIN" else "no job starts there"
        return f"{row.name} is {row.state}: {starts}"
    return f"{row.name} is DOWN{origin.words(now)}"


def still_closed_lines(cluster: Cluster, of: StillClosed, now: float, mono: float | None) -> list[str]:
    """One line for each target to open again. No partitions while the facts about them are stale."""
    found = []
    if mono is None or is_kind_fresh(cluster, "partitions", "slurm", mono):
        found += [one for row in cluster.partitions.values() if (one := closed_text(row, of, now)) is not None]
    return found + [f"{name} may submit no job{origin.words(now)}" for name, origin in of.users.items()]
