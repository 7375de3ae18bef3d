"""What the pre-flight can find, as stable codes: what a roll-out compares, and never the words that people read."""

from __future__ import annotations

from typing import Literal

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
