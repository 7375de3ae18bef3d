"""A lab, a Prometheus or an Alertmanager for the length of a fixture, or a skip with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .alertmanager import Alertmanager
from .prometheus import Monitor, engine_root
from .roots import LabError, lab_unsupported, root_of
from .slurm import Lab


def alerting(suite: str) -> Iterator[Alertmanager]:
    """An Alertmanager for the length of a fixture, or a skip with the reason."""
    require(suite)
    with Alertmanager(suite) as started:
        yield started


def monitoring(engine: str, **options: object) -> Iterator[Monitor]:
    """A monitor for the length of a fixture, with its first samples, or a skip with the reason."""
    require_engine(engine)
    with Monitor(engine, **options) as started:  # type: ignore[arg-type]
        started.wait_for_samples()
        yield started


def require_engine(engine: str) -> None:
    """Skip (fail under CI=true) unless this machine has, or can make, the root that holds an engine."""
    try:
        engine_root(engine)
    except LabError as error:
        _do_without(str(error))


def running(suite: str, **options: object) -> Iterator[Lab]:
    """A lab for the length of a fixture, or a skip with the reason; a lab that starts badly is always an error."""
    require(suite)
    with Lab(suite, **options) as started:  # type: ignore[arg-type]
        yield started


def require(suite: str) -> None:
    """Skip (fail under CI=true) unless this machine has, or can make, the root of a suite."""
    reason = lab_unsupported()
    if reason is None:
        try:
            root_of(suite)
        except LabError as error:
            reason = str(error)
    if reason is not None:
        _do_without(reason)


def _do_without(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs a lab: {reason}", pytrace=False)
    pytest.skip(f"no lab here: {reason}")
