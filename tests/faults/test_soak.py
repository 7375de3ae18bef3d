"""Two minutes of a machine that changes and of sources that fail in turn; an hour of it by hand is `make soak`."""

from __future__ import annotations

import pytest

from tests.bench import soak_faults
from tests.faults import fault


@fault(
    "process",
    "two minutes of faults in turn (hang, flood, cut, refusal, nothing, no text) while the machine changes",
    "every source comes back; memory, descriptors, threads stay level, no zombie is left",
    "soak",
)
@pytest.mark.pty
@pytest.mark.xdist_group("soak")
@pytest.mark.timeout(900)  # two minutes of faults, and what it takes to come back on a busy machine
def test_faults_in_turn_leave_nothing_behind():
    rows = soak_faults.measured(minutes=2.0)
    found = {row.what: row for row in rows}
    assert found["faults survived"].value >= 10
    missed = [f"{row.what}: {row.value} {row.unit}" for row in rows if row.verdict == "MISSED"]
    assert not missed
