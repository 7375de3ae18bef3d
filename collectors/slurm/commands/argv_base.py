"""What all command builders share: argv types, the spec of an action, and the common checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from collectors.clean import clean
from collectors.model import Change
from collectors.nodeset import expand, fold_for_slurm

REASON_CAP = 1000
#: Job ids in one call: the controller handles them one by one, and an operator may want to stop in between.
BATCH = 500

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ID = re.compile(r"[0-9]{1,10}(?:_[0-9]{1,10}|\+[0-9]{1,5})?")
#: A user's login; slurmdbd keeps it in lower case.
LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
#: Kind to the pattern of its targets.
NAME_PATTERNS = {"node": NAME, "job": ID, "partition": NAME, "reservation": NAME, "user": LOGIN}

Words = tuple[str, ...]
Call = tuple[Words, tuple[str, ...]]


class CommandSpec(Struct, frozen=True, kw_only=True):
    """How one action becomes commands, and what it takes besides its targets."""

    calls: Callable[[Change, tuple[str, ...]], list[Call]]
    """The commands for these targets, already checked."""
    value: re.Pattern[str] | None = None
    """Pattern of each target's value; None: the action takes no values."""
    settings: re.Pattern[str] | None = None
    """Pattern of a setting; None: the action takes none."""
    reason: bool = False
    """True if it needs a reason, which may differ by target."""


def targets_by_value(change: Change, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each distinct value with its targets."""
    of = change.values
    for value in dict.fromkeys(of[name] for name in names):
        yield value, tuple(name for name in names if of[name] == value)


def checked_reason(action: str, text: str | None) -> str:
    """The reason if it is one line without control characters and not too long: it becomes one argv word."""
    reason = clean(" ".join((text or "").split()))[:REASON_CAP]
    if not reason:
        raise ValueError(f"a {action} needs a reason")
    return reason


def checked_nodeset(names: tuple[str, ...]) -> str:
    """The names as one node set, verified to mean exactly these names."""
    text = fold_for_slurm(names)
    if frozenset(expand(text, cap=len(names))) != frozenset(names):
        return ",".join(names)
    return text


def batches(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The names in groups of the size of one call."""
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]
