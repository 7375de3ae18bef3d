"""When a source is read again: sparing the controller comes before fresh data. Pure, except for the jitter."""

from __future__ import annotations

import random
from collections import deque

from collectors.model import Budget

#: An interval is at least this many times the duration of a call, so that slow reads never fill the controller's time.
SHARE = 10.0
#: Longest seconds between two attempts at a failing source, and the limit of all sparing.
LONGEST_S = 300.0
JITTER = 0.1
#: Largest factor by which a large answer stretches the floor: 30 s for 10 s, as from 20,000 jobs on.
ROWS_FACTOR = 3.0
#: Factor for a source whose facts no screen shows.
HIDDEN_FACTOR = 5.0
#: Extra share of the interval after a reading borrowed from another console, to find that console's next reading.
AFTER_ANOTHER = 0.2


def due_s(floor_s: float, took_s: float, failures: int) -> float:
    """Seconds from the end of a reading to the start of the next, before jitter: the floor or ten times the last call,
    doubled with each failure in a row up to five minutes.
    """
    base = max(floor_s, SHARE * took_s)
    return base if failures == 0 else max(base, min(LONGEST_S, floor_s * 2.0 ** min(failures, 10)))


def jittered(seconds: float, rng: random.Random) -> float:
    """Spread by a tenth either way, so that the consoles of a control room do not poll in step."""
    return seconds * rng.uniform(1 - JITTER, 1 + JITTER)


def spared_interval_s(
    floor_s: float, *, rows: int = 0, row_ms: float = 0.0, shown: bool = True, strain: float = 1.0
) -> float:
    """The current floor of a source in seconds: longer for a large answer, for facts that no screen shows, and for an
    overloaded controller (`controller_cost.strain`), but at most five minutes unless `floor_s` is longer.
    """
    seconds = max(floor_s, min(ROWS_FACTOR * floor_s, rows * row_ms / 1e3))
    seconds *= strain * (1.0 if shown else HIDDEN_FACTOR)
    return min(seconds, max(floor_s, LONGEST_S))


def within_s(budget: Budget, calls: int, took_s: float) -> float:
    """Least seconds between readings of `calls` commands and `took_s` seconds each that keep within a budget."""
    return max(60.0 * calls / budget.calls, 60.0 * took_s / budget.seconds)


class BudgetUse:
    """A source's use of its budget in the last minute; refreshes on request count too."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int, float]] = deque()

    def add(self, mono: float, calls: int, seconds: float) -> None:
        """Record a reading that ended at `mono`, with its number of commands and its duration."""
        if calls:
            self._readings.append((mono, calls, seconds))

    def wait_s(self, mono: float, budget: Budget) -> float:
        """Seconds from `mono` until another reading may start; 0 while the budget lasts."""
        while self._readings and self._readings[0][0] <= mono - 60.0:
            self._readings.popleft()
        calls = sum(one[1] for one in self._readings)
        seconds, until = sum(one[2] for one in self._readings), mono
        for ended, its_calls, its_seconds in self._readings:
            if calls < budget.calls and seconds < budget.seconds:
                break
            calls, seconds, until = calls - its_calls, seconds - its_seconds, ended + 60.0
        return until - mono
