"""Users of the simulated machine, as its slurmdbd would keep them: blocked, and let in again."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.model import Association, Change, User

from .job_queue import SimQueue
from .request_base import Handlers, RequestContext
from .workload import USERS

_ACCOUNTS = {user: account for user, account, _, _ in USERS}


def rows(queue: SimQueue, cluster: str, names: Sequence[str]) -> dict[str, User]:
    """The users of these names; unknown ones are left out."""
    return {
        name: User(
            name=name, cluster=cluster, enforced=True,
            associations=(Association(account=_ACCOUNTS[name], max_submit=0 if name in queue.blocked_users else None),),
        )
        for name in names if name in _ACCOUNTS
    }  # fmt: skip


def _block(context: RequestContext, change: Change, name: str) -> str | None:
    if name not in _ACCOUNTS:
        return " Nothing modified"
    if change.action == "block":
        context.queue.blocked_users.add(name)
    else:
        context.queue.blocked_users.discard(name)
    return None


HANDLERS: Handlers = {"block": _block, "unblock": _block}
