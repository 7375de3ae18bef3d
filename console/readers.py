"""How the gate looks at its targets again: before it sends, and until what it sent is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collectors.alertmanager.orders import INCIDENT
from collectors.model import AlertDesk, Cluster, Transport
from console import incident
from console.action import ROWS, Action, Row
from console.verify import Waiting, jobs_by_node


class Readers:
    """The readers of named things that a gate has. What it asks them may block."""

    def __init__(self, transport: Transport | None, desk: AlertDesk | None) -> None:
        self._transport = transport
        self._desk = desk

    def reads(self, kind: str) -> bool:
        """True where the targets of a kind can be read again."""
        return (self._desk if kind in {"alert", "silence"} else self._transport) is not None

    def read(self, kind: str, targets: Sequence[str]) -> Mapping[str, Row]:
        """The targets as they are now. Raises SourceFault."""
        if kind in {"alert", "silence"}:
            assert self._desk is not None
            return self._desk.read_alerts(targets) if kind == "alert" else self._desk.read_silences(targets)
        assert self._transport is not None
        match kind:
            case "node":
                return self._transport.read_nodes(targets)
            case "job":
                return self._transport.read_jobs(targets)
            case "partition":
                return self._transport.read_partitions(targets)
            case "user":
                return self._transport.read_users(targets)
        return self._transport.read_reservations(targets)

    def jobs_on(self, nodes: Sequence[str]) -> dict[str, frozenset[str]]:
        """Node to the jobs that run there now. Raises SourceFault."""
        assert self._transport is not None
        return jobs_by_node(self._transport.read_jobs_on(nodes).values())

    def glance(self, cluster: str, action: Action, waiting: Sequence[Waiting]) -> Cluster:
        """A Cluster of just what shows what came of these; of nothing where it cannot be read."""
        kind: Any = action.shown_in
        made = {one.value or "": None for one in waiting}
        targets = [one.target for one in waiting] if action.together is None else list(made)
        try:
            if action.id == "incident":
                # Its silence has an id that Alertmanager gave it: it is found by its name.
                names = [incident.name_in(one) for one in targets]
                rows: Any = None if self._desk is None else self._desk.read_silences_of(INCIDENT, names)
            else:
                rows = self.read(kind, targets) if self.reads(kind) else None
        except Exception:
            rows = None  # whatever it is: what was sent was sent, and the end of this says that it was not seen
        if rows is None:
            return Cluster(name=cluster)
        return Cluster(name=cluster, known=frozenset({f"{kind}s"}), **{ROWS[kind]: rows})
