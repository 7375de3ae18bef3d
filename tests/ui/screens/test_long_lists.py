"""Lists too long to be filtered and sorted while keys wait: made by other threads, exact all the same."""

from __future__ import annotations

import threading

import pytest

from console.screens.layout import list_screen
from tests.support.operator import console


@pytest.fixture(autouse=True)
def _own_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


async def test_a_long_list_is_filtered_by_another_thread_and_nothing_is_marked_until_it_is(monkeypatch):
    monkeypatch.setattr(list_screen, "MAX_SYNC_ROWS", 10)
    async with console() as op:
        await op.press("2")
        await op.until(lambda: len(op.list.table.keys) == 64, "all nodes stand there")
        release, by, arrange = threading.Event(), [], list_screen.arrange

        def slow(*of):
            by.append(threading.current_thread())
            release.wait(20)
            return arrange(*of)

        monkeypatch.setattr(list_screen, "arrange", slow)
        op.list.set_filter("rack=R01")
        await op.press("asterisk")
        op.sees("… of 64", "rack=R01")
        assert not op.list.table.marked, "the 64 that stand there still are not what was asked for"
        release.set()
        await op.until(lambda: not op.list.table.rows_outdated, "the filtered rows are there")
        names = {name for name, node in op.cluster.nodes.items() if node.rack == "R01"}
        assert set(op.list.table.keys) == names
        await op.press("asterisk")
        assert op.list.table.marked == names
        assert threading.main_thread() not in by


async def test_the_thread_that_reads_puts_the_rows_in_order_before_they_are_looked_at(monkeypatch):
    async with console() as op:
        jobs = op.app.get_screen("jobs")
        await op.until(lambda: jobs._prepared is not None and jobs._is_current(op.cluster), "made by the reader")
        monkeypatch.setattr(list_screen, "arrange", None)  # called now, it would raise
        await op.press("3")
        assert op.list.table._view is jobs._prepared.view
        assert jobs._prepared.matches == len(op.cluster.jobs)
