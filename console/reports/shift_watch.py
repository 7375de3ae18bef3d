"""Processes a series of Clusters and keeps what a report states about the period. Pure.

Nothing is guessed. A node that is out at the start has been out since its reason was set, which Slurm records. Events
within a gap of the recording are unknown, and losses in a gap count only when the same reason is there before and after
it, so every sum is a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from collectors.jobstate import held
from collectors.model import Cluster, Job, Node
from collectors.nodeset import expand, natural_key
from console.health import drain_reasons
from console.plant import power

#: Recorded moments are at most a minute apart; a longer interval than this counts as not recorded.
GAP_S = 300.0
#: Largest seconds between the end of a job and its node's failure that count as related: Slurm reports jobs and nodes
#: in separate answers.
_NEAR_S = 120.0
_DOWN = frozenset({"down", "failed", "invalid", "unknown"})
#: Pending reasons that the job's owner caused.
_ASKED = frozenset({"Dependency", "BeginTime"})
#: States in which jobs continue: only unallocated GPUs are lost.
_WORKING = frozenset({"draining", "failing"})


class Outage(Struct, frozen=True, kw_only=True):
    """One node's time out of service."""

    node: str
    rack: str | None
    display: str
    """The worst of its displayed states."""
    reason: str | None
    by: str | None
    kind: str
    """A key of `drain_reasons.KINDS`."""
    who: drain_reasons.Author
    since: float | None
    """None when it was out before the recording and Slurm does not say since when."""
    until: float | None = None
    """When it was seen back; None when it is still out."""


class Peak(Struct, frozen=True):
    """The highest power draw of the site."""

    watts: float
    at: float
    source: str


class Wait(Struct, frozen=True, kw_only=True):
    """The job that waited longest."""

    job: str
    user: str
    gpus: int | None
    seconds: float
    started: bool


class LostJob(Struct, frozen=True, kw_only=True):
    """A job whose node went down."""

    job: str
    user: str
    node: str
    at: float
    end: str
    """`NODE_FAIL` from Slurm, `requeued`, or `left the queue` when the cause was not seen."""


class ShiftFacts(Struct, frozen=True, kw_only=True):
    """What was seen in the period."""

    begins: float | None = None
    """Time of the first facts; None when there are none."""
    gaps: tuple[tuple[float, float], ...] = ()
    nodes_known: bool = False
    outages: tuple[Outage, ...] = ()
    gpu_hours: Mapping[str, float] = {}
    """Lost, by kind of reason."""
    uncounted: tuple[str, ...] = ()
    """Nodes that were out and whose number of GPUs is unknown."""
    peak: Peak | None = None
    xids: Mapping[str, Mapping[int, int]] = {}
    """Node to XID to the number of its GPUs with it."""
    xids_known: bool = False
    wait: Wait | None = None
    jobs_known: bool = False
    lost: tuple[LostJob, ...] = ()
    alerts: Mapping[str, tuple[int, float]] = {}
    """Alert name to the number that started and the time of the first; critical ones first."""
    alerts_known: bool = False
    silent: Mapping[str, float] = {}
    """Source to the seconds without data."""


@dataclass
class _Open:
    first: Outage
    reason_at: int | None
    at: float
    """Time up to which its loss is counted."""
    lost: int | None
    seconds: float = 0.0
    """GPU-seconds lost, attributed to the last reason, because the cause is found after the fault."""


@dataclass
class ShiftWatch:
    """Takes moments in order, from `since` to `until`."""

    since: float
    until: float
    _last: float | None = None
    _begins: float | None = None
    _cluster: Cluster = field(default_factory=lambda: Cluster(name=""))
    _open: dict[str, _Open] = field(default_factory=dict)
    _closed: list[Outage] = field(default_factory=list)
    _seconds: dict[str, float] = field(default_factory=dict)
    _uncounted: set[str] = field(default_factory=set)
    _gaps: list[tuple[float, float]] = field(default_factory=list)
    _known: frozenset[str] = frozenset()
    _peak: Peak | None = None
    _xids: dict[str, dict[int, set[int | None]]] = field(default_factory=dict)
    _wait: Wait | None = None
    _lost: dict[str, LostJob] = field(default_factory=dict)
    _left: dict[str, tuple[float, Job, str]] = field(default_factory=dict)
    """Jobs that just left their nodes: time, row before, and how."""
    _fell: dict[str, float] = field(default_factory=dict)
    """Nodes that just went down, and when."""
    _alerts: dict[str, tuple[int, float, bool]] = field(default_factory=dict)
    _silent: dict[str, float] = field(default_factory=dict)

    def see(self, cluster: Cluster, wall: float, keys: Mapping[str, frozenset[str]] | None) -> None:
        """The next moment. `keys` are the rows by kind that may have changed since the last one; None: any."""
        last, before = self._last, self._cluster
        wall = wall if last is None else max(wall, last)
        gap = last is not None and wall - last > GAP_S
        if gap and last is not None:
            self._gaps.append((last, wall))
        if last is None:
            self._begins = wall
        self._known |= cluster.known
        if "nodes" in cluster.known:
            every = keys is None or gap or "nodes" not in before.known
            names = before.nodes.keys() | cluster.nodes.keys() if every else (keys or {}).get("nodes", frozenset())
            self._nodes(before, cluster, names, wall, last if gap else None)
        if "jobs" in cluster.known:
            every = keys is None or "jobs" not in before.known
            ids = before.jobs.keys() | cluster.jobs.keys() if every else (keys or {}).get("jobs", frozenset())
            self._jobs(before, cluster, ids, wall, gap or last is None)
        self._power(cluster, wall)
        self._others(before, cluster, wall, 0.0 if last is None or gap else wall - last, gap)
        self._last, self._cluster = wall, cluster

    def past(self) -> ShiftFacts:
        """What was seen so far."""
        end = self.until if self._last is None else min(self.until, self._last)
        for one in self._open.values():
            self._count(one, end)
            self._spend(one)
        cluster = self._cluster
        for job in cluster.jobs.values():
            if job.started is None and job.submitted is not None and not held(job) and job.reason not in _ASKED:
                self._waited(job, end - job.submitted, False)
        order = sorted(self._alerts.items(), key=lambda one: (not one[1][2], -one[1][0], one[0]))
        return ShiftFacts(
            begins=self._begins,
            gaps=tuple((a, b) for a, b in self._gaps if b > self.since and a < self.until),
            nodes_known="nodes" in self._known,
            outages=tuple(
                sorted(
                    (*self._closed, *(one.first for one in self._open.values())),
                    key=lambda one: (one.since or 0.0, natural_key(one.node)),
                )
            ),
            gpu_hours={kind: self._seconds[kind] / 3600 for kind in drain_reasons.KINDS if self._seconds.get(kind)},
            uncounted=tuple(sorted(self._uncounted)),
            peak=self._peak,
            xids={
                node: {code: len(gpus) for code, gpus in sorted(codes.items())} for node, codes in self._xids.items()
            },
            xids_known="xids" in self._known,
            wait=self._wait,
            jobs_known="jobs" in self._known,
            lost=tuple(self._lost.values()),
            alerts={name: (count, first) for name, (count, first, _) in order},
            alerts_known="alerts" in self._known,
            silent=dict(sorted(self._silent.items())),
        )

    # Nodes.

    def _nodes(self, before: Cluster, after: Cluster, names: Iterable[str], wall: float, gap: float | None) -> None:
        for name in names:
            node, one = after.nodes.get(name), self._open.get(name)
            is_out = node is not None and drain_reasons.is_unavailable(node)
            if one is not None and gap is not None and (node is None or not is_out or node.reason_at != one.reason_at):
                self._count(one, gap)  # the gap was not observed, but a new reason carries its own time
                reason_at = node.reason_at if node is not None and is_out else None
                one.at = wall if reason_at is None else min(wall, max(gap, reason_at))
            if one is not None:
                self._count(one, wall)
            if node is None or not is_out:
                if one is not None:
                    del self._open[name]
                    self._spend(one)
                    if wall >= self.since:
                        self._closed.append(_ended(one.first, wall))
                continue
            if node.display in _DOWN and (was := before.nodes.get(name)) is not None and was.display not in _DOWN:
                self._down(name, wall)
            if one is None:
                self._open[name] = self._begun(node, wall, name in before.nodes and gap is None)
            else:
                one.first, one.reason_at, one.lost = _worse(one.first, node), node.reason_at, _gpus(node)

    def _begun(self, node: Node, wall: float, seen: bool) -> _Open:
        """A node that is out now. If it was seen to go out, it went out now; otherwise the reason's time
        may show when.
        """
        reason_at = None if node.reason_at is None or node.reason_at > wall else float(node.reason_at)
        since = wall if seen else reason_at
        cause = drain_reasons.classify(node.reason, node.reason_by)
        first = Outage(node=node.name, rack=node.rack, display=node.display, reason=node.reason, by=node.reason_by,
                       kind=cause.kind, who=cause.author, since=since)  # fmt: skip
        return _Open(first, node.reason_at, wall if since is None else since, _gpus(node))

    def _count(self, one: _Open, wall: float) -> None:
        """Add the loss up to now."""
        seconds = min(wall, self.until) - max(one.at, self.since)
        one.at = max(one.at, wall)
        if seconds <= 0:
            return
        if one.lost is None:
            self._uncounted.add(one.first.node)
        else:
            one.seconds += seconds * one.lost

    def _spend(self, one: _Open) -> None:
        if one.seconds:
            self._seconds[one.first.kind] = self._seconds.get(one.first.kind, 0.0) + one.seconds

    # Jobs.

    def _jobs(self, before: Cluster, after: Cluster, ids: Iterable[str], wall: float, blind: bool) -> None:
        for id in ids:
            was, job = before.jobs.get(id), after.jobs.get(id)
            if job is not None and job.state == "NODE_FAIL" and (was is None or was.state != job.state):
                place = job.nodes or (was.nodes if was is not None else None) or ""
                self._lose(LostJob(job=id, user=job.user, node=place, at=wall, end="NODE_FAIL"))
            if job is not None and job.started is not None and job.submitted is not None:
                began = was is None or was.started is None
                if began and self.since <= job.started <= self.until:
                    self._waited(job, job.started - job.submitted, True)
            if blind or was is None or was.nodes is None:
                continue
            if job is None:
                self._leave(was, "left the queue", wall)
            elif job.nodes is None or (job.restarts or 0) > (was.restarts or 0):
                self._leave(was, "requeued", wall)

    def _leave(self, job: Job, how: str, wall: float) -> None:
        for id in [id for id, (at, _, _) in self._left.items() if wall - at > _NEAR_S]:
            del self._left[id]
        for name in [name for name, at in self._fell.items() if wall - at > _NEAR_S]:
            del self._fell[name]
        self._left[job.id] = wall, job, how
        if self._fell:
            self._meet(job, how, wall, self._fell.keys())

    def _down(self, name: str, wall: float) -> None:
        self._fell[name] = wall
        for at, job, how in self._left.values():
            if wall - at <= _NEAR_S:
                self._meet(job, how, at, {name})

    def _meet(self, job: Job, how: str, at: float, names: Iterable[str]) -> None:
        mine = set(names).intersection(expand(job.nodes or ""))
        if mine:
            self._lose(LostJob(job=job.id, user=job.user, node=min(mine), at=at, end=how))

    def _lose(self, one: LostJob) -> None:
        if self.since <= one.at <= self.until and (one.job not in self._lost or one.end == "NODE_FAIL"):
            self._lost[one.job] = one

    def _waited(self, job: Job, seconds: float, started: bool) -> None:
        if self._wait is None or seconds > self._wait.seconds:
            self._wait = Wait(job=job.id, user=job.user, gpus=job.gpus, seconds=seconds, started=started)

    # Everything else.

    def _power(self, cluster: Cluster, wall: float) -> None:
        drawn = cluster.power.site_w if cluster.power is not None else None
        if drawn is None and cluster.loads is not self._cluster.loads:
            known = [load.power_w for load in cluster.loads.values() if load.power_w is not None]
            drawn = sum(known) if known else None
        inside = self.since <= wall <= self.until
        if drawn is not None and inside and (self._peak is None or drawn > self._peak.watts):
            self._peak = Peak(drawn, wall, power.source(cluster))

    def _others(self, before: Cluster, after: Cluster, wall: float, passed: float, gap: bool) -> None:
        if after.xids is not before.xids:
            for one in after.xids.values():
                if one.last_at is None or self.since <= one.last_at <= self.until:
                    self._xids.setdefault(one.node, {}).setdefault(one.code, set()).add(one.gpu)
        if after.alerts is not before.alerts and "alerts" in before.known and not gap:
            for id, alert in after.alerts.items():
                if id not in before.alerts and self.since <= wall <= self.until:
                    count, first, bad = self._alerts.get(alert.name, (0, wall, False))
                    self._alerts[alert.name] = count + 1, first, bad or alert.severity == "critical"
        for name, source in after.sources.items():
            if source.fault is not None and wall > self.since:
                self._silent[name] = self._silent.get(name, 0.0) + min(passed, wall - self.since)


def _gpus(node: Node) -> int | None:
    """The node's unusable GPUs; None when unknown."""
    if node.gpus is None or node.display not in _WORKING:
        return node.gpus
    return None if node.gpus_alloc is None else max(0, node.gpus - node.gpus_alloc)


def _worse(first: Outage, node: Node) -> Outage:
    """The outage with its worst state so far and the newest reason."""
    cause = drain_reasons.classify(node.reason, node.reason_by)
    named = bool(node.reason)
    return Outage(
        node=first.node, rack=node.rack, display=first.display if first.display in _DOWN else node.display,
        reason=node.reason if named else first.reason, by=node.reason_by if named else first.by,
        kind=cause.kind if named else first.kind, who=cause.author if named else first.who, since=first.since,
    )  # fmt: skip


def _ended(one: Outage, at: float) -> Outage:
    return Outage(node=one.node, rack=one.rack, display=one.display, reason=one.reason, by=one.by, kind=one.kind,
                  who=one.who, since=one.since, until=at)  # fmt: skip
