"""When the console looks for garbage: while nobody presses a key.

Left to Python it does so while somebody walks through the screens, which is when most is made: 40 to 60 ms, at 256
nodes as at 12,000.
"""

from __future__ import annotations

import gc

REST_S = 0.3
"""So long after a key nobody is held up."""
EVERY_S = 30.0
"""It takes 10 to 30 ms, and what refers to itself may hold a whole Cluster meanwhile."""
LATEST_S = 60.0
"""Somebody holds a key down: it becomes more, and takes longer, with every second."""
_WORTH = 2
"""Younger collections since the last full one: before that there is hardly any."""
_NEVER = 1_000_000


class Garbage:
    """Of a console whose start had collections switched off (`console.cli.main`); of any other it is left to Python."""

    def __init__(self) -> None:
        self._mine = self._kept = False
        self._last: float | None = None

    def started(self) -> None:
        """The start is over, and what it has made stays."""
        if not gc.isenabled():
            self._mine = True
            gc.freeze()
            gc.set_threshold(*gc.get_threshold()[:2], _NEVER)
            gc.enable()

    def tend(self, mono: float, idle_s: float, settled: bool) -> bool:
        """Look for some, if this is the moment; True if it was. `idle_s` is how long ago the last key came, `settled`
        whether every source has been read."""
        if self._last is None:
            self._last = mono
        since = mono - self._last
        keep = settled and not self._kept
        due = keep or (since >= EVERY_S and gc.get_count()[2] >= _WORTH)
        if not self._mine or not due or (idle_s < REST_S and since < LATEST_S):
            return False
        self._last = mono
        gc.collect()
        if keep:
            # The facts are there, and stay: no collection must walk over them again (22 ms at 100,000 jobs). But once
            # and no more: what is kept so and later refers to itself alone is never freed (10 MB a minute, if a Cluster
            # hangs on it).
            self._kept = True
            gc.freeze()
        return True
