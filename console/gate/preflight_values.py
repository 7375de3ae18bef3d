"""What is looked at before something is set on jobs and nodes, or a job is stopped or signalled. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from collectors.jobstate import WAITING
from collectors.model import Job, Node, Reservation
from collectors.nodeset import names_in
from collectors.slurm.commands.argv_jobs import UNLIMITED
from collectors.slurm.fields import duration_s
from console.actions.plan import Check
from widgets.units import duration, when

from .preflight_reads import PreflightContext

#: Seconds that a running job must keep: a preview may be so old when it is confirmed, and what ends a job at once is a
#: cancel, which asks for a count.
KEEPS_S = 600
#: Signals that a process without a handler survives.
_HARMLESS = frozenset({"CONT"})
#: Jobs that are named of those that bind a reservation.
_JOBS_NAMED = 5


# -- time limits ------------------------------------------------------------------------------------------------------


def _timelimit(job: Job, known: PreflightContext, found: list[Check]) -> None:
    given = known.values.get(job.id, "")
    # Without a limit no end is known: it lies behind the begin of everything that is booked, now or later.
    limit = math.inf if given == UNLIMITED else duration_s(given)
    if limit is None:
        return
    waits = job.state in WAITING
    if not waits and _kills(job, limit, known, found):
        return
    if limit == math.inf:
        then = "it starts on no node that one will need" if waits else "each that begins on its nodes finds it there"
        found.append(Check(job.id, "warn", f"no reservation and no maintenance bounds it: {then}", "limit-unbounded"))
    part = known.cluster.partitions.get(job.partition or "")
    if part is not None and part.time_limit_s is not None and limit > part.time_limit_s:
        then = "it would wait for ever" if waits else "it goes on, and nobody else may run as long there"
        found.append(
            Check(
                job.id,
                "warn",
                f"longer than {part.name} allows ({duration(part.time_limit_s)}): {then}",
                "limit-over-partition",
                (part.name,),
            )
        )
    if "reservations" not in known.cluster.known:
        found.append(
            Check(job.id, "unknown", "whether a reservation is in its way: they were not read", "reservations-not-read")
        )
        return
    for one in sorted(known.cluster.reservations.values(), key=lambda one: one.starts or 0):
        if one.starts is not None and one.starts > known.now:
            said = _before(job, limit, one, known) if waits else _crosses(job, limit, one, known)
            if said:
                found.append(Check(job.id, "warn", said, "limit-over-reservation", (one.name,)))


def _kills(job: Job, limit: float, known: PreflightContext, found: list[Check]) -> bool:
    """True, and said, where a lower limit would end a job that runs."""
    if limit == math.inf or (job.time_limit_s is not None and limit >= job.time_limit_s):
        return False
    if job.started is None:
        found.append(
            Check(job.id, "bad", "when it began is not known: less than it has run would kill it", "start-unknown")
        )
        return True
    has_run = known.now - job.started
    if limit - has_run < KEEPS_S:
        left = f"in {duration(limit - has_run)}" if limit > has_run else "at once"
        found.append(
            Check(
                job.id,
                "refused",
                f"it has run {duration(has_run)}: that would kill it {left}; :cancel does",
                "limit-kills",
            )
        )
        return True
    sooner = f" {duration(job.time_limit_s - limit)} sooner" if job.time_limit_s is not None else ""
    found.append(
        Check(job.id, "warn", f"it would be killed{sooner}, in {duration(limit - has_run)}", "limit-shortened")
    )
    return False


def _crosses(job: Job, limit: float, one: Reservation, known: PreflightContext) -> str:
    """A running job that would still be there when a reservation of its nodes begins."""
    if job.started is None or one.starts is None or job.started + limit <= one.starts:
        return ""
    both = frozenset(names_in(job.nodes)) & frozenset(names_in(one.nodes))
    if not both:
        return ""
    begins = when(one.starts, None, known.now)
    return f"it would run into {_called(one)} of {len(both):,} of its nodes, which begins {begins}"


def _before(job: Job, limit: float, one: Reservation, known: PreflightContext) -> str:
    """A waiting job that can no longer end before a reservation of its partition begins."""
    part = known.cluster.partitions.get(job.partition or "")
    if part is None or one.starts is None or known.now + limit <= one.starts:
        return ""
    of_it, taken = frozenset(names_in(part.nodes)), frozenset(names_in(one.nodes))
    both = of_it & taken
    if not both:
        return ""
    begins = when(one.starts, None, known.now)
    if len(of_it) - len(both) < (job.node_count or 1):
        return f"it could no longer start before {_called(one)} begins ({begins}): it would wait until that is over"
    return f"{len(both):,} of {len(of_it):,} nodes of {part.name} would be closed to it: {_called(one)} begins {begins}"


def _called(one: Reservation) -> str:
    return f"{'the maintenance' if 'MAINT' in one.flags else 'reservation'} {one.name}"


# -- where a job waits ------------------------------------------------------------------------------------------------


def _jobpartition(job: Job, known: PreflightContext, found: list[Check]) -> None:
    rows = known.cluster.partitions
    if "partitions" not in known.cluster.known:
        found.append(
            Check(job.id, "unknown", "whether there is such a partition: they were not read", "partitions-not-read")
        )
        return
    for name in known.values.get(job.id, "").split(","):
        part = rows.get(name)
        if part is None:
            found.append(
                Check(
                    job.id,
                    "refused",
                    f"there is no partition {name}; there is {', '.join(rows)}",
                    "no-partition",
                    (name,),
                )
            )
            continue
        if part.state != "UP":
            found.append(
                Check(
                    job.id,
                    "warn",
                    f"{name} is {part.state}: nothing starts there",
                    "partition-not-up",
                    (name, part.state),
                )
            )
        if part.time_limit_s is not None and (job.time_limit_s is None or job.time_limit_s > part.time_limit_s):
            found.append(
                Check(
                    job.id,
                    "warn",
                    f"its time limit is longer than {name} allows ({duration(part.time_limit_s)})",
                    "limit-over-partition",
                    (name,),
                )
            )
        if part.node_count is not None and (job.node_count or 0) > part.node_count:
            found.append(
                Check(
                    job.id,
                    "warn",
                    f"it asks for {job.node_count:,} nodes, {name} has {part.node_count:,}",
                    "partition-small",
                    (name,),
                )
            )


def _exclude(job: Job, known: PreflightContext, found: list[Check]) -> None:
    names = frozenset(names_in(known.values.get(job.id)))
    unknown = sorted(names - known.cluster.nodes.keys())
    if unknown:
        more = f" and {len(unknown) - 3:,} more" if len(unknown) > 3 else ""
        found.append(
            Check(job.id, "refused", f"unknown nodes: {', '.join(unknown[:3])}{more}", "nodes-unknown", (*unknown,))
        )
        return
    part = known.cluster.partitions.get(job.partition or "")
    left = frozenset(names_in(part.nodes)) - names if part is not None else None
    if names and left is not None and part is not None and len(left) < (job.node_count or 1):
        found.append(
            Check(
                job.id,
                "warn",
                f"that leaves {len(left):,} nodes of {part.name}, it asks for {job.node_count or 1:,}",
                "too-few-nodes",
                (part.name,),
            )
        )


# -- what stops and signals -------------------------------------------------------------------------------------------


def _suspend(job: Job, _: PreflightContext, found: list[Check]) -> None:
    found.append(
        Check(
            job.id,
            "warn",
            "its CPUs are free for others, what it has in memory, of the GPUs too, stays there",
            "memory-stays",
        )
    )
    if (job.node_count or 1) > 1:
        found.append(
            Check(
                job.id, "note", "its processes on several nodes may time out on each other meanwhile", "steps-time-out"
            )
        )


def _unsuspend(job: Job, _: PreflightContext, found: list[Check]) -> None:
    found.append(Check(job.id, "note", "it waits until nobody else runs on its CPUs", "cpus-busy"))


def _signal(job: Job, known: PreflightContext, found: list[Check]) -> None:
    batch, _, name = known.values.get(job.id, "").rpartition(":")
    who = "its batch script" if batch else "the processes of its steps, not its batch script"
    if name == "KILL":
        found.append(
            Check(
                job.id,
                "warn",
                f"it kills {'its batch script' if batch else 'the job'} at once",
                "signal-kills",
                (name,),
            )
        )
    elif name == "STOP":
        found.append(
            Check(job.id, "warn", f"{who} stop, its time goes on; CONT lets them go on", "signal-stops", (name,))
        )
    elif name in _HARMLESS:
        found.append(Check(job.id, "note", f"{who} get it", "signal-sent", (name,)))
    else:
        found.append(
            Check(
                job.id, "warn", f"{who} get it: one that does not handle {name} dies of it", "signal-may-kill", (name,)
            )
        )


def _features(node: Node, _: PreflightContext, found: list[Check]) -> None:
    found.append(
        Check(
            node.name,
            "note",
            "slurmctld says so until the next start of slurmd, or a reconfigure",
            "features-until-restart",
        )
    )


# -- reservations ------------------------------------------------------------------------------------------------------


def _unreserve(row: Reservation, known: PreflightContext, found: list[Check]) -> None:
    bound = known.extra.bound.get(row.name)
    if bound is None:
        found.append(Check(row.name, "unknown", "which jobs asked for it was not read", "bound-not-read"))
        return
    if not bound:
        found.append(Check(row.name, "ok", "no job asks for it", "not-bound"))
        return
    waits = [job for job in bound if job.state == "PENDING"]
    runs = [job for job in bound if job.state != "PENDING"]
    told = [
        f"{len(jobs):,} job{'s' if len(jobs) > 1 else ''} {verb}{'' if len(jobs) > 1 else 's'} ({_first_jobs(jobs)})"
        for jobs, verb in ((runs, "run"), (waits, "wait")) if jobs
    ]  # fmt: skip
    found.append(
        Check(
            row.name,
            "refused",
            f"Slurm refuses while a job asks for it: {', '.join(told)}; they must end first",
            "bound",
            (*(job.id for job in bound),),
        )
    )


def _first_jobs(jobs: Sequence[Job]) -> str:
    more = f" and {len(jobs) - _JOBS_NAMED:,} more" if len(jobs) > _JOBS_NAMED else ""
    return ", ".join(f"{job.id} {job.user}" for job in jobs[:_JOBS_NAMED]) + more


LOOKS: Mapping[str, Callable[..., None]] = {
    "timelimit": _timelimit,
    "jobpartition": _jobpartition,
    "exclude": _exclude,
    "suspend": _suspend,
    "unsuspend": _unsuspend,
    "signal": _signal,
    "features": _features,
    "unreserve": _unreserve,
}
