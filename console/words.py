"""What can be said beside targets and reason, as people type it: `--resume-after 2h`, `--for 30m`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from collectors.model import Cluster
from collectors.nodeset import expand
from collectors.slurm.argv import PRIORITIES, RESUME_AFTER_S
from console.plan import Options

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TIME = re.compile(r"(?:[0-9]{1,6}[smhdw])+")
_PART = re.compile(r"([0-9]+)([smhdw])")
#: Option as typed, and the field of Options that it sets.
OPTIONS: Mapping[str, str] = {
    "resume-after": "resume_after_s",
    "for": "seconds",
    "priority": "priority",
    "next": "next_state",
}


def seconds_of(text: str) -> int:
    """`10s`, `5m`, `1h30m`, `2d` in seconds. Raises ValueError."""
    low = text.strip().lower()
    if not _TIME.fullmatch(low):
        raise ValueError(f"{text!r} is no length of time; write it as 90s, 30m, 2h, 1h30m or 3d")
    seconds = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(low))
    if not RESUME_AFTER_S[0] <= seconds <= RESUME_AFTER_S[1]:
        raise ValueError(f"{text!r}: from a minute to a year")
    return seconds


def priority_of(text: str) -> int:
    """A job's priority. Raises ValueError."""
    if not text.isdecimal() or not PRIORITIES[0] <= int(text) <= PRIORITIES[1]:
        raise ValueError(f"{text!r} is no priority; it is a whole number from 1 (hold is what keeps a job back)")
    return int(text)


def next_of(text: str) -> str:
    """How a node comes back from a reboot. Raises ValueError."""
    if text.upper() not in {"RESUME", "DOWN"}:
        raise ValueError(f"{text!r}: a node comes back as resume or down")
    return text.upper()


_READERS = {"resume_after_s": seconds_of, "seconds": seconds_of, "priority": priority_of, "next_state": next_of}


def option(name: str, text: str) -> dict[str, Any]:
    """One option as a field of Options. Raises ValueError."""
    if name not in OPTIONS:
        raise ValueError(f"no option --{name}; there are: {', '.join('--' + one for one in OPTIONS)}")
    field = OPTIONS[name]
    return {field: _READERS[field](text)}


def nodes_of(word: str, cluster: Cluster) -> tuple[str, ...]:
    """The nodes that were typed, each by its own name: a node set, or all of some racks: `@rack:R[07-10]`.

    Raises ValueError. Names that the cluster does not know are kept: the gate refuses them by name.
    """
    if not word.startswith("@rack:"):
        return expand(word)
    racks = expand(word.removeprefix("@rack:"))
    if not racks:
        raise ValueError(f"{word} names no rack: @rack:R07 does")
    unknown = [rack for rack in racks if not cluster.racks.get(rack)]
    if unknown:
        raise ValueError(f"no rack {unknown[0]} is known")
    return tuple(dict.fromkeys(node for rack in racks for node in cluster.racks[rack]))


def split(words: Sequence[str]) -> tuple[Options, list[str]]:
    """The options among typed words, wherever they stand, and the other words. Raises ValueError."""
    given: dict[str, Any] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            rest.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not left:
                raise ValueError(f"--{name} needs a value")
            value = left.pop(0)
        given |= option(name, value)
    return Options(**given), rest
