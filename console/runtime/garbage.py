"""Runs Python's garbage collection while no key is pressed.

Left to itself, Python collects during navigation, when most objects are created: 40 to 60 ms, with 256 nodes as with
12,000.
"""

from __future__ import annotations

import gc

REST_S = 0.3
"""Seconds after a key before a collection may run."""
EVERY_S = 30.0
"""Seconds between collections. One takes 10 to 30 ms; until it runs, cycles may keep a whole Cluster alive."""
LATEST_S = 60.0
"""Latest interval in seconds while a key is held down, as the garbage grows."""
_WORTH = 2
"""Least number of younger collections since the last full one; fewer leave hardly any garbage."""
_NEVER = 1_000_000


class Garbage:
    """Manages a console that started with collection switched off (`console.cli.main`); otherwise left to Python."""

    def __init__(self) -> None:
        self._mine = self._kept = False
        self._last: float | None = None

    def started(self) -> None:
        """Exempt the objects created during the start; call it once the start is over."""
        if not gc.isenabled():
            self._mine = True
            gc.freeze()
            gc.set_threshold(*gc.get_threshold()[:2], _NEVER)
            gc.enable()

    def tend(self, mono: float, idle_s: float, settled: bool) -> bool:
        """Collect if this is the moment; True if it did. `idle_s` is the time since the last key, `settled` whether
        every source has been read.
        """
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
            # Freeze the first facts, so that no collection scans them again (22 ms at 100,000 jobs). Only once: frozen
            # cycles are never freed (10 MB a minute if a Cluster hangs on one).
            self._kept = True
            gc.freeze()
        return True
