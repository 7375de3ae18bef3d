"""What a console at rest asks of a live Slurm: commands a minute, a count that a change must not make worse."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.bench import live, report, screens, targets
from tests.bench.command_log import CommandLog

from .slurm import Lab

pytestmark = pytest.mark.pty
SECONDS = 30.0
#: Commands that a minute would not have shared out evenly: one of each kind at an edge of the window.
EDGE = 2


def test_commands_started_at_rest(lab_forky: Lab, tmp_path: Path) -> None:
    lab_forky.reset()
    lab_forky.submit(user=live.USER, name="waits", hold=True)
    started = CommandLog(lab_forky, tmp_path, live.USER)
    case = screens.Case("live Slurm, 64 nodes", (), lab_forky.nodes, started)
    kept = report.load()
    before = kept and kept.value("live Slurm, 256 nodes, 10,000 jobs pending", "at rest: Slurm commands started")
    most = targets.SMALL.commands_min if before is None else min(targets.SMALL.commands_min, 1.25 * before)
    with screens.console(case) as terminal:
        screens.wait_settled(case, terminal)
        asked = started.commands("wacht")
        assert {"squeue", "scontrol"} <= set(asked), "it has read nodes and jobs"
        time.sleep(SECONDS)
        more = started.commands("wacht") - asked
    assert more.total() >= 1, "it reads on"
    assert more.total() <= most * SECONDS / 60 + EDGE, (
        f"{dict(more)} in {SECONDS:g} s, {most:g} a minute at most: mend it, or measure anew and keep that "
        "(make bench ARGS='--part lab')"
    )
