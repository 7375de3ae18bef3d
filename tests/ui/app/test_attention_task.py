"""What needs a person is judged off the event loop, and what is shown is always the newest of what is true."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from operator import is_
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from collectors.clock import ManualClock
from console.app import cluster_switching
from console.runtime import memo
from console.screens.clusters import ClustersScreen
from console.screens.layout.screen import stepped
from console.screens.overview import OverviewScreen
from console.triage import attention as judging
from tests.support.operator import Operator, console
from tests.support.replays import Direct
from tests.support.two_clusters import A, B, Both, consoles


class Judge:
    """Stands for `needs`: knows who called, and can hold the next one that a thread makes for a screen, not for a
    reading that is made ready."""

    def __init__(self, real: Callable[..., Any]) -> None:
        self._real = real
        self.on_the_loop = 0
        self.hold = False
        self.held, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *given: Any, **more: Any) -> Any:
        found = self._real(*given, **more)
        if (at := threading.current_thread()) is threading.main_thread():
            self.on_the_loop += 1
        elif self.hold and not at.name.startswith("reduce "):
            self.hold = False
            self.held.set()
            assert self.go_on.wait(30)
        return found


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    made = Judge(judging.attention_lines)
    monkeypatch.setattr(judging, "attention_lines", made)
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


@pytest.mark.slow
async def test_no_step_of_the_clock_and_no_reading_is_judged_on_the_loop(judge: Judge) -> None:
    clock = ManualClock()
    async with console(clock=clock) as op:
        await op.look_again()
        over, judge.on_the_loop = _overview(op), 0
        for _ in range(3):
            clock.advance(10.0)
            over.tick(over.ctx())
            await op.until(lambda: op.app.session.judgements[0].now == over.ctx().now, "a thread has judged it")
            await op.press("3")
            await op.look_again()
            await op.press("1")
        assert judge.on_the_loop == 0


async def test_it_is_judged_before_anybody_has_looked(judge: Judge) -> None:
    async with console(screen="nodes") as op:
        await op.look_again()
        judge.on_the_loop = 0
        await op.press("1")
        op.sees("Attention")
        assert judge.on_the_loop == 0


async def test_what_a_thread_judged_too_late_is_not_shown(judge: Judge) -> None:
    clock = ManualClock()
    async with console(clock=clock) as op:
        over = await _being_judged(op, judge, clock)
        left = op.app.session.still_closed = type(op.app.session.still_closed)()  # the journal was read meanwhile
        clock.advance(10.0)
        over.tick(over.ctx())
        await op.until(lambda: op.app.session.judgements[0].by.still_closed is left, "it was judged by that")
        await _let_go(op, judge)
        assert (
            op.app.session.judgements[0].by.still_closed is left and op.app.session.judgements[0].now == over.ctx().now
        )


async def test_a_clock_of_another_time_is_never_mixed_in(judge: Judge) -> None:
    clock = ManualClock()
    async with console(clock=clock) as op:
        over = await _being_judged(op, judge, clock)
        other = ManualClock(clock.now() - 3600)
        op.app.session.clock = other
        over.tick(over.ctx())
        await _let_go(op, judge)
        assert op.app.session.judgements[0].by.clock is other


class All(NamedTuple):
    """The Clusters screen of two machines, both judged."""

    op: Both
    judge: Judge
    answers: list[dict[str, Any]]
    """Of the thread, in order."""

    @property
    def screen(self) -> ClustersScreen:
        found = self.op.app.get_screen("clusters")
        assert isinstance(found, ClustersScreen)
        return found

    def goes_on(self, seconds: float) -> None:
        """The clock, and what comes with it."""
        self.op.app.clock.advance(seconds)
        self.screen.tick(self.screen.ctx())

    async def judged(self) -> None:
        """As it is by now, if by the console's own tick: a reading may have been on its way when the clock went on."""
        now = self.screen.ctx().now
        await self.op.until(lambda: self.times == {now} and not self.screen._judging, "both are judged")
        await self.op.pilot.pause()

    async def held(self) -> None:
        """A thread judges them, and does not come to an end."""
        self.judge.hold = True
        self.goes_on(10.0)
        await self.op.until(self.judge.held.is_set, "a thread judges")

    @property
    def times(self) -> set[float]:
        """Of what was judged last, or broke."""
        return {getattr(one, "now", 0.0) for one in self.screen._judged.values()}

    def line(self, name: str) -> str:
        return [line for line in self.op.screen().split("\n") if name in line][-1]


@pytest.fixture
async def every(judge: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[All]:
    monkeypatch.setattr(cluster_switching, "OPEN_OTHERS_S", 0.01)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with consoles(size=(200, 50)) as op:
        await op.both()
        judge.on_the_loop = 0
        await op.press("9")
        await op.until(lambda: op.screen().count("Not responding") == 2, "what needs somebody in both")
        found = All(op, judge, [])
        took = found.screen._judgements_ready

        def taken(answer: dict[str, Any]) -> None:
            found.answers.append(answer)
            took(answer)

        monkeypatch.setattr(found.screen, "_judgements_ready", taken)
        await found.judged()
        yield found


async def test_all_clusters_are_judged_in_a_thread(every: All) -> None:
    for _ in range(3):
        every.goes_on(10.0)
        await every.judged()
    assert every.judge.on_the_loop == 0


async def test_what_breaks_is_told_in_its_line_and_exported(
    every: All, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(cluster: Any, *given: Any, **more: Any) -> Any:
        if cluster.name == B:
            raise KeyError("rack")
        return every.judge(cluster, *given, **more)

    monkeypatch.setattr(judging, "attention_lines", broken)
    every.goes_on(10.0)
    await every.op.until(lambda: "not judged: KeyError: 'rack'" in every.line(B), "it is told")
    assert "Not responding" in every.line(f"▶ {A}")
    file = tmp_path / "clusters.csv"
    await every.op.burst(f":export csv {file}\n")
    await every.op.until(lambda: file.exists() and file.read_text(), "it is written")
    assert "Not responding" in file.read_text() and "not judged: KeyError: 'rack'" in file.read_text()
    monkeypatch.setattr(judging, "attention_lines", every.judge)
    await every.op.press("2")
    monkeypatch.setattr(every.judge, "hold", True)
    await every.op.press("9")
    await every.op.until(lambda: "judging …" in every.line(B), "what broke then is not told as of now")
    every.judge.go_on.set()
    await every.op.until(lambda: "Not responding" in every.line(B), "it is judged again")


async def test_one_thread_judges_and_its_answer_counts_whatever_comes_meanwhile(every: All) -> None:
    await every.held()
    asked = every.screen.ctx().now
    for _ in range(3):
        every.goes_on(5.0)
    assert sum(one.group == "needs" for one in every.op.app.workers) == 1
    before = len(every.answers)
    every.judge.go_on.set()
    await every.judged()
    assert {one.now for one in every.answers[before].values()} == {asked}


async def test_what_was_judged_long_ago_is_not_shown(every: All) -> None:
    await every.op.press("2")
    every.op.app.clock.advance(60.0)
    every.judge.hold = True
    await every.op.press("9")
    assert every.op.screen().count("judging …") == 2, "at once, and not at the next tick"
    every.judge.go_on.set()
    await every.op.until(lambda: every.op.screen().count("Not responding") == 2, "and now it is")


@pytest.mark.slow
async def test_what_is_closed_while_it_is_judged_leaves_nothing(every: All) -> None:
    await every.held()
    threads = set(every.op.app.fleet.sessions[B].poller._threads)
    await every.op.command(f"close {B}")
    await every.op.until(lambda: not any(one.is_alive() for one in threads), "its threads end")
    await every.op.until(lambda: not [one for one in every.op.app.workers if one.group == "cluster"], "it has stopped")
    every.judge.go_on.set()
    await every.judged()
    assert not [kept for kept in memo._every if B in kept] and B not in every.screen._judged


@pytest.mark.slow
async def test_the_present_is_judged_by_the_present_while_the_past_is_shown(every: All, tmp_path: Path) -> None:
    app, op = every.op.app, every.op
    app.session.recorder = Direct(app, tmp_path / "a.wacht")
    for _ in range(3):
        app.clock.advance(20.0)
        await op.look_again()
    await every.judged()
    clock, resumed, left = app.clock, app.session.resumed, app.session.still_closed
    await op.press("T")
    await op.until(lambda: app.fleet.in_replay_mode and "paused" in op.screen(), "the past")
    assert app.session.still_closed is not left and app.clock is not clock
    await op.until(lambda: app.updates._last_tick > 0, "the tick of its own that the past begins with")
    for _ in range(2):
        clock.advance(60.0)
        # By the console's own tick: the clock of the recording stands, and the others go on.
        await op.until(lambda: every.times == {stepped(clock.now())}, "both are judged meanwhile")
    assert all(map(is_, every.screen._judged[A].by, (clock, resumed, left)))
    await op.press("2")
    clock.advance(3600.0)
    every.judge.hold = True
    await op.press("9")
    assert op.screen().count("judging …") == 2, "nothing of an hour ago, also where no reading has come since"
    every.judge.go_on.set()
    await op.until(lambda: op.screen().count("Not responding") == 2, "it is judged")
