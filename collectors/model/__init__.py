"""The nouns of a GPU cluster as frozen values, and the interfaces of collectors.

Everything that crosses a thread is one of these. Unknown is None, never 0. Times are whole seconds since the epoch
(UTC); memory is in MB as Slurm counts it (2^20 bytes); power is in watts; temperatures in degrees Celsius. Strings came
through `collectors.clean` and hold no control character. Code that reads a source, or decides anything, does not belong
here.

Rows are msgspec Structs without garbage-collector tracking: 100,000 jobs must not make every collection slow (measured:
a full collection over 100,000 dataclasses takes 60 ms, over these none).
"""

from __future__ import annotations

from .accounting import AccountingReader, JobAccount, LogTail, NodeEvent, PastJob, Step
from .cluster import (
    KINDS,
    SINGLE_VALUES,
    Cluster,
    Diff,
    Facts,
    Fault,
    Reading,
    ReadOrigin,
    Source,
    SourceFault,
    Totals,
    may_hide,
)
from .interfaces import AlertReader, Budget, Change, Collector, NewSilence, Sent, Telemetry, Transport, Writer
from .plant import (
    Attached,
    Checkup,
    Completing,
    Control,
    Controller,
    Coolant,
    Domain,
    Fabric,
    FileSystem,
    Port,
    Runaway,
    Tray,
)
from .queue_limits import Association, Factors, Limit, Limits, Queueing, Share, User
from .slurm import Cost, Diag, Job, JobDetail, Node, Partition, Reservation, Rights
from .telemetry import (
    FOLLOWERS,
    TAKEN,
    Alert,
    Gpu,
    Load,
    Matcher,
    Power,
    Process,
    Series,
    Severity,
    Silence,
    SlurmCounts,
    Xid,
)

__all__ = [
    "FOLLOWERS",
    "KINDS",
    "SINGLE_VALUES",
    "TAKEN",
    "AccountingReader",
    "Alert",
    "AlertReader",
    "Association",
    "Attached",
    "Budget",
    "Change",
    "Checkup",
    "Cluster",
    "Collector",
    "Completing",
    "Control",
    "Controller",
    "Coolant",
    "Cost",
    "Diag",
    "Diff",
    "Domain",
    "Fabric",
    "Factors",
    "Facts",
    "Fault",
    "FileSystem",
    "Gpu",
    "Job",
    "JobAccount",
    "JobDetail",
    "Limit",
    "Limits",
    "Load",
    "LogTail",
    "Matcher",
    "NewSilence",
    "Node",
    "NodeEvent",
    "Partition",
    "PastJob",
    "Port",
    "Power",
    "Process",
    "Queueing",
    "ReadOrigin",
    "Reading",
    "Reservation",
    "Rights",
    "Runaway",
    "Sent",
    "Series",
    "Severity",
    "Share",
    "Silence",
    "SlurmCounts",
    "Source",
    "SourceFault",
    "Step",
    "Telemetry",
    "Totals",
    "Transport",
    "Tray",
    "User",
    "Writer",
    "Xid",
    "may_hide",
]
