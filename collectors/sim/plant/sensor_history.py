"""What the sensors showed before now: charts and energy counters that agree with the present.

Jobs that stopped while the machine ran are on record. Before its start there are none, so the free GPUs of those days
get work that nobody asks about: the same for the same node and time, whenever it is asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from collectors.model import Job, Series, Xid
from collectors.sim.slurmctld.accounting import SHIFT_S, AccountingRecords, append_bounded
from collectors.sim.slurmctld.job_queue import SimQueue, SimRun

from .gpu_telemetry import SAMPLE_S, STEP_S, Level, gpu_usage, levels, levels_now, sample_step
from .hardware import Hardware
from .site_layout import Host, answers, indices_of

#: Points of one chart: more than a terminal has columns for.
POINTS = 120
#: Seconds from the boot of a node until its exporter answers.
BOOT_S = 95

Allocation = tuple[str, int, int, int]
"""A job, the GPUs it held as a bit set, from when to when."""


class SensorHistory:
    """Keeps what happened on each node."""

    def __init__(self, queue: SimQueue, xids: Mapping[str, Xid]) -> None:
        self._queue = queue
        self.xids = xids
        """Every XID on record, by its key."""
        self._site = queue.site
        self._began = int(queue.timeline.now)
        self._allocations: dict[int, tuple[Allocation, ...]] = {}
        self._gaps: dict[int, tuple[tuple[int, int], ...]] = {}
        self._quiet: dict[int, int] = {}
        """Host to since when its exporter does not answer."""
        self._spent: dict[int, tuple[int, list[float]]] = {}
        """Host to its boot and the joules that ended jobs took of each GPU since, over what an idle one takes."""
        self.accounting = AccountingRecords(queue, self)
        queue.on_stop = self.record_stop
        queue.pool.on_change = self.update_node

    # -- what is put on record -----------------------------------------------------------------------------------------

    def record_stop(self, job: Job, run: SimRun | None, state: str | None) -> None:
        """A job stops now, in this last state; None where it is queued again."""
        self.accounting.record_stop(job, run, state)
        if run is None:
            return
        began, now = job.started or 0, int(self._queue.timeline.now)
        for index in run.hosts:
            host = self._site.hosts[index]
            bits = host.jobs[job.id]
            append_bounded(self._allocations, index, (job.id, bits, began, now))
            spent = self._joules(host)
            for g, joules in _joules_of(host, job.id, bits, began, now):
                spent[g] += joules

    def update_node(self, host: Host, since: float | None = None) -> None:
        """Something about a node changed: note when its exporter fell silent or came back, and when it went out."""
        self.accounting.update_node(host)
        now = int(self._queue.timeline.now)
        began = self._quiet.get(host.index)
        if began is None and not answers(host):
            known = host.reason_at if host.down else None
            self._quiet[host.index] = int(since) if since is not None else known if known is not None else now
        elif began is not None and answers(host):
            del self._quiet[host.index]
            append_bounded(self._gaps, host.index, (began, now))

    def _joules(self, host: Host) -> list[float]:
        boot, spent = self._spent.get(host.index, (0, []))
        if boot != host.boot_at:
            spent = [0.0] * self._site.gpus
            self._spent[host.index] = (host.boot_at, spent)
        return spent

    # -- what it is asked ----------------------------------------------------------------------------------------------

    def silent(self, host: Host, at: int) -> bool:
        """True when nothing was sampled of the node at that time."""
        began = self._quiet.get(host.index)
        if (began is not None and at >= began) or host.boot_at <= at < host.boot_at + BOOT_S:
            return True
        return any(start <= at < end for start, end in self._gaps.get(host.index, ()))

    def held(self, host: Host, at: int) -> dict[str, int]:
        """The jobs that ran on the node at that time, with the GPUs they held."""
        jobs = self._queue.jobs
        held = {job: bits for job, bits in host.jobs.items() if (jobs[job].started or 0) <= at}
        held.update((job, bits) for job, bits, start, end in self._allocations.get(host.index, ()) if start <= at < end)
        if at < self._began and not (host.drain and (host.reason_at or 0) <= at):
            free = (1 << self._site.gpus) - 1
            for bits in held.values():
                free &= ~bits
            shift, phase = (at + host.index * 2711) // SHIFT_S, zlib.crc32(b"%d" % host.index)
            if free and (shift * 7919 + phase) % 12:
                held[f"{shift}.{phase}"] = free
        return held

    def levels(self, host: Host, at: int) -> list[Level]:
        """Every GPU of the node at that time; none where nothing was sampled."""
        if self.silent(host, at):
            return []
        found: list[Level] = list(levels(host, self._site.gpus, self.held(host, at), sample_step(host, at // STEP_S)))
        if host.lost_gpus and at >= (host.reason_at or self._queue.timeline.now - 600):
            found = [None if host.lost_gpus >> g & 1 else level for g, level in enumerate(found)]
        return found

    def history(self, host: Host, seconds: int) -> tuple[Series, ...]:
        """Charts of one node: utilisation, memory, hottest GPU and power. The last point is the newest sample."""
        newest = sample_step(host, int(self._queue.timeline.now) // STEP_S) * STEP_S
        times = self.times(seconds, newest)
        rows: list[tuple[float | None, ...]] = []
        for at in times:
            found = self.levels(host, at)
            if at == newest and found:
                found = levels_now(host, self._site.gpus, at // STEP_S)
            rows.append(node_figures([level for level in found if level is not None], host.hardware))
        return tuple(
            Series(name=name, unit=unit, points=tuple((at, row[place]) for at, row in zip(times, rows, strict=True)))
            for place, (name, unit) in enumerate(
                (("utilisation", "%"), ("memory", "%"), ("temperature", "°C"), ("power", "W"))
            )
        )

    def times(self, seconds: int, newest: int) -> list[int]:
        """The points of a chart: whole steps, so that two charts a moment apart agree, and the newest."""
        step = max(SAMPLE_S, seconds // POINTS)
        now = int(self._queue.timeline.now)
        return [*range((now - seconds) // step * step + step, newest, step), newest]

    def energy(self, host: Host, gpu: int, at: int) -> float:
        """Joules that a GPU had taken by then since its node booted, its jobs at their mean: it never falls."""
        now = int(self._queue.timeline.now)
        total = host.hardware.idle_w * float(at - host.boot_at) + self._joules(host)[gpu]
        for job, bits in host.jobs.items():
            if bits >> gpu & 1:
                began = self._queue.jobs[job].started or now
                total += _share(_joules_of(host, job, bits, began, at), gpu)
        for job, bits, began, ended in self._allocations.get(host.index, ()) if at < now else ():
            if ended > at and bits >> gpu & 1:
                total -= _share(_joules_of(host, job, bits, max(began, at), ended), gpu)
        return max(0.0, total)

    def xid(self, host: Host, gpu: int, at: int) -> int | None:
        """The last XID that the driver had reported of a GPU by then."""
        code = host.xids.get(gpu)
        if code is None or at >= int(self._queue.timeline.now):
            return code
        row = self.xids.get(f"{host.name}/{gpu}/{code}")
        return code if row is None or row.first_at is None or row.first_at <= at else None


def _share(taken: list[tuple[int, float]], gpu: int) -> float:
    return sum(joules for g, joules in taken if g == gpu)


def _joules_of(host: Host, job: str, bits: int, began: int, ended: int) -> list[tuple[int, float]]:
    """GPU and the joules that a job took of it since the boot, over what an idle one takes."""
    usual, _, forgets = gpu_usage(job)
    made = host.hardware
    busy = min(made.limit_w - made.idle_w, usual * made.per_ten_pct_w // 10)
    span = max(0, ended - max(began, host.boot_at))
    return [
        (g, float(span * (made.unused_w if forgets in (99, place) else busy)))
        for place, g in enumerate(indices_of(bits))
    ]


def node_figures(known: list[tuple[int, int, int, int]], made: Hardware) -> tuple[float | None, ...]:
    """Mean utilisation and memory in %, the hottest and the power of the node, as a Load has them."""
    if not known:
        return (None, None, None, None)
    return (
        round(sum(level[0] for level in known) / len(known), 1),
        round(100 * sum(level[1] for level in known) / (len(known) * made.memory_mb), 1),
        float(max(level[2] for level in known)),
        float(sum(level[3] for level in known) + made.host_w),
    )
