"""What Slurm knows: nodes, jobs, partitions, reservations, and its controller's own figures."""

from __future__ import annotations

from collections.abc import Mapping

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
    """Type of its GPUs in Slurm; several are joined by "+" ("nvidia_b200+nvidia_b200_2g.45gb")."""
    gpu_slices: int | None = None
    """How many of `gpus` are MIG slices (Slurm counts each as a GPU); None where the types are unknown."""
    gpus_used: str | None = None
    """Indices of the GPUs in use, as Slurm folds them ("0-3,7")."""
    rack: str | None = None
    features: tuple[str, ...] = ()
    address: str | None = None
    """NodeAddr: the name or IP address that Slurm reaches it by."""
    version: str | None = None
    boot_at: int | None = None
    slurmd_at: int | None = None
    busy_at: int | None = None
    reservation: str | None = None
    comment: str | None = None
    extra: str | None = None
    resume_at: int | None = None
    """When Slurm puts it back to work by itself (ResumeAfter)."""
    hostname: str | None = None
    """NodeHostname: what its host calls itself, its name in Slurm unless the configuration says otherwise."""


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
    unlimited: bool = False
    """Slurm says that it has no time limit."""
    priority: int | None = None
    restarts: int | None = None
    nice: int | None = None
    """Only of a job that was read by name: the poll does not ask for it."""
    excluded: str | None = None
    """Nodes that it must not run on, folded, "" for none; only of a job that was read by name."""

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
    """Accounts that may use it, joined by commas, ALL for every account; None is unknown."""
    deny_accounts: str | None = None
    """Accounts that may not, None where none is denied. Slurm looks at it only where `allow_accounts` is ALL."""


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
    time_min_s: int | None = None
    """With so much time it does too, where Slurm may shorten its limit to start it sooner (--time-min)."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Everything else that may interest a reader, by Slurm's own field name."""


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
    """When the controller last began to count (it starts anew every night): older counts say nothing."""
    reader: str | None = None
    """The user who asked, as `user_calls` names them."""
    user_calls: Mapping[str, int] = field(default_factory=dict)
    """RPCs a user has cost the controller since it last reset its counters."""
    user_time_us: Mapping[str, int] = field(default_factory=dict)


class Cost(Struct, frozen=True, gc=False, kw_only=True):
    """What a user's calls cost the controller, all that they run here and elsewhere together."""

    user: str
    calls_min: float
    """RPCs a minute."""
    ms_min: float
    """Milliseconds of the controller's time a minute."""


class Rights(Struct, frozen=True, gc=False, kw_only=True):
    """What Slurm lets the person at the keyboard change. None is not known: then Slurm will say."""

    user: str
    """Who the writing commands run as: behind a site's `prefix` that may be another than who reads."""
    level: str
    """As people say it: root, SlurmUser, Administrator, Operator, Coordinator, no admin."""
    nodes: bool | None = None
    """May change nodes: drain, resume, down, reboot."""
    jobs: bool | None = None
    """May change everybody's jobs, not only the own ones."""
    why: str = ""
    """How it is known, or why it is not: "sacctmgr", "sudo -nl refuses scontrol"."""
