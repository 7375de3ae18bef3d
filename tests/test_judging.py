"""What needs a person is judged off the event loop, and what is shown is always the newest of what is true."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.clock import ManualClock
from console import fleet
from console import needs as judging
from console.screens.overview import OverviewScreen
from tests.operator import Operator, console
from tests.test_clusters import A, B, consoles


class Judge:
    """Stands for `needs`: knows who called, and can hold the next one that a thread makes."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self.on_the_loop = 0
        self.hold = False
        self.held, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *given: Any, **more: Any) -> Any:
        found = self._real(*given, **more)
        if threading.current_thread() is threading.main_thread():
            self.on_the_loop += 1
        elif self.hold:
            self.hold = False
            self.held.set()
            assert self.go_on.wait(30)
        return found


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    made = Judge(judging.needs)
    monkeypatch.setattr(judging, "needs", made)
    yield made
    made.go_on.set()


def _overview(op: Operator) -> OverviewScreen:
    found = op.app.get_screen("overview")
    assert isinstance(found, OverviewScreen)
    return found


async def _being_judged(op: Operator, judge: Judge, clock: ManualClock) -> OverviewScreen:
    """The overview, while a thread is held that judges its next step."""
    await op.look_again()
    over, judge.hold = _overview(op), True
    clock.advance(10.0)
    over.tick(over.ctx())
    await op.until(judge.held.is_set, "a thread judges")
    return over


async def _let_go(op: Operator, judge: Judge) -> None:
    judge.go_on.set()
    await op.until(lambda: not [one for one in op.app.workers if one.group == "needs"], "all is judged")
    await op.pilot.pause()


async def test_no_step_of_the_clock_and_no_reading_is_judged_on_the_loop(judge: Judge) -> None:
    clock = ManualClock()
    async with console(clock=clock) as op:
        await op.look_again()
        over, judge.on_the_loop = _overview(op), 0
        for _ in range(3):
            clock.advance(10.0)
            over.tick(over.ctx())
            await op.until(lambda: over._made[0].now == over.ctx().now, "a thread has judged it")
            await op.press("3")
            await op.look_again()
            await op.press("1")
        assert judge.on_the_loop == 0


async def test_it_is_judged_before_anybody_has_looked(judge: Judge) -> None:
    async with console(screen="nodes") as op:
        await op.look_again()
        judge.on_the_loop = 0
        await op.press("1")
        op.sees("Needs you")
        assert judge.on_the_loop == 0


async def test_what_a_thread_judged_too_late_is_not_shown(judge: Judge) -> None:
    clock = ManualClock()
    async with console(clock=clock) as op:
        over = await _being_judged(op, judge, clock)
        left = op.app.left = type(op.app.left)()  # the journal was read meanwhile
        clock.advance(10.0)
        over.tick(over.ctx())
        await op.until(lambda: over._made[0].left is left, "it was judged by that")
        await _let_go(op, judge)
        assert over._made[0].left is left and over._made[0].now == over.ctx().now


async def test_a_clock_of_another_time_is_never_mixed_in(judge: Judge) -> None:
    clock = ManualClock()
    async with console(clock=clock) as op:
        over = await _being_judged(op, judge, clock)
        other = ManualClock(clock.now() - 3600)
        op.app.clock = other
        over.tick(over.ctx())
        await _let_go(op, judge)
        assert over._made[0].clock is other


async def test_all_clusters_are_judged_in_a_thread_and_what_breaks_is_told_in_its_line(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fleet, "LATER_S", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with consoles(size=(200, 50)) as op:
        await op.both()
        judge.on_the_loop = 0
        await op.press("9")
        await op.until(lambda: op.screen().count("Not responding") == 2, "what needs somebody in both")
        screen = op.app.screen
        for _ in range(3):
            op.app.clock.advance(10.0)
            screen.tick(screen.ctx())
            await op.until(lambda: all(screen._judged[name].now == screen.ctx().now for name in (A, B)), "both judged")
        assert judge.on_the_loop == 0

        def broken(cluster: Any, *given: Any, **more: Any) -> Any:
            if cluster.name == B:
                raise KeyError("rack")
            return judge(cluster, *given, **more)

        monkeypatch.setattr(judging, "needs", broken)
        op.app.clock.advance(10.0)
        screen.tick(screen.ctx())
        await op.until(lambda: "not judged: KeyError: 'rack'" in op.screen(), "it is told")
        here, there = ([line for line in op.screen().split("\n") if name in line][-1] for name in (f"▶ {A}", B))
        assert "Not responding" in here and "not judged" in there
        monkeypatch.setattr(judging, "needs", judge)
        op.app.clock.advance(10.0)
        screen.tick(screen.ctx())
        await op.until(lambda: op.screen().count("Not responding") == 2, "the next look judges it again")
