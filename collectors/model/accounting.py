"""What has been: jobs that ended, what happened to nodes, and what a job came to. Asked for on demand, never polled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class PastJob(Struct, frozen=True, gc=False, kw_only=True):
    """One run of a job, as the accounts have it. A job that was requeued has several, all with the same id."""

    id: str
    name: str
    user: str | None = None
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    state: str
    """Slurm's long word (COMPLETED, NODE_FAIL, OUT_OF_MEMORY)."""
    cancelled_by: str | None = None
    """Who cancelled it: "uid 1001", or a name where that is known."""
    exit_code: int | None = None
    signal: int | None = None
    """The signal that ended it, 0 for none."""
    derived_code: int | None = None
    """The highest exit code of its steps."""
    derived_signal: int | None = None
    submitted: int | None = None
    started: int | None = None
    ended: int | None = None
    """None while it has not ended."""
    time_limit_s: int | None = None
    nodes: str | None = None
    """Folded node set."""
    node_count: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    failed_node: str | None = None
    """The node whose failure ended it, where Slurm tells (from 24.11 on)."""

    @property
    def ran_s(self) -> int | None:
        """Seconds that it ran, None where it never started or has not ended."""
        return None if self.started is None or self.ended is None else max(0, self.ended - self.started)


class Step(Struct, frozen=True, gc=False, kw_only=True):
    """One step of a job: "batch" is its script, "extern" what was started beside it, numbers are its sruns."""

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
    """Processor time that it used."""
    memory_mb: float | None = None
    """Most that one of its tasks held, of physical memory."""
    memory_node: str | None = None
    """Where that task ran."""


class NodeEvent(Struct, frozen=True, gc=False, kw_only=True):
    """A node was out of service for a time."""

    node: str
    state: str
    """As Slurm writes it (DOWN, DRAIN, DOWN+DRAIN)."""
    reason: str | None = None
    by: str | None = None
    began: int
    ended: int | None = None
    """None while it goes on."""


class JobAccount(Struct, frozen=True, kw_only=True):
    """What the accounts say of one job: its last run, and what came before and beside it."""

    run: PastJob
    earlier: tuple[PastJob, ...] = ()
    """Runs that ended before it was queued again, newest first."""
    steps: tuple[Step, ...] = ()
    cpu_s: float | None = None
    """Processor time that it used; None where nobody counted."""
    memory_mb: float | None = None
    """Most that a step of it held on all its nodes together."""
    memory_alloc_mb: float | None = None
    """What it was given of all its nodes together."""
    gpu_util_pct: float | None = None
    """Mean use of its GPUs, as Slurm counted it (TRESUsageInAve)."""
    working_dir: str | None = None
    stdout: str | None = None
    """The file that its output went to."""
    events: tuple[NodeEvent, ...] | None = None
    """What befell its nodes while it ran; None where that could not be told."""
    notes: tuple[str, ...] = ()
    """What could not be told, and why."""


class LogTail(Struct, frozen=True, kw_only=True):
    """The end of a file that a job wrote."""

    path: str
    size: int
    """Bytes of the whole file."""
    changed_at: int
    begins_at: int
    """Byte from which on `lines` are; 0 is all of it."""
    lines: tuple[str, ...]


class AccountingReader(Protocol):
    """The past on demand. All may block, for as long as the deadline of the source; all raise SourceFault: "missing"
    where this site keeps no accounts."""

    def jobs_of_node(self, node: str, since: int, most: int) -> Sequence[PastJob]:
        """The runs that ended on a node since then (epoch), the last one first, `most` at most."""
        ...

    def events_of_node(self, node: str, since: int) -> Sequence[NodeEvent]:
        """When a node was out of service since then, newest first."""
        ...

    def account_of_job(self, job: str) -> JobAccount:
        """What a job came to, whether it has ended or not."""
        ...

    def log_tail(self, path: str, user: str | None) -> LogTail:
        """The end of the file that a job of this user wrote its output to, as far as who asks may read it."""
        ...
