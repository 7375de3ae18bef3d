"""Accounting through slurmrestd, for clusters that are read over it only: jobs, but no events, which it has no call
for."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from msgspec import Struct

from collectors.clean import clean
from collectors.file_tail import tail
from collectors.model import JobAccount, LogTail, NodeEvent, PastJob, SourceFault, Step
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.accounting import (
    DEADLINE_S,
    EARLIEST_EPOCH,
    MAX_STEPS,
    NO_ACCOUNTING,
    checked_job,
    checked_node,
    runs_of_job,
    sacct_time,
)
from collectors.slurm.commands.read_command import value_or_none

from .answers import Number
from .client import RestClient, RestEnvelope

_NO_EVENTS = "slurmrestd has no call for when nodes were out"
_MEND = 'slurm = { …, fallback = ["cli"] } reads it through sacctmgr'
_UNSET = Number()
_MB = 1 << 20


class _Signal(Struct, frozen=True, gc=False):
    id: Number = _UNSET


class _Code(Struct, frozen=True, gc=False):
    return_code: Number = _UNSET
    signal: _Signal = _Signal()

    @property
    def pair(self) -> tuple[int | None, int | None]:
        """Exit code and signal; an unset one next to a set one is 0."""
        code, signal = self.return_code.value, self.signal.id.value
        return (None, None) if code is None and signal is None else (code or 0, signal or 0)


class _Spent(Struct, frozen=True, gc=False):
    seconds: int = 0
    microseconds: int = 0

    @property
    def s(self) -> float:
        """Both together."""
        return self.seconds + self.microseconds / 1e6


class _Times(Struct, frozen=True, gc=False):
    submission: int = 0
    start: int = 0
    end: int = 0
    limit: Number = _UNSET
    total: _Spent = _Spent()


class _StepTimes(Struct, frozen=True, gc=False):
    start: Number = _UNSET
    end: Number = _UNSET
    total: _Spent = _Spent()


class _Tres(Struct, frozen=True, gc=False):
    type: str = ""
    name: str | None = None
    count: int = 0
    node: str | None = None


class _Used(Struct, frozen=True, gc=False):
    max: list[_Tres] = []
    average: list[_Tres] = []
    total: list[_Tres] = []


class _StepTres(Struct, frozen=True, gc=False):
    requested: _Used = _Used()
    """The usage of its tasks (TRESUsageIn): the data parsers' name for it."""


class _JobTres(Struct, frozen=True, gc=False):
    allocated: list[_Tres] = []


class _Range(Struct, frozen=True, gc=False):
    range: str | None = None


class _Tasks(Struct, frozen=True, gc=False):
    count: int | None = None


class _Name(Struct, frozen=True, gc=False):
    id: str = ""
    name: str = ""


class _Step(Struct, frozen=True, gc=False):
    step: _Name
    state: list[str] = []
    exit_code: _Code = _Code()
    time: _StepTimes = _StepTimes()
    nodes: _Range = _Range()
    tasks: _Tasks = _Tasks()
    tres: _StepTres = _StepTres()


class _JobStateAnswer(Struct, frozen=True, gc=False):
    current: list[str] = []


class _Array(Struct, frozen=True, gc=False):
    job_id: int = 0
    task_id: Number = _UNSET


class _Het(Struct, frozen=True, gc=False):
    job_id: int = 0
    job_offset: Number = _UNSET


class _Job(Struct, frozen=True, gc=False):
    job_id: int
    name: str = ""
    user: str | None = None
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    state: _JobStateAnswer = _JobStateAnswer()
    kill_request_user: str | None = None
    exit_code: _Code = _Code()
    derived_exit_code: _Code = _Code()
    time: _Times = _Times()
    nodes: str | None = None
    allocation_nodes: int | None = None
    failed_node: str | None = None
    array: _Array = _Array()
    het: _Het = _Het()
    tres: _JobTres = _JobTres()
    steps: list[_Step] = []
    working_directory: str | None = None
    stdout_expanded: str | None = None


class _Jobs(RestEnvelope):
    """GET /slurmdb/…/jobs/."""

    jobs: list[_Job] | None = None


class RestAccounting:
    """Reads slurmdbd's data from slurmrestd."""

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings
        self._opened: RestClient | None = None

    def jobs_of_node(self, node: str, since: int, most: int) -> Sequence[PastJob]:
        """The runs that ended on a node since then, newest first. Raises SourceFault."""
        found = self._jobs(f"node={quote(checked_node(node))}&start_time={sacct_time(since)}&skip_steps=true")
        ended = [run for run in map(_run, found) if run.ended is not None]
        return sorted(ended, key=lambda run: -(run.ended or 0))[:most]

    def events_of_node(self, node: str, since: int) -> Sequence[NodeEvent]:
        """Always raises SourceFault: slurmrestd has no events."""
        raise SourceFault("missing", _NO_EVENTS, _MEND)

    def account_of_job(self, job: str) -> JobAccount:
        """The account of a job, without events. Raises SourceFault: "missing" if slurmdbd does not know it."""
        records = self._jobs(f"step={quote(checked_job(job))}&start_time={sacct_time(EARLIEST_EPOCH)}")
        runs = [_run(record) for record in records]
        run, *earlier = runs_of_job(job, runs)
        record = next(record for record, one in zip(records, runs, strict=True) if one is run)
        used = [_count(step.tres.requested.total, "mem") for step in record.steps]
        util = [_count(step.tres.requested.average, "gres", "gpuutil") for step in record.steps]
        memory = max((one for one in used if one), default=None)
        cpu = record.time.total.s
        return JobAccount(
            run=run,
            earlier=tuple(earlier),
            steps=tuple(map(_step, record.steps[:MAX_STEPS])),
            # Without jobacct_gather Slurm writes 0.
            cpu_s=cpu if cpu or memory else None,
            memory_mb=None if memory is None else memory / _MB,
            memory_alloc_mb=_count(record.tres.allocated, "mem"),
            gpu_util_pct=max((float(one) for one in util if one is not None), default=None),
            working_dir=value_or_none(record.working_directory or ""),
            stdout=value_or_none(record.stdout_expanded or ""),
            notes=(f"what befell its nodes is not known: {_NO_EVENTS}",),
        )

    def log_tail(self, path: str, user: str | None) -> LogTail:
        """The end of a job's output, as far as this account may read it. Raises SourceFault."""
        return tail(path, user)

    def _jobs(self, query: str) -> list[_Job]:
        if self._opened is None:
            self._opened = RestClient(self._settings, min(DEADLINE_S, self._settings.deadline_s))
        client = self._opened
        if client.server_info().slurmdbd is False:
            raise SourceFault("missing", NO_ACCOUNTING)
        return client.get(f"jobs/?show_duplicates=true&{query}", _Jobs, database=True).jobs or []


def _run(record: _Job) -> PastJob:
    job = str(record.job_id)
    if record.array.job_id and record.array.task_id.value is not None:
        job = f"{record.array.job_id}_{record.array.task_id.value}"
    elif record.het.job_id and record.het.job_offset.value is not None:
        job = f"{record.het.job_id}+{record.het.job_offset.value}"
    (code, signal), (derived, derived_signal) = record.exit_code.pair, record.derived_exit_code.pair
    minutes = record.time.limit.value
    state = clean(record.state.current[0]) if record.state.current else "UNKNOWN"
    allocated = record.tres.allocated
    # For a waiting run slurmrestd gives times at which it could have run.
    waits = state == "PENDING"
    return PastJob(
        id=job,
        name=clean(record.name),
        user=value_or_none(record.user or ""),
        account=value_or_none(record.account or ""),
        partition=value_or_none(record.partition or ""),
        qos=value_or_none(record.qos or ""),
        state=state,
        cancelled_by=value_or_none(record.kill_request_user or "") if state == "CANCELLED" else None,
        exit_code=code,
        signal=signal,
        derived_code=derived,
        derived_signal=derived_signal,
        submitted=record.time.submission or None,
        started=None if waits else record.time.start or None,
        ended=None if waits else record.time.end or None,
        time_limit_s=None if minutes is None else minutes * 60,
        nodes=None if record.nodes in ("", "None assigned", None) else clean(record.nodes),
        node_count=record.allocation_nodes,
        cpus=_count(allocated, "cpu"),
        gpus=(_count(allocated, "gres", "gpu") or 0) if allocated else None,
        failed_node=value_or_none(record.failed_node or ""),
    )


def _step(record: _Step) -> Step:
    code, signal = record.exit_code.pair
    most = max((one for one in record.tres.requested.max if one.type == "mem"), key=lambda one: one.count, default=None)
    return Step(
        id=clean(record.step.id.partition(".")[2] or record.step.id),
        name=clean(record.step.name),
        state=clean(record.state[0]) if record.state else "UNKNOWN",
        exit_code=code,
        signal=signal,
        started=record.time.start.time,
        ended=record.time.end.time,
        nodes=value_or_none(record.nodes.range or ""),
        tasks=record.tasks.count,
        cpu_s=record.time.total.s,
        memory_mb=None if most is None or not most.count else most.count / _MB,
        memory_node=None if most is None else value_or_none(most.node or ""),
    )


def _count(tres: Sequence[_Tres], kind: str, name: str = "") -> int | None:
    """Its count, None if it is not listed."""
    return next((one.count for one in tres if one.type == kind and (one.name or "") == name), None)
