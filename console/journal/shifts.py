"""When this person last used a console on a cluster: the meaning of "since my last shift". Parses a small file of
lines; `console.runtime.state_files` reads and writes it in the background.
"""

from __future__ import annotations

from collections.abc import Iterable

from console.config.paths import state_folder
from console.runtime.state_files import StateFile, newest

#: Seconds of absence after which a new shift begins.
AWAY_S = 4 * 3600
#: Seconds between two notes of one open console.
NOTE_EVERY_S = 1800.0
#: Oldest age in seconds of a shift that still counts for a hand-over.
OLDEST_S = 7 * 86_400


def shifts_file() -> StateFile:
    """The state file: one line `CLUSTER SECONDS` for each time that a console was open."""
    return StateFile(state_folder() / "shifts", 400, newest(400))


def shift_line(cluster: str, now: float) -> str:
    """The line to write."""
    return f"{cluster} {int(now)}"


def last_shift(lines: Iterable[str], cluster: str, now: float) -> float | None:
    """When this person's last shift on this cluster ended; None when unknown or too long ago."""
    found: list[int] = []
    for one in lines:
        name, _, at = one.rpartition(" ")
        if name == cluster and at.isdecimal() and len(at) <= 12 and int(at) <= now:
            found.append(int(at))
    later = now
    for then in sorted(found, reverse=True):
        if later - then >= AWAY_S:
            return float(then) if now - then <= OLDEST_S else None
        later = then
    return None
