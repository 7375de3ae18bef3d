"""Parses durations as users type them: `90s`, `30m`, `2h`, `1h30m`, `3d`, `1w`, and as Slurm writes them. Pure."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FORM = r"(?:[0-9]{1,6}[smhdw])+"
"""The pattern of a duration, for parsers of longer texts."""
_LENGTH = re.compile(FORM)
_CLOCK = re.compile(r"([0-9]{1,4}):([0-9]{2}):([0-9]{2})|([0-9]{1,4})-([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2}))?)?")
_PART = re.compile(r"([0-9]+)([smhdw])")


def seconds_in(text: str) -> int | None:
    """The duration in seconds; None when the text is no duration."""
    low = text.strip().lower()
    if not _LENGTH.fullmatch(low):
        return None
    return sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(low))


def clock_seconds(text: str) -> int | None:
    """Slurm's `4:00:00`, `2-12`, `2-12:00` or `2-12:00:00` in seconds; None when the text is none of these. Slurm reads
    `4:00` as minutes and seconds, which a person may mean as hours: it is left to the caller."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    if match[1]:
        return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[3:])
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds
