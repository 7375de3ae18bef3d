"""Inconsistencies between Slurm's and telemetry's facts about a node. Pure.

Stale facts give none: a source that failed or is late is ignored, and so is a sample older than three minutes, or from
before the job ended or the node came up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from collectors.model import Cluster, Load, Node, Source, Xid
from collectors.model import Severity as XidSeverity
from console.runtime.memo import remembered

from .unknown_reasons import SOURCES
from .version_drift import drift_by_node, drifts
from .xid_policy import Policy, default_policy

Severity = Literal["bad", "warn", "note"]

#: A sample older than this is ignored (Prometheus itself returns it for five minutes).
SAMPLE_S = 180
#: Jobs may load for this long before idle GPUs are reported.
WARM_UP_S = 600
#: Between the end of a job and the sample that would show it: two samples of dcgm-exporter.
SETTLE_S = 60
#: A GPU is idle below this, in percent (as `Load.gpus_idle` counts).
IDLE_PCT = 5.0
#: MIG divides a GPU into at most this many slices.
MAX_MIG_SLICES = 7
#: A powered-off node draws only what its BMC needs; above this it is on.
POWERED_OFF_W = 200.0
#: States in which a node takes work, or could at once.
IN_SERVICE_STATES = frozenset({"idle", "mixed", "allocated", "planned", "reserved", "completing"})
#: What each kind is about.
KINDS: Mapping[str, str] = {
    "xid": "the driver reported an XID, the node takes work",
    "silent": "the node works, its exporter is silent",
    "count": "Slurm and the telemetry count different GPUs",
    "stray": "GPUs are busy, no job holds them",
    "idle": "jobs hold all GPUs, all are idle",
    "alive": "Slurm says down or off, the node draws power or answers",
    "left": "the reason of an old drain is still there",
    "stranger": "telemetry of a node that Slurm does not know",
    "drift": "most nodes of its kind there run another version",
}
_NO_XIDS: tuple[Xid, ...] = ()


class Inconsistency(Struct, frozen=True, kw_only=True):
    """Two facts about one node that do not agree. `text` does not name the node."""

    node: str
    kind: str
    """A key of KINDS."""
    severity: Severity
    """bad: take it out now. warn: look. note: good to know on the node's own screen."""
    text: str
    since: int | None = None
    code: int | None = None
    """The XID code, where the inconsistency is about an XID."""
    xid_severity: XidSeverity | None = None
    """The severity of that XID in the kernel's line; None where it is unknown."""
    gpu: int | None = None
    jobs: tuple[str, ...] = ()
    """The jobs that hold the node or the GPU."""
    nodes: tuple[str, ...] = ()
    """All nodes concerned where one entry is about several; `node` is the first."""


class FreshFacts(Struct, frozen=True, kw_only=True):
    """Which kinds of facts are fresh."""

    nodes: bool
    jobs: bool
    loads: bool
    xids: bool
    trays: bool
    checkups: bool
    fabric: bool = False
    storage: bool = False


def fresh_facts(cluster: Cluster, now: float, mono: float | None = None) -> FreshFacts:
    """Which kinds were read by a source that works and is not late. `mono` is the monotonic time; without it the
    newest reading gives an estimate."""
    if mono is None:
        newest = max((one.read_mono for one in cluster.sources.values() if one.read_mono is not None), default=0.0)
        mono = newest + max(0.0, now - cluster.at)
    return FreshFacts(
        nodes=is_kind_fresh(cluster, "nodes", "slurm", mono),
        jobs=is_kind_fresh(cluster, "jobs", "slurm", mono),
        loads=is_kind_fresh(cluster, "loads", "prom", mono),
        xids=is_kind_fresh(cluster, "xids", "prom", mono),
        trays=is_kind_fresh(cluster, "trays", "prom", mono),
        checkups=is_kind_fresh(cluster, "checkups", "prom", mono),
        fabric=is_kind_fresh(cluster, "fabric", "prom", mono),
        storage=is_kind_fresh(cluster, "storage", "prom", mono),
    )


def is_kind_fresh(cluster: Cluster, kind: str, chip: str, mono: float) -> bool:
    """Whether a kind was read by a source that works and is not late."""
    if kind not in cluster.known:
        return False
    named = [source for name, source in cluster.sources.items() if name.rpartition(".")[2] == kind]
    if not named and (one := cluster.sources.get(SOURCES.get(kind, ""))) is not None:
        named = [one]
    givers = named or [source for source in cluster.sources.values() if source.chip == chip]
    return all(not _stale(source, mono) for source in givers)


def _stale(source: Source, mono: float) -> bool:
    """Whether a source failed or is late, the rule of the screens."""
    return not source.ok or source.late(mono)


class _CheckContext(Struct, frozen=True):
    """What the checks of a node need besides the node."""

    cluster: Cluster
    policy: Policy
    now: float
    fresh: FreshFacts
    newest: float | None
    """When the newest sample of any node was taken; ages are counted from there, because clocks may differ."""
    xids: Mapping[str, list[Xid]]
    resumed: Mapping[str, float] = field(default_factory=dict)


def inconsistencies(
    cluster: Cluster,
    now: float,
    policy: Policy | None = None,
    *,
    mono: float | None = None,
    resumed: Mapping[str, float] = {},
    node: str | None = None,
) -> list[Inconsistency]:
    """All inconsistencies in the order of the nodes, or those of one node.

    `resumed` is when a person resumed a node (`console.journal.past_actions.resumed`): an XID from before that is
    settled.
    """
    good = fresh_facts(cluster, now, mono)
    if not good.nodes:
        return []
    xids = xids_by_node(cluster) if good.xids else {}
    facts = _CheckContext(cluster, policy or default_policy(), now, good, _newest_sample(cluster), xids, resumed)
    found: list[Inconsistency] = []
    for name in suspect_nodes(cluster) if node is None else (node,):
        known = cluster.nodes.get(name)
        if known is not None:
            _check_node(known, facts, found)
        elif good.loads and name in cluster.loads:
            found.append(
                Inconsistency(node=name, kind="stranger", severity="note", since=cluster.loads[name].sampled_at,
                              text="telemetry, but Slurm does not know it")
            )  # fmt: skip
    if good.checkups or "checkups" not in cluster.known:
        # For the whole machine, one entry for all nodes that differ in the same way.
        differs = drifts(cluster) if node is None else drift_by_node(cluster).get(node, ())
        found += [
            Inconsistency(node=one.nodes[0] if node is None else node, kind="drift", text=one.text,
                          severity="warn" if one.what == "driver" else "note", nodes=one.nodes if node is None else ())
            for one in differs
        ]  # fmt: skip
    return found


@remembered("nodes", "loads", "xids", "jobs", "jobs_on")
def suspect_nodes(cluster: Cluster) -> Sequence[str]:
    """The nodes that may have an inconsistency, now or later, whatever is fresh. Most nodes have none, and are checked
    again only after a new reading. Nodes that only telemetry knows come last."""
    every = FreshFacts(nodes=True, jobs=True, loads=True, xids=True, trays=True, checkups=True)
    xids = xids_by_node(cluster)
    facts = _CheckContext(cluster, default_policy(), math.inf, every, _newest_sample(cluster), xids)
    names: list[str] = []
    found: list[Inconsistency] = []
    for name, node in cluster.nodes.items():
        load = cluster.loads.get(name)
        # The policy for XIDs is the caller's; without XID rows the gauge alone may count.
        if name in xids or (load is not None and load.xid is not None):
            names.append(name)
            continue
        _check_node(node, facts, found)
        if found:
            names.append(name)
            found.clear()
    return [*names, *(name for name in cluster.loads if name not in cluster.nodes)]


@remembered("xids")
def xids_by_node(cluster: Cluster) -> Mapping[str, list[Xid]]:
    """The XIDs of each node that has any."""
    found: dict[str, list[Xid]] = {}
    for xid in cluster.xids.values():
        found.setdefault(xid.node, []).append(xid)
    return found


@remembered("loads")
def _newest_sample(cluster: Cluster) -> float | None:
    return max((load.sampled_at for load in cluster.loads.values() if load.sampled_at is not None), default=None)


def live_xids(
    node: Node, rows: Iterable[Xid], load: Load | None = None, resumed: float | None = None, rows_known: bool = True
) -> list[Xid]:
    """The XIDs of a node since it booted and since it was last drained or resumed.

    Without XID rows, the last code in its telemetry counts, without a time: the gauge is not cleared by a reset. Where
    rows are known, that code is older than the rows, and a drain since the boot has dealt with it.
    """
    boot = node.boot_at or 0
    # A reason newer than the XID on a node in service: the drain was for that XID (24.11 keeps the reason).
    after = max(boot, resumed or 0, node.reason_at or 0)
    every = list(rows)
    found = [xid for xid in every if xid.last_at is None or xid.last_at > after]
    if not every and load is not None and load.xid is not None and not (rows_known and after > boot):
        found.append(Xid(node=node.name, gpu=None, code=load.xid))
    return found


def _check_node(node: Node, facts: _CheckContext, found: list[Inconsistency]) -> None:
    """The checks, cheapest first: this runs for 12,000 nodes while an operator waits."""
    display = node.display
    load = facts.cluster.loads.get(node.name) if facts.fresh.loads else None
    if load is not None and _is_old(load, facts):
        load = None
    works = display in IN_SERVICE_STATES
    if works:
        rows = facts.xids.get(node.name, _NO_XIDS)
        if rows or (load is not None and load.xid is not None):
            found += _xid(node, rows, load, facts)
        if node.reason is not None and "REBOOT_REQUESTED" not in node.flags:
            found.append(
                Inconsistency(node=node.name, kind="left", severity="note", since=node.reason_at,
                              text=f"{display} again, its old reason is still there: {node.reason}")
            )  # fmt: skip
    if not facts.fresh.loads:
        return
    if load is None:
        if works and node.gpus and facts.newest is not None:
            found += _silent(node, facts)
        return
    found += _count(node, load, "warn" if works else "note")
    if node.gpus_alloc == 0:
        if works or display in {"drained", "maintenance"}:
            found += _stray(node, load, facts, "warn" if works else "note")
    elif works and node.gpus and node.gpus_alloc == node.gpus:
        found += _idle(node, load, facts)
    if not works and display in {"down", "powered off"}:
        found += _alive(node, load, facts)


def _is_old(load: Load, facts: _CheckContext) -> bool:
    """Whether a sample is older than SAMPLE_S."""
    if load.sampled_at is None or facts.newest is None:
        return False
    return facts.newest - load.sampled_at > SAMPLE_S


def has_mig_slices(node: Node) -> bool:
    """Whether GPUs are divided by MIG: Slurm then counts slices, telemetry counts GPUs."""
    return bool(node.gpu_slices)


def min_physical_gpus(node: Node) -> int | None:
    """The smallest number of physical GPUs that can provide what Slurm counts; exact without MIG slices."""
    if node.gpus is None or not node.gpu_slices:
        return node.gpus
    return node.gpus - node.gpu_slices + math.ceil(node.gpu_slices / MAX_MIG_SLICES)


def _count(node: Node, load: Load, severity: Severity) -> Iterator[Inconsistency]:
    seen, least = load.gpus_seen, min_physical_gpus(node)
    if node.gpus is None or seen is None or least is None:
        return
    if has_mig_slices(node) and seen < least:
        whole = node.gpus - (node.gpu_slices or 0)
        text = f"Slurm sees {whole} GPUs and {node.gpu_slices} MIG slices, telemetry sees {seen} GPUs"
    elif not has_mig_slices(node) and seen != least:
        text = f"Slurm sees {least} GPUs, telemetry sees {seen}"
    else:
        return
    yield Inconsistency(node=node.name, kind="count", severity=severity, since=load.sampled_at, text=text)


def _xid(node: Node, rows: Iterable[Xid], load: Load | None, facts: _CheckContext) -> Iterator[Inconsistency]:
    policy = facts.policy
    live = live_xids(node, rows, load, facts.resumed.get(node.name), facts.fresh.xids)
    first = policy.worst_of(live)
    if first is None:
        return
    code = first.code
    advice = policy.advice_for(code, first.severity)
    if advice is not None and not advice.acts:
        return
    worst = [xid for xid in live if (xid.code, xid.severity) == (code, first.severity)]
    gpus = sorted({xid.gpu for xid in worst if xid.gpu is not None})
    where = f" on GPU {', '.join(map(str, gpus))}" if gpus else ""
    yield Inconsistency(
        node=node.name,
        kind="xid",
        severity="bad" if advice is not None and advice.drains else "warn",
        text=f"{node.display} in Slurm, XID {code}{where}: {policy.step(code, first.severity)}",
        since=min((at for xid in worst if (at := xid.first_at or xid.last_at) is not None), default=None),
        code=code,
        xid_severity=first.severity,
        gpu=gpus[0] if len(gpus) == 1 else None,
        jobs=facts.cluster.jobs_on.get(node.name, ()),
    )


def _silent(node: Node, facts: _CheckContext) -> Iterator[Inconsistency]:
    up = max(node.boot_at or 0, node.slurmd_at or 0)
    if facts.now - up < SAMPLE_S:
        return
    last = facts.cluster.loads.get(node.name)
    yield Inconsistency(
        node=node.name,
        kind="silent",
        severity="warn",
        text=f"{node.display} in Slurm, its exporter is silent",
        since=last.sampled_at if last is not None else None,
    )


def busy_gpus(node: Node, load: Load) -> int | None:
    """How many of its GPUs are known to be busy; None where that is unknown."""
    if load.gpus_idle is not None and load.util_gpus is not None:
        return max(0, load.util_gpus - load.gpus_idle)
    over = load.util_gpus or min_physical_gpus(node)
    if load.gpu_util_pct is None or not over:
        return None
    # Only the mean is known: one busy GPU raises it by its share.
    return 1 if load.gpu_util_pct * over > 4 * IDLE_PCT else 0


def _stray(node: Node, load: Load, facts: _CheckContext, severity: Severity) -> Iterator[Inconsistency]:
    busy = busy_gpus(node, load)
    if not busy or "COMPLETING" in node.flags or not facts.fresh.jobs:
        return
    if load.sampled_at is not None and node.busy_at is not None and load.sampled_at < node.busy_at + SETTLE_S:
        return
    jobs = facts.cluster.jobs_on.get(node.name, ())
    count = f"{busy} GPU{'s' if busy > 1 else ''} busy" if load.util_gpus is not None else "GPUs busy"
    holds = "the jobs here hold none" if jobs else "no job on the node"
    yield Inconsistency(
        node=node.name,
        kind="stray",
        severity=severity,
        text=f"{node.display} in Slurm, {count}, {holds}",
        since=load.sampled_at,
        jobs=jobs,
    )


def _idle(node: Node, load: Load, facts: _CheckContext) -> Iterator[Inconsistency]:
    seen = load.gpus_seen if load.gpus_seen is not None else min_physical_gpus(node)
    if load.gpus_idle is not None:
        if not seen or load.gpus_idle < seen:
            return
    elif load.util_gpus is not None and seen is not None and load.util_gpus < seen:
        return  # the mean does not cover all GPUs
    elif load.gpu_util_pct is None or load.gpu_util_pct >= IDLE_PCT:
        return
    if not facts.fresh.jobs or "COMPLETING" in node.flags:
        return
    cluster = facts.cluster
    jobs = [job for ref in cluster.jobs_on.get(node.name, ()) if (job := cluster.jobs.get(ref)) is not None]
    if not jobs or any(job.started is None or facts.now - job.started < WARM_UP_S for job in jobs):
        return
    holders = ", ".join(dict.fromkeys(f"{job.user} {job.id}" for job in jobs[:3])) + (", …" if len(jobs) > 3 else "")
    yield Inconsistency(
        node=node.name,
        kind="idle",
        severity="warn",
        text=f"all {node.gpus} {'GPUs and slices' if has_mig_slices(node) else 'GPUs'} held, all idle now: {holders}",
        jobs=tuple(job.id for job in jobs),
    )


def _alive(node: Node, load: Load, facts: _CheckContext) -> Iterator[Inconsistency]:
    # A node that just went down was still up when it was sampled.
    if node.reason_at is not None and (load.sampled_at or 0) < node.reason_at + SETTLE_S:
        return
    draws = load.power_w is not None and load.power_w > POWERED_OFF_W
    answers = load.gpus_seen is not None or load.gpu_util_pct is not None
    if not draws and not answers:
        return
    says = [f"draws {load.power_w:,.0f} W"] if draws else []
    says += ["its exporter answers"] if answers else []
    yield Inconsistency(
        node=node.name,
        kind="alive",
        severity="note",
        text=f"{node.display} in Slurm, but it {' and '.join(says)}",
        since=load.sampled_at,
    )
