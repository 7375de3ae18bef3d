"""Slurm's text formats: times, durations, counts, TRES and GRES strings. No function here raises, whatever the text."""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite

_UNSET = frozenset({"", "N/A", "n/a", "Unknown", "None", "NONE", "(null)", "(none)", "NULL", "INVALID", "NOT_SET"})
#: A larger number is not a count of Slurm's, and JSON could not carry it.
_MOST = 1 << 62
_NO_LIMIT = frozenset({"UNLIMITED", "INFINITE", "Partition_Limit", "infinite", "unlimited"})


def text_or_none(value: str) -> str | None:
    """The value, or None for Slurm's words for "nothing"."""
    return None if value in _UNSET else value


def whole(value: str) -> bool:
    """True for what int() accepts and 64 bits hold: at most 18 ASCII digits (`"²".isdigit()` is true as well)."""
    return len(value) <= 18 and value.isdecimal() and value.isascii()


def integer(value: str) -> int | None:
    """A count. Slurm shortens some (`10K`, `1.50M`, by 1024) and writes ranges (`2-4`; the lower bound is returned)."""
    return int(value) if whole(value) else _odd_integer(value)


def signed(value: str) -> int | None:
    """A whole number that may be negative."""
    digits = value.removeprefix("-")
    return int(value) if whole(digits) else None


@lru_cache(maxsize=1024)
def _odd_integer(value: str) -> int | None:
    match = _SHORTENED.fullmatch(value)
    if match is None:
        return None
    count = round(float(match[1]) * 1024 ** " KMGTP".index(match[2] or " "))
    return count if count < _MOST else None


_SHORTENED = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([KMGTP]?)(?:-[0-9.]{1,31}[KMGTP]?)?")


def real(value: str) -> float | None:
    """A decimal number, None for Slurm's N/A."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if isfinite(number) else None


def epoch(value: str) -> int | None:
    """A time under SLURM_TIME_FORMAT=%s. 0 means unknown to Slurm as well."""
    return int(value) or None if whole(value) else None


@lru_cache(maxsize=4096)
def duration_s(value: str) -> int | None:
    """`2-03:04:05`, `03:04:05`, `04:05`, or minutes alone, in seconds; None for no limit and for unknown."""
    if value in _UNSET or value in _NO_LIMIT:
        return None
    days, dash, rest = value.partition("-")
    if not dash:
        days, rest = "0", value
    parts = rest.split(":")
    if len(parts) > 3 or not whole(days) or not all(whole(part) for part in parts):
        return None
    numbers = [int(part) for part in parts]
    if dash:  # D-H[:M[:S]]
        numbers += [0] * (3 - len(numbers))
    elif len(numbers) == 1:  # minutes
        numbers = [0, numbers[0], 0]
    elif len(numbers) == 2:  # M:S
        numbers = [0, *numbers]
    seconds = int(days) * 86400 + numbers[0] * 3600 + numbers[1] * 60 + numbers[2]
    return seconds if seconds < _MOST else None


@lru_cache(maxsize=8192)
def tres_gpus(value: str) -> int | None:
    """GPUs in a TRES string (`cpu=8,gres/gpu=8,gres/gpu:h100=8`): the untyped total, else the sum of the types.

    None if the string names no GPU: only the caller knows whether that means none or not recorded.
    """
    if "gpu" not in value:
        return None
    typed: int | None = None
    for part in value.split(","):
        key, _, count = part.partition("=")
        number = integer(count)
        if number is None:
            continue
        if key == "gres/gpu":
            return number
        if key.startswith("gres/gpu:"):
            typed = (typed or 0) + number
    return typed


@lru_cache(maxsize=8192)
def gres_gpus(value: str) -> tuple[int, str | None, str | None]:
    """GPUs in a GRES string: count, type, and the indices if it lists them.

    Accepts `gpu:h100:8`, `gpu:8`, `gres:gpu:h100:8`, `gres/gpu:h100=8`, `gpu:h100:3(IDX:0-1,5)`, `gpu:h100:8(S:0-1)`,
    `gpu:(null):4(IDX:0-3)`, `gpu:a100:no_consume:4`, and several, separated by commas outside brackets. Other GRES are
    ignored.
    """
    count, kind, indices = 0, None, []
    for part in _GRES_COMMA.split(value):
        match = _GPU.fullmatch(part.strip())
        if match is None:
            continue
        name, number, extra = match[1], match[2], match[3] or ""
        if number is None and name is not None and whole(name):
            name, number = None, name
        count += int(number) if number is not None else 1
        if name and name != "(null)":
            kind = kind or name
        if extra.startswith("IDX:") and extra[4:] not in ("", "N/A"):
            indices.append(extra[4:])
    return count, kind, ",".join(indices) or None


def requested_gpus(value: str) -> int:
    """GPUs that a job requests, from a GRES or TRES string. Of two requests of the same type Slurm keeps the last: with
    `gres/gpu:2,gres/gpu:1`, which sbatch makes of `--gpus-per-node=2 --gres=gpu:1`, a job holds 1 (25.11.7)."""
    last: dict[str | None, int] = {}
    for part in value.split(","):
        if _GPU.fullmatch(part.strip()):
            count, kind, _ = gres_gpus(part)
            last[kind] = count
    return sum(last.values())


@lru_cache(maxsize=8192)
def gpu_types(value: str) -> tuple[str | None, int]:
    """The GPU types in a GRES string, joined by "+", and how many of its GPUs are MIG slices."""
    named: list[str] = []
    slices = 0
    for part in _GRES_COMMA.split(value):
        count, kind, _ = gres_gpus(part)
        if kind is not None and count:
            named.append(kind)
            slices += count if is_slice(kind) else 0
    return "+".join(dict.fromkeys(named)) or None, slices


def is_slice(gpu_type: str) -> bool:
    """Whether this type is a MIG slice (`1g.10gb`, `nvidia_b200_2g.45gb`). Slurm counts a slice as a GPU."""
    return _MIG.search(gpu_type) is not None


_MIG = re.compile(r"(?<![0-9])[1-7]g\.[0-9]+gb", re.I)
_GRES_COMMA = re.compile(r",(?![^()]*\))")
_GPU = re.compile(
    r"(?:gres[:/])?gpu(?::(?!no_consume(?:[:=(]|$))([^:()=]+|\(null\)))?(?::no_consume)?(?:[:=]([0-9]{1,9}))?(?:\(([^()]*)\))?"
)
