"""Arrays as one row, the order "trouble first", and which arrays may be named by their own id."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import pytest

from collectors.model import Source
from console.actions.refusals import key_refusal
from console.actions.registry import keys_for
from console.queue.job_arrays import (
    MAX_PLACED,
    JobArray,
    endangered,
    fold_arrays,
    one_array,
    tasks_label,
    tasks_of,
    urgency,
    whole_arrays,
)
from tests.support.make import cluster, job, node


def tasks(*numbers: int, base: str = "101", **more):
    return [job(f"{base}_{number}", **more) for number in numbers]


def folded(*jobs, before=None):
    return fold_arrays({one.id: one for one in jobs}, before)


def test_the_tasks_of_an_array_are_one_row_with_a_count_of_each_state():
    rows = folded(
        job("7"),
        *tasks(*range(3, 10), state="PENDING", reason="Priority", gpus=4),
        *tasks(0, 1, gpus=8, gpus_held=8, node_count=1),
        *tasks(2, state="PENDING", reason="JobHeldUser"),
    )
    assert list(rows) == ["7", "101_*"]
    array = rows["101_*"]
    assert isinstance(array, JobArray)
    assert (array.id, array.state, array.gpus, array.node_count) == ("101_[0-9]", "RUNNING", 16, 2)
    assert array.counts == (("running", 2), ("pending", 7), ("held", 1))
    assert array.task_ids == tuple(f"101_{number}" for number in range(10)), "in the order of their numbers"


def test_an_array_has_a_task_of_each_kind_and_names_the_first_that_have_nodes():
    array = folded(
        *tasks(*range(1000, 3000), state="PENDING", reason="Priority"),
        *tasks(*range(500), nodes="gpu001"),
        *tasks(5000, state="PENDING", reason="JobHeldUser"),
    )["101_*"]
    assert isinstance(array, JobArray)
    assert [task.id for task in array.samples] == ["101_0", "101_1000", "101_5000"]
    assert array.placed == tuple(f"101_{number}" for number in range(MAX_PLACED))


@pytest.mark.parametrize("states", combinations_with_replacement(("RUNNING", "PENDING", "SUSPENDED", "COMPLETED"), 2))
def test_a_key_is_refused_on_the_tasks_of_each_kind_exactly_where_it_is_on_all_tasks(states):
    reasons = (None, "Priority", "JobHeldUser", "JobHeldAdmin")
    for pair in product(reasons, repeat=2):
        few = [
            one
            for at, (state, reason) in enumerate(zip(states, pair, strict=True))
            for one in tasks(*range(at * 3, at * 3 + 3), state=state, reason=reason, priority=0 if reason else 9)
        ]
        array, queue = folded(*few)["101_*"], cluster(jobs=few)
        assert isinstance(array, JobArray) and len(array.samples) <= 2
        for action in keys_for("job"):
            some = key_refusal(action, queue, [task.id for task in array.samples])
            assert (some is None) == (key_refusal(action, queue, array.task_ids) is None), (action.id, pair)


def test_a_single_task_and_a_part_of_a_heterogeneous_job_stay_what_they_are():
    rows = folded(*tasks(5), job("9+0"), job("9+1"))
    assert list(rows) == ["9+0", "9+1", "101_5"] and not any(isinstance(row, JobArray) for row in rows.values())


def test_an_array_that_did_not_change_is_the_same_object():
    same, other = tasks(0, 1), tasks(0, 1, base="102")
    first = folded(*same, *other)
    second = folded(*same, job("102_0", "PENDING"), other[1], before=first)
    assert second["101_*"] is first["101_*"] and second["102_*"] is not first["102_*"]


@pytest.mark.parametrize(
    ("numbers", "label"),
    [
        (range(1000), "1_[0-999]"),
        ((0, 1, 4), "1_[0-1,4]"),
        (range(0, 100, 2), "1_[0…98]"),
    ],
)
def test_a_label_names_the_tasks_or_the_ends_of_a_long_list(numbers, label):
    assert tasks_label("1", list(numbers)) == label


def test_trouble_is_first_then_running_work_by_gpus_then_what_waits_by_priority():
    rows = [
        job("1", "COMPLETED"),
        job("2", "PENDING", reason="JobHeldUser", priority=0),
        job("3", "PENDING", reason="Priority", priority=10),
        job("4", "PENDING", reason="Resources", priority=99),
        job("5", "PENDING", reason="DependencyNeverSatisfied", priority=99),
        job("6", gpus_held=1),
        job("7", gpus_held=8),
        job("8", gpus_held=8),
        job("9", "NODE_FAIL"),
    ]
    assert [one.id for one in sorted(rows, key=urgency)] == ["9", "8", "7", "6", "5", "4", "3", "2", "1"]


def test_jobs_on_a_node_that_is_down_are_in_danger():
    made = cluster(
        nodes=[node("gpu1", "DOWN"), node("gpu2", "ALLOCATED"), node("gpu3", "ALLOCATED+DRAIN")],
        jobs=[job("1", nodes="gpu1"), job("2", nodes="gpu2"), job("3", nodes="gpu3")],
    )
    assert endangered(made) == {"1"}


def test_the_key_of_an_array_finds_its_tasks():
    jobs = ["101_0", "1010_1", "101", "101_7"]
    assert tasks_of("101_*", jobs) == ("101_0", "101_7") and tasks_of("101_0", jobs) == ()
    assert one_array(["101_0", "101_7"]) == "101" and one_array(["101_0", "102_0"]) == one_array(["101"]) == ""


def arrays(targets, jobs, hidden=frozenset()):
    made = cluster(jobs=jobs, sources=[Source(name="slurm.jobs", ok=True, hidden=hidden)])
    return whole_arrays(targets, made)


def test_an_array_is_whole_where_all_tasks_that_have_not_ended_are_targets():
    jobs = [*tasks(0, 1), *tasks(2, state="COMPLETED"), *tasks(0, 1, base="102"), job("103")]
    assert arrays(("101_0", "101_1", "102_0", "103"), jobs) == {"101": ("101_0", "101_1")}


@pytest.mark.parametrize("hidden", ["101_*", "*_5", "*", "101_4"])
def test_an_array_of_which_rows_were_left_out_is_never_whole(hidden):
    assert arrays(("101_0", "101_1"), tasks(0, 1), frozenset({hidden})) == {}
