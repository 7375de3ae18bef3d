"""The jobs: trouble first, an array on one line, and what an action on that line hits."""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from console.queue.job_arrays import JobArray
from tests.support.operator import console

#: A machine of this size has arrays that wait, and some whose tasks run as well.
NODES = 256


@pytest.fixture(autouse=True)
def _own_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def array_in(op, words: set[str]) -> str:
    """The key of an array whose tasks are in these states."""
    table = op.list.table
    return next(
        key
        for key in table.keys
        if isinstance(row := table.row_of(key), JobArray) and {word for word, _ in row.counts} == words
    )


async def test_running_work_is_first_and_the_head_names_the_order():
    async with console(nodes=NODES) as op:
        await op.press("3")
        op.sees("order: trouble first")
        rows = [op.list.table.row_of(key) for key in op.list.table.keys]
        states = [row.state for row in rows]
        assert states[0] == "RUNNING" and states.index("PENDING") == states.count("RUNNING")
        await op.press("o", "u")
        op.sees_not("order: trouble first")
        await op.press("o", "t")
        op.sees("order: trouble first")
        assert [op.list.table.row_of(key) for key in op.list.table.keys] == rows


async def test_an_array_is_one_line_until_it_is_unfolded():
    async with console(nodes=NODES) as op:
        await op.press("3")
        table = op.list.table
        key = array_in(op, {"pending"})
        tasks = [task.id for task in table.row_of(key).tasks]
        assert len(table.keys) < len(op.cluster.jobs) and not set(tasks) & set(table.keys)
        op.sees(f" {len(op.cluster.jobs):,} ")
        await op.select(key)
        op.sees(f"{len(tasks)} pending", "+ unfold")
        for unfold, fold in (("plus", "minus"), ("enter", "enter")):
            await op.press(unfold)
            at = table.keys.index(key)
            assert list(table.keys[at : at + len(tasks) + 1]) == [key, *tasks] and table.cursor_key == key
            op.sees("- fold")
            await op.press(fold)
            assert tasks[0] not in table.keys and table.cursor_key == key
        await op.press("plus", "down", "down", "minus")
        assert table.cursor_key == key and tasks[0] not in table.keys, "from a task as well"


async def test_tasks_follow_their_array_in_any_order_and_through_a_reading():
    async with console(nodes=NODES) as op:
        await op.press("3")
        key = array_in(op, {"pending"})
        await op.select(key)
        await op.press("plus", "o", "u", "O")
        table = op.list.table
        tasks = [task.id for task in table.row_of(key).tasks]
        at = table.keys.index(key)
        assert list(table.keys[at + 1 : at + 1 + len(tasks)]) == tasks
        await op.look_again()
        at = table.keys.index(key)
        assert list(table.keys[at + 1 : at + 1 + len(tasks)]) == tasks and table.cursor_key == key


class Counted(tuple):
    """Tasks of an array that count how often all of them are walked over."""

    walks = 0

    def __iter__(self):
        type(self).walks += 1
        return super().__iter__()


async def test_the_event_loop_never_walks_over_the_tasks_of_a_folded_array(monkeypatch):
    monkeypatch.setattr(Counted, "walks", 0)
    async with console((200, 50), nodes=NODES) as op:
        await op.press("3")
        table = op.list.table
        key = array_in(op, {"pending"})
        array = table.row_of(key)
        table.view.rows[key] = structs.replace(array, tasks=Counted(array.tasks))
        await op.select(key)
        op.list.side_pane._rested()
        await op.comes("Job array")
        await op.press("down", "up")
        op.list.refresh_keys()
        op.list.tick(op.list.ctx())
        await op.press("question_mark", "escape")
        assert Counted.walks == 0 and table.cursor_key == key
        assert len(op.list.sample_targets("job")) == len(array.kinds) < len(op.list.targets("job"))
        assert Counted.walks > 0, "an action does name each task"


async def test_minus_goes_to_the_view_before_where_there_is_nothing_to_fold():
    async with console(nodes=NODES) as op:
        await op.press("2", "3", "home", "minus")
        assert op.app.screen.crumb == "nodes"


async def test_a_cancelled_array_goes_out_under_its_own_id_and_the_preview_counts_its_tasks():
    async with console(nodes=NODES) as op:
        await op.press("3")
        key = array_in(op, {"pending"})
        tasks = op.list.table.row_of(key).task_ids
        await op.select(key)
        await op.press("K")
        base = key.removesuffix("_*")
        await op.comes("Cancel")
        assert op.dialog.plan.change.targets == tasks
        op.sees(f"{len(tasks)} tasks of array {base}", "sent as one id", f"scancel {base}")
        await op.confirm(answer=str(len(tasks)))
        await op.until(lambda: not set(tasks) & set(op.machine.jobs()), "all tasks are cancelled")


@pytest.mark.slow
async def test_of_a_filtered_array_only_the_tasks_that_match_are_hit_by_name():
    async with console(nodes=NODES) as op:
        await op.press("3")
        key = array_in(op, {"pending"})
        some = op.list.table.row_of(key).task_ids[:2]
        await op.filter("|".join(f"id={task}" for task in some))
        await op.select(key)
        op.sees(f" 2 of {len(op.cluster.jobs):,}")
        assert op.list.targets("job") == some
        await op.press("K")
        await op.comes("Cancel")
        assert op.dialog.plan.change.arrays == {}
        op.sees(f"scancel {' '.join(some)}")


@pytest.mark.slow
async def test_a_marked_array_stands_for_its_tasks_also_where_a_filter_hides_it():
    async with console(nodes=NODES) as op:
        await op.press("3")
        key = array_in(op, {"pending"})
        tasks = op.list.table.row_of(key).task_ids
        await op.select(key)
        await op.press("space")
        await op.filter("state=running")
        assert op.list.table.marked == {key} and set(op.list.targets("job")) == set(tasks)
        keys, rows = op.list.exported()
        assert set(keys) == set(tasks) == set(rows)


@pytest.mark.slow
async def test_an_export_has_each_task(tmp_path):
    async with console(nodes=NODES) as op:
        await op.press("3")
        file = tmp_path / "jobs.json"
        await op.command(f"export json {file}")
        await op.until(file.exists, "the file")
        await op.app.workers.wait_for_complete()
        assert {row["id"] for row in json.loads(file.read_text())} == set(op.cluster.jobs)


@pytest.mark.parametrize(
    ("screen", "titles"),
    [
        ("2", ("node", "state", "GPUs", "rack", "GPU util", "since", "reason")),
        ("3", ("job", "state", "user", "part", "GPUs", "left", "nodes or why")),
    ],
)
async def test_what_decides_is_there_at_80_columns(screen, titles):
    async with console((80, 24)) as op:
        await op.press(screen)
        assert tuple(place.column.title for place in op.list.table._placed) == titles


async def test_beside_the_list_an_array_shows_its_tasks_by_state():
    async with console((200, 50), nodes=NODES) as op:
        await op.press("3")
        key = array_in(op, {"pending"})
        await op.select(key)
        await op.comes("Job array")
        op.sees("Pending reason of")


@pytest.mark.slow
async def test_there_is_no_pane_beside_an_empty_list():
    async with console((200, 50)) as op:
        await op.press("3")
        assert op.list.side_pane.is_on
        await op.filter("user=nobody_of_that_name")
        assert not op.list.table.keys and not op.list.side_pane.is_on
        await op.press("escape")
        assert op.list.side_pane.is_on
