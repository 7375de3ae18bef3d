"""Slurm's facts: nodes, jobs, partitions, reservations, and the controller's figures."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Node(Struct, frozen=True, gc=False, kw_only=True):
    """One compute node as Slurm sees it. `state` is the base word, `flags` the rest, `display` the word people use."""

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
    """Type of its GPUs in Slurm; several are joined by "+" ("nvidia_b200+nvidia_b200_2g.45gb")."""
    gpu_slices: int | None = None
    """The MIG slices among `gpus` (Slurm counts each as a GPU); None if the types are unknown."""
    gpus_used: str | None = None
    """Indices of the GPUs in use, as Slurm folds them ("0-3,7")."""
    rack: str | None = None
    features: tuple[str, ...] = ()
    address: str | None = None
    """NodeAddr: the name or IP address that slurmctld connects to."""
    version: str | None = None
    boot_at: int | None = None
    slurmd_at: int | None = None
    busy_at: int | None = None
    reservation: str | None = None
    comment: str | None = None
    extra: str | None = None
    resume_at: int | None = None
    """When Slurm resumes it (ResumeAfter)."""
    hostname: str | None = None
    """NodeHostname: its host name, equal to its Slurm name unless configured otherwise."""
    weight: int | None = None
    """Slurm gives jobs the nodes of the lowest weight first. Not read through pyslurm."""


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
    """Folded node set, None before it starts."""
    node_count: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    """GPUs requested while pending, held once it has nodes."""
    gpus_held: int | None = None
    submitted: int | None = None
    started: int | None = None
    expected: int | None = None
    """When Slurm expects a pending job to start; None if unknown."""
    time_limit_s: int | None = None
    """None if unlimited or unknown."""
    unlimited: bool = False
    """True if it has no time limit."""
    priority: int | None = None
    restarts: int | None = None
    nice: int | None = None
    """Only for a job read by name: the poll does not request it."""
    excluded: str | None = None
    """Excluded nodes, folded, "" for none; only for a job read by name."""

    def elapsed_s(self, now: float) -> int | None:
        """Seconds since the start, None before it."""
        return None if self.started is None else max(0, int(now) - self.started)

    def left_s(self, now: float) -> int | None:
        """Seconds until the time limit, None if it has not started or has no limit."""
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
    """Accounts that may use it, joined by commas; ALL for every account; None if unknown."""
    deny_accounts: str | None = None
    """Denied accounts, None for none. Slurm applies it only if `allow_accounts` is ALL."""


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
    groups: str | None = None
    licenses: str | None = None
    features: str | None = None


class JobDetail(Struct, frozen=True, kw_only=True):
    """The details of one job, read on demand (`scontrol show job`)."""

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
    time_min_s: int | None = None
    """The shortest time limit that Slurm may give it to start it sooner (--time-min)."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Further fields for display, by Slurm's own field name."""


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
    since: int | None = None
    """When the controller last reset its counters (every night): earlier counts are not comparable."""
    reader: str | None = None
    """This console's user, as `user_calls` names it."""
    user_calls: Mapping[str, int] = field(default_factory=dict)
    """RPCs by user since the controller last reset its counters."""
    user_time_us: Mapping[str, int] = field(default_factory=dict)


class Cost(Struct, frozen=True, gc=False, kw_only=True):
    """The load of a user's RPCs on the controller, from all programs of that user."""

    user: str
    calls_min: float
    """RPCs per minute."""
    ms_min: float
    """Controller time in milliseconds per minute."""


class Rights(Struct, frozen=True, gc=False, kw_only=True):
    """What Slurm lets the console's user change. None is unknown: then only Slurm's answer decides."""

    user: str
    """The user that runs writing commands: with a site's `prefix` it may differ from the one that reads."""
    level: str
    """The level in words: root, SlurmUser, Administrator, Operator, Coordinator, no admin."""
    nodes: bool | None = None
    """May change nodes: drain, resume, down, reboot."""
    jobs: bool | None = None
    """May change all users' jobs, not only their own."""
    why: str = ""
    """How the rights are known, or why they are not: "sacctmgr", "sudo -nl refuses scontrol"."""
