"""The health of nodes and racks for the map: the faults of the attention list lie over the states of Slurm. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from collectors.model import Cluster
from collectors.nodestate import DISPLAYS, UNAVAILABLE
from console.health.inconsistencies import fresh_facts
from console.plant.rack_sums import rack_loads, rack_states
from widgets.map_health import FAULT_LEVELS, Level, MapHealth, RackHealth

from . import attention_cooling, attention_domains
from .attention_list import AttentionLine

#: Display words of nodes that are free of work or work as they should, from most to least in use.
_HEALTHY = ("completing", "reserved", "planned", "blocked", "mixed", "allocated", "idle")


def map_health(cluster: Cluster, lines: Iterable[AttentionLine], now: float, mono: float | None) -> MapHealth:
    """The health of the machine for the map, with the faults that these lines of the attention list name."""
    faults = node_faults(cluster, lines)
    over: dict[str, Counter[Level]] = {}
    states: Counter[str] = Counter()
    by_rack = rack_states(cluster)
    for numbers in by_rack.values():
        states.update(numbers)
    hidden: dict[str, Counter[str]] = {}
    for name, level in faults.items():
        node = cluster.nodes[name]
        rack = node.rack or ""
        over.setdefault(rack, Counter())[level] += 1
        hidden.setdefault(rack, Counter())[node.display] += 1
        states[node.display] -= 1
    ill = attention_domains.racks_of_broken_domains(
        cluster, fresh_facts(cluster, now, mono)
    ) | attention_cooling.racks_of_faulty_loops(cluster, now, mono)
    none: Counter[Level] = Counter()
    racks = {
        rack: _rack(Counter(numbers) - hidden.get(rack, Counter()), over.get(rack, none), rack in ill)
        for rack, numbers in by_rack.items()
        if numbers
    }
    return MapHealth(faults=faults, racks=racks, loads=rack_loads(cluster), states=+states, ill_racks=ill)


def node_faults(cluster: Cluster, lines: Iterable[AttentionLine]) -> Mapping[str, Level]:
    """The nodes of the lines with the worst level of each. Left out are nodes whose state already is a fault of that
    level, and nodes that were taken out of service, unless the line about them is bad."""
    found: dict[str, Level] = {}
    for line in lines:
        level: Level | None = "bad" if line.role == "bad" else "warn" if line.role == "warn" else None
        if level is None:
            continue
        for name in line.nodes:
            node = cluster.nodes.get(name)
            if node is None or FAULT_LEVELS.get(node.display) in {"bad", level}:
                continue
            if level == "bad" or (node.display not in UNAVAILABLE and name not in found):
                found[name] = level
    return found


def _rack(shown: Mapping[str, int], over: Mapping[Level, int], ill: bool) -> RackHealth:
    """One rack, from the states of the nodes without other faults, those faults, and whether it is ill as a whole."""
    by_state = {word: number for word, number in shown.items() if word in FAULT_LEVELS}
    faults = sum(by_state.values()) + sum(over.values())
    worst = next((word for word in DISPLAYS if word in shown and word not in _HEALTHY), None)
    usual = max(shown, key=lambda word: shown[word], default="unknown")
    levels = {FAULT_LEVELS[word] for word in by_state} | set(over)
    if ill or "bad" in levels:
        # The glyph is that of the state, unless the state is not what is worst.
        named = next((word for word in DISPLAYS if FAULT_LEVELS.get(word) == "bad" and word in by_state), None)
        return RackHealth(named or usual, "bad", faults, hidden=named is None)
    if "warn" in levels:
        named = next((word for word in DISPLAYS if word in by_state), None)
        return RackHealth(named or usual, "warn", faults, hidden=named is None)
    return RackHealth(worst or usual)
