from __future__ import annotations
import asyncio
from textual import events
from tests.operator import console
from console.dialogs import ConfirmDialog
from console.screens.base import WachtScreen


async def test_burst_reason_and_count():
    async with console() as op:
        names = op.node("allocated", 2)
        await op.press("2")
        op.list.table.mark(names)
        await op.press("d")
        await op.until(lambda: op.dialog._armed_at is not None, "listens")
        for char in "why\n2\n":
            key = "enter" if char == "\n" else char
            op.app.post_message(events.Key(key, None if key == "enter" else char))
        for _ in range(20):
            await op.pilot.pause(0.01)
        print(op.screen())
        assert not any("DRAIN" in op.truth(name).flags for name in names)


async def test_yy():
    async with console() as op:
        job = next(job.id for job in op.cluster.jobs.values() if job.state == "PENDING" and job.reason == "Priority")
        await op.press("3")
        await op.select(job)
        await op.press("H")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and op.dialog._armed_at, "the dialog")
        before = len(op.app.screen_stack)
        await op.burst("yy")
        for _ in range(20):
            await op.pilot.pause(0.01)
        print(op.app.screen_stack, op.screen())
        assert len(op.app.screen_stack) == before - 1
        assert "used already" not in op.screen()


async def test_count_enter_enter():
    async with console() as op:
        names = op.node("allocated", 2)
        await op.press("2")
        op.list.table.mark(names)
        await op.press("d")
        await op.type("why")
        await op.press("enter")
        await op.until(lambda: not op.dialog.plan.lacks_reason and op.dialog._armed_at is not None, "listens")
        await op.type("2")
        before = len(op.app.screen_stack)
        await op.burst("\n\n\n")
        for _ in range(20):
            await op.pilot.pause(0.01)
        print(op.app.screen_stack, op.screen())
        assert len(op.app.screen_stack) == before - 1
        assert "used already" not in op.screen()
