"""The job queue: jobs are submitted, wait for a true reason, run, end or are requeued.

The reason of a pending job says where it is kept: `Priority` and `Resources` in the sorted queue of its partition,
which the scheduler reads; all others outside it. `recheck` is the one place that decides.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from collectors.model import Job
from collectors.sim.host import Host
from collectors.sim.plant.site_layout import SimSite
from collectors.sim.timeline import Timeline

from .gpu_pool import GpuPool
from .reservation_calendar import Calendar

ELIGIBLE = frozenset({"Priority", "Resources"})
QOS_LIMIT = "QOSMaxGRESPerUser"
#: Seconds before a requeued job may start: its credentials must have expired (two minutes by default).
REQUEUE_WAIT_S = 121

Entry = tuple[int, int, str]
"""Sort key in a queue: negative priority, job number, job id."""


class SimRun(Struct, gc=False):
    """State of a running job. `token` distinguishes this run from earlier ones of the same job."""

    hosts: tuple[int, ...]
    limit_at: float
    token: int
    ends: float = 0.0
    end_state: str = ""
    """When and how it ends without intervention."""


class SimQueue:
    """All running and pending jobs as Slurm shows them. An unchanged row is the same object."""

    def __init__(self, site: SimSite, pool: GpuPool, timeline: Timeline, calendar: Calendar, gpu_cap: int) -> None:
        self.site = site
        self.pool = pool
        self.timeline = timeline
        self.calendar = calendar
        self.gpu_cap = gpu_cap
        """GPUs that one user may hold in QOS normal."""
        self.jobs: dict[str, Job] = {}
        self.runs: dict[str, SimRun] = {}
        self.eligible: dict[str, list[Entry]] = {name: [] for name in site.partitions}
        self.limited: dict[str, dict[int, list[Entry]]] = {}
        """User to requested GPUs to the jobs that exceed the user's limit."""
        self.used: Counter[str] = Counter()
        """GPUs that each user holds in QOS normal."""
        self.begins: dict[str, float] = {}
        self.parents: dict[str, str] = {}
        self.children: dict[str, list[str]] = {}
        self.required_host: dict[str, int] = {}
        """Job to the one host that it requires."""
        self.reservation_of: dict[str, str] = {}
        """Job to the reservation that it requests."""
        self.holds: dict[str, tuple[str, int]] = {}
        """Job to the reason of its hold and the priority that a release restores."""
        self.nices: dict[str, int] = {}
        """Job to its nice value, if not 0."""
        self.excluded: dict[str, int] = {}
        """Job to its excluded hosts, as a bit set."""
        self.suspended: dict[str, float] = {}
        """Job to the time since when it is suspended."""
        self.interactive: set[str] = set()
        self.not_requeueable: set[str] = set()
        self.blocked_users: set[str] = set()
        """Users who may not submit jobs."""
        self.wake: Callable[[], None] = lambda: None
        """Called after a change that the scheduler must look at."""
        self.on_stop: Callable[[Job, SimRun | None, str | None], None] = lambda job, run, state: None
        """Called when a job stops, while it still has its hosts: its run, None if it was pending; its end state,
        None if it is requeued."""
        self.run_time: Callable[[int], tuple[float, str]] = lambda limit: (float(limit), "TIMEOUT")
        """Time limit in seconds to the run time and the end state of a job."""
        self._tokens = 0
        self._freed_users: set[str] = set()
        """Users with fewer running or pending jobs than before."""

    # -- waiting ---------------------------------------------------------------------------------------------------

    def reason_of(self, job: Job) -> str:
        """The pending reason; `Priority` if the scheduler considers the job."""
        if job.id in self.holds:
            return self.holds[job.id][0]
        if self.parents.get(job.id) in self.jobs:
            return "Dependency"
        if self.begins.get(job.id, 0.0) > self.timeline.now:
            return "BeginTime"
        section = self.site.partitions[job.partition or ""]
        if section.row.state == "DOWN":
            return "PartitionDown"
        if (job.time_limit_s or 0) > section.limit_s:
            return "PartitionTimeLimit"
        need = self.required_host.get(job.id)
        if need is not None and not self.site.hosts[need].usable:
            return f"ReqNodeNotAvail, UnavailableNodes:{self.site.hosts[need].name}"
        if job.id in self.reservation_of and not self.calendar.active(self.reservation_of[job.id]):
            return "Reservation"
        if self.over_gpu_cap(job):
            return QOS_LIMIT
        return "Priority"

    def over_gpu_cap(self, job: Job) -> bool:
        """True if starting the job would exceed its user's GPU limit."""
        return job.qos == "normal" and self.used[job.user] + (job.gpus or 0) > self.gpu_cap

    def add(self, job: Job, sort: bool = True) -> None:
        """Add a job. Without `sort` the caller sorts the queues afterwards (for 100,000 jobs at once)."""
        reason = self.reason_of(job)
        if reason != job.reason:
            job = replace(job, reason=reason)
        self.jobs[job.id] = job
        entries = self._list_of(job)
        if entries is not None:
            if sort:
                insort(entries, entry(job))
                self.wake()
            else:
                entries.append(entry(job))

    def recheck(self, job_id: str) -> None:
        """Recompute the reason of a pending job and move it accordingly. Other jobs are unchanged."""
        job = self.jobs.get(job_id)
        if job is None or job.state != "PENDING":
            return
        reason = self.reason_of(job)
        if reason == job.reason or (reason == "Priority" and job.reason in ELIGIBLE):
            return
        self._leave(job)
        self.add(replace(job, reason=reason, expected=None))

    def set_partition_state(self, partition: str, state: str) -> None:
        """Set a partition's state, DOWN or UP: running jobs continue, the reasons of pending ones change."""
        section = self.site.partitions[partition]
        section.row = replace(section.row, state=state)
        if state == "DOWN":
            # From the end: removing the last entry of a list of 100,000 moves none. And back in, in order.
            affected = [job_id for _, _, job_id in reversed(self.eligible[partition])]
        else:
            kept = [one for one in self.jobs.values() if one.reason == "PartitionDown" and one.partition == partition]
            affected = [one.id for one in sorted(kept, key=entry)]
        for job_id in affected:
            self.recheck(job_id)
        self.wake()

    def set_reason(self, job: Job, reason: str, expected: int | None) -> None:
        """Set the reason and the expected start of an eligible job, if they differ."""
        if job.reason != reason or job.expected != expected:
            self.jobs[job.id] = replace(job, reason=reason, expected=expected)

    def _list_of(self, job: Job) -> list[Entry] | None:
        """The list that holds a job with this reason, None if there is none."""
        if job.reason in ELIGIBLE:
            return self.eligible[job.partition or ""]
        if job.reason == QOS_LIMIT:
            return self.limited.setdefault(job.user, {}).setdefault(job.gpus or 0, [])
        return None

    def _leave(self, job: Job) -> None:
        entries = self._list_of(job)
        if entries is not None:
            del entries[bisect_left(entries, entry(job))]
            # The jobs behind it may have another reason now.
            self._freed_users.add(job.user)
            self.wake()

    # -- running ---------------------------------------------------------------------------------------------------

    def start(self, job: Job, indices: list[int], started: float, ends: float, end_state: str) -> None:
        """Start a job on these hosts. `ends` and `end_state` say when and how it ends without intervention."""
        self._leave(job)
        self._tokens += 1
        limit_at = started + (job.time_limit_s or 0)
        self.runs[job.id] = SimRun(tuple(sorted(indices)), limit_at, self._tokens, ends, end_state)
        self.pool.allocate(job.id, indices, (job.gpus or 0) // len(indices), limit_at)
        if job.qos == "normal":
            self.used[job.user] += job.gpus or 0
        self.jobs[job.id] = replace(
            job,
            state="RUNNING",
            reason=None,
            nodes=self.site.fold(indices),
            gpus_held=job.gpus,
            started=int(started),
            expected=None,
        )
        self.timeline.at(ends, self._finish, job.id, self._tokens, end_state)

    def _finish(self, job_id: str, token: int, end_state: str) -> None:
        run = self.runs.get(job_id)
        if run is not None and run.token == token:
            self.end(job_id, f"{end_state} by {self.jobs[job_id].user}" if end_state == "CANCELLED" else end_state)

    def end(self, job_id: str, state: str) -> None:
        """Remove a job with this end state ("CANCELLED by alice" if the user is known), and recheck its dependents."""
        job = self.jobs[job_id]
        if job_id in self.runs:
            self._stop(job, state)
        else:
            self._leave(job)
            self.on_stop(job, None, state)
        del self.jobs[job_id]
        for side in (
            self.begins,
            self.parents,
            self.required_host,
            self.reservation_of,
            self.holds,
            self.nices,
            self.excluded,
        ):
            side.pop(job_id, None)
        self.interactive.discard(job_id)
        self.not_requeueable.discard(job_id)
        for child in self.children.pop(job_id, ()):
            if child not in self.jobs or self.parents.get(child) != job_id:
                continue
            if state == "COMPLETED":
                del self.parents[child]
                self.recheck(child)
            else:
                # afterok can no longer be satisfied: the site cancels such jobs (kill_invalid_depend).
                self.end(child, "CANCELLED")

    def node_failed(self, job_id: str) -> None:
        """Handle the failure of a node of this job: requeue it if allowed (JobRequeue=1), else end it."""
        if job_id in self.interactive or job_id in self.not_requeueable:
            self.end(job_id, "NODE_FAIL")
        else:
            self.requeue(job_id)

    def requeue(self, job_id: str, held: str | None = None) -> None:
        """Requeue a running job, held for the reason `held` if given."""
        job = self.jobs[job_id]
        self._stop(job, None)
        now = self.timeline.now
        if held is not None and job_id not in self.holds:
            self.holds[job_id] = (held, job.priority or 1)
        self.begins[job_id] = now + REQUEUE_WAIT_S
        self.timeline.at(now + REQUEUE_WAIT_S, self.recheck, job_id)
        self.add(
            replace(
                job,
                state="PENDING",
                reason=None,
                nodes=None,
                gpus_held=None,
                submitted=int(now),
                started=None,
                priority=0 if job_id in self.holds else job.priority,
                restarts=(job.restarts or 0) + 1,
            )
        )

    def _stop(self, job: Job, state: str | None) -> None:
        run = self.runs.pop(job.id)
        self.suspended.pop(job.id, None)
        self.on_stop(job, run, state)
        for host in self.pool.release(job.id, run.hosts, self.timeline.now):
            self._free_at(host)
        if job.qos == "normal":
            self.used[job.user] -= job.gpus or 0
            self._freed_users.add(job.user)
        self.wake()

    def admit_limited(self) -> None:
        """Move jobs into the queue that fit their user's limit again."""
        for user in sorted(self._freed_users & self.limited.keys()):
            room = self.gpu_cap - self.used[user]
            while fits := [
                (entries[0], gpus) for gpus, entries in self.limited[user].items() if entries and gpus <= room
            ]:
                (_, _, job_id), gpus = min(fits)
                room -= gpus
                self.recheck(job_id)
        self._freed_users.clear()

    # -- holding ---------------------------------------------------------------------------------------------------

    def hold(self, job_id: str, reason: str) -> None:
        """Hold a job: priority 0 until released. A running job continues; the hold counts when it is requeued."""
        job = self.jobs[job_id]
        prior = self.holds[job_id][1] if job_id in self.holds else job.priority or 1
        self.holds[job_id] = (reason, prior)
        self._reprioritise(job, 0)

    def release(self, job_id: str) -> None:
        """Release a held job and restore its priority. Does nothing if it is not held."""
        held = self.holds.pop(job_id, None)
        if held is not None:
            self._reprioritise(self.jobs[job_id], held[1])

    def set_priority(self, job_id: str, priority: int) -> None:
        """Set the priority. A running job only shows it."""
        self._reprioritise(self.jobs[job_id], priority)

    def _reprioritise(self, job: Job, priority: int) -> None:
        self.update(job.id, priority=priority)

    # -- changing --------------------------------------------------------------------------------------------------

    def update(self, job_id: str, **new: Any) -> None:
        """Change partition, QOS, priority or time limit; a pending job gets a new position."""
        old = self.jobs[job_id]
        if old.state != "PENDING":
            self.jobs[job_id] = replace(old, **new)
            return
        self._leave(old)
        self.add(replace(old, **new, expected=None))

    def set_time_limit(self, job_id: str, seconds: int) -> None:
        """Set the time limit: a running job ends by it, at once if it has passed."""
        self.update(job_id, time_limit_s=seconds)
        run = self.runs.get(job_id)
        if run is None:
            return
        run.limit_at = (self.jobs[job_id].started or 0) + seconds
        if run.end_state == "TIMEOUT" or run.ends > run.limit_at:
            run.ends, run.end_state = run.limit_at, "TIMEOUT"
        self._reschedule_end(job_id, run)

    def set_nice(self, job_id: str, value: int) -> None:
        """Set the nice value: the priority changes by the difference, of a held job the priority after its release."""
        by = value - self.nices.get(job_id, 0)
        self.nices[job_id] = value
        if job_id in self.holds:
            reason, prior = self.holds[job_id]
            self.holds[job_id] = (reason, max(1, prior - by))
        else:
            self.update(job_id, priority=max(1, (self.jobs[job_id].priority or 1) - by))

    def exclude(self, job_id: str, mask: int) -> None:
        """Set the hosts that the job must not use."""
        self.excluded[job_id] = mask
        self.update(job_id)

    def suspend(self, job_id: str) -> None:
        """Suspend a job: it keeps its resources, and its run time stops."""
        self.suspended[job_id] = self.timeline.now
        self._tokens += 1
        self.runs[job_id].token = self._tokens
        self.update(job_id, state="SUSPENDED")

    def unsuspend(self, job_id: str) -> None:
        """Resume a suspended job."""
        run, stood = self.runs[job_id], self.timeline.now - self.suspended.pop(job_id)
        run.ends, run.limit_at = run.ends + stood, run.limit_at + stood
        self.update(job_id, state="RUNNING")
        self._reschedule_end(job_id, run)

    def detailed(self, job_id: str) -> Job:
        """The job with fields that Slurm only shows for single jobs: nice and excluded nodes."""
        mask = self.excluded.get(job_id, 0)
        excluded = self.site.fold(index for index in range(mask.bit_length()) if mask >> index & 1) if mask else ""
        return replace(self.jobs[job_id], nice=self.nices.get(job_id, 0), excluded=excluded)

    def _reschedule_end(self, job_id: str, run: SimRun) -> None:
        """Schedule the end of a run anew; a hung one does not end."""
        for index in run.hosts:
            self._free_at(self.site.hosts[index])
        if run.token >= 0 and job_id not in self.suspended:
            self._tokens += 1
            run.token = self._tokens
            self.timeline.at(max(run.ends, self.timeline.now), self._finish, job_id, run.token, run.end_state)

    def _free_at(self, host: Host) -> None:
        host.free_at = max((self.runs[other].limit_at for other in host.jobs), default=0.0)


def entry(job: Job) -> Entry:
    """The sort key of a job: priority, then number."""
    base, _, task = job.id.partition("_")
    return (-(job.priority or 0), (int(base) << 20) + int(task or 0), job.id)
