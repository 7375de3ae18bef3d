"""Beside a list on a wide terminal: what the cursor is on, once it rests; switched off it stays off."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pytest

from console.screens.layout.side_pane import REST_S, WALK_REST_S, WALK_S, WIDE
from tests.support.operator import Operator, console

pytestmark = pytest.mark.slow

SIZE = (200, 50)


class Asked:
    """Telemetry that counts."""

    def __init__(self, real) -> None:
        self.real = real
        self.nodes: list[tuple[str, ...]] = []

    def gpus(self, nodes):
        self.nodes.append(tuple(nodes))
        return self.real.gpus(nodes)

    def __getattr__(self, name):
        return getattr(self.real, name)


async def shows(op: Operator, key: str) -> None:
    await op.until(lambda: op.list.side_pane.key == key, f"{key} beside the list")
    await op.pilot.pause()


async def test_it_shows_the_node_under_the_cursor_once_it_rests():
    async with console(SIZE) as op:
        await op.press("2")
        first, second = op.list.table.keys[:2]
        await shows(op, first)
        await op.comes("sampled")
        op.sees("CPUs in jobs", "Jobs here", "GPU 0")
        await op.press("down")
        await shows(op, second)
        assert op.list.side_pane.facts._title[0][0] == second


@pytest.mark.slow
async def test_a_cursor_that_runs_asks_for_nothing_on_its_way():
    async with console(SIZE, nodes=256) as op:
        await op.press("2")
        await shows(op, op.list.table.keys[0])
        await op.comes("sampled")
        asked = op.app.session.telemetry = Asked(op.app.session.telemetry)
        await op.pilot.press(*["down"] * 25)
        last = op.list.table.keys[25]
        await shows(op, last)
        await op.until(lambda: asked.nodes, "the telemetry")
        assert asked.nodes[-1] == (last,) and len(asked.nodes) <= 3, asked.nodes


async def test_where_one_key_follows_the_other_what_lies_between_is_not_painted():
    """At four keys a second over a slow line each cost three times its own bytes."""
    async with console(SIZE) as op:
        await op.press("2")
        beside = op.list.side_pane
        beside._moved_mono = time.monotonic() - WALK_S
        beside.follow()
        assert beside._rest_s == REST_S
        beside.follow()
        assert beside._rest_s == WALK_REST_S > 0.25


async def test_of_another_node_no_sample_is_shown():
    """What comes late is of the node that the cursor was on: it is dropped."""
    async with console(SIZE) as op:
        await op.press("2")
        await op.comes("sampled")
        beside = op.list.side_pane
        late = {beside.key: beside._gpus}
        before = beside.key
        await op.press("down")
        await shows(op, op.list.table.keys[1])
        beside._gpus_fetched(before, late)
        assert not beside._gpus or beside._gpus is not late[before]


async def test_the_jobs_too_with_their_nodes():
    async with console(SIZE) as op:
        await op.press("3")
        running = next(job.id for job in op.cluster.jobs.values() if job.state == "RUNNING" and job.nodes)
        await op.select(running)
        await shows(op, running)
        op.sees(f"Job {running}", "time left", "Nodes ")
        waiting = next(job.id for job in op.cluster.jobs.values() if job.state == "PENDING")
        await op.select(waiting)
        await shows(op, waiting)
        await op.comes("asks ")
        asks = op.cluster.jobs[waiting]
        op.sees("Pending reason", "Slurm says", f"{asks.gpus} GPU", "expected", asks.reason.partition(",")[0])
        op.sees_not("it has no nodes", "looking …")


async def test_why_a_job_waits_asks_nothing_of_it_alone_and_follows_the_cursor():
    async with console(SIZE) as op:
        await op.press("3")
        first, second = [job.id for job in op.cluster.jobs.values() if job.state == "PENDING"][:2]
        queueing = op.app.session.queueing.source
        for name in ("factors", "shares"):
            setattr(queueing, name, lambda *_: pytest.fail("it was asked for a job that is only looked at"))
        await op.select(first)
        await op.comes("Pending reason")
        await op.until(lambda: op.list.side_pane._reason is not None, "the answer")
        before = op.list.side_pane._reason
        await op.select(second)
        await shows(op, second)
        await op.until(lambda: op.list.side_pane._reason not in (None, before), "the answer for the other")
        # What comes late is of the job that the cursor was on: it is dropped.
        now = op.list.side_pane._reason
        op.list.side_pane._reason_fetched(first, before)
        assert op.list.side_pane._reason is now


async def test_a_row_that_goes_is_not_shown_as_there():
    async with console(SIZE) as op:
        await op.press("3")
        await shows(op, op.list.table.keys[0])
        # Read off the pane: what is painted next may be of the row that the cursor has meanwhile.
        op.list.side_pane.key = "gone"
        op.list.side_pane.paint()
        (told,) = op.list.side_pane.facts.lines
        assert "".join(text for text, _ in told.spans) == "job gone is not in the queue any more"


@pytest.mark.slow
async def test_w_takes_it_away_and_the_next_console_remembers():
    async with console(SIZE) as op:
        await op.press("2")
        op.sees("w list alone")
        await op.press("w")
        assert not op.list.side_pane.is_on and op.list.table.size.width == SIZE[0]
        path = Path(os.environ["XDG_STATE_HOME"]) / "wacht" / "views"
        await op.until(lambda: path.exists() and "beside off" in path.read_text(), "the file")
        await op.press("3")
        assert not op.list.side_pane.is_on
    async with console(SIZE) as op:
        await op.until(lambda: op.app.input.views, "the views")
        await op.press("2")
        assert not op.list.side_pane.is_on
        await op.press("w")
        assert op.list.side_pane.is_on
        await shows(op, op.list.table.keys[0])


@pytest.mark.parametrize("width", [80, 120, WIDE - 1])
async def test_a_narrow_terminal_has_the_list_alone(width):
    async with console((width, 30)) as op:
        await op.press("2")
        assert not op.list.side_pane.is_on and op.list.table.size.width == width
        await op.press("w")
        op.sees("there is room beside a list from")
        await op.pilot.resize_terminal(WIDE, 40)
        await op.pilot.pause()
        assert op.list.side_pane.is_on


@pytest.mark.slow
async def test_the_cursor_is_as_quick_with_it():
    async with console(SIZE, nodes=1024) as op:
        await op.press("2")
        await shows(op, op.list.table.keys[0])
        table, took = op.list.table, {True: [], False: []}
        for _ in range(2):
            for on in (True, False):
                assert op.list.side_pane.is_on is on
                for _ in range(15):
                    begin = time.thread_time()
                    table.action_step(1)
                    await op.pilot._wait_for_screen()
                    took[on].append(time.thread_time() - begin)
                await op.press("w")
        alone, beside = statistics.median(took[False]), statistics.median(took[True])
        # The same; to paint it at every move is four times as much.
        assert beside < 1.7 * alone, f"{beside * 1000:.1f} ms a move, {alone * 1000:.1f} ms without it"


async def test_tab_goes_into_it_and_actions_stay_with_the_list():
    async with console(SIZE) as op:
        await op.press("2")
        await op.select(op.node("allocated")[0])
        key = op.list.table.cursor_key
        await shows(op, key)
        await op.press("tab", "tab")
        assert op.list.focused in (op.list.side_pane.gpus, op.list.side_pane.more, op.list.side_pane.facts)
        assert op.list.targets("node") == (key,)
