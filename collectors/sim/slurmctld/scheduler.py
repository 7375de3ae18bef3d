"""The scheduler: first fit by priority, and backfill that never delays the jobs at the top."""

from __future__ import annotations

import heapq

from msgspec import Struct

from collectors.model import Job
from collectors.sim.plant.site_layout import indices_of

from .job_queue import SimQueue

#: Seconds between two main cycles, and between two backfill cycles (Slurm's bf_interval).
MAIN_CYCLE_S = 2.0
BACKFILL_S = 30.0
#: Jobs of each partition that backfill plans, and how many after them it tries to start.
PLANNED = 5
BACKFILL_TRIED = 60


class BackfillPlan(Struct, gc=False):
    """Hosts reserved for a job from time `when` on."""

    when: float
    mask: int


class Scheduler:
    """Starts jobs. It only looks at the top of each partition's queue, whatever its length."""

    def __init__(self, queue: SimQueue) -> None:
        self._queue = queue
        self._pool = queue.pool
        self._site = queue.site
        self._timeline = queue.timeline
        self._cycle_due = False
        self._changed = True
        self._blocked_heads: set[str] = set()
        """Jobs at the top of their queue that did not fit."""
        self._expected: set[str] = set()
        """Jobs that show an expected start time."""
        self._planned_hosts = 0
        """Hosts with the PLANNED flag, as a bit set."""
        self.placement_tests = 0
        """Number of placement attempts. Tests count these."""
        queue.wake = self.wake

    def begin(self) -> None:
        """Run the first main cycle, and start the backfill cycles."""
        self._main_cycle()
        self._backfill()

    @property
    def up_to_date(self) -> bool:
        """True if nothing changed since the last main cycle: the pending reasons are current."""
        return not self._cycle_due

    def wake(self) -> None:
        """Schedule a main cycle after a change."""
        self._changed = True
        if not self._cycle_due:
            self._cycle_due = True
            self._timeline.after(MAIN_CYCLE_S, self._main_cycle)

    def _fit(self, job: Job, closed: int) -> list[int] | None:
        """Hosts on which the job can start now, outside the bit set `closed`; None if it does not fit."""
        self.placement_tests += 1
        now = self._timeline.now
        mask = self.allowed(job, now) & ~closed
        count = job.node_count or 1
        return self._pool.find(count, (job.gpus or 0) // count, mask)

    def allowed(self, job: Job, start: float) -> int:
        """Bit set of the hosts that the job may use from `start` to its time limit, free or not."""
        mask = self._site.partitions[job.partition or ""].mask
        need = self._queue.required_host.get(job.id)
        if need is not None:
            mask &= 1 << need
        bound = self._queue.reservation_of.get(job.id)
        if bound is not None:
            mask &= self._queue.calendar.reservations[bound].mask
        mask &= ~self._queue.excluded.get(job.id, 0)
        return mask & ~self._queue.calendar.reserved_hosts(start, start + (job.time_limit_s or 0), bound)

    def _start(self, job: Job, hosts: list[int]) -> None:
        now = self._timeline.now
        length, end_state = self._queue.run_time(job.time_limit_s or 0)
        self._queue.start(job, hosts, now, now + length, end_state)

    def _main_cycle(self) -> None:
        """The main cycle: start jobs of each partition by priority, until one does not fit."""
        self._queue.admit_limited()
        self._cycle_due = False
        queues = self._queue.eligible
        positions = dict.fromkeys(queues, 0)
        heads = [(entries[0], name) for name, entries in queues.items() if entries]
        heapq.heapify(heads)
        closed = 0
        tops: set[str] = set()
        while heads:
            (_, _, job_id), name = heapq.heappop(heads)
            entries, job = queues[name], self._queue.jobs[job_id]
            hosts = None
            if self._queue.over_gpu_cap(job):
                self._queue.recheck(job_id)
            elif (hosts := self._fit(job, closed)) is not None:
                self._start(job, hosts)
            else:
                # Overlapping partitions must not take the hosts that this job waits for.
                narrow = any(
                    job_id in side
                    for side in (self._queue.required_host, self._queue.reservation_of, self._queue.excluded)
                )
                reason = "Priority" if closed and self._fit(job, 0) is not None else "Resources"
                closed |= self.allowed(job, self._timeline.now) if narrow else self._site.partitions[name].mask
                self._queue.set_reason(job, reason, job.expected)
                tops.add(job_id)
                if not narrow:
                    continue
                positions[name] += 1
            if positions[name] < len(entries):
                heapq.heappush(heads, (entries[positions[name]], name))
        for job_id in self._blocked_heads - tops:
            self._demote(job_id)
        self._blocked_heads = tops

    def _demote(self, job_id: str) -> None:
        """The job is no longer at the top of its queue."""
        job = self._queue.jobs.get(job_id)
        if job is not None and job.reason == "Resources":
            self._queue.set_reason(job, "Priority", job.expected)

    def _backfill(self) -> None:
        """The backfill cycle: plan the top jobs, then start lower ones that do not delay them."""
        self._timeline.after(BACKFILL_S, self._backfill)
        if not self._changed:
            return
        self._changed = False
        queue, now = self._queue, self._timeline.now
        free = sorted((max(host.free_at, now), host.index) for host in self._site.hosts if host.usable)
        taken = bytearray(len(self._site.hosts))
        plans: list[BackfillPlan] = []
        expected: set[str] = set()
        for entries in queue.eligible.values():
            for _, _, job_id in entries[:PLANNED]:
                job = queue.jobs[job_id]
                plan = self._plan(job, free, taken)
                if plan is not None:
                    plans.append(plan)
                    expected.add(job_id)
                    queue.set_reason(job, job.reason or "Priority", int(plan.when))
            for _, _, job_id in entries[PLANNED : PLANNED + BACKFILL_TRIED]:
                job = queue.jobs[job_id]
                until = now + (job.time_limit_s or 0)
                kept = 0
                for plan in plans:
                    if plan.when < until:
                        kept |= plan.mask
                if queue.over_gpu_cap(job):
                    queue.recheck(job_id)
                elif (hosts := self._fit(job, kept)) is not None:
                    self._start(job, hosts)
        for job_id in self._expected - expected:
            old = queue.jobs.get(job_id)
            if old is not None and old.state == "PENDING":
                queue.set_reason(old, old.reason or "Priority", None)
        self._expected = expected
        self._mark(plans)

    def _plan(self, job: Job, free: list[tuple[float, int]], taken: bytearray) -> BackfillPlan | None:
        """The plan of a job: the first hosts that are entirely free for it. Running jobs are assumed to use their
        whole time limit."""
        count, now = job.node_count or 1, self._timeline.now
        mask = self.allowed(job, now)
        found: list[int] = []
        for when, index in free:
            if not taken[index] and mask >> index & 1:
                found.append(index)
                if len(found) == count:
                    for chosen in found:
                        taken[chosen] = 1
                    return BackfillPlan(when, sum(1 << chosen for chosen in found))
        return None

    def _mark(self, plans: list[BackfillPlan]) -> None:
        """Set and clear the PLANNED flag of hosts."""
        kept = 0
        for plan in plans:
            kept |= plan.mask
        for index in indices_of(kept ^ self._planned_hosts):
            host = self._site.hosts[index]
            host.planned = not host.planned
            if not host.jobs:
                self._pool.mark_changed(host)
        self._planned_hosts = kept
