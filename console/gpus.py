"""The fleet's GPUs, ranked: idle inside running jobs, hottest, hungriest, XIDs. Pure."""

from __future__ import annotations

from msgspec import Struct

from collectors.model import Cluster, Job, Load, Xid
from collectors.nodeset import expand

#: A job that started less than this ago is still loading; its idle GPUs are no waste yet.
SETTLED_S = 600


class IdleJob(Struct, frozen=True):
    """A running job with GPUs that do nothing now. Counted on nodes that it holds alone: a shared node's idle GPUs
    cannot be told apart without asking for each GPU."""

    job: Job
    idle: int
    held: int
    nodes: tuple[str, ...]
    """Nodes on which they are."""


def idle_jobs(cluster: Cluster, now: float) -> list[IdleJob]:
    """Running jobs that have settled and hold idle GPUs, most idle first."""
    found: list[IdleJob] = []
    for job in cluster.jobs.values():
        elapsed = job.elapsed_s(now)
        if job.nodes is None or not job.gpus_held or elapsed is None or elapsed < SETTLED_S:
            continue
        try:
            names = expand(job.nodes)
        except ValueError:
            continue
        idle: dict[str, int] = {}
        for name in names:
            load, node = cluster.loads.get(name), cluster.nodes.get(name)
            if load is None or load.gpus_idle is None or node is None or node.gpus is None or node.gpus_alloc is None:
                continue
            if len(cluster.jobs_on.get(name, ())) == 1:
                count = load.gpus_idle - (node.gpus - node.gpus_alloc)
                if count > 0:
                    idle[name] = count
        if idle:
            found.append(IdleJob(job, sum(idle.values()), job.gpus_held, tuple(idle)))
    found.sort(key=lambda one: -one.idle)
    return found


def hottest(cluster: Cluster, limit: int) -> list[Load]:
    """Nodes by their hottest GPU."""
    known = [load for load in cluster.loads.values() if load.temp_c is not None]
    return sorted(known, key=lambda load: -(load.temp_c or 0.0))[:limit]


def hungriest(cluster: Cluster, limit: int) -> list[Load]:
    """Nodes by the power of their GPUs, or their own where only that is known."""

    def drawn(load: Load) -> float | None:
        return load.gpu_power_w if load.gpu_power_w is not None else load.power_w

    known = [load for load in cluster.loads.values() if drawn(load) is not None]
    return sorted(known, key=lambda load: -(drawn(load) or 0.0))[:limit]


def xids(cluster: Cluster) -> list[Xid]:
    """XIDs, newest first."""
    return sorted(cluster.xids.values(), key=lambda one: -(one.last_at or 0))
