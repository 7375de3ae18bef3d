"""Pre-flight check of the GPUs of a node that is to take work again: count, XIDs, memory, and whether they are free.

Pure. Readings of each GPU made just now are preferred; without them the node's sums of the last poll are used. Samples
older than three minutes are unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from collectors.model import Cluster, Gpu, Load, Node, Severity, Xid
from collectors.nodeset import expand, fold
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
from widgets.units import duration, memory, plural, when

from .checks import Check, Code, Level, PreflightReads

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
    fine: list[str]
    blind: list[str]

    def say(self, level: Level, text: str, code: Code, *about: object) -> None:
        self.found.append(Check(self.node.name, level, text, code, about))


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
        found.append(Check(node.name, "unknown", "GPUs unknown: what Slurm says of the node is old", "gpus-unknown"))
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
        one.say("bad", f"GPU {gpu.index} is lost: {gpu.lost}", "gpu-lost", gpu.index)
    _xids(one, rows, xids, extra)
    if not live and load is None:
        if not lost:
            one.say("unknown", f"GPUs unknown: {_why_unknown(node, cluster, extra, good, now)}", "gpus-unknown")
        return
    if old:
        one.blind.append(f"{old} of its GPUs (no sample of the last {duration(SAMPLE_S)})")
    if live:
        _count(one, len(rows), len(lost) + old)
        for check in _FIELD_CHECKS:
            check(one)
    else:
        assert load is not None
        _count(one, load.gpus_seen, 0)
        one.blind.append("ECC and remaps (its GPUs were not read one by one)")
    _busy(one)
    if one.fine:
        one.say("ok", ", ".join(one.fine), "gpus-fit")
    if one.blind:
        one.say("unknown", f"not known: {', '.join(one.blind)}", "gpus-partly-unknown")


def _recent(sampled_at: int | None, now: float) -> bool:
    return sampled_at is not None and abs(now - sampled_at) <= SAMPLE_S


def _why_unknown(node: Node, cluster: Cluster, extra: PreflightReads, good: FreshFacts, now: float) -> str:
    if extra.gpus is None and "loads" not in cluster.known:
        return "no telemetry"
    last = cluster.loads.get(node.name)
    if extra.gpus is None and not good.loads:
        return "its telemetry was not read, or is old"
    if last is None or last.sampled_at is None:
        return "its exporter is silent"
    return f"its exporter is silent, the last sample is {duration(now - last.sampled_at)} old"


def _count(one: _GpuCheck, seen: int | None, apart: int) -> None:
    """Compare Slurm's GPU count with that of the telemetry. `apart`: GPUs seen that do not answer now."""
    slurm = one.node.gpus
    if has_mig_slices(one.node):
        least = min_physical_gpus(one.node)
        if seen is not None and least is not None and seen < least:
            one.say(
                "bad",
                f"{seen} GPUs are seen, Slurm's GPUs and slices need {least} at least",
                "gpus-missing",
                seen,
                least,
            )
        return  # Slurm counts the slices of a GPU, telemetry the GPUs
    if slurm is None or seen is None:
        one.blind.append("how many GPUs it should have" if slurm is None else "how many GPUs answer")
    elif seen < slurm:
        one.say("bad", f"{seen} of the {slurm} GPUs that Slurm counts are seen", "gpus-missing", seen, slurm)
    elif seen > slurm:
        one.say("warn", f"{seen} GPUs are seen, Slurm counts {slurm}", "gpus-extra", seen, slurm)
    elif not apart:
        one.fine.append(f"GPUs {seen} of {slurm}")


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
    since = " since it was put back" if later else " since boot" if boot is not None else ""
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
        gpus = _folded(xid.gpu for xid in those if xid.gpu is not None)
        last = max((xid.last_at for xid in those if xid.last_at is not None), default=None)
        at = "when is not known" if last is None else when(last, None, one.now)
        level: Level = "bad" if advice is not None and advice.drains else "warn"
        on = f" on GPU {gpus}" if gpus else ""
        one.say(
            level,
            f"XID {code}{on}{since} ({at}): {one.policy.step(code, severity)}",
            "xid",
            code,
            *sorted({xid.gpu for xid in those if xid.gpu is not None}),
        )
    if not one.good.xids:
        one.blind.append("XIDs")
    elif (one.whole or one.load is not None) and len(quiet) == len(codes):
        one.fine.append(f"no XID to act on{since} (only {', '.join(quiet)})" if quiet else f"no XID{since}")


def _rank(policy: Policy, code: int, severity: Severity | None) -> float:
    advice = policy.advice_for(code, severity)
    return 0 if advice is None else advice.rank


def _field_check(
    field: str, code: Code, level: Level, wrong: Callable[[list[Gpu]], str], fine: str, blind: str | None
) -> Callable[[_GpuCheck], None]:
    """Make a check of one field of every GPU. 0, False and "none" pass; None is unknown, which is reported as `blind`
    (None: not reported, since the field is often absent)."""

    def check(one: _GpuCheck) -> None:
        offered = [gpu for gpu in one.live if field not in gpu.na]
        told = [gpu for gpu in offered if getattr(gpu, field) is not None]
        bad = [gpu for gpu in told if getattr(gpu, field) not in (False, 0, "none")]
        if bad:
            one.say(level, wrong(bad), code, *((gpu.index, getattr(gpu, field)) for gpu in bad))
        elif told and len(told) == len(offered) and one.whole:
            one.fine.append(fine)
        elif len(told) < len(offered) and blind is not None:
            one.blind.append(blind)

    return check


def _named(gpus: Sequence[Gpu]) -> str:
    return f"GPU {_folded(gpu.index for gpu in gpus)}"


_FIELD_CHECKS = (
    _field_check("recovery", "gpu-recovery", "bad",
          lambda bad: f"{_named(bad)}: the driver asks for {', '.join(dict.fromkeys(str(g.recovery) for g in bad))}",
          "the driver asks for nothing", None),
    _field_check("remap_failed", "remap-failed", "bad",
          lambda bad: f"{_named(bad)}: a row could not be remapped: support", "no remap failed", "failed remaps"),
    _field_check("remap_pending", "remap-pending", "bad",
          lambda bad: f"{_named(bad)}: a remapped row waits for a reset: reset it first", "no remap pending",
          "pending remaps"),
    _field_check("ecc_uncorrected", "ecc-uncorrected", "warn",
          lambda bad: f"{_named(bad)}: {sum(g.ecc_uncorrected or 0 for g in bad):,} uncorrected ECC errors since the "
                      "driver was loaded",
          "no uncorrected ECC error", "ECC errors"),
)  # fmt: skip


def _busy(one: _GpuCheck) -> None:
    """GPUs that are busy or have memory in use without a job."""
    node = one.node
    if not one.good.jobs or node.gpus_alloc is None:
        one.blind.append("what runs on the GPUs (the jobs are not known)")
        return
    sampled = min((gpu.sampled_at for gpu in one.live if gpu.sampled_at is not None), default=None)
    if sampled is None and one.load is not None:
        sampled = one.load.sampled_at
    if "COMPLETING" in node.flags or (node.busy_at is not None and sampled is not None
                                      and sampled < node.busy_at + SETTLE_S and not node.gpus_alloc):  # fmt: skip
        one.blind.append("what runs on the GPUs (a job has only just ended)")
        return
    if one.live:
        _unowned_use(one)
    elif node.gpus_alloc == 0 and one.load is not None:
        seen, known, busy = one.load.gpus_seen, one.load.util_gpus, busy_gpus(node, one.load)
        if busy:
            one.say("bad", f"{plural(busy, 'GPU')} busy, and no job holds any", "gpus-busy", busy)
        if seen is None or one.load.gpus_idle is None or known is None or known < seen:
            one.blind.append("what runs on the GPUs")
        elif not busy:
            one.fine.append("none busy")
    else:
        one.blind.append("what else runs on its GPUs beside the jobs")


def _unowned_use(one: _GpuCheck) -> None:
    free = _unallocated(one)
    if free is None:
        one.blind.append("what else runs on its GPUs beside the jobs")
        return
    # Slurm's and the driver's indices may differ: only where no GPU is allocated is the finding certain.
    level: Level = "bad" if one.node.gpus_alloc == 0 else "warn"
    busy = {gpu.index: gpu.util_pct for gpu in free if gpu.util_pct is not None and gpu.util_pct >= IDLE_PCT}
    if busy:
        # In one line: eight lines would push other findings off the screen.
        low, high = min(busy.values()), max(busy.values())
        percents = f"{low:.0f}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f}"
        holds = "no job holds it" if len(busy) == 1 else "no job holds them"
        one.say(
            level,
            f"{_named([gpu for gpu in free if gpu.index in busy])} busy at {percents} % and {holds}",
            "gpu-busy",
            *busy,
        )
    quiet = bool(free) and not busy
    for gpu in free:
        strangers = [process for process in gpu.processes or () if process.job is None]
        if gpu.index in busy:
            continue
        if strangers:
            first = strangers[0]
            more = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
            whose = f"{first.name or 'unknown'}, {first.user or 'unknown user'}"
            one.say(
                level,
                f"GPU {gpu.index}: process {first.pid} ({whose}){more} belongs to no job",
                "gpu-process",
                gpu.index,
                *(process.pid for process in strangers),
            )
        elif gpu.memory_used_mb is not None and gpu.memory_used_mb > UNUSED_MEMORY_MB:
            one.say(
                "warn",
                f"GPU {gpu.index} has {memory(gpu.memory_used_mb)} in use and no job holds it",
                "gpu-memory",
                gpu.index,
            )
        else:
            continue
        quiet = False
    if any(gpu.util_pct is None for gpu in free):
        one.blind.append("what runs on the GPUs")
    elif quiet and one.whole:
        one.fine.append("none busy" if one.node.gpus_alloc == 0 else "none busy beside the jobs")


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


def _folded(indices: Iterable[int]) -> str:
    """`0-3,7`."""
    return fold(f"g{index}" for index in sorted(set(indices))).removeprefix("g").strip("[]")
