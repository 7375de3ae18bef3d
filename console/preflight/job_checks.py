"""Pre-flight checks of jobs, and of the jobs that ask for a reservation. Pure.

Seen on 24.11.5 and 26.05.5: Slurm refuses to delete a reservation ("Requested reservation is in use") while any job
asks for it, a waiting one too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from collectors.jobstate import WAITING
from collectors.model import Job, Reservation
from collectors.nodeset import names_in
from collectors.slurm.fields import duration_s
from collectors.slurm.operations import UNLIMITED

from .checks import Check, PreflightContext
from .sentences import Code

#: Number of earlier requeues from which a job gets a warning.
RESTARTS = 3
#: Slurm's reason for a hold by the owner.
_OWNER_HOLD = "JobHeldUser"
#: Reasons of holds that Slurm set itself.
_SLURM_HOLDS: Mapping[str, Code] = {
    "JobHoldMaxRequeue": "held-max-requeue",
    "launch failed requeued held": "held-launch-failed",
}

#: Seconds that a lower limit must leave a running job: a preview may be that old when it is confirmed, and ending a job
#: at once is a cancel, which needs the count typed.
MIN_REMAINING_S = 600
#: Signals that do not end a process without a handler.
_HARMLESS = frozenset({"CONT"})


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
        found.append(Check(job.id, "warn", "limit-unbounded", params={"waits": waits}))
    part = known.cluster.partitions.get(job.partition or "")
    if part is not None and part.time_limit_s is not None and limit > part.time_limit_s:
        values = {"limit_s": part.time_limit_s, "waits": waits}
        found.append(Check(job.id, "warn", "limit-over-partition", (part.name,), values))
    if "reservations" not in known.cluster.known:
        found.append(Check(job.id, "unknown", "reservations-not-read"))
        return
    for one in sorted(known.cluster.reservations.values(), key=lambda one: one.starts or 0):
        if one.starts is not None and one.starts > known.now:
            (_before if waits else _crosses)(job, limit, one, known, found)


def _kills(job: Job, limit: float, known: PreflightContext, found: list[Check]) -> bool:
    """True, with a finding, where a lower limit would end a running job soon, or may."""
    if limit == math.inf or (job.time_limit_s is not None and limit >= job.time_limit_s):
        return False
    if job.started is None:
        found.append(Check(job.id, "bad", "start-unknown"))
        return True
    has_run = known.now - job.started
    left = limit - has_run
    if left < MIN_REMAINING_S:
        found.append(Check(job.id, "refused", "limit-kills", params={"has_run": has_run, "left": left}))
        return True
    sooner = None if job.time_limit_s is None else job.time_limit_s - limit
    found.append(Check(job.id, "warn", "limit-shortened", params={"sooner": sooner, "left": left}))
    return False


def _crosses(job: Job, limit: float, one: Reservation, known: PreflightContext, found: list[Check]) -> None:
    """Find a running job that may run into a reservation of its nodes."""
    if job.started is None or one.starts is None or job.started + limit <= one.starts:
        return
    both = frozenset(names_in(job.nodes)) & frozenset(names_in(one.nodes))
    if both:
        values = {"nodes": len(both)} | _start_of(one, known)
        found.append(Check(job.id, "warn", "runs-into-reservation", (one.name,), values))


def _before(job: Job, limit: float, one: Reservation, known: PreflightContext, found: list[Check]) -> None:
    """Find a waiting job that can no longer end before a reservation of its partition."""
    part = known.cluster.partitions.get(job.partition or "")
    if part is None or one.starts is None or known.now + limit <= one.starts:
        return
    of_it, taken = frozenset(names_in(part.nodes)), frozenset(names_in(one.nodes))
    both = of_it & taken
    if both and len(of_it) - len(both) < (job.node_count or 1):
        found.append(Check(job.id, "warn", "starts-after-reservation", (one.name,), _start_of(one, known)))
    elif both:
        values = {"nodes": len(both), "of": len(of_it), "partition": part.name} | _start_of(one, known)
        found.append(Check(job.id, "warn", "nodes-reserved", (one.name,), values))


def _start_of(one: Reservation, known: PreflightContext) -> dict[str, object]:
    return {"maintenance": "MAINT" in one.flags, "starts": one.starts, "now": known.now}


# -- where a job waits ------------------------------------------------------------------------------------------------


def job_partition(job: Job, known: PreflightContext, found: list[Check]) -> None:
    rows = known.cluster.partitions
    if "partitions" not in known.cluster.known:
        found.append(Check(job.id, "unknown", "partitions-not-read"))
        return
    for name in known.values.get(job.id, "").split(","):
        part = rows.get(name)
        if part is None:
            found.append(Check(job.id, "refused", "no-partition", (name,), {"known": tuple(rows)}))
            continue
        if part.state != "UP":
            found.append(Check(job.id, "warn", "partition-not-up", (name, part.state)))
        if part.time_limit_s is not None and (job.time_limit_s is None or job.time_limit_s > part.time_limit_s):
            found.append(Check(job.id, "warn", "partition-limit", (name,), {"limit_s": part.time_limit_s}))
        if part.node_count is not None and (job.node_count or 0) > part.node_count:
            values = {"wanted": job.node_count, "has": part.node_count}
            found.append(Check(job.id, "warn", "partition-small", (name,), values))


def exclude(job: Job, known: PreflightContext, found: list[Check]) -> None:
    names = frozenset(names_in(known.values.get(job.id)))
    unknown = sorted(names - known.cluster.nodes.keys())
    if unknown:
        found.append(Check(job.id, "refused", "nodes-unknown", (*unknown,)))
        return
    part = known.cluster.partitions.get(job.partition or "")
    left = frozenset(names_in(part.nodes)) - names if part is not None else None
    if names and left is not None and part is not None and len(left) < (job.node_count or 1):
        values = {"left": len(left), "wanted": job.node_count or 1}
        found.append(Check(job.id, "warn", "too-few-nodes", (part.name,), values))


# -- suspend, signal, features -----------------------------------------------------------------------------------------


def suspend(job: Job, _: PreflightContext, found: list[Check]) -> None:
    found.append(Check(job.id, "warn", "memory-stays"))
    if (job.node_count or 1) > 1:
        found.append(Check(job.id, "note", "steps-time-out"))


def unsuspend(job: Job, _: PreflightContext, found: list[Check]) -> None:
    found.append(Check(job.id, "note", "cpus-busy"))


def signal(job: Job, known: PreflightContext, found: list[Check]) -> None:
    batch, _, name = known.values.get(job.id, "").rpartition(":")
    values = {"batch": bool(batch)}
    if name == "KILL":
        found.append(Check(job.id, "warn", "signal-kills", (name,), values))
    elif name == "STOP":
        found.append(Check(job.id, "warn", "signal-stops", (name,), values))
    elif name in _HARMLESS:
        found.append(Check(job.id, "note", "signal-sent", (name,), values))
    else:
        found.append(Check(job.id, "warn", "signal-may-kill", (name,), values))


# -- jobs -------------------------------------------------------------------------------------------------------------


def requeue(job: Job, known: PreflightContext, found: list[Check]) -> None:
    detail = known.reads.details.get(job.id)
    if detail is None:
        found.append(Check(job.id, "unknown", "requeue-not-read"))
    elif detail.batch is False:
        found.append(Check(job.id, "refused", "no-batch-script"))
    elif detail.requeueable is False:
        found.append(Check(job.id, "refused", "not-requeueable"))
    elif detail.batch is None or detail.requeueable is None:
        found.append(Check(job.id, "unknown", "requeue-unknown"))
    else:
        found.append(Check(job.id, "ok", "requeueable"))
    if job.restarts is None:
        found.append(Check(job.id, "unknown", "restarts-unknown"))
    elif job.restarts >= RESTARTS:
        found.append(Check(job.id, "warn", "restarts", (job.restarts,)))
    if job.state == "SUSPENDED":
        found.append(Check(job.id, "note", "requeued-held"))


def hold(job: Job, known: PreflightContext, found: list[Check]) -> None:
    if job.user != known.user:
        found.append(Check(job.id, "note", "admin-hold"))
    if job.reason == _OWNER_HOLD:
        found.append(Check(job.id, "note", "owner-hold-replaced", params={"user": job.user}))


def release(job: Job, known: PreflightContext, found: list[Check]) -> None:
    reason = job.reason or ""
    if reason in _SLURM_HOLDS:
        found.append(Check(job.id, "warn", _SLURM_HOLDS[reason], (reason,)))
    elif reason == _OWNER_HOLD:
        if job.user != known.user:
            found.append(Check(job.id, "note", "held-by-owner", params={"user": job.user}))
    elif reason == "JobHeldAdmin":
        found.append(Check(job.id, "note", "held-by-admin"))
    elif job.state == "SPECIAL_EXIT":
        found.append(Check(job.id, "note", "held-by-exit-code"))


# -- reservations ------------------------------------------------------------------------------------------------------


def unreserve(row: Reservation, known: PreflightContext, found: list[Check]) -> None:
    bound = known.reads.reservation_jobs.get(row.name)
    if bound is None:
        found.append(Check(row.name, "unknown", "bound-not-read"))
        return
    if not bound:
        found.append(Check(row.name, "ok", "not-bound"))
        return
    wait = [(job.id, job.user) for job in bound if job.state == "PENDING"]
    run = [(job.id, job.user) for job in bound if job.state != "PENDING"]
    found.append(Check(row.name, "refused", "bound", (*(job.id for job in bound),), {"run": run, "wait": wait}))
