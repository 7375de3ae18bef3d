"""What every test needs: hypothesis without deadlines, because a busy machine is not a failed test; and no syslog."""

from __future__ import annotations

import faulthandler
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from hypothesis import settings

from console.journal import syslog_witness
from tests.support import people

# Helpers assert too: their failures show the values, as those of tests do.
pytest.register_assert_rewrite("tests.support", "tests.lab", "tests.native", "tests.nvml", "tests.hostile")

settings.register_profile("wacht", deadline=None)
settings.load_profile("wacht")

# What tests do belongs in nobody's log, and a journal that cannot be written must look so on every machine.
syslog_witness.SYSLOG = Path("/nonexistent/log")

people.keep_out()

# Under nohup, and behind a shell, every console of the tests would be deaf to these too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TESTS = itertools.count()
#: Seconds that a process of the tests may take to end once its tests have.
_LEAVE_S = 120
#: Seconds after its timeout at which a test that did not take it ends its process.
_DEAF_S = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A long text gives its test a short name. The whole of it would be in every message between the processes of the
    tests, and in the environment of every program that the test starts: ten million characters were."""
    return f"{argname} of {len(val)}" if isinstance(val, str | bytes) and len(val) > 100 else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """The timeout of a test is an exception, raised wherever its process happens to be: a callback of an event loop
    swallows it, and the test would hang for as long as the build may take. A moment later the whole process says where
    every thread stands and goes; what runs the tests names the test."""
    _goes_when_deaf(item)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Once a test has failed, pytest and its timeout take every clock away, for whoever debugs: its end has one again.
    An event loop waits there for its threads, however long they take."""
    _goes_when_deaf(item)
    return (yield)


def _goes_when_deaf(item: pytest.Item) -> None:
    marker = item.get_closest_marker("timeout")
    limit = marker.args[0] if marker is not None else float(item.config.getini("timeout"))
    faulthandler.dump_traceback_later(limit + _DEAF_S, exit=True, file=item.config.stash[fault_handler_stderr_fd_key])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A thread that somebody forgot would keep the process for ever: it says where every thread stands, and goes."""
    if hasattr(session.config, "workerinput"):
        return  # it waits for the others, and whoever started it ends it
    # pytest's own copy of stderr: what stands there now is still caught.
    stderr = os.dup(session.config.stash[fault_handler_stderr_fd_key])
    faulthandler.dump_traceback_later(_LEAVE_S, exit=True, file=stderr)


@pytest.fixture(autouse=True)
def own_readings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A console shares readings with others of its user: none of another test's, and none of who runs them."""
    # Numbered here: pytest itself would go through all folders before for the next number, thousands at last.
    own = tmp_path_factory.mktemp(f"own-{next(_TESTS)}", numbered=False)
    for name, folder in (("XDG_RUNTIME_DIR", "runtime"), ("XDG_STATE_HOME", "state")):
        # What is typed is kept: in no home of anybody's.
        (own / folder).mkdir(mode=0o700)
        monkeypatch.setenv(name, str(own / folder))
