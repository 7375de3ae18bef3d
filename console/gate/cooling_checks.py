"""What the cooling says of a node that is to take work again: for the pre-flight. Pure."""

from __future__ import annotations

from collectors.model import Cluster, Node
from console.actions.plan import Check
from console.plant import cooling


def look(node: Node, cluster: Cluster, now: float, found: list[Check]) -> None:
    """Add how the loops fare that a node hangs on; nothing where none is known."""
    if not cluster.cooling:
        return
    for loop in cooling.loops_of_node(node.name, cluster):
        if not cooling.is_fresh(cluster, now):
            found.append(
                Check(
                    node.name,
                    "unknown",
                    f"what is known of its cooling ({loop.name}) is old",
                    "cooling-old",
                    (loop.name,),
                )
            )
        elif loop.faulty:
            found.append(
                Check(
                    node.name,
                    "bad",
                    f"its cooling is not well: {loop.name} {loop.state}, {loop.text}",
                    "cooling",
                    (loop.name, loop.state, *loop.wet_places),
                )
            )
        elif loop.state == "silent":
            found.append(
                Check(node.name, "unknown", f"its cooling: of {loop.name} {loop.text}", "cooling-silent", (loop.name,))
            )
        elif loop.state == "ok":
            found.append(Check(node.name, "ok", f"cooling ok ({loop.name})", "cooling-ok", (loop.name,)))
