"""An operator's requests, answered as slurmctld answers: with its rules, its refusals and its words."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Change, Sent
from collectors.sim.faults import Faults
from collectors.sim.timeline import Timeline
from collectors.slurm import operations
from collectors.slurm.operations import SlurmOperation, calls, operation_of

from . import job_requests, node_requests, partition_requests, reservation_requests, user_requests
from .job_queue import SimQueue
from .reboots import Reboots
from .request_base import INVALID_NODE, Acts, Bench

#: What each operation does to one target.
ACTS: Acts = {
    **job_requests.ACTS, **node_requests.ACTS, **partition_requests.ACTS, **reservation_requests.ACTS,
    **user_requests.ACTS,
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
    """The commands that this change is on a real Slurm. Raises ValueError where the real writer would."""
    return [words for words, _ in calls(change)]


class OperatorRequests:
    """Takes changes and does them, each target by itself: some may be refused and the rest done."""

    def __init__(self, queue: SimQueue, faults: Faults, reboots: Reboots, timeline: Timeline, operator: str) -> None:
        self._bench = Bench(queue, faults, reboots, timeline, operator)

    def apply(self, change: Change) -> list[Sent]:
        """Do it. A refusal is data: Slurm's words for each target that it would not take.

        Raises ValueError where the real writer would, before anything is done.
        """
        return [self._call(change, words, targets) for words, targets in calls(change)]

    def _call(self, change: Change, words: tuple[str, ...], targets: tuple[str, ...]) -> Sent:
        operation = operation_of(change)
        act = ACTS[operation]
        refused = {target: text for target in targets if (text := act(self._bench, change, target)) is not None}
        form = _ERRORS.get(
            operation, "{text} for job {target}" if change.kind == "job" else "slurm_update error: {text}"
        )
        lines = dict.fromkeys(form.format(target=target, text=text) for target, text in refused.items())
        # What reboot skips it only mentions; an unknown name is an error there too.
        mentioned = operation == operations.REBOOT and INVALID_NODE not in refused.values()
        return Sent(
            argv=words,
            targets=targets,
            rc=1 if refused and not mentioned else 0,
            err="\n".join(lines),
            took_s=0.004 + 0.0002 * len(targets),
            refused=refused,
        )
