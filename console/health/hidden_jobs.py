"""Nodes that are busy according to Slurm while the queue shows no job on them: `PrivateData` hides the job from this
account, or a reading lost rows. The jobs that an action on such a node would affect are unknown, not absent. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collectors.model import Cluster, Node
from collectors.nodeset import fold


def has_work(node: Node) -> bool:
    """Whether the node's own record in Slurm shows work on it."""
    return node.state in {"ALLOCATED", "MIXED"} or "COMPLETING" in node.flags or bool(node.gpus_alloc)


def nodes_with_hidden_jobs(cluster: Cluster, names: Iterable[str]) -> tuple[str, ...]:
    """Of these nodes, those that are busy while no job on them is known."""
    return tuple(
        name for name in names
        if (node := cluster.nodes.get(name)) is not None and has_work(node) and not cluster.jobs_on.get(name)
    )  # fmt: skip


def hidden_jobs_text(nodes: Sequence[str]) -> str:
    """The warning about such nodes: `unknown on gpu0001: Slurm says that it works, and shows you no job there`."""
    them = "it works" if len(nodes) == 1 else "they work"
    return f"unknown on {fold(nodes)}: Slurm says that {them}, and shows you no job there"
