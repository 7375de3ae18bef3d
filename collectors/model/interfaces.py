"""The interfaces of collectors, transports, telemetry and writers, and the values that they exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from msgspec import Meta, Struct, field

from .cluster import Facts
from .plant import Attached
from .queue_limits import User
from .slurm import Job, JobDetail, Node, Partition, Reservation
from .telemetry import Alert, Gpu, Matcher, Series, Silence


class NewSilence(Struct, frozen=True, kw_only=True):
    """A silence to create: its matchers are explicit and match the named alerts and no other known alert."""

    alerts: tuple[str, ...]
    """Ids of its alerts."""
    matchers: tuple[Matcher, ...]
    seconds: int
    by: str
    comment: str


class Operation(Struct, frozen=True, kw_only=True):
    """One kind of request that a writer knows (`collectors.slurm.operations`, `collectors.alertmanager.requests`)."""


class Change(Struct, frozen=True, kw_only=True):
    """A change of the real cluster, complete and frozen: the input of a Writer."""

    action: str
    """Id of the action, for messages and the journal; nothing decides by it."""
    operation: Operation | None = None
    """The operation of the writer; None for the command of a site's own action."""
    kind: str
    """The kind of the targets: "node", "job", "alert", "silence", "partition", "reservation" or "user"."""
    targets: tuple[str, ...]
    reason: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Node to its own reason if it differs from `reason`: an existing reason is kept."""
    resume_after_s: int | None = None
    """drain: seconds after which Slurm resumes the nodes."""
    next_state: Mapping[str, str] = field(default_factory=dict)
    """reboot: node to the state in which it comes back, RESUME or DOWN; contains every target."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Every target to its new value, for actions that set one (a time limit, a partition, a comment)."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the change as a whole, by the action's word: a reservation's name, its end, its users."""
    arrays: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Id of an array to its tasks, where all that have not ended are targets: its id alone names exactly these."""
    silences: tuple[NewSilence, ...] = ()
    """take, silence: the silences to create; every target is in one of them."""


class Sent(Struct, frozen=True, kw_only=True):
    """The result of sending one command of a Change. Its effect is known only by reading back."""

    argv: tuple[str, ...]
    targets: tuple[str, ...]
    rc: int | None
    """None if unknown: the command was killed at its deadline."""
    err: str = ""
    out: tuple[str, ...] = ()
    """The output of a command of the site's own, line by line."""
    took_s: float = 0.0
    refused: Mapping[str, str] = field(default_factory=dict)
    """Target to Slurm's reason for refusing it, if it named the target."""
    fatal: bool = False
    """True if the next command would fail too: the controller, the network or the caller's rights are the cause."""


class Transport(Protocol):
    """Reads named objects on demand. Every call may block and raises SourceFault."""

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names as they are now; names that Slurm does not know are left out."""
        ...

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now; ended and unknown ones are left out."""
        ...

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs on these nodes now; an empty answer is no fault: nothing runs there."""
        ...

    def read_partitions(self, names: Sequence[str]) -> Mapping[str, Partition]:
        """The partitions of these names as they are now; unknown ones are left out."""
        ...

    def read_reservations(self, names: Sequence[str]) -> Mapping[str, Reservation]:
        """The reservations of these names as they are now; those that have ended are left out."""
        ...

    def read_jobs_in(self, reservation: str) -> Mapping[str, Job]:
        """The jobs that asked for this reservation, running and waiting."""
        ...

    def read_users(self, names: Sequence[str]) -> Mapping[str, User]:
        """The users of these names, with the limits that slurmdbd keeps for them; unknown ones are left out."""
        ...

    def job_detail(self, job: str) -> JobDetail:
        """Everything about one job."""
        ...


class AlertReader(Protocol):
    """Reads alerts and silences on demand. Every call may block and raises SourceFault."""

    def read_alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        """The alerts of these ids as they are now; resolved ones are left out."""
        ...

    def read_silences(self, ids: Sequence[str]) -> Mapping[str, Silence]:
        """The silences of these ids as they are now; expired ones are left out."""
        ...

    def read_silences_of(self, label: str, values: Sequence[str]) -> Mapping[str, Silence]:
        """The silences whose only condition is that this label has one of these values."""
        ...


class Telemetry(Protocol):
    """Reads telemetry on demand. Every call may block and raises SourceFault."""

    def gpus(self, nodes: Sequence[str]) -> Mapping[str, tuple[Gpu, ...]]:
        """Every GPU of these nodes at its last sample; nodes whose exporter is silent are left out."""
        ...

    def site_history(self, seconds: int) -> Sequence[Series]:
        """Charts of the whole site over the last `seconds`: its power ("W"), its mean utilisation ("%")."""
        ...

    def attached(self, node: str) -> Attached:
        """The ports and shared file systems of a node at their last sample; empty if no source has them."""
        ...

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Energy in joules that the GPUs of these nodes used since then (epoch); None if unknown."""
        ...

    def history(self, node: str, seconds: int) -> Sequence[Series]:
        """Charts of a node over the last `seconds`: utilisation, memory, temperature, power, one point a step."""
        ...


class Writer(Protocol):
    """Sends a Change. Only `console.gate.gate` may hold one."""

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """The exact commands that `send` runs, for the preview, the journal and the clipboard."""
        ...

    def send(self, change: Change) -> Sequence[Sent]:
        """Run them, in order, stopping when the controller (not a single target) fails. Never raises for a refusal."""
        ...


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a source may cost in a minute, pokes and failures included: a ceiling, not a plan."""

    calls: Annotated[float, Meta(ge=1, le=600)] = 30.0
    """Commands started. Slurm's own limit of a user (`rl_enable`) is a bucket of 30."""
    seconds: Annotated[float, Meta(gt=0, le=60)] = 6.0
    """Seconds that they run, between which it rests."""


class Collector(Protocol):
    """Reads one source. `collect` may block, is never called concurrently, and raises SourceFault."""

    name: str
    floor_s: float
    """Least seconds between two readings."""

    def collect(self) -> Facts:
        """Read the source once."""
        ...

    def close(self) -> None:
        """Release its resources."""
        ...
