"""The fields of a partition, one row each. A row of the table is a `PartitionUse`, a row of the filter its partition.

The snapshot has every attribute of `collectors.model.Partition`.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from collectors.model import Cluster, Partition
from console.plant.totals import PartitionUse
from widgets.table_column import always_identity
from widgets.units import clock_span, count, duration, percent

from .field import Field, Shown, attribute, columns_of, field, moment, split_commas

if TYPE_CHECKING:
    from widgets.cells import Cell


def _partition_state(use: PartitionUse, _: Any) -> Cell:
    up = use.partition.state == "UP"
    return (f"{'●' if up else '✖'} {use.partition.state.lower()}", "good" if up else "bad")


def why_text(use: PartitionUse) -> str:
    """`Priority 61 %  Resources 30 %`."""
    return (
        "  ".join(f"{reason} {percent(100 * n / use.pending, 0)}" for reason, n in use.reasons) if use.pending else ""
    )


_own = partial(field, within="partition.")
_use = partial(field, filtered=False)

PARTITION_FIELDS: tuple[Field, ...] = (
    _own("name", "text", "name", "name", ("partition",), export=("name", "default"),
         column=Shown("partition", 10, lambda u, _: u.partition.name + (" *" if u.partition.default else ""), grow=1,
                      max_width=20, identity=always_identity)),
    _own("state", "text", "state", "UP, DOWN, DRAIN or INACTIVE", column=Shown("state", 10, _partition_state)),
    _own("default", "text", lambda r, c, t: "yes" if r.default else "no", "yes or no"),
    _own("node", "holds", "nodes", "nodes in it; < and > count them", ("nodes",), count=lambda r, c, t: r.node_count,
         column=Shown("nodes", 7, lambda u, _: count(u.partition.node_count), attrgetter("partition.node_count"),
                      key="nodes", align="right", priority=5, descending=True),
         export=("node_count",)),
    _use("out", "number", "nodes_out", "nodes of it that are out of service",
         column=Shown("out", 5, lambda u, _: (count(u.nodes_out), "warn" if u.nodes_out else "text-dim"), priority=4)),
    _own("gpu", "number", "gpus", "GPUs in it", ("gpus",)),
    _use("gpus", "number", "gpus_alloc", "GPUs in use", export=("gpus_alloc", "gpus"),
         column=Shown("GPUs used", 13, lambda u, _: f"{count(u.gpus_alloc)}/{count(u.gpus)}", priority=6)),
    _own("cpu", "number", "cpus", "CPUs in it", ("cpus",)),
    _use("running", "number", "running", "jobs that run in it", column=Shown("running", 8, priority=1)),
    _use("pending", "number", "pending", "jobs that wait for it", column=Shown("pending", 8)),
    _use("asked", "number", "gpus_requested", "GPUs that they ask for", column=Shown("GPUs asked", 10, priority=7),
         export=(attribute("gpus_asked", "gpus_requested"),)),
    _use("wait", "duration", "oldest_submit", "time that the oldest of them waits",
         export=(moment("oldest_submitted", "oldest_submit"),),
         column=Shown("longest wait", 12,
                      lambda u, c: "" if u.oldest_submit is None else duration(c.now - u.oldest_submit),
                      lambda u: None if u.oldest_submit is None else -u.oldest_submit, priority=3, volatile=True)),
    _own("limit", "duration", "time_limit_s", "longest time limit",
         column=Shown("time limit", 11, lambda u, _: "none" if u.partition.time_limit_s is None
                      else clock_span(u.partition.time_limit_s), priority=9)),
    _own("tier", "number", "priority_tier", "priority tier", column=Shown("tier", 5, priority=10, descending=False)),
    _own("qos", "text", "qos", "quality of service"),
    _own("account", "words", lambda r, c, t: split_commas(r.allow_accounts), "account that may use it"),
    _own("denied", "words", lambda r, c, t: split_commas(r.deny_accounts), "account that may not use it"),
    _use("why", "text", lambda u, c, t: why_text(u), "why jobs wait for it",
         column=Shown("why they wait", 20, lambda u, _: why_text(u), priority=2, grow=3)),
    _own("where", "text", lambda r, c, t: r.nodes, "nodes in it", filtered=False, export=("nodes",),
         column=Shown("nodes", 12, lambda u, _: u.partition.nodes or "", priority=8, grow=1, max_width=40)),
)  # fmt: skip
#: The columns of the table of partitions, in the order of the rows.
PARTITIONS = columns_of(PARTITION_FIELDS)


def partition_text(partition: Partition, _: Cluster) -> str:
    """The text in which a plain word is searched, one part a line so that no match runs over two."""
    return (
        f"{partition.name}\n{partition.state}\n{partition.nodes or ''}\n{partition.qos or ''}\n"
        f"{partition.allow_accounts or ''}"
    )
