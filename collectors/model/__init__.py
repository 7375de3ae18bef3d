"""The nouns of a GPU cluster, as frozen values, and what a collector hands over.

Everything that crosses a thread is one of these. Unknown is None, never 0. Times are whole seconds since the
epoch (UTC); memory is in MB as Slurm counts it (2^20 bytes); power is in watts; temperatures in degrees Celsius.
Strings came through `collectors.clean` and hold no control character.

Rows are msgspec Structs without garbage-collector tracking: 100,000 jobs must not make every collection slow
(measured: a full collection over 100,000 dataclasses takes 60 ms, over these none).
"""

from __future__ import annotations

from collectors.model.cluster import KINDS, Cluster, Diff, Facts, Fault, Reading, Source, SourceFault, Taken, Totals
from collectors.model.ports import AlertDesk, Budget, Change, Collector, NewSilence, Sent, Telemetry, Transport, Writer
from collectors.model.slurm import Cost, Diag, Job, JobDetail, Node, Partition, Reservation, Rights
from collectors.model.telemetry import (
    TAKEN,
    Alert,
    Gpu,
    Load,
    Matcher,
    Power,
    Process,
    Series,
    Silence,
    SlurmCounts,
    Xid,
)

__all__ = [
    "KINDS",
    "TAKEN",
    "Alert",
    "AlertDesk",
    "Budget",
    "Change",
    "Cluster",
    "Collector",
    "Cost",
    "Diag",
    "Diff",
    "Facts",
    "Fault",
    "Gpu",
    "Job",
    "JobDetail",
    "Load",
    "Matcher",
    "NewSilence",
    "Node",
    "Partition",
    "Power",
    "Process",
    "Reading",
    "Reservation",
    "Rights",
    "Sent",
    "Series",
    "Silence",
    "SlurmCounts",
    "Source",
    "SourceFault",
    "Taken",
    "Telemetry",
    "Totals",
    "Transport",
    "Writer",
    "Xid",
]
