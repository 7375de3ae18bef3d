"""The time that a report is of, as people say it. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from msgspec import Struct

from console.recording.moments import parse_length
from widgets.units import duration, when

#: A shift, where nobody says how long it was.
SHIFT = "12h"
#: Nobody reads a report of more; a recording keeps less.
_MOST_S = 366 * 86400


class Span(Struct, frozen=True):
    """From when to when, in seconds since the epoch."""

    since: float
    until: float

    @property
    def told(self) -> str:
        """`12h until 06:00`."""
        return f"{duration(self.until - self.since)} until {when(self.until)}"


def span_of(now: float, length: str = "") -> Span:
    """The time of that length up to now; `SHIFT` where none is said. Raises ValueError."""
    return _whole(now - parse_length(length or SHIFT), now)


def between(now: float, since: str | None, until: str | None) -> Span:
    """From a moment or a length of time ago up to another, by default now. Raises ValueError."""
    end = now if until is None else moment(until, now)
    return _whole(end - parse_length(SHIFT) if since is None else moment(since, end), end)


def moment(text: str, now: float) -> float:
    """`8h` (before `now`), `22:00` (the last one before it), `2026-11-24T22:00`; without a zone that of this computer.
    Raises ValueError."""
    low = text.strip()
    try:
        return now - parse_length(low.removeprefix("-"))
    except ValueError:
        pass
    try:
        clock = time.fromisoformat(low) if ":" in low and len(low) <= 8 else None
        if clock is None:
            return datetime.fromisoformat(low.replace(" ", "T", 1)).timestamp()
        day = datetime.combine(datetime.fromtimestamp(now).date(), clock)
        return (day if day.timestamp() <= now else day - timedelta(days=1)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no moment; write it as 8h, 22:00 or 2026-11-24T22:00") from None


def _whole(since: float, until: float) -> Span:
    if not 0 < until - since <= _MOST_S:
        raise ValueError("a report is of a time that begins before it ends, and of a year at most")
    return Span(since, until)
