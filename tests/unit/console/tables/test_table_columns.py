"""What stays of the tables on a terminal of 80 columns, the smallest there is a promise for."""

from __future__ import annotations

import pytest

from console.fields.common_cells import Ctx
from console.fields.job_fields import JOBS
from console.fields.node_fields import NODES
from tests.support.make import cluster, job
from widgets.column_layout import place_columns
from widgets.row_painter import GUTTER
from widgets.table_column import Column
from widgets.units import UNKNOWN


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        pytest.param(JOBS, ("id", "state", "user", "partition", "gpus", "left", "where"), id="jobs: why it waits"),
        pytest.param(NODES, ("name", "state", "reason"), id="nodes"),
    ],
)
def test_what_an_action_is_decided_by_is_in_sight(columns: tuple[Column, ...], kept: tuple[str, ...]) -> None:
    shown = [one.column.key for one in place_columns(columns, 80 - 1, GUTTER)]
    assert [key for key in shown if key in kept] == list(kept)


def test_a_column_that_can_be_spared_makes_no_other_narrower() -> None:
    """At 120 columns there would be room for an account, if every name of a job were cut."""
    widths = {one.column.key: one.width for one in place_columns(JOBS, 120 - 1, GUTTER)}
    assert "account" not in widths and widths["name"] >= 12 and widths["where"] >= 15


@pytest.mark.parametrize(
    ("limit", "unlimited", "shown"), [(3600, False, "1h 00m"), (None, True, "no limit"), (None, False, UNKNOWN)]
)
def test_a_time_limit_that_is_unknown_is_not_none_at_all(limit: int | None, unlimited: bool, shown: str) -> None:
    running = job("7", nodes="gpu0001", started=1_000, time_limit_s=limit, unlimited=unlimited)
    column = next(one for one in JOBS if one.key == "left")
    cell = column.cell(running, Ctx(cluster(jobs=[running]), 1_000.0))
    assert (cell if isinstance(cell, str) else cell[0]) == shown
