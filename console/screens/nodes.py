"""Nodes: every node, its state, its GPUs, and why it is out."""

from __future__ import annotations

from console.fields.node_fields import NODES
from console.tables.inspection_lines import NODE_SUMS

from .layout.list_screen import ListScreen


class NodesScreen(ListScreen):
    """The node list."""

    crumb = "nodes"
    cluster_field = "nodes"
    source = "slurm.nodes"
    kind = acts_on = "node"
    columns = NODES
    default_sort = ("name", False)
    joins = frozenset({"jobs", "loads"})
    sums = NODE_SUMS

    def copy_text(self) -> str | None:
        """The command that shows the node under the cursor."""
        key = self.table.cursor_key
        return None if key is None else f"scontrol show node {key} -d"
