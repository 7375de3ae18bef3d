"""Why a job is pending: one plain sentence, and the figures under it. Pure.

The sentence says no more than is known. What Slurm says (its Reason word) is turned into words with the facts of this
cluster behind them; what wacht finds by itself, a reservation that leaves no room for so long a job, comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from collectors.model import Cluster, Factors, Fault, Job, JobDetail, Limit, Limits, Share
from widgets.units import clock_span, count, duration, percent, when

from . import wait_reasons
from .limit_hits import LimitHit, asked, below, hit, holders, limits_for, of_hit
from .limit_text import limit_text, most_text, unit
from .queue_position import (
    Ahead,
    Barrier,
    Room,
    ahead,
    barrier,
    each_gpus,
    in_the_way,
    maintenance,
    partitions_of,
    room,
)

#: Reasons before which a reservation that leaves no room is the better answer: Slurm itself says one of these then.
_TURN = ("Resources", "Priority", "ReqNodeNotAvail", "None")
_NAMED_MOST = 3
_NEAR = 0.8
"""A limit of which so much is in use is told among the figures, though the job does not wait for it."""


class PendingFacts(NamedTuple):
    """What was asked for on demand, each a fault where it could not be told, None while it was not asked for."""

    detail: JobDetail | Fault | None = None
    factors: Factors | Fault | None = None
    limits: Limits | Fault | None = None
    shares: Sequence[Share] | Fault | None = None


class Why(Struct, frozen=True):
    """The answer."""

    sentence: str
    figures: tuple[tuple[str, str], ...] = ()
    """Label and text, the most telling first."""


def why(job: Job, cluster: Cluster, now: float, known: PendingFacts = PendingFacts()) -> Why:  # noqa: B008
    """Why this waiting job waits. Walks over all jobs and nodes."""
    detail = known.detail if isinstance(known.detail, JobDetail) else None
    reason = (job.reason or "None").partition(",")[0]
    line = ahead(job, cluster) if "jobs" in cluster.known else None
    space = room(job, cluster) if "nodes" in cluster.known else None
    shut = None
    if {"nodes", "reservations"} <= cluster.known:
        shut = barrier(job, cluster, now, detail)
    meets = hit(reason)
    sentence = ""
    if shut is not None and reason in _TURN:
        sentence = _shut(job, shut, now)
    elif meets is not None:
        sentence = _limited(job, meets, cluster, known.limits)
    elif reason in _WAITS:
        sentence = _WAITS[reason](job, cluster, now, line, space)
    if not sentence:
        sentence = wait_reasons.sentence(job, cluster, now, detail)
    return Why(sentence, tuple(_figures(job, cluster, now, known, line, space, meets)))


# -- the sentences that need more than the words of Slurm -------------------------------------------------------------


def _shut(job: Job, shut: Barrier, now: float) -> str:
    """A reservation leaves too few nodes for as long as it asks for."""
    one = shut.reservation
    what = f"{'maintenance' if maintenance(one) else 'reservation'} {one.name}"
    begins = one.starts or 0
    when_said = f"begins in {duration(begins - now)}" if begins > now else "is on"
    left = f"leaves it {count(shut.left)} of the {things(job.node_count or 0, 'node')} that it needs"
    if shut.out:
        left += f" ({count(shut.out)} more {'is' if shut.out == 1 else 'are'} out of service)"
    end = when(one.ends, None, now)
    return f"It asks for {_asks(job)} and {what} {when_said} and {left}: it cannot start before that ends at {end}" + (
        ", unless it asks for less time." if begins > now else "."
    )


def _resources(job: Job, cluster: Cluster, now: float, line: Ahead | None, space: Room | None) -> str:
    first = "It is next in line" if line is not None and line.jobs == 0 else "It waits for its turn"
    wants = things(job.node_count, "node") if job.node_count else "nodes"
    if job.gpus:
        wants += f" with {things(job.gpus, 'GPU')}" + (" in all" if (job.node_count or 1) > 1 else "")
    said = f"{first} in {_in(job)} and waits until {wants} {'is' if job.node_count == 1 else 'are'} free"
    if space is not None:
        if space.fit is not None:
            each = things(each_gpus(job), "GPU")
            said += f": {count(space.fit)} of {things(space.serving, 'node')} in service have {each} free"
        else:
            said += f": {count(space.idle)} of {things(space.serving, 'node')} in service are idle"
    return said + _soon(job, now)


def _priority(job: Job, cluster: Cluster, now: float, line: Ahead | None, space: Room | None) -> str:
    if line is None:
        return f"Jobs with a higher priority wait ahead of it in {_in(job)}" + _soon(job, now)
    if line.jobs == 0:
        said = "Slurm said last that others go first; now no job with a higher priority waits for its turn in "
        return said + _in(job) + _soon(job, now)
    gpus = f"{'at least ' if not line.gpus_known else ''}{things(line.gpus, 'GPU')}"
    verb = ("waits", "asks") if line.jobs == 1 else ("wait", "ask")
    said = f"{things(line.jobs, 'job')} with a higher priority {verb[0]} ahead of it in {_in(job)}"
    said += f" and {verb[1]} for {gpus}"
    if space is not None:
        said += f", with {things(space.gpus_free, 'GPU')} free now"
    return said + _soon(job, now)


_WAITS: dict[str, Callable[[Job, Cluster, float, Ahead | None, Room | None], str]] = {
    "Resources": _resources,
    "Priority": _priority,
}


def _soon(job: Job, now: float) -> str:
    if job.expected is None:
        return "; Slurm does not say yet when it will start."
    if job.expected <= now:
        return "; Slurm expects it to start any moment."
    return f"; Slurm expects it to start in {duration(job.expected - now)}."


def _limited(job: Job, meets: LimitHit, cluster: Cluster, told: Limits | Fault | None) -> str:
    """A limit of its QOS or its association."""
    whose = f"QOS {job.qos}" if meets.scope == "QOS" and job.qos else "its QOS" if meets.scope == "QOS" else (
        f"account {job.account}" if job.account else "its account")  # fmt: skip
    if not isinstance(told, Limits):
        kind = "more than is allowed to hold together" if meets.together else "more than one job may have"
        because = f": {told.what}" if isinstance(told, Fault) else ""
        return (
            f"It would take {kind} under {whose} (Slurm says {job.reason}); how much is in use is not known{because}."
        )
    limit = of_hit(job, meets, limits_for(job, told, _qos_of(job, cluster)))
    if limit is None:
        return f"It meets a limit of {whose} (Slurm says {job.reason}), which Slurm does not tell us."
    if limit.used is None:
        return _too_much(job, limit)
    return _in_use(job, limit, holders(job, limit, cluster, below(limit.account, told)))


def _too_much(job: Job, limit: Limit) -> str:
    """A limit of one job alone: what it asks for is no less tomorrow."""
    most = f"one job at most {most_text(limit)}" if limit.name.endswith("PJ") else f"at most {most_text(limit)}"
    wants = asked(job, limit)
    asks = f" and it asks for {unit(limit, wants)}" if wants is not None else ""
    if limit.name == "MaxWallPJ" and (job.time_limit_s is not None or job.unlimited):
        asks = f" and it asks for {_asks(job)}"
    setter = f"QOS {limit.qos}" if limit.qos is not None else f"Account {limit.account}"
    return f"{setter} allows {most}{asks}: it will not start as it is."


def _in_use(job: Job, limit: Limit, who: Sequence[tuple[str, int]]) -> str:
    """A limit of what several jobs hold, or have used, together."""
    wants = asked(job, limit)
    asks = f", and it asks for {unit(limit, wants)} more" if wants is not None and limit.tres else ""
    used = _used(limit)
    if limit.user is not None:
        setter = f"QOS {limit.qos}" if limit.qos is not None else f"Account {limit.account}"
        return f"{setter} allows {limit.user} {most_text(limit)}{_when(limit)}: {used}{asks}."
    by = ", ".join(f"{user} {count(held)}" for user, held in who[:_NAMED_MOST])
    by += f" and {things(len(who) - _NAMED_MOST, 'other')}" if len(who) > _NAMED_MOST else ""
    named = f" ({by})" if by else ""
    setter = f"Account {limit.account}" if limit.qos is None else f"QOS {limit.qos}"
    whose = f" for account {limit.account}" if limit.qos is not None and limit.account is not None else ""
    return f"{setter} allows {most_text(limit)}{_when(limit)}{whose}: {used}{named}{asks}."


def _used(limit: Limit) -> str:
    if limit.tres or "Jobs" not in limit.name:
        return f"{unit(limit, limit.used)} {'is' if limit.used == 1 else 'are'} in use"
    if "Submit" in limit.name:
        return f"{count(limit.used)} {'is' if limit.used == 1 else 'are'} in the queue"
    return f"{count(limit.used)} {'runs' if limit.used == 1 else 'run'}"


def _when(limit: Limit) -> str:
    """A budget is used up over time, anything else is given back."""
    return " in all" if limit.name in {"GrpTRESMins", "GrpWall"} else " at a time"


def _qos_of(job: Job, cluster: Cluster) -> tuple[str, ...]:
    """The QOS of its partitions, whose limits count as well."""
    rows = (cluster.partitions.get(name) for name in partitions_of(job))
    return tuple(row.qos for row in rows if row is not None and row.qos)


# -- the figures ----------------------------------------------------------------------------------------------------


def _figures(
    job: Job,
    cluster: Cluster,
    now: float,
    known: PendingFacts,
    line: Ahead | None,
    space: Room | None,
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
        found.append(("ahead", f"{things(line.jobs, 'job')} that wait for their turn, {count(line.gpus)} GPUs{more}"))
    if space is not None:
        kept = f" and {count(space.planned)} kept for planned jobs" if space.planned else ""
        serving = f"{count(space.serving)} of {things(space.nodes, 'node')} in service"
        free = f"{count(space.idle)} idle{kept}, {things(space.gpus_free, 'GPU')} free"
        found.append(("partition", f"{', '.join(partitions_of(job))}: {serving}, {free}"))
    found += _higher(job, cluster)
    for one in in_the_way(job, cluster, now, detail) if "reservations" in cluster.known else ():
        begins = one.starts or 0
        said = f"begins in {duration(begins - now)}" if begins > now else f"on until {when(one.ends, None, now)}"
        kind = "maintenance" if maintenance(one) else "reservation"
        found.append((kind, f"{one.name} {said}, takes {things(one.node_count, 'node')} {one.nodes or ''}".rstrip()))
    return found


def _higher(job: Job, cluster: Cluster) -> list[tuple[str, str]]:
    """Partitions that share nodes with its own, and whose jobs go first whatever their priority."""
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
        return []  # where there are no factors, that is said already
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
    near = [one for one in mine if (one.share or 0.0) >= _NEAR or (meets is not None and one.name == meets.name)]
    near.sort(key=lambda one: -(one.share or 0.0))
    return [("limit", limit_text(one)) for one in near[:_NAMED_MOST]]


# -- words ----------------------------------------------------------------------------------------------------------


def things(number: int | None, one: str) -> str:
    """`1 node`, `3 nodes`, and a dash where it is not known."""
    return f"{count(number)} {one}{'' if number == 1 else 's'}"


def _in(job: Job) -> str:
    names = partitions_of(job)
    if not names:
        return "its partition"
    return f"partition {names[0]}" if len(names) == 1 else f"partitions {', '.join(names)}"


def _asks(job: Job) -> str:
    return "no time limit" if job.unlimited else _span(job.time_limit_s)


def _span(seconds: int | None) -> str:
    """A time limit as people say it where it is round: `24h`, `2 d`; else as Slurm writes it."""
    if seconds is not None and (seconds % 3600 == 0 or (seconds < 3600 and seconds % 60 == 0)):
        return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"
    return clock_span(seconds)
