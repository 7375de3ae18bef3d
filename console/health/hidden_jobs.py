"""Work that Slurm says is on a node while the queue shows no job there: `PrivateData` hides it from this account, or a
reading lost rows. Whom an action there would hit is unknown, never nobody. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collectors.model import Cluster, Node
from collectors.nodeset import fold


def has_work(node: Node) -> bool:
    """Whether Slurm says of the node itself that a job is on it."""
    return node.state in {"ALLOCATED", "MIXED"} or "COMPLETING" in node.flags or bool(node.gpus_alloc)


def nodes_with_hidden_jobs(cluster: Cluster, names: Iterable[str]) -> tuple[str, ...]:
    """Those of these nodes that work while no job of theirs is known."""
    return tuple(
        name for name in names
        if (node := cluster.nodes.get(name)) is not None and has_work(node) and not cluster.jobs_on.get(name)
    )  # fmt: skip


def hidden_jobs_text(nodes: Sequence[str]) -> str:
    """`unknown on gpu0001: Slurm says that it works, and shows you no job there`."""
    them = "it works" if len(nodes) == 1 else "they work"
    return f"unknown on {fold(nodes)}: Slurm says that {them}, and shows you no job there"
