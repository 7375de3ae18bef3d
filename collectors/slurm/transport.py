"""The transports to Slurm (commands, slurmrestd, pyslurm): what each must offer, and as data what each cannot do.

A transport reads all rows of a kind (`reader`) and named objects (`Transport`), and has a writer (`TransportWriter`,
which only the gate opens). What a transport cannot do goes over the next one in the configuration's `fallback`, or is
refused with the reason in `LIMITS`. The command line can do everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from collectors.model import (
    Change,
    Facts,
    Job,
    Operation,
    Partition,
    Reservation,
    SourceFault,
    Transport,
    User,
    Writer,
)
from collectors.shared_readings import SharedCache

from . import operations

#: Kinds that a transport may read in full; each is a source of its own (`slurm.nodes`).
KINDS = ("nodes", "jobs", "partitions", "reservations", "diag", "rights", "topology", "control")
#: Kinds that only some sites have. Without a transport that can read one there is no source, and no fault.
OPTIONAL = frozenset({"topology", "control"})
#: Reads of named objects: the methods of `collectors.model.Transport`.
NAMED = ("read_nodes", "read_jobs", "read_jobs_on", "read_partitions", "read_reservations", "read_jobs_in",
         "read_users", "job_detail")  # fmt: skip
#: Operations sent by command only, and why; no other transport is used for them, even if it could.
_COMMANDS_ONLY: Mapping[type[Operation], str] = {
    operations.UpdateJob: "wacht changes jobs by scontrol alone",
    operations.JobCommand: "wacht does that to jobs by scontrol alone",
    operations.NotifyJob: "wacht does that to jobs by scontrol alone",
    operations.SignalJob: "wacht signals jobs by scancel alone",
    operations.UpdateNode: "wacht writes that of nodes by scontrol alone",
    operations.Reboot: "wacht does that by scontrol alone",
    operations.CancelReboot: "wacht does that by scontrol alone",
    operations.PowerNode: "wacht does that by scontrol alone",
    operations.PartitionState: "wacht sets the state of partitions by scontrol alone",
    operations.CreateReservation: "wacht makes and changes reservations by scontrol alone",
    operations.EndReservation: "wacht makes and changes reservations by scontrol alone",
    operations.DeleteReservation: "wacht makes and changes reservations by scontrol alone",
    operations.LimitUser: "wacht sets the limits of users by sacctmgr alone",
}
#: The operations that the other transports may support; all others are sent by command only.
_SHARED = frozenset({
    operations.DRAIN, operations.UNDRAIN, operations.RESUME, operations.DOWN, operations.REBOOT, operations.REQUEUE,
    operations.REQUEUE_HOLD, operations.HOLD, operations.USER_HOLD, operations.RELEASE, operations.CANCEL,
    operations.PRIORITY,
})  # fmt: skip


_BY_COMMAND = 'slurm = { …, fallback = ["cli"] } asks them'
_READ_BY_COMMAND = {
    "read_jobs_in": "which jobs asked for a reservation is read by squeue alone",
    "read_users": "the limits of users are read by sacctmgr alone",
}


class TransportLimit(Struct, frozen=True, kw_only=True):
    """Something that a transport cannot do, or not with every version."""

    transport: str
    what: str | Operation
    """A kind of KINDS, a method of NAMED, or an operation."""
    of: Literal["all", "tasks", "timed"] = "all"
    """Whether it concerns all of the operation, tasks of arrays and parts of heterogeneous jobs, or a drain with an
    end."""
    since: int | None = None
    """The first data parser that can do it (45 means v0.0.45); None: no parser can."""
    slurmdbd: bool = False
    """It can do it where slurmdbd keeps the accounts."""
    why: str
    """The reason for the user, shown after the transport's name: "slurmrestd has no call that …"."""


#: Every transport can do whatever is not listed here. Verified on running daemons: tests/lab/test_transports_lab.py.
LIMITS: tuple[TransportLimit, ...] = (
    TransportLimit(transport="rest", what="topology", why="slurmrestd has no call for the topology"),
    TransportLimit(transport="native", what="topology", why="pyslurm has no call for the topology"),
    TransportLimit(transport="native", what="control", why="pyslurm has no call that pings"),
    TransportLimit(transport="rest", what=operations.REBOOT, why="slurmrestd has no call that reboots"),
    TransportLimit(
        transport="rest", what=operations.REQUEUE, since=45, why="slurmrestd can requeue from v0.0.45 (26.05) on"
    ),
    TransportLimit(
        transport="rest", what=operations.REQUEUE_HOLD, since=45, why="slurmrestd can requeue from v0.0.45 (26.05) on"
    ),
    # Seen on 24.11.5 and 26.05.5: if the caller may not cancel that job, slurmctld stops answering all requests.
    TransportLimit(
        transport="rest",
        what=operations.CANCEL,
        slurmdbd=True,
        why="slurmrestd cancels with a call by which a slurmctld without slurmdbd hangs when it refuses",
    ),
    TransportLimit(
        transport="rest", what=operations.USER_HOLD, why="slurmrestd has no call for a hold that its owner can lift"
    ),
    *(
        TransportLimit(transport="rest", what=one, of="tasks", why="slurmrestd refuses to change a task of an array")
        for one in (operations.HOLD, operations.RELEASE, operations.PRIORITY)
    ),
    *(
        TransportLimit(transport=transport, what=what, why=why)
        for transport in ("rest", "native")
        for what, why in _READ_BY_COMMAND.items()
    ),
    TransportLimit(transport="native", what=operations.REBOOT, why="pyslurm has no call that reboots"),
    TransportLimit(transport="native", what=operations.USER_HOLD, why="pyslurm 25.11.2 crashes on a hold by the owner"),
    TransportLimit(transport="native", what=operations.DRAIN, of="timed", why="pyslurm cannot set ResumeAfter"),
    *(
        TransportLimit(
            transport="native",
            what=one,
            of="tasks",
            why="pyslurm changes tasks that wait only with all that wait of their array",
        )
        for one in (
            operations.REQUEUE,
            operations.REQUEUE_HOLD,
            operations.HOLD,
            operations.RELEASE,
            operations.CANCEL,
            operations.PRIORITY,
        )
    ),
)


class ServerInfo(Struct, frozen=True, kw_only=True):
    """What is known of the server behind a transport."""

    parser: int | None = None
    """The data parser in use (45 means v0.0.45); None if unknown, or if there is none."""
    slurmdbd: bool | None = None
    """Whether slurmdbd keeps the accounts; None if unknown."""


def unsupported(
    transport: str, what: str | Operation, server_info: ServerInfo | None = None, of: str = "all"
) -> str | None:
    """Why this transport cannot do that on this server, None if it can. With `server_info` None: why it can do it on no
    server. `of` as in `TransportLimit`."""
    if transport != "cli" and isinstance(what, operations.SlurmOperation) and what not in _SHARED:
        return _COMMANDS_ONLY.get(type(what), "wacht sends that by command alone")
    for limit in LIMITS:
        known = limit.transport == transport and limit.what == what and limit.of in {"all", of}
        if known and not _overcome(limit, server_info):
            return limit.why
    return None


def unsupported_targets(transport: str, change: Change, server_info: ServerInfo | None = None) -> dict[str, str]:
    """Target to why this transport cannot do that to it on this server, or with `server_info` None on any server."""
    operation = operations.operation_of(change)
    timed = change.resume_after_s is not None
    found = {}
    for target in change.targets:
        part = change.kind == "job" and ("_" in target or "+" in target)
        why = unsupported(transport, operation, server_info, "timed" if timed else "tasks" if part else "all")
        if why is not None:
            found[target] = why
    return found


def _overcome(limit: TransportLimit, server_info: ServerInfo | None) -> bool:
    """Whether a limit does not apply to this server."""
    if limit.slurmdbd:
        return server_info is None or server_info.slurmdbd is True
    return limit.since is not None and (
        server_info is None or (server_info.parser is not None and server_info.parser >= limit.since)
    )


class TransportInfo(Struct, frozen=True, kw_only=True, rename={"transport": "road"}):
    """What a transport reports when it is probed (`wacht doctor`)."""

    transport: str
    where: str
    """The path of scontrol, the address of slurmrestd, the library."""
    version: str | None = None
    """The version of Slurm at the other end."""
    parser: str | None = None
    """The data parser in use (v0.0.42), where there is one."""
    user: str | None = None
    """The user that Slurm sees."""


class TransportReader(Protocol):
    """Reads all rows of one kind repeatedly, always in the same thread.

    It remembers what it read: an unchanged row is the same object as before.
    """

    @property
    def shared_cache(self) -> SharedCache | None:
        """The cache that consoles share, None if nothing is shared. A reader with a cache runs its commands through
        `SharedCache.run`."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes of the last answer, None if unknown."""
        ...

    def read(self) -> Facts:
        """Read all rows now and return Facts with exactly this kind set. Raises SourceFault, also for an empty answer
        unless something proves that there are no rows (no job, no reservation)."""
        ...

    def close(self) -> None:
        """Stop waiting. Another thread may call this while `read` runs."""
        ...


@runtime_checkable
class ShownReader(Protocol):
    """A reader or source that refreshes the rows on the screen more often."""

    def show(self, ids: frozenset[str]) -> None:
        """Set the ids that are on the screen now. May be called by another thread."""
        ...


class SlurmTransport(Transport, Protocol):
    """One way to reach Slurm. Opening it starts no process and sends no request; every read may block and raises
    SourceFault."""

    @property
    def name(self) -> str:
        """cli, rest or native."""
        ...

    def unsupported(self, what: str | Operation, of: str = "all") -> str | None:
        """Why it cannot do that here (a kind, a method of NAMED or an operation), None if it can.

        It asks for the version if needed. Raises SourceFault if the version is not available.
        """
        ...

    def reader(self, kind: str) -> TransportReader:
        """A new reader of one kind. Only for kinds that this transport can read."""
        ...

    def about(self) -> TransportInfo:
        """Probe it and return what is at the other end. Raises SourceFault."""
        ...


class TransportWriter(Writer, Protocol):
    """Sends a Change over one transport. It lives in a module called `write` that only the gate's opener imports."""

    @property
    def name(self) -> str:
        """The transport's name."""
        ...

    def unsupported_targets(self, change: Change) -> Mapping[str, str]:
        """Target to the reason why this transport cannot change it; empty if it can change all. Raises SourceFault."""
        ...


class ReadsSmallKindsByName:
    """Reads partitions and reservations by name by reading all of them: there are few."""

    def reader(self, kind: str) -> TransportReader:
        """A new reader of one kind."""
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
        """Raises SourceFault: only the commands list the jobs of a reservation without reading every job in full."""
        raise SourceFault("missing", "which jobs asked for a reservation is read by squeue alone", _BY_COMMAND)

    def read_users(self, names: Sequence[str]) -> Mapping[str, User]:
        """Raises SourceFault: users are read by sacctmgr only."""
        raise SourceFault("missing", "the limits of users are read by sacctmgr alone", _BY_COMMAND)

    def _all(self, kind: str) -> Facts:
        reader = self.reader(kind)
        try:
            return reader.read()
        finally:
            reader.close()


def first_capable(transports: Sequence[SlurmTransport], kind: str) -> SlurmTransport | None:
    """The first transport that can read this kind on any server, None if there is none."""
    return next((transport for transport in transports if unsupported(transport.name, kind) is None), None)
