"""The past: jobs that ended, node events, and a job's account. Read on demand, never polled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class PastJob(Struct, frozen=True, gc=False, kw_only=True):
    """One run of a job, as slurmdbd has it. A requeued job has several runs, all with the same id."""

    id: str
    name: str
    user: str | None = None
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    state: str
    """Slurm's long state word (COMPLETED, NODE_FAIL, OUT_OF_MEMORY)."""
    cancelled_by: str | None = None
    """Who cancelled it: "uid 1001", or a name if it is known."""
    exit_code: int | None = None
    signal: int | None = None
    """The signal that ended it, 0 for none."""
    derived_code: int | None = None
    """The highest exit code of its steps."""
    derived_signal: int | None = None
    submitted: int | None = None
    started: int | None = None
    ended: int | None = None
    """None until it ends."""
    time_limit_s: int | None = None
    nodes: str | None = None
    """Folded node set."""
    node_count: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    failed_node: str | None = None
    """The node whose failure ended it, if Slurm reports it (from 24.11 on)."""

    @property
    def ran_s(self) -> int | None:
        """Seconds that it ran, None if it never started or has not ended."""
        return None if self.started is None or self.ended is None else max(0, self.ended - self.started)


class Step(Struct, frozen=True, gc=False, kw_only=True):
    """One step of a job: "batch" is its script, "extern" what was started outside Slurm, numbers are its sruns."""

    id: str
    name: str
    state: str
    exit_code: int | None = None
    signal: int | None = None
    started: int | None = None
    ended: int | None = None
    nodes: str | None = None
    tasks: int | None = None
    cpu_s: float | None = None
    """CPU time in seconds."""
    memory_mb: float | None = None
    """Peak physical memory of one of its tasks."""
    memory_node: str | None = None
    """The node of that task."""


class NodeEvent(Struct, frozen=True, gc=False, kw_only=True):
    """A period in which a node was out of service."""

    node: str
    state: str
    """Slurm's word (DOWN, DRAIN, DOWN+DRAIN)."""
    reason: str | None = None
    by: str | None = None
    began: int
    ended: int | None = None
    """None while it lasts."""


class JobAccount(Struct, frozen=True, kw_only=True):
    """A job in accounting: its last run, its earlier runs, its steps."""

    run: PastJob
    earlier: tuple[PastJob, ...] = ()
    """Runs that ended in a requeue, newest first."""
    steps: tuple[Step, ...] = ()
    cpu_s: float | None = None
    """CPU time in seconds; None if it was not measured."""
    memory_mb: float | None = None
    """Peak memory of one step on all its nodes together."""
    memory_alloc_mb: float | None = None
    """Memory allocated on all its nodes together."""
    gpu_util_pct: float | None = None
    """Mean GPU utilisation, as Slurm counted it (TRESUsageInAve)."""
    working_dir: str | None = None
    stdout: str | None = None
    """The file that its output went to."""
    events: tuple[NodeEvent, ...] | None = None
    """Events of its nodes while it ran; None if they are unknown."""
    notes: tuple[str, ...] = ()
    """What is missing from the account, and why."""


class LogTail(Struct, frozen=True, kw_only=True):
    """The end of a file that a job wrote."""

    path: str
    size: int
    """Bytes of the whole file."""
    changed_at: int
    begins_at: int
    """Offset in bytes at which `lines` begin; 0 means all of the file."""
    lines: tuple[str, ...]


class AccountingReader(Protocol):
    """Reads the past on demand. Every call may block until the source's deadline and raises SourceFault: "missing" if
    this site keeps no accounting."""

    def jobs_of_node(self, node: str, since: int, most: int) -> Sequence[PastJob]:
        """The runs that ended on a node since then (epoch), newest first, `most` at most."""
        ...

    def events_of_node(self, node: str, since: int) -> Sequence[NodeEvent]:
        """The periods in which a node was out of service since then, newest first."""
        ...

    def account_of_job(self, job: str) -> JobAccount:
        """The account of a job, ended or not."""
        ...

    def log_tail(self, path: str, user: str | None) -> LogTail:
        """The end of the file that a job of this user wrote its output to, if the caller may read it."""
        ...
