"""Cached reads of priority factors, shares and limits: at most once a minute for all screens together, with their age.
Blocks, so it is called off the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from collectors.clock import Clock
from collectors.model import Factors, Fault, Limits, Queueing, Share, SourceFault

T = TypeVar("T")
#: Seconds that an answer or a fault is cached: each read makes the controller walk over all accounts.
CACHE_S = 60.0
#: The same for the priority factors of one job.
FACTORS_CACHE_S = 15.0
_MAX_ENTRIES = 64


class QueueAnswer(Struct, Generic[T], frozen=True):
    """An answer or its fault, and when it was read (monotonic seconds)."""

    value: T | Fault
    mono: float

    @property
    def known(self) -> T | None:
        """The answer; None for a fault."""
        return None if isinstance(self.value, Fault) else self.value

    @property
    def fault(self) -> Fault | None:
        """The fault; None for an answer."""
        return self.value if isinstance(self.value, Fault) else None


class QueueCache:
    """Caches the answers of a Queueing. Thread-safe."""

    def __init__(self, asked: Queueing, clock: Clock) -> None:
        self.source = asked
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, QueueAnswer[Any]] = {}

    def factors(self, job: str) -> QueueAnswer[Factors]:
        """The priority factors of one pending job."""
        return self._cached(f"job {job}", FACTORS_CACHE_S, lambda: self.source.factors(job))

    def shares(self) -> QueueAnswer[Sequence[Share]]:
        """The shares of all accounts and users."""
        return self._cached("shares", CACHE_S, self.source.shares)

    def limits(self) -> QueueAnswer[Limits]:
        """All limits that are set."""
        return self._cached("limits", CACHE_S, self.source.limits)

    def _cached(self, what: str, for_s: float, ask: Callable[[], Any]) -> QueueAnswer[Any]:
        # A second caller waits for the first one's answer: two screens cost one call.
        with self._lock:
            known = self._kept.pop(what, None)
            mono = self._clock.mono()
            if known is None or not 0 <= mono - known.mono < for_s:
                try:
                    known = QueueAnswer(ask(), mono)
                except SourceFault as error:
                    known = QueueAnswer(error.fault, mono)
            self._kept[what] = known
            while len(self._kept) > _MAX_ENTRIES:
                del self._kept[next(iter(self._kept))]
            return known
