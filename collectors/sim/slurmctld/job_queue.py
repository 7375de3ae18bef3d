"""The life of a job: submitted, waiting for a true reason, running, ended or queued again.

A pending job's reason says where it is kept. `Priority` and `Resources` stand in the line of their partition, which
the scheduler looks at; all others wait outside for what the reason names, and `settle` is the one place that decides.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from collectors.model import Job
from collectors.sim.plant.site_layout import Host, SimSite
from collectors.sim.timeline import Timeline

from .gpu_pool import GpuPool
from .reservation_calendar import Calendar

ELIGIBLE = frozenset({"Priority", "Resources"})
QOS_LIMIT = "QOSMaxGRESPerUser"
#: Slurm starts a requeued job no earlier than its credentials have expired (two minutes by default).
REQUEUE_WAIT_S = 121

Entry = tuple[int, int, str]
"""Minus the priority, the job's number, its id: sorted, the first is next."""


class SimRun(Struct, gc=False):
    """What is known of a job only while it runs. `token` tells this run from an earlier one of the same job."""

    hosts: tuple[int, ...]
    limit_at: float
    token: int
    ends: float = 0.0
    end_state: str = ""
    """When it ends, and how, if nobody interferes."""


class SimQueue:
    """All jobs alive, with the rows that Slurm shows of them. Rows that do not change stay the same objects."""

    def __init__(self, site: SimSite, pool: GpuPool, timeline: Timeline, calendar: Calendar, gpu_cap: int) -> None:
        self.site = site
        self.pool = pool
        self.timeline = timeline
        self.calendar = calendar
        self.gpu_cap = gpu_cap
        """GPUs that one user may hold at once in QOS normal."""
        self.jobs: dict[str, Job] = {}
        self.runs: dict[str, SimRun] = {}
        self.eligible: dict[str, list[Entry]] = {name: [] for name in site.partitions}
        self.limited: dict[str, dict[int, list[Entry]]] = {}
        """User to GPUs asked for to the jobs that would take more than the user may hold."""
        self.used: Counter[str] = Counter()
        """GPUs that a user holds in QOS normal."""
        self.begins: dict[str, float] = {}
        self.parents: dict[str, str] = {}
        self.children: dict[str, list[str]] = {}
        self.required_host: dict[str, int] = {}
        """Job to the one host it insists on."""
        self.reservation_of: dict[str, str] = {}
        """Job to the reservation it asked for."""
        self.holds: dict[str, tuple[str, int]] = {}
        """Job to why it is held and the priority that a release gives back."""
        self.nices: dict[str, int] = {}
        """Job to its nice value, where that is not 0."""
        self.excluded: dict[str, int] = {}
        """Job to the hosts that it must not run on, as a bit set."""
        self.suspended: dict[str, float] = {}
        """Job to since when its processes stand still."""
        self.interactive: set[str] = set()
        self.not_requeueable: set[str] = set()
        self.blocked_users: set[str] = set()
        """Users who may submit nothing."""
        self.wake: Callable[[], None] = lambda: None
        """Called when the scheduler has something to look at."""
        self.on_stop: Callable[[Job, SimRun | None, str | None], None] = lambda job, run, state: None
        """Called with a job that stops, while it still has its hosts: its run, None where it waited; its last state,
        None where it is queued again."""
        self.run_time: Callable[[int], tuple[float, str]] = lambda limit: (float(limit), "TIMEOUT")
        """Time limit to how long a job runs and how it ends."""
        self._tokens = 0
        self._freed: set[str] = set()
        """Users of whom less runs or waits than before."""

    # -- waiting ---------------------------------------------------------------------------------------------------

    def reason_of(self, job: Job) -> str:
        """Why this pending job is not even considered; `Priority` when it is."""
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
        """True when starting it would give its user more GPUs than one may hold."""
        return job.qos == "normal" and self.used[job.user] + (job.gpus or 0) > self.gpu_cap

    def add(self, job: Job, sort: bool = True) -> None:
        """A job is submitted. Without `sort` the lines must be sorted afterwards (building 100,000 at once)."""
        reason = self.reason_of(job)
        if reason != job.reason:
            job = replace(job, reason=reason)
        self.jobs[job.id] = job
        line = self._line(job)
        if line is not None:
            if sort:
                insort(line, entry(job))
                self.wake()
            else:
                line.append(entry(job))

    def recheck(self, job_id: str) -> None:
        """Find out again why this job waits, and put it where that is waited for. Others are left alone."""
        job = self.jobs.get(job_id)
        if job is None or job.state != "PENDING":
            return
        reason = self.reason_of(job)
        if reason == job.reason or (reason == "Priority" and job.reason in ELIGIBLE):
            return
        self._leave(job)
        self.add(replace(job, reason=reason, expected=None))

    def set_partition_state(self, partition: str, state: str) -> None:
        """Set the state of a partition, DOWN or UP: what runs goes on, what waits hears of it."""
        section = self.site.partitions[partition]
        section.row = replace(section.row, state=state)
        if state == "DOWN":
            # From the end of the line: taking the last out of a list of 100,000 moves none; and in its order back in.
            told = [job_id for _, _, job_id in reversed(self.eligible[partition])]
        else:
            kept = [one for one in self.jobs.values() if one.reason == "PartitionDown" and one.partition == partition]
            told = [one.id for one in sorted(kept, key=entry)]
        for job_id in told:
            self.recheck(job_id)
        self.wake()

    def set_reason(self, job: Job, reason: str, expected: int | None) -> None:
        """Let a job in line say why it waits and when it is expected to start; nothing when it says so already."""
        if job.reason != reason or job.expected != expected:
            self.jobs[job.id] = replace(job, reason=reason, expected=expected)

    def _line(self, job: Job) -> list[Entry] | None:
        """Where a job with this reason stands, None outside."""
        if job.reason in ELIGIBLE:
            return self.eligible[job.partition or ""]
        if job.reason == QOS_LIMIT:
            return self.limited.setdefault(job.user, {}).setdefault(job.gpus or 0, [])
        return None

    def _leave(self, job: Job) -> None:
        line = self._line(job)
        if line is not None:
            del line[bisect_left(line, entry(job))]
            # Those behind it may have another reason to wait now.
            self._freed.add(job.user)
            self.wake()

    # -- running ---------------------------------------------------------------------------------------------------

    def start(self, job: Job, indices: list[int], started: float, ends: float, end_state: str) -> None:
        """It gets these hosts. `ends` and `end_state` say what comes of it if nobody interferes."""
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
        """It leaves the queue in this last state ("CANCELLED by alice", where it is known by whom), and those that
        waited for it hear of it."""
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
                # afterok can no longer be met, and the site cancels such jobs (kill_invalid_depend).
                self.end(child, "CANCELLED")

    def node_failed(self, job_id: str) -> None:
        """One of its nodes died: batch jobs that may be requeued are, as JobRequeue=1 does; others end."""
        if job_id in self.interactive or job_id in self.not_requeueable:
            self.end(job_id, "NODE_FAIL")
        else:
            self.requeue(job_id)

    def requeue(self, job_id: str, held: str | None = None) -> None:
        """Kill the work of a running job and queue it again, held for the reason `held` where that is given."""
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
            self._freed.add(job.user)
        self.wake()

    def admit_limited(self) -> None:
        """Let the jobs into the line that fit under their user's limit since something of that user ended."""
        for user in sorted(self._freed & self.limited.keys()):
            room = self.gpu_cap - self.used[user]
            while fits := [(line[0], gpus) for gpus, line in self.limited[user].items() if line and gpus <= room]:
                (_, _, job_id), gpus = min(fits)
                room -= gpus
                self.recheck(job_id)
        self._freed.clear()

    # -- holding ---------------------------------------------------------------------------------------------------

    def hold(self, job_id: str, reason: str) -> None:
        """Priority 0 until it is released. A running job goes on; the hold counts once it is queued again."""
        job = self.jobs[job_id]
        prior = self.holds[job_id][1] if job_id in self.holds else job.priority or 1
        self.holds[job_id] = (reason, prior)
        self._reprioritise(job, 0)

    def release(self, job_id: str) -> None:
        """Give a held job its priority back; nothing for one that is not held."""
        held = self.holds.pop(job_id, None)
        if held is not None:
            self._reprioritise(self.jobs[job_id], held[1])

    def set_priority(self, job_id: str, priority: int) -> None:
        """Another place in the line; of a running job only the figure changes."""
        self._reprioritise(self.jobs[job_id], priority)

    def _reprioritise(self, job: Job, priority: int) -> None:
        self.update(job.id, priority=priority)

    # -- changing --------------------------------------------------------------------------------------------------

    def update(self, job_id: str, **new: Any) -> None:
        """Another partition, QOS, priority or time limit; one that waits finds its place anew."""
        old = self.jobs[job_id]
        if old.state != "PENDING":
            self.jobs[job_id] = replace(old, **new)
            return
        self._leave(old)
        self.add(replace(old, **new, expected=None))

    def set_time_limit(self, job_id: str, seconds: int) -> None:
        """Another time limit: a job that runs ends by it, at once where it has passed."""
        self.update(job_id, time_limit_s=seconds)
        run = self.runs.get(job_id)
        if run is None:
            return
        run.limit_at = (self.jobs[job_id].started or 0) + seconds
        if run.end_state == "TIMEOUT" or run.ends > run.limit_at:
            run.ends, run.end_state = run.limit_at, "TIMEOUT"
        self._reschedule_end(job_id, run)

    def set_nice(self, job_id: str, value: int) -> None:
        """Later in the line by so much, or sooner: a held job will be once it is released."""
        by = value - self.nices.get(job_id, 0)
        self.nices[job_id] = value
        if job_id in self.holds:
            reason, prior = self.holds[job_id]
            self.holds[job_id] = (reason, max(1, prior - by))
        else:
            self.update(job_id, priority=max(1, (self.jobs[job_id].priority or 1) - by))

    def exclude(self, job_id: str, mask: int) -> None:
        """Keep it off these hosts."""
        self.excluded[job_id] = mask
        self.update(job_id)

    def suspend(self, job_id: str) -> None:
        """Its processes stand still, with all that they hold; its time does too."""
        self.suspended[job_id] = self.timeline.now
        self._tokens += 1
        self.runs[job_id].token = self._tokens
        self.update(job_id, state="SUSPENDED")

    def unsuspend(self, job_id: str) -> None:
        """Its processes go on, and its time."""
        run, stood = self.runs[job_id], self.timeline.now - self.suspended.pop(job_id)
        run.ends, run.limit_at = run.ends + stood, run.limit_at + stood
        self.update(job_id, state="RUNNING")
        self._reschedule_end(job_id, run)

    def detailed(self, job_id: str) -> Job:
        """Its row, with what Slurm tells only of a job that it is asked for."""
        mask = self.excluded.get(job_id, 0)
        excluded = self.site.fold(index for index in range(mask.bit_length()) if mask >> index & 1) if mask else ""
        return replace(self.jobs[job_id], nice=self.nices.get(job_id, 0), excluded=excluded)

    def _reschedule_end(self, job_id: str, run: SimRun) -> None:
        """Let it end when it now should; one that hangs does not."""
        for index in run.hosts:
            self._free_at(self.site.hosts[index])
        if run.token >= 0 and job_id not in self.suspended:
            self._tokens += 1
            run.token = self._tokens
            self.timeline.at(max(run.ends, self.timeline.now), self._finish, job_id, run.token, run.end_state)

    def _free_at(self, host: Host) -> None:
        host.free_at = max((self.runs[other].limit_at for other in host.jobs), default=0.0)


def entry(job: Job) -> Entry:
    """Its place in a line: by priority, then by number."""
    base, _, task = job.id.partition("_")
    return (-(job.priority or 0), (int(base) << 20) + int(task or 0), job.id)
