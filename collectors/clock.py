"""The clock, injected so that tests and replay can control it; how far another computer's clock is from it; times as
RFC 3339.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct


class Clock(Protocol):
    """The two times that the program uses."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch (UTC), for people to read. May jump."""
        ...

    def mono(self) -> float:
        """Monotonic clock in seconds, for ages and delays. Never goes back."""
        ...


class SystemClock:
    """This computer's clock."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def mono(self) -> float:
        """Seconds since an arbitrary fixed moment."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only on request: for tests, and for reproducible scenes."""

    def __init__(self, now: float = 1_795_000_000.0, mono: float = 0.0) -> None:
        self._now = now
        self._mono = mono

    def now(self) -> float:
        """The wall time it was set to."""
        return self._now

    def mono(self) -> float:
        """The monotonic time it was set to."""
        return self._mono

    def advance(self, seconds: float) -> None:
        """Advance both times by `seconds`, which must not be negative."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds}")
        self._now += seconds
        self._mono += seconds


class ClockSkew(Struct, frozen=True, kw_only=True):
    """Another clock compared with this one."""

    ahead_s: float
    """Seconds by which it is ahead of this computer's clock; negative: behind."""
    within_s: float
    """Uncertainty in seconds: half of the round trip plus half of the resolution of the time that was read."""


def skew_of(said: float, step_s: float, sent: float, received: float) -> ClockSkew:
    """The skew, from the time a clock reported (epoch, rounded down to a multiple of `step_s`) and when the request was
    sent and the answer received, on this computer's wall clock."""
    return ClockSkew(
        ahead_s=said + step_s / 2 - (sent + received) / 2, within_s=max(0.0, received - sent) / 2 + step_s / 2
    )


def rfc3339(epoch: float | None) -> str | None:
    """RFC 3339 in UTC; None for times out of a calendar's range."""
    if epoch is None:
        return None
    try:
        return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None
