"""Sources of Slurm as several consoles of one user have them, that share their readings: for tests of that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from collectors.slurm import SlurmSettings
from collectors.slurm.commands.jobs import command
from collectors.slurm.sources import open_sources
from tests.support import make
from tests.support.make import Commands

PATIENCE_S = 60.0
ALL = -1e9
"""`lend` of one that takes an answer however old it is."""
#: What `queue` makes squeue say: two jobs, the second with a name that tries everything.
JOBS = ["1", "2"]


def queue(commands: Commands) -> Commands:
    """A squeue with two jobs."""
    commands.says("squeue", make.squeue(make.row(JobArrayID="1"), make.row(JobArrayID="2", Name="evil|\x1b[2J|@F|\nx")))
    return commands


def console(kind: str = "slurm.jobs", since: float | None = ALL, cluster: str = "lab", **chosen):
    """One source of a console that has just been started."""
    source = next(one for one in open_sources(cluster, SlurmSettings(**chosen)) if one.name == kind)
    if since is not None:
        source.lend(since)
    return source


def folder() -> Path:
    """Where the consoles of a test share (`own_readings` in conftest.py)."""
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "wacht"


def kept(where: Path) -> list[Path]:
    """The readings in a folder, without locks."""
    return sorted(path for path in where.iterdir() if path.suffix == "") if where.exists() else []


def squeue_argv(mark: str = "A" * 16) -> list[str]:
    """The command of the queue as a console runs it."""
    return [str(shutil.which("squeue")), *command(mark)[1:]]
