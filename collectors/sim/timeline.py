"""The event queue: the simulated cluster moves from event to event, never in fixed steps."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Timeline:
    """Events in order of time; events of the same time in the order in which they were scheduled."""

    def __init__(self, now: float) -> None:
        self.now = now
        """Simulated time, seconds since the epoch: the time of the current event."""
        self.done = 0
        """Events run so far. Tests count these instead of seconds."""
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Schedule `act(*args)`. Events cannot be cancelled: each checks that it still applies."""
        self._planned += 1
        heapq.heappush(self._heap, (max(when, self.now), self._planned, act, args))

    def after(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
        """Schedule `act(*args)` in `seconds` from now."""
        self.at(self.now + seconds, act, *args)

    def run_until(self, when: float) -> None:
        """Run the events that are due by `when`. A time in the past changes nothing."""
        while self._heap and self._heap[0][0] <= when:
            self.now, _, act, args = heapq.heappop(self._heap)
            self.done += 1
            act(*args)
        self.now = max(self.now, when)
