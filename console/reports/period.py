"""The period of a report, as users type it. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from msgspec import Struct

from console.recording.moments import parse_length
from widgets.units import duration, when

#: Default length of a shift.
SHIFT = "12h"
#: Longest period in seconds; recordings keep less.
_MOST_S = 366 * 86400


class Span(Struct, frozen=True):
    """A period in seconds since the epoch."""

    since: float
    until: float

    @property
    def text(self) -> str:
        """As text: `12h until 06:00`."""
        return f"{duration(self.until - self.since)} until {when(self.until)}"


def span_of(now: float, length: str = "") -> Span:
    """The period of that length up to now; `SHIFT` by default. Raises ValueError."""
    return _whole(now - parse_length(length or SHIFT), now)


def between(now: float, since: str | None, until: str | None) -> Span:
    """From a time, or a duration ago, up to another time, by default now. Raises ValueError."""
    end = now if until is None else moment(until, now)
    return _whole(end - parse_length(SHIFT) if since is None else moment(since, end), end)


def moment(text: str, now: float) -> float:
    """The time meant by `8h` (before `now`), `22:00` (the last one before it) or `2026-11-24T22:00`; without a zone
    local time. Raises ValueError.
    """
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
