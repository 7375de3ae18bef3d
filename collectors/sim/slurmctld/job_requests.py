"""Operator requests on jobs: time limit, partition, QOS, nice, excluded nodes, suspend and signals."""

from __future__ import annotations

from collectors.model import Change, Job
from collectors.nodeset import expand
from collectors.slurm import operations
from collectors.slurm.fields import duration_s

from .request_base import INVALID_JOB, INVALID_NODE, Handler, Handlers, RequestContext

NOT_BATCH = "Only batch jobs are accepted or processed"
DISABLED = "Requested operation is presently disabled"
HELD = "Job is in held state, pending scheduler release"
#: Slurm's words for a job that was requeued and held in one go.
REQUEUED_HELD = "job_requeued_in_held_state"
NOT_PENDING = "Job is no longer pending execution"
NOT_RUNNING = "Job/step not running, cannot signal"
BAD_STATE = "Requested operation is invalid for the job's state"
BAD_PARTITION = "Invalid partition name specified"
BAD_QOS = "Invalid qos specification"
#: Signals that end a job here; it handles the others.
_DEADLY = frozenset({"KILL", "TERM", "INT", "QUIT", "HUP"})


def _of_job(act: Handler) -> Handler:
    """Wrap a handler: it is only called for a job that exists."""

    def on(context: RequestContext, change: Change, job_id: str) -> str | None:
        return act(context, change, job_id) if job_id in context.queue.jobs else INVALID_JOB

    return on


def _job(context: RequestContext, job_id: str) -> Job:
    return context.queue.jobs[job_id]


def _requeue(context: RequestContext, change: Change, job_id: str) -> str | None:
    queue, job = context.queue, _job(context, job_id)
    if job.state == "PENDING":
        return None  # `Incomplete` skips it silently
    if job_id in queue.interactive:
        return NOT_BATCH
    if job_id in queue.not_requeueable:
        return DISABLED
    held = change.operation == operations.REQUEUE_HOLD or job.state == "SUSPENDED"
    queue.requeue(job_id, held=REQUEUED_HELD if held else None)
    return None


def _priority(context: RequestContext, change: Change, job_id: str) -> str | None:
    if job_id in context.queue.holds:
        return HELD
    context.queue.set_priority(job_id, int(change.values[job_id]))
    return None


def _timelimit(context: RequestContext, change: Change, job_id: str) -> str | None:
    seconds = duration_s(change.values[job_id])
    if seconds is None:
        return "every job of this machine has a time limit"  # the end of a job is scheduled when it starts
    context.queue.set_time_limit(job_id, seconds)
    return None


def _partition(context: RequestContext, change: Change, job_id: str) -> str | None:
    name = change.values[job_id]
    if _job(context, job_id).state != "PENDING":
        return NOT_PENDING
    if name not in context.queue.site.partitions:
        return BAD_PARTITION
    context.queue.update(job_id, partition=name)
    return None


def _qos(context: RequestContext, change: Change, job_id: str) -> str | None:
    name = change.values[job_id]
    if name not in {job.qos for job in context.queue.jobs.values()}:
        return BAD_QOS
    if _job(context, job_id).state != "PENDING":
        return NOT_PENDING
    context.queue.update(job_id, qos=name)
    return None


def _nice(context: RequestContext, change: Change, job_id: str) -> str | None:
    if _job(context, job_id).state != "PENDING":
        return NOT_PENDING
    context.queue.set_nice(job_id, int(change.values[job_id]))
    return None


def _exclude(context: RequestContext, change: Change, job_id: str) -> str | None:
    names = expand(change.values[job_id])
    if _job(context, job_id).state != "PENDING":
        return NOT_PENDING
    by_name = context.queue.site.by_name
    if not all(name in by_name for name in names):
        return INVALID_NODE
    context.queue.exclude(job_id, sum(1 << by_name[name] for name in set(names)))
    return None


def _suspend(context: RequestContext, _: Change, job_id: str) -> str | None:
    if _job(context, job_id).state != "RUNNING":
        return BAD_STATE
    context.queue.suspend(job_id)
    return None


def _unsuspend(context: RequestContext, _: Change, job_id: str) -> str | None:
    if _job(context, job_id).state != "SUSPENDED":
        return BAD_STATE
    context.queue.unsuspend(job_id)
    return None


def _signal(context: RequestContext, change: Change, job_id: str) -> str | None:
    if job_id not in context.queue.runs:
        return NOT_RUNNING
    if change.values[job_id] in _DEADLY:
        context.queue.end(job_id, "CANCELLED")
    return None


def _notify(context: RequestContext, _: Change, job_id: str) -> str | None:
    return None if job_id in context.queue.runs else BAD_STATE


HANDLERS: Handlers = {
    operations.REQUEUE: _of_job(_requeue),
    operations.REQUEUE_HOLD: _of_job(_requeue),
    operations.HOLD: _of_job(lambda context, _, job: context.queue.hold(job, "JobHeldAdmin")),
    operations.USER_HOLD: _of_job(lambda context, _, job: context.queue.hold(job, "JobHeldUser")),
    operations.RELEASE: _of_job(lambda context, _, job: context.queue.release(job)),
    operations.CANCEL: _of_job(lambda context, _, job: context.queue.end(job, f"CANCELLED by {context.operator}")),
    operations.PRIORITY: _of_job(_priority),
    operations.TIME_LIMIT: _of_job(_timelimit),
    operations.JOB_PARTITION: _of_job(_partition),
    operations.JOB_QOS: _of_job(_qos),
    operations.NICE: _of_job(_nice),
    operations.EXCLUDE_NODES: _of_job(_exclude),
    operations.SUSPEND: _of_job(_suspend),
    operations.UNSUSPEND: _of_job(_unsuspend),
    operations.SIGNAL: _of_job(_signal),
    operations.NOTIFY: _of_job(_notify),
}
