"""Fills the cluster as it would be after days of work, and keeps submitting jobs."""

from __future__ import annotations

import random

from msgspec.structs import replace

from collectors.model import Job
from collectors.sim.plant.site_layout import DAY, HOUR

from .job_queue import SimQueue
from .scheduler import Scheduler
from .workload import Submission, Workload

#: Consecutive submissions that do not fit, after which the cluster counts as full.
FULL_AFTER = 40
#: Pending jobs per node, where no number of jobs is set.
WAITING_PER_NODE = 3.0


class Arrivals:
    """Submits jobs so that the number of running and pending jobs stays near `target`."""

    def __init__(self, rng: random.Random, queue: SimQueue, scheduler: Scheduler, workload: Workload) -> None:
        self._rng = rng
        self._queue = queue
        self._scheduler = scheduler
        self._workload = workload
        self._timeline = queue.timeline
        self.target = 0
        self._gap = 20.0
        """Mean seconds between two submissions."""
        self._last: dict[str, str] = {}
        """User to the last job submitted, on which dependencies are made."""

    def fill(self, jobs: int | None) -> None:
        """Start the running jobs, then queue the pending ones: `jobs` in all, or what suits the cluster."""
        queue = self._queue
        misses = 0
        while misses < FULL_AFTER and (jobs is None or len(queue.jobs) < jobs):
            most = 8 if jobs is None else jobs - len(queue.jobs)
            draft = self._workload.draw(self._timeline.now - self._workload.waited_s(), min(most, 64), "running")
            placed = [self._place(job) for job in draft.jobs]
            self._note(draft)
            misses = 0 if any(placed) else misses + 1
        running = len(queue.runs)
        waiting = round(WAITING_PER_NODE * len(queue.site.hosts))
        self.target = running + waiting if jobs is None else jobs
        while len(queue.jobs) < self.target:
            most = self.target - len(queue.jobs)
            self.submit(
                self._workload.draw(self._timeline.now - self._workload.waited_s(), most, "waiting"), sort=False
            )
        for entries in queue.eligible.values():
            entries.sort()
        for by_size in queue.limited.values():
            for entries in by_size.values():
                entries.sort()
        # A job ends about every (mean run / running jobs) seconds, and something is submitted somewhat more often.
        self._gap = min(60.0, 2.0 * HOUR / max(1, running))

    def begin(self) -> None:
        """Start to submit jobs."""
        self._timeline.after(self._rng.expovariate(1 / self._gap), self._arrive)

    def _arrive(self) -> None:
        self._timeline.after(self._rng.expovariate(1 / self._gap), self._arrive)
        missing = self.target - len(self._queue.jobs)
        if missing > 0:
            self.submit(self._workload.draw(self._timeline.now, missing))

    def _place(self, job: Job) -> bool:
        """Start the job some time in the past if it fits; else queue it."""
        queue, now = self._queue, self._timeline.now
        length, end_state = self._workload.run_time(job.time_limit_s or 0)
        started = now - self._rng.random() * length
        count = job.node_count or 1
        hosts = None
        if not queue.over_gpu_cap(job):
            hosts = queue.pool.find(count, (job.gpus or 0) // count, self._scheduler.allowed(job, started))
        if hosts is None:
            queue.add(job, sort=False)
            return False
        waited = min(2 * DAY, self._rng.expovariate(1 / (3 * HOUR)))
        queue.start(
            replace(job, reason=None, submitted=int(started - waited)), hosts, started, started + length, end_state
        )
        return True

    def submit(self, draft: Submission, sort: bool = True) -> None:
        """Queue a submission, some of them with a reason to wait. `sort` is False while many are added at once."""
        queue, rng, now = self._queue, self._rng, self._timeline.now
        jobs = draft.jobs
        first = jobs[0]
        if first.user in queue.blocked_users:
            return
        twist = rng.random()
        if twist < 0.025:
            reason = "JobHeldUser" if twist < 0.018 else "JobHeldAdmin"
            for place, job in enumerate(jobs):
                queue.holds[job.id] = (reason, job.priority or 1)
                jobs[place] = replace(job, priority=0)
                self._timeline.after(rng.expovariate(1 / (12 * HOUR)), self._release_hold, job.id, reason)
        elif twist < 0.055:
            begins = now + rng.uniform(0.1, 16) * HOUR
            for job in jobs:
                queue.begins[job.id] = begins
                self._timeline.at(begins, queue.recheck, job.id)
        elif twist < 0.10 and self._last.get(first.user) in queue.jobs:
            parent = self._last[first.user]
            for job in jobs:
                queue.parents[job.id] = parent
            queue.children.setdefault(parent, []).extend(job.id for job in jobs)
        elif twist < 0.105:
            limit = queue.site.partitions[first.partition or ""].limit_s
            for place, job in enumerate(jobs):
                jobs[place] = replace(job, time_limit_s=2 * limit)
                self._timeline.after(rng.uniform(1, 20) * HOUR, self._give_up, job.id)
        elif twist < 0.115 and len(jobs) == 1 and first.node_count == 1:
            self._require_host(first)
        elif twist < 0.12 and len(jobs) == 1 and first.partition == "gpu" and first.node_count == 1:
            later = [name for name, booking in queue.calendar.reservations.items() if not booking.maintenance]
            if later:
                queue.reservation_of[first.id] = later[0]
        for job in jobs:
            queue.add(job, sort)
        self._note(draft)

    def _require_host(self, job: Job) -> None:
        """Require one host by name, as users do who think that it is faster; often it is out of service."""
        out = [host.index for host in self._queue.site.hosts if host.reason and job.partition in host.partitions]
        if out:
            self._queue.required_host[job.id] = self._rng.choice(out)

    def _note(self, draft: Submission) -> None:
        first = draft.jobs[0]
        self._last[first.user] = first.id
        if not draft.batch:
            self._queue.interactive.update(job.id for job in draft.jobs)
        elif not draft.requeue:
            self._queue.not_requeueable.update(job.id for job in draft.jobs)

    def _release_hold(self, job_id: str, reason: str) -> None:
        """Release the hold, unless it was changed meanwhile."""
        if self._queue.holds.get(job_id, ("",))[0] == reason:
            self._queue.release(job_id)

    def _give_up(self, job_id: str) -> None:
        """Cancel a job that exceeds the time limit of its partition."""
        job = self._queue.jobs.get(job_id)
        if job is not None and job.reason == "PartitionTimeLimit":
            self._queue.end(job_id, "CANCELLED")
