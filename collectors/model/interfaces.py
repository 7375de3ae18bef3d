"""What a collector, a transport, a telemetry and a writer must offer, and what they take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from msgspec import Meta, Struct, field

from .cluster import Facts
from .plant import Attached
from .slurm import Job, JobDetail, Node, Partition, Reservation
from .telemetry import Alert, Gpu, Matcher, Series, Silence
from .users import User


class NewSilence(Struct, frozen=True, kw_only=True):
    """A silence to be made: its matchers are explicit, and meet the named alerts and no other that is known."""

    alerts: tuple[str, ...]
    """Ids of the alerts it is for."""
    matchers: tuple[Matcher, ...]
    seconds: int
    by: str
    comment: str


class Change(Struct, frozen=True, kw_only=True):
    """A change of the real machine, complete and frozen: what a Writer is asked to do."""

    action: str
    """Key of the action, as in console/actions/registry.py: drain, undrain, resume, down, reboot, requeue, requeuehold,
    hold, uhold, release, cancel, priority; take and silence of alerts, lift of silences."""
    kind: str
    """What the targets are: "node", "job", "alert", "silence", "partition", "reservation" or "user"."""
    targets: tuple[str, ...]
    reason: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Node to its own reason, where it differs from `reason`: what stood there before is kept."""
    resume_after_s: int | None = None
    """drain: Slurm puts the nodes back by itself after so many seconds."""
    next_state: Mapping[str, str] = field(default_factory=dict)
    """reboot: node to the state in which it comes back, RESUME or DOWN; every target stands in it."""
    priorities: Mapping[str, int] = field(default_factory=dict)
    """priority: job to its new priority; every target stands in it."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What each target is given where the action sets something (a time limit, a partition, a comment); every target
    stands in it."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What is said once for all of it, by the word of the action: a reservation's name, its end, its users."""
    silences: tuple[NewSilence, ...] = ()
    """take, silence: what to make; every target is in one of them."""


class Sent(Struct, frozen=True, kw_only=True):
    """What came of sending one command of a Change. What it *did* is known only by reading back."""

    argv: tuple[str, ...]
    targets: tuple[str, ...]
    rc: int | None
    """None when it is not known: the command was killed at its deadline."""
    err: str = ""
    took_s: float = 0.0
    refused: Mapping[str, str] = field(default_factory=dict)
    """Target to what Slurm said against it, where it named the target."""
    fatal: bool = False
    """True when the next command would fare alike: the controller, the network or the caller's rights are at fault."""


class Transport(Protocol):
    """Reads of named things, on demand. All may block; all raise SourceFault."""

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of that name as they are now; a name that Slurm does not know is left out."""
        ...

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now; ended and unknown ones are left out."""
        ...

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs that hold one of these nodes now; an empty answer is no fault: nothing runs there."""
        ...

    def read_partitions(self, names: Sequence[str]) -> Mapping[str, Partition]:
        """The partitions of these names as they are now; unknown ones are left out."""
        ...

    def read_reservations(self, names: Sequence[str]) -> Mapping[str, Reservation]:
        """The reservations of these names as they are now; those that are over are left out."""
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
    """Reads of alerts and silences, on demand. All may block; all raise SourceFault."""

    def read_alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        """The alerts of these ids as they are now; one that is over is left out."""
        ...

    def read_silences(self, ids: Sequence[str]) -> Mapping[str, Silence]:
        """The silences of these ids as they are now; an expired one is left out."""
        ...

    def read_silences_of(self, label: str, values: Sequence[str]) -> Mapping[str, Silence]:
        """The silences whose only condition is that this label has one of these values."""
        ...


class Telemetry(Protocol):
    """Telemetry on demand. All may block; all raise SourceFault."""

    def gpus(self, nodes: Sequence[str]) -> Mapping[str, tuple[Gpu, ...]]:
        """Every GPU of these nodes as last sampled; a node whose exporter is silent is left out."""
        ...

    def site_history(self, seconds: int) -> Sequence[Series]:
        """Charts of the whole site over the last so many seconds: its power ("W"), its mean utilisation ("%")."""
        ...

    def attached(self, node: str) -> Attached:
        """The ports and shared file systems of a node as last sampled; nothing where nobody tells of them."""
        ...

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Joules that the GPUs of these nodes have used since then (epoch); None where that is not known."""
        ...

    def history(self, node: str, seconds: int) -> Sequence[Series]:
        """Charts of a node over the last so many seconds: utilisation, memory, temperature, power, one point a step."""
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
    """Reads one source. `collect` may block, is never called twice at once, and raises SourceFault."""

    name: str
    floor_s: float
    """Least seconds between two readings."""

    def collect(self) -> Facts:
        """Read the source once."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...
