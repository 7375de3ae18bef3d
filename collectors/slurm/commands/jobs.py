"""The queue: one fenced `squeue`, one row for each job or array task; an unchanged row keeps its Job object."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from heapq import nsmallest
from operator import itemgetter

from msgspec.structs import replace

from collectors.clean import clean
from collectors.model import Job, SourceFault
from collectors.nodeset import expand
from collectors.shared_readings import CommandRunner
from collectors.slurm.fields import duration_s, epoch, integer, requested_gpus, signed, tres_gpus

from . import controller
from .read_command import ask_blocks, fence, value_or_none

#: Free text comes last, so that a `|` in it can only affect free text: without slurmdbd any user may submit with
#: `--account='ml|gpu|...'`, and squeue prints it as it is (24.11 and 26.05). Fields that change constantly (elapsed
#: time) are not requested: an unchanged row needs no new Job (100,000 rows: 0.04 s instead of 0.38 s).
COLUMNS = (
    "JobArrayID", "State", "UserName", "Partition", "QOS", "NumNodes", "NumCPUs", "NumTasks", "tres-alloc",
    "tres-per-node", "tres-per-job", "tres-per-task", "tres-per-socket", "Sockets", "RestartCnt", "PriorityLong",
    "SubmitTime", "StartTime", "TimeLimit", "NodeList", "Reason", "Account", "Name",
)  # fmt: skip

#: Additional fields of jobs read by name: an operator may change them, and the poll should not pay for them.
NAMED = (*COLUMNS[:-2], "Nice", "ExcNodes", *COLUMNS[-2:])

#: Jobs whose GPUs are counted individually in a reading, polled or by name: those with `--gpus-per-socket` if Slurm has
#: no TRES of GPUs.
_COUNTED_A_READING = 8
#: Readings after which an unanswered count is repeated: first, and at most after doublings.
_AGAIN, _AGAIN_MOST = 2, 64

#: States whose StartTime is a forecast and whose GPUs are requested, not held, whatever the node list says.
WAITING = frozenset({
    "PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD", "EXPEDITING", "REVOKED",
})  # fmt: skip


def command(mark: str, ids: Sequence[str] = (), nodes: str = "", reservation: str = "") -> list[str]:
    """The read command: all jobs and tasks of all partitions, hidden ones too; or the named ones, those on these nodes,
    or those of this reservation."""
    wanted = ["-j", ",".join(ids)] if ids else ["-w", nodes] if nodes else ["-R", reservation] if reservation else []
    columns = NAMED if ids else COLUMNS
    form = ",".join(f"{column}:|" for column in columns[:-1]) + f",{columns[-1]}:{mark}"
    return ["squeue", "-a", "-r", *wanted, "-O", form]


def named(raw: str) -> Job | None:
    """One raw row of a read by name; None if it has too few fields."""
    cells = raw.split("|", len(NAMED) - 1)
    if len(cells) != len(NAMED):
        return None
    at = len(COLUMNS) - 2
    made = row("|".join((*cells[:at], *cells[at + 2 :])))
    nice, excluded = cells[at : at + 2]
    return made and replace(made, nice=signed(nice), excluded=value_or_none(excluded) or "")


def row(raw: str) -> Job | None:
    """One raw row as a Job; None if it has too few fields."""
    cells = raw.split("|", len(COLUMNS) - 1)
    if len(cells) != len(COLUMNS):
        return None
    (job, state, user, partition, qos, nodes_n, cpus, tasks, tres, per_node, per_job, per_task, per_socket, sockets,
     restarts, priority, submitted, start, limit, nodes, reason, account, name) = cells  # fmt: skip
    if not job or not state:
        return None
    waiting = not nodes or state in WAITING
    # A job may get fewer of the requested sockets on some nodes (25.11.7: 6 GPUs of 8): see `with_held`.
    gpus = gpus_of(tres, per_node, per_job, per_task, per_socket, nodes_n, tasks, sockets if waiting else "")
    began = epoch(start)
    return Job(
        id=clean(job),
        name=clean(name),
        user=value_or_none(user) or user,
        account=value_or_none(account),
        partition=value_or_none(partition),
        qos=value_or_none(qos),
        state=value_or_none(state) or state,
        reason=value_or_none(reason),
        nodes=clean(nodes) if nodes else None,
        node_count=integer(nodes_n),
        cpus=integer(cpus),
        gpus=gpus,
        gpus_held=None if waiting else gpus,
        submitted=epoch(submitted),
        started=None if waiting else began,
        expected=began if waiting else None,
        time_limit_s=duration_s(limit),
        unlimited=limit == "UNLIMITED",
        priority=integer(priority),
        restarts=integer(restarts),
    )


@lru_cache(maxsize=16_384)
def gpus_of(
    tres: str, per_node: str, per_job: str, per_task: str, per_socket: str, nodes: str, tasks: str, sockets: str
) -> int | None:
    """GPUs that the job requests or holds: the TRES total if accounting sets it, else the request: in all, per node,
    per task, or per socket (`sockets` of each node). None if a count is missing."""
    total = tres_gpus(tres)
    if total is not None:
        return total
    if "gpu" in per_job:
        return requested_gpus(per_job)
    for requested, counts in ((per_node, (nodes,)), (per_task, (tasks,)), (per_socket, (nodes, sockets))):
        if "gpu" in requested:
            known = [count for count in map(integer, counts) if count is not None]
            return math.prod((requested_gpus(requested), *known)) if len(known) == len(counts) else None
    return 0


def lacks_gpu_count(job: Job) -> bool:
    """Whether it holds GPUs whose number its row does not contain."""
    return job.gpus is None and job.nodes is not None and job.state not in WAITING


def with_held_gpus(jobs: Iterable[Job], deadline_s: float) -> dict[str, Job]:
    """These jobs by id, with counted GPUs for the first few whose rows lack the number; the others stay unknown, since
    each is a request to the controller and a person waits for the answer."""
    found = {job.id: job for job in jobs}
    for job in [job for job in found.values() if lacks_gpu_count(job)][:_COUNTED_A_READING]:
        found[job.id] = with_held(job, deadline_s)
    return found


def with_held(job: Job, deadline_s: float) -> Job:
    """The job with the number of its GPUs, counted with one request if its row lacks it. The same object if nothing was
    asked or answered."""
    if not lacks_gpu_count(job):
        return job
    try:
        indices = controller.job_detail(job.id, deadline_s).gpu_indices
        held = sum(len(expand(f"[{one}]")) for one in indices.values()) or None
    except (SourceFault, ValueError):
        return job
    return replace(job, gpus=held, gpus_held=held)


class QueueReader:
    """Reads the queue; remembers the rows of the last reading, so that unchanged jobs stay the same objects."""

    def __init__(self, run: CommandRunner | None = None) -> None:
        self._run = run
        self._known: dict[str, Job] = {}
        self._jobs: Mapping[str, Job] = {}
        self._readings = 0
        self._uncounted: dict[str, tuple[int, int]] = {}
        """Rows whose job's GPUs are still to be counted: from which reading on, and how many to wait after that where
        nothing answers."""

    def read(self, deadline_s: float) -> tuple[Mapping[str, Job], tuple[str, ...]]:
        """All jobs by id, and warnings about rows left out. Raises SourceFault."""
        mark = fence()
        warnings = self.take(ask_blocks(command(mark), mark, deadline_s, len(COLUMNS), self._run))[1]
        self._count(deadline_s)
        return self._jobs, warnings

    def _count(self, deadline_s: float) -> None:
        """Count the GPUs of a few jobs whose rows lack the number, longest waiting first. An unanswered count is
        repeated at growing intervals."""
        due = [(when, raw) for raw, (when, _) in self._uncounted.items() if when <= self._readings]
        told: dict[str, Job] = {}
        for _, raw in nsmallest(_COUNTED_A_READING, due, key=itemgetter(0)):
            job = self._known[raw]
            held = with_held(job, deadline_s)
            if held is job:
                wait = self._uncounted[raw][1]
                self._uncounted[raw] = (self._readings + wait, min(2 * wait, _AGAIN_MOST))
            else:
                del self._uncounted[raw]
                self._known[raw] = told[held.id] = held
        if told:
            self._jobs = {**self._jobs, **told}

    def take(self, blocks: Iterable[Sequence[str]]) -> tuple[Mapping[str, Job], tuple[str, ...]]:
        """Turn raw rows, some at a time, into jobs. Raises SourceFault("malformed") if none of several is readable.

        No call here works on all rows at once, and known rows are kept instead of rebuilt: either would block the
        keyboard's thread (100,000 rows, 2 cores: 225 ms in one call before, 5 ms now).
        """
        every: list[list[Job | None]] = []
        fresh: dict[str, Job] = {}
        met: set[int] = set()
        for rows in blocks:
            made: list[Job | None] = list(map(self._known.get, rows))
            met.update(map(id, made))
            for at in [at for at, job in enumerate(made) if job is None]:
                made[at] = one = fresh.get(rows[at]) or row(rows[at])
                if one is not None:
                    fresh[rows[at]] = one
            every.append(made)
        bad = sum(made.count(None) for made in every)
        if bad and bad == sum(map(len, every)):
            raise SourceFault("malformed", f"squeue: none of {bad} rows can be read", "is this version of Slurm known?")
        self._readings += 1
        gone = [raw for raw, job in self._known.items() if id(job) not in met]
        if fresh or gone:
            for raw in gone:
                del self._known[raw]
                self._uncounted.pop(raw, None)
            self._known.update(fresh)
            self._uncounted |= {raw: (self._readings, _AGAIN) for raw, job in fresh.items() if lacks_gpu_count(job)}
            self._jobs = {job.id: job for made in every for job in made if job is not None}
        return self._jobs, ((f"{bad} rows of squeue could not be read",) if bad else ())
