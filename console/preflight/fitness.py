"""Pre-flight check of the GPUs of a node that is to take work again: count, XIDs, memory, and whether they are free.

Pure. Readings of each GPU made just now are preferred; without them the node's sums of the last poll are used. Samples
older than three minutes are unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from collectors.model import Cluster, Gpu, Load, Node, Severity, Xid
from collectors.nodeset import expand
from console.health.inconsistencies import (
    IDLE_PCT,
    SAMPLE_S,
    SETTLE_S,
    FreshFacts,
    busy_gpus,
    has_mig_slices,
    live_xids,
    min_physical_gpus,
)
from console.health.xid_policy import Policy

from .checks import Check, Level, PreflightReads
from .sentences import Code, GpuFact, Since

#: A GPU without a job and with more memory in use than this (MB) is not free, even if idle. A driver alone takes less
#: than 1 GB.
UNUSED_MEMORY_MB = 2048


class _GpuCheck(Struct):
    """The state of one check: inputs and findings so far."""

    node: Node
    cluster: Cluster
    now: float
    policy: Policy
    good: FreshFacts
    found: list[Check]
    live: list[Gpu]
    """GPUs that answer, as sampled just now."""
    whole: bool
    """Whether every GPU of the node answered, so that a statement on all of these holds for the node."""
    load: Load | None
    """The last poll's sums, None where they are old."""
    passed: list[tuple[GpuFact, tuple[object, ...]]]
    unknown: list[tuple[GpuFact, tuple[object, ...]]]

    def report(self, level: Level, code: Code, *details: object, **params: object) -> None:
        self.found.append(Check(self.node.name, level, code, details, params))

    def add_passed(self, fact: GpuFact, *values: object) -> None:
        self.passed.append((fact, values))

    def add_unknown(self, fact: GpuFact, *values: object) -> None:
        self.unknown.append((fact, values))


def check_gpus(
    node: Node,
    *,
    cluster: Cluster,
    extra: PreflightReads,
    now: float,
    policy: Policy,
    good: FreshFacts,
    xids: Sequence[Xid],
    found: list[Check],
) -> None:
    """Add the findings on a node's GPUs; nothing for a node without GPUs.

    All passed checks share one line, all unknown facts another; each fault has its own. `xids` are the node's XIDs.
    """
    if node.gpus == 0:
        return
    if not good.nodes:
        # Boot time and allocation are not known: neither a fault nor a pass can be stated.
        found.append(Check(node.name, "unknown", "gpus-node-old"))
        return
    rows = (extra.gpus or {}).get(node.name, ())
    lost = [gpu for gpu in rows if gpu.lost is not None]
    live = [gpu for gpu in rows if gpu.lost is None and _recent(gpu.sampled_at, now)]
    old = len(rows) - len(lost) - len(live)
    load = cluster.loads.get(node.name) if good.loads else None
    if load is not None and not _recent(load.sampled_at, now):
        load = None
    one = _GpuCheck(node, cluster, now, policy, good, found, live, bool(live) and not lost and not old, load, [], [])
    for gpu in lost:
        one.report("bad", "gpu-lost", gpu.index, lost=gpu.lost)
    _xids(one, rows, xids, extra)
    if not live and load is None:
        if not lost:
            _no_reading(one, extra)
        return
    if old:
        one.add_unknown(GpuFact.OLD_SAMPLES, old)
    if live:
        _count(one, len(rows), len(lost) + old)
        for check in _FIELD_CHECKS:
            check(one)
    else:
        assert load is not None
        _count(one, load.gpus_seen, 0)
        one.add_unknown(GpuFact.ECC_AND_REMAPS)
    _busy(one)
    if one.passed:
        one.report("ok", "gpus-fit", facts=one.passed)
    if one.unknown:
        one.report("unknown", "gpus-partly-unknown", facts=one.unknown)


def _recent(sampled_at: int | None, now: float) -> bool:
    return sampled_at is not None and abs(now - sampled_at) <= SAMPLE_S


def _no_reading(one: _GpuCheck, extra: PreflightReads) -> None:
    """Report why nothing is known of the GPUs now."""
    last = one.cluster.loads.get(one.node.name)
    if extra.gpus is None and "loads" not in one.cluster.known:
        one.report("unknown", "gpus-no-telemetry")
    elif extra.gpus is None and not one.good.loads:
        one.report("unknown", "gpus-telemetry-old")
    else:
        sampled = None if last is None else last.sampled_at
        one.report("unknown", "gpus-silent", age=None if sampled is None else one.now - sampled)


def _count(one: _GpuCheck, seen: int | None, apart: int) -> None:
    """Compare Slurm's GPU count with that of the telemetry. `apart`: GPUs seen that do not answer now."""
    slurm = one.node.gpus
    if has_mig_slices(one.node):
        least = min_physical_gpus(one.node)
        if seen is not None and least is not None and seen < least:
            one.report("bad", "slices-missing", seen, least)
        return  # Slurm counts the slices of a GPU, telemetry the GPUs
    if slurm is None or seen is None:
        one.add_unknown(GpuFact.GPUS_EXPECTED if slurm is None else GpuFact.GPUS_SEEN)
    elif seen < slurm:
        one.report("bad", "gpus-missing", seen, slurm)
    elif seen > slurm:
        one.report("warn", "gpus-extra", seen, slurm)
    elif not apart:
        one.add_passed(GpuFact.COUNT, seen, slurm)


def _xids(one: _GpuCheck, rows: Sequence[Gpu], known: Sequence[Xid], extra: PreflightReads) -> None:
    """XIDs since the node booted and since it was last returned to service, judged by the policy."""
    node, boot = one.node, one.node.boot_at
    resumed = extra.resumed.get(node.name)
    # Elsewhere a drain settles earlier XIDs; here the drain is about to be removed, so it settles nothing.
    bare = replace(node, reason_at=None)
    live = live_xids(bare, known, one.load, resumed, one.good.xids)
    if not known and any(gpu.xid is not None for gpu in rows):
        live = [
            replace(xid, gpu=gpu.index)
            for gpu in rows
            if gpu.xid is not None
            for xid in live_xids(bare, (), Load(node=node.name, xid=gpu.xid), resumed, one.good.xids)
        ]
    later = resumed is not None and resumed > (boot or 0)
    since = Since.RETURN if later else Since.BOOT if boot is not None else Since.EVER
    codes = sorted(
        {(xid.code, xid.severity) for xid in live}, key=lambda kind: (-_rank(one.policy, *kind), *map(str, kind))
    )
    quiet = []
    for code, severity in codes:
        advice = one.policy.advice_for(code, severity)
        if advice is not None and not advice.acts:
            quiet.append(str(code))
            continue
        those = [xid for xid in live if (xid.code, xid.severity) == (code, severity)]
        gpus = sorted({xid.gpu for xid in those if xid.gpu is not None})
        last = max((xid.last_at for xid in those if xid.last_at is not None), default=None)
        level: Level = "bad" if advice is not None and advice.drains else "warn"
        step = one.policy.step(code, severity)
        one.report(level, "xid", code, *gpus, since=since, last=last, now=one.now, step=step)
    if not one.good.xids:
        one.add_unknown(GpuFact.XIDS)
    elif (one.whole or one.load is not None) and len(quiet) == len(codes):
        if quiet:
            one.add_passed(GpuFact.NO_XID_TO_ACT_ON, since, ", ".join(quiet))
        else:
            one.add_passed(GpuFact.NO_XID, since)


def _rank(policy: Policy, code: int, severity: Severity | None) -> float:
    advice = policy.advice_for(code, severity)
    return 0 if advice is None else advice.rank


def _field_check(
    field: str, code: Code, level: Level, passed: GpuFact, unknown: GpuFact | None
) -> Callable[[_GpuCheck], None]:
    """Make a check of one field of every GPU. 0, False and "none" pass; None is unknown, which is reported as `unknown`
    (None: not reported, since the field is often absent)."""

    def check(one: _GpuCheck) -> None:
        offered = [gpu for gpu in one.live if field not in gpu.na]
        told = [gpu for gpu in offered if getattr(gpu, field) is not None]
        bad = [gpu for gpu in told if getattr(gpu, field) not in (False, 0, "none")]
        if bad:
            one.report(level, code, *((gpu.index, getattr(gpu, field)) for gpu in bad))
        elif told and len(told) == len(offered) and one.whole:
            one.add_passed(passed)
        elif len(told) < len(offered) and unknown is not None:
            one.add_unknown(unknown)

    return check


_FIELD_CHECKS = (
    _field_check("recovery", "gpu-recovery", "bad", GpuFact.NO_RECOVERY, None),
    _field_check("remap_failed", "remap-failed", "bad", GpuFact.NO_REMAP_FAILED, GpuFact.REMAPS_FAILED),
    _field_check("remap_pending", "remap-pending", "bad", GpuFact.NO_REMAP_PENDING, GpuFact.REMAPS_PENDING),
    _field_check("ecc_uncorrected", "ecc-uncorrected", "warn", GpuFact.NO_ECC_ERROR, GpuFact.ECC_ERRORS),
)


def _busy(one: _GpuCheck) -> None:
    """GPUs that are busy or have memory in use without a job."""
    node = one.node
    if not one.good.jobs or node.gpus_alloc is None:
        one.add_unknown(GpuFact.USE_JOBS_UNKNOWN)
        return
    sampled = min((gpu.sampled_at for gpu in one.live if gpu.sampled_at is not None), default=None)
    if sampled is None and one.load is not None:
        sampled = one.load.sampled_at
    if "COMPLETING" in node.flags or (node.busy_at is not None and sampled is not None
                                      and sampled < node.busy_at + SETTLE_S and not node.gpus_alloc):  # fmt: skip
        one.add_unknown(GpuFact.USE_JOB_ENDED)
        return
    if one.live:
        _unowned_use(one)
    elif node.gpus_alloc == 0 and one.load is not None:
        seen, known, busy = one.load.gpus_seen, one.load.util_gpus, busy_gpus(node, one.load)
        if busy:
            one.report("bad", "gpus-busy", busy)
        if seen is None or one.load.gpus_idle is None or known is None or known < seen:
            one.add_unknown(GpuFact.USE)
        elif not busy:
            one.add_passed(GpuFact.NONE_BUSY)
    else:
        one.add_unknown(GpuFact.USE_BESIDE_JOBS)


def _unowned_use(one: _GpuCheck) -> None:
    free = _unallocated(one)
    if free is None:
        one.add_unknown(GpuFact.USE_BESIDE_JOBS)
        return
    # Slurm's and the driver's indices may differ: only where no GPU is allocated is the finding certain.
    level: Level = "bad" if one.node.gpus_alloc == 0 else "warn"
    busy = {gpu.index: gpu.util_pct for gpu in free if gpu.util_pct is not None and gpu.util_pct >= IDLE_PCT}
    if busy:
        one.report(level, "gpu-busy", *busy, low=min(busy.values()), high=max(busy.values()))
    quiet = bool(free) and not busy
    for gpu in free:
        strangers = [process for process in gpu.processes or () if process.job is None]
        if gpu.index in busy:
            continue
        if strangers:
            first, pids = strangers[0], (process.pid for process in strangers)
            one.report(level, "gpu-process", gpu.index, *pids, name=first.name, user=first.user)
        elif gpu.memory_used_mb is not None and gpu.memory_used_mb > UNUSED_MEMORY_MB:
            one.report("warn", "gpu-memory", gpu.index, memory_mb=gpu.memory_used_mb)
        else:
            continue
        quiet = False
    if any(gpu.util_pct is None for gpu in free):
        one.add_unknown(GpuFact.USE)
    elif quiet and one.whole:
        one.add_passed(GpuFact.NONE_BUSY if one.node.gpus_alloc == 0 else GpuFact.NONE_BUSY_BESIDE_JOBS)


def _unallocated(one: _GpuCheck) -> list[Gpu] | None:
    """The GPUs that no job holds; None where Slurm does not show which."""
    if one.node.gpus_alloc == 0:
        return one.live
    if one.node.gpus_alloc == one.node.gpus:
        return []
    try:
        held = frozenset(expand(f"[{one.node.gpus_used}]")) if one.node.gpus_used else frozenset()
    except ValueError:
        return None
    return [gpu for gpu in one.live if str(gpu.index) not in held] if held else None
