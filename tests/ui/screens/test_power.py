"""Charts say nothing before they were asked for, and are asked for once somebody is there to take the answer."""

from __future__ import annotations

import math

from textual.app import App, ComposeResult
from textual.geometry import Region

from console.screens.power import PowerScreen
from tests.support.operator import console
from widgets.chart import Chart


class One(App[None]):
    """A chart, and nothing else."""

    def compose(self) -> ComposeResult:
        yield Chart(id="chart")


async def test_a_chart_that_was_never_shown_anything_says_nothing():
    app = One()
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.pause()
        lines = app.query_one(Chart).render_lines(Region(0, 0, 40, 10))
        assert len(lines) == 10 and not "".join(line.text for line in lines).strip()


async def test_a_screen_that_is_only_coming_asks_for_nothing():
    """A source that answers at once would answer nobody, and with a clock that stands (in a replay) never again."""
    async with console((200, 50)) as op:
        op.app.push_screen("power")
        op.app.updates._last_tick = -math.inf
        op.app._tick()
        assert isinstance(op.app.screen, PowerScreen) and op.app.screen._chart_mono is None
        await op.comes("Site power")
