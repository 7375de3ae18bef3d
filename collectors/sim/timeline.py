"""What will happen next: the simulated machine moves from event to event, never in fixed steps."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Timeline:
    """Events in the order of their time; those of the same time in the order in which they were planned."""

    def __init__(self, now: float) -> None:
        self.now = now
        """Simulated time, seconds since the epoch: the time of the event that happens."""
        self.done = 0
        """Events that happened so far: what tests count instead of seconds."""
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Plan `act(*args)`. Nobody can take it back: acts check that they still make sense when they come."""
        self._planned += 1
        heapq.heappush(self._heap, (max(when, self.now), self._planned, act, args))

    def after(self, seconds: float, act: Callable[..., None], *args: Any) -> None:
        """Plan `act(*args)` in `seconds` from now."""
        self.at(self.now + seconds, act, *args)

    def run_until(self, when: float) -> None:
        """Let happen what is due by `when`. A time in the past changes nothing."""
        while self._heap and self._heap[0][0] <= when:
            self.now, _, act, args = heapq.heappop(self._heap)
            self.done += 1
            act(*args)
        self.now = max(self.now, when)
