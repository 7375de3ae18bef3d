"""What is asked of the child that reads, and what it answers, in msgpack."""

from __future__ import annotations

from msgspec import Struct

from collectors.model import Diag, Job, JobDetail, Node, Partition, Reservation
from collectors.slurm.transport import TransportInfo

#: What `write_worker` says on stdout before its first change: who never said it has changed nothing.
SENDING = b"sending\n"
#: Kinds of faults that concern the controller: any other question would meet them as well.
CONTROLLER_FAULTS = frozenset({"refused", "timeout", "auth", "backoff"})


class Question(Struct, frozen=True):
    """Read all of a kind ("nodes", "jobs", "partitions", "reservations", "diag", "config", "about"),
    "detail", or "tasks": which tasks of arrays cannot be changed."""

    kind: str
    job: str = ""
    """detail: of which job."""
    action: str = ""
    """tasks: what is to be done to them."""
    targets: tuple[str, ...] = ()
    """tasks: ids of tasks of arrays."""


class WorkerConfig(Struct, frozen=True, kw_only=True):
    """What the controller's configuration says about who may do what."""

    slurm_user: str | None
    slurm_uid: int | None
    accounting: str | None
    """AccountingStorageType, None where there is none."""


class NativeReading(Struct, frozen=True, kw_only=True):
    """What was read: the field of that kind is set, or `fault` (kind, what, mend)."""

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
    """tasks: each that pyslurm cannot change, and why."""
    warnings: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    """The numbers of jobs and arrays of which rows could not be made, `?` where not even that could be read."""


class NativeResult(Struct, frozen=True, kw_only=True):
    """What came of one change, told by `write_worker` as the only line of JSON on its stdout."""

    refused: dict[str, str] = {}
    """Target to what Slurm said against it; certain."""
    said: tuple[str, ...] = ()
    """Errors that name no target, and what is in doubt."""
    doubt: bool = False
    """True when nobody can say whether some of it was done."""
