"""The clock, injected so that tests and replay can control it."""

from __future__ import annotations

import time
from typing import Protocol


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
