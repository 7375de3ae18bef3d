"""When a source is read again: spare the controller first, be fresh second. Pure, but for the jitter's dice."""

from __future__ import annotations

import random
from collections import deque

from collectors.model import Budget

#: A poll may use a tenth of its own interval, so that any number of slow reads never fills the controller's day.
SHARE = 10.0
#: Longest wait between two tries of a source that fails, and longest that sparing alone makes anyone wait.
LONGEST_S = 300.0
JITTER = 0.1
#: How many times the floor a large answer makes the interval: 30 s for 10 (the rule for more than 20,000 jobs).
ROWS_FACTOR = 3.0
#: How much seldomer a source is read whose facts no screen shows.
HIDDEN_FACTOR = 5.0
#: How much longer one waits whose facts another console read: long enough to find that one's next reading there.
AFTER_ANOTHER = 0.2


def due_s(floor_s: float, took_s: float, failures: int) -> float:
    """Seconds from the end of one reading to the start of the next, before jitter: the floor, or ten times the last
    call, doubled with each failure in a row up to five minutes."""
    base = max(floor_s, SHARE * took_s)
    return base if failures == 0 else max(base, min(LONGEST_S, floor_s * 2.0 ** min(failures, 10)))


def jittered(seconds: float, rng: random.Random) -> float:
    """Spread by a tenth either way, so that the consoles of a control room do not ask in step."""
    return seconds * rng.uniform(1 - JITTER, 1 + JITTER)


def spared_interval_s(
    floor_s: float, *, rows: int = 0, row_ms: float = 0.0, shown: bool = True, strain: float = 1.0
) -> float:
    """The floor of a source as it is now: longer for a large answer, for facts that no screen shows, and for a
    controller that strains (`cost.strain`), but never by these alone beyond five minutes."""
    seconds = max(floor_s, min(ROWS_FACTOR * floor_s, rows * row_ms / 1e3))
    seconds *= strain * (1.0 if shown else HIDDEN_FACTOR)
    return min(seconds, max(floor_s, LONGEST_S))


def within_s(budget: Budget, calls: int, took_s: float) -> float:
    """Seconds between readings that each start so many commands and take so long, so that they keep to a budget."""
    return max(60.0 * calls / budget.calls, 60.0 * took_s / budget.seconds)


class BudgetUse:
    """What a source has cost within the last minute: pokes must not go beyond its budget either."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int, float]] = deque()

    def add(self, mono: float, calls: int, seconds: float) -> None:
        """A reading that ended at `mono` has started so many commands and taken so long."""
        if calls:
            self._readings.append((mono, calls, seconds))

    def wait_s(self, mono: float, budget: Budget) -> float:
        """Seconds from `mono` until another reading may begin; 0 while the budget lasts."""
        while self._readings and self._readings[0][0] <= mono - 60.0:
            self._readings.popleft()
        calls = sum(one[1] for one in self._readings)
        seconds, until = sum(one[2] for one in self._readings), mono
        for ended, its_calls, its_seconds in self._readings:
            if calls < budget.calls and seconds < budget.seconds:
                break
            calls, seconds, until = calls - its_calls, seconds - its_seconds, ended + 60.0
        return until - mono
