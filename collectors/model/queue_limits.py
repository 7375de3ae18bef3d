"""What a waiting job's place depends on: priority factors, fair shares, limits; and users with their submit limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field


class Factors(Struct, frozen=True, kw_only=True):
    """The priority of one waiting job by factor (`sprio`)."""

    job: str
    priority: int | None = None
    points: Mapping[str, int] = field(default_factory=dict)
    """Factor (age, fair share, size, partition, QOS, TRES, association, site, nice) to its weighted points; factors
    without points are left out."""


class Share(Struct, frozen=True, gc=False, kw_only=True):
    """The fair share of an account, or of a user in it (`sshare`)."""

    account: str
    user: str | None = None
    """None for the account itself."""
    parent: str | None = None
    """The account above an account."""
    shares: int | None = None
    """The assigned shares; None if it inherits its parent's."""
    shares_norm: float | None = None
    """0..1: its part of its siblings' shares."""
    usage: int | None = None
    """TRES-seconds used, decaying with time."""
    usage_part: float | None = None
    """0..1: its part of its siblings' usage (the effective usage)."""
    factor: float | None = None
    """0..1: the factor in the priority of its jobs; with the fair tree Slurm gives accounts none."""


class Limit(Struct, frozen=True, gc=False, kw_only=True):
    """One configured limit and its use (`scontrol show assoc_mgr`)."""

    name: str
    """Slurm's name: GrpTRES, MaxTRESPU, GrpJobs, MaxJobs, MaxSubmitJobs, MaxWallPJ …"""
    tres: str = ""
    """The TRES in Slurm's words: gres/gpu, cpu, mem (MB), node; "" for jobs and for time (minutes)."""
    most: int
    used: int | None = None
    """None if Slurm counts no use: for limits of a single job."""
    qos: str | None = None
    """The QOS that sets it; None if the association does."""
    account: str | None = None
    """The account whose use counts, None for all accounts together."""
    user: str | None = None
    """The user whose use counts, None for all users together."""
    partition: str | None = None
    """The partition it applies to, None for all."""

    @property
    def share(self) -> float | None:
        """The part in use, 0..1 and above; None if use is not counted. A limit of 0 is used up."""
        if self.used is None:
            return None
        return self.used / self.most if self.most else 1.0


class Limits(Struct, frozen=True, kw_only=True):
    """All configured limits."""

    limits: tuple[Limit, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    """Account to its parent: a parent's limit also applies to its children."""


class Queueing(Protocol):
    """Reads what decides who waits, on demand. Every call may block and raises SourceFault."""

    def factors(self, job: str) -> Factors:
        """The priority factors of this job or task; "missing" if Slurm has none for it."""
        ...

    def shares(self) -> Sequence[Share]:
        """Fair shares of all accounts and users; "missing" without fair sharing."""
        ...

    def limits(self) -> Limits:
        """The configured limits; "missing" without accounting."""
        ...


class Association(Struct, frozen=True, gc=False, kw_only=True):
    """A user in one account (and, if the site says so, in one partition): limits are set on it."""

    account: str
    partition: str = ""
    """"" for every partition."""
    max_submit: int | None = None
    """Its own MaxSubmitJobs: jobs that may exist at once. None without a limit of its own."""


class User(Struct, frozen=True, gc=False, kw_only=True):
    """One user of one cluster."""

    name: str
    cluster: str
    """slurmdbd's name of the cluster: a change without it would apply to every cluster there."""
    associations: tuple[Association, ...] = ()
    enforced: bool | None = None
    """Whether slurmctld enforces limits (AccountingStorageEnforce); None if unknown."""

    @property
    def blocked(self) -> bool:
        """True if no job may be submitted in any of its accounts."""
        return bool(self.associations) and all(one.max_submit == 0 for one in self.associations)

    @property
    def state(self) -> str:
        """The state in a word, for display."""
        if self.blocked:
            return "blocked"
        shut = [one.account for one in self.associations if one.max_submit == 0]
        return f"blocked in {', '.join(dict.fromkeys(shut))}" if shut else "may submit"
