"""Operator requests, answered as slurmctld does: the same rules and error texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.model import Association, Change, Sent, User
from collectors.sim.faults import Faults
from collectors.sim.plant.site_layout import Host
from collectors.sim.timeline import Timeline
from collectors.slurm.commands.argv import calls

from . import job_requests, node_requests, reservations
from .job_queue import SimQueue
from .reboots import Reboots
from .request_base import INVALID_JOB, INVALID_NODE, Handlers, RequestContext
from .workload import USERS

INVALID_STATE = "Invalid node state specified"
NOT_BATCH = "Only batch jobs are accepted or processed"
DISABLED = "Requested operation is presently disabled"
HELD = "Job is in held state, pending scheduler release"
SKIPPED = "Skipping reboot of nodes {target} due to current node state"
#: Slurm's reason for a job that was requeued and held.
REQUEUED_HELD = "job_requeued_in_held_state"

INVALID_PARTITION = "Invalid partition name specified"
_ACCOUNTS = {user: account for user, account, _, _ in USERS}


def _set_partition(context: RequestContext, change: Change, name: str) -> str | None:
    if name not in context.queue.site.partitions:
        return INVALID_PARTITION
    context.queue.set_partition_state(name, "DOWN" if change.action == "partition-down" else "UP")
    return None


def user_rows(queue: SimQueue, cluster: str, names: Sequence[str]) -> dict[str, User]:
    """The users of these names as slurmdbd has them; unknown ones are left out."""
    return {
        name: User(
            name=name, cluster=cluster, enforced=True,
            associations=(Association(account=_ACCOUNTS[name], max_submit=0 if name in queue.blocked_users else None),),
        )
        for name in names if name in _ACCOUNTS
    }  # fmt: skip


def _set_submit(context: RequestContext, change: Change, name: str) -> str | None:
    if name not in _ACCOUNTS:
        return " Nothing modified"
    if change.action == "block":
        context.queue.blocked_users.add(name)
    else:
        context.queue.blocked_users.discard(name)
    return None


_PARTITION: Handlers = {"partition-down": _set_partition, "partition-up": _set_partition}
_USER: Handlers = {"block": _set_submit, "unblock": _set_submit}
#: Target kind to its handlers, by action. The state of nodes and the basic job actions are handled below.
HANDLERS: Mapping[str, Handlers] = {
    "job": job_requests.HANDLERS, "node": {**node_requests.HANDLERS, **reservations.CREATE},
    "partition": _PARTITION, "reservation": reservations.HANDLERS,
    "user": _USER,
}  # fmt: skip
#: How the commands print a refusal, if not as "{text} for job {target}".
_ERRORS = {
    **dict.fromkeys(("drain", "undrain", "resume", "down"), "slurm_update error: {text}"),
    **dict.fromkeys(node_requests.HANDLERS, "slurm_update error: {text}"),
    **dict.fromkeys((*_PARTITION, *reservations.HANDLERS), "slurm_update error: {text}"),
    "reserve": "Error creating the reservation: {text}",
    **dict.fromkeys(_USER, "{text}"),
    "reboot": "scontrol: error: {text}.",
    "cancel": "scancel: error: Kill job error on job id {target}: {text}",
}


def commands(change: Change) -> list[tuple[str, ...]]:
    """The commands of this change on a real Slurm. Raises ValueError where the real writer would."""
    return [words for words, _ in calls(change)]


class OperatorRequests:
    """Applies changes target by target: some may be refused while the others succeed."""

    def __init__(self, queue: SimQueue, faults: Faults, reboots: Reboots, timeline: Timeline, operator: str) -> None:
        self._queue = queue
        self._faults = faults
        self._reboots = reboots
        self._timeline = timeline
        self._operator = operator
        self._bench = RequestContext(queue, faults, reboots, timeline, operator)

    def apply(self, change: Change) -> list[Sent]:
        """Apply a change. Refused targets are in the result, each with Slurm's error text.

        Raises ValueError where the real writer would, before anything is changed.
        """
        return [self._call(change, words, targets) for words, targets in calls(change)]

    def _call(self, change: Change, words: tuple[str, ...], targets: tuple[str, ...]) -> Sent:
        refused = {target: text for target in targets if (text := self._act(change, target)) is not None}
        form = _ERRORS.get(change.action, "{text} for job {target}")
        lines = dict.fromkeys(form.format(target=target, text=text) for target, text in refused.items())
        # `scontrol reboot` only prints the nodes that it skips; an unknown name is an error.
        mentioned = change.action == "reboot" and INVALID_NODE not in refused.values()
        return Sent(
            argv=words,
            targets=targets,
            rc=1 if refused and not mentioned else 0,
            err="\n".join(lines),
            took_s=0.004 + 0.0002 * len(targets),
            refused=refused,
        )

    def _act(self, change: Change, target: str) -> str | None:
        own = HANDLERS.get(change.kind, {}).get(change.action)
        if own is not None:
            return own(self._bench, change, target)
        return self._node(change, target) if change.kind == "node" else self._job(change, target)

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _node(self, change: Change, name: str) -> str | None:
        """Change the state of one node. Returns Slurm's error text for a refusal."""
        index = self._queue.site.by_name.get(name)
        if index is None:
            return INVALID_NODE
        host = self._queue.site.hosts[index]
        if change.action == "reboot" and host.reboot is not None:
            return SKIPPED.format(target=name)
        if change.action == "resume" and (host.invalid or not (host.down or host.drain)):
            return INVALID_STATE
        if change.action in {"drain", "down", "reboot"}:
            host.reason = change.reasons.get(name, change.reason)
            host.reason_by, host.reason_at = self._operator, int(self._timeline.now)
        match change.action:
            case "drain":
                self._drain(host, change.resume_after_s)
            case "down":
                host.down, host.resume_at = True, None
            case "reboot":
                self._reboots.request(host, change.next_state[name])
            case "resume" | "undrain":
                self._resume(host, down_too=change.action == "resume")
        self._faults.refresh(host)
        return None

    def _drain(self, host: Host, seconds: int | None) -> None:
        """Drain a node. A new drain clears a resume that was scheduled; a drain of a drained node does not."""
        if not host.drain:
            host.resume_at = None
        host.drain = True
        if seconds is not None:
            host.resume_at = int(self._timeline.now) + seconds
            self._timeline.at(host.resume_at, self._auto_resume, host, host.resume_at)

    def _auto_resume(self, host: Host, due: int) -> None:
        if host.resume_at == due:
            self._resume(host, down_too=True)
            self._faults.refresh(host)

    def _resume(self, host: Host, down_too: bool) -> None:
        """Remove the drain, and with `down_too` the DOWN state and a pending reboot."""
        was_down, host.drain, host.resume_at = host.down, False, None
        if down_too:
            host.down = host.rebooting = False
            host.reboot = None
        if not host.down:
            host.reason = host.reason_by = host.reason_at = None
            self._faults.on_resume(host, was_down)

    # -- jobs --------------------------------------------------------------------------------------------------------

    def _job(self, change: Change, job_id: str) -> str | None:
        """Apply an action to one job. Returns Slurm's error text for a refusal."""
        queue, action = self._queue, change.action
        job = queue.jobs.get(job_id)
        if job is None:
            return INVALID_JOB
        if action in {"requeue", "requeuehold"}:
            if job.state == "PENDING":
                # `Incomplete` skips a pending job silently.
                return None
            if job_id in queue.interactive:
                return NOT_BATCH
            if job_id in queue.not_requeueable:
                return DISABLED
            queue.requeue(job_id, held=REQUEUED_HELD if action == "requeuehold" or job.state == "SUSPENDED" else None)
        elif action == "priority":
            if job_id in queue.holds:
                return HELD
            queue.set_priority(job_id, change.priorities[job_id])
        elif action == "hold":
            queue.hold(job_id, "JobHeldAdmin")
        elif action == "uhold":
            queue.hold(job_id, "JobHeldUser")
        elif action == "release":
            queue.release(job_id)
        else:
            queue.end(job_id, f"CANCELLED by {self._operator}")
        return None
