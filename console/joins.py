"""Sums over a Cluster that screens share. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from collectors.model import Cluster
from collectors.nodestate import OUT
from console.partition_columns import PartitionUse


def partition_uses(cluster: Cluster) -> dict[str, PartitionUse]:
    """Each partition with the nodes, GPUs and jobs in it. One pass over nodes and one over jobs."""
    gpus: Counter[str] = Counter()
    alloc: Counter[str] = Counter()
    out: Counter[str] = Counter()
    for node in cluster.nodes.values():
        gone = node.display in OUT
        for name in node.partitions:
            gpus[name] += node.gpus or 0
            alloc[name] += node.gpus_alloc or 0
            out[name] += gone
    running: Counter[str] = Counter()
    pending: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    oldest: dict[str, int] = {}
    why: dict[str, Counter[str]] = {}
    for job in cluster.jobs.values():
        # A job may wait in several partitions: it counts in each.
        for name in (job.partition or "").split(","):
            if job.state == "PENDING":
                pending[name] += 1
                asked[name] += job.gpus or 0
                why.setdefault(name, Counter())[(job.reason or "unknown").partition(",")[0]] += 1
                if job.submitted is not None and job.submitted < oldest.get(name, job.submitted + 1):
                    oldest[name] = job.submitted
            elif job.nodes is not None:
                running[name] += 1
    return {
        name: PartitionUse(
            partition, out[name], gpus[name], alloc[name], running[name], pending[name], asked[name], oldest.get(name),
            tuple(why[name].most_common(5)) if name in why else (),
        )
        for name, partition in cluster.partitions.items()
    }  # fmt: skip


def by_user(cluster: Cluster, limit: int) -> list[tuple[str, int, int]]:
    """Who holds most GPUs: user, GPUs held, running jobs."""
    gpus: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    for job in cluster.jobs.values():
        if job.nodes is not None:
            gpus[job.user] += job.gpus_held or 0
            jobs[job.user] += 1
    return [(user, count, jobs[user]) for user, count in gpus.most_common(limit)]


def states(cluster: Cluster) -> Mapping[str, int]:
    """Nodes by display word."""
    return cluster.totals.nodes_by_display
