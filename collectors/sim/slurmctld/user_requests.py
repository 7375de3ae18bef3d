"""Users of the simulated machine, as its slurmdbd would keep them: blocked, and let in again."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.model import Association, Change, User
from collectors.slurm import operations

from .job_queue import SimQueue
from .request_base import Acts, Bench
from .workload import USERS

_ACCOUNTS = {user: account for user, account, _, _ in USERS}


def rows(queue: SimQueue, cluster: str, names: Sequence[str]) -> dict[str, User]:
    """The users of these names; unknown ones are left out."""
    return {
        name: User(
            name=name, cluster=cluster, enforced=True,
            associations=(Association(account=_ACCOUNTS[name], max_submit=0 if name in queue.blocked else None),),
        )
        for name in names if name in _ACCOUNTS
    }  # fmt: skip


def _block(bench: Bench, change: Change, name: str) -> str | None:
    if name not in _ACCOUNTS:
        return " Nothing modified"
    if change.operation == operations.BLOCK_USER:
        bench.queue.blocked.add(name)
    else:
        bench.queue.blocked.discard(name)
    return None


ACTS: Acts = {operations.BLOCK_USER: _block, operations.UNBLOCK_USER: _block}
