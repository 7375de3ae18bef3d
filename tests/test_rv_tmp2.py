from __future__ import annotations
import asyncio
import threading
from textual import events
from tests.operator import console
from console.dialogs import ConfirmDialog
from console.progress import ProgressDialog
from console.screens.base import WachtScreen


async def test_early_count():
    async with console() as op:
        names = op.node("allocated", 2)
        await op.press("2")
        op.list.table.mark(names)
        await op.press("d")
        await op.until(lambda: op.dialog._armed_at is not None, "listens")
        await op.type("why")
        dialog = op.dialog
        real = dialog.call_after_refresh
        dialog.call_after_refresh = lambda *a, **k: None   # a slow terminal: it is never drawn
        await op.press("enter")
        assert dialog._armed_at is None and not dialog.plan.lacks_reason
        await op.press("2", "enter")
        assert isinstance(op.app.screen, ConfirmDialog)


async def test_ctrl_v():
    async with console() as op:
        names = op.node("allocated", 2)
        await op.press("2")
        op.list.table.mark(names)
        await op.press("d")
        await op.type("why")
        await op.press("enter")
        await op.until(lambda: not op.dialog.plan.lacks_reason and op.dialog._armed_at is not None, "listens")
        op.app._clipboard = "2"
        await op.press("ctrl+v")
        assert op.dialog._count.value == ""


async def test_marks_after_batches():
    async with console(nodes=64, jobs=400) as op:
        import msgspec
        op.app.gate.guard = msgspec.structs.replace(op.app.gate.guard, batch=2)
        jobs = [one.id for one in op.cluster.jobs.values() if one.state == "PENDING"][:6]
        await op.press("3")
        op.list.table.mark(jobs)
        await op.press("K")
        await op.confirm(answer="6")
        await op.until(lambda: isinstance(op.app.screen, WachtScreen), "back")
        print(op.list.targets("job"))
        assert len(op.list.targets("job")) <= 1


async def test_pause_hide_quit():
    from console import gate as g
    async with console(nodes=64, jobs=400) as op:
        import msgspec
        op.app.gate.guard = msgspec.structs.replace(op.app.gate.guard, batch=2)
        jobs = [one.id for one in op.cluster.jobs.values() if one.state == "PENDING"][:6]
        held = threading.Event()
        real = op.app.gate._next
        grip = {}
        def slow(plan, batch, progress, results):
            grip["p"] = progress
            held.wait(5)
            return real(plan, batch, progress, results)
        op.app.gate._next = slow
        await op.press("3")
        op.list.table.mark(jobs)
        await op.press("K")
        await op.confirm(answer="6")
        await op.until(lambda: isinstance(op.app.screen, ProgressDialog), "progress")
        await op.press("p")
        assert grip["p"].paused
        held.set()
        await op.press("escape")
        op.app.leave()
        for _ in range(100):
            await asyncio.sleep(0.01)
            if grip["p"].ended: break
        ok = grip["p"].ended
        grip["p"].stop()
        assert ok


async def test_async_dialog_steals_y():
    from console import gather as ga
    gate = threading.Event()
    real = ga.gather
    def slow(*a, **k):
        gate.wait(5)
        return real(*a, **k)
    ga.gather = slow
    try:
        async with console() as op:
            a, b = op.node("allocated", 2)
            op.machine.break_node(a, "bad DIMM", down=False)
            await op.look_again()
            await op.press("2")
            await op.select(a)
            await op.press("r")
            await op.select(b)
            await op.press("d")
            await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and op.dialog._armed_at, "the dialog")
            await op.type("fault")
            gate.set()
            await op.until(lambda: not op.app._looking, "looked")
            for _ in range(20): await op.pilot.pause(0.01)
            await op.type("y")
            for _ in range(20): await op.pilot.pause(0.01)
            print(op.screen())
            assert "DRAIN" in op.truth(a).flags
    finally:
        ga.gather = real


async def test_worker_exception():
    async with console() as op:
        (name,) = op.node("allocated")
        def boom(*a, **k): raise KeyError("a bug")
        op.app.gate._again = boom
        await op.press("2")
        await op.select(name)
        await op.press("d")
        await op.confirm(reason="why", answer="y")
        await op.pilot.pause(0.3)
        print(op.screen())
        assert "a bug" in op.screen()
