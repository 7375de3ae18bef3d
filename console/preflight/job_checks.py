"""Pre-flight checks of jobs, and of the jobs that ask for a reservation. Pure.

Seen on 24.11.5 and 26.05.5: Slurm refuses to delete a reservation ("Requested reservation is in use") while any job
asks for it, a waiting one too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from collectors.jobstate import WAITING
from collectors.model import Job, Reservation
from collectors.nodeset import names_in
from collectors.slurm.fields import duration_s
from collectors.slurm.operations import UNLIMITED
from widgets.units import duration, when

from .checks import Check, PreflightContext

#: Number of earlier requeues from which a job gets a warning.
RESTARTS = 3
#: Slurm's reason for a hold by the owner.
_OWNER_HOLD = "JobHeldUser"
#: Reasons of holds that Slurm set itself.
_SLURM_HOLD_REASONS: Mapping[str, str] = {
    "JobHoldMaxRequeue": "Slurm held it: it was requeued as often as is allowed",
    "launch failed requeued held": "Slurm held it: its launch failed, on that node it would again",
}

#: Seconds that a lower limit must leave a running job: a preview may be that old when it is confirmed, and ending a job
#: at once is a cancel, which needs the count typed.
MIN_REMAINING_S = 600
#: Signals that do not end a process without a handler.
_HARMLESS = frozenset({"CONT"})
#: Jobs that are named of those that bind a reservation.
_JOBS_NAMED = 5


# -- time limits ------------------------------------------------------------------------------------------------------


def time_limit(job: Job, known: PreflightContext, found: list[Check]) -> None:
    given = known.values.get(job.id, "")
    # Without a limit the job may run into every reservation, now or later.
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
    """True, with a finding, where a lower limit would end a running job soon, or may."""
    if limit == math.inf or (job.time_limit_s is not None and limit >= job.time_limit_s):
        return False
    if job.started is None:
        found.append(
            Check(job.id, "bad", "when it began is not known: less than it has run would kill it", "start-unknown")
        )
        return True
    has_run = known.now - job.started
    if limit - has_run < MIN_REMAINING_S:
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
    """Warning text for a running job that may run into a reservation of its nodes; "" for none."""
    if job.started is None or one.starts is None or job.started + limit <= one.starts:
        return ""
    both = frozenset(names_in(job.nodes)) & frozenset(names_in(one.nodes))
    if not both:
        return ""
    begins = when(one.starts, None, known.now)
    return f"it would run into {_called(one)} of {len(both):,} of its nodes, which begins {begins}"


def _before(job: Job, limit: float, one: Reservation, known: PreflightContext) -> str:
    """Warning text for a waiting job that can no longer end before a reservation of its partition; "" for none."""
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


def job_partition(job: Job, known: PreflightContext, found: list[Check]) -> None:
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


def exclude(job: Job, known: PreflightContext, found: list[Check]) -> None:
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


# -- suspend, signal, features -----------------------------------------------------------------------------------------


def suspend(job: Job, _: PreflightContext, found: list[Check]) -> None:
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


def unsuspend(job: Job, _: PreflightContext, found: list[Check]) -> None:
    found.append(Check(job.id, "note", "it waits until nobody else runs on its CPUs", "cpus-busy"))


def signal(job: Job, known: PreflightContext, found: list[Check]) -> None:
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


# -- jobs -------------------------------------------------------------------------------------------------------------


def requeue(job: Job, known: PreflightContext, found: list[Check]) -> None:
    detail = known.reads.details.get(job.id)
    if detail is None:
        found.append(Check(job.id, "unknown", "whether it can be requeued was not read", "requeue-not-read"))
    elif detail.batch is False:
        found.append(Check(job.id, "refused", "no batch script: Slurm would refuse", "no-batch-script"))
    elif detail.requeueable is False:
        found.append(
            Check(
                job.id, "refused", "submitted as not to be requeued (Requeue=0): Slurm would refuse", "not-requeueable"
            )
        )
    elif detail.batch is None or detail.requeueable is None:
        found.append(Check(job.id, "unknown", "Slurm does not say whether it can be requeued", "requeue-unknown"))
    else:
        found.append(Check(job.id, "ok", "a batch job that may be requeued", "requeueable"))
    if job.restarts is None:
        found.append(Check(job.id, "unknown", "how often it was requeued before is not known", "restarts-unknown"))
    elif job.restarts >= RESTARTS:
        found.append(Check(job.id, "warn", f"it was requeued {job.restarts} times before", "restarts", (job.restarts,)))
    if job.state == "SUSPENDED":
        found.append(Check(job.id, "note", "it is suspended: it will be held, not queued", "requeued-held"))


def hold(job: Job, known: PreflightContext, found: list[Check]) -> None:
    if job.user != known.user:
        found.append(
            Check(
                job.id,
                "note",
                "an admin hold: its owner cannot lift it; U, the user hold, is the polite one",
                "admin-hold",
            )
        )
    if job.reason == _OWNER_HOLD:
        found.append(
            Check(job.id, "note", f"held by its owner, {job.user}, already: yours takes that over", "held-by-owner")
        )


def release(job: Job, known: PreflightContext, found: list[Check]) -> None:
    reason = job.reason or ""
    if reason in _SLURM_HOLD_REASONS:
        found.append(Check(job.id, "warn", _SLURM_HOLD_REASONS[reason], "held-by-slurm", (reason,)))
    elif reason == _OWNER_HOLD:
        if job.user != known.user:
            found.append(Check(job.id, "note", f"held by its owner, {job.user}", "held-by-owner"))
    elif reason == "JobHeldAdmin":
        found.append(Check(job.id, "note", "held by an admin", "held-by-admin"))
    elif job.state == "SPECIAL_EXIT":
        found.append(Check(job.id, "note", "held by its own exit code (SPECIAL_EXIT)", "held-by-exit-code"))


# -- reservations ------------------------------------------------------------------------------------------------------


def unreserve(row: Reservation, known: PreflightContext, found: list[Check]) -> None:
    bound = known.reads.reservation_jobs.get(row.name)
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
