"""Slurm's view of one node for `wacht node`: its jobs by the id used in cgroups, and the jobs that ended there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collectors.model import Job, PastJob
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.accounting import SlurmAccounting
from collectors.slurm.commands.jobs import COLUMNS, command, row
from collectors.slurm.commands.read_command import ask, fence, fenced
from widgets.units import plural

#: Longest time in seconds for a Slurm command, which runs beside the driver.
SLURM_DEADLINE_S = 5.0
#: How far back accounting is read, and how many ended jobs are shown.
LAST_DAYS, LAST_JOBS = 3, 8


def jobs_on(node: str) -> dict[str, Job]:
    """The jobs on a node by their numeric id: a cgroup has that (88133) for an array task (88100_3).

    Raises SourceFault.
    """
    mark = fence()
    argv = command(mark)
    argv = [*argv[:-1], f"JobID:|,{argv[-1]}", "-w", node]
    found = {}
    for raw in fenced(argv, mark, ask(argv, SLURM_DEADLINE_S), len(COLUMNS) + 1):
        number, _, rest = raw.partition("|")
        job = row(rest)
        if job is not None:
            found[number] = job
    return found


def ended_on(node: str, now: float) -> tuple[PastJob, ...]:
    """The last jobs that ended on a node, newest first. Raises SourceFault."""
    accounts = SlurmAccounting(SlurmSettings(deadline_s=SLURM_DEADLINE_S))
    return tuple(accounts.jobs_of_node(node, int(now) - LAST_DAYS * 86_400, LAST_JOBS))


def ended_lines(runs: Sequence[PastJob], now: float) -> Iterator[str]:
    """One line for each job."""
    from console.queue.job_accounting import code_text
    from widgets.units import UNKNOWN, duration, when

    for run in runs:
        code = code_text(run.exit_code, run.signal)
        yield (
            f"{run.id:<10} {run.user or UNKNOWN:<12} {run.state} {code}  {when(run.ended, None, now)}  "
            f"{plural(run.gpus, 'GPU')}, ran {duration(run.ran_s)}  {run.name}"
        )
