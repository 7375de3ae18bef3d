"""Version drift: driver, VBIOS, BIOS, BMC, kernel or slurmd that differ from the neighbours. Pure.

A node is compared with the nodes of its kind in its rack; where fewer than four report, with all of its kind. A version
counts as drift only where more than half run another one: in the middle of a roll-out there is no drift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from collectors.model import Cluster, Node
from collectors.nodeset import fold, natural_key
from console.runtime.memo import remembered

#: Fewer nodes than this make no majority.
MIN_NODES = 4
_NONE: Mapping[str, str] = {}


class Drift(Struct, frozen=True, kw_only=True):
    """Nodes of one place that run the same deviating version of one component."""

    what: str
    """driver, vbios, bios, bmc, kernel, slurmd."""
    nodes: tuple[str, ...]
    version: str
    majority: str
    """The version that most run."""
    majority_count: int
    """How many run it."""
    total: int
    """How many nodes report a version."""
    place: str
    """rack R07, all h100 nodes."""

    @property
    def text(self) -> str:
        """Without the nodes: `driver 570.86 where 30 of 32 of rack R07 run 570.133`."""
        counts = f"{self.majority_count} of {self.total} of {self.place}"
        return f"{self.what} {self.version} where {counts} run {self.majority}"

    def __str__(self) -> str:
        return f"{fold(self.nodes)}: {self.text}"


def versions(cluster: Cluster, node: Node) -> Mapping[str, str]:
    """Component to the version that a node runs, as far as known."""
    found = cluster.checkups.get(node.name)
    told = _NONE if found is None else found.versions
    return told if node.version is None else {**told, "slurmd": node.version}


@remembered("nodes", "checkups")
def drifts(cluster: Cluster) -> Sequence[Drift]:
    """Everything that differs, by place, then by what it is."""
    racks: dict[tuple[str | None, str], list[Node]] = {}
    kinds: dict[str, list[Node]] = {}
    for node in cluster.nodes.values():
        kind = node.gpu_type or (node.partitions[0] if node.partitions else "")
        racks.setdefault((node.rack, kind), []).append(node)
    found: list[Drift] = []
    for (rack, kind), nodes in racks.items():
        if rack is not None and len(nodes) >= MIN_NODES:
            found += _drift_among(cluster, nodes, f"rack {rack}")
        else:
            kinds.setdefault(kind, []).extend(nodes)
    for kind, nodes in kinds.items():
        # Too few in their rack: compare them with all of their kind.
        every = [node for (_, other), those in racks.items() if other == kind for node in those]
        own = {node.name for node in nodes}
        found += _drift_among(cluster, every, f"all {kind} nodes" if kind else "all nodes", own)
    return sorted(found, key=lambda one: (natural_key(one.place), one.what, natural_key(one.nodes[0])))


@remembered("nodes", "checkups")
def drift_by_node(cluster: Cluster) -> Mapping[str, tuple[Drift, ...]]:
    """Node to its drifts."""
    found: dict[str, tuple[Drift, ...]] = {}
    for one in drifts(cluster):
        for name in one.nodes:
            found[name] = (*found.get(name, ()), one)
    return found


def _drift_among(cluster: Cluster, nodes: Sequence[Node], where: str, own: set[str] | None = None) -> Iterator[Drift]:
    """The drifts among these nodes; only for the nodes in `own` where it is given."""
    # Most nodes of a rack share one mapping of versions: they are counted together.
    alike: dict[tuple[int, str | None], list[str]] = {}
    told: dict[tuple[int, str | None], Mapping[str, str]] = {}
    for node in nodes:
        found = cluster.checkups.get(node.name)
        known = _NONE if found is None else found.versions
        key = (id(known), node.version)
        alike.setdefault(key, []).append(node.name)
        told[key] = known
    values: dict[str, dict[str, list[str]]] = {}
    for (at, slurmd), names in alike.items():
        every = dict(told[at, slurmd]) | ({} if slurmd is None else {"slurmd": slurmd})
        for what, value in every.items():
            values.setdefault(what, {}).setdefault(value, []).extend(names)
    for what, by_value in values.items():
        if len(by_value) < 2:
            continue
        sizes = Counter({value: len(names) for value, names in by_value.items()})
        total = sizes.total()
        most, count = sizes.most_common(1)[0]
        if total < MIN_NODES or 2 * count <= total:
            continue
        for value, names in by_value.items():
            mine = names if own is None else [name for name in names if name in own]
            if value != most and mine:
                yield Drift(what=what, nodes=tuple(sorted(mine, key=natural_key)), version=value, majority=most,
                            majority_count=count, total=total, place=where)  # fmt: skip
