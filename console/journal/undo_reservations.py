"""Undo of reservations made or deleted, users blocked, and incidents declared: another action on other targets, or one
that restores what the journal kept. Pure; `console.journal.undo` turns it into a proposal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from collectors.model import Cluster, Reservation, User
from collectors.nodeset import names_in
from collectors.slurm.operations import EPOCH
from console.actions import reservations, user_actions
from console.actions.incident import active_incidents

from .entries import JournalEntry, row_before

#: Seconds allowed between the journal's time and the start that Slurm shows for "now".
_SENDING_S = 300
#: The actions handled here.
HANDLED = frozenset({"reserve", "unreserve", "block", "unblock", "incident"})


class ReservationUndo(Struct, frozen=True, kw_only=True):
    """The action to ask the gate for."""

    action: str
    targets: tuple[str, ...]
    reason: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    seconds: int | None = None
    notes: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    """Targets that need a second undo."""


def proposal(entry: JournalEntry, wanted: Sequence[str], cluster: Cluster, now: float) -> ReservationUndo | str:
    """The action that undoes these targets of an entry, or why there is none."""
    if entry.action == "reserve":
        return _delete_made(entry, cluster)
    if entry.action == "incident":
        return _ended(entry, cluster, now)
    if entry.action == "unreserve":
        return _create_again(entry, wanted, cluster, now)
    if entry.action == "unblock":
        return ReservationUndo(action="block", targets=tuple(wanted))
    users = {name: row for name in wanted if isinstance(row := row_before(entry, name), User)}
    if not users:
        return "the journal does not say which limits they had"
    return ReservationUndo(
        action="unblock", targets=tuple(users),
        settings={name: user_actions.limits_text(row) for name, row in users.items()},
    )  # fmt: skip


def _ended(entry: JournalEntry, cluster: Cluster, now: float) -> ReservationUndo | str:
    name = entry.settings.get("name", "")
    made = {(one.get("by"), one.get("comment")) for one in entry.silences}
    stands = [key for one in active_incidents(cluster, now) if one.name == name for key in one.silences]
    # Other people may have declared the same incident: keep their silences.
    own = tuple(key for key in stands if (cluster.silences[key].by, cluster.silences[key].comment) in made)
    return ReservationUndo(action="lift", targets=own) if own else "the incident is over"


def _delete_made(entry: JournalEntry, cluster: Cluster) -> ReservationUndo | str:
    name = entry.settings.get("name", "")
    row = cluster.reservations.get(name)
    if row is None:
        return f"reservation {name} does not stand any more" if name else "the journal does not say what it was called"
    if set(names_in(row.nodes)) != set(entry.targets):
        return f"{name} has other nodes now, or another is called so: look at it before you delete it (unreserve)"
    if not _matches(entry, row):
        return f"{name} is for others now, or another is called so: look at it before you delete it (unreserve)"
    return ReservationUndo(action="unreserve", targets=(name,))


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
            whys.append(f"{name} stands again")
        elif not isinstance(row, Reservation):
            whys.append(f"the journal does not say how {name} was")
        elif isinstance(found := reservations.recreate(row, now), str):
            whys.append(f"{name}: {found}")
        else:
            nodes, said, seconds, notes = found
            rest = tuple(wanted[at + 1 :])
            return ReservationUndo(action="reserve", targets=nodes, reason=row.comment, settings=said, seconds=seconds,
                        notes=tuple(notes), rest=rest)  # fmt: skip
    return "; ".join(whys) or "there is nothing to make again"
