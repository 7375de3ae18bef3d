"""Re-reads the targets of a plan before it is sent, and polls them until the change is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from collectors.alertmanager.requests import INCIDENT
from collectors.clock import Clock
from collectors.model import AlertReader, Cluster, Row, SourceFault, Transport
from console.actions import incident
from console.actions.action import ROWS, Action
from console.actions.drift import find_drift
from console.actions.plan import Plan
from console.actions.verification import PendingTarget, jobs_by_node

from .confirmation import partition_peers
from .outcome import ChangedTarget, SendResult
from .planning import next_state_drift


class RereadResult(NamedTuple):
    """What re-reading the targets of a plan found."""

    rows: Mapping[str, Row]
    """The targets, and the other nodes of their partitions."""
    age: float | None
    dropped: dict[str, SendResult]
    """Targets that must not be sent."""
    reconfirm: dict[str, ChangedTarget]
    """Targets that may be sent once a new preview is confirmed."""


class TargetReaders:
    """Reads targets by name through the transport and Alertmanager. Calls may block."""

    def __init__(self, transport: Transport | None, desk: AlertReader | None) -> None:
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

    def reread(self, plan: Plan, targets: Sequence[str], clock: Clock) -> RereadResult:
        """Read these targets of a plan again, and find those that must not be sent as confirmed. Raises SourceFault."""
        age = plan.age_s(began := clock.mono())
        beside = partition_peers(plan)
        rows: Mapping[str, Row] = {**{one: plan.cluster.nodes[one] for one in beside}, **plan.rows}
        jobs: Mapping[str, frozenset[str]] | None = None
        if self.reads(plan.action.kind):
            # Every transport asks Slurm for all nodes, so reading the others of their partitions costs nothing.
            rows = self.read(plan.change.kind, tuple(dict.fromkeys((*targets, *beside))))
            if plan.kills and plan.action.kind == "node":
                jobs = self.jobs_on(targets)
            age = clock.mono() - began
        elif age is None or age > plan.max_age_s:
            raise SourceFault("stale", "what is known of them is too old", "wait for the next reading")
        hit = None if plan.jobs is None else frozenset(job.id for job in plan.jobs)
        found = RereadResult(rows, age, {}, {})
        for target in targets:
            now = rows.get(target)
            jobs_before = hit if jobs is not None else None
            jobs_now = None if jobs is None else jobs.get(target, frozenset())
            one = find_drift(plan.action, plan.cluster, plan.rows[target], now, jobs_before, jobs_now)
            if one is None or one.reconfirm:
                other = next_state_drift(plan, target, now)
                one = other if one is None or (other is not None and not other.reconfirm) else one
            if one is not None and one.reconfirm and now is not None:
                found.reconfirm[target] = ChangedTarget(one.why, now)
            elif one is not None:
                found.dropped[target] = SendResult("dropped", one.why)
        return found

    def newest(self, plan: Plan, rows: Mapping[str, Row], going: frozenset[str]) -> Cluster:
        """The plan's cluster with what `reread` returned, without the nodes that other sends of this gate take out;
        silences are read again where an incident eased the confirmation."""
        cluster = plan.cluster
        if plan.action.kind == "node":
            gone = {*plan.rows, *partition_peers(plan)}.difference(rows) | going.difference(plan.rows)
            nodes: Any = {name: row for name, row in {**cluster.nodes, **rows}.items() if name not in gone}
            cluster = msgspec.structs.replace(cluster, nodes=nodes)
        if plan.incident and self._desk is not None:
            # An Alertmanager that does not answer ends no incident: the last known silences stay valid until they end.
            with suppress(SourceFault):
                silences = self._desk.read_silences_of(INCIDENT, [plan.incident])
                cluster = msgspec.structs.replace(cluster, silences=silences)
        return cluster

    def jobs_on(self, nodes: Sequence[str]) -> dict[str, frozenset[str]]:
        """Node to the jobs that run there now. Raises SourceFault."""
        assert self._transport is not None
        return jobs_by_node(self._transport.read_jobs_on(nodes).values())

    def poll(self, cluster: str, action: Action, waiting: Sequence[PendingTarget]) -> Cluster:
        """A Cluster with only the rows that verify these targets; empty where they cannot be read."""
        kind: Any = action.result_kind
        made = {one.sent.value or "": None for one in waiting}
        targets = [one.target for one in waiting] if action.creates is None else list(made)
        try:
            if action.creates is incident.CREATION:
                # Alertmanager chose the id of its silence: it is found by name.
                names = [incident.name_of(one) for one in targets]
                rows: Any = None if self._desk is None else self._desk.read_silences_of(INCIDENT, names)
            else:
                rows = self.read(kind, targets) if self.reads(kind) else None
        except Exception:
            rows = None  # the change was sent already; the timeout reports that it was not seen
        if rows is None:
            return Cluster(name=cluster)
        return Cluster(name=cluster, known=frozenset({f"{kind}s"}), **{ROWS[kind]: rows})
