"""Undo of reservations made or deleted, users blocked, and incidents declared: another action on other targets, or one
that restores what the journal kept. Pure; `console.journal.undo` turns it into a proposal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from collectors.alertmanager.requests import DECLARE_INCIDENT
from collectors.model import Cluster, Operation, Reservation, User
from collectors.nodeset import names_in
from collectors.slurm import operations
from collectors.slurm.operations import EPOCH
from console.actions import reservations, user_actions
from console.actions.incident import active_incidents

from .entries import JournalEntry, row_before

#: Seconds allowed between the journal's time and the start that Slurm shows for "now".
_SENDING_S = 300


class ReservationUndo(Struct, frozen=True, kw_only=True):
    """What to ask the gate for with the inverse of the action."""

    targets: tuple[str, ...]
    reason: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    seconds: int | None = None
    notes: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    """Targets that need a second undo."""


#: From the entry, the targets to undo, the cluster and the time (epoch): what undoes them, or why nothing does.
Proposal = Callable[[JournalEntry, Sequence[str], Cluster, float], "ReservationUndo | str"]


def _block_again(_: JournalEntry, wanted: Sequence[str], __: Cluster, ___: float) -> ReservationUndo | str:
    return ReservationUndo(targets=tuple(wanted))


def _limits_back(entry: JournalEntry, wanted: Sequence[str], _: Cluster, __: float) -> ReservationUndo | str:
    users = {name: row for name in wanted if isinstance(row := row_before(entry, name), User)}
    if not users:
        return "the journal does not say which limits they had"
    settings = {name: user_actions.limits_text(row) for name, row in users.items()}
    return ReservationUndo(targets=tuple(users), settings=settings)


def _ended(entry: JournalEntry, _: Sequence[str], cluster: Cluster, now: float) -> ReservationUndo | str:
    name = entry.settings.get("name", "")
    made = {(one.get("by"), one.get("comment")) for one in entry.silences}
    stands = [key for one in active_incidents(cluster, now) if one.name == name for key in one.silences]
    # Other people may have declared the same incident: keep their silences.
    own = tuple(key for key in stands if (cluster.silences[key].by, cluster.silences[key].comment) in made)
    return ReservationUndo(targets=own) if own else "the incident is over"


def _delete_made(entry: JournalEntry, _: Sequence[str], cluster: Cluster, __: float) -> ReservationUndo | str:
    name = entry.settings.get("name", "")
    row = cluster.reservations.get(name)
    if row is None:
        return f"reservation {name} does not exist any more" if name else "the journal does not say what it was called"
    if set(names_in(row.nodes)) != set(entry.targets):
        return f"{name} has other nodes now, or another is called so: look at it before you delete it (unreserve)"
    if not _matches(entry, row):
        return f"{name} is for others now, or another is called so: look at it before you delete it (unreserve)"
    return ReservationUndo(targets=(name,))


def _matches(entry: JournalEntry, row: Reservation) -> bool:
    """Whether the reservation has the users and the start that the journal recorded, as far as it did. Its end may
    differ, and an undo may have created it again.
    """
    said = entry.settings
    for key, text in (("users", row.users), ("accounts", row.accounts)):
        if key in said and set(said[key].split(",")) != set((text or "").split(",")):
            return False
    start = said.get("start", "")
    begins = entry.at if start == "now" else float(start) if EPOCH.fullmatch(start) else None
    if begins is None or row.starts is None or not said.get("for", "").isdecimal():
        return True
    return begins - _SENDING_S <= row.starts <= begins + int(said["for"])


def _create_again(entry: JournalEntry, wanted: Sequence[str], cluster: Cluster, now: float) -> ReservationUndo | str:
    whys = []
    for at, name in enumerate(wanted):
        row = row_before(entry, name)
        if name in cluster.reservations:
            whys.append(f"{name} exists again")
        elif not isinstance(row, Reservation):
            whys.append(f"the journal does not say how {name} was")
        elif isinstance(found := reservations.recreate(row, now), str):
            whys.append(f"{name}: {found}")
        else:
            nodes, said, seconds, notes = found
            rest = tuple(wanted[at + 1 :])
            return ReservationUndo(targets=nodes, reason=row.comment, settings=said, seconds=seconds,
                        notes=tuple(notes), rest=rest)  # fmt: skip
    return "; ".join(whys) or "there is nothing to make again"


#: Operation to what undoes it, where that has other targets or needs what the journal kept.
PROPOSALS: Mapping[Operation | None, Proposal] = {
    operations.RESERVE: _delete_made,
    operations.UNRESERVE: _create_again,
    operations.BLOCK_USER: _limits_back,
    operations.UNBLOCK_USER: _block_again,
    DECLARE_INCIDENT: _ended,
}
