"""The impact of actions on partitions, reservations and users: who is affected, and what changes for them. Pure.

Each line is a label, its text and its role, as the preview shows them (`console.gate.preview`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from collectors.model import Cluster, Job, Partition, Reservation, User
from collectors.nodeset import fold, names_in
from collectors.slurm.operations import epoch_of
from console.health import hidden_jobs
from console.runtime.memo import remembered
from widgets.units import count, duration, when

from . import reservations
from .plan import Plan

T = TypeVar("T")
Line = tuple[str, str, str]
#: Most partitions, accounts or jobs that a screen names.
_NAMED = 3


# -- partitions -------------------------------------------------------------------------------------------------------


class PartitionJobs(Struct, frozen=True):
    """Number of jobs by partition."""

    running: Mapping[str, int]
    waiting: Mapping[str, int]
    alone: Mapping[str, int]
    """Waiting jobs that may start in no other partition."""


@remembered("jobs")
def partition_jobs(cluster: Cluster) -> PartitionJobs:
    """Count the jobs of each partition. Jobs are first grouped by partition list and state, to parse each list once."""
    ways = Counter((job.partition or "", job.state == "PENDING") for job in cluster.jobs.values())
    running: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for (named, waits), number in ways.items():
        names = named.split(",")
        for name in names:
            (waiting if waits else running)[name] += number
            if waits and len(names) == 1:
                alone[name] += number
    return PartitionJobs(running, waiting, alone)


@remembered("nodes")
def overlapping_partitions(cluster: Cluster) -> Mapping[str, Mapping[str, int]]:
    """Partition to the partitions that share nodes with it, and how many nodes, most first."""
    found: dict[str, Counter[str]] = {}
    for node in cluster.nodes.values():
        for name in node.partitions:
            found.setdefault(name, Counter()).update(other for other in node.partitions if other != name)
    return {name: dict(others.most_common()) for name, others in found.items()}


def closed(plan: Plan, whole: bool) -> Sequence[Line]:
    """Nodes, running jobs that go on, and jobs that will wait, for each partition."""
    cluster = plan.cluster
    made: list[Line] = []
    for name, row in plan.rows.items():
        if isinstance(row, Partition):
            size = f"{_counted(row.node_count, 'node')}, {_counted(row.gpus, 'GPU')}"
            made.append(("closes", f"{name}: {size}", "text-strong"))
        if "jobs" not in cluster.known:
            made.append(("jobs", f"{name}: unknown how many run and wait: the jobs were never read", "warn"))
            continue
        at = partition_jobs(cluster)
        waiting = at.waiting.get(name, 0)
        running = _counted(at.running.get(name, 0), "job")
        made.append(("goes on", f"{running} of {name}, until they end: nothing is killed", ""))
        hidden = hidden_jobs.nodes_with_hidden_jobs(
            cluster, (node.name for node in cluster.nodes.values() if name in node.partitions)
        )
        if hidden:
            made.append(("goes on", f"more of {name}: {hidden_jobs.hidden_jobs_text(hidden)}", "warn"))
        more = waiting - at.alone.get(name, 0)
        also = f"; {count(more)} of these may start elsewhere too" if more else ""
        role = "warn" if waiting else ""
        made.append(("waits then", f"{_counted(waiting, 'job')} of {name}, and every new one{also}", role))
        others = overlapping_partitions(cluster).get(name)
        if others:
            few = ", ".join(f"{other} ({_counted(of, 'node')})" for other, of in _first(others.items(), whole))
            made.append(("still starts", f"what was sent to {few}: they have nodes of {name} too", ""))
    made.append(("until", "partition-up; “Attention” reminds of it as long as it lasts", "text-dim"))
    return made


def opened(plan: Plan, _: bool) -> Sequence[Line]:
    cluster = plan.cluster
    made: list[Line] = []
    for name, row in plan.rows.items():
        if "jobs" in cluster.known:
            waiting = _counted(partition_jobs(cluster).waiting.get(name, 0), "job")
            made.append(("may start", f"{waiting} of {name}", "text-strong"))
        if isinstance(row, Partition) and row.state != "DOWN":
            made.append(("was", f"{name} is {row.state}; an undo sets it DOWN, not {row.state}", "warn"))
    return made


# -- reservations -----------------------------------------------------------------------------------------------------


def reserved(plan: Plan, whole: bool) -> Sequence[Line]:
    """Name, users, start, end, meaning of each flag, and running jobs that cross its start."""
    said, now = plan.change.settings, plan.cluster.at
    seconds = int(said["for"])
    begins = now if said["start"] == "now" else int(said["start"])
    allowed = [f"{word} {said[key].replace(',', ', ')}" for key, word in (("users", "users"), ("accounts", "accounts"))
            if key in said]  # fmt: skip
    no_users = " (no users given: no other job starts there)" if "users" not in plan.options.settings and (
        "accounts" not in plan.options.settings) else ""  # fmt: skip
    made: list[Line] = [
        ("reservation", f"{said['name']}, for {' and '.join(allowed)}{no_users}", "text-strong"),
        ("begins", "now" if said["start"] == "now" else _when(begins, now), ""),
        ("ends", f"{_when(begins + seconds, now)}, after {duration(seconds)}", ""),
    ]
    flags = said.get("flags", "")
    made += [(flag, reservations.FLAG_TEXTS[flag], "warn") for flag in flags.split(",") if flag]
    if "jobs" not in plan.cluster.known:
        return [*made, ("crosses it", "unknown: the jobs were never read", "warn")]
    crossing = reservations.crossing_jobs(plan.cluster, tuple(plan.rows), begins, now)
    if crossing:
        made += [("crosses it", f"{_counted(len(crossing), 'job')}: they go on inside it until they end", "warn"),
                 ("crosses it", _few(crossing, whole), "warn")]  # fmt: skip
    hidden = hidden_jobs.nodes_with_hidden_jobs(plan.cluster, plan.rows)
    if hidden:
        made.append(("crosses it", hidden_jobs.hidden_jobs_text(hidden), "warn"))
    elif not crossing:
        made.append(("crosses it", "no job", ""))
    over = [one.name for one in plan.cluster.reservations.values()
            if (one.starts or 0) < begins + seconds and (one.ends is None or one.ends > begins)
            and not frozenset(plan.rows).isdisjoint(names_in(one.nodes))]  # fmt: skip
    return [*made, ("lies over", ", ".join(over), "warn")] if over else made


def extended(plan: Plan, _: bool) -> Sequence[Line]:
    made: list[Line] = []
    for name, row in plan.rows.items():
        ends = plan.change.values.get(name)
        if not isinstance(row, Reservation) or row.ends is None or ends is None:
            continue
        then = epoch_of(ends)
        more = then - row.ends
        shift = f"{duration(abs(more))} {'later' if more > 0 else 'sooner'}"
        role = "text-strong" if more > 0 else "warn"
        now = plan.cluster.at
        made.append(("ends then", f"{name}: {_when(then, now)}, {shift} (now {_when(row.ends, now)})", role))
        if more < 0:
            made.append(
                ("shorter", f"{name}: Slurm kills its jobs that run past the end, but for FLEX and ResvOverRun", "bad")
            )
    return made


def deleted(plan: Plan, whole: bool) -> Sequence[Line]:
    """Who can use the nodes again. The pre-flight reports the jobs that ask for the reservation."""
    made: list[Line] = []
    for name, row in plan.rows.items():
        if not isinstance(row, Reservation):
            continue
        nodes = names_in(row.nodes)
        parts = Counter(part for node in nodes if node in plan.cluster.nodes
                        for part in plan.cluster.nodes[node].partitions)  # fmt: skip
        whom = row.users or row.accounts or row.groups or "unknown users"
        until = "" if row.ends is None else f", until {_when(row.ends, plan.cluster.at)}"
        made.append(("it is", f"{name}: for {whom}{until}{f': {row.comment}' if row.comment else ''}", ""))
        free = f"{_counted(len(nodes), 'node')} {fold(nodes)}" if nodes else "its nodes, which are not known"
        role = "text-strong"
        where = f" in {', '.join(part for part, _ in _first(parts.most_common(), whole))}" if parts else ""
        made.append(("free again", f"{free}, for everybody's jobs{where}", role))
    return made


# -- users ------------------------------------------------------------------------------------------------------------


def blocked(plan: Plan, _: bool) -> Sequence[Line]:
    made: list[Line] = []
    for name, row in plan.rows.items():
        if isinstance(row, User):
            accounts = dict.fromkeys(one.account for one in row.associations)
            made.append(("in accounts", f"{name}: {', '.join(accounts)}, on {row.cluster} alone", ""))
            if row.enforced is None:
                made.append(("enforced", "unknown whether slurmctld holds to limits", "warn"))
        if "jobs" not in plan.cluster.known:
            made.append(("goes on", f"{name}: unknown: the jobs were never read", "warn"))
            continue
        running, waiting = _jobs_of(plan.cluster, name)
        goes = f"{name}: {_counted(running, 'job')} run, {_counted(waiting, 'job')} wait and will start"
        ends = f"; wacht act cancel user={name} ends them" if running + waiting else ""
        made.append(("goes on", goes + ends, "warn" if running + waiting else ""))
    if hidden := hidden_jobs.nodes_with_hidden_jobs(plan.cluster, plan.cluster.nodes):
        many = _counted(len(hidden), "node")
        work = f"whether more goes on is unknown: of what runs on {many} no job is shown to you"
        made.append(("goes on", work, "warn"))
    made.append(("until", "unblock; “Attention” reminds of it as long as it lasts", "text-dim"))
    return made


def unblocked(plan: Plan, _: bool) -> Sequence[Line]:
    made: list[Line] = []
    for name, limits in plan.change.values.items():
        each = [
            f"{account}: {'no limit of its own' if limit == '-1' else f'{limit} jobs at once'}"
            for account, _, limit in (one.partition("=") for one in limits.split(","))
        ]
        given = "" if name in plan.options.settings else "; what stood there before the block, its undo gives back"
        made.append(("gets", f"{name}: {', '.join(each)}{given}", "text-strong"))
    return made


def _jobs_of(cluster: Cluster, user: str) -> tuple[int, int]:
    """Number of running and of waiting jobs of a user."""
    states = Counter(job.state == "PENDING" for job in cluster.jobs.values() if job.user == user)
    return states[False], states[True]


# -- words ------------------------------------------------------------------------------------------------------------


def _counted(number: int | None, what: str) -> str:
    return f"{count(number)} {what}{'' if number == 1 else 's'}"


def _first(things: Iterable[T], whole: bool) -> Sequence[T]:
    every = list(things)
    return every if whole else every[:_NAMED]


def _few(jobs: Sequence[Job], whole: bool) -> str:
    named = _first(jobs, whole)
    few = ", ".join(f"{job.id} {job.user} {job.name if whole else job.name[:24]}" for job in named)
    return f"{few} and {len(jobs) - len(named):,} more" if len(jobs) > len(named) else few


def _when(epoch: float, now: float) -> str:
    away = epoch - now
    return f"{when(epoch, None, now)} ({f'in {duration(away)}' if away > 0 else f'{duration(-away)} ago'})"
