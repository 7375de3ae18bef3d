"""The dialog before a change while the terminal and the time go on: the question stays, and no age stands still."""

from __future__ import annotations

import pytest

from collectors.clock import ManualClock
from tests.support.operator import console


@pytest.mark.slow
async def test_the_question_stays_on_the_screen_and_what_was_typed_in_it() -> None:
    async with console((120, 40), screen="nodes") as op:
        await op.command("drain @rack:R01")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        await op.type("PDU is dead")
        await op.pilot.press("tab")
        await op.type("2h")
        for width, height in ((80, 14), (40, 10), (200, 50), (80, 24)):
            await op.pilot.resize_terminal(width, height)
            await op.until(lambda size=(width, height): op.app.size == size, "the new size")
            await op.comes("reason, then Enter")
            op.sees("PDU is dead", "2h", "Drain gpu[0001-")
            assert op.app.focused is op.dialog._extra  # where the person was
        await op.press("enter")
        await op.until(lambda: not op.dialog.plan.missing_reason and op.dialog._armed_at is not None, "the count")
        wanted = op.dialog.plan.confirmation.prompt
        await op.type(wanted[0])
        await op.pilot.resize_terminal(60, 12)
        await op.comes(f"{wanted}, then Enter")
        assert op.dialog._count.value == wanted[0] and op.app.focused is op.dialog._count
        await op.press("escape")


@pytest.mark.slow
async def test_below_it_the_clock_and_the_ages_go_on() -> None:
    clock = ManualClock()
    async with console((120, 40), screen="nodes", clock=clock) as op:
        await op.command("drain gpu0001")
        op.sees("prom 0s")
        clock.advance(7)
        await op.comes("prom 7s")
        op.sees("Drain gpu0001")
