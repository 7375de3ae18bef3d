"""The queue: one fenced `squeue`, one row a job or array task, an unchanged row keeping its Job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.clean import clean
from collectors.model import Job, SourceFault
from collectors.slurm.ask import ask, fence, fenced
from collectors.slurm.fields import duration_s, epoch, gres_gpus, integer, text_or_none, tres_gpus

#: Free text stands last, so that a `|` in it can only reach free text: without slurmdbd any user may submit with
#: `--account='ml|gpu|...'`, and squeue prints it as it is (24.11 and 26.05). Nothing that moves by itself (elapsed time)
#: is asked for: an unchanged row needs no new Job (100,000 rows: 0.04 s instead of 0.38 s).
COLUMNS = (
    "JobArrayID", "State", "UserName", "Partition", "QOS", "NumNodes", "NumCPUs", "NumTasks", "tres-alloc",
    "tres-per-node", "tres-per-job", "tres-per-task", "tres-per-socket", "RestartCnt", "PriorityLong", "SubmitTime",
    "StartTime", "TimeLimit", "NodeList", "Reason", "Account", "Name",
)  # fmt: skip

#: States whose StartTime is a forecast and whose GPUs are asked for, not held, whatever the node list says.
_WAITING = frozenset({
    "PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD", "EXPEDITING", "REVOKED",
})  # fmt: skip


def command(mark: str, ids: Sequence[str] = ()) -> list[str]:
    """The reading command: all jobs and tasks of all partitions, hidden ones too, or only those named."""
    wanted = ["-j", ",".join(ids)] if ids else []
    form = ",".join(f"{column}:|" for column in COLUMNS[:-1]) + f",{COLUMNS[-1]}:{mark}"
    return ["squeue", "-a", "-r", *wanted, "-O", form]


def row(raw: str) -> Job | None:
    """One raw row as a Job; None when it has too few fields to be one."""
    cells = raw.split("|", len(COLUMNS) - 1)
    if len(cells) != len(COLUMNS):
        return None
    (job, state, user, account, partition, qos, nodes_n, cpus, tres, per_node, per_job, restarts, priority, submitted,
     start, limit, nodes, reason, name) = cells  # fmt: skip
    if not job or not state:
        return None
    waiting = state in _WAITING
    node_count = integer(nodes_n)
    held = None if waiting else tres_gpus(tres)
    asked = _asked(tres, per_node, per_job, node_count)
    began = epoch(start)
    return Job(
        id=clean(job),
        name=clean(name),
        user=clean(user),
        account=_maybe(account),
        partition=_maybe(partition),
        qos=_maybe(qos),
        state=clean(state),
        reason=_maybe(reason),
        nodes=_maybe(nodes),
        node_count=node_count,
        cpus=integer(cpus),
        gpus=asked,
        gpus_held=None if waiting else (held if held is not None else asked),
        submitted=epoch(submitted),
        started=None if waiting else began,
        expected=began if waiting else None,
        time_limit_s=duration_s(limit),
        priority=integer(priority),
        restarts=integer(restarts),
    )


def _asked(tres: str, per_node: str, per_job: str, nodes: int | None) -> int | None:
    """GPUs that the job asks for: the TRES total where accounting fills it in, else per job, else per node x nodes."""
    total = tres_gpus(tres)
    if total is not None:
        return total
    if "gpu" in per_job:
        return gres_gpus(per_job)[0]
    if "gpu" in per_node:
        return None if nodes is None else gres_gpus(per_node)[0] * nodes
    return 0


def _maybe(value: str) -> str | None:
    return None if text_or_none(value) is None else clean(value)


class QueueReader:
    """Reads the queue; remembers the rows of the reading before, so that unchanged jobs stay the same objects."""

    def __init__(self) -> None:
        self._known: dict[str, Job] = {}

    def read(self, deadline_s: float) -> tuple[Mapping[str, Job], tuple[str, ...]]:
        """All jobs by id, and warnings about rows left out. Raises SourceFault."""
        mark = fence()
        argv = command(mark)
        return self.take(fenced(argv, mark, ask(argv, deadline_s), len(COLUMNS)))

    def take(self, rows: Sequence[str]) -> tuple[Mapping[str, Job], tuple[str, ...]]:
        """Turn raw rows into jobs. Raises SourceFault("malformed") when none of several rows can be read."""
        before, known, jobs, bad = self._known, {}, {}, 0
        for raw in rows:
            job = before.get(raw) or row(raw)
            if job is None:
                bad += 1
                continue
            known[raw] = job
            jobs[job.id] = job
        if bad and not jobs:
            raise SourceFault("malformed", f"squeue: none of {bad} rows can be read", "is this version of Slurm known?")
        self._known = known
        return jobs, ((f"{bad} rows of squeue could not be read",) if bad else ())
