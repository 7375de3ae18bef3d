"""The console on a live Slurm: what an operator does at the keyboard is what scontrol then says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from console.config.settings import Config
from console.session import cluster_sources
from tests.faults import fault
from tests.support.operator import Operator, console_on

from .scene import HOSTILE_NAMES
from .slurm import Lab


@pytest.fixture
async def op(lab: Lab, tmp_path, monkeypatch) -> AsyncIterator[Operator]:
    """An operator at a console on the lab."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{lab.bin_dir}:/usr/bin:/bin")
    lab.reset()
    async with console_on(cluster_sources.choose(Config(), None)) as operator:
        yield operator


def shown(lab: Lab, node: str) -> str:
    """The node's line as scontrol prints it."""
    return lab.check(["scontrol", "show", "node", node, "-o"])


async def test_every_node_and_job_is_there_and_changes_before_ones_eyes(op: Operator, lab: Lab) -> None:
    assert op.cluster.name == lab.cluster
    assert set(op.cluster.nodes) == set(lab.node_names)
    (job,) = lab.submit(user="alice", nodes=2, name="train_7b")
    lab.wait_jobs("RUNNING", [job])
    await op.look_again()
    await op.until(lambda: job in op.cluster.jobs, "the job comes")
    row = op.cluster.jobs[job]
    assert (row.user, row.name, row.state, row.gpus_held) == ("alice", "train_7b", "RUNNING", 16)
    await op.until(lambda: any(job in ids for ids in op.cluster.jobs_on.values()), "it holds its nodes")
    await op.press("3")
    op.sees("train_7b", "alice", "running")


async def test_drain_undrain_and_resume_from_the_keyboard(op: Operator, lab: Lab) -> None:
    await op.press("2")
    await op.select("gpu0005")
    await op.press("d")
    await op.confirm(reason="bad DIMM [B2] $(x); y", answer="y")
    await op.comes("drained: gpu0005")
    assert "Reason=bad DIMM [B2] $(x); y [root@" in shown(lab, "gpu0005")
    assert lab.node_states()["gpu0005"] == "IDLE+DRAIN"
    await op.press("u")
    await op.confirm(answer="y")
    await op.comes("undrained: gpu0005")
    op.list.table.mark(["gpu0006", "gpu0007"])
    await op.press("d")
    await op.confirm(reason="rack work", answer="2")
    await op.comes("drained: gpu[0006-0007]")
    op.list.table.mark(["gpu0006", "gpu0007"])
    await op.press("r")
    await op.confirm(answer="2")
    await op.comes("resumed: gpu[0006-0007]")
    assert {lab.node_states()[name] for name in ("gpu0005", "gpu0006", "gpu0007")} == {"IDLE"}


async def test_requeue_hold_release_and_cancel_from_the_keyboard(op: Operator, lab: Lab) -> None:
    (running,) = lab.submit(user="alice", nodes=1, name="runs")
    (waiting,) = lab.submit(user="bob", nodes=60, name="waits", partition="gpu", extra=["--begin=now+1hour", "-N", "1"])
    lab.wait_jobs("RUNNING", [running])
    await op.look_again()
    await op.until(lambda: {running, waiting} <= set(op.cluster.jobs), "both jobs")
    await op.press("3")
    await op.select(running)
    await op.press("Q")
    await op.confirm(answer="1")
    await op.comes(f"requeued: {running}")
    assert "Restarts=1" in lab.check(["scontrol", "show", "job", "-o", running])
    for key, word, reason in (("H", "held", "JobHeldAdmin"), ("R", "released", None), ("U", "held for", "JobHeldUser")):
        await op.select(waiting)
        await op.press(key)
        await op.confirm(answer="y")
        await op.comes(f"{word}")
        await op.until(lambda: not op.app.session.sent_watch.waiting, "it was seen")
        line = lab.check(["scontrol", "show", "job", "-o", waiting])
        assert (f"Reason={reason} " in line) if reason else ("JobHeld" not in line)
    await op.select(waiting)
    await op.press("K")
    await op.confirm(answer="1")
    await op.comes(f"cancelled: {waiting}")
    assert lab.job_states([waiting]).get(waiting, "CANCELLED").startswith("CANCELLED")


async def test_hostile_job_names_are_rows_and_nothing_else(op: Operator, lab: Lab) -> None:
    ids = {word: lab.submit(user="bob", nodes=1, hold=True, name=name)[0] for word, name in HOSTILE_NAMES.items()}
    await op.look_again()
    await op.until(lambda: set(ids.values()) <= set(op.cluster.jobs), "all of them")
    assert set(op.cluster.jobs) == set(ids.values()), "no row was forged"
    names = {word: op.cluster.jobs[job].name for word, job in ids.items()}
    assert names["newline"].startswith("evil\\n99999|RUNNING|root")
    assert names["escape"] == "red\\e[31;5m\\e[2Jalarm\\x07"
    assert names["osc52"] == "clip\\e]52;c;ZXZpbA==\\x07board"
    assert names["markup"] == HOSTILE_NAMES["markup"]
    await op.press("3")
    op.sees("[bold red]x", "red\\e[31")
    for key in ids.values():
        await op.select(key)
        await op.press("enter", "escape")
    assert op.app.is_running


@fault("slurmctld", "stopped", "every row stays, dim; the chip says refused", case="connection refused")
async def test_a_stopped_controller_leaves_the_old_facts_dim_with_their_age(op: Operator, lab: Lab) -> None:
    await op.press("2")
    lab.stop_controller()
    try:
        op.app.session.poller.refresh_now(["slurm.nodes"])
        await op.comes("slurm refused")
        assert len(op.list.table.keys) == 64
        assert op.list.table.dimmed
    finally:
        lab.start_controller()
