"""What an operator asks, answered as slurmctld answers: with its rules, its refusals and its words."""

from __future__ import annotations

from collections.abc import Callable

from collectors.model import Change, Sent
from collectors.sim.faults import Faults
from collectors.sim.queue import Queue
from collectors.sim.timeline import Timeline

INVALID_STATE = "Invalid node state specified"
INVALID_NODE = "Invalid node name specified"
INVALID_JOB = "Invalid job id specified"
PENDING = "Job is pending execution"
DISABLED = "Requested operation is presently disabled"
#: Slurm's words for a job that was requeued and held in one go.
REQUEUED_HELD = "job_requeued_in_held_state"

_NODE_STATES = {"drain": "DRAIN", "undrain": "UNDRAIN", "resume": "RESUME"}
NO_REASON = "You must specify a reason when DRAINING a node. Request denied"
#: How the commands print a refusal, where it is not "{text} for job {target}".
_ERRORS = {
    **dict.fromkeys(_NODE_STATES, "slurm_update error: {text}"),
    "cancel": "scancel: error: Kill job error on job id {target}: {text}",
}
_JOB_ACTIONS = ("requeue", "requeuehold", "hold", "uhold", "release", "cancel")


def commands(change: Change) -> list[tuple[str, ...]]:
    """The commands that this change is on a real Slurm. Raises ValueError for an action that there is not."""
    from collectors.nodeset import fold

    if change.kind == "node" and change.action in _NODE_STATES:
        argv = ["scontrol", "update", f"NodeName={fold(change.targets)}", f"State={_NODE_STATES[change.action]}"]
        return [tuple(argv if change.reason is None else [*argv, f"Reason={change.reason}"])]
    if change.kind == "job" and change.action in _JOB_ACTIONS:
        if change.action == "cancel":
            return [("scancel", *change.targets)]
        if change.action == "requeue":
            # Without Incomplete it would also run finished jobs again.
            return [("scontrol", "requeue", "Incomplete", ",".join(change.targets))]
        if change.action == "requeuehold":
            return [("scontrol", "requeuehold", "Incomplete", ",".join(change.targets))]
        return [("scontrol", change.action, *change.targets)]
    raise ValueError(f"no action {change.action!r} on a {change.kind}")


class Desk:
    """Takes changes and does them, each target by itself: some may be refused and the rest done."""

    def __init__(self, queue: Queue, faults: Faults, timeline: Timeline, operator: str) -> None:
        self._queue = queue
        self._faults = faults
        self._timeline = timeline
        self._operator = operator

    def apply(self, change: Change) -> list[Sent]:
        """Do it. A refusal is data: Slurm's words for each target that it would not take."""
        (argv,) = commands(change)
        if change.action == "drain" and not (change.reason or "").strip():
            # scontrol itself refuses, before it asks slurmctld.
            return [Sent(argv=argv, targets=change.targets, rc=1, err=NO_REASON)]
        act: Callable[[Change, str], str | None] = self._node if change.kind == "node" else self._job
        refused = {target: text for target in change.targets if (text := act(change, target)) is not None}
        form = _ERRORS.get(change.action, "{text} for job {target}")
        lines = dict.fromkeys(form.format(target=target, text=text) for target, text in refused.items())
        return [
            Sent(
                argv=argv,
                targets=change.targets,
                rc=1 if refused else 0,
                err="\n".join(lines),
                took_s=0.004 + 0.0002 * len(change.targets),
                refused=refused,
            )
        ]

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _node(self, change: Change, name: str) -> str | None:
        """Change the state of one node; Slurm's words when it may not be."""
        index = self._queue.site.by_name.get(name)
        if index is None:
            return INVALID_NODE
        host = self._queue.site.hosts[index]
        if change.reason:
            # Before the state is looked at: a refused change has overwritten the reason all the same.
            host.reason, host.reason_by, host.reason_at = change.reason, self._operator, int(self._timeline.now)
        refused = None
        if change.action == "drain":
            host.drain = True
        elif change.action == "resume" and (host.invalid or not (host.down or host.drain)):
            refused = INVALID_STATE
        else:
            was_down, host.drain = host.down, False
            if change.action == "resume":
                host.down = False
            if not host.down:
                host.reason = host.reason_by = host.reason_at = None
                self._faults.resumed(host, was_down)
        self._faults.refresh(host)
        return refused

    # -- jobs --------------------------------------------------------------------------------------------------------

    def _job(self, change: Change, job_id: str) -> str | None:
        """Do something to one job; Slurm's words when it may not be."""
        queue, action = self._queue, change.action
        job = queue.jobs.get(job_id)
        if job is None:
            return INVALID_JOB
        if action in {"requeue", "requeuehold"}:
            if job_id in queue.unbatched or job_id in queue.unrequeueable:
                return DISABLED
            if job.state == "PENDING":
                return PENDING
            queue.requeue(job_id, held=REQUEUED_HELD if action == "requeuehold" else None)
        elif action == "hold":
            queue.hold(job_id, "JobHeldAdmin")
        elif action == "uhold":
            queue.hold(job_id, "JobHeldUser")
        elif action == "release":
            queue.release(job_id)
        else:
            queue.end(job_id, "CANCELLED")
        return None
