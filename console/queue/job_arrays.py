"""The queue as a person looks at it: the tasks of an array as one row, and trouble first. Pure.

Slurm lists an array by its tasks, so one submission can be 100,000 rows. Folding and sorting walk over all of them:
they run in the thread that made the Cluster, and what did not change is the same object as before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import is_

from collectors.jobstate import ENDED, WAITING, held, job_word
from collectors.model import Cluster, Job
from console.runtime.memo import remembered

#: Display words of nodes whose running jobs are probably lost.
_LOST = frozenset({"down", "failed", "invalid", "unknown"})
_BROKEN = frozenset({"NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "DEADLINE",
                     "SUSPENDED", "STOPPED"})  # fmt: skip
#: Reasons of a wait that does not end by itself, and that its owner did not ask for.
_STUCK = frozenset({"JobHoldMaxRequeue", "job requeued in held state", "launch failed requeued held",
                    "DependencyNeverSatisfied", "BadConstraints", "InvalidAccount", "InvalidQOS"})  # fmt: skip
_MOST_WEIGHT, _MOST_ID = (1 << 32) - 1, (1 << 34) - 1
#: Characters of the tasks in a label; longer lists are shown as their ends.
_LABEL_CHARS = 12
#: Most tasks with nodes that are named in the row of an array.
MAX_PLACED = 200


class JobArray(Job, frozen=True, gc=False, kw_only=True):
    """The tasks of an array as one row with the fields of a job: `id` names the tasks (`101_[0-9]`), GPUs and nodes are
    the sum over the tasks in the leading state, times are of the task that ends or starts first."""

    kinds: tuple[tuple[str, str | None, int], ...]
    """Word of the state, reason and number of the tasks that are alike, the leading state first."""
    is_open: bool = False
    """Whether its tasks are shown below it."""
    tasks: tuple[Job, ...]
    """In the order of their numbers."""
    samples: tuple[Job, ...] = ()
    """A task of each of `kinds`: an action that is refused on one is refused on all that are alike, so that the event
    loop judges a few tasks and not 100,000."""
    placed: tuple[str, ...] = ()
    """The ids of the first `MAX_PLACED` tasks that have nodes."""

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """Word of each state and its number of tasks, the leading state first."""
        found: Counter[str] = Counter()
        for word, _, number in self.kinds:
            found[word] += number
        return tuple(found.items())

    @property
    def task_ids(self) -> tuple[str, ...]:
        """The ids of its tasks."""
        return tuple(task.id for task in self.tasks)


def array_key(job: str) -> str:
    """The key of the row of an array; it cannot be the id of a job."""
    return f"{job.partition('_')[0]}_*"


def fold_arrays(jobs: Mapping[str, Job], before: Mapping[str, Job] | None = None) -> dict[str, Job]:
    """The rows by key, with the tasks of each array as one JobArray where there are several. `before` are rows that
    were folded earlier: arrays whose tasks did not change are taken from there."""
    rows: dict[str, Job] = {}
    arrays: dict[str, list[Job]] = {}
    for key, job in jobs.items():
        base, sign, task = key.partition("_")
        if not sign or not task.isdecimal():
            rows[key] = job
        elif base in arrays:
            arrays[base].append(job)
        else:
            arrays[base] = [job]
    for base, tasks in arrays.items():
        if len(tasks) == 1:
            rows[tasks[0].id] = tasks[0]
            continue
        key = f"{base}_*"
        old = before.get(key) if before else None
        tasks.sort(key=_task_number)
        if isinstance(old, JobArray) and len(old.tasks) == len(tasks) and all(map(is_, old.tasks, tasks)):
            rows[key] = old
        else:
            rows[key] = _array(base, tasks)
    return rows


def urgency(job: Job) -> int:
    """The place of a row in the order "trouble first", least first: work that broke or stopped, running work by GPUs,
    waits that do not end by themselves, waiting jobs by priority, held ones, ended ones. Newer jobs are first."""
    rank = _rank(job)
    weight = (job.priority if rank == 3 else job.gpus_held if job.gpus_held is not None else job.gpus) or 0
    base = job.id.partition("_")[0].partition("+")[0]
    number = int(base) if base.isdecimal() and len(base) <= 10 else 0
    return (rank << 32 | _MOST_WEIGHT - min(weight, _MOST_WEIGHT)) << 34 | _MOST_ID - min(number, _MOST_ID)


def _rank(job: Job) -> int:
    if job.state in _BROKEN:
        return 0
    if job.state in WAITING:
        if job.reason in _STUCK or job.state == "SPECIAL_EXIT":
            return 2
        return 4 if held(job) else 3
    return 5 if job.state in ENDED else 1


@remembered("nodes", "jobs_on")
def endangered(cluster: Cluster) -> frozenset[str]:
    """Ids of the jobs on nodes that are down or do not respond."""
    on = cluster.jobs_on
    return frozenset(job for name, node in cluster.nodes.items() if node.display in _LOST for job in on.get(name, ()))


def tasks_of(key: str, jobs: Iterable[str]) -> tuple[str, ...]:
    """Those of these job ids that are tasks of the array of this row key; none for any other key."""
    if not key.endswith("_*"):
        return ()
    base = key.removesuffix("*")
    return tuple(job for job in jobs if job.startswith(base))


def array_tasks(jobs: Iterable[str]) -> dict[str, list[str]]:
    """Id of each array to those of these jobs that are its tasks."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        base, sign, _ = job.partition("_")
        if sign:
            found.setdefault(base, []).append(job)
    return found


def one_array(jobs: Iterable[str]) -> str:
    """The id of the array that all these jobs are tasks of; "" where there is none."""
    bases = {job.partition("_")[:2] for job in jobs}
    base, sign = bases.pop() if len(bases) == 1 else ("", "")
    return base if sign else ""


def whole_arrays(targets: Iterable[str], cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """Id of each array to its tasks, where all tasks that have not ended are among the targets. An array with a single
    such task is left out, and one of which a reading left out rows."""
    named = {base: tasks for base, tasks in array_tasks(targets).items() if len(tasks) > 1}
    if not named:
        return {}
    alive = Counter(
        base for id, job in cluster.jobs.items() if (base := id.partition("_")[0]) in named and job.state not in ENDED
    )
    hidden = frozenset().union(*(source.hidden for source in cluster.sources.values()))
    return {
        base: tuple(tasks)
        for base, tasks in named.items()
        if alive[base] == len(tasks) and not any(one.startswith(("*", base)) for one in hidden)
    }


def tasks_label(base: str, numbers: Sequence[int]) -> str:
    """`101_[0-9]`: an array and its sorted task numbers; of a long list with gaps only the ends (`101_[0…99]`)."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
            if len(ranges) > _LABEL_CHARS:
                break
    text = ",".join(f"{low}-{high}" if high > low else str(low) for low, high in ranges)
    return f"{base}_[{text}]" if len(text) <= _LABEL_CHARS or len(ranges) == 1 else (
        f"{base}_[{numbers[0]}…{numbers[-1]}]")  # fmt: skip


def _task_number(job: Job) -> int:
    return int(job.id.partition("_")[2])


def _array(base: str, tasks: list[Job]) -> JobArray:
    # Most tasks are alike in what their word and rank depend on: judge each kind once.
    kinds: dict[tuple[str, str | None, bool], list[Job]] = {}
    for task in tasks:
        kinds.setdefault((task.state, task.reason, task.priority == 0), []).append(task)
    ranked = sorted(kinds.values(), key=lambda alike: (_rank(alike[0]), -len(alike)))
    words = [job_word(alike[0]) for alike in ranked]
    some = [task for word, alike in zip(words, ranked, strict=True) if word == words[0] for task in alike]
    lead = min(some, key=_soonest)
    gpus = [task.gpus_held if task.gpus_held is not None else task.gpus for task in some]
    return JobArray(
        id=tasks_label(base, [_task_number(task) for task in tasks]), name=lead.name, user=lead.user,
        account=lead.account, partition=lead.partition, qos=lead.qos, state=lead.state, reason=lead.reason,
        node_count=_sum(task.node_count for task in some), cpus=_sum(task.cpus for task in some), gpus=_sum(gpus),
        submitted=lead.submitted, started=lead.started, expected=lead.expected, time_limit_s=lead.time_limit_s,
        unlimited=lead.unlimited, priority=lead.priority, restarts=lead.restarts,
        kinds=tuple((word, alike[0].reason, len(alike)) for word, alike in zip(words, ranked, strict=True)),
        tasks=tuple(tasks), samples=tuple(alike[0] for alike in ranked),
        placed=tuple(islice((task.id for task in tasks if task.nodes is not None), MAX_PLACED)),
    )  # fmt: skip


def _soonest(job: Job) -> float:
    """When a task ends, if it runs, or may start."""
    if job.started is not None:
        return float("inf") if job.time_limit_s is None else job.started + job.time_limit_s
    return float("inf") if job.expected is None else job.expected


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
