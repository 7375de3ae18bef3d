"""Sensor history: charts and energy counters that agree with the current values.

Jobs that stopped while the cluster ran are recorded. For the time before its start, free GPUs get generated jobs,
always the same for a node and time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from collectors.model import Job, Series, Xid
from collectors.sim.host import Host, answers
from collectors.sim.slurmctld.accounting import SHIFT_S, AccountingRecords, append_bounded
from collectors.sim.slurmctld.job_queue import SimQueue, SimRun

from .gpu_telemetry import SAMPLE_S, STEP_S, Level, gpu_usage, levels, levels_now, sample_step
from .hardware import Hardware
from .site_layout import indices_of

#: Points of a chart: more than a terminal has columns.
POINTS = 120
#: Seconds from the boot of a node until its exporter answers.
BOOT_S = 95

Allocation = tuple[str, int, int, int]
"""Job, bit set of its GPUs, start and end of the allocation."""


class SensorHistory:
    """Records allocations and silent periods of each node."""

    def __init__(self, queue: SimQueue, xids: Mapping[str, Xid]) -> None:
        self._queue = queue
        self.xids = xids
        """Every XID reported so far, by its key."""
        self._site = queue.site
        self._began = int(queue.timeline.now)
        self._allocations: dict[int, tuple[Allocation, ...]] = {}
        self._gaps: dict[int, tuple[tuple[int, int], ...]] = {}
        self._quiet: dict[int, int] = {}
        """Host index to the time since when its exporter does not answer."""
        self._spent: dict[int, tuple[int, list[float]]] = {}
        """Host index to its boot time and the joules that ended jobs used on each GPU since, above idle."""
        self.accounting = AccountingRecords(queue, self)
        queue.on_stop = self.record_stop
        queue.pool.on_change = self.update_node

    # -- recording -----------------------------------------------------------------------------------------

    def record_stop(self, job: Job, run: SimRun | None, state: str | None) -> None:
        """Record the end of a run; `state` None: the job is requeued."""
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
        """Record when the exporter of a node stopped or started to answer, and its out-of-service periods."""
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

    # -- queries ----------------------------------------------------------------------------------------------

    def silent(self, host: Host, at: int) -> bool:
        """True if the node was not sampled at that time."""
        began = self._quiet.get(host.index)
        if (began is not None and at >= began) or host.boot_at <= at < host.boot_at + BOOT_S:
            return True
        return any(start <= at < end for start, end in self._gaps.get(host.index, ()))

    def held(self, host: Host, at: int) -> dict[str, int]:
        """The jobs that ran on the node at that time, each with the bit set of its GPUs."""
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
        """The GPUs of the node at that time; empty if it was not sampled."""
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
        """Times of the points of a chart: whole steps, so that consecutive charts agree, and the newest sample."""
        step = max(SAMPLE_S, seconds // POINTS)
        now = int(self._queue.timeline.now)
        return [*range((now - seconds) // step * step + step, newest, step), newest]

    def energy(self, host: Host, gpu: int, at: int) -> float:
        """Joules of a GPU since boot at time `at`, jobs at their mean power; never decreases."""
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
        """The last XID of a GPU reported by time `at`."""
        code = host.xids.get(gpu)
        if code is None or at >= int(self._queue.timeline.now):
            return code
        row = self.xids.get(f"{host.name}/{gpu}/{code}")
        return code if row is None or row.first_at is None or row.first_at <= at else None


def _share(taken: list[tuple[int, float]], gpu: int) -> float:
    return sum(joules for g, joules in taken if g == gpu)


def _joules_of(host: Host, job: str, bits: int, began: int, ended: int) -> list[tuple[int, float]]:
    """GPU index and joules that a job used on it since boot, above idle."""
    usual, _, forgets = gpu_usage(job)
    hardware = host.hardware
    busy = min(hardware.limit_w - hardware.idle_w, usual * hardware.per_ten_pct_w // 10)
    span = max(0, ended - max(began, host.boot_at))
    return [
        (g, float(span * (hardware.unused_w if forgets in (99, place) else busy)))
        for place, g in enumerate(indices_of(bits))
    ]


def node_figures(known: list[tuple[int, int, int, int]], hardware: Hardware) -> tuple[float | None, ...]:
    """Mean utilisation and memory in %, °C of the hottest GPU, watts of the node, as in a Load."""
    if not known:
        return (None, None, None, None)
    return (
        round(sum(level[0] for level in known) / len(known), 1),
        round(100 * sum(level[1] for level in known) / (len(known) * hardware.memory_mb), 1),
        float(max(level[2] for level in known)),
        float(sum(level[3] for level in known) + hardware.host_w),
    )
