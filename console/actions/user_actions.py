"""Actions on users: rows of the table in `console.actions.registry`. Users are read by name (`Transport.read_users`),
since no poll reads them. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from collectors.model import Change, Cluster, User
from collectors.slurm import operations

from . import impact
from .action import Action, ChangeInputs, Expected

#: Users that cannot be blocked, since they are needed to undo a block.
_NEVER = frozenset({"root", "slurm"})
#: The value by which sacctmgr removes a limit.
_NONE = "-1"


def _block(_: Cluster, user: User) -> str | None:
    if user.name.lower() in _NEVER:  # slurmdbd keeps names in lower case
        return f"{user.name} is not blocked from here"
    if user.enforced is False:
        return "this site enforces no limits (AccountingStorageEnforce): a block would have no effect"
    if user.blocked:
        return "blocked already: MaxSubmitJobs is 0"
    if not user.associations:
        return "has no account here"
    mixed = [account for account, limits in _limits(user).items() if len(limits) > 1]
    if mixed:
        return f"has other limits in other partitions of {', '.join(mixed)}: by hand, so that each comes back"
    return None


def _unblock(_: Cluster, user: User) -> str | None:
    return None if any(one.max_submit == 0 for one in user.associations) else "not blocked: MaxSubmitJobs is not 0"


def _limits(user: User) -> dict[str, set[int | None]]:
    """Account to the limits of its associations."""
    found: dict[str, set[int | None]] = {}
    for one in user.associations:
        found.setdefault(one.account, set()).add(one.max_submit)
    return found


def limits_text(user: User) -> str:
    """The limits that an undo of a block restores: `ml=-1,physics=20`."""
    return ",".join(
        f"{account}={_NONE if (limit := next(iter(limits))) is None else limit}"
        for account, limits in _limits(user).items()
    )


def _with_cluster(change: Change, given: ChangeInputs) -> Change:
    """With the users' Slurm cluster. Raises ValueError where they belong to several."""
    clusters = {user.cluster for name in change.targets if isinstance(user := given.rows[name], User)}
    if len(clusters) != 1:
        raise ValueError("the users are of several clusters")
    return msgspec.structs.replace(change, settings={"cluster": clusters.pop()})


def _with_limits(change: Change, given: ChangeInputs) -> Change:
    """With the limits that each account gets too: those restored by the undo, else none. Raises ValueError."""
    change = _with_cluster(change, given)
    old = given.options.settings
    values = {
        name: _back(user, old[name]) if old.get(name) else _free(user)
        for name in change.targets
        if isinstance(user := given.rows[name], User)
    }
    return msgspec.structs.replace(change, values=values)


def _back(user: User, had: str) -> str:
    """The limits to restore on accounts that are still blocked; a limit set since is kept. Raises ValueError where none
    is."""
    shut = {one.account for one in user.associations if one.max_submit == 0}
    left = ",".join(one for one in had.split(",") if one.partition("=")[0] in shut)
    if not left:
        raise ValueError(f"{user.name}: none of the accounts that were shut is so now")
    return left


def _free(user: User) -> str:
    accounts = dict.fromkeys(one.account for one in user.associations if one.max_submit == 0)
    return ",".join(f"{account}={_NONE}" for account in accounts)


def _shut(_: Any, after: User | None, __: Expected) -> bool | None:
    return None if after is None else after.blocked


def _open(_: Any, after: User | None, __: Expected) -> bool | None:
    return None if after is None else all(one.max_submit != 0 for one in after.associations)


ROWS: tuple[Action, ...] = (
    Action(
        id="block", operation=operations.BLOCK_USER,
        synonyms=("ban", "lock out"),
        key="", kind="user", label="block", doing="blocking…", done="blocked", refuse=_block,
        needs_reason=True, inverse="unblock", proof=_shut,
        help="the user may submit no job (MaxSubmitJobs=0); what runs and waits is not touched",
        impact=impact.blocked, complete=_with_cluster,
        left_alone="a user who is blocked, who has no account here, who has other limits in other partitions of "
        "an account; everybody, where Slurm does not enforce limits",
        sample_settings={"cluster": "groningen"},
    ),
    Action(
        id="unblock", operation=operations.UNBLOCK_USER,
        synonyms=("unban", "let in"),
        key="", kind="user", label="unblock", doing="letting in…", done="may submit", refuse=_unblock,
        inverse="block", proof=_open, help="let a blocked user submit again; the undo of a block gives old limits back",
        impact=impact.unblocked, complete=_with_limits,
        left_alone="a user who is not blocked",
        sample="ml=20",
        sample_settings={"cluster": "groningen"},
    ),
)  # fmt: skip
