"""Every action against a living Slurm of each version, done and refused: sent by our writer, proven by our reading."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .roots import SUITES
from .running import running
from .slurm import Lab
from .writer_cases import (  # noqa: F401 - the tests are collected here, with the desk of this module
    SETTINGS,
    Act,
    Desk,
    test_a_drain_that_ends_by_itself,
    test_a_reboot_that_waits_is_called_off_by_a_resume,
    test_cancel_is_silent_about_what_is_gone,
    test_down_kills_the_jobs,
    test_drains_keep_work_and_reasons,
    test_holds_of_two_kinds,
    test_reboots_come_back_as_they_were_told,
    test_requeue_and_what_cannot_be,
    test_resume_is_followed_until_slurmd_registers,
    test_what_works_has_nothing_to_resume_and_is_named_when_alone,
    test_without_rights_everything_is_refused_by_name,
)


@pytest.fixture(scope="module", params=SUITES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from running(request.param, nodes=8)


@pytest.fixture
def desk(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    yield Desk(lab, monkeypatch)
    monkeypatch.undo()
    lab.reset()


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_priorities(desk: Desk) -> None:
    one, two, held, works = desk.waits(), desk.waits(), desk.waits(hold=True), desk.runs("gpu0001")
    (array,) = desk.lab.submit(1, gpus=1, array="0-3", begin="now+1hour")
    wanted = {one: 7, f"{array}_2": 7, works: 9, two: 0xFFFFFFFD, held: 7, "99999": 7}
    act = desk.does("priority", *wanted, values={job: str(to) for job, to in wanted.items()})
    assert len(act.sent) == 3 and act.refused == {
        held: "Job is in held state, pending scheduler release", "99999": "Invalid job id specified",
    }  # fmt: skip
    assert act.ends() == dict.fromkeys((one, f"{array}_2", works, two), "")
    assert desk.job(f"{array}_1").priority not in {7, None} and desk.job(held).priority == 0
