"""A mass return on the simulated cluster: the count typed once, a dialog that shows each wave, a pause, a journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from collectors.clock import ManualClock
from collectors.nodeset import fold
from console.actions.options import Guard
from console.app.confirm_dialog import ConfirmDialog
from console.app.progress_dialog import ProgressDialog
from console.gate import rollout
from console.journal import writer
from console.screens.layout.screen import WachtScreen
from tests.support.operator import Operator, console


async def passing(op: Operator, clock: ManualClock, true: Callable[[], object], what: str) -> None:
    """Until it is true, while time passes and everything is read again."""
    for _ in range(100):
        if true():
            return
        clock.advance(5)
        await op.look_again()
    raise AssertionError(f"never came true: {what}\n{op.screen()}")


async def drained(op: Operator, count: int) -> list[str]:
    names = op.node("idle", count)
    await op.command(f"drain {fold(names)} maintenance")
    await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the preview")
    await op.confirm(answer=op.dialog.plan.confirmation.prompt)
    await op.until(lambda: not op.app.session.sending, "it is sent")
    await op.look_again()
    assert all("DRAIN" in op.cluster.nodes[name].flags for name in names)
    return names


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    monkeypatch.setattr(rollout, "POLL_S", 0.02)
    monkeypatch.setattr(rollout, "TELEMETRY_POLL_S", 0.1)
    return ManualClock()


@asynccontextmanager
async def at_work(clock: ManualClock, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Operator]:
    """A console that ends what it sends, however its test ends: its clock stands still."""
    async with console(size, nodes=128, clock=clock, jobs=20) as op:
        try:
            yield op
        finally:
            op.app.acting.stop_sending()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_a_return_in_waves(clock: ManualClock, size: tuple[int, int]) -> None:
    async with at_work(clock, size) as op:
        op.app.session.gate.guard = Guard(break_pct=100, wave_pause_s=1)
        await op.press("2")
        names = await drained(op, 12)
        await op.command(f"resume {fold(names)} --waves")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the preview")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        plan = op.dialog.plan
        assert plan.waves is not None and plan.confirmation.kind == "count"
        assert "in waves" in "\n".join(f"{row.label}" for row in preview_rows(op))
        await op.confirm(answer="12")
        await op.until(lambda: isinstance(op.app.screen, ProgressDialog), "the progress")
        await op.comes("a wave at a time")
        await op.comes("wave 1 of")
        await op.comes("p pauses")
        # Hidden it goes on, the top line counts, and a command brings it back.
        await op.press("escape")
        await op.comes("RETURN ")
        await op.command("progress")
        await op.until(lambda: isinstance(op.app.screen, ProgressDialog), "it is back")
        await op.press("p")
        await op.comes("paused: nothing further is sent")
        before = [name for name in names if "DRAIN" not in op.truth(name).flags]
        assert 0 < len(before) < 12
        await op.press("p")
        await passing(op, clock, lambda: not op.app.session.sending, "all are back")
        await op.comes("nothing more is sent")
        op.sees("back")
        assert all("DRAIN" not in op.truth(name).flags for name in names)
        await op.press("escape")
        await op.until(lambda: isinstance(op.app.screen, WachtScreen), "the list")
        await op.until(lambda: "RETURN" not in op.screen(), "the top line is quiet")
        lines = [line for line in writer.read(op.app.session.journal_path) if line.get("wave")]
        assert len(lines) == len(plan.waves.waves) and writer.verify(op.app.session.journal_path).ok
        await op.command("progress")
        await op.comes("nothing is being sent")


def preview_rows(op: Operator):
    from console.gate import preview

    return preview.rows(op.dialog.plan, op.app.size.width)


@pytest.mark.slow
async def test_who_comes_back_ill_is_told_and_nothing_goes_on(clock: ManualClock) -> None:
    async with at_work(clock) as op:
        op.app.session.gate.guard = Guard(break_pct=100, wave_pause_s=1)
        await op.press("2")
        names = await drained(op, 12)
        await op.command(f"resume {fold(names)} --waves")
        await op.confirm(answer="12")
        await op.until(lambda: isinstance(op.app.screen, ProgressDialog), "the progress")
        await op.press("escape")
        (progress,) = op.app.session.sending
        first = next(name for name in names if "DRAIN" not in op.truth(name).flags)
        waves = op.app.acting.rollout.newest[0].waves
        canary = waves.waves[0].nodes
        assert first in canary
        for name in canary:
            op.machine.failures.report_xid(op.machine.host(name), 79, 3)
        await passing(op, clock, lambda: progress.hold_reason, "it pauses by itself")
        await op.comes("is paused: ")
        await op.comes("PAUSED 5")
        await op.command("progress")
        await op.comes("set aside")
        op.sees("XID 79")
        back = [name for name in names if "DRAIN" not in op.truth(name).flags]
        assert back == list(canary)
        # To look at the nodes it can be hidden as it is, paused.
        await op.press("escape")
        await op.until(lambda: isinstance(op.app.screen, WachtScreen), "the list")
        assert progress.paused and not progress.stopped
        await op.command("progress")
        await op.comes("s stops")
        await op.press("s")
        await passing(op, clock, lambda: not op.app.session.sending, "it ends")
        assert all("DRAIN" in op.truth(name).flags for name in names if name not in canary)
        entry = next(line for line in writer.read(op.app.session.journal_path) if line.get("wave"))
        assert all("set aside" in told["why"] for told in entry["outcome"].values())


@pytest.mark.slow
async def test_the_unfit_are_drained_again_by_hand_and_by_nothing_else(clock: ManualClock) -> None:
    async with at_work(clock) as op:
        op.app.session.gate.guard = Guard(break_pct=100, wave_pause_s=1, wave_failed_pct=100)
        await op.press("2")
        names = await drained(op, 12)
        await op.command(f"resume {fold(names)} --failed drain")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the preview")
        assert "you are asked whether they are drained again" in " ".join(
            " ".join(one.text for one in preview_rows(op)).split()
        )
        await op.confirm(answer="12")
        await op.until(lambda: isinstance(op.app.screen, ProgressDialog), "the progress")
        (progress,) = op.app.session.sending
        canary = op.app.acting.rollout.newest[0].waves.waves[0].nodes
        await op.until(lambda: all("DRAIN" not in op.truth(name).flags for name in canary), "the canary is out")
        ill = canary[0]
        op.machine.failures.report_xid(op.machine.host(ill), 79, 3)
        await passing(op, clock, lambda: progress.unfit, "one is not fit")
        await op.comes("d drains the 1 that came back unfit")
        await passing(op, clock, lambda: not op.app.session.sending, "all are back")
        assert "DRAIN" not in op.truth(ill).flags, "nobody has said yes"
        assert "not drained again: not confirmed" in progress.aside[ill]
        await op.press("escape")
        await op.command("progress")
        await op.comes("d drains the 1 that came back unfit")
        await op.press("d")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the drain is asked for")
        assert op.dialog.plan.action.id == "drain" and op.dialog.plan.change.targets == (ill,)
        await op.confirm(answer="y")
        await op.until(lambda: "DRAIN" in op.truth(ill).flags, "it is drained")
        assert "XID 79" in (op.truth(ill).reason or "")


@pytest.mark.slow
async def test_leaving_leaves_the_rest_out(clock: ManualClock) -> None:
    async with at_work(clock) as op:
        op.app.session.gate.guard = Guard(break_pct=100)
        await op.press("2")
        names = await drained(op, 8)
        await op.command(f"undrain {fold(names)} --waves")
        await op.confirm(answer="8")
        await op.until(lambda: isinstance(op.app.screen, ProgressDialog), "the progress")
        (progress,) = op.app.session.sending
        op.app.leave()
        await op.until(lambda: progress.ended, "it ends")
        assert any("DRAIN" in op.truth(name).flags for name in names)
