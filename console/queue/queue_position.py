"""The position of a pending job: jobs ahead, capacity of its partitions, reservations in conflict. Pure; it walks over
all jobs and nodes, so it is called off the event loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.model import Cluster, Job, JobDetail, Node, Reservation
from collectors.nodeset import names_in
from collectors.nodestate import UNAVAILABLE

#: Reasons of jobs that wait only for their turn.
QUEUE_REASONS = frozenset({"Priority", "Resources"})
#: Display words of nodes that a reservation holds now.
_RESERVED = frozenset({"maintenance", "reserved"})
#: Display words of healthy nodes that accept no general work.
_NOT_ACCEPTING = _RESERVED | {"powered off", "blocked"}


class JobsAhead(Struct, frozen=True):
    """The jobs that wait for their turn before this one."""

    jobs: int
    gpus: int
    gpus_known: bool
    """False where one of them does not say how many GPUs it asks for: then there are more."""
    partitions: tuple[str, ...]


class PartitionCapacity(Struct, frozen=True):
    """What the partitions of a job have."""

    nodes: int
    in_service: int
    """Nodes on which new work can start."""
    idle: int
    planned: int
    """Nodes that stand idle because Slurm keeps them for a job that it has planned."""
    gpus_free: int
    fitting_nodes: int | None
    """Nodes in service with as many free GPUs as the job asks for on each; None where it asks for none, or unevenly."""


class ReservationBlock(Struct, frozen=True):
    """Reservations that leave the job too few nodes for as long as it asks for."""

    reservation: Reservation
    """The last that must end before there are enough."""
    taken: int
    """Nodes of the job's partitions that they take."""
    left: int
    """Nodes in service that they leave."""
    out: int
    """Nodes that they leave and that are out of service."""


def partitions_of(job: Job) -> tuple[str, ...]:
    """Those it may run in: a waiting job may name several."""
    return tuple(filter(None, (job.partition or "").split(",")))


def _queue_order(job: Job) -> tuple[int, int]:
    """Its place in the line: by priority, then by number."""
    base = job.id.partition("_")[0].partition("+")[0]
    return -(job.priority or 0), int(base) if base.isdecimal() and len(base) < 16 else 0


def jobs_ahead(job: Job, cluster: Cluster) -> JobsAhead | None:
    """Who waits for his turn before this job in one of its partitions. None where its priority is not known."""
    mine = set(partitions_of(job))
    if job.priority is None or not mine:
        return None
    place = _queue_order(job)
    jobs = gpus = 0
    known = True
    for one in cluster.jobs.values():
        if one.state != "PENDING" or one.reason not in QUEUE_REASONS or one.id == job.id or one.priority is None:
            continue
        if one.partition not in mine and mine.isdisjoint(partitions_of(one)):
            continue
        if _queue_order(one) < place:
            jobs += 1
            if one.gpus is None:
                known = False
            else:
                gpus += one.gpus
    return JobsAhead(jobs, gpus, known, tuple(sorted(mine)))


def nodes_of(job: Job, cluster: Cluster) -> Sequence[Node]:
    """The nodes of its partitions."""
    mine = set(partitions_of(job))
    return [node for node in cluster.nodes.values() if not mine.isdisjoint(node.partitions)]


def accepts_work(node: Node) -> bool:
    """Whether new work can start on it, as far as its state tells."""
    return node.display not in UNAVAILABLE and node.display not in _NOT_ACCEPTING


def gpus_per_node(job: Job) -> int | None:
    """GPUs that it asks for on each node, None where it asks for none, or they do not divide evenly."""
    count = job.node_count
    if not job.gpus or not count or job.gpus % count:
        return None
    return job.gpus // count


def partition_capacity(job: Job, cluster: Cluster) -> PartitionCapacity | None:
    """What there is for it. None where nodes are not known."""
    nodes = nodes_of(job, cluster)
    if not nodes:
        return None
    each = gpus_per_node(job)
    serving = [node for node in nodes if accepts_work(node)]
    free = [max(0, (node.gpus or 0) - (node.gpus_alloc or 0)) for node in serving]
    return PartitionCapacity(
        nodes=len(nodes),
        in_service=len(serving),
        idle=sum(node.display == "idle" for node in serving),
        planned=sum(node.display == "planned" for node in serving),
        gpus_free=sum(free),
        fitting_nodes=None if each is None else sum(one >= each for one in free),
    )


def is_maintenance(one: Reservation) -> bool:
    """Whether it keeps nodes for work on them."""
    return not {"MAINT", "MAINTENANCE"}.isdisjoint(one.flags)


def node_names(folded: str | None) -> frozenset[str]:
    """The names in a node set; none where it cannot be read."""
    return frozenset(names_in(folded))


def may_use_reservation(job: Job, one: Reservation, detail: JobDetail | None) -> bool:
    """Whether the job may run inside: it asked for it, or it draws in all jobs of its users (MAGNETIC)."""
    if detail is not None and one.name in detail.fields.get("resv_name", "").split(","):
        return True
    if "MAGNETIC" not in one.flags:
        return False
    return job.user in (one.users or "").split(",") or (job.account or "") in (one.accounts or "").split(",")


def conflicting_reservations(
    job: Job, cluster: Cluster, now: float, detail: JobDetail | None = None
) -> Sequence[Reservation]:
    """The reservations that would begin before a job started now has reached its time limit, and that take nodes which
    it could use, the first to begin first. None where its time limit is not known: it might be over before."""
    seconds = math.inf if job.unlimited else job.time_limit_s
    if seconds is None:
        return ()
    if detail is not None and detail.time_min_s is not None:
        seconds = min(seconds, detail.time_min_s)
    mine = set(partitions_of(job))
    found = []
    for one in cluster.reservations.values():
        if one.starts is None or one.ends is None or one.ends <= now or one.starts >= now + seconds:
            continue
        if may_use_reservation(job, one, detail):
            continue
        names = node_names(one.nodes)
        if any(name in names and not mine.isdisjoint(node.partitions) for name, node in _known(names, cluster.nodes)):
            found.append(one)
    return sorted(found, key=lambda one: one.starts or 0)


def _known(names: Iterable[str], nodes: Mapping[str, Node]) -> Iterable[tuple[str, Node]]:
    return ((name, nodes[name]) for name in names if name in nodes)


def reservation_block(
    job: Job, cluster: Cluster, now: float, detail: JobDetail | None = None
) -> ReservationBlock | None:
    """The reservations in its way, where they leave too few nodes for it: it cannot start before they end, as long as
    it asks for so much time. None where there are none such, or it is not known how many nodes it needs."""
    needs = job.node_count
    every = nodes_of(job, cluster)
    wanted = node_names(detail.fields.get("required_nodes")) if detail is not None else frozenset()
    if detail is not None and (excluded := node_names(detail.fields.get("excluded_nodes"))):
        every = [node for node in every if node.name not in excluded]
    if wanted:
        every = [node for node in every if node.name in wanted]
        needs = len(wanted)
    standing = conflicting_reservations(job, cluster, now, detail)
    if not needs or not every or not standing:
        return None
    sets = [(one, node_names(one.nodes)) for one in sorted(standing, key=lambda one: one.ends or 0)]
    taken = frozenset().union(*(names for _, names in sets))
    free = [node for node in every if node.name not in taken]
    left = sum(accepts_work(node) for node in free)
    # All nodes that are in service without any reservation would not do either: then it waits for something else.
    if left >= needs or sum(accepts_work(node) or node.display in _RESERVED for node in every) < needs:
        return None
    last = sets[-1][0]
    for at, (one, _) in enumerate(sets):
        still = frozenset().union(*(names for _, names in sets[at + 1 :]))
        if sum((accepts_work(node) or node.display in _RESERVED) and node.name not in still for node in every) >= needs:
            last = one
            break
    mine = {node.name for node in every}
    return ReservationBlock(last, len(taken & mine), left, len(free) - left)
