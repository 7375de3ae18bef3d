"""Performance targets: for clusters of hundreds of nodes, and for the design point."""

from __future__ import annotations

from dataclasses import dataclass

LARGE = 1_000
"""Largest number of nodes for which SMALL holds."""
VIEW_BYTES = 30_000
"""Bytes written for a change of view."""
OPEN_MS = 100.0
"""Milliseconds to the first facts of an opened node."""
PEER_RATIO = 1.0
"""Maximum ratio to turm."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Limits of a console, on two cores in a terminal of 200x50."""

    first_s: float
    """Seconds to the first frame."""
    useful_s: float
    """Seconds to the first frame with facts."""
    key_ms: float
    """Milliseconds from a key to the screen during polls, p95."""
    stall_ms: float
    """Milliseconds of the longest stall of the event loop."""
    move_bytes: int
    """Bytes written for a cursor move that does not scroll."""
    rest_bytes: int
    """Bytes written per second at rest."""
    cpu_pct: float
    """CPU in % of a core at rest, polls included."""
    memory_mb: int
    commands_min: int
    """Slurm commands started per minute at rest."""


SMALL = Targets(0.3, 0.8, 15, 50, 1_500, 2_000, 4, 90, 12)
DESIGN = Targets(0.3, 2.5, 30, 100, 1_500, 8_000, 10, 275, 6)


def targets_for(nodes: int) -> Targets:
    """The targets for a cluster of this size."""
    return SMALL if nodes <= LARGE else DESIGN
