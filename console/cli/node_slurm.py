"""What Slurm has on one node, for `wacht node`: the jobs there by the number that a cgroup has, those that ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collectors.model import Job, PastJob
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.accounting import SlurmAccounting
from collectors.slurm.commands.fenced_reads import ask, fence, fenced
from collectors.slurm.commands.jobs import COLUMNS, command, row
from widgets.units import plural

#: Slurm is asked beside the driver, and never waited for longer.
SLURM_DEADLINE_S = 5.0
#: How far back the accounts are asked for, and how many jobs that ended are told.
LAST_DAYS, LAST_JOBS = 3, 8


def jobs_on(node: str) -> dict[str, Job]:
    """The jobs that Slurm has on a node, by their number: a cgroup has that (88133) for a task of an array (88100_3).

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
    """The last jobs that ended on a node, the last one first. Raises SourceFault."""
    accounts = SlurmAccounting(SlurmSettings(deadline_s=SLURM_DEADLINE_S))
    return tuple(accounts.jobs_of_node(node, int(now) - LAST_DAYS * 86_400, LAST_JOBS))


def ended_lines(runs: Sequence[PastJob], now: float) -> Iterator[str]:
    """A line a job."""
    from console.queue.job_accounting import code_text
    from widgets.units import UNKNOWN, duration, when

    for run in runs:
        code = code_text(run.exit_code, run.signal)
        yield (
            f"{run.id:<10} {run.user or UNKNOWN:<12} {run.state} {code}  {when(run.ended, None, now)}  "
            f"{plural(run.gpus, 'GPU')}, ran {duration(run.ran_s)}  {run.name}"
        )
