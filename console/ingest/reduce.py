"""From one Cluster and one Reading to the next Cluster. Pure; what did not change stays the same object.

On a fault the old facts stay and their source is marked; the screen dims them and shows their age.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from collectors.model import HOT_C, KINDS, SINGLE_VALUES, Cluster, Diff, Job, Load, Node, Reading, Source, Totals
from collectors.nodeset import expand, natural_key
from collectors.nodestate import UNAVAILABLE

from .pace import due_s

_NOTHING: frozenset[str] = frozenset()


def begin(name: str, sources: Iterable[tuple[str, float]], demo: bool = False) -> Cluster:
    """A cluster without facts, with its sources (name, floor in seconds) waiting."""
    return Cluster(
        name=name, demo=demo, sources={source: Source(name=source, due_s=floor) for source, floor in sources}
    )


def reduce(cluster: Cluster, reading: Reading, floor_s: float = 10.0) -> tuple[Cluster, Diff]:
    """Apply one reading. Returns the next Cluster and what differs, by kind and key.

    A recalled reading gives facts and their age, and leaves its source as one that was not read yet.
    """
    before = cluster.sources.get(reading.source) or Source(name=reading.source)
    failures = 0 if reading.facts is not None else before.failures + 1
    facts = reading.facts
    source = Source(
        name=reading.source,
        ok=facts is not None and not reading.recalled,
        tried=not reading.recalled,
        read_mono=reading.mono if facts is not None else before.read_mono,
        took_s=reading.took_s,
        fault=reading.fault,
        failures=failures,
        warnings=facts.warnings if facts is not None else before.warnings,
        hidden=facts.hidden if facts is not None else before.hidden,
        due_s=due_s(floor_s, reading.took_s, failures),
    )
    changed: dict[str, Any] = {
        "sources": {**cluster.sources, reading.source: source},
        # Compared by the monotonic clock: after the wall clock was set back, the newest reading has the smaller time.
        "at": reading.at if reading.mono >= max(_monos(cluster), default=reading.mono) else cluster.at,
    }
    keys: dict[str, frozenset[str]] = {}
    if facts is not None:
        for kind in KINDS:
            fresh = getattr(facts, kind)
            if fresh is None:
                continue
            old = getattr(cluster, kind)
            if kind in SINGLE_VALUES:
                if fresh != old:
                    changed[kind], keys[kind] = fresh, _NOTHING
                continue
            moved = differing(old, fresh)
            if moved or kind not in cluster.known:
                changed[kind], keys[kind] = _settled(old, fresh, moved), moved
        known = {kind for kind in KINDS if getattr(facts, kind) is not None}
        if not known <= cluster.known:
            changed["known"] = cluster.known | known
    join(cluster, changed, keys)
    return msgspec.structs.replace(cluster, **changed), Diff(kinds=frozenset(keys) | {"sources"}, keys=keys)


def _monos(cluster: Cluster) -> list[float]:
    """When the sources were last read."""
    return [one.read_mono for one in cluster.sources.values() if one.read_mono is not None]


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
    """Keys that were added, removed or changed. Compares by identity first, as most rows are the same objects."""
    if old is new:
        return _NOTHING
    moved = {key for key, value in new.items() if (was := old.get(key)) is not value and was != value}
    if len(old) + len(moved) > len(new):  # otherwise all changes are additions
        moved.update(key for key in old if key not in new)  # `-` would block all threads at 100,000 rows
    return frozenset(moved)


def _settled(old: Mapping[str, Any], new: Mapping[str, Any], moved: frozenset[str]) -> Mapping[str, Any]:
    """The new rows; rows equal to old ones are replaced by the old objects, in case a source recreated them."""
    if all(key in moved or old[key] is value for key, value in new.items()):
        return new
    return {key: value if key in moved else old[key] for key, value in new.items()}


def merged(first: Diff, second: Diff) -> Diff:
    """The combined difference of two consecutive ones."""
    keys = dict(first.keys)
    for kind, more in second.keys.items():
        keys[kind] = keys.get(kind, _NOTHING) | more
    return Diff(kinds=first.kinds | second.kinds, keys=keys)


def join(cluster: Cluster, changed: dict[str, Any], keys: Mapping[str, frozenset[str]]) -> None:
    """Compute the joins and sums, each only when its inputs changed."""
    nodes: Mapping[str, Node] = changed.get("nodes", cluster.nodes)
    jobs: Mapping[str, Job] = changed.get("jobs", cluster.jobs)
    if "jobs" in keys:
        changed["jobs_on"] = jobs_on(jobs)
    if "nodes" in keys and any((was := cluster.nodes.get(name)) is None or (now := nodes.get(name)) is None
                               or was.rack != now.rack for name in keys["nodes"]):  # fmt: skip
        changed["racks"] = racks(nodes)
    if keys.keys() & {"nodes", "jobs", "loads"}:
        changed["totals"] = totals(
            nodes, jobs, changed.get("loads", cluster.loads), changed.get("known", cluster.known)
        )


def jobs_on(jobs: Mapping[str, Job]) -> dict[str, tuple[str, ...]]:
    """Node to the jobs on it."""
    held: dict[str, list[str]] = {}
    for job in jobs.values():
        if job.nodes is not None:
            try:
                names = expand(job.nodes)
            except ValueError:
                continue
            for name in names:
                held.setdefault(name, []).append(job.id)
    return {name: tuple(ids) for name, ids in held.items()}


def racks(nodes: Mapping[str, Node]) -> dict[str, tuple[str, ...]]:
    """Rack to its nodes, both in natural order."""
    found: dict[str, list[str]] = {}
    for name in sorted(nodes, key=natural_key):
        found.setdefault(nodes[name].rack or "", []).append(name)
    return {rack: tuple(found[rack]) for rack in sorted(found, key=natural_key)}


def totals(
    nodes: Mapping[str, Node], jobs: Mapping[str, Job], loads: Mapping[str, Any], known: frozenset[str]
) -> Totals:
    """The cluster's totals; a sum over facts that were never read is None, not 0."""
    figures: dict[str, Any] = {}
    if "nodes" in known:
        figures |= {
            "nodes": len(nodes),
            "nodes_by_display": dict(Counter(node.display for node in nodes.values())),
            "gpus": _sum(node.gpus for node in nodes.values()),
            "gpus_alloc": _sum(node.gpus_alloc for node in nodes.values()),
            "gpu_slices": _sum(node.gpu_slices for node in nodes.values()),
            "gpus_out": sum(node.gpus or 0 for node in nodes.values() if node.display in UNAVAILABLE),
        }
    if "jobs" in known:
        figures |= {"jobs": len(jobs), "jobs_by_state": dict(Counter(job.state for job in jobs.values()))}
    if "loads" in known and loads:
        # Telemetry of a host unknown to Slurm does not count (the attention list shows it).
        own = [load for load in loads.values() if "nodes" not in known or load.node in nodes]
        util, over = mean_util(own)
        gpu_powers = [load.gpu_power_w for load in own if load.gpu_power_w is not None]
        powers = [load.power_w for load in own if load.power_w is not None]
        idle = [_idle_in_jobs(load.gpus_idle, nodes.get(load.node)) for load in own]
        counted = [count for count in idle if count is not None]
        figures |= {
            "power_w": sum(powers) if powers else None,
            "gpu_power_w": sum(gpu_powers) if gpu_powers else None,
            "gpu_util_pct": util,
            "util_gpus": over,
            "gpus_idle_in_jobs": sum(counted) if counted else None,
            "nodes_hot": sum(1 for load in own if load.temp_c is not None and load.temp_c > HOT_C),
        }
    return Totals(**figures)


def mean_util(loads: Iterable[Load]) -> tuple[float | None, int | None]:
    """The mean utilisation of these nodes' GPUs in %, and the number of GPUs it covers.

    Every GPU has the same weight; GPUs of unknown utilisation are left out. A node with only a mean counts with the
    GPUs that it reports, and the number is then None.
    """
    known = [load for load in loads if load.gpu_util_pct is not None]
    weights = [load.gpus_seen or 1 if load.util_gpus is None else load.util_gpus for load in known]
    gpus = sum(weights)
    if not gpus:
        return None, None if any(load.util_gpus is None for load in known) else 0
    total = sum((load.gpu_util_pct or 0.0) * weight for load, weight in zip(known, weights, strict=True))
    return total / gpus, None if any(load.util_gpus is None for load in known) else gpus


def _sum(counts: Iterable[int | None]) -> int | None:
    """The sum of the known values; None when there are values but none is known."""
    every = list(counts)
    known = [count for count in every if count is not None]
    return sum(known) if known or not every else None


def _idle_in_jobs(idle: int | None, node: Node | None) -> int | None:
    """GPUs of a node that idle inside jobs: idle GPUs minus unallocated ones, a lower bound.

    None with MIG slices: Slurm counts slices, telemetry counts GPUs.
    """
    if idle is None or node is None or node.gpus is None or node.gpus_alloc is None or node.gpu_slices:
        return None
    return max(0, idle - (node.gpus - node.gpus_alloc))
