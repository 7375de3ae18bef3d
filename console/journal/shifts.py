"""When this person was at a console before: what "since my last shift" means. One small file of lines; the parsing is
pure, the file is read and written aside (`console.runtime.state_files`)."""

from __future__ import annotations

from collections.abc import Iterable

from console.config.paths import state_folder
from console.runtime.state_files import Kept, newest

#: Who was away for so long has begun another shift.
AWAY_S = 4 * 3600
#: Seconds between two notes of one console that stays open.
EVERY_S = 1800.0
#: What lies further back is no hand-over any more.
MOST_S = 7 * 86_400


def kept_shifts() -> Kept:
    """The file: a line each time that a console was seen open, `CLUSTER SECONDS`."""
    return Kept(state_folder() / "shifts", 400, newest(400))


def noted(cluster: str, now: float) -> str:
    """What is noted."""
    return f"{cluster} {int(now)}"


def last_shift(lines: Iterable[str], cluster: str, now: float) -> float | None:
    """When the last shift of this person on this cluster ended; None where that is not known, or too long ago."""
    found: list[int] = []
    for one in lines:
        name, _, at = one.rpartition(" ")
        if name == cluster and at.isdecimal() and len(at) <= 12 and int(at) <= now:
            found.append(int(at))
    later = now
    for then in sorted(found, reverse=True):
        if later - then >= AWAY_S:
            return float(then) if now - then <= MOST_S else None
        later = then
    return None
