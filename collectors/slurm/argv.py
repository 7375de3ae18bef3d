"""From a frozen Change to the words of scontrol and scancel. Pure: it starts nothing and looks nothing up.

What each command really takes was seen on live 24.11.5 and 26.05.5 controllers: `ResumeAfter` is in seconds and at most
what fits an epoch; a priority of 0 is a hold, and the two highest numbers are Slurm's own; `reboot` takes its options
before the nodes, `nextstate` only as RESUME or DOWN, and a reason with any sign in it as one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from collectors.clean import clean
from collectors.model import Change
from collectors.nodeset import expand, fold

REASON_CAP = 1000
#: Job ids in one call: the controller takes them one by one, and an operator may want to stop in between.
BATCH = 500
#: Highest priority that Slurm takes, and the lowest that does not hold the job.
PRIORITIES = (1, 0xFFFFFFFD)
#: Seconds after which Slurm may be told to put a node back: below a minute nobody sees it drained.
RESUME_AFTER_S = (60, 365 * 86_400)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ID = re.compile(r"[0-9]{1,10}(?:_[0-9]{1,10}|\+[0-9]{1,5})?")
NODE_STATES = {"drain": "DRAIN", "undrain": "UNDRAIN", "resume": "RESUME", "down": "DOWN"}
_NODE_ACTIONS = frozenset({*NODE_STATES, "reboot"})
_WITH_REASON = frozenset({"drain", "down", "reboot"})
#: The words before the ids, and whether these are joined by commas. Without `Incomplete` a requeue also reruns jobs
#: that have ended, however well.
_JOB_WORDS = {
    "requeue": (("scontrol", "requeue", "Incomplete"), True),
    "requeuehold": (("scontrol", "requeuehold", "Incomplete"), True),
    "hold": (("scontrol", "hold"), False),
    "uhold": (("scontrol", "uhold"), False),
    "release": (("scontrol", "release"), False),
    "cancel": (("scancel",), False),
}
_JOB_ACTIONS = frozenset({*_JOB_WORDS, "priority"})

Words = tuple[str, ...]
Call = tuple[Words, tuple[str, ...]]


def calls(change: Change) -> list[Call]:
    """Each command, its program by its plain name, with the targets it is for, in order and as few as they can be.

    Everything is checked before the first one is made: this is the last door. Raises ValueError when the Change holds
    anything that is not a plain name or id, or when something is missing, doubled or out of its range.
    """
    names = checked(change)
    if change.kind == "node":
        return [(_node_words(change.action, told, some), some) for told, some in alike(change, names)]
    if change.action == "priority":
        of = change.priorities
        return [
            (("scontrol", "update", f"JobId={','.join(some)}", f"Priority={priority}"), some)
            for priority in dict.fromkeys(of[job] for job in names)
            for some in batches(tuple(job for job in names if of[job] == priority))
        ]
    head, joined = _JOB_WORDS[change.action]
    return [((*head, ",".join(some)) if joined else (*head, *some), some) for some in batches(names)]


def alike(change: Change, names: tuple[str, ...]) -> Iterator[tuple[Words, tuple[str, ...]]]:
    """The nodes that are told the same, with what that is beside the state."""
    groups: dict[Words, list[str]] = {}
    for name in names:
        told: Words = ()
        if change.action in _WITH_REASON:
            told = (reason_of(change.action, change.reasons.get(name, change.reason)),)
        if change.action == "reboot":
            told = (change.next_state[name], *told)
        elif change.resume_after_s is not None:
            told = (*told, str(change.resume_after_s))
        groups.setdefault(told, []).append(name)
    return ((told, tuple(some)) for told, some in groups.items())


def _node_words(action: str, told: Words, names: tuple[str, ...]) -> Words:
    if action == "reboot":
        state, reason = told
        return ("scontrol", "reboot", "ASAP", f"nextstate={state}", f"reason={reason}", _folded(names))
    rest = (f"{key}={value}" for key, value in zip(("Reason", "ResumeAfter"), told, strict=False))
    return ("scontrol", "update", f"NodeName={_folded(names)}", f"State={NODE_STATES[action]}", *rest)


def checked(change: Change) -> tuple[str, ...]:
    """The targets, or ValueError. The gate has checked them against the inventory."""
    known = {"node": _NODE_ACTIONS, "job": _JOB_ACTIONS}.get(change.kind, frozenset())
    if change.action not in known:
        raise ValueError(f"{change.action} of a {change.kind} is not an action of Slurm's")
    if not change.targets:
        raise ValueError("no targets: nothing is sent")
    pattern = _NAME if change.kind == "node" else _ID
    for name in change.targets:
        if not pattern.fullmatch(name) or name.upper() == "ALL":
            raise ValueError(f"{clean(name)[:60]!r} is no {change.kind} that can be named to Slurm")
    if len(set(change.targets)) != len(change.targets):
        raise ValueError("a target is named twice")
    _check_more(change)
    return change.targets


def _check_more(change: Change) -> None:
    """What goes with the targets: each field only with the action that knows it, whole, and within its range."""
    action, targets = change.action, frozenset(change.targets)
    fields: tuple[tuple[str, Mapping[str, object], bool, bool], ...] = (
        ("reason of its own", change.reasons, action in _WITH_REASON, False),
        ("next state", change.next_state, action == "reboot", True),
        ("priority", change.priorities, action == "priority", True),
    )
    for what, given, fits, whole in fields:
        if given and not fits:
            raise ValueError(f"{action} takes no {what}")
        if not given.keys() <= targets:
            raise ValueError(f"a {what} is given for what is no target")
        if fits and whole and given.keys() != targets:
            raise ValueError(f"{action}: a target has no {what}")
    if not set(change.next_state.values()) <= {"RESUME", "DOWN"}:
        raise ValueError("a node comes back from a reboot with RESUME or DOWN")
    low, high = PRIORITIES
    if not all(type(one) is int and low <= one <= high for one in change.priorities.values()):
        raise ValueError(f"a priority is a whole number from {low} to {high} (0 would be a hold)")
    after = change.resume_after_s
    low, high = RESUME_AFTER_S
    if after is not None and (action != "drain" or type(after) is not int or not low <= after <= high):
        raise ValueError(f"only a drain ends by itself, after {low} s to {high // 86_400} days")


def reason_of(action: str, text: str | None) -> str:
    """One line, no control characters, capped: it becomes one argv element."""
    reason = clean(" ".join((text or "").split()))[:REASON_CAP]
    if not reason:
        raise ValueError(f"a {action} needs a reason")
    return reason


def _folded(names: tuple[str, ...]) -> str:
    """The names as one node set, proven to mean exactly these names."""
    text = fold(names)
    if frozenset(expand(text, cap=len(names))) != frozenset(names):
        return ",".join(names)
    return text


def batches(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]
