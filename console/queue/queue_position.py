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
    """The jobs in the queue before this one."""

    jobs: int
    gpus: int
    gpus_known: bool
    """False where one of them does not report its GPUs: there are more then."""
    partitions: tuple[str, ...]


class PartitionCapacity(Struct, frozen=True):
    """The nodes and GPUs of a job's partitions."""

    nodes: int
    in_service: int
    """Nodes on which new work can start."""
    idle: int
    planned: int
    """Nodes that are idle because Slurm keeps them for a job that it has planned."""
    gpus_free: int
    fitting_nodes: int | None
    """Nodes in service with as many free GPUs as the job requests on each; None where it requests none, or unevenly."""


class ReservationBlock(Struct, frozen=True):
    """Reservations that leave the job too few nodes for its time limit."""

    reservation: Reservation
    """The last one that must end before there are enough nodes."""
    taken: int
    """Nodes of the job's partitions that the reservations take."""
    left: int
    """Nodes in service that they leave."""
    out: int
    """Nodes that they leave and that are out of service."""


def partitions_of(job: Job) -> tuple[str, ...]:
    """The partitions that the job may run in: a waiting job may name several."""
    return tuple(filter(None, (job.partition or "").split(",")))


def _queue_order(job: Job) -> tuple[int, int]:
    """Its sort key in the queue: priority, then number."""
    base = job.id.partition("_")[0].partition("+")[0]
    return -(job.priority or 0), int(base) if base.isdecimal() and len(base) < 16 else 0


def jobs_ahead(job: Job, cluster: Cluster) -> JobsAhead | None:
    """The jobs before this one in one of its partitions. None where its priority is unknown."""
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
    """The nodes of the job's partitions."""
    mine = set(partitions_of(job))
    return [node for node in cluster.nodes.values() if not mine.isdisjoint(node.partitions)]


def accepts_work(node: Node) -> bool:
    """Whether new work can start on a node, by its state."""
    return node.display not in UNAVAILABLE and node.display not in _NOT_ACCEPTING


def gpus_per_node(job: Job) -> int | None:
    """GPUs that the job requests on each node; None where it requests none, or they do not divide evenly."""
    count = job.node_count
    if not job.gpus or not count or job.gpus % count:
        return None
    return job.gpus // count


def partition_capacity(job: Job, cluster: Cluster) -> PartitionCapacity | None:
    """The capacity of the job's partitions. None where nodes are unknown."""
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
    """Whether a reservation keeps nodes for maintenance."""
    return not {"MAINT", "MAINTENANCE"}.isdisjoint(one.flags)


def node_names(folded: str | None) -> frozenset[str]:
    """The names in a node set; none where it cannot be parsed."""
    return frozenset(names_in(folded))


def may_use_reservation(job: Job, one: Reservation, detail: JobDetail | None) -> bool:
    """Whether the job may run inside: it requested the reservation, or the reservation takes all jobs of its users
    (MAGNETIC).
    """
    if detail is not None and one.name in detail.fields.get("resv_name", "").split(","):
        return True
    if "MAGNETIC" not in one.flags:
        return False
    return job.user in (one.users or "").split(",") or (job.account or "") in (one.accounts or "").split(",")


def conflicting_reservations(
    job: Job, cluster: Cluster, now: float, detail: JobDetail | None = None
) -> Sequence[Reservation]:
    """The reservations on usable nodes that would begin before a job started now reaches its time limit, the earliest
    first. Empty where its time limit is unknown: it might end before.
    """
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
    """The conflicting reservations, where they leave too few nodes: the job cannot start before they end with this time
    limit. None where there are none, or the number of nodes it needs is unknown.
    """
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
    # If all nodes in service would not suffice without any reservation, it waits for something else.
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
