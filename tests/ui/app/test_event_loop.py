"""The event loop has keys to answer: what goes over the whole machine is made in the poller's thread."""

from __future__ import annotations

import gc
import sys
import types
from collections import Counter

import pytest

from collectors.clock import ManualClock
from console.config.commands import SCREENS
from tests.support.operator import Operator, console

KINDS = {"nodes", "jobs", "loads", "alerts"}


def _makers() -> dict[types.CodeType, str]:
    """Everything that is remembered (`console.runtime.memo`), by its code."""
    found = (one for one in gc.get_objects() if isinstance(one, types.FunctionType))
    made = (one.__wrapped__ for one in found if one.__code__.co_name == "look" and hasattr(one, "__wrapped__"))
    return {one.__code__: f"{one.__module__}.{one.__name__}" for one in made}


async def _made_on_the_loop(op: Operator, clock: ManualClock) -> Counter[str]:
    """What this thread makes, while a few readings come in which much has changed."""
    makers, made, kinds = _makers(), Counter[str](), set[str]()
    assert len(makers) > 20

    def look(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call" and (name := makers.get(frame.f_code)) is not None:
            made[name] += 1

    for _ in range(3):
        clock.advance(30.0)
        before = op.cluster
        sys.setprofile(look)
        try:
            await op.look_again()
            await op.until(lambda: op.app.session.taken.is_set(), "all is taken in")
        finally:
            sys.setprofile(None)
        kinds |= {kind for kind in KINDS if getattr(before, kind) is not getattr(op.cluster, kind)}
    assert kinds == KINDS, "it changed"
    return made


@pytest.mark.slow
@pytest.mark.parametrize("keys", [*SCREENS, "node", "job", "beside"])
async def test_a_reading_leaves_no_sum_to_the_event_loop(keys: str) -> None:
    clock = ManualClock()
    async with console((200, 50), clock=clock, incident="cooling") as op:
        if keys in SCREENS:
            await op.command(keys)
        else:
            await op.command("jobs" if keys == "job" else "nodes")
            if keys != "beside":
                await op.press("enter")
        await op.look_again()
        assert not await _made_on_the_loop(op, clock)
