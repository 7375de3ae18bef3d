"""The roads to Slurm: its commands, slurmrestd, and pyslurm. What each must offer, and what it cannot do, as data.

A road reads all of a kind (`reader`), reads what is named (`Transport`), and has a writer beside it (`RoadWriter`,
which only the gate opens). What a road cannot do goes over the next one that the configuration names in `fallback`,
or is refused with the reason that stands in `LIMITS`. The command line can do everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from collectors.model import Change, Facts, Job, Partition, Reservation, SourceFault, Transport, User, Writer
from collectors.shared_readings import Shelf

#: What a road may read all of; each is a source of its own (`slurm.nodes`).
KINDS = ("nodes", "jobs", "partitions", "reservations", "diag", "rights", "topology", "control")
#: Of these what only some sites have: over roads that cannot read it there is no source, and no fault.
OPTIONAL = frozenset({"topology", "control"})
#: What it may read of what is named: the methods of `collectors.model.Transport`.
NAMED = ("read_nodes", "read_jobs", "read_jobs_on", "read_partitions", "read_reservations", "read_jobs_in",
         "read_users", "job_detail")  # fmt: skip
#: What goes by command alone, and by which: of these no other road is asked, whatever it could.
_ALONE = {
    **dict.fromkeys(("timelimit", "jobpartition", "qos", "nice", "exclude"), "wacht changes jobs by scontrol alone"),
    **dict.fromkeys(("suspend", "unsuspend", "notify"), "wacht does that to jobs by scontrol alone"),
    "signal": "wacht signals jobs by scancel alone",
    **dict.fromkeys(("comment", "ticket", "features"), "wacht writes that of nodes by scontrol alone"),
    **dict.fromkeys(("reboot-now", "cancel_reboot", "powerdown", "powerup"), "wacht does that by scontrol alone"),
    **dict.fromkeys(("partition-down", "partition-up"), "wacht sets the state of partitions by scontrol alone"),
    **dict.fromkeys(("reserve", "extend", "unreserve"), "wacht makes and changes reservations by scontrol alone"),
    **dict.fromkeys(("block", "unblock"), "wacht sets the limits of users by sacctmgr alone"),
}
#: What it may change; `TASKS` stands for any of them on a task of an array, or on a part of a heterogeneous job.
ACTIONS = ("drain", "undrain", "resume", "down", "reboot", "requeue", "requeuehold", "hold", "uhold", "release",
           "cancel", "priority", *_ALONE)  # fmt: skip
TASKS = "tasks"


_BY_COMMAND = 'slurm = { …, fallback = ["cli"] } asks them'
_COMMANDS = {
    **_ALONE,
    "read_jobs_in": "which jobs asked for a reservation is read by squeue alone",
    "read_users": "the limits of users are read by sacctmgr alone",
}


class TransportLimit(Struct, frozen=True, kw_only=True):
    """Something that a road cannot do, or not with every version."""

    road: str
    what: str
    """A kind of KINDS, a method of NAMED, an action, "ACTION tasks", or a variant of an action ("drain for a time")."""
    since: int | None = None
    """The data parser (45 of v0.0.45) from which on it can; None is never."""
    slurmdbd: bool = False
    """It can after all where slurmdbd keeps the accounts."""
    why: str
    """Said to a person, after the road's name: "slurmrestd has no call that …"."""


#: Everything that is not in here, every road can do. Tried on living daemons: tests/lab/test_roads_lab.py.
LIMITS: tuple[TransportLimit, ...] = (
    TransportLimit(road="rest", what="topology", why="slurmrestd has no call for the topology"),
    TransportLimit(road="native", what="topology", why="pyslurm has no call for the topology"),
    TransportLimit(road="native", what="control", why="pyslurm has no call that pings"),
    TransportLimit(road="rest", what="reboot", why="slurmrestd has no call that reboots"),
    TransportLimit(road="rest", what="requeue", since=45, why="slurmrestd can requeue from v0.0.45 (26.05) on"),
    TransportLimit(road="rest", what="requeuehold", since=45, why="slurmrestd can requeue from v0.0.45 (26.05) on"),
    # Seen on 24.11.5 and 26.05.5: where the caller may not cancel that job, slurmctld answers nobody any more.
    TransportLimit(
        road="rest",
        what="cancel",
        slurmdbd=True,
        why="slurmrestd cancels with a call by which a slurmctld without slurmdbd hangs when it refuses",
    ),
    TransportLimit(road="rest", what="uhold", why="slurmrestd has no call for a hold that its owner can lift"),
    *(
        TransportLimit(road="rest", what=f"{action} {TASKS}", why="slurmrestd refuses to change a task of an array")
        for action in ("hold", "release", "priority")
    ),
    *(TransportLimit(road=road, what=what, why=why) for road in ("rest", "native") for what, why in _COMMANDS.items()),
    TransportLimit(road="native", what="reboot", why="pyslurm has no call that reboots"),
    TransportLimit(road="native", what="uhold", why="pyslurm 25.11.2 crashes on a hold by the owner"),
    TransportLimit(road="native", what="drain for a time", why="pyslurm cannot set ResumeAfter"),
    *(
        TransportLimit(
            road="native",
            what=f"{action} {TASKS}",
            why="pyslurm changes tasks that wait only with all that wait of their array",
        )
        for action in ("requeue", "requeuehold", "hold", "release", "cancel", "priority")
    ),
)


class There(Struct, frozen=True, kw_only=True):
    """What a road is known to lead to."""

    parser: int | None = None
    """The data parser in use (45 of v0.0.45); None where that is not known, or there is none."""
    slurmdbd: bool | None = None
    """Whether slurmdbd keeps the accounts."""


def unsupported(road: str, what: str, there: There | None = None) -> str | None:
    """Why this road cannot do that there, None where it can. `there` None: why it can nowhere."""
    for limit in LIMITS:
        if limit.road == road and limit.what == what and not _overcome(limit, there):
            return limit.why
    return None


def _overcome(limit: TransportLimit, there: There | None) -> bool:
    """Whether a limit does not hold there."""
    if limit.slurmdbd:
        return there is None or there.slurmdbd is True
    return limit.since is not None and (there is None or (there.parser is not None and there.parser >= limit.since))


class About(Struct, frozen=True, kw_only=True):
    """What a road says of itself when it is tried (`wacht doctor`)."""

    road: str
    where: str
    """The path of scontrol, the address of slurmrestd, the library."""
    version: str | None = None
    """Of Slurm at the other end."""
    parser: str | None = None
    """The data parser in use (v0.0.42), where there is one."""
    user: str | None = None
    """Whom Slurm sees."""


class TransportReader(Protocol):
    """Reads all of one kind, again and again, always in the same thread.

    It remembers what it read: a row that did not change is the same object as before.
    """

    @property
    def shelf(self) -> Shelf | None:
        """Where consoles share what was read; None shares nothing. Who has one calls `shelf.run` for its commands."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes of the last answer, None where that cannot be said."""
        ...

    def read(self) -> Facts:
        """Read all of it now, with exactly this kind set in the Facts. Raises SourceFault; an empty answer is one,
        unless something proves that there is truly nothing (no job, no reservation)."""
        ...

    def close(self) -> None:
        """Wait for nothing any more; may be called by another thread while `read` runs."""
        ...


@runtime_checkable
class ShownReader(Protocol):
    """A reader or source that reads more often what a screen shows."""

    def show(self, ids: frozenset[str]) -> None:
        """These are on the screen now. May be called by another thread."""
        ...


class Road(Transport, Protocol):
    """One way to Slurm. Opening it starts nothing and asks nothing; every read may block and raises SourceFault."""

    @property
    def name(self) -> str:
        """cli, rest or native."""
        ...

    def unsupported(self, what: str) -> str | None:
        """Why it cannot do that here (a kind, a method of NAMED or an action), None where it can.

        Asks for the version where it must. Raises SourceFault where that is not told.
        """
        ...

    def reader(self, kind: str) -> TransportReader:
        """A new reader of all of one kind; only for kinds that it can read."""
        ...

    def about(self) -> About:
        """Try it: what is at its other end. Raises SourceFault."""
        ...


class RoadWriter(Writer, Protocol):
    """Sends a Change over one road. Stands in a module called `write`, which only the gate's own opener imports."""

    @property
    def name(self) -> str:
        """Of the road."""
        ...

    def unsupported_targets(self, change: Change) -> Mapping[str, str]:
        """Target to why this road cannot do that to it; empty where it can do all of it. Raises SourceFault."""
        ...


class FewByName:
    """Partitions and reservations by name, for a road: there are few, so all of them are read."""

    def reader(self, kind: str) -> TransportReader:
        """A new reader of all of one kind."""
        raise NotImplementedError

    def read_partitions(self, names: Sequence[str]) -> Mapping[str, Partition]:
        """The partitions of these names as they are now. Raises SourceFault."""
        rows = self._all("partitions").partitions or {}
        return {name: rows[name] for name in names if name in rows}

    def read_reservations(self, names: Sequence[str]) -> Mapping[str, Reservation]:
        """The reservations of these names as they are now. Raises SourceFault."""
        rows = self._all("reservations").reservations or {}
        return {name: rows[name] for name in names if name in rows}

    def read_jobs_in(self, reservation: str) -> Mapping[str, Job]:
        """Raises SourceFault: only the commands tell which jobs asked for a reservation without listing all in full."""
        raise SourceFault("missing", "which jobs asked for a reservation is read by squeue alone", _BY_COMMAND)

    def read_users(self, names: Sequence[str]) -> Mapping[str, User]:
        """Raises SourceFault: only sacctmgr is asked for users."""
        raise SourceFault("missing", "the limits of users are read by sacctmgr alone", _BY_COMMAND)

    def _all(self, kind: str) -> Facts:
        reader = self.reader(kind)
        try:
            return reader.read()
        finally:
            reader.close()


def first_that_can(roads: Sequence[Road], kind: str) -> Road | None:
    """The road over which all of a kind is read: the first that can somewhere."""
    return next((road for road in roads if unsupported(road.name, kind) is None), None)
