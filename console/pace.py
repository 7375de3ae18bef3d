"""When a source is read again: spare the controller first, be fresh second."""

from __future__ import annotations

import random

#: A poll may use a tenth of its own interval, so that any number of slow reads never fills the controller's day.
SHARE = 10.0
#: Longest wait between two tries of a source that fails.
LONGEST_S = 300.0
JITTER = 0.1


def due_s(floor_s: float, took_s: float, failures: int) -> float:
    """Seconds from the end of one reading to the start of the next, before jitter: the floor, or ten times the last
    call, doubled with each failure in a row up to five minutes."""
    base = max(floor_s, SHARE * took_s)
    return base if failures == 0 else max(base, min(LONGEST_S, floor_s * 2.0 ** min(failures, 10)))


def jittered(seconds: float, rng: random.Random) -> float:
    """Spread by a tenth either way, so that the consoles of a control room do not ask in step."""
    return seconds * rng.uniform(1 - JITTER, 1 + JITTER)
