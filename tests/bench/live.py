"""The console on live Slurms, and the programs of others on the same one in the same run."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.lab.slurm import Lab

from . import peers, reads, screens
from .command_log import CommandLog
from .report import Row
from .screens import QUICK, Case, Effort

#: The console's user: not root, so that its RPCs can be told from those of slurmd.
USER = "alice"
RUNNING = 200
_WAITS = "waits-for-better-times"


@contextlib.contextmanager
def lab(suite: str, nodes: int, jobs: int, *, alone: bool = False) -> Iterator[Lab]:
    """A Slurm with this many pending jobs, and some running ones; `alone` is a controller without slurmd, its jobs
    arrays."""
    name = f"bench-{os.getpid()}"
    with Lab(suite, nodes=nodes, slurmd=not alone, name=name, max_jobs=max(20_000, 2 * jobs)) as running:
        # Held, so that they stay pending.
        if alone:
            running.submit(1, gpus=8, array=f"0-{jobs - 1}", name=_WAITS, hold=True)
        else:
            running.submit(RUNNING, gpus=8, exclusive=True, seconds=7200, name="train")
            # Separate jobs, as users submit them.
            running.submit(jobs, gpus=8, nodes=2, name=_WAITS, hold=True, time_limit="8:00:00")
        yield running


@contextlib.contextmanager
def watched(running: Lab, name: str, user: str = USER, *, one_array: bool = False) -> Iterator[Case]:
    """The console's case on a lab as this user, with a log of the commands that it starts."""
    with tempfile.TemporaryDirectory(prefix="wacht-bench-") as folder:
        yield Case(name, (), running.nodes, CommandLog(running, Path(folder), user), one_array)


def small(suite: str, nodes: int, jobs: int, quick: bool) -> list[Row]:
    """Nodes with slurmd, running and pending jobs."""
    name = f"live Slurm, {nodes:,} nodes, {jobs:,} jobs pending"
    with lab(suite, nodes, jobs) as running:
        return _measured(running, name, quick, Effort(5, 60, 30, 3, 1), 20)


def middle(suite: str, quick: bool) -> list[Row]:
    """A controller of a thousand nodes without slurmd."""
    name = "live Slurm, 1,000 nodes, 10,000 jobs pending"
    with lab(suite, 1_000, 10_000, alone=True) as running:
        return _measured(running, name, quick, Effort(3, 60, 20, 3, 1), None, one_array=True)


def design(suite: str, quick: bool) -> list[Row]:
    """The design point."""
    name = "live Slurm, 12,000 nodes, 100,000 jobs pending"
    with lab(suite, 12_000, 100_000, alone=True) as running:
        return _measured(running, name, quick, Effort(3, 60, 45, 3, 4), 30, one_array=True)


def _measured(
    running: Lab, name: str, quick: bool, effort: Effort, peers_s: float | None, *, one_array: bool = False
) -> list[Row]:
    rows = reads.measured(running, name, 3 if quick else 7, snapshots=2 if quick else 5)
    with watched(running, name, one_array=one_array) as case:
        mine = screens.measured(case, QUICK if quick else effort)
        rows += mine
        if peers_s is not None:
            theirs = peers.measured(case, 6 if quick else peers_s, 30 if quick else peers.TIMEOUT_S)
            rows += theirs + peers.ratios(name, mine, theirs, running.nodes)
    return rows
