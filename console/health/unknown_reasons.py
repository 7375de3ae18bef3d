"""Why something is unknown: an empty list means "none" only where its source was read and works. Pure."""

from __future__ import annotations

from collections.abc import Collection

from collectors.model import Cluster

#: Kind of facts to the source that provides it.
SOURCES = {
    "nodes": "slurm.nodes",
    "jobs": "slurm.jobs",
    "partitions": "slurm.partitions",
    "reservations": "slurm.reservations",
    "diag": "slurm.diag",
    "control": "slurm.control",
    "loads": "prom.loads",
    "xids": "prom.loads",
    "alerts": "alerts.alerts",
    "silences": "alerts.alerts",
    "power": "prom.power",
    "fabric": "prom.fabric",
    "storage": "prom.storage",
    "cooling": "prom.cooling",
    "domains": "slurm.topology",
}
#: Kinds of facts that every cluster needs: without one of them an empty attention list does not mean that all is well.
REQUIRED_KINDS = ("nodes", "jobs", "partitions", "diag", "control", "loads", "alerts")


def why_unknown(cluster: Cluster, *kinds: str, mono: float | None = None) -> str:
    """`unknown: prom.loads is not configured`: the first of these kinds that is not known now; "" where all are.

    Facts count as unknown when their source fails now, although they were read before: an old empty list must not
    reassure. With `mono` (monotonic time) the facts of a late source are unknown as well.
    """
    for kind in kinds:
        if text := unknown_reason(cluster, kind, SOURCES[kind], mono):
            return text
    return ""


def unread_sources(cluster: Cluster, kinds: Collection[str] = REQUIRED_KINDS) -> tuple[str, ...]:
    """The sources of these kinds that are not configured, or have not answered yet. One that failed is not among them:
    its fault is shown."""
    found = (SOURCES[kind] for kind in kinds if kind not in cluster.known)
    return tuple(
        name for name in dict.fromkeys(found) if (one := cluster.sources.get(name)) is None or one.fault is None
    )


def late_sources(cluster: Cluster, mono: float, kinds: Collection[str] = REQUIRED_KINDS) -> tuple[str, ...]:
    """The sources of these kinds that are late without a fault."""
    names = dict.fromkeys(SOURCES[kind] for kind in kinds)
    found = (one for name in names if (one := cluster.sources.get(name)) is not None)
    return tuple(one.name for one in found if one.fault is None and one.late(mono))


def unknown_reason(cluster: Cluster, kind: str, source: str, mono: float | None = None) -> str:
    """Why a kind that this source provides is not known now; "" where it is known."""
    state = cluster.sources.get(source)
    if state is None:
        return "" if kind in cluster.known else f"unknown: {source} is not configured"
    if state.fault is not None:
        return f"unknown: {source}: {state.fault}"
    if mono is not None and state.late(mono):
        return f"unknown: {source} is late"
    if kind in cluster.known:
        return ""
    return f"unknown: {source} does not report it" if state.ok else f"reading {source} …"
