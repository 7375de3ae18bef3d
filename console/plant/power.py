"""Power by rack, row and job, against the budget, and the power that draining a rack would free. Pure.

A figure that is not measured is None. A rack is measured by its PDU where the site has such a source, else it is the
sum of its nodes, and then it is only known while every node of it that is up reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.model import Cluster, Job
from collectors.nodeset import expand
from collectors.nodestate import UNAVAILABLE
from console.health.failure_domains import places_of_node
from console.runtime.memo import remembered

from .totals import running

#: A trend at or below this (W/h per W of the site) is noise and gives no time to the ceiling.
_NO_TREND = 0.001


class RackPower(Struct, frozen=True):
    """One rack."""

    rack: str
    power_w: float | None
    nodes: int
    reporting: int | None
    """Its nodes with known power; None where no power was ever read."""
    jobs: int | None
    """None where the jobs were never read."""
    out: int
    """Its nodes out of service."""
    freed_w: float | None
    """The power freed if it were drained and its jobs had ended, in watts."""
    row: str | None = None
    """The row of the rack, where the nodes' Extra names it (`{"row": "A"}`)."""


class JobPower(Struct, frozen=True):
    """One running job. `power_w` is its share of its nodes, by the GPUs it holds there."""

    job: Job
    power_w: float | None
    complete: bool
    """False when some of its nodes did not report."""


def site_w(cluster: Cluster) -> float | None:
    """Power of the site in watts: from the power source, else the sum of the nodes."""
    if cluster.power is not None and cluster.power.site_w is not None:
        return cluster.power.site_w
    return cluster.totals.power_w


def source(cluster: Cluster) -> str:
    """The name of the source of the figures."""
    return cluster.power.source if cluster.power is not None else "no source named"


def hours_to_ceiling(cluster: Cluster) -> float | None:
    """Hours until the budget is reached at the present trend; None where it is never reached or that is unknown."""
    power, now = cluster.power, site_w(cluster)
    if power is None or now is None or power.budget_w is None or power.trend_w_h is None:
        return None
    if power.trend_w_h <= now * _NO_TREND:
        return None
    return max(0.0, (power.budget_w - now) / power.trend_w_h)


@remembered("loads", "jobs_on", "nodes")
def idle_node_w(cluster: Cluster) -> float | None:
    """The power of an idle node in watts: the median over nodes without jobs, None where there are none."""
    from statistics import median

    drawn = [
        load.power_w
        for name, load in cluster.loads.items()
        if load.power_w is not None and not cluster.jobs_on.get(name) and name in cluster.nodes
    ]
    return median(drawn) if drawn else None


@remembered("power", "loads", "jobs_on", "nodes", "racks", "known")
def by_rack(cluster: Cluster) -> Mapping[str, RackPower]:
    """Every rack, in natural order."""
    measured: Mapping[str, float] = cluster.power.rack_w if cluster.power is not None else {}
    idle = idle_node_w(cluster)
    found: dict[str, RackPower] = {}
    for rack, names in cluster.racks.items():
        drawn = {name: load.power_w for name in names if (load := cluster.loads.get(name)) and load.power_w is not None}
        total = measured.get(rack, sum(drawn.values()) if drawn else None)
        busy = [name for name in names if cluster.jobs_on.get(name)]
        back = None
        known = "jobs" in cluster.known
        if known and idle is not None and all(name in drawn for name in busy):
            back = sum(max(0.0, (drawn[name] or 0.0) - idle) for name in busy)
        jobs = {job for name in busy for job in cluster.jobs_on[name]}
        out = sum(1 for name in names if (node := cluster.nodes.get(name)) is not None and node.display in UNAVAILABLE)
        found[rack] = RackPower(
            rack,
            total,
            len(names),
            len(drawn) if "loads" in cluster.known else None,
            len(jobs) if known else None,
            out,
            back,
            _row(cluster, names),
        )
    return found


def _row(cluster: Cluster, names: Sequence[str]) -> str | None:
    node = cluster.nodes.get(names[0]) if names else None
    return next((name for kind, name in places_of_node(node) if kind == "row"), None) if node is not None else None


def by_row(racks: Iterable[RackPower]) -> dict[str, float | None]:
    """Row to its power in watts; None where the power of one of its racks is unknown."""
    rows: dict[str, float | None] = {}
    for rack in racks:
        if rack.row is not None:
            before = rows.get(rack.row, 0.0)
            rows[rack.row] = None if before is None or rack.power_w is None else before + rack.power_w
    return rows


@remembered("jobs", "loads", "jobs_on", "nodes")
def by_job(cluster: Cluster) -> Sequence[JobPower]:
    """The running jobs, highest power first."""
    drawn: list[JobPower] = []
    for job in running(cluster):
        try:
            names = expand(job.nodes or "")
        except ValueError:
            continue
        known = [share for name in names if (share := _share(cluster, job, name, len(names))) is not None]
        drawn.append(JobPower(job, sum(known) if known else None, len(known) == len(names)))
    drawn.sort(key=lambda one: -(one.power_w or 0.0))
    return drawn


def _share(cluster: Cluster, job: Job, name: str, nodes: int) -> float | None:
    """A job's share of one node's power: all of it where it is alone, else by GPUs."""
    load, node = cluster.loads.get(name), cluster.nodes.get(name)
    if load is None or load.power_w is None:
        return None
    if len(cluster.jobs_on.get(name, ())) < 2:
        return load.power_w
    if node is None or not node.gpus_alloc or job.gpus_held is None:
        return None
    return load.power_w * min(1.0, job.gpus_held / nodes / node.gpus_alloc)
