"""What a recording does not hold is said on the screens that ask for it: none looks empty, broken or like nothing."""

from __future__ import annotations

import pytest

from tests.support.recordings import recorded
from tests.support.replays import replay


@pytest.fixture
def tape(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TZ", "UTC")
    path = tmp_path / "night"
    recorded(path, 9)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_no_screen_of_a_recording_looks_empty_where_nothing_was_recorded(tape, size):
    async with replay(tape, size) as op:
        await op.press("2", "enter", "g")
        for chart in ("utilisation and memory", "temperature", "power"):
            await op.comes(f"{chart}  1 h")
        assert op.screen().count("not recorded") >= 3
        await op.press("4", "z")
        await op.comes("its GPUs: not recorded")
        # What is known of the nodes of the rack all the same.
        op.sees("gpu0001  ", " GPUs", " °C", "Rack R01")
        op.sees_not("GPU utilisation")
        await op.press("escape", "3")
        running = next(job.id for job in op.cluster.jobs.values() if job.state == "RUNNING")
        waiting = next(job.id for job in op.cluster.jobs.values() if job.state == "PENDING")
        for job, pane in ((running, "More from Slurm"), (waiting, "Pending reason")):
            await op.command(f"job {job}")
            await op.comes(pane)
            await op.comes("not recorded")
            op.sees_not("0s old", "limits 0s")
            await op.press("escape")
        await op.command("job 12")
        await op.comes("why it ended: not recorded")
        op.sees("Nodes —")
        op.sees_not("it has no nodes")
        await op.press("escape")
        for command, said in (("accounts", "not recorded"), (f"log {running}", "not recorded")):
            await op.command(command)
            await op.comes(said)
