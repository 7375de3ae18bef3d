"""When the console looks for garbage: while nobody presses a key, and among what is new.

Left to Python it does so while somebody walks through the screens, which is when most is made, and looks through all
that has lived for long each time: 40 to 60 ms, at 256 nodes as at 12,000.
"""

from __future__ import annotations

import gc

REST_S = 0.3
"""So long after a key nobody is held up."""
EVERY_S = 1.0
LATEST_S = 10.0
"""Somebody holds a key down: it becomes more, and takes longer, with every second."""
_WORTH = 2
"""Younger collections since the last full one: before that there is hardly any."""
DEEP = 200
"""Looks after which all is looked through once more: of what lived on some has become garbage."""
QUIET_S = 10.0
"""That takes 60 ms at 100,000 jobs, so nobody should be there."""
_NEVER = 1_000_000


class Garbage:
    """Of a console whose start had collections switched off (`console.cli`); of any other it is left to Python."""

    def __init__(self) -> None:
        self._mine = self._settled = False
        self._last = float("-inf")
        self._looks = 0

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
        since = mono - self._last
        if not self._mine or since < EVERY_S or (idle_s < REST_S and since < LATEST_S):
            return False
        first, self._settled = settled and not self._settled, settled
        deep = self._looks >= DEEP and idle_s >= QUIET_S
        if not (first or deep) and gc.get_count()[2] < _WORTH:
            return False
        self._last = mono
        self._looks = 0 if deep else self._looks + 1
        if deep:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        return True
