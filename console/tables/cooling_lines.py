"""What is said of the loops that a node hangs on, on its screen, as lines. Pure."""

from __future__ import annotations

from collectors.model import Cluster
from console.plant import cooling
from widgets.pane import PaneLine

from .cooling_columns import look


def node_lines(name: str, cluster: Cluster, now: float) -> list[PaneLine]:
    """`cooling  cdu-03 low flow: flow 54 l/min, 269 below its limit`; nothing of a loop that is well."""
    lines: list[PaneLine] = []
    told = "" if cooling.is_fresh(cluster, now) else " when last read"
    for loop in cooling.loops_of_node(name, cluster):
        if loop.faulty or loop.state == "silent":
            _, role = look(loop)
            said = f"{loop.name} {loop.state}{told}: "
            lines.append(PaneLine([("cooling        ", "text-dim"), (said, role), (loop.text, "")]))
    return lines
