"""Fixtures: a live Slurm of each version, and a Prometheus of each kind, started once per test session.

A machine that cannot have a lab skips these tests and says why; under CI=true that is a failure, so that a green run
has seen both versions.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .alertmanager import VERSIONS, Alertmanager
from .prometheus import ENGINES, Monitor
from .roots import SUITES
from .running import alerting, monitoring, running
from .slurm import Lab

#: Servers that scrape all the time, whoever asks: half a core for three of them.
_SCRAPES = {"prometheus", "prometheus_2", "prometheus_3", "victoria"}
_FIXTURES = {"lab", *(f"lab_{suite}" for suite in SUITES), *_SCRAPES, "alertmanager",
             *(f"alertmanager_{suite}" for suite in VERSIONS)}  # fmt: skip
_SCRAPED = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses a lab carries the marker `lab`, so that `-m "not lab"` never misses one; and where tests run side
    by side, all that needs the same release of Debian is in one process, which has its labs: first those in need of a
    Prometheus."""
    for item in items:
        if _FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("lab")
        if item.get_closest_marker("lab") is not None:
            item.add_marker(pytest.mark.xdist_group(f"lab-{_release(item)}"))
            # The first one may have to build what the machine has not: minutes, on a slow network.
            item.add_marker(pytest.mark.timeout(900))
    scraped = {item.path for item in items if _SCRAPES & set(getattr(item, "fixturenames", ()))}
    for item in items:
        item.stash[_SCRAPED] = item.path in scraped
    items.sort(key=lambda item: (item.get_closest_marker("lab") is None, not item.stash[_SCRAPED]))


def _release(item: pytest.Item) -> str:
    """The release of Debian that holds what a test runs against; forky's process has whatever says nothing of it."""
    engines = {engine: one.suite for engine, one in ENGINES.items()}
    named = {"trixie": "trixie", **engines, **{engine.replace("-", "_"): suite for engine, suite in engines.items()}}
    said = " ".join((item.name.partition("[")[2], *getattr(item, "fixturenames", ())))
    return "trixie" if any(suite == "trixie" and name in said for name, suite in named.items()) else "forky"


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last test with a Prometheus, and after the last one with a lab, end them all: they would take half a
    core from the tests that follow."""
    if nextitem is not None and (
        nextitem.get_closest_marker("lab") is None or (item.stash[_SCRAPED] and not nextitem.stash[_SCRAPED])
    ):
        item.session._setupstate.teardown_exact(None)


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


@pytest.fixture(scope="session")
def prometheus_2() -> Iterator[Monitor]:
    """Prometheus 2.53 that scrapes a simulated machine of 64 nodes."""
    yield from monitoring("prometheus-2")


@pytest.fixture(scope="session")
def prometheus_3() -> Iterator[Monitor]:
    """Prometheus 3.5 that scrapes a simulated machine of 64 nodes."""
    yield from monitoring("prometheus-3")


@pytest.fixture(scope="session")
def victoria() -> Iterator[Monitor]:
    """VictoriaMetrics that scrapes a simulated machine of 64 nodes."""
    yield from monitoring("victoria")


@pytest.fixture(params=ENGINES)
def prometheus(request: pytest.FixtureRequest) -> Monitor:
    """Each engine in turn, shared by the session, without the oddities of the test before."""
    found: Monitor = request.getfixturevalue(request.param.replace("-", "_"))
    found.reset()
    return found


@pytest.fixture(scope="session")
def alertmanager_trixie() -> Iterator[Alertmanager]:
    """Alertmanager 0.28, shared by the session."""
    yield from alerting("trixie")


@pytest.fixture(scope="session")
def alertmanager_forky() -> Iterator[Alertmanager]:
    """Alertmanager 0.33, shared by the session."""
    yield from alerting("forky")


@pytest.fixture(params=VERSIONS)
def alertmanager(request: pytest.FixtureRequest) -> Alertmanager:
    """Each version in turn, shared by the session, without the alerts and silences of the test before."""
    found: Alertmanager = request.getfixturevalue(f"alertmanager_{request.param}")
    found.reset()
    return found
