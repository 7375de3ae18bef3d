"""Who may hold how much, and what a waiting job's place is made of: priority factors, fair shares, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field


class Factors(Struct, frozen=True, kw_only=True):
    """What the priority of one waiting job is made of (`sprio`)."""

    job: str
    priority: int | None = None
    points: Mapping[str, int] = field(default_factory=dict)
    """Factor (age, fair share, size, partition, QOS, TRES, association, site, nice) to the points that it gives, as the
    site weighs them; those that give none are left out."""


class Share(Struct, frozen=True, gc=False, kw_only=True):
    """The fair share of an account, or of a user in it (`sshare`)."""

    account: str
    user: str | None = None
    """None: of the account."""
    parent: str | None = None
    """The account above an account."""
    shares: int | None = None
    """As they were given out; None where it takes those of its parent."""
    shares_norm: float | None = None
    """0..1: its part of what its siblings have together."""
    usage: int | None = None
    """TRES-seconds that were used, which decay with time."""
    usage_part: float | None = None
    """0..1: its part of what its siblings used together (the effective usage)."""
    factor: float | None = None
    """0..1: what counts for the priority of its jobs; Slurm gives accounts none where it uses the fair tree."""


class Limit(Struct, frozen=True, gc=False, kw_only=True):
    """One limit that is set, and how much of it is in use (`scontrol show assoc_mgr`)."""

    name: str
    """Slurm's word: GrpTRES, MaxTRESPU, GrpJobs, MaxJobs, MaxSubmitJobs, MaxWallPJ …"""
    tres: str = ""
    """Of what, as Slurm names it: gres/gpu, cpu, mem (MB), node; "" for jobs and for time (minutes)."""
    most: int
    used: int | None = None
    """None where Slurm counts no use: for what limits a single job."""
    qos: str | None = None
    """The QOS that sets it; None: the association does."""
    account: str | None = None
    """The account whose use counts, None where it is that of all accounts."""
    user: str | None = None
    """The user whose use counts, None where it is that of all users."""
    partition: str | None = None
    """The partition that it is for, None where it is for all."""

    @property
    def share(self) -> float | None:
        """How much of it is in use, 0..1 and above; None where that is not counted. A limit of nothing is used up."""
        if self.used is None:
            return None
        return self.used / self.most if self.most else 1.0


class Limits(Struct, frozen=True, kw_only=True):
    """All limits that are set."""

    limits: tuple[Limit, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    """Account to the account above it: a limit above counts below."""


class Queueing(Protocol):
    """What decides who waits, on demand. All may block; all raise SourceFault."""

    def factors(self, job: str) -> Factors:
        """What the priority of this job, or task, is made of; "missing" where Slurm knows no factors of it."""
        ...

    def shares(self) -> Sequence[Share]:
        """Fair shares of all accounts and users; "missing" where Slurm does not share fairly."""
        ...

    def limits(self) -> Limits:
        """The limits that are set; "missing" where nobody keeps accounts."""
        ...
