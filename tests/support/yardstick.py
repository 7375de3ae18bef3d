"""What work costs, told in another piece of work that is measured beside it: a test holds that, and no time.

How long something takes says as much of the machine, and of what else it does just then, as of the code. Both pieces
meet the same machine at the same time, so their ratio says what the code costs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

#: Rounds, of which the quickest of each piece counts.
ROUNDS = 5


def yard() -> object:
    """The fixed piece: what the console's own code does all day with names, tables and an order; some milliseconds."""
    rows = {f"gpu{number:05d}": (number * 7919 % 10_007, str(number)) for number in range(5_000)}
    racks: dict[int, list[str]] = {}
    for name, (number, _) in rows.items():
        racks.setdefault(number % 61, []).append(name)
    wide = [(len(names), ",".join(names[:8]).upper()) for names in racks.values()]
    return sorted(wide), sorted(rows, key=lambda name: rows[name][0])


def cost(work: Callable[[], object], of: Callable[[], object] = yard, rounds: int = ROUNDS) -> float:
    """How many times as much processor `work` takes as `of`, in this thread.

    Nothing that other threads or processes do is counted, nor the collection of what other tests left behind. What
    `work` keeps for the next call is kept from the second round on: forget it within `work` where that matters.
    """
    least = [float("inf")] * 2
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for at, piece in enumerate((work, of)):
                began = time.thread_time()
                piece()
                least[at] = min(least[at], time.thread_time() - began)
    finally:
        if collects:
            gc.enable()
    return least[0] / least[1]
