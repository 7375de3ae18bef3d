"""Which racks a cooling loop serves, and which loops have a point out of its limits. Pure.

`console.plant.cooling` gives the full status of a loop; failure domains and alert folding need only this.
"""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Cluster, Coolant
from console.runtime.memo import remembered

NO_LOOPS: Mapping[str, tuple[str, ...]] = {}


@remembered("cooling")
def racks_by_loop(cluster: Cluster) -> Mapping[str, tuple[str, ...]]:
    """Loop to the racks that it serves, as far as its series or the configuration name them."""
    found: dict[str, dict[str, None]] = {}
    for row in cluster.cooling.values():
        if row.loop:
            found.setdefault(row.loop, {}).update(dict.fromkeys(row.racks))
    return {loop: tuple(racks) for loop, racks in found.items()}


@remembered("cooling")
def loops_by_rack(cluster: Cluster) -> Mapping[str, tuple[str, ...]]:
    """Rack to the loops that serve it."""
    return _inverted(racks_by_loop(cluster))


@remembered("cooling")
def faulty_loops(cluster: Cluster) -> frozenset[str]:
    """The loops with a point out of its limits: a likely cause of what fails on them together."""
    return frozenset(row.loop for row in cluster.cooling.values() if is_out_of_limits(row))


def loops_by_rack_among(cluster: Cluster, loops: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """As `loops_by_rack`, for these loops only."""
    if not loops:
        return NO_LOOPS
    return _inverted({loop: racks for loop, racks in racks_by_loop(cluster).items() if loop in loops})


def is_out_of_limits(row: Coolant) -> bool:
    """Whether a point is beyond a limit, or a leak detector is wet. False where there is no value."""
    if row.value is None:
        return False
    if row.what == "leak":
        return row.value > 0
    return (row.low is not None and row.value < row.low) or (row.high is not None and row.value > row.high)


def _inverted(racks: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for loop, names in racks.items():
        for rack in names:
            found.setdefault(rack, []).append(loop)
    return {rack: tuple(loops) for rack, loops in found.items()}
