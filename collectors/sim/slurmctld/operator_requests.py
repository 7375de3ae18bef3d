"""Operator requests, answered as slurmctld does: the same rules and error texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.model import Association, Change, Sent, User
from collectors.sim.failures import NodeFailures
from collectors.sim.timeline import Timeline
from collectors.slurm import operations
from collectors.slurm.operations import SlurmOperation, calls, operation_of

from . import job_requests, node_requests, reservations
from .job_queue import SimQueue
from .reboots import Reboots
from .request_base import INVALID_NODE, Handlers, RequestContext
from .workload import USERS

INVALID_PARTITION = "Invalid partition name specified"
_ACCOUNTS = {user: account for user, account, _, _ in USERS}


def _set_partition(context: RequestContext, change: Change, name: str) -> str | None:
    if name not in context.queue.site.partitions:
        return INVALID_PARTITION
    assert isinstance(change.operation, operations.PartitionState)
    context.queue.set_partition_state(name, change.operation.state)
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
    if change.operation == operations.BLOCK_USER:
        context.queue.blocked_users.add(name)
    else:
        context.queue.blocked_users.discard(name)
    return None


#: What each operation does to one target.
HANDLERS: Handlers = {
    **job_requests.HANDLERS, **node_requests.HANDLERS, **reservations.HANDLERS,
    operations.PARTITION_DOWN: _set_partition, operations.PARTITION_UP: _set_partition,
    operations.BLOCK_USER: _set_submit, operations.UNBLOCK_USER: _set_submit,
}  # fmt: skip
#: How the commands print a refusal, where it is neither "{text} for job {target}" nor an update's error.
_ERRORS: Mapping[SlurmOperation, str] = {
    operations.RESERVE: "Error creating the reservation: {text}",
    operations.BLOCK_USER: "{text}",
    operations.UNBLOCK_USER: "{text}",
    operations.REBOOT: "scontrol: error: {text}.",
    operations.CANCEL: "scancel: error: Kill job error on job id {target}: {text}",
}


def commands(change: Change) -> list[tuple[str, ...]]:
    """The commands of this change on a real Slurm. Raises ValueError where the real writer would."""
    return [words for words, _ in calls(change)]


class OperatorRequests:
    """Applies changes target by target: some may be refused while the others succeed."""

    def __init__(
        self, queue: SimQueue, failures: NodeFailures, reboots: Reboots, timeline: Timeline, operator: str
    ) -> None:
        self._context = RequestContext(queue, failures, reboots, timeline, operator)

    def apply(self, change: Change) -> list[Sent]:
        """Apply a change. Refused targets are in the result, each with Slurm's error text.

        Raises ValueError where the real writer would, before anything is changed.
        """
        return [self._call(change, words, targets) for words, targets in calls(change)]

    def _call(self, change: Change, words: tuple[str, ...], targets: tuple[str, ...]) -> Sent:
        operation = operation_of(change)
        handle = HANDLERS[operation]
        refused = {target: text for target in targets if (text := handle(self._context, change, target)) is not None}
        form = _ERRORS.get(
            operation, "{text} for job {target}" if change.kind == "job" else "slurm_update error: {text}"
        )
        lines = dict.fromkeys(form.format(target=target, text=text) for target, text in refused.items())
        # `scontrol reboot` only prints the nodes that it skips; an unknown name is an error.
        mentioned = operation == operations.REBOOT and INVALID_NODE not in refused.values()
        return Sent(
            argv=words,
            targets=targets,
            rc=1 if refused and not mentioned else 0,
            err="\n".join(lines),
            took_s=0.004 + 0.0002 * len(targets),
            refused=refused,
        )
