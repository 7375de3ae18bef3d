"""Why a job is pending: one plain sentence, and supporting figures. Pure.

The sentence states only what is known. Slurm's Reason word is explained with the facts of this cluster; a reservation
that leaves no room for so long a job, which wacht finds itself, takes precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from collectors.model import Cluster, Factors, Fault, Job, JobDetail, Limit, Limits, Share
from widgets.units import clock_span, count, duration, percent, when

from . import slurm_reasons
from .limit_hits import (
    LimitHit,
    accounts_below,
    amount_text,
    holders,
    limit_hit,
    limit_of_hit,
    limit_text,
    limits_for,
    most_text,
    requested_amount,
)
from .queue_position import (
    JobsAhead,
    PartitionCapacity,
    ReservationBlock,
    conflicting_reservations,
    gpus_per_node,
    is_maintenance,
    jobs_ahead,
    partition_capacity,
    partitions_of,
    reservation_block,
)

#: Slurm's reasons for which a reservation that leaves no room is the better answer: Slurm reports one of these then.
_QUEUE_REASONS = ("Resources", "Priority", "ReqNodeNotAvail", "None")
_MAX_NAMED = 3
_NEAR_LIMIT = 0.8
"""Share in use from which a limit is listed among the figures, although the job does not wait for it."""


class PendingFacts(NamedTuple):
    """Answers read on demand: each a Fault where the read failed, None while it was not read."""

    detail: JobDetail | Fault | None = None
    factors: Factors | Fault | None = None
    limits: Limits | Fault | None = None
    shares: Sequence[Share] | Fault | None = None


class PendingReason(Struct, frozen=True):
    """The reason and its figures."""

    sentence: str
    figures: tuple[tuple[str, str], ...] = ()
    """Label and text, the most informative first."""


def pending_reason(job: Job, cluster: Cluster, now: float, known: PendingFacts = PendingFacts()) -> PendingReason:  # noqa: B008
    """The reason why this job is pending. Walks over all jobs and nodes."""
    detail = known.detail if isinstance(known.detail, JobDetail) else None
    reason = (job.reason or "None").partition(",")[0]
    line = jobs_ahead(job, cluster) if "jobs" in cluster.known else None
    space = partition_capacity(job, cluster) if "nodes" in cluster.known else None
    shut = None
    if {"nodes", "reservations"} <= cluster.known:
        shut = reservation_block(job, cluster, now, detail)
    meets = limit_hit(reason)
    sentence = ""
    if shut is not None and reason in _QUEUE_REASONS:
        sentence = _blocked_by_reservation(job, shut, now)
    elif meets is not None:
        sentence = _limit_sentence(job, meets, cluster, known.limits)
    elif reason in _SENTENCES:
        sentence = _SENTENCES[reason](job, cluster, now, line, space)
    if not sentence:
        sentence = slurm_reasons.reason_sentence(job, cluster, now, detail)
    return PendingReason(sentence, tuple(_figures(job, cluster, now, known, line, space, meets)))


# -- sentences that need more than Slurm's words -----------------------------------------------------------------------


def _blocked_by_reservation(job: Job, shut: ReservationBlock, now: float) -> str:
    """A reservation leaves too few nodes for the job's time limit."""
    one = shut.reservation
    what = f"{'maintenance' if is_maintenance(one) else 'reservation'} {one.name}"
    begins = one.starts or 0
    when_said = f"begins in {duration(begins - now)}" if begins > now else "is on"
    left = f"leaves it {count(shut.left)} of the {counted(job.node_count or 0, 'node')} that it needs"
    if shut.out:
        left += f" ({count(shut.out)} more {'is' if shut.out == 1 else 'are'} out of service)"
    end = when(one.ends, None, now)
    return (
        f"It asks for {_time_limit_text(job)} and {what} {when_said} and {left}: "
        f"it cannot start before that ends at {end}" + (", unless it asks for less time." if begins > now else ".")
    )


def _resources(job: Job, cluster: Cluster, now: float, line: JobsAhead | None, space: PartitionCapacity | None) -> str:
    first = "It is next in line" if line is not None and line.jobs == 0 else "It waits for its turn"
    wants = counted(job.node_count, "node") if job.node_count else "nodes"
    if job.gpus:
        wants += f" with {counted(job.gpus, 'GPU')}" + (" in all" if (job.node_count or 1) > 1 else "")
    said = f"{first} in {_partition_text(job)} and waits until {wants} {'is' if job.node_count == 1 else 'are'} free"
    if space is not None:
        if space.fitting_nodes is not None:
            each = counted(gpus_per_node(job), "GPU")
            said += f": {count(space.fitting_nodes)} of {counted(space.in_service, 'node')} in service have {each} free"
        else:
            said += f": {count(space.idle)} of {counted(space.in_service, 'node')} in service are idle"
    return said + _expected_start(job, now)


def _priority(job: Job, cluster: Cluster, now: float, line: JobsAhead | None, space: PartitionCapacity | None) -> str:
    if line is None:
        return f"Jobs with a higher priority wait ahead of it in {_partition_text(job)}" + _expected_start(job, now)
    if line.jobs == 0:
        said = "Slurm said last that others go first; now no job with a higher priority waits for its turn in "
        return said + _partition_text(job) + _expected_start(job, now)
    gpus = f"{'at least ' if not line.gpus_known else ''}{counted(line.gpus, 'GPU')}"
    verb = ("waits", "asks") if line.jobs == 1 else ("wait", "ask")
    said = f"{counted(line.jobs, 'job')} with a higher priority {verb[0]} ahead of it in {_partition_text(job)}"
    said += f" and {verb[1]} for {gpus}"
    if space is not None:
        said += f", with {counted(space.gpus_free, 'GPU')} free now"
    return said + _expected_start(job, now)


_SENTENCES: dict[str, Callable[[Job, Cluster, float, JobsAhead | None, PartitionCapacity | None], str]] = {
    "Resources": _resources,
    "Priority": _priority,
}


def _expected_start(job: Job, now: float) -> str:
    if job.expected is None:
        return "; Slurm does not say yet when it will start."
    if job.expected <= now:
        return "; Slurm expects it to start any moment."
    return f"; Slurm expects it to start in {duration(job.expected - now)}."


def _limit_sentence(job: Job, meets: LimitHit, cluster: Cluster, told: Limits | Fault | None) -> str:
    """The sentence for a limit of its QOS or its association."""
    whose = f"QOS {job.qos}" if meets.scope == "QOS" and job.qos else "its QOS" if meets.scope == "QOS" else (
        f"account {job.account}" if job.account else "its account")  # fmt: skip
    if not isinstance(told, Limits):
        kind = "more than is allowed to hold together" if meets.shared else "more than one job may have"
        because = f": {told.what}" if isinstance(told, Fault) else ""
        return (
            f"It would take {kind} under {whose} (Slurm says {job.reason}); how much is in use is not known{because}."
        )
    limit = limit_of_hit(job, meets, limits_for(job, told, _qos_of(job, cluster)))
    if limit is None:
        return f"It meets a limit of {whose} (Slurm says {job.reason}), which Slurm does not report."
    if limit.used is None:
        return _job_limit_sentence(job, limit)
    return _shared_limit_sentence(job, limit, holders(job, limit, cluster, accounts_below(limit.account, told)))


def _job_limit_sentence(job: Job, limit: Limit) -> str:
    """The sentence for a limit per job: waiting does not help, as the request stays the same."""
    most = f"one job at most {most_text(limit)}" if limit.name.endswith("PJ") else f"at most {most_text(limit)}"
    wants = requested_amount(job, limit)
    asks = f" and it asks for {amount_text(limit, wants)}" if wants is not None else ""
    if limit.name == "MaxWallPJ" and (job.time_limit_s is not None or job.unlimited):
        asks = f" and it asks for {_time_limit_text(job)}"
    setter = f"QOS {limit.qos}" if limit.qos is not None else f"Account {limit.account}"
    return f"{setter} allows {most}{asks}: it will not start as it is."


def _shared_limit_sentence(job: Job, limit: Limit, who: Sequence[tuple[str, int]]) -> str:
    """The sentence for a limit on what several jobs together hold or have used."""
    wants = requested_amount(job, limit)
    asks = f", and it asks for {amount_text(limit, wants)} more" if wants is not None and limit.tres else ""
    used = _used_text(limit)
    if limit.user is not None:
        setter = f"QOS {limit.qos}" if limit.qos is not None else f"Account {limit.account}"
        return f"{setter} allows {limit.user} {most_text(limit)}{_limit_period(limit)}: {used}{asks}."
    by = ", ".join(f"{user} {count(held)}" for user, held in who[:_MAX_NAMED])
    by += f" and {counted(len(who) - _MAX_NAMED, 'other')}" if len(who) > _MAX_NAMED else ""
    named = f" ({by})" if by else ""
    setter = f"Account {limit.account}" if limit.qos is None else f"QOS {limit.qos}"
    whose = f" for account {limit.account}" if limit.qos is not None and limit.account is not None else ""
    return f"{setter} allows {most_text(limit)}{_limit_period(limit)}{whose}: {used}{named}{asks}."


def _used_text(limit: Limit) -> str:
    if limit.tres or "Jobs" not in limit.name:
        return f"{amount_text(limit, limit.used)} {'is' if limit.used == 1 else 'are'} in use"
    if "Submit" in limit.name:
        return f"{count(limit.used)} {'is' if limit.used == 1 else 'are'} in the queue"
    return f"{count(limit.used)} {'runs' if limit.used == 1 else 'run'}"


def _limit_period(limit: Limit) -> str:
    """How the limit frees up: a budget is used up over time, anything else is released."""
    return " in all" if limit.name in {"GrpTRESMins", "GrpWall"} else " at a time"


def _qos_of(job: Job, cluster: Cluster) -> tuple[str, ...]:
    """The QOS of its partitions, whose limits apply as well."""
    rows = (cluster.partitions.get(name) for name in partitions_of(job))
    return tuple(row.qos for row in rows if row is not None and row.qos)


# -- the figures ----------------------------------------------------------------------------------------------------


def _figures(
    job: Job,
    cluster: Cluster,
    now: float,
    known: PendingFacts,
    line: JobsAhead | None,
    space: PartitionCapacity | None,
    meets: LimitHit | None,
) -> list[tuple[str, str]]:
    detail = known.detail if isinstance(known.detail, JobDetail) else None
    found = [("Slurm says", job.reason or "nothing yet")]
    if job.expected is not None:
        found.append(("expected", f"{when(job.expected, None, now)}"
                      + (f", in {duration(job.expected - now)}" if job.expected > now else "")))  # fmt: skip
    found += _limit_figures(job, cluster, known.limits, meets)
    found += _priority_figures(known.factors)
    found += _share_figures(job, known.shares)
    if line is not None and line.jobs:
        more = "" if line.gpus_known else " or more"
        found.append(("ahead", f"{counted(line.jobs, 'job')} that wait for their turn, {count(line.gpus)} GPUs{more}"))
    if space is not None:
        kept = f" and {count(space.planned)} kept for planned jobs" if space.planned else ""
        serving = f"{count(space.in_service)} of {counted(space.nodes, 'node')} in service"
        free = f"{count(space.idle)} idle{kept}, {counted(space.gpus_free, 'GPU')} free"
        found.append(("partition", f"{', '.join(partitions_of(job))}: {serving}, {free}"))
    found += _higher_tiers(job, cluster)
    for one in conflicting_reservations(job, cluster, now, detail) if "reservations" in cluster.known else ():
        begins = one.starts or 0
        said = f"begins in {duration(begins - now)}" if begins > now else f"on until {when(one.ends, None, now)}"
        kind = "maintenance" if is_maintenance(one) else "reservation"
        found.append((kind, f"{one.name} {said}, takes {counted(one.node_count, 'node')} {one.nodes or ''}".rstrip()))
    return found


def _higher_tiers(job: Job, cluster: Cluster) -> list[tuple[str, str]]:
    """Partitions that share nodes with its own and whose jobs go first whatever their priority."""
    rows = [row for name in partitions_of(job) if (row := cluster.partitions.get(name)) is not None]
    tiers = [row.priority_tier for row in rows if row.priority_tier is not None]
    if not tiers:
        return []
    above = {one.name for one in cluster.partitions.values() if (one.priority_tier or 0) > max(tiers)}
    mine = set(partitions_of(job))
    shared = {name for node in cluster.nodes.values() if not mine.isdisjoint(node.partitions)
              for name in node.partitions if name in above}  # fmt: skip
    return [("goes first", f"partition {name}, of a higher tier, shares its nodes") for name in sorted(shared)]


def _priority_figures(told: Factors | Fault | None) -> list[tuple[str, str]]:
    if isinstance(told, Fault):
        return [("priority", f"not known: {told.what}")]
    if told is None or told.priority is None:
        return []
    parts = sorted(told.points.items(), key=lambda one: -abs(one[1]))
    made = ", ".join(f"{name} {value:,}" for name, value in parts)
    return [("priority", f"{told.priority:,}" + (f" = {made}" if made else ""))]


def _share_figures(job: Job, told: Sequence[Share] | Fault | None) -> list[tuple[str, str]]:
    if told is None or isinstance(told, Fault):
        return []  # the missing factors are reported already
    own = next((one for one in told if one.user == job.user and one.account == job.account), None)
    if own is None or own.factor is None:
        return []
    said = f"factor {own.factor:.3f}"
    if own.shares_norm is not None and own.usage_part is not None:
        said += f": {percent(100 * own.shares_norm)} of the shares, {percent(100 * own.usage_part)} of the use"
    return [("fair share", f"{job.user} in {job.account}: {said}")]


def _limit_figures(
    job: Job, cluster: Cluster, told: Limits | Fault | None, meets: LimitHit | None
) -> list[tuple[str, str]]:
    if isinstance(told, Fault):
        return [("limits", f"not known: {told.what}")]
    if told is None:
        return []
    mine = limits_for(job, told, _qos_of(job, cluster))
    near = [one for one in mine if (one.share or 0.0) >= _NEAR_LIMIT or (meets is not None and one.name == meets.name)]
    near.sort(key=lambda one: -(one.share or 0.0))
    return [("limit", limit_text(one)) for one in near[:_MAX_NAMED]]


# -- words ----------------------------------------------------------------------------------------------------------


def counted(number: int | None, one: str) -> str:
    """`1 node`, `3 nodes`, and a dash where the number is unknown."""
    return f"{count(number)} {one}{'' if number == 1 else 's'}"


def _partition_text(job: Job) -> str:
    names = partitions_of(job)
    if not names:
        return "its partition"
    return f"partition {names[0]}" if len(names) == 1 else f"partitions {', '.join(names)}"


def _time_limit_text(job: Job) -> str:
    return "no time limit" if job.unlimited else _span(job.time_limit_s)


def _span(seconds: int | None) -> str:
    """A time limit: `24h`, `2 d` where it is round, else as Slurm writes it."""
    if seconds is not None and (seconds % 3600 == 0 or (seconds < 3600 and seconds % 60 == 0)):
        return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"
    return clock_span(seconds)
