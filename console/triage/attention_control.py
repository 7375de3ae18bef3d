"""Attention items about Slurm's own daemons, for the attention list and the screen `:control`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from collectors.model import Cluster, Completing, Control, Diag
from collectors.nodeset import fold, names_in
from console.health.inconsistencies import is_kind_fresh
from console.ingest import controller_cost
from widgets.units import count, duration, plural

#: Slurm's default of UnkillableStepTimeout, used where it is not known, and the time that the epilog may take after it.
UNKILLABLE_S = 60
EPILOG_S = 120
#: Messages queued for slurmdbd: from DBD_QUEUE on it does not keep up, from DBD_FULL on messages may soon be lost
#: (MaxDBDMsgs is at least 10,000).
DBD_QUEUE, DBD_FULL = 1_000, 8_000
#: The queue grows when DBD_GROWS readings in a row each exceed the one before and the last has DBD_SOME messages.
DBD_GROWS, DBD_SOME = 4, 100
_MAX_NAMED = 3


class AttentionItem(Struct, frozen=True):
    """One line."""

    text: str
    bad: bool
    since: int | None = None
    nodes: tuple[str, ...] = ()


def control_items(cluster: Cluster, now: float, mono: float | None = None) -> list[AttentionItem]:
    """Items about controllers, slurmdbd, stuck and runaway jobs, worst first. Stale facts give none."""
    found: list[AttentionItem] = []
    clock = _newest_mono(cluster, now) if mono is None else mono
    control = cluster.control if is_kind_fresh(cluster, "control", "slurm", clock) else None
    if control is not None:
        found += _controllers(control)
    if cluster.diag is not None and is_kind_fresh(cluster, "diag", "slurm", clock):
        found += _load(cluster.diag)
        found += _queue(cluster.diag, cluster.dbd_queues)
    if control is not None:
        found += _stuck(control, now)
        found += _runaway(control)
    return sorted(found, key=lambda one: not one.bad)


def _newest_mono(cluster: Cluster, now: float) -> float:
    """The monotonic time of `now`, estimated from the newest reading."""
    newest = max((one.read_mono for one in cluster.sources.values() if one.read_mono is not None), default=0.0)
    return newest + max(0.0, now - cluster.at)


def _controllers(control: Control) -> Iterator[AttentionItem]:
    up = [one for one in control.controllers if one.up]
    for one in control.controllers:
        if one.up or not up:
            continue
        if one is control.controllers[0]:
            yield AttentionItem(
                f"{one.host} ({one.role}) does not answer: {up[0].host} ({up[0].role}) has taken over", True
            )
        else:
            yield AttentionItem(
                f"{one.host} ({one.role}) does not answer: nobody would take over from {up[0].host}", False
            )
    if control.dbd is not None and control.dbd_up is False:
        text = f"slurmdbd at {control.dbd} does not answer: slurmctld keeps what it has to tell, and limits stand still"
        yield AttentionItem(text, True)


def overload_figures(diag: Diag) -> list[str]:
    """The figures of slurmctld that show overload, as text."""
    found = []
    if diag.server_threads is not None and diag.server_threads >= controller_cost.THREADS:
        found.append(f"{diag.server_threads} threads")
    if diag.agent_queue is not None and diag.agent_queue >= controller_cost.AGENT_QUEUE:
        found.append(f"agent queue {count(diag.agent_queue)}")
    if diag.main_cycle_last_us is not None and diag.main_cycle_last_us >= controller_cost.CYCLE_US:
        mean = "" if diag.main_cycle_mean_us is None else f" (mean {diag.main_cycle_mean_us / 1e6:.1f} s)"
        found.append(f"main cycle {diag.main_cycle_last_us / 1e6:.1f} s{mean}")
    return found


def _load(diag: Diag) -> Iterator[AttentionItem]:
    words = overload_figures(diag)
    if words:
        yield AttentionItem(f"slurmctld strains: {', '.join(words)}; who asks so much: :control", len(words) > 1)


def growing_readings(queues: Sequence[tuple[float, int]]) -> tuple[tuple[float, int], ...]:
    """The latest readings that each exceed the one before; empty where they are too few or the queue is short."""
    at = len(queues) - 1
    while at > 0 and queues[at][1] > queues[at - 1][1]:
        at -= 1
    found = tuple(queues[at:])
    return found if len(found) >= DBD_GROWS and found[-1][1] >= DBD_SOME else ()


def _queue(diag: Diag, queues: Sequence[tuple[float, int]]) -> Iterator[AttentionItem]:
    """The queue for slurmdbd. A growing queue is reported long before it is large."""
    waits, grows = diag.dbd_queue, growing_readings(queues)
    if waits is None or (waits < DBD_QUEUE and not grows):
        return
    more = ""
    if grows:
        (first, few), (last, _) = grows[0], grows[-1]
        more = f", {count(waits - few)} more than {duration(last - first)} ago and more at each reading"
    text = f"{plural(waits, 'message')} wait for slurmdbd{more}: does it answer? try: sacctmgr show stats"
    yield AttentionItem(text, waits >= DBD_FULL)


def is_stuck(one: Completing, control: Control, now: float) -> bool:
    """Whether a job has been completing for longer than UnkillableStepTimeout and the epilog allow."""
    limit = control.unkillable_s or UNKILLABLE_S
    return one.since is not None and now - one.since > limit + EPILOG_S


def _stuck(control: Control, now: float) -> Iterator[AttentionItem]:
    """One item a job; many stuck jobs share one."""
    mine = [one for one in control.completing or () if is_stuck(one, control, now)]
    known = control.unkillable_s
    past = "past UnkillableStepTimeout" + ("" if known is None else f" {known} s")
    hint = "its processes hang in the kernel; reboot"
    for one in mine if len(mine) <= _MAX_NAMED else ():
        ago = duration(now - (one.since or now))
        where = one.nodes or "nodes unknown"
        said = f"{where}: job {one.job} COMPLETING for {ago}, {past}: {hint}"
        yield AttentionItem(said, True, one.since, names_in(one.nodes))
    if len(mine) > _MAX_NAMED:
        names = tuple(dict.fromkeys(name for one in mine for name in names_in(one.nodes)))
        since = min(one.since for one in mine if one.since is not None)
        text = f"{plural(len(mine), 'job')} COMPLETING, {past}: hung processes or a file system: {fold(names)}"
        yield AttentionItem(text, True, since, names)


def _runaway(control: Control) -> Iterator[AttentionItem]:
    mine = control.runaway or ()
    if mine:
        some = ", ".join(f"{one.job} {one.user}" for one in mine[:_MAX_NAMED]) + (
            ", …" if len(mine) > _MAX_NAMED else ""
        )
        word = "a runaway job" if len(mine) == 1 else f"{len(mine)} runaway jobs"
        since = min((one.since for one in mine if one.since is not None), default=None)
        text = f"{word}: slurmdbd charges what slurmctld does not know ({some}); sacctmgr show runawayjobs mends it"
        yield AttentionItem(text, False, since)
