"""Passes Slurm's node names to the sources that look for nodes in labels, once read and after each change."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from collectors.hosts import Ids, NeedsNodeNames, NodeNames, node_ids_of
from collectors.model import Cluster, Node, Reading
from console.runtime.memo import remembered

#: Longest time in seconds that first readings wait for the nodes of a slow Slurm.
WAIT_S = 5.0


@remembered("nodes")
def names_of(cluster: Cluster) -> NodeNames:
    """Slurm's names for the nodes of a cluster."""
    return NodeNames(node_ids_of(cluster.nodes.values()))


class Naming:
    """The node names of one cluster, and the sources that need them."""

    def __init__(self, sources: Sequence[object], also: Iterable[object] = (), wait_s: float = WAIT_S) -> None:
        """`sources` are read together: the first readings of those that need the names wait at most `wait_s` for the
        nodes. `also` are on-demand sources that need the names.
        """
        self._knowing = [one for one in (*sources, *also) if isinstance(one, NeedsNodeNames)]
        self._ids: Ids = ()
        self._wait_s = wait_s
        self._early = False
        """A source was read before the nodes."""
        self._tried = threading.Event()
        if not any(_reads_nodes(getattr(one, "name", "")) for one in sources):
            self._tried.set()

    def wait(self, source: object) -> None:
        """Before a reading: wait until the nodes were read or could not be."""
        if isinstance(source, NeedsNodeNames) and not self._tried.wait(self._wait_s):
            self._early = True

    def see(self, reading: Reading) -> bool:
        """After a reading: pass on its node names. True when others were read before with other names."""
        if not _reads_nodes(reading.source):
            return False
        nodes = reading.facts.nodes if reading.facts is not None else None
        ids = node_ids_of(nodes.values()) if nodes else self._ids
        changed, again = ids != self._ids, self._tried.is_set() or self._early
        if changed:
            self._ids = ids
            names = NodeNames(ids)
            for one in self._knowing:
                one.set_node_names(names)
        self._tried.set()
        return changed and again

    @property
    def sources(self) -> list[str]:
        """The sources that need the names."""
        return [name for one in self._knowing if (name := getattr(one, "name", ""))]

    def stop(self) -> None:
        """Release all waiting threads."""
        self._tried.set()


def _reads_nodes(source: str) -> bool:
    return source.rpartition(".")[2] == "nodes"


def share_names(one: object, nodes: Mapping[str, Node]) -> None:
    """Pass the names of these nodes to an on-demand source that needs them."""
    if isinstance(one, NeedsNodeNames) and nodes:
        one.set_node_names(NodeNames(node_ids_of(nodes.values())))
