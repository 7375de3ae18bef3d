"""What each subject has to say of one node, beneath what Slurm says of it on its inspection. Pure.

A part gives a few lines, and none where it knows nothing of the node: where a source is absent there is no hole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from collectors.model import Cluster
from widgets.pane import PaneLine

from . import node_health_lines

Ticketed = Mapping[tuple[str, str], float]
Part = Callable[[Cluster, str, float, Ticketed], Sequence[PaneLine]]
"""The cluster, the name of a node, the time, and what the journal tells of tickets (`past.ticketed`) to lines
(`inspect.fact` makes one with a label)."""

#: In the order in which they stand there. Add one at the end, from a module of its own.
PARTS: tuple[Part, ...] = (node_health_lines.lines,)


def part_lines(cluster: Cluster, node: str, now: float, ticketed: Ticketed) -> list[PaneLine]:
    """All of them, one after the other."""
    return [one for part in PARTS for one in part(cluster, node, now, ticketed)]
