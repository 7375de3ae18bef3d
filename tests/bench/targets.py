"""The figures to keep, of issue 5 "Speed and scale": for a machine of hundreds of nodes, and at the design point."""

from __future__ import annotations

from dataclasses import dataclass

LARGE = 1_000
"""Nodes up to which the small machine's figures hold."""
VIEW_BYTES = 30_000
"""Of a change of view."""
OPEN_MS = 100.0
"""To the first facts of a node that is opened."""
PEER = 1.0
"""Times what turm takes."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What a console may take at most, on two cores in a terminal of 200x50."""

    first_s: float
    """To the first frame."""
    useful_s: float
    """To the first that tells something."""
    key_ms: float
    """From a key to the screen while polls arrive, p95."""
    stall_ms: float
    """Longest that the event loop stands still."""
    move_bytes: int
    """Of a cursor move that does not scroll."""
    rest_bytes: int
    """A second, at rest."""
    cpu_pct: float
    """Of a core at rest, polls included."""
    memory_mb: int
    commands_min: int
    """Slurm commands started a minute at rest."""


SMALL = Targets(0.3, 0.8, 15, 50, 1_500, 2_000, 4, 90, 12)
DESIGN = Targets(0.3, 2.5, 30, 100, 1_500, 8_000, 10, 275, 6)


def of(nodes: int) -> Targets:
    """Those that hold for a machine of so many nodes."""
    return SMALL if nodes <= LARGE else DESIGN
