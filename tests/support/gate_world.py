"""A small Slurm with a writer and a transport that can be broken, for tests of the gate and of what uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from collectors.clock import ManualClock
from collectors.model import Alert, Change, Cluster, Job, Node, Sent, Silence, Source, SourceFault
from collectors.slurm.fields import duration_s
from console.actions.plan import Plan
from console.gate.gate import Gate
from console.journal.writer import Journal, read
from tests.support import make
from tests.support.make import NOW


def node(name: str, state: str = "IDLE", **more: object) -> Node:
    """A node in two partitions, without GPUs."""
    return make.node(name, state, **({"partitions": ("gpu", "all"), "gpus": None, "gpus_alloc": None} | more))


def job(id: str, state: str = "RUNNING", **more: object) -> Job:
    """A job of no partition, which asks for no GPUs."""
    given = {"restarts": 0, "started": NOW - 3600 if state == "RUNNING" else None, "partition": None, "gpus": None}
    return make.job(id, state, **(given | more))


def alert(id: str, name: str = "NodePowerLost", **labels: str) -> Alert:
    """An alert by its id, with its severity among its labels."""
    return make.alert(name, id=id, starts=NOW - 60, labels={"severity": "critical", **labels})


#: What an action sets on a job, and how it is read.
FIELDS = {"timelimit": ("time_limit_s", duration_s), "jobpartition": ("partition", str), "qos": ("qos", str),
          "nice": ("nice", int), "exclude": ("excluded", str)}  # fmt: skip


class World:
    """A small Slurm that does what it is told, with a Writer and a Transport that can be broken; and its alerts."""

    def __init__(
        self, folder: Path, nodes: Sequence[Node] = (), jobs: Sequence[Job] = (), alerts: Sequence[Alert] = ()
    ) -> None:
        self.nodes = {one.name: one for one in nodes}
        self.jobs = {one.id: one for one in jobs}
        self.alerts = {one.id: one for one in alerts}
        self.silences: dict[str, Silence] = {}
        self.clock = ManualClock(now=NOW)
        self.path = folder / "journal.jsonl"
        self.sent: list[Change] = []
        self.reads = 0
        self.blind = False
        self.deaf = False
        """Takes every command and does nothing."""
        self.rc: int | None = 0
        self.err = ""
        self.refuses: Mapping[str, str] = {}
        self.explodes = False
        self.batch = 1000
        self.takes_arrays = False
        self.before_send = lambda: None

    def cluster(self, **more: object) -> Cluster:
        read = [Source(name=f"slurm.{kind}", ok=True, read_mono=self.clock.mono()) for kind in ("nodes", "jobs")]
        facts = {"nodes": dict(self.nodes), "jobs": dict(self.jobs), "alerts": dict(self.alerts),
                 "silences": dict(self.silences)}  # fmt: skip
        return msgspec.structs.replace(make.cluster(sources=read, at=0.0, **facts), **more)

    def gate(self, **options: object) -> Gate:
        options = {"transport": self, "desk": self, **options}
        return Gate("lab", lambda kind: self, options.pop("transport"), lambda: Journal(self.path, "lab", self.clock),
                    self.clock, **options)  # fmt: skip

    def journal(self) -> list[dict]:
        return read(self.path) if self.path.exists() else []

    # Transport
    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        return self._read(self.nodes, names)

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        return self._read(self.jobs, ids)

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        if self.blind:
            raise SourceFault("timeout", "the controller is silent", "try: sdiag")
        return {one.id: one for one in self.jobs.values() if one.nodes in nodes and one.state == "RUNNING"}

    def read_alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        return self._read(self.alerts, ids)

    def read_silences(self, ids: Sequence[str]) -> Mapping[str, Silence]:
        return self._read(self.silences, ids)

    def _read(self, rows, names):
        self.reads += 1
        if self.blind:
            raise SourceFault("timeout", "the controller is silent", "try: sdiag")
        return {name: rows[name] for name in names if name in rows}

    # Writer
    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        some = [change.targets[at : at + self.batch] for at in range(0, len(change.targets), self.batch)]
        return [
            ("do", change.action, *([f"Reason={change.reason}"] if change.kind == "node" else []), *one) for one in some
        ]

    def send(self, change: Change) -> Sequence[Sent]:
        self.before_send()
        self.sent.append(change)
        if self.explodes:
            raise RuntimeError("a bug in the writer")
        done = []
        for argv in self.commands(change):
            targets = tuple(word for word in argv if word in change.targets)
            refused = {name: why for name, why in self.refuses.items() if name in targets}
            done.append(Sent(argv=argv, targets=targets, rc=self.rc, err=self.err, refused=refused))
            if not self.deaf:
                for name in targets:
                    if name not in refused:
                        self.do(change, name)
            if self.rc is None:
                break
        return done

    def do(self, change: Change, name: str) -> None:
        if change.values:
            self.give(change.action, name, change.values[name])
        elif change.action in {"suspend", "unsuspend"}:
            state = "SUSPENDED" if change.action == "suspend" else "RUNNING"
            self.jobs[name] = msgspec.structs.replace(self.jobs[name], state=state)
        elif change.action == "reboot-now":
            self.node(name, "DOWN@", reason=change.reason, reason_by="root")
            self.jobs = {key: one for key, one in self.jobs.items() if one.nodes != name}
        elif change.action == "powerdown":
            self.node(name, "IDLE+POWER_DOWN")
        elif change.action == "drain":
            self.node(name, "IDLE+DRAIN", reason=change.reasons.get(name, change.reason), reason_by="root")
        elif change.action == "down":
            self.node(name, "DOWN", reason=change.reasons.get(name, change.reason), reason_by="root")
            self.jobs = {key: one for key, one in self.jobs.items() if one.nodes != name}
        elif change.action == "reboot":
            self.node(name, "IDLE@", reason=change.reason, reason_by="root")
        elif change.kind == "node":
            self.node(name, "IDLE", reason=None)
        elif change.kind == "alert":
            made = next(one for one in change.silences if name in one.alerts)
            self.silences[f"s-{name}"] = Silence(id=f"s-{name}", state="active", matchers=made.matchers, by=made.by,
                                                 comment=made.comment)  # fmt: skip
            self.alerts[name] = msgspec.structs.replace(
                self.alerts[name], state="suppressed", silenced_by=(f"s-{name}",)
            )
        elif change.kind == "silence":
            self.silences.pop(name)
        elif change.action == "priority":
            self.jobs[name] = job(name, "PENDING", reason="Priority", priority=int(change.values[name]))
        elif change.action == "cancel":
            del self.jobs[name]
        elif change.action.startswith("requeue"):
            held = {"reason": "JobHeldUser", "priority": 0} if change.action == "requeuehold" else {}
            self.jobs[name] = job(name, "PENDING", restarts=(self.jobs[name].restarts or 0) + 1, **held)
        else:
            reason = {"hold": "JobHeldAdmin", "uhold": "JobHeldUser", "release": "Priority"}[change.action]
            self.jobs[name] = job(name, "PENDING", reason=reason, priority=int(change.action == "release"))

    def give(self, action: str, name: str, value: str) -> None:
        """Give a job or node what it is to have."""
        if action in {"comment", "ticket"}:
            self.nodes[name] = msgspec.structs.replace(self.nodes[name], comment=value or None)
        elif action == "features":
            self.nodes[name] = msgspec.structs.replace(self.nodes[name], features=tuple(value.split(",")))
        elif action in FIELDS:
            field, read = FIELDS[action]
            more = {"unlimited": value == "UNLIMITED"} if action == "timelimit" else {}
            self.jobs[name] = msgspec.structs.replace(self.jobs[name], **{field: read(value)}, **more)

    def node(self, name: str, state: str, **more: object) -> None:
        self.nodes[name] = node(name, state, **more)


def small(folder: Path) -> World:
    """Four nodes and three jobs, of each sort one."""
    return World(
        folder,
        nodes=[
            node("gpu0001"),
            node("gpu0002", "MIXED"),
            node("gpu0003", "IDLE+DRAIN", reason="NHC: check_gpu", reason_by="nhc"),
            node("gpu0004", "DOWN"),
        ],
        jobs=[
            job("88121", nodes="gpu0002", node_count=1, gpus_held=8, time_limit_s=7200),
            job("88133", "PENDING", reason="Priority", priority=5),
            job("88140", "COMPLETED", started=NOW - 60),
        ],
    )


def planned(gate: Gate, action: str, *targets: str, reason: str | None = "bad DIMM", cluster: Cluster) -> Plan:
    plan = gate.plan(action, targets, reason, cluster)
    assert isinstance(plan, Plan), plan
    return plan
