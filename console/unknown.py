"""Why something is unknown: an empty list is none only where its source was read and answers. Pure."""

from __future__ import annotations

from collectors.model import Cluster

#: Which source gives a kind of facts, where it has another name than `slurm.KIND` or `prom.KIND`.
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
}


def why_unknown(cluster: Cluster, *kinds: str) -> str:
    """`unknown: prom.loads is not configured`: the first of these kinds that is not known now; "" where all are.

    Facts that were read once and whose source fails now are not known now: what an empty list of them says of a time
    that is past must not reassure.
    """
    for kind in kinds:
        if text := why(cluster, kind, SOURCES[kind]):
            return text
    return ""


def why(cluster: Cluster, kind: str, source: str) -> str:
    """Why a kind is not known now, which this source gives; "" where it is."""
    state = cluster.sources.get(source)
    if state is None:
        return "" if kind in cluster.known else f"unknown: {source} is not configured"
    if state.fault is not None:
        return f"unknown: {source}: {state.fault}"
    if kind in cluster.known:
        return ""
    return f"unknown: {source} does not tell it" if state.ok else f"reading {source} …"
