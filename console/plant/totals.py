"""Sums over a Cluster that screens share. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from collectors.model import Cluster, Job, Partition
from collectors.nodestate import UNAVAILABLE
from console.runtime.memo import remembered


class PartitionUse(Struct, frozen=True):
    """The nodes, GPUs and jobs of a partition: computed once per reading, for the table and the overview."""

    partition: Partition
    nodes_out: int | None
    gpus: int | None
    gpus_alloc: int | None
    running: int | None
    pending: int | None
    gpus_requested: int | None
    """None where the nodes, or the jobs, were never read."""
    oldest_submit: int | None
    """Submit time of the job that waits longest."""
    reasons: tuple[tuple[str, int], ...]
    """Reasons of the pending jobs with their counts, most frequent first."""


@remembered("jobs")
def running(cluster: Cluster) -> Sequence[Job]:
    """The jobs that hold nodes: a few thousand of 100,000."""
    return [job for job in cluster.jobs.values() if job.nodes is not None]


@remembered("jobs", "nodes", "partitions", "known")
def partition_uses(cluster: Cluster) -> dict[str, PartitionUse]:
    """Each partition with the nodes, GPUs and jobs in it. One pass over nodes and one over jobs."""
    gpus: Counter[str] = Counter()
    alloc: Counter[str] = Counter()
    out: Counter[str] = Counter()
    for node in cluster.nodes.values():
        gone = node.display in UNAVAILABLE
        for name in node.partitions:
            gpus[name] += node.gpus or 0
            alloc[name] += node.gpus_alloc or 0
            out[name] += gone
    works: Counter[str] = Counter()
    for job in running(cluster):
        if job.state != "PENDING":
            for name in (job.partition or "").split(","):
                works[name] += 1
    # 100,000 jobs wait in a few hundred different ways: they are grouped by that, and only the groups are examined.
    ways: dict[tuple[str | None, str | None, int | None], int] = {}
    first: dict[str | None, int] = {}
    for job in cluster.jobs.values():
        if job.state == "PENDING":
            where = job.partition
            way = (where, job.reason, job.gpus)
            ways[way] = ways.get(way, 0) + 1
            at = job.submitted
            if at is not None and at < first.get(where, at + 1):
                first[where] = at
    pending: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    why: dict[str, Counter[str]] = {}
    for (where, reason, wanted), count in ways.items():
        # A job may wait in several partitions: it counts in each.
        for name in (where or "").split(","):
            pending[name] += count
            asked[name] += count * (wanted or 0)
            why.setdefault(name, Counter())[(reason or "unknown").partition(",")[0]] += count
    oldest: dict[str, int] = {}
    for where, at in first.items():
        for name in (where or "").split(","):
            oldest[name] = min(at, oldest.get(name, at))
    nodes, jobs = "nodes" in cluster.known, "jobs" in cluster.known

    def known(kind: bool, counts: Counter[str], name: str) -> int | None:
        return counts[name] if kind else None

    return {
        name: PartitionUse(
            partition,
            known(nodes, out, name), known(nodes, gpus, name), known(nodes, alloc, name),
            known(jobs, works, name), known(jobs, pending, name), known(jobs, asked, name),
            oldest.get(name),
            tuple(why[name].most_common(5)) if name in why else (),
        )
        for name, partition in cluster.partitions.items()
    }  # fmt: skip


@remembered("jobs")
def by_user(cluster: Cluster) -> Sequence[tuple[str, int, int]]:
    """Users by GPUs held: user, GPUs held, running jobs; most first."""
    gpus: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    for job in running(cluster):
        gpus[job.user] += job.gpus_held or 0
        jobs[job.user] += 1
    return [(user, count, jobs[user]) for user, count in gpus.most_common()]


def states(cluster: Cluster) -> Mapping[str, int]:
    """Nodes by display word."""
    return cluster.totals.nodes_by_display
