"""What takes back the making and deleting of reservations, the blocking of users and a declared incident: another
action on other targets, or one that gives back what the journal kept. Pure; `console.journal.undo` makes the proposal
of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from collectors.model import Cluster, Reservation, User
from collectors.nodeset import names_in
from collectors.slurm.operations import EPOCH
from console.actions import reservations, user_actions
from console.actions.incident import active_incidents

from .entries import JournalEntry, was

#: Seconds between the word in the journal and what Slurm says began "now".
_SENDING_S = 300
#: The actions that are taken back here.
BACK = frozenset({"reserve", "unreserve", "block", "unblock", "incident"})


class Back(Struct, frozen=True, kw_only=True):
    """What to ask the gate for."""

    action: str
    targets: tuple[str, ...]
    reason: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    seconds: int | None = None
    notes: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    """Targets that take a second undo."""


def of(entry: JournalEntry, wanted: Sequence[str], cluster: Cluster, now: float) -> Back | str:
    """What takes these targets of an entry back, or why nothing does."""
    if entry.action == "reserve":
        return _unmade(entry, cluster)
    if entry.action == "incident":
        return _ended(entry, cluster, now)
    if entry.action == "unreserve":
        return _made_again(entry, wanted, cluster, now)
    if entry.action == "unblock":
        return Back(action="block", targets=tuple(wanted))
    users = {name: row for name in wanted if isinstance(row := was(entry, name), User)}
    if not users:
        return "the journal does not say which limits they had"
    return Back(
        action="unblock", targets=tuple(users),
        settings={name: user_actions.limits_text(row) for name, row in users.items()},
    )  # fmt: skip


def _ended(entry: JournalEntry, cluster: Cluster, now: float) -> Back | str:
    name = entry.settings.get("name", "")
    made = {(one.get("by"), one.get("comment")) for one in entry.silences}
    stands = [key for one in active_incidents(cluster, now) if one.name == name for key in one.silences]
    # Others may have declared it too, or again: theirs stands.
    own = tuple(key for key in stands if (cluster.silences[key].by, cluster.silences[key].comment) in made)
    return Back(action="lift", targets=own) if own else "the incident is over"


def _unmade(entry: JournalEntry, cluster: Cluster) -> Back | str:
    name = entry.settings.get("name", "")
    row = cluster.reservations.get(name)
    if row is None:
        return f"reservation {name} does not stand any more" if name else "the journal does not say what it was called"
    if set(names_in(row.nodes)) != set(entry.targets):
        return f"{name} has other nodes now, or another is called so: look at it before you delete it (unreserve)"
    if not _same(entry, row):
        return f"{name} is for others now, or another is called so: look at it before you delete it (unreserve)"
    return Back(action="unreserve", targets=(name,))


def _same(entry: JournalEntry, row: Reservation) -> bool:
    """Whether it is for whom the journal says, and begins in its time (an undo may have made it again), as far as it
    says so; it may have got another end."""
    said = entry.settings
    for key, text in (("users", row.users), ("accounts", row.accounts)):
        if key in said and set(said[key].split(",")) != set((text or "").split(",")):
            return False
    start = said.get("start", "")
    begins = entry.at if start == "now" else float(start) if EPOCH.fullmatch(start) else None
    if begins is None or row.starts is None or not said.get("for", "").isdecimal():
        return True
    return begins - _SENDING_S <= row.starts <= begins + int(said["for"])


def _made_again(entry: JournalEntry, wanted: Sequence[str], cluster: Cluster, now: float) -> Back | str:
    whys = []
    for at, name in enumerate(wanted):
        row = was(entry, name)
        if name in cluster.reservations:
            whys.append(f"{name} stands again")
        elif not isinstance(row, Reservation):
            whys.append(f"the journal does not say how {name} was")
        elif isinstance(found := reservations.recreate(row, now), str):
            whys.append(f"{name}: {found}")
        else:
            nodes, said, seconds, notes = found
            rest = tuple(wanted[at + 1 :])
            return Back(action="reserve", targets=nodes, reason=row.comment, settings=said, seconds=seconds,
                        notes=tuple(notes), rest=rest)  # fmt: skip
    return "; ".join(whys) or "there is nothing to make again"
