"""What every spelling needs: the words of a call, what an action takes, and the checks that all of them share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Change
from collectors.nodeset import expand, fold_for_slurm

REASON_CAP = 1000
#: Job ids in one call: the controller takes them one by one, and an operator may want to stop in between.
BATCH = 500

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ID = re.compile(r"[0-9]{1,10}(?:_[0-9]{1,10}|\+[0-9]{1,5})?")
#: The login of a user; slurmdbd keeps it in small letters.
LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
#: Kind to how its targets may be written.
NAME_PATTERNS = {"node": NAME, "job": ID, "partition": NAME, "reservation": NAME, "user": LOGIN}

Words = tuple[str, ...]
Call = tuple[Words, tuple[str, ...]]


class CommandSpec(Struct, frozen=True, kw_only=True):
    """How one action is spelt, and what it takes beside its targets."""

    calls: Callable[[Change, tuple[str, ...]], list[Call]]
    """The commands for these of its targets, which are checked."""
    value: re.Pattern[str] | None = None
    """What each target may be given; None is an action that takes no values."""
    settings: re.Pattern[str] | None = None
    """What a setting may be; None is an action that takes none."""
    reason: bool = False
    """Whether it needs a reason, and takes one of each target's own."""


def targets_by_value(change: Change, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each value once, with the targets that it is for."""
    of = change.values
    for value in dict.fromkeys(of[name] for name in names):
        yield value, tuple(name for name in names if of[name] == value)


def checked_reason(action: str, text: str | None) -> str:
    """One line, no control characters, capped: it becomes one argv element."""
    reason = clean(" ".join((text or "").split()))[:REASON_CAP]
    if not reason:
        raise ValueError(f"a {action} needs a reason")
    return reason


def checked_nodeset(names: tuple[str, ...]) -> str:
    """The names as one node set, proven to mean exactly these names."""
    text = fold_for_slurm(names)
    if frozenset(expand(text, cap=len(names))) != frozenset(names):
        return ",".join(names)
    return text


def batches(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """So many at a time as one call takes."""
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]
