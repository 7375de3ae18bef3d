"""Which racks hang on which cooling loop, and which loops are measured to be ill. Pure, and of nothing but the facts.

`console.plant.cooling` says how a loop fares; this is what places and folding need of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from collectors.model import Cluster, Coolant
from console.runtime.memo import remembered

NO_LOOPS: Mapping[str, tuple[str, ...]] = {}


@remembered("cooling")
def racks_by_loop(cluster: Cluster) -> Mapping[str, tuple[str, ...]]:
    """Loop to the racks that hang on it, as far as its series or the configuration tell."""
    found: dict[str, dict[str, None]] = {}
    for row in cluster.cooling.values():
        if row.loop:
            found.setdefault(row.loop, {}).update(dict.fromkeys(row.racks))
    return {loop: tuple(racks) for loop, racks in found.items()}


@remembered("cooling")
def loops_by_rack(cluster: Cluster) -> Mapping[str, tuple[str, ...]]:
    """Rack to the loops that it hangs on."""
    return _inverted(racks_by_loop(cluster))


@remembered("cooling")
def faulty_loops(cluster: Cluster) -> frozenset[str]:
    """The loops where something is measured that is wrong: what fails on these together has its likely cause."""
    return frozenset(row.loop for row in cluster.cooling.values() if is_out_of_limits(row))


def loops_by_rack_among(cluster: Cluster, loops: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """As `feeds`, of these loops alone."""
    if not loops:
        return NO_LOOPS
    return _inverted({loop: racks for loop, racks in racks_by_loop(cluster).items() if loop in loops})


def is_out_of_limits(row: Coolant) -> bool:
    """Whether a point is beyond a limit, or wet. What says nothing is neither."""
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
