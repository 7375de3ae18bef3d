"""Two people at one machine: the second sees the first's action, owner and reason, and cannot silently overwrite it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from console.config.settings import Config
from console.session import cluster_sources
from tests.faults import fault
from tests.support.operator import Operator, console_on

from .slurm import Lab


@pytest.fixture
async def op(lab: Lab, tmp_path, monkeypatch) -> AsyncIterator[Operator]:
    """The first of them, at a console."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "first"))
    monkeypatch.setenv("PATH", f"{lab.bin_dir}:/usr/bin:/bin")
    lab.reset()
    async with console_on(cluster_sources.choose(Config(), None)) as operator:
        yield operator
    lab.reset()


async def other(tmp_path, *words: str) -> subprocess.CompletedProcess[str]:
    """The second one, in a process with a journal of its own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "second")}
    argv = [sys.executable, "-c", "from console.cli.main import main; main()", "act", *words]
    return await asyncio.to_thread(
        subprocess.run, argv, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def reason_of(lab: Lab, name: str) -> str:
    shown = lab.check(["scontrol", "show", "node", name])
    return next((line for line in shown.splitlines() if "Reason=" in line), "")


async def test_the_other_ones_drain_is_seen_and_kept(op: Operator, lab: Lab, tmp_path) -> None:
    done = await other(tmp_path, "drain", "gpu0020", "--reason", "fan tray, back at noon", "--yes")
    assert done.returncode == 0, done.stderr
    await op.press("2")
    await op.look_again()
    await op.until(lambda: op.cluster.nodes["gpu0020"].reason, "the reason of the other one")
    node = op.cluster.nodes["gpu0020"]
    assert (node.display, node.reason, node.reason_by) == ("drained", "fan tray, back at noon", "root")
    await op.select("gpu0020")
    await op.press("d")
    await op.comes("drain refused: gpu0020: already drained by root")
    assert "fan tray, back at noon" in reason_of(lab, "gpu0020")


@fault("people", "two consoles drain one node", "the second drops it by the first one's name and reason")
async def test_what_the_other_one_did_while_the_dialog_was_open_stands(op: Operator, lab: Lab, tmp_path) -> None:
    await op.press("2")
    op.list.table.mark(["gpu0021", "gpu0022"])
    await op.press("d")
    await op.until(lambda: hasattr(op.app.screen, "plan"), "the dialog")
    done = await other(tmp_path, "drain", "gpu0021", "--reason", "mine", "--yes")
    assert done.returncode == 0, done.stderr
    await op.confirm(reason="no, mine", answer="2")
    await op.comes('drain dropped: gpu0021: already drained by root "mine"')
    await op.comes("drained: gpu0022")
    assert "mine [root@" in reason_of(lab, "gpu0021") and "no, mine" not in reason_of(lab, "gpu0021")
    assert "no, mine" in reason_of(lab, "gpu0022")


async def test_a_job_that_the_other_one_requeued_is_not_requeued_twice(op: Operator, lab: Lab, tmp_path) -> None:
    (job,) = lab.submit(user="alice", nodes=1, name="train")
    lab.wait_jobs("RUNNING", [job])
    await op.look_again()
    await op.until(lambda: job in op.cluster.jobs and op.cluster.jobs[job].state == "RUNNING", "the job")
    await op.press("3")
    await op.select(job)
    await op.press("Q")
    await op.until(lambda: hasattr(op.app.screen, "plan"), "the dialog")
    done = await other(tmp_path, "requeue", job, "--count", "1")
    assert done.returncode == 0, done.stderr
    await op.confirm(answer="1")
    await op.comes("nothing was sent")
    assert "Restarts=1" in lab.check(["scontrol", "show", "job", "-o", job])
