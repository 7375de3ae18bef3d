"""Where the time comes from, so that tests and replay can hold it in their hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The two times that everything runs on."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch (UTC): what people read. May jump."""
        ...

    def mono(self) -> float:
        """Monotonic clock in seconds: what ages and delays are counted with. Never goes back."""
        ...


class SystemClock:
    """The clock of this computer."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def mono(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to: for tests, and for building the same scene twice."""

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
        """Let both times pass by `seconds`, which must not be negative."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds}")
        self._now += seconds
        self._mono += seconds
