"""Reads accounting from slurmdbd with `sacct` and `sacctmgr`, on demand and within a deadline.

Any user can write names and comments in accounting. sacct ends each field in a fence of 16 random letters, so a job
name cannot forge a row; only complete rows count. sacctmgr has no fence: events are first read without reasons, and
reasons are then taken only from the text after these rows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from collectors import process
from collectors.clean import clean, decode
from collectors.file_tail import tail
from collectors.model import JobAccount, LogTail, NodeEvent, PastJob, SourceFault, Step
from collectors.nodeset import fold_for_slurm, names_in
from collectors.slurm import SlurmSettings
from collectors.slurm.fields import duration_s, epoch, integer, real, tres_gpus

from .events import EVENT, event_rows, events_of
from .read_command import MAX_ARGUMENT, ask, fence, value_or_none

#: Longest time for one request, all its commands together: a person waits for it.
DEADLINE_S = 20.0
#: Fields of each run in sacct's words. Not every version knows OPTIONAL_FIELDS.
JOB_FIELDS = ("JobID", "UID", "User", "Account", "Partition", "QOS", "State", "ExitCode", "DerivedExitCode",
       "Submit", "Start", "End", "TimelimitRaw", "NNodes", "AllocCPUS", "AllocTRES", "NodeList", "JobName")  # fmt: skip
STEP_FIELDS = ("NTasks", "TotalCPU", "MaxRSS", "MaxRSSNode", "TRESUsageInTot", "TRESUsageInAve", "WorkDir")
OPTIONAL_FIELDS = ("FailedNode", "StdOut")
_UNREACHED = re.compile(r"connect|persist|talking to the database|DBD_", re.I)
_BUSY = "is slurmdbd busy? try: sacctmgr show stats"
_OLDER = ("nvalid field", "nrecognized option")
#: Most steps that are read.
MAX_STEPS = 500
#: Seconds until a dead node is noticed; its jobs end then.
DEATH_NOTICED_S = 120
_JOB_ID = re.compile(r"[0-9]{1,10}(?:[_+][0-9]{1,10})?")
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_BYTES = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMGTP]?)")
#: The earliest epoch in ten digits, which the commands require; nothing in Slurm is older.
EARLIEST_EPOCH = 1_000_000_000
NO_ACCOUNTING = "this site keeps no job accounting: there is no slurmdbd"


class SlurmAccounting:
    """Reads from sacct and sacctmgr, whatever transport the other reads use."""

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings
        self._more: tuple[str, ...] = OPTIONAL_FIELDS

    def jobs_of_node(self, node: str, since: int, most: int) -> Sequence[PastJob]:
        """The runs that ended on a node since then, newest first. Raises SourceFault."""
        wanted = checked_node(node)
        rows = self._sacct(JOB_FIELDS, ("-X", "-N", wanted, "-S", sacct_time(since), "-E", "now"), self._until())
        ended = [run for row in rows if (run := _run(row)) is not None and run.ended is not None]
        return sorted(ended, key=lambda run: -(run.ended or 0))[:most]

    def events_of_node(self, node: str, since: int) -> Sequence[NodeEvent]:
        """The periods in which a node was out of service since then, newest first. Raises SourceFault."""
        return self._events([checked_node(node)], since, None, self._until())

    def account_of_job(self, job: str) -> JobAccount:
        """The account of a job. Raises SourceFault: "missing" if slurmdbd does not know it."""
        checked_job(job)
        until = self._until()
        rows = self._sacct(
            (*JOB_FIELDS, *STEP_FIELDS), ("-j", job, "-S", sacct_time(EARLIEST_EPOCH), "-E", "now"), until
        )
        found = _account(job, rows)
        began = min((run.started for run in (found.run, *found.earlier) if run.started is not None), default=None)
        if began is None:
            return found
        try:
            names = {name for run in (found.run, *found.earlier) for name in names_in(run.nodes)}
            ended = found.run.ended
            events = self._events(sorted(names), began, None if ended is None else ended + DEATH_NOTICED_S, until)
        except SourceFault as error:
            return _with(found, events=None, notes=(f"what befell its nodes is not known: {error.fault}",))
        return _with(found, events=tuple(events))

    def log_tail(self, path: str, user: str | None) -> LogTail:
        """The end of a job's output, if this account may read it. Raises SourceFault."""
        return tail(path, user)

    def _until(self) -> float:
        """The deadline on the monotonic clock. Raises SourceFault if accounting must not be read."""
        if "cli" not in self._settings.transports:
            raise SourceFault(
                "missing",
                f"the past is read by sacct or slurmrestd, and this cluster is read over {self._settings.transport}",
                'slurm = { …, fallback = ["cli"] } reads it through the commands',
            )
        return time.monotonic() + min(DEADLINE_S, self._settings.deadline_s)

    def _sacct(self, fields: Sequence[str], words: Sequence[str], until: float) -> list[dict[str, str]]:
        """The rows of one sacct call. Fields that this version does not know are requested only once."""
        try:
            return self._rows((*fields, *self._more), words, until)
        except SourceFault as error:
            if not self._more or not any(sign in error.fault.what for sign in _OLDER):
                raise
        rows = self._rows(fields, words, until)
        self._more = ()
        return rows

    def _rows(self, fields: Sequence[str], words: Sequence[str], until: float) -> list[dict[str, str]]:
        # -D: a job that a dead node killed was requeued, and is still a run on that node.
        mark = fence()
        form = ["-p", f"--delimiter={mark}", f"--format={','.join(fields)}", "--noconvert"]
        form += ["--expand-patterns"] if "StdOut" in fields else []
        return rows_of(self._asked(["sacct", "-a", "-D", *form, *words], until), fields, mark)

    def _events(self, nodes: Sequence[str], since: int, end: int | None, until: float) -> list[NodeEvent]:
        wanted = fold_for_slurm(nodes)
        if len(wanted) > MAX_ARGUMENT:
            raise SourceFault("refused", f"{len(nodes)} nodes are too many to ask sacctmgr for")
        period = [f"nodes={wanted}", f"start={sacct_time(since)}", *([] if end is None else [f"end={sacct_time(end)}"])]
        show = ["sacctmgr", "-p", "show", "event", *period]
        bare = self._asked([*show, f"format={','.join(EVENT)}"], until)
        rows = event_rows(bare, frozenset(nodes))
        told = self._asked([*show, f"format={','.join(EVENT)},Reason"], until) if rows else ""
        return events_of(rows, told)

    def _asked(self, argv: Sequence[str], until: float) -> str:
        left = round(until - time.monotonic(), 1)
        if left <= 0.1:
            raise SourceFault("timeout", f"no time was left to ask {argv[0]}", _BUSY)
        try:
            with process.extra_environment(self._settings.command_environment):
                return decode(ask(argv, left))
        except SourceFault as error:
            raise _of_accounts(error) from None


def _of_accounts(error: SourceFault) -> SourceFault:
    """A fault of `ask` reworded: these two commands talk to slurmdbd, not to slurmctld."""
    what = error.fault.what
    if "storage is disabled" in what or "not running a supported accounting_storage" in what:
        return SourceFault("missing", NO_ACCOUNTING)
    if error.fault.kind == "timeout":
        return SourceFault("timeout", what, _BUSY)
    if _UNREACHED.search(what):
        return SourceFault("refused", f"slurmdbd does not answer: {what}", "is slurmdbd up? try: sacctmgr show cluster")
    return error


def checked_node(node: str) -> str:
    """The node's name if it is plain: no option, no set. Raises SourceFault."""
    if not _NODE.fullmatch(node):
        raise SourceFault("refused", f"{clean(node)[:40]!r} is no node's name")
    return node


def checked_job(job: str) -> str:
    """The job's id if it is valid. Raises SourceFault."""
    if not _JOB_ID.fullmatch(job):
        raise SourceFault("refused", f"{clean(job)[:40]!r} is no job's number", "as in 88121 or 88100_3")
    return job


def sacct_time(at: int) -> str:
    """A time as sacct and sacctmgr accept it, in any time zone."""
    return f"uts{max(at, EARLIEST_EPOCH)}"


# -- parsing the output ------------------------------------------------------------------------------------------------


def rows_of(text: str, fields: Sequence[str], mark: str) -> list[dict[str, str]]:
    """Split an answer of sacct, in which every field ends in the fence and every row in a line break after it.

    Raises SourceFault: "empty" without a header, "cut", "malformed" if the columns are not the requested ones.
    """
    cells = text.split(mark)
    width = len(fields)
    if len(cells) <= width:
        kind = "cut" if text.strip() else "empty"
        raise SourceFault(kind, "sacct printed no whole header", "run it by hand to see")
    if [cell.lower() for cell in cells[:width]] != [field.lower() for field in fields]:
        raise SourceFault("malformed", "sacct printed other columns than were asked for",
                          "is this version of Slurm one that wacht knows?")  # fmt: skip
    if cells[-1] != "\n" or len(cells) % width != 1 % width:
        raise SourceFault("cut", "sacct was cut in the middle of a row", "ask again")
    rows = [cells[at : at + width] for at in range(width, len(cells) - 1, width)]
    if not all(row[0].startswith("\n") for row in rows):
        raise SourceFault("malformed", "sacct printed a row that does not begin with a line", "run it by hand to see")
    return [dict(zip(fields, (row[0][1:], *row[1:]), strict=True)) for row in rows]


def _run(row: Mapping[str, str]) -> PastJob | None:
    """One run; None for any other row (a step, or without a number and a state)."""
    job, state = row["JobID"], row["State"]
    if not _JOB_ID.fullmatch(job) or not state:
        return None
    word, _, by = state.partition(" by ")
    code, signal = _code(row["ExitCode"])
    derived, derived_signal = _code(row["DerivedExitCode"])
    minutes = integer(row["TimelimitRaw"])
    tres = row["AllocTRES"]
    return PastJob(
        id=job,
        name=clean(row["JobName"]),
        user=value_or_none(row["User"]),
        account=value_or_none(row["Account"]),
        partition=value_or_none(row["Partition"]),
        qos=value_or_none(row["QOS"]),
        state=clean(word),
        cancelled_by=_who(by, row["UID"], row["User"]),
        exit_code=code,
        signal=signal,
        derived_code=derived,
        derived_signal=derived_signal,
        submitted=epoch(row["Submit"]),
        started=epoch(row["Start"]),
        ended=epoch(row["End"]),
        time_limit_s=None if minutes is None else minutes * 60,
        nodes=None if row["NodeList"] in ("", "None assigned") else clean(row["NodeList"]),
        node_count=integer(row["NNodes"]),
        cpus=integer(row["AllocCPUS"]),
        # An allocation without GPUs in its resources has none; one without resources is unknown.
        gpus=(tres_gpus(tres) or 0) if tres else None,
        failed_node=value_or_none(row.get("FailedNode", "")),
    )


def _step(row: Mapping[str, str]) -> Step:
    code, signal = _code(row["ExitCode"])
    return Step(
        id=clean(row["JobID"].partition(".")[2]),
        name=clean(row["JobName"]),
        state=clean(row["State"].partition(" by ")[0]),
        exit_code=code,
        signal=signal,
        started=epoch(row["Start"]),
        ended=epoch(row["End"]),
        nodes=None if row["NodeList"] in ("", "None assigned") else clean(row["NodeList"]),
        tasks=integer(row["NTasks"]),
        cpu_s=_seconds(row["TotalCPU"]),
        memory_mb=_megabytes(row["MaxRSS"]),
        memory_node=value_or_none(row["MaxRSSNode"]),
    )


def _account(job: str, rows: Sequence[Mapping[str, str]]) -> JobAccount:
    """The runs of a job with the steps of the last one. Raises SourceFault if it is not found or not a single job."""
    runs: list[tuple[PastJob, Mapping[str, str], list[Mapping[str, str]]]] = []
    for row in rows:
        base, dot, _ = row["JobID"].partition(".")
        if dot:
            if runs and runs[-1][0].id == base:
                runs[-1][2].append(row)
        elif (run := _run(row)) is not None:
            runs.append((run, row, []))
    run, *earlier = runs_of_job(job, [one for one, _, _ in runs])
    row, steps = next((row, steps) for one, row, steps in runs if one is run)
    used = [_megabytes(_tres(step["TRESUsageInTot"]).get("mem", "")) for step in steps]
    most = [
        None if (rss := _megabytes(step["MaxRSS"])) is None else rss * (integer(step["NTasks"]) or 1) for step in steps
    ]
    util = [real(value) for step in steps if (value := _tres(step["TRESUsageInAve"]).get("gres/gpuutil"))]
    memory = max((mb for mb in (*used, *most) if mb is not None), default=None)
    cpu = _seconds(row["TotalCPU"])
    notes = (f"{len(steps) - MAX_STEPS:,} more steps",) if len(steps) > MAX_STEPS else ()
    return JobAccount(
        run=run,
        earlier=tuple(earlier),
        steps=tuple(_step(one) for one in steps[:MAX_STEPS]),
        # Without jobacct_gather Slurm writes 0.
        cpu_s=cpu if cpu or memory else None,
        memory_mb=memory or None,
        memory_alloc_mb=_megabytes(_tres(row["AllocTRES"]).get("mem", "")),
        gpu_util_pct=max((pct for pct in util if pct is not None), default=None),
        working_dir=value_or_none(row["WorkDir"]),
        stdout=value_or_none(row.get("StdOut", "")),
        notes=notes,
    )


def runs_of_job(job: str, runs: Sequence[PastJob]) -> list[PastJob]:
    """The runs of a job among those that Slurm returned for its number, newest first.

    Raises SourceFault("missing") without any, or if the number is that of a whole array.
    """
    # A task also has a number of its own, and the last task of an array that of the array.
    ids = {run.id for run in runs}
    if len(ids) > 1 and job not in ids:
        first = min(ids, key=lambda one: (len(one), one))
        raise SourceFault("missing", f"job {job} is {len(ids)} jobs in one", f"name one of them, as in {first}")
    found = [run for run in runs if run.id == job or len(ids) == 1]
    if not found:
        raise SourceFault("missing", f"the accounting has no job {job}", "was it purged, or is it another cluster's?")
    # The last one submitted is the job: numbers are reused after years, then for another user's job.
    found.sort(key=lambda run: (run.submitted or 0, run.started or 0), reverse=True)
    return [run for run in found if (run.user, run.name) == (found[0].user, found[0].name)]


def _with(found: JobAccount, events: tuple[NodeEvent, ...] | None, notes: tuple[str, ...] = ()) -> JobAccount:
    return replace(found, events=events, notes=(*found.notes, *notes))


# -- sacct's field formats ---------------------------------------------------------------------------------------------


def _code(text: str) -> tuple[int | None, int | None]:
    """`3:0`: exit code and signal."""
    code, _, signal = text.partition(":")
    return integer(code), integer(signal)


def _who(by: str, uid: str, user: str) -> str | None:
    """Who cancelled a job, from the uid that Slurm gives: by name for the job's own user and root."""
    if not by:
        return None
    return clean(user) if by == uid and user else "root" if by == "0" else f"uid {clean(by)}"


def _seconds(text: str) -> float | None:
    """`[DD-[HH:]]MM:SS[.mmm]`."""
    whole, _, part = text.partition(".")
    seconds = duration_s(whole) if ":" in whole else None
    fraction = real(f"0.{part}") if part.isdecimal() else 0.0
    return None if seconds is None else seconds + (fraction or 0.0)


def _megabytes(text: str) -> float | None:
    """`1224K`, `17000M`, or bytes, in MB."""
    match = _BYTES.fullmatch(text)
    return None if match is None else float(match[1]) * 1024.0 ** (" KMGTP".index(match[2] or " ") - 2)


def _tres(text: str) -> dict[str, str]:
    """`cpu=14,mem=17000M,gres/gpu=1` by name."""
    return {name: value for part in text.split(",") for name, equal, value in [part.partition("=")] if equal}
