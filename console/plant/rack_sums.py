"""Sums by rack, for a map that shows racks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from collectors.model import Cluster, Load
from console.runtime.memo import remembered


@remembered("nodes", "racks")
def rack_states(cluster: Cluster) -> Mapping[str, Mapping[str, int]]:
    """Rack to the display words of its nodes, each with its number of nodes."""
    nodes = cluster.nodes
    return {
        rack: Counter(nodes[name].display for name in names if name in nodes) for rack, names in cluster.racks.items()
    }


@remembered("loads", "racks")
def rack_loads(cluster: Cluster) -> Mapping[str, Load]:
    """Rack to the means over its nodes that report, and its hottest GPU. Racks without telemetry are left out."""
    found = {}
    for rack, names in cluster.racks.items():
        mine = [load for name in names if (load := cluster.loads.get(name)) is not None]
        if mine:
            found[rack] = Load(
                node=rack,
                gpu_util_pct=_mean(load.gpu_util_pct for load in mine),
                gpu_memory_pct=_mean(load.gpu_memory_pct for load in mine),
                temp_c=max((load.temp_c for load in mine if load.temp_c is not None), default=None),
                power_w=_mean(load.power_w for load in mine),
            )
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
