"""Accounting records of the simulated cluster: jobs that ended, and out-of-service periods of nodes.

Events are recorded while the cluster runs. Records of the days before its start are generated on demand and agree with
the charts of those days: jobs that held the free GPUs then (`SensorHistory.held`) were tasks of arrays, and in some
hours without a job the node was drained.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from msgspec.structs import replace

from collectors.model import Job, JobAccount, LogTail, NodeEvent, PastJob, Step
from collectors.nodeset import expand
from collectors.sim.host import Host
from collectors.sim.plant.gpu_telemetry import gpu_usage
from collectors.sim.plant.site_layout import HOUR

from .job_queue import SimQueue, SimRun
from .workload import KINDS, USERS

Thing = TypeVar("Thing")

#: Length of a generated job of the days before the start, in seconds.
SHIFT_S = 5 * HOUR
#: Id of the last array before the start (the queue begins at 88,000), and how many arrays run at a time.
_LAST, _ARRAYS = 87_999, 16
#: Records kept per node and kind, and ended jobs kept for the whole cluster.
_OF_NODE, _OF_ALL = 64, 20_000
#: End states of generated jobs, each with its share per hundred; the rest is COMPLETED.
_END_STATES = (("FAILED", 9), ("TIMEOUT", 5), ("OUT_OF_MEMORY", 3), ("CANCELLED", 3))
#: Exit code and signal by end state, as Slurm shows them.
_CODES = {"FAILED": (1, 0), "OUT_OF_MEMORY": (0, 125), "CANCELLED": (0, 15), "NODE_FAIL": (0, 9)}
_REPAIRS = (
    ("NHC: check_gpu", "root"),
    ("Kill task failed", "slurm"),
    ("NHC: check_ib mlx5_3 link down", "root"),
    ("IB cable flaps port 2", "rvdberg"),
    ("GPU 5 remap failure, support case 00219811", "jdv"),
)


def append_bounded(of: dict[int, tuple[Thing, ...]], host: int, thing: Thing) -> None:
    """Append a record of a node and drop the oldest beyond the limit.

    Most nodes have one or two records: a deque for each of 12,000 nodes takes 0.8 kB, a tuple of one 48 bytes (Python
    3.11).
    """
    of[host] = (*of.get(host, ()), thing)[-_OF_NODE:]


class HeldGpus(Protocol):
    """What the sensors showed in the past."""

    def held(self, host: Host, at: int) -> Mapping[str, int]:
        """The jobs that ran on the node at that time, each with the bit set of its GPUs."""

    def silent(self, host: Host, at: int) -> bool:
        """True if the node was not sampled at that time."""


class AccountingRecords:
    """Records ended jobs and out-of-service periods."""

    def __init__(self, queue: SimQueue, history: HeldGpus) -> None:
        self._queue = queue
        self._history = history
        self._site = queue.site
        self._began = int(queue.timeline.now)
        self._on: dict[int, tuple[PastJob, ...]] = {}
        """Host index to the runs that ended there."""
        self._runs: dict[str, list[PastJob]] = {}
        self.ended: deque[PastJob] = deque()
        """All ended runs that are kept, oldest first."""
        self._open: dict[int, NodeEvent] = {}
        """Host index to its current out-of-service period."""
        self._over: dict[int, tuple[NodeEvent, ...]] = {}

    # -- recording ------------------------------------------------------------------------------------------

    def record_stop(self, job: Job, run: SimRun | None, state: str | None) -> None:
        """Record the end of a run; `state` None: the job is requeued."""
        hosts = [self._site.hosts[index] for index in run.hosts] if run is not None else []
        failed = next((host.name for host in hosts if host.down), None)
        ended, _, by = (state or ("NODE_FAIL" if failed else "REQUEUED")).partition(" by ")
        code, signal = _CODES.get(ended, (0, 0))
        made = replace(
            _of(job), state=ended, cancelled_by=by or None, ended=int(self._queue.timeline.now), exit_code=code,
            signal=signal, derived_code=code, derived_signal=0, failed_node=failed if ended == "NODE_FAIL" else None,
        )  # fmt: skip
        for host in hosts:
            append_bounded(self._on, host.index, made)
        self._runs.setdefault(job.id, []).append(made)
        self.ended.append(made)
        if len(self.ended) > _OF_ALL:
            oldest = self.ended.popleft().id
            del self._runs[oldest][0]
            if not self._runs[oldest]:
                del self._runs[oldest]

    def update_node(self, host: Host) -> None:
        """Record a change of a node's state or reason."""
        out = host.down or host.drain
        event = self._open.get(host.index)
        if not out and event is None:
            return
        state = "+".join(word for word, true in (("DOWN", host.down), ("DRAIN", host.drain)) if true)
        if event is not None:
            if (event.state, event.reason) == (state, host.reason):
                return
            ended = replace(self._open.pop(host.index), ended=int(self._queue.timeline.now))
            append_bounded(self._over, host.index, ended)
        if out:
            began = host.reason_at if host.reason_at is not None else int(self._queue.timeline.now)
            self._open[host.index] = NodeEvent(
                node=host.name, state=state, reason=host.reason, by=host.reason_by, began=began
            )

    # -- queries ----------------------------------------------------------------------------------------------

    def jobs(self, host: Host, since: int, most: int) -> list[PastJob]:
        """The runs that ended on a node since then, the last one first."""
        found = [run for run in reversed(self._on.get(host.index, ())) if (run.ended or 0) >= since]
        for shift in self._shifts(host, since):
            if len(found) >= most:
                break
            if (made := self._made(host, shift)) is not None:
                found.append(made)
        return found[:most]

    def events(self, host: Host, since: int) -> list[NodeEvent]:
        """Out-of-service periods of a node since `since`, newest first."""
        found = [event for event in self._over.get(host.index, ()) if (event.ended or 0) >= since]
        if host.index in self._open:
            found.append(self._open[host.index])
        for shift in self._shifts(host, since):
            start, draw = _start(host, shift), zlib.crc32(b"%d/%d" % (shift, host.index))
            if draw % 6 == 0 and not self._history.held(host, start + SHIFT_S - 1):
                reason, by = _REPAIRS[draw // 6 % len(_REPAIRS)]
                found.append(
                    NodeEvent(node=host.name, state="DRAIN", reason=reason, by=by, began=start, ended=start + SHIFT_S)
                )
        return sorted(found, key=lambda event: -event.began)

    def account(self, job: str) -> JobAccount | None:
        """The accounting of one job, None if it never existed."""
        runs = list(reversed(self._runs.get(job, ())))
        key = job
        if (alive := self._queue.jobs.get(job)) is not None:
            runs.insert(0, _of(alive))
        elif not runs:
            found = self._invented(job)
            if found is None:
                return None
            key, run = found
            runs = [run]
        return self._full(runs, key)

    def _full(self, runs: list[PastJob], key: str) -> JobAccount:
        run, util = runs[0], gpu_usage(key)[0]
        until = run.ended or int(self._queue.timeline.now)
        spent, draw = max(0, until - (run.started or until)), zlib.crc32(key.encode())
        home = f"/home/{run.user}/{(run.account or 'work').partition('-')[2]}"
        made = self._site.hardware
        alloc = float((run.cpus or 0) * (made.node_memory_mb // made.cpus // 1000 * 1000))
        full = run.state == "OUT_OF_MEMORY"
        started = run.started is not None
        hosts = [self._site.hosts[self._site.by_name[name]] for name in expand(run.nodes or "")] if run.nodes else []
        events = [
            event for host in hosts[:256] for event in self.events(host, run.started or until) if event.began <= until
        ]
        return JobAccount(
            run=run,
            earlier=tuple(runs[1:]),
            steps=_steps(run) if started else (),
            cpu_s=spent * (run.cpus or 0) * (20 + draw % 60) / 100 if started else None,
            memory_mb=(alloc if full else alloc * (15 + draw // 64 % 70) / 100) if started else None,
            memory_alloc_mb=alloc if started else None,
            gpu_util_pct=float(util) if started and run.gpus else None,
            working_dir=home,
            stdout=f"{home}/slurm-{run.id}.out",
            events=tuple(sorted(events, key=lambda event: -event.began)),
        )

    # -- generated records --------------------------------------------------------------------------------------------

    def _shifts(self, host: Host, since: int) -> Iterator[int]:
        """Shifts that ended before the cluster started, newest first."""
        shift = (self._began + host.index * 2711) // SHIFT_S - 1
        while _start(host, shift) + SHIFT_S >= since:
            yield shift
            shift -= 1

    def _made(self, host: Host, shift: int) -> PastJob | None:
        """The generated job that ended with this shift, None if there was none."""
        ended = _start(host, shift) + SHIFT_S
        if self._history.silent(host, ended - 1):
            return None
        bits = self._history.held(host, ended - 1).get(_key(host, shift))
        if bits is None:
            return None
        back = (self._began + host.index * 2711) // SHIFT_S - 1 - shift
        base = _LAST - _ARRAYS * back - host.index % _ARRAYS
        job, draw = f"{base}_{host.index}", zlib.crc32(b"%d" % base)
        user, account, _, _ = USERS[draw % len(USERS)]
        names = [name for kind in KINDS if kind.tasks[1] > 1 for name in kind.names]
        end = _end_state(zlib.crc32(job.encode()) % 100)
        code, signal = _CODES.get(end, (0, 0))
        return PastJob(
            id=job, name=names[draw // 32 % len(names)], user=user, account=account, partition=host.partitions[0],
            qos="normal", state=end, cancelled_by=user if end == "CANCELLED" else None, exit_code=code, signal=signal,
            derived_code=code, derived_signal=0, submitted=ended - SHIFT_S - 600 - draw % 7200,
            started=ended - SHIFT_S, ended=ended, time_limit_s=SHIFT_S if end == "TIMEOUT" else 2 * SHIFT_S,
            nodes=host.name, node_count=1, cpus=host.hardware.cpus_per_gpu * bits.bit_count(), gpus=bits.bit_count(),
        )  # fmt: skip

    def _invented(self, job: str) -> tuple[str, PastJob] | None:
        """The generated job of this id, with the key of its GPU usage."""
        base, _, task = job.partition("_")
        if not (base.isdecimal() and task.isdecimal()) or int(base) > _LAST or int(task) >= len(self._site.hosts):
            return None
        host = self._site.hosts[int(task)]
        back = (_LAST - int(base)) // _ARRAYS
        shift = (self._began + host.index * 2711) // SHIFT_S - 1 - back
        made = self._made(host, shift)
        return (_key(host, shift), made) if made is not None and made.id == job else None


def _of(job: Job) -> PastJob:
    """The accounting record of a job that has not ended."""
    return PastJob(
        id=job.id, name=job.name, user=job.user, account=job.account, partition=job.partition, qos=job.qos,
        state=job.state, submitted=job.submitted, started=job.started, time_limit_s=job.time_limit_s, nodes=job.nodes,
        node_count=job.node_count, cpus=job.cpus, gpus=job.gpus,
    )  # fmt: skip


def _steps(run: PastJob) -> tuple[Step, ...]:
    def step(id: str, name: str, state: str) -> Step:
        code, signal = _CODES.get(state, (0, 0))
        ended = None if run.ended is None else run.ended
        return Step(id=id, name=name, state=state, exit_code=code, signal=signal, started=run.started, ended=ended,
                    nodes=run.nodes, tasks=run.node_count if id == "0" else 1)  # fmt: skip

    own = "CANCELLED" if run.state in {"TIMEOUT", "NODE_FAIL", "REQUEUED"} else run.state
    return (step("batch", "batch", own), step("0", run.name, own))


def _start(host: Host, shift: int) -> int:
    return shift * SHIFT_S - host.index * 2711


def _key(host: Host, shift: int) -> str:
    return f"{shift}.{zlib.crc32(b'%d' % host.index)}"


def _end_state(draw: int) -> str:
    for state, share in _END_STATES:
        if draw < share:
            return state
        draw -= share
    return "COMPLETED"


def log_of(account: JobAccount, now: int) -> LogTail:
    """The output that a job would have written."""
    run = account.run
    ended = run.ended or now
    spent = max(0, ended - (run.started or ended))
    lines = [f"[{run.nodes}] {run.name}: {run.gpus or 0} GPUs, world size {run.gpus or 0}", "loading checkpoint … done"]
    steps = spent // 12
    draw = zlib.crc32(run.id.encode())
    for step in range(max(0, steps - 60), steps):
        loss = 1.7 + 6.0 / (1 + step / 40) + (draw * (step + 1) % 97) / 1000
        lines.append(f"step {step:>6}  loss {loss:.4f}  lr 3.0e-04  {11.2 + draw * step % 31 / 10:.1f} s/step")
    word = f"slurmstepd: error: *** JOB {run.id} ON {run.nodes} CANCELLED"
    lines += {
        "COMPLETED": ["saving checkpoint … done"],
        "FAILED": ["Traceback (most recent call last):", "RuntimeError: NCCL error: unhandled system error"],
        "TIMEOUT": [f"{word} DUE TO TIME LIMIT ***"],
        "NODE_FAIL": [f"{word} DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***"],
        "REQUEUED": [f"{word} DUE TO JOB REQUEUE ***"],
        "CANCELLED": [f"{word} ***"],
        "OUT_OF_MEMORY": [f"slurmstepd: error: Detected 1 oom_kill event in StepId={run.id}.batch."],
    }.get(run.state, [])
    size = sum(len(line) + 1 for line in lines)
    return LogTail(path=account.stdout or "", size=size, changed_at=ended, begins_at=0, lines=tuple(lines))
