"""The messages to and from the child that reads, in msgpack."""

from __future__ import annotations

from msgspec import Struct

from collectors.model import Diag, Job, JobDetail, Node, Partition, Reservation
from collectors.slurm.transport import TransportInfo

#: What `write_worker` prints before its first change: without it nothing was changed.
SENDING = b"sending\n"
#: Kinds of faults of the controller: any other question would meet them as well.
CONTROLLER_FAULTS = frozenset({"refused", "timeout", "auth", "backoff"})


class Question(Struct, frozen=True):
    """Read all rows of a kind ("nodes", "jobs", "partitions", "reservations", "diag", "config", "about"), "detail", or
    "tasks": which array tasks cannot be changed."""

    kind: str
    job: str = ""
    """detail: the job's id."""
    verb: str = ""
    """tasks: the word of scontrol or scancel that the change would use (requests.verb)."""
    targets: tuple[str, ...] = ()
    """tasks: the ids of array tasks."""


class WorkerConfig(Struct, frozen=True, kw_only=True):
    """The controller's configuration, as far as rights depend on it."""

    slurm_user: str | None
    slurm_uid: int | None
    accounting: str | None
    """AccountingStorageType, None without one."""


class NativeReading(Struct, frozen=True, kw_only=True):
    """The answer: the field of that kind is set, or `fault` (kind, what, mend)."""

    fault: tuple[str, str, str] | None = None
    nodes: tuple[Node, ...] | None = None
    jobs: tuple[Job, ...] | None = None
    partitions: tuple[Partition, ...] | None = None
    reservations: tuple[Reservation, ...] | None = None
    diag: Diag | None = None
    config: WorkerConfig | None = None
    about: TransportInfo | None = None
    detail: JobDetail | None = None
    unable: dict[str, str] | None = None
    """tasks: each task that pyslurm cannot change, to the reason."""
    warnings: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    """The numbers of jobs and arrays with unreadable rows, `?` if even the number is unreadable."""


class NativeResult(Struct, frozen=True, kw_only=True):
    """The result of one change: the only line of JSON on `write_worker`'s stdout."""

    refused: dict[str, str] = {}
    """Target to Slurm's error; certain."""
    said: tuple[str, ...] = ()
    """Errors without a target, and what is in doubt."""
    doubt: bool = False
    """True if it is unknown whether some of it was done."""
