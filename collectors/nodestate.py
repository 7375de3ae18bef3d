"""Slurm's node states: base words, flags, and display words.

Since Slurm 20.02 a node has one base state and any number of flags. There is no DRAINED token: a DRAIN flag on a
working node is "draining", on an idle one "drained" (slurm/slurm.h, node_state_string in slurm_protocol_defs.c, 22.05
to 26.05).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Protocol

BASES = frozenset({"UNKNOWN", "DOWN", "IDLE", "ALLOCATED", "MIXED", "FUTURE", "ERROR"})

# Older or shorter spellings that scontrol, sinfo and REST use for the same flag.
_ALIASES = {
    "MAINT": "MAINTENANCE",
    "NO_RESPOND": "NOT_RESPONDING",
    "REBOOT": "REBOOT_REQUESTED",
    "POWERED_UP": "",
    "POWER_UP": "POWERING_UP",
    "COMP": "COMPLETING",
    "ALLOC": "ALLOCATED",
    "MIX": "MIXED",
    "RES": "RESERVED",
    "INVAL": "INVALID_REG",
    "INVALID": "INVALID_REG",
    "DRAINED": "DRAIN",
    "DRAINING": "DRAIN",
}
# The suffix of each flag that sinfo and scontrol append to a state word.
_SUFFIXES = {
    "*": "NOT_RESPONDING",
    "$": "MAINTENANCE",
    "@": "REBOOT_REQUESTED",
    "^": "REBOOT_ISSUED",
    "~": "POWERED_DOWN",
    "#": "POWERING_UP",
    "!": "POWER_DOWN",
    "%": "POWERING_DOWN",
    "-": "PLANNED",
}

#: The display words, worst first: the order in lists and totals.
DISPLAYS = (
    "down",
    "failed",
    "invalid",
    "unknown",
    "drained",
    "draining",
    "failing",
    "rebooting",
    "resuming",
    "powering",
    "powered off",
    "maintenance",
    "completing",
    "reserved",
    "planned",
    "blocked",
    "mixed",
    "allocated",
    "idle",
    "future",
)
#: Display words of nodes that cannot start new work.
UNAVAILABLE = frozenset(
    {"down", "failed", "invalid", "unknown", "drained", "draining", "failing", "rebooting", "future"}
)


@lru_cache(maxsize=4096)
def parse_state(text: str) -> tuple[str, tuple[str, ...]]:
    """Split a state as Slurm prints it (`MIXED+DRAIN`, `down*`) into its base word and its flags, upper case.

    An unknown word is kept as a flag, so that a new Slurm version stays readable. Without a base word the base is
    UNKNOWN.
    """
    base = ""
    flags: list[str] = []
    for part in text.upper().split("+"):
        word = part.strip()
        while word and word[-1] in _SUFFIXES:
            flags.append(_SUFFIXES[word[-1]])
            word = word[:-1]
        word = _ALIASES.get(word, word)
        if word in BASES and not base:
            base = word
        elif word:
            flags.append(word)
    return base or "UNKNOWN", tuple(dict.fromkeys(flags))


@lru_cache(maxsize=4096)
def display_word(base: str, flags: tuple[str, ...]) -> str:
    """The display word of a node in this state: the worst one that applies."""
    has = frozenset(flags)
    working = base in {"ALLOCATED", "MIXED"} or "COMPLETING" in has
    if "INVALID_REG" in has:
        return "invalid"
    if base == "FUTURE":
        return "future"
    if "REBOOT_ISSUED" in has:
        # Slurm sets DOWN+REBOOT_ISSUED while it reboots a node, and itself prints REBOOT^ then.
        return "rebooting"
    if base == "DOWN":
        return "down"
    if "DRAIN" in has:
        return "draining" if working else "drained"
    if "FAIL" in has:
        return "failing" if working else "failed"
    if "POWERED_DOWN" in has or "POWER_DOWN" in has:
        return "powered off"
    if "POWERING_UP" in has or "POWERING_DOWN" in has:
        return "powering"
    if base in {"UNKNOWN", "ERROR"}:
        return "unknown"
    if "NOT_RESPONDING" in has:
        # A node that was resumed from DOWN is IDLE+NOT_RESPONDING until its slurmd registers; a working one that
        # stopped responding is about to go down.
        return "resuming" if base == "IDLE" and not working else "unknown"
    if "REBOOT_REQUESTED" in has and not working:
        return "rebooting"
    if "MAINTENANCE" in has:
        return "maintenance"
    if "COMPLETING" in has:
        return "completing"
    if base == "MIXED":
        return "mixed"
    if base == "ALLOCATED":
        return "allocated"
    if "BLOCKED" in has:
        return "blocked"
    if "RESERVED" in has:
        return "reserved"
    if "PLANNED" in has:
        return "planned"
    return "idle"


def reboot_overdue(flags: tuple[str, ...], issued_at: int | None, now: float, limit_s: float) -> bool:
    """Whether a node has been rebooting for longer than `limit_s`. `issued_at`: when slurmctld wrote "reboot issued"
    into the reason."""
    return "REBOOT_ISSUED" in flags and issued_at is not None and now - issued_at > limit_s


class _Shown(Protocol):
    @property
    def display(self) -> str: ...


def in_service(names: Iterable[str], nodes: Mapping[str, _Shown]) -> tuple[str, ...]:
    """The given nodes that are in service; unknown nodes are left out."""
    return tuple(name for name in names if (node := nodes.get(name)) is not None and node.display not in UNAVAILABLE)
