"""slurmrestd's job records as Jobs: one for each array task, as squeue lists them.

The waiting tasks of an array are one record; the tasks are in its text ("0-134%5") if that is complete, and in
`/jobs/state/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from collectors.clean import clean
from collectors.model import Job
from collectors.slurm.commands.jobs import WAITING, gpus_of
from collectors.slurm.commands.read_command import value_or_none
from collectors.slurm.fields import gres_gpus

from .answers import Number, minutes_s
from .client import RestEnvelope

_UNSET = Number()
_TASKS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([1-9][0-9]{0,8}))?)?")
#: More than the largest MaxArraySize (4,000,001) is no list of tasks.
_MOST_TASKS = 4_000_002
#: The states that squeue lists by default: base states, and the flag of jobs that are ending.
_ALIVE = frozenset({"PENDING", "RUNNING", "SUSPENDED", "COMPLETING"})
#: Flags in squeue's order of precedence over the state (job_state_string in slurm_protocol_defs.c).
_FLAGS = ("COMPLETING", "STAGE_OUT", "CONFIGURING", "RESIZING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
          "SPECIAL_EXIT", "STOPPED", "REVOKED", "RESV_DEL_HOLD", "SIGNALING")  # fmt: skip


class JobRecord(Struct, gc=False):
    """The used fields of a job."""

    job_id: int
    name: str | None = None
    user_name: str | None = None
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    job_state: list[str] | None = None
    state_reason: str | None = None
    state_description: str | None = None
    nodes: str | None = None
    node_count: Number = _UNSET
    cpus: Number = _UNSET
    tasks: Number = _UNSET
    tres_alloc_str: str | None = None
    tres_req_str: str | None = None
    tres_per_node: str | None = None
    tres_per_job: str | None = None
    tres_per_task: str | None = None
    tres_per_socket: str | None = None
    sockets_per_node: Number = _UNSET
    gres_detail: list[str] | None = None
    """What it holds on each node."""
    restart_cnt: int | None = None
    priority: Number = _UNSET
    submit_time: Number = _UNSET
    start_time: Number = _UNSET
    time_limit: Number = _UNSET
    array_job_id: Number = _UNSET
    array_task_id: Number = _UNSET
    array_task_string: str | None = None
    het_job_id: Number = _UNSET
    het_job_offset: Number = _UNSET

    @property
    def master(self) -> str | None:
        """The id of the array whose waiting tasks this record represents; None for a single job or task."""
        array = self.array_job_id.value
        return str(array) if array and self.array_task_id.value is None and self.array_task_string else None

    @property
    def id(self) -> str:
        """Its id in squeue: `17`, `31_4` for a task, `40+1` for a part of a heterogeneous job."""
        array, task, lead = self.array_job_id.value, self.array_task_id.value, self.het_job_id.value
        if array and task is not None:
            return f"{array}_{task}"
        return f"{lead}+{self.het_job_offset.value or 0}" if lead else str(self.job_id)

    @property
    def raw(self) -> str:
        """Its name in `/jobs/state/`: the own number of a task or part (24.11, 26.05)."""
        task, lead = self.array_task_id.value, self.het_job_id.value
        if self.array_job_id.value and task is not None:
            return f"{self.job_id}_{task}"
        return f"{self.job_id}+{self.het_job_offset.value or 0}" if lead else str(self.job_id)


class Jobs(RestEnvelope):
    """GET /jobs/ and /job/ID."""

    jobs: list[JobRecord] | None = None


class StateRecord(Struct, gc=False):
    """A job or task by its raw name, with its state."""

    job_id: str
    state: list[str] | None = None


class States(RestEnvelope):
    """GET /jobs/state/."""

    jobs: list[StateRecord] | None = None


def alive(states: Sequence[str] | None) -> bool:
    """Whether squeue lists a job in these states by default."""
    return states is not None and not _ALIVE.isdisjoint(states) and "REVOKED" not in states


def state_word(states: Sequence[str] | None) -> str:
    """The single word that squeue prints for these states."""
    if not states:
        return "UNKNOWN"
    if len(states) == 1:
        return clean(states[0])
    return next((flag for flag in _FLAGS if flag in states), clean(states[0]))


def job(record: JobRecord) -> Job:
    """One record as a Job; the record of a waiting array as the Job of all its tasks."""
    state = state_word(record.job_state)
    nodes = record.nodes or ""
    waiting = not nodes or state in WAITING
    count = record.node_count.value
    gpus = gpus_of(
        record.tres_alloc_str or record.tres_req_str or "", record.tres_per_node or "", record.tres_per_job or "",
        record.tres_per_task or "", record.tres_per_socket or "", "" if count is None else str(count),
        str(record.tasks.value or ""), str(record.sockets_per_node.value or "") if waiting else "",
    )  # fmt: skip
    if gpus is None and record.gres_detail:
        gpus = sum(gres_gpus(held)[0] for held in record.gres_detail)
    began = record.start_time.time
    reason = record.state_description or record.state_reason or ""
    return Job(
        id=record.id,
        name=clean(record.name or ""),
        user=value_or_none(record.user_name or "") or "?",
        account=value_or_none(record.account or ""),
        partition=value_or_none(record.partition or ""),
        qos=value_or_none(record.qos or ""),
        state=state,
        reason=value_or_none(reason),
        nodes=clean(nodes) if nodes else None,
        node_count=count,
        cpus=record.cpus.value,
        gpus=gpus,
        gpus_held=None if waiting else gpus,
        submitted=record.submit_time.time,
        started=None if waiting else began,
        expected=began if waiting else None,
        time_limit_s=minutes_s(record.time_limit.value),
        unlimited=record.time_limit.infinite,  # not `set` then
        priority=record.priority.value,
        restarts=record.restart_cnt,
    )


def tasks_of(record: JobRecord) -> tuple[str, ...] | None:
    """The ids of an array record's tasks; None if its text is cut, or no list."""
    found: list[str] = []
    for part in (record.array_task_string or "").partition("%")[0].split(","):
        match = _TASKS.fullmatch(part)
        if match is None:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first >= _MOST_TASKS - len(found):
            return None
        found += [f"{record.master}_{task}" for task in range(first, last + 1, int(match[3] or 1))]
    return tuple(found)


def listed(records: Iterable[JobRecord], states: Mapping[str, Sequence[str]] | None) -> Iterator[tuple[str, Job]]:
    """Every live job and task of these records, by its raw name. `states` completes a cut text."""
    for record in records:
        if not alive(record.job_state):
            continue
        made = job(record)
        master = record.master
        if master is None:
            yield record.raw, made
            continue
        tasks = tasks_of(record)
        if tasks is None and states is not None:
            tasks = waiting_tasks(master, states)
        for task in tasks or ():
            yield task, msgspec.structs.replace(made, id=task)


def waiting_tasks(master: str, states: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The waiting tasks of an array, from the states of all jobs."""
    head = f"{master}_"
    return tuple(key for key, words in states.items() if key.startswith(head) and "PENDING" in words)
