"""Parses durations and moments as people and Slurm's commands write them (`parse_time` of Slurm's
src/common/parse_time.c). Pure.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from collectors.slurm.operations import EPOCH

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FORM = r"(?:[0-9]{1,6}[smhdw])+"
"""The pattern of a duration, for parsers of longer texts."""
_LENGTH = re.compile(FORM)
_SPAN = re.compile(r"([0-9]{1,4}):([0-9]{2}):([0-9]{2})|([0-9]{1,4})-([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2}))?)?")
_PART = re.compile(r"([0-9]+)([smhdw])")
EXAMPLES = "22:00, tomorrow, now+1h, +2h or 2026-11-26T08:00"
"""For an error."""
_NAMED = {"midnight": (0, 0), "elevenses": (11, 0), "noon": (12, 0), "fika": (15, 0), "teatime": (16, 0)}
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_LATER = re.compile(rf"(?:now)?\+\s*(?:({FORM})|([0-9]{{1,9}})\s*(second|minute|hour|day|week)?s?)")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?\s*([ap]m)?|([0-9]{1,2})\s*([ap]m)")
_DAY = re.compile(r"(today|tomorrow)(?:t?(.+))?")


def seconds_in(text: str) -> int | None:
    """The duration in seconds; None when the text is no duration."""
    low = text.strip().lower()
    if not _LENGTH.fullmatch(low):
        return None
    return sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(low))


def clock_seconds(text: str) -> int | None:
    """Slurm's `4:00:00`, `2-12`, `2-12:00` or `2-12:00:00` in seconds; None when the text is none of these. Slurm reads
    `4:00` as minutes and seconds, which a person may mean as hours: it is left to the caller."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        return None
    if match[1]:
        return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[3:])
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds


def parse_moment(text: str, now: float) -> int:
    """A moment as an epoch: `22:00` and `8pm` (the next such time), `2026-11-26T08:00`, `now`, `now+1h`, `now+60` (in
    seconds), `now+2days`, `+2h`, `tomorrow` (its midnight), `tomorrowT08:00`, `noon`, or an epoch. Raises ValueError.
    """
    said = text.strip().lower()
    if EPOCH.fullmatch(said):
        return int(said)
    if said == "now":
        return int(now)
    try:
        if (later := _LATER.fullmatch(said)) and (said.startswith("now") or later[1] or later[3]):
            seconds = seconds_in(later[1]) if later[1] else int(later[2]) * _UNITS[later[3] or "second"]
            return int(now) + (seconds or 0)
        here = datetime.fromtimestamp(now)
        if day := _DAY.fullmatch(said):
            date = here.date() + timedelta(days=day[1] == "tomorrow")
            clock = _time_of_day(day[2]) if day[2] else (0, 0, 0)
            if clock is not None:
                return int(datetime(date.year, date.month, date.day, *clock).timestamp())
        elif (clock := _time_of_day(said)) is not None:
            then = here.replace(hour=clock[0], minute=clock[1], second=clock[2], microsecond=0)
            return int((then if then > here else then + timedelta(days=1)).timestamp())
        return int(datetime.fromisoformat(text.strip()).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no moment; write {EXAMPLES}") from None


def _time_of_day(text: str) -> tuple[int, int, int] | None:
    """`8:00`, `08:00:30`, `8pm`, `noon` as hour, minute and second; None when the text is none of these."""
    if text in _NAMED:
        return (*_NAMED[text], 0)
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hour, half = int(match[1] or match[5]), match[4] or match[6]
    if half:
        if not 1 <= hour <= 12:
            raise ValueError(text)
        hour = hour % 12 + 12 * (half == "pm")
    return hour, int(match[2] or 0), int(match[3] or 0)
