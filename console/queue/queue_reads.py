"""Asks what decides who waits, sparingly: shares and limits of a whole cluster at most once a minute, by all screens
together; their age is told. Blocks, so it is called off the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from collectors.clock import Clock
from collectors.model import Factors, Fault, Limits, Queueing, Share, SourceFault

T = TypeVar("T")
#: Seconds for which an answer does, a fault too: each costs the controller a call that walks over all accounts.
CACHE_S = 60.0
#: Of one job: whoever goes back and forth between jobs need not ask again.
FACTORS_CACHE_S = 15.0
_MAX_ENTRIES = 64


class QueueAnswer(Struct, Generic[T], frozen=True):
    """What was said, or why nothing was, and when it was asked for."""

    value: T | Fault
    mono: float

    @property
    def known(self) -> T | None:
        """What was said, None for a fault."""
        return None if isinstance(self.value, Fault) else self.value

    @property
    def fault(self) -> Fault | None:
        """Why nothing was said."""
        return self.value if isinstance(self.value, Fault) else None


class QueueCache:
    """The same questions as a Queueing has, with answers that do for a while. Any thread may ask."""

    def __init__(self, asked: Queueing, clock: Clock) -> None:
        self.source = asked
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, QueueAnswer[Any]] = {}

    def factors(self, job: str) -> QueueAnswer[Factors]:
        """Of one waiting job."""
        return self._cached(f"job {job}", FACTORS_CACHE_S, lambda: self.source.factors(job))

    def shares(self) -> QueueAnswer[Sequence[Share]]:
        """Of all accounts and users."""
        return self._cached("shares", CACHE_S, self.source.shares)

    def limits(self) -> QueueAnswer[Limits]:
        """All that are set."""
        return self._cached("limits", CACHE_S, self.source.limits)

    def _cached(self, what: str, for_s: float, ask: Callable[[], Any]) -> QueueAnswer[Any]:
        # Who asks while another does waits for that answer: two screens cost one call.
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
