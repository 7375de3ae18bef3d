"""Fixtures: a live Slurm of each version, started once per test session and stopped with it.

A machine that cannot have a lab skips these tests and says why; under CI=true that is a failure, so that a green run
has seen both versions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .roots import SUITES, LabError, root_of, why_not
from .slurm import Lab

_FIXTURES = {"lab", *(f"lab_{suite}" for suite in SUITES)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses a lab carries the marker `lab`, so that `-m "not lab"` never misses one."""
    for item in items:
        if _FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("lab")


@pytest.fixture(scope="session")
def lab_trixie() -> Iterator[Lab]:
    """Slurm 24.11 with 64 nodes, shared by the session: `lab.reset()` cleans what another test left."""
    yield from running("trixie")


@pytest.fixture(scope="session")
def lab_forky() -> Iterator[Lab]:
    """Slurm 26.05 with 64 nodes, shared by the session: `lab.reset()` cleans what another test left."""
    yield from running("forky")


@pytest.fixture(params=SUITES)
def lab(request: pytest.FixtureRequest) -> Lab:
    """Each version in turn."""
    found: Lab = request.getfixturevalue(f"lab_{request.param}")
    return found


def running(suite: str, **options: object) -> Iterator[Lab]:
    """A lab for the length of a fixture, or a skip with the reason; a lab that starts badly is always an error."""
    require(suite)
    with Lab(suite, **options) as started:  # type: ignore[arg-type]
        yield started


def require(suite: str) -> None:
    """Skip (fail under CI=true) unless this machine has, or can make, the root of a suite."""
    reason = why_not()
    if reason is None:
        try:
            root_of(suite)
        except LabError as error:
            reason = str(error)
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs a lab: {reason}", pytrace=False)
    pytest.skip(f"no lab here: {reason}")
