"""Slurm's little languages: times, durations, counts, TRES and GRES strings, `key=value` lines."""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite

_UNSET = frozenset({"", "N/A", "n/a", "Unknown", "None", "NONE", "(null)", "(none)", "NULL", "INVALID", "NOT_SET"})
_NO_LIMIT = frozenset({"UNLIMITED", "INFINITE", "Partition_Limit", "infinite", "unlimited"})


def text_or_none(value: str) -> str | None:
    """The value, or None where Slurm writes one of its words for nothing."""
    return None if value in _UNSET else value


def integer(value: str) -> int | None:
    """A count; Slurm shortens some (`10K`, `1.50M`) and writes ranges (`2-4`, of which the least counts)."""
    if value.isdigit():
        return int(value)
    return _odd_integer(value)


@lru_cache(maxsize=1024)
def _odd_integer(value: str) -> int | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)(?:-\d+(?:\.\d+)?[KMGTP]?)?", value)
    if match is None:
        return None
    scale = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4, "P": 1000**5}[match[2]]
    return round(float(match[1]) * scale)


def real(value: str) -> float | None:
    """A number with a fraction, None for Slurm's N/A."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if isfinite(number) else None


def epoch(value: str) -> int | None:
    """A time under SLURM_TIME_FORMAT=%s. 0 means unknown to Slurm as well."""
    return int(value) or None if value.isdigit() else None


@lru_cache(maxsize=4096)
def duration_s(value: str) -> int | None:
    """`2-03:04:05`, `03:04:05`, `04:05`, or minutes alone, in seconds; None for no limit and for unknown."""
    if value in _UNSET or value in _NO_LIMIT:
        return None
    days, dash, rest = value.partition("-")
    if not dash:
        days, rest = "0", value
    parts = rest.split(":")
    if not days.isdigit() or not all(part.isdigit() for part in parts) or len(parts) > 3:
        return None
    numbers = [int(part) for part in parts]
    if dash:  # D-H[:M[:S]]
        numbers += [0] * (3 - len(numbers))
    elif len(numbers) == 1:  # minutes
        numbers = [0, numbers[0], 0]
    elif len(numbers) == 2:  # M:S
        numbers = [0, *numbers]
    return int(days) * 86400 + numbers[0] * 3600 + numbers[1] * 60 + numbers[2]


@lru_cache(maxsize=8192)
def tres_gpus(value: str) -> int | None:
    """GPUs in a TRES string (`cpu=8,gres/gpu=8,gres/gpu:h100=8`); the untyped total counts, else the sum of types.

    None when the string names no GPU: whether that means none or not recorded is for the caller to know.
    """
    if "gpu" not in value:
        return None
    typed = 0
    for part in value.split(","):
        key, _, count = part.partition("=")
        number = integer(count)
        if number is None:
            continue
        if key == "gres/gpu":
            return number
        if key.startswith("gres/gpu:"):
            typed += number
    return typed or None


@lru_cache(maxsize=8192)
def gres_gpus(value: str) -> tuple[int, str | None, str | None]:
    """GPUs in a GRES string: count, type, and the indices where it lists them.

    Takes `gpu:h100:8`, `gpu:8`, `gres:gpu:h100:8`, `gres/gpu:h100:8`, `gpu:h100:3(IDX:0-1,5)`, `gpu:h100:8(S:0-1)`,
    and several, parted by commas outside brackets. Other GRES count nothing.
    """
    count, kind, indices = 0, None, []
    for part in re.split(r",(?![^(]*\))", value):
        match = re.fullmatch(r"(?:gres[:/])?gpu(?::([^:()=]+))?(?:[:=](\d+))?(?:\((.*)\))?", part.strip())
        if match is None:
            continue
        name, number, extra = match[1], match[2], match[3] or ""
        if number is None and name is not None and name.isdigit():
            name, number = None, name
        count += int(number) if number is not None else 1
        if name and name != "(null)":
            kind = kind or name
        if extra.startswith("IDX:") and extra[4:] not in ("", "N/A"):
            indices.append(extra[4:])
    return count, kind, ",".join(indices) or None


def pairs(line: str) -> dict[str, str]:
    """`Key=Value` pairs of a line of `scontrol -o`, the *first* of each key.

    Values may hold spaces (`OS=Linux 6.1 #1`), so a pair begins where a space is followed by a key and `=`. Free text
    (Reason, Comment, Extra) may hold anything that looks like a pair; scontrol prints it after the fields that steer
    us, and since the first of each key wins, it cannot forge those.
    """
    found: dict[str, str] = {}
    for match in _PAIR.finditer(line):
        found.setdefault(match[1], match[2].rstrip())
    return found


_PAIR = re.compile(r"(?:^|(?<=\s))([A-Za-z][A-Za-z0-9_/:]*)=(.*?)(?=\s+[A-Za-z][A-Za-z0-9_/:]*=|$)", re.S)
