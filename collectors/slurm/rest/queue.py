"""The queue over slurmrestd: all states often, all records as rarely as their size requires.

A record is 8.5 KB and is read with all others or alone; a state is 80 bytes. So a small queue is read whole each time.
For a large one the states are read each time, with the records of new or changed jobs while they are few; all records
again once the bytes of the last full read have been amortised. A row whose state changed without a new record loses the
old record's nodes and times: they are unknown, not old. What is incomplete is reported in a warning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from collectors.model import Job, SourceFault
from collectors.slurm.commands.jobs import WAITING
from collectors.slurm.fields import whole

from .client import RestClient, RestRefusal
from .jobs import JobRecord, Jobs, States, alive, listed, state_word, tasks_of
from .jobs import job as job_of

#: An answer up to this size is read whole each time: 350 single jobs, or arrays of any size.
SMALL = 3 << 20
#: The cost limit of a large queue's records: bytes per second, and slurmrestd's share of busy time.
BYTES_S = 1 << 20
BUSY = 20.0
LEAST_S = 60.0
#: Deadlines that a whole queue may take: 10,000 jobs took 4 to 18 s on two busy cores.
WHOLE_QUEUE_DEADLINES = 4.0
#: Most records read individually in a reading, each a call to the controller.
SINGLY = 16
#: `flags=ALL` leaves out job_resources, which lists every core: 24 KB for a job on a node with 112.
FLAGS = "?flags=ALL"
#: slurm_errno.h: ESLURM_INVALID_JOB_ID. The job has ended, or never existed.
NO_SUCH_JOB = 2017
#: Fields that become unknown when the state changes.
_MOVED = ("reason", "nodes", "node_count", "gpus_held", "started", "expected", "priority")
#: States in which a job still has the nodes and start time of its record.
_KEEPS = frozenset({"RUNNING", "SUSPENDED", "COMPLETING", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"})


class RestQueue:
    """Reads the queue; remembers the rows of the last reading, so that unchanged jobs stay the same objects.

    Rows are kept by their names in `/jobs/state/` (`JobRecord.raw`), and returned by their ids.
    """

    def __init__(self, client: RestClient, mono: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._mono = mono
        self._rows: dict[str, Job] = {}
        self._told: Mapping[str, Job] = {}
        self._lacking: set[str] = set()
        """Jobs whose state moved on without their record, or of which there is none yet."""
        self._read_at: float | None = None
        self._due_at = 0.0
        self._small = False
        self._counted: dict[str, tuple[str | None, int | None]] = {}
        """Jobs whose GPUs were counted on their nodes, and where and since when they ran then."""
        self.hidden: frozenset[str] = frozenset()
        """As `Facts.hidden`, of the last reading."""
        self.shown: frozenset[str] = frozenset()
        """Ids of jobs that a screen shows: their records are read each time, as far as SINGLY goes."""

    def read(self) -> tuple[Mapping[str, Job], tuple[str, ...]]:
        """All jobs by id, and warnings about outdated rows. Raises SourceFault."""
        if self._small or self._read_at is None:
            return self._whole(), ()
        states = self._states()
        now = self._mono()
        moved = {raw for raw, words in states.items() if not _stands(self._rows.get(raw), words)}
        self._lacking = {raw for raw in self._lacking if raw in states} | moved
        # Too many to read individually: read all of them sooner, at a third of the amortisation time.
        early = self._read_at + (self._due_at - self._read_at) / 3
        if now >= self._due_at or (len(self._lacking) > SINGLY and now >= early):
            return self._whole(), ()
        fresh = read_some(self._client, self._wanted(states))
        self._lacking -= fresh.keys()
        rows: dict[str, Job] = {}
        for raw, words in states.items():
            found = fresh.get(raw)
            found = self._same(raw, found) if found is not None else self._rows.get(raw)
            if found is not None:
                # A record read after the states may be newer, and then counts.
                rows[raw] = found if raw in fresh or _stands(found, words) else _moved_on(found, words)
        self.hidden = frozenset(_form(raw) for raw in states.keys() - rows.keys())
        return self._keep(rows), self._said(len(states) - len(rows), now - self._read_at)

    def _whole(self) -> Mapping[str, Job]:
        """Read every record, and compute the amortisation time."""
        began, size = self._mono(), self._client.size
        records = read_all(self._client)
        cut = any(one.master is not None and alive(one.job_state) and tasks_of(one) is None for one in records)
        rows = {raw: self._same(raw, one) for raw, one in listed(records, self._states() if cut else None)}
        size, took = self._client.size - size, self._mono() - began
        self._small = size <= SMALL
        self._read_at, self._due_at = began, began + max(LEAST_S, size / BYTES_S, BUSY * took)
        self._lacking = set()
        self.hidden = frozenset()
        return self._keep(rows)

    def _keep(self, rows: dict[str, Job]) -> Mapping[str, Job]:
        """Keep these rows for the next reading; the same mapping as before if nothing changed."""
        self._count(rows)
        unchanged = len(rows) == len(self._rows) and all(self._rows.get(raw) is one for raw, one in rows.items())
        if not unchanged:
            self._rows, self._told = rows, {one.id: one for one in rows.values()}
        return self._told

    def _same(self, raw: str, fresh: Job) -> Job:
        before = self._rows.get(raw)
        if before is None:
            return fresh
        if fresh.gpus is None and fresh.nodes and (fresh.nodes, fresh.started) == (before.nodes, before.started):
            fresh = msgspec.structs.replace(fresh, gpus=before.gpus, gpus_held=before.gpus_held)
        return before if before == fresh else fresh

    def _count(self, rows: dict[str, Job]) -> None:
        """Count the GPUs of jobs whose record lacks the number: a few in each reading, each once."""
        lacking = {raw: (one.nodes, one.started) for raw, one in rows.items() if one.gpus is None and one.nodes}
        self._counted = {raw: at for raw, at in self._counted.items() if lacking.get(raw) == at}
        for raw in [raw for raw in lacking if raw not in self._counted][:SINGLY]:
            self._counted[raw] = lacking[raw]
            rows[raw] = with_held(self._client, rows[raw])

    def _states(self) -> dict[str, Sequence[str]]:
        """The states of all live jobs and tasks."""
        found: dict[str, Sequence[str]] = {}
        answered = False
        for piece in self._client.pieces("jobs/state/", "jobs", States):
            answered = answered or piece.jobs is not None
            found |= {one.job_id: one.state or () for one in piece.jobs or () if alive(one.state)}
        if not answered:
            raise SourceFault("empty", "slurmrestd answered /jobs/state/ without a list of jobs", "see its log")
        return found

    def _wanted(self, states: Mapping[str, Sequence[str]]) -> list[str]:
        """The job numbers to read: jobs without a record, then those on the screen."""
        shown = [raw for raw in states if (one := self._rows.get(raw)) is not None and one.id in self.shown]
        return list(dict.fromkeys(map(number_of, [*sorted(self._lacking), *shown])))[:SINGLY]

    def _said(self, hidden: int, age_s: float) -> tuple[str, ...]:
        said = [f"states are new; what else the rows of jobs say is up to {age_s:.0f} s old"]
        if hidden:
            said.append(f"{hidden:,} new jobs are not shown yet: their records come with the next whole reading")
        if lacking := len(self._lacking) - hidden:
            said.append(f"{lacking:,} jobs show a new state alone")
        return tuple(said)


def read_all(client: RestClient) -> list[JobRecord]:
    """Every record. Raises SourceFault; "empty" without a list of them."""
    records: list[JobRecord] = []
    answered = False
    for piece in client.pieces(f"jobs/{FLAGS}", "jobs", Jobs, WHOLE_QUEUE_DEADLINES):
        answered = answered or piece.jobs is not None
        records += piece.jobs or ()
    if not answered:
        raise SourceFault("empty", "slurmrestd answered /jobs/ without a list of jobs", "see its log")
    return records


def read_some(client: RestClient, numbers: Sequence[str]) -> dict[str, Job]:
    """The jobs of these numbers by their raw names, all tasks for an array, each read individually; unknown ones are
    left out."""
    found: dict[str, Job] = {}
    for number in numbers:
        if not whole(number):
            continue  # not a job's number, and it would become part of a path
        try:
            records = client.get(f"job/{number}{FLAGS}", Jobs).jobs or []
        except RestRefusal as error:
            if error.has(NO_SUCH_JOB):
                continue
            raise
        states: dict[str, Sequence[str]] | None = None
        if any(one.master is not None and tasks_of(one) is None for one in records):
            told = client.get(f"jobs/state/?job_id={number}", States)
            states = {one.job_id: one.state or () for one in told.jobs or ()}
        found |= {raw: with_held(client, one) for raw, one in listed(records, states)}
    return found


def with_held(client: RestClient, job: Job) -> Job:
    """The job with the number of its GPUs if its record lacks it: FLAGS leaves out gres_detail."""
    if job.gpus is not None or job.nodes is None or job.state in WAITING:
        return job
    try:
        records = client.get(f"job/{number_of(job.id)}", Jobs).jobs or []
    except RestRefusal:
        return job
    held = next((one for one in map(job_of, records) if one.id == job.id), job)
    return msgspec.structs.replace(job, gpus=held.gpus, gpus_held=held.gpus_held)


def number_of(job: str) -> str:
    """The number of a job in its id or raw name."""
    return job.partition("_")[0].partition("+")[0]


def _form(raw: str) -> str:
    """The possible id of a job with only a known raw name: a starting task, and a part, get a number of their own
    there, independent of the array or job that they belong to."""
    head = number_of(raw)
    return raw if head == raw else f"*{raw.removeprefix(head)}"


def _stands(row: Job | None, words: Sequence[str]) -> bool:
    """Whether a row agrees with its current state."""
    return row is not None and row.state == state_word(words)


def _moved_on(before: Job, words: Sequence[str]) -> Job:
    """A job with a new state and an old record: what depends on the old state is unknown now."""
    word = state_word(words)
    lost = () if word in _KEEPS and before.started is not None else _MOVED
    changes: dict[str, object] = dict.fromkeys(lost)
    return msgspec.structs.replace(before, state=word, **changes)
