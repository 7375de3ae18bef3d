"""The nouns of a GPU cluster, as frozen values, and what a collector hands over.

Everything that crosses a thread is one of these. Unknown is None, never 0. Times are whole seconds since the
epoch (UTC); memory is in MB as Slurm counts it (2^20 bytes); power is in watts; temperatures in degrees Celsius.
Strings came through `collectors.clean` and hold no control character.

Rows are msgspec Structs without garbage-collector tracking: 100,000 jobs must not make every collection slow
(measured: a full collection over 100,000 dataclasses takes 60 ms, over these none).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field


class Node(Struct, frozen=True, gc=False, kw_only=True):
    """One compute node as Slurm sees it. `state` is Slurm's base word, `flags` the rest, `display` what people say."""

    name: str
    state: str
    flags: tuple[str, ...] = ()
    display: str
    reason: str | None = None
    reason_by: str | None = None
    reason_at: int | None = None
    partitions: tuple[str, ...] = ()
    cpus: int | None = None
    cpus_alloc: int | None = None
    cpu_load: float | None = None
    memory_mb: int | None = None
    memory_alloc_mb: int | None = None
    free_memory_mb: int | None = None
    gpus: int | None = None
    gpus_alloc: int | None = None
    gpu_type: str | None = None
    gpus_used: str | None = None
    """Indices of the GPUs in use, as Slurm folds them ("0-3,7")."""
    rack: str | None = None
    features: tuple[str, ...] = ()
    address: str | None = None
    version: str | None = None
    boot_at: int | None = None
    slurmd_at: int | None = None
    busy_at: int | None = None
    reservation: str | None = None
    comment: str | None = None
    extra: str | None = None


class Job(Struct, frozen=True, gc=False, kw_only=True):
    """One job (one task of an array, `101_3`). `state` is Slurm's long base word (PENDING)."""

    id: str
    name: str
    user: str
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    state: str
    reason: str | None = None
    nodes: str | None = None
    """Folded node set, None while it has no nodes."""
    node_count: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    """GPUs asked for while pending, held while it has nodes."""
    gpus_held: int | None = None
    submitted: int | None = None
    started: int | None = None
    expected: int | None = None
    """When Slurm expects a pending job to start; None when it does not say."""
    time_limit_s: int | None = None
    """None is unlimited or unknown."""
    priority: int | None = None
    restarts: int | None = None

    def elapsed_s(self, now: float) -> int | None:
        """Seconds since the start, None before it."""
        return None if self.started is None else max(0, int(now) - self.started)

    def left_s(self, now: float) -> int | None:
        """Seconds until the time limit ends it, None when it has not started or has no limit."""
        if self.started is None or self.time_limit_s is None:
            return None
        return max(0, self.started + self.time_limit_s - int(now))


class Partition(Struct, frozen=True, gc=False, kw_only=True):
    """One partition. `state` is UP, DOWN, DRAIN or INACTIVE."""

    name: str
    state: str
    default: bool = False
    nodes: str | None = None
    node_count: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    time_limit_s: int | None = None
    priority_tier: int | None = None
    qos: str | None = None
    allow_accounts: str | None = None


class Reservation(Struct, frozen=True, gc=False, kw_only=True):
    """One reservation. `state` is ACTIVE or INACTIVE."""

    name: str
    state: str
    starts: int | None = None
    ends: int | None = None
    nodes: str | None = None
    node_count: int | None = None
    partition: str | None = None
    flags: tuple[str, ...] = ()
    users: str | None = None
    accounts: str | None = None
    comment: str | None = None


class Gpu(Struct, frozen=True, gc=False, kw_only=True):
    """One GPU at one moment."""

    node: str
    index: int
    uuid: str | None = None
    model: str | None = None
    util_pct: float | None = None
    memory_used_mb: int | None = None
    memory_mb: int | None = None
    temp_c: float | None = None
    power_w: float | None = None
    job: str | None = None
    xid: int | None = None
    """Code of the last XID the driver reported, None when none is known."""


class Load(Struct, frozen=True, gc=False, kw_only=True):
    """The telemetry of one node, summed up: what the map, the lists and the totals need."""

    node: str
    sampled_at: int | None = None
    gpu_util_pct: float | None = None
    gpu_memory_pct: float | None = None
    temp_c: float | None = None
    """Hottest GPU."""
    power_w: float | None = None
    gpus_idle: int | None = None
    """GPUs at less than 5 % now."""
    xid: int | None = None


class Alert(Struct, frozen=True, gc=False, kw_only=True):
    """One alert as Alertmanager holds it. `state` is active, suppressed or unprocessed."""

    id: str
    name: str
    severity: str | None = None
    state: str = "active"
    node: str | None = None
    starts: int | None = None
    summary: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


class Diag(Struct, frozen=True, gc=False, kw_only=True):
    """The controller's own figures (sdiag). Cycle times in microseconds."""

    server_threads: int | None = None
    agent_queue: int | None = None
    dbd_queue: int | None = None
    main_cycle_last_us: int | None = None
    main_cycle_mean_us: int | None = None
    backfill_cycle_last_us: int | None = None
    jobs_pending: int | None = None
    jobs_running: int | None = None
    user_calls: Mapping[str, int] = field(default_factory=dict)
    """RPCs a user has cost the controller since it last reset its counters."""
    user_time_us: Mapping[str, int] = field(default_factory=dict)


class Facts(Struct, frozen=True, eq=False, kw_only=True):
    """What one reading found. A kind that is None was not read; an empty mapping was read and is truly empty."""

    nodes: Mapping[str, Node] | None = None
    jobs: Mapping[str, Job] | None = None
    partitions: Mapping[str, Partition] | None = None
    reservations: Mapping[str, Reservation] | None = None
    loads: Mapping[str, Load] | None = None
    alerts: Mapping[str, Alert] | None = None
    diag: Diag | None = None
    cluster: str | None = None
    """The name the source itself gives its cluster, where it does."""
    warnings: tuple[str, ...] = ()
    """What was left out of the facts and why ("2 rows of squeue were cut")."""


KINDS = ("nodes", "jobs", "partitions", "reservations", "loads", "alerts", "diag")


class Fault(Struct, frozen=True):
    """Why a reading failed: a short word for the chip, what happened to what, what to do next."""

    kind: str
    """missing, timeout, cut, empty, refused, auth, backoff, malformed, internal"""
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.what} ({self.mend})" if self.mend else self.what


class Reading(Struct, frozen=True, eq=False, kw_only=True):
    """One attempt to read one source. An error is data: exactly one of `facts` and `fault` is set."""

    cluster: str
    source: str
    at: float
    """Wall clock when it ended, for people; ages come from `mono`."""
    mono: float
    """Monotonic clock when the reading *began*: the facts are at least this old."""
    took_s: float
    facts: Facts | None = None
    fault: Fault | None = None


class SourceFault(Exception):
    """Raised by a collector that could not read its source; carries the Fault."""

    def __init__(self, kind: str, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.fault = Fault(kind, what, mend)


class Source(Struct, frozen=True, kw_only=True):
    """The state of one source, as the chips show it."""

    name: str
    ok: bool = False
    tried: bool = False
    """False until the first reading ended, well or not."""
    read_mono: float | None = None
    """Monotonic time of the last good reading; None when there has been none."""
    took_s: float | None = None
    fault: Fault | None = None
    failures: int = 0
    """Failed readings in a row."""
    warnings: tuple[str, ...] = ()
    due_s: float = 10.0
    """Seconds between readings as planned now; facts older than twice this are stale."""

    @property
    def chip(self) -> str:
        """The part of the name that the top line shows: `slurm` of `slurm.nodes`."""
        return self.name.partition(".")[0]

    def age_s(self, mono: float) -> float | None:
        """Age of the facts in seconds, None when there are none."""
        return None if self.read_mono is None else max(0.0, mono - self.read_mono)


class Totals(Struct, frozen=True, kw_only=True):
    """The machine in figures. None where the facts are missing."""

    nodes: int | None = None
    nodes_by_display: Mapping[str, int] = field(default_factory=dict)
    gpus: int | None = None
    gpus_alloc: int | None = None
    gpus_out: int | None = None
    """GPUs on nodes that are down or drained."""
    gpus_idle_in_jobs: int | None = None
    jobs: int | None = None
    jobs_by_state: Mapping[str, int] = field(default_factory=dict)
    power_w: float | None = None
    gpu_util_pct: float | None = None
    nodes_hot: int | None = None
    """Nodes whose hottest GPU is above 85 degrees."""


class Cluster(Struct, frozen=True, eq=False, kw_only=True):
    """Everything known of one cluster at one moment. Compared by identity; the mappings are never changed in place."""

    name: str
    demo: bool = False
    at: float = 0.0
    """Wall clock of the newest reading in it."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    jobs: Mapping[str, Job] = field(default_factory=dict)
    partitions: Mapping[str, Partition] = field(default_factory=dict)
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    loads: Mapping[str, Load] = field(default_factory=dict)
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    diag: Diag | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    """Kinds that were read at least once: an empty mapping of a kind not in here means unknown, not none."""
    jobs_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Node name to the ids of the jobs that hold it."""
    racks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Rack to its nodes, both in natural order; nodes without a rack stand under ""."""
    totals: Totals = Totals()


class Diff(Struct, frozen=True, eq=False):
    """What differs between two Clusters: the kinds, and per kind the keys that came, went or changed."""

    kinds: frozenset[str] = frozenset()
    keys: Mapping[str, frozenset[str]] = field(default_factory=dict)


class JobDetail(Struct, frozen=True, kw_only=True):
    """What is only known of one job on demand (`scontrol show job`)."""

    id: str
    gpu_indices: Mapping[str, str] = field(default_factory=dict)
    """Node name to the folded indices of the GPUs it holds there ("0-3,7")."""
    batch: bool | None = None
    requeueable: bool | None = None
    dependency: str | None = None
    working_dir: str | None = None
    command: str | None = None
    stdout: str | None = None
    comment: str | None = None
    admin_comment: str | None = None
    exit_code: str | None = None
    features: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    """Everything else that may interest a reader, by Slurm's own field name."""


class Change(Struct, frozen=True, kw_only=True):
    """A change of the real machine, complete and frozen: what a Writer is asked to do."""

    action: str
    """Key of the action: drain, undrain, resume, requeue, requeuehold, hold, uhold, release, cancel."""
    kind: str
    """What the targets are: "node" or "job"."""
    targets: tuple[str, ...]
    reason: str | None = None


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


class Transport(Protocol):
    """Reads of named things, on demand. All may block; all raise SourceFault."""

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of that name as they are now; a name that Slurm does not know is left out."""
        ...

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now; ended and unknown ones are left out."""
        ...

    def job_detail(self, job: str) -> JobDetail:
        """Everything about one job."""
        ...


class Writer(Protocol):
    """Sends a Change. Only `console.gate` may hold one."""

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """The exact commands that `send` runs, for the preview, the journal and the clipboard."""
        ...

    def send(self, change: Change) -> Sequence[Sent]:
        """Run them, in order, stopping when the controller (not a single target) fails. Never raises for a refusal."""
        ...


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
