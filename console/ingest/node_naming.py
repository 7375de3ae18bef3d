"""Hands how Slurm names its nodes to all that look for them in labels, once it was read, and whenever it changes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from collectors.hosts import Ids, Knows, NodeNames, ids_of
from collectors.model import Cluster, Node, Reading
from console.runtime.memo import remembered

#: Longest that a first reading waits for the nodes of a Slurm that answers slowly.
WAIT_S = 5.0


@remembered("nodes")
def names_of(cluster: Cluster) -> NodeNames:
    """How Slurm names the nodes of a cluster."""
    return NodeNames(ids_of(cluster.nodes.values()))


class Naming:
    """The names of one cluster's nodes, and who has to know them."""

    def __init__(self, sources: Sequence[object], also: Iterable[object] = (), wait_s: float = WAIT_S) -> None:
        """`sources` are those that are read together: the first readings of those that have to know wait for the one
        that reads the nodes, `wait_s` at most. `also` have to know, and are asked on demand."""
        self._knowing = [one for one in (*sources, *also) if isinstance(one, Knows)]
        self._ids: Ids = ()
        self._wait_s = wait_s
        self._early = False
        """Something was read before the nodes were."""
        self._tried = threading.Event()
        if not any(_reads_nodes(getattr(one, "name", "")) for one in sources):
            self._tried.set()

    def wait(self, source: object) -> None:
        """Before a reading: until the nodes were read, or could not be."""
        if isinstance(source, Knows) and not self._tried.wait(self._wait_s):
            self._early = True

    def see(self, reading: Reading) -> bool:
        """After a reading: hand on what it says of the nodes' names. True where something was read by others before."""
        if not _reads_nodes(reading.source):
            return False
        nodes = reading.facts.nodes if reading.facts is not None else None
        ids = ids_of(nodes.values()) if nodes else self._ids
        changed, again = ids != self._ids, self._tried.is_set() or self._early
        if changed:
            self._ids = ids
            names = NodeNames(ids)
            for one in self._knowing:
                one.know(names)
        self._tried.set()
        return changed and again

    @property
    def sources(self) -> list[str]:
        """The sources that have to know."""
        return [name for one in self._knowing if (name := getattr(one, "name", ""))]

    def stop(self) -> None:
        """Let go of whoever waits."""
        self._tried.set()


def _reads_nodes(source: str) -> bool:
    return source.rpartition(".")[2] == "nodes"


def share_names(one: object, nodes: Mapping[str, Node]) -> None:
    """Tell one that is asked on demand how these nodes are named, where it has to know."""
    if isinstance(one, Knows) and nodes:
        one.know(NodeNames(ids_of(nodes.values())))
