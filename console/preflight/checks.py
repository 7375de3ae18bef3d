"""What a pre-flight check finds, what it is given, and what is read for it on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct, field

from collectors.model import Cluster, Gpu, Job, JobDetail, Row, Xid
from console.health.inconsistencies import FreshFacts
from console.health.xid_policy import Policy

Level = Literal["ok", "note", "warn", "bad", "refused", "unknown"]
#: What the pre-flight can find, as stable codes: a roll-out compares these, never the texts that people read.
Code = Literal[
    "admin-hold", "bound", "bound-not-read", "checkup-old", "clique", "completing", "cooling", "cooling-ok",
    "cooling-old", "cooling-silent", "cpus-busy", "deaths", "deaths-unknown", "diag", "diag-before-boot",
    "drain-goes", "drain-kills", "drain-lost", "ecc-uncorrected", "fabric", "fabric-gpus", "fabric-ok",
    "fabric-old", "fabric-unknown", "features-until-restart", "gpu-busy", "gpu-lost", "gpu-memory", "gpu-process",
    "gpu-recovery", "gpus-busy", "gpus-extra", "gpus-fit", "gpus-missing", "gpus-partly-unknown", "gpus-unknown",
    "health", "held-by-admin", "held-by-exit-code", "held-by-owner", "held-by-slurm", "imex", "limit-kills",
    "limit-over-partition", "limit-over-reservation", "limit-shortened", "limit-unbounded", "memory-stays", "nhc",
    "nhc-ok", "nhc-old", "no-batch-script", "no-job", "no-partition", "nodes-old", "nodes-unknown", "not-bound",
    "not-read", "not-requeueable", "not-responding", "out-for-days", "partition-not-up", "partition-small",
    "partitions-not-read", "port", "ports-old", "power-after-jobs", "powered-off", "powering-up", "reason",
    "reason-kept", "reboot-cancelled", "rebooting", "registers-first", "remap-failed", "remap-pending",
    "requeue-not-read", "requeue-unknown", "requeueable", "requeued-held", "reservations-not-read", "reserved",
    "restarts", "restarts-unknown", "signal-kills", "signal-may-kill", "signal-sent", "signal-stops",
    "slurmd-silent", "start-unknown", "stays-down", "steps-time-out", "store-hung", "store-missing", "stores-old",
    "too-few-nodes", "version", "xid",
]  # fmt: skip


class Check(Struct, frozen=True):
    """One finding of the pre-flight. `bad` keeps the target out unless the glass is broken; `refused` always does,
    since Slurm would refuse."""

    target: str
    """"" where it concerns all of them."""
    level: Level
    text: str
    """For people; no decision reads it."""
    code: Code
    details: tuple[object, ...] = ()
    """What it is about, as values: the GPU, the XID, the loop. No values that change by themselves, such as ages."""

    @property
    def identity(self) -> tuple[str, Code, tuple[object, ...]]:
        """Equal for the same finding at a later time."""
        return self.target, self.code, self.details


class PreflightReads(Struct, frozen=True, kw_only=True):
    """What was read on demand for the pre-flight, where the Cluster does not hold it."""

    gpus: Mapping[str, tuple[Gpu, ...]] | None = None
    """Node to its GPUs; None was not read, a node that is missing did not answer."""
    details: Mapping[str, JobDetail] = field(default_factory=dict)
    """Job to its detail; a job that is missing was not read."""
    rows: Mapping[str, Row] = field(default_factory=dict)
    """Target to its row as it was read just now, with what no poll holds (`Value.on_demand`)."""
    reservation_jobs: Mapping[str, tuple[Job, ...]] = field(default_factory=dict)
    """Reservation to the jobs that asked for it; one that is missing was not read."""
    faults: tuple[str, ...] = ()
    """Why something could not be read."""
    resumed: Mapping[str, float] = field(default_factory=dict)
    """Node to when it was put back to work the last time (epoch), as far as the journal knows."""


class PreflightContext(Struct, frozen=True):
    """What the checks need besides the target."""

    cluster: Cluster
    reads: PreflightReads
    now: float
    policy: Policy
    fresh: FreshFacts
    xids: Mapping[str, list[Xid]]
    """Target node to its XIDs; empty where XIDs are not known."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Target to its new value."""

    @property
    def user(self) -> str | None:
        """The user that the commands run as, None where that is not known."""
        return None if self.cluster.rights is None else self.cluster.rights.user


#: Checks one row: appends what it finds. The row is of the kind of the action.
RowCheck = Callable[[Any, PreflightContext, list[Check]], None]
