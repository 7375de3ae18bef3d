"""The console on live Slurms, beside the programs others use, on the same one in the same run."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.lab.slurm import Lab

from . import peers, reads, screens
from .report import Row
from .screens import QUICK, Case, Effort
from .started import Started

#: Who looks: not root, so that its RPCs can be told from those of the nodes' daemons.
USER = "alice"
RUNNING = 200
_WAITS = "waits-for-better-times"


@contextlib.contextmanager
def lab(suite: str, nodes: int, jobs: int, *, alone: bool = False) -> Iterator[Lab]:
    """A Slurm with so many jobs pending, and some that run; `alone` is a controller without slurmd, its jobs arrays."""
    name = f"bench-{os.getpid()}"
    with Lab(suite, nodes=nodes, slurmd=not alone, name=name, max_jobs=max(20_000, 2 * jobs)) as running:
        # Held, so that they are pending for as long as it takes.
        if alone:
            running.submit(1, gpus=8, array=f"0-{jobs - 1}", name=_WAITS, hold=True)
        else:
            running.submit(RUNNING, gpus=8, exclusive=True, seconds=7200, name="train")
            # Apart, as people submit them.
            running.submit(jobs, gpus=8, nodes=2, name=_WAITS, hold=True, time_limit="8:00:00")
        yield running


@contextlib.contextmanager
def watched(running: Lab, name: str, user: str = USER) -> Iterator[Case]:
    """The console's case on a lab, as that user, with a log of what it starts."""
    with tempfile.TemporaryDirectory(prefix="wacht-bench-") as folder:
        yield Case(name, (), running.nodes, Started(running, Path(folder), user))


def small(suite: str, nodes: int, jobs: int, quick: bool) -> list[Row]:
    """Nodes with slurmd, jobs that run and jobs that wait."""
    name = f"live Slurm, {nodes:,} nodes, {jobs:,} jobs pending"
    with lab(suite, nodes, jobs) as running:
        return _measured(running, name, quick, Effort(5, 60, 30, 3, 1), 20)


def middle(suite: str, quick: bool) -> list[Row]:
    """A controller without slurmd, of a thousand nodes."""
    name = "live Slurm, 1,000 nodes, 10,000 jobs pending"
    with lab(suite, 1_000, 10_000, alone=True) as running:
        return _measured(running, name, quick, Effort(3, 60, 20, 3, 1), None)


def design(suite: str, quick: bool) -> list[Row]:
    """The design point."""
    name = "live Slurm, 12,000 nodes, 100,000 jobs pending"
    with lab(suite, 12_000, 100_000, alone=True) as running:
        return _measured(running, name, quick, Effort(3, 60, 45, 3, 4), 30)


def _measured(running: Lab, name: str, quick: bool, effort: Effort, peers_s: float | None) -> list[Row]:
    rows = reads.measured(running, name, 3 if quick else 7, snapshots=2 if quick else 5)
    with watched(running, name) as case:
        mine = screens.measured(case, QUICK if quick else effort)
        rows += mine
        if peers_s is not None:
            theirs = peers.measured(case, 6 if quick else peers_s, 30 if quick else peers.PATIENCE_S)
            rows += theirs + peers.ratios(name, mine, theirs, running.nodes)
    return rows
