"""Turns a frozen Change into argv of scontrol and scancel. Pure: it starts nothing and reads nothing.

Verified on live 24.11.5 and 26.05.5 controllers: `ResumeAfter` is in seconds and must fit an epoch; a priority of 0 is
a hold, and the two highest numbers are reserved; `reboot` takes its options before the nodes, `nextstate` only as
RESUME or DOWN, and a reason with special characters as one word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from collectors.clean import clean
from collectors.model import Change

from . import argv_jobs, argv_nodes, argv_reservations, argv_users
from .argv_base import (
    BATCH,
    NAME_PATTERNS,
    REASON_CAP,
    Call,
    CommandSpec,
    Words,
    batches,
    checked_nodeset,
    checked_reason,
)

__all__ = [
    "BATCH",
    "PRIORITIES",
    "REASON_CAP",
    "RESUME_AFTER_S",
    "Call",
    "Words",
    "batches",
    "calls",
    "checked_nodeset",
    "checked_targets",
    "nodes_by_settings",
]  # fmt: skip

#: The lowest priority that does not hold the job, and the highest that Slurm accepts.
PRIORITIES = (1, 0xFFFFFFFD)
#: Range of ResumeAfter in seconds; below a minute the drain would never be visible.
RESUME_AFTER_S = (60, 365 * 86_400)


def _partition_state(state: str) -> CommandSpec:
    """Set a partition's state, one call each. Running jobs continue, new ones are accepted and wait (PartitionDown)."""

    def partition_calls(change: Change, names: tuple[str, ...]) -> list[Call]:
        return [(("scontrol", "update", f"PartitionName={name}", f"State={state}"), (name,)) for name in names]

    return CommandSpec(calls=partition_calls)


#: Actions on partitions.
_PARTITIONS = {"partition-down": _partition_state("DOWN"), "partition-up": _partition_state("UP")}
#: Kind to the actions with a module of their own. New kinds and actions are registered here.
COMMAND_SPECS: Mapping[str, Mapping[str, CommandSpec]] = {
    "job": argv_jobs.COMMAND_SPECS, "node": {**argv_nodes.COMMAND_SPECS, **argv_reservations.CREATE},
    "partition": _PARTITIONS, "reservation": argv_reservations.COMMAND_SPECS,
    "user": argv_users.COMMAND_SPECS,
}  # fmt: skip
NODE_STATES = {"drain": "DRAIN", "undrain": "UNDRAIN", "resume": "RESUME", "down": "DOWN"}
#: reboot-now sets DOWN first, which ends the jobs that a reboot would wait for.
_REBOOTS = frozenset({"reboot", "reboot-now"})
_NODE_ACTIONS = frozenset({*NODE_STATES, *_REBOOTS})
_WITH_REASON = frozenset({"drain", "down", *_REBOOTS})
#: The words before the ids, and whether ids are joined by commas. Without `Incomplete` a requeue also reruns jobs that
#: have ended, even successfully.
_JOB_WORDS = {
    "requeue": (("scontrol", "requeue", "Incomplete"), True),
    "requeuehold": (("scontrol", "requeuehold", "Incomplete"), True),
    "hold": (("scontrol", "hold"), False),
    "uhold": (("scontrol", "uhold"), False),
    "release": (("scontrol", "release"), False),
    "cancel": (("scancel",), False),
}
_JOB_ACTIONS = frozenset({*_JOB_WORDS, "priority"})


def calls(change: Change) -> list[Call]:
    """Each command, with its program's plain name and its targets, in order and as few as possible.

    Everything is checked before the first one is built: this is the last check. Raises ValueError if the Change has
    anything that is not a plain name or id, or if something is missing, duplicated or out of range.
    """
    names = checked_targets(change)
    spelt = COMMAND_SPECS.get(change.kind, {}).get(change.action)
    if spelt is not None:
        return spelt.calls(change, names)
    if change.kind == "node":
        return [
            (words, some)
            for told, some in nodes_by_settings(change, names)
            for words in _node_words(change.action, told, some)
        ]
    if change.action == "priority":
        of = change.priorities
        return [
            (("scontrol", "update", f"JobId={','.join(some)}", f"Priority={priority}"), some)
            for priority in dict.fromkeys(of[job] for job in names)
            for some in batches(tuple(job for job in names if of[job] == priority))
        ]
    head, joined = _JOB_WORDS[change.action]
    return [((*head, ",".join(some)) if joined else (*head, *some), some) for some in batches(names)]


def nodes_by_settings(change: Change, names: tuple[str, ...]) -> Iterator[tuple[Words, tuple[str, ...]]]:
    """The nodes grouped by identical settings, each group with its words other than the state."""
    groups: dict[Words, list[str]] = {}
    for name in names:
        told: Words = ()
        if change.action in _WITH_REASON:
            told = (checked_reason(change.action, change.reasons.get(name, change.reason)),)
        if change.action in _REBOOTS:
            told = (change.next_state[name], *told)
        elif change.resume_after_s is not None:
            told = (*told, str(change.resume_after_s))
        groups.setdefault(told, []).append(name)
    return ((told, tuple(some)) for told, some in groups.items())


def _node_words(action: str, told: Words, names: tuple[str, ...]) -> list[Words]:
    which = checked_nodeset(names)
    if action in _REBOOTS:
        state, reason = told
        first = [_state(which, "down", (reason,))] if action == "reboot-now" else []
        return [*first, ("scontrol", "reboot", "ASAP", f"nextstate={state}", f"reason={reason}", which)]
    return [_state(which, action, told)]


def _state(which: str, action: str, told: Words) -> Words:
    rest = (f"{key}={value}" for key, value in zip(("Reason", "ResumeAfter"), told, strict=False))
    return ("scontrol", "update", f"NodeName={which}", f"State={NODE_STATES[action]}", *rest)


def checked_targets(change: Change) -> tuple[str, ...]:
    """The targets, or ValueError. The gate has checked them against the inventory."""
    known = {"node": _NODE_ACTIONS, "job": _JOB_ACTIONS}.get(change.kind, frozenset())
    spelt = COMMAND_SPECS.get(change.kind, {}).get(change.action)
    if spelt is None and change.action not in known:
        raise ValueError(f"{change.action} of a {change.kind} is not an action of Slurm's")
    if not change.targets:
        raise ValueError("no targets: nothing is sent")
    pattern = NAME_PATTERNS[change.kind]
    for name in change.targets:
        if not pattern.fullmatch(name) or name.upper() == "ALL":
            raise ValueError(f"{clean(name)[:60]!r} is no {change.kind} that can be named to Slurm")
    if len(set(change.targets)) != len(change.targets):
        raise ValueError("a target is named twice")
    _check_more(change, spelt)
    return change.targets


def _check_more(change: Change, spelt: CommandSpec | None) -> None:
    """Check the other fields: each only with the action that uses it, complete, and within its range."""
    action, targets = change.action, frozenset(change.targets)
    takes, sets = (None, None) if spelt is None else (spelt.value, spelt.settings)
    with_reason = action in _WITH_REASON or (spelt is not None and spelt.reason)
    fields: tuple[tuple[str, Mapping[str, object], bool, bool], ...] = (
        ("value", change.values, takes is not None, True),
        ("reason of its own", change.reasons, with_reason, False),
        ("next state", change.next_state, action in _REBOOTS, True),
        ("priority", change.priorities, action == "priority", True),
    )
    for what, given, fits, whole in fields:
        if given and not fits:
            raise ValueError(f"{action} takes no {what}")
        if not given.keys() <= targets:
            raise ValueError(f"a {what} is given for what is no target")
        if fits and whole and given.keys() != targets:
            raise ValueError(f"{action}: a target has no {what}")
    if change.settings and sets is None:
        raise ValueError(f"{action} takes no settings")
    for form, sent in ((takes, change.values), (sets, change.settings)):
        if form is not None and (bad := [text for text in sent.values() if not form.fullmatch(text)]):
            raise ValueError(f"{action}: {clean(bad[0])[:60]!r} is nothing that can be sent")
    if not set(change.next_state.values()) <= {"RESUME", "DOWN"}:
        raise ValueError("a node comes back from a reboot with RESUME or DOWN")
    low, high = PRIORITIES
    if not all(type(one) is int and low <= one <= high for one in change.priorities.values()):
        raise ValueError(f"a priority is a whole number from {low} to {high} (0 would be a hold)")
    after = change.resume_after_s
    low, high = RESUME_AFTER_S
    if after is not None and (action != "drain" or type(after) is not int or not low <= after <= high):
        raise ValueError(f"only a drain ends by itself, after {low} s to {high // 86_400} days")
