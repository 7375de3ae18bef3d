"""GPUs ranked: allocated but idle, hottest, highest power, newest XIDs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

from msgspec import Struct

from collectors.model import Cluster, Job, Load, Xid
from collectors.nodeset import expand
from console.runtime.memo import remembered

from .totals import running

#: A job that started less than this ago is still loading; its idle GPUs are not reported.
SETTLED_S = 600
LISTED = 40


class IdleJob(Struct, frozen=True):
    """A running job with idle GPUs. Only nodes that it holds alone are counted: on a shared node the telemetry per
    node does not show whose GPUs are idle."""

    job: Job
    idle: int
    held: int
    nodes: tuple[str, ...]
    """Nodes on which they are."""


def idle_jobs(cluster: Cluster, now: float) -> list[IdleJob]:
    """Running jobs that have settled and hold idle GPUs, most idle first."""
    return [
        one
        for one in jobs_with_idle_gpus(cluster)
        if (elapsed := one.job.elapsed_s(now)) is not None and elapsed >= SETTLED_S
    ]


@remembered("jobs", "loads", "jobs_on", "nodes")
def jobs_with_idle_gpus(cluster: Cluster) -> Sequence[IdleJob]:
    """Running jobs that hold idle GPUs, settled or not, most idle first."""
    found: list[IdleJob] = []
    for job in running(cluster):
        if not job.gpus_held:
            continue
        try:
            names = expand(job.nodes or "")
        except ValueError:
            continue
        idle: dict[str, int] = {}
        for name in names:
            load, node = cluster.loads.get(name), cluster.nodes.get(name)
            if load is None or load.gpus_idle is None or node is None or node.gpus is None or node.gpus_alloc is None:
                continue
            if len(cluster.jobs_on.get(name, ())) == 1 and not node.gpu_slices:
                count = load.gpus_idle - (node.gpus - node.gpus_alloc)
                if count > 0:
                    idle[name] = count
        if idle:
            found.append(IdleJob(job, sum(idle.values()), job.gpus_held, tuple(idle)))
    found.sort(key=lambda one: -one.idle)
    return found


@remembered("loads")
def hottest(cluster: Cluster) -> Sequence[Load]:
    """The nodes with the hottest GPUs, LISTED of them."""
    known = [load for load in cluster.loads.values() if load.temp_c is not None]
    return nlargest(LISTED, known, key=lambda load: load.temp_c or 0.0)


@remembered("loads")
def top_power(cluster: Cluster) -> Sequence[Load]:
    """LISTED nodes by the power of their GPUs, or their own where only that is known."""

    def drawn(load: Load) -> float | None:
        return load.gpu_power_w if load.gpu_power_w is not None else load.power_w

    known = [load for load in cluster.loads.values() if drawn(load) is not None]
    return nlargest(LISTED, known, key=lambda load: drawn(load) or 0.0)


@remembered("xids")
def newest_xids(cluster: Cluster) -> Sequence[Xid]:
    """XIDs, newest first."""
    return sorted(cluster.xids.values(), key=lambda one: -(one.last_at or 0))
