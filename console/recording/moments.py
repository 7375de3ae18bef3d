"""Parses moments as users type them: `2026-11-24T03:12:07+01:00`, `03:12`, `-15m`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from .store import RecordingFault, RecordingReader

FindMoment = Callable[[RecordingReader, float | None], float]
"""From a recording and the current place in it (None at the start) to another place. Raises RecordingFault."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LENGTH = re.compile(r"(?:\d{1,6}[smhd])+")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def parse_length(text: str) -> int:
    """The seconds in `10s`, `5m`, `24h`, `7d`, `1h30m`. Raises ValueError."""
    low = text.strip().lower()
    if not _LENGTH.fullmatch(low):
        raise ValueError(f"{text!r} is no length of time; write it as 90s, 30m, 24h or 7d")
    return sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)([smhd])", low))


def parse_moment(text: str) -> FindMoment:
    """A function that finds this moment in a recording. Raises ValueError.

    `-15m` and `+15m` count from the current place, or from the end. A time without a date is the last such time
    before the end; without a zone it is local time.
    """
    low = text.strip()
    if low[:1] in {"-", "+"}:
        step = parse_length(low[1:]) * (-1 if low[0] == "-" else 1)
        return lambda recording, here: (_end(recording)[0] if here is None else here) + step
    if match := _CLOCK.fullmatch(low):
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
        if hour > 23 or minute > 59 or second > 59:
            raise ValueError(f"{text!r} is no time of the day")
        return lambda recording, _: _at(recording, _last_such(_end(recording)[1], hour, minute, second))
    try:
        wall = datetime.fromisoformat(low.replace(" ", "T", 1)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no moment; write it as 2026-11-24T03:12:07+01:00, 03:12 or -15m") from None
    return lambda recording, _: _at(recording, wall)


def _last_such(end: float, hour: int, minute: int, second: int) -> float:
    day = datetime.fromtimestamp(end).replace(hour=hour, minute=minute, second=second, microsecond=0)
    return day.timestamp() if day.timestamp() <= end else (day - timedelta(days=1)).timestamp()


def _end(recording: RecordingReader) -> tuple[float, float]:
    last = recording.last()
    if last is None:
        raise RecordingFault("nothing was recorded yet")
    return last.at, last.wall


def _at(recording: RecordingReader, wall: float) -> float:
    """The recording's own time at this wall-clock time."""
    there = recording.on_the_wall(wall) or recording.first()
    return 0.0 if there is None else there.at + max(0.0, wall - there.wall)
