"""Command lines that block and unblock a user: MaxSubmitJobs of the user's associations, by sacctmgr.

`-i` answers sacctmgr's own question: the gate has already confirmed. The cluster is always named: without it the change
would apply to every cluster in slurmdbd.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.model import Change

from .argv_base import NAME, Call, CommandSpec

#: Account to the limit that is restored: `ml=-1,physics=20`; -1 is no limit of its own.
LIMITS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*=(?:-1|[0-9]{1,9})(?:,[A-Za-z0-9_][A-Za-z0-9._-]*=(?:-1|[0-9]{1,9}))*")


def _words(name: str, change: Change, *more: str) -> tuple[str, ...]:
    cluster = change.settings.get("cluster")
    if not cluster:
        raise ValueError("the cluster of the user is not known")
    return ("sacctmgr", "-i", "modify", "user", "where", f"name={name}", f"cluster={cluster}", *more)


def _block(change: Change, names: tuple[str, ...]) -> list[Call]:
    return [(_words(name, change, "set", "MaxSubmitJobs=0"), (name,)) for name in names]


def _unblock(change: Change, names: tuple[str, ...]) -> list[Call]:
    found: list[Call] = []
    for name in names:
        alike: dict[str, list[str]] = {}
        for one in change.values[name].split(","):
            account, _, limit = one.partition("=")
            alike.setdefault(limit, []).append(account)
        found += [
            (_words(name, change, f"account={','.join(accounts)}", "set", f"MaxSubmitJobs={limit}"), (name,))
            for limit, accounts in alike.items()
        ]
    return found


COMMAND_SPECS: Mapping[str, CommandSpec] = {
    "block": CommandSpec(calls=_block, settings=NAME),
    "unblock": CommandSpec(calls=_unblock, value=LIMITS, settings=NAME),
}
