"""An error of wacht's own: a report without values, one plain message on the terminal that was given back."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.clock import ManualClock
from collectors.redaction import Secret
from console.app import app as apps
from console.config.settings import Config
from console.journal.writer import Journal
from console.session import crash
from console.session.cluster_sources import demo
from tests.faults import fault
from tests.support.pty_program import Pty, restored

FACT = "gpu0417-of-alice"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.c3VjaCBhIHRva2Vu"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch) -> Path:
    """Where the reports go."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "wacht" / "crashes"


def raised(kind: type[BaseException] = KeyError, *words: object) -> BaseException:
    """An error as it comes out of a function with locals."""
    secret, fact = Secret(TOKEN), FACT
    try:
        raise kind(*(words or (f"{fact} {secret.reveal()}",)))
    except BaseException as error:
        return error


def chained() -> BaseException:
    try:
        try:
            raise ValueError(FACT)
        except ValueError as error:
            raise RuntimeError(FACT) from error
    except RuntimeError as error:
        return error


def grouped() -> BaseException:
    return ExceptionGroup(FACT, [raised(), chained()])


def noted() -> BaseException:
    error = raised()
    error.add_note(FACT)
    return error


def deep() -> BaseException:
    def down(fact: str) -> None:
        down(fact)

    try:
        down(FACT)
    except RecursionError as error:
        return error
    raise AssertionError


class Pretty(Exception):
    """One that would describe itself to Textual."""

    def __rich__(self) -> str:
        return FACT


@fault("process", "an exception whose message, notes, locals, cause or group hold facts and a token",
       "the report and the message name its kind and the places in the program, and no value")  # fmt: skip
@pytest.mark.parametrize(
    "make", [raised, chained, grouped, noted, deep, lambda: raised(Pretty), lambda: raised(OSError, 28, FACT, FACT)]
)
def test_a_report_says_where_and_no_value(state, make):
    told = crash.crash_message([make()], "the console")
    (path,) = state.iterdir()
    text = path.read_text()
    for shown in (text, told):
        assert FACT not in shown and "eyJhbGciOiJ" not in shown and "alice" not in shown
    assert str(path) in told and "test_crash.py:" in text and len(text) < 20_000
    assert {"wacht:", "python:", "packages:"} <= set(re.findall(r"^\w+:", text, re.M))
    assert re.search(r"textual \d+\.\d+", text)


def test_what_the_interpreter_says_is_told_and_what_a_program_composed_is_not():
    try:
        None.nodes  # type: ignore[attr-defined]  # noqa: B018
    except AttributeError as error:
        assert "AttributeError: 'NoneType' object has no attribute 'nodes'" in crash.report([error])
    assert "left out" in crash.report([raised(TypeError, FACT)])
    assert "OSError: No space left on device" in crash.report([raised(OSError, 28, FACT, FACT)])
    text = crash.report([chained()])
    assert text.index("RuntimeError") < text.index("caused by: ValueError")


def test_of_a_flood_of_errors_the_first_are_told():
    text = crash.report([raised()] * 5000)
    assert text.count("KeyError") == 5 and "and 4995 more" in text


def test_reports_are_private_and_the_newest_ten_are_kept(state):
    kept = [Path(crash.write_report(f"{number}\n")) for number in range(14)]
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}
    assert state.stat().st_mode & 0o777 == 0o700
    assert sorted(int(path.read_text()) for path in state.iterdir())[-1] == 13
    assert len(list(state.iterdir())) == crash.KEPT and kept[-1].exists()


@fault("files", "a home that hangs beneath the crash report", "the message comes after the deadline, and says so")
def test_a_home_that_hangs_costs_the_deadline(monkeypatch):
    hung = threading.Event()
    monkeypatch.setattr(crash, "write_report", lambda text: str(hung.wait(60)))
    monkeypatch.setattr(crash, "DEADLINE_S", 0.05)
    began = time.monotonic()
    told = crash.crash_message([raised()], "the console")
    hung.set()
    assert time.monotonic() - began < 20 and "the file system did not answer" in told and "wacht crash report" in told


def test_the_message_says_what_the_journal_holds(tmp_path):
    path = tmp_path / "lab.jsonl"
    assert "nothing was sent to the machine" in crash.crash_message([raised()], "the console", path, wrote=False)
    book = Journal(path, "lab", ManualClock(), witness=None)
    about = {"action": "drain", "kind": "node", "targets": ["gpu0001"]}
    assert "syslog has" in crash.crash_message([raised()], "the console", path, wrote=True)
    book.write("intent", id="first", **about)
    book.write("result", id="first", outcome={}, **about)
    book.write("intent", id="second", **about)
    told = crash.crash_message([raised()], "the console", path, wrote=True)
    assert "2 actions" in told and "without a result: second" in told and "gpu0001" not in told


def test_a_broken_command_ends_with_the_same_message(state, monkeypatch, capsys):
    from console.cli import main
    from console.session import snapshot

    monkeypatch.setattr(snapshot, "take", lambda *words: raised_now())
    monkeypatch.setattr(sys, "argv", ["wacht", "snapshot", "--demo", "--nodes", "2"])

    def raised_now() -> None:
        raise KeyError(FACT)

    with pytest.raises(SystemExit) as ended:
        main.main()
    said = capsys.readouterr()
    assert ended.value.code == 1 and FACT not in said.err and said.out == ""
    assert "ended the command: KeyError" in said.err and len(list(state.iterdir())) == 1


# -- the console -------------------------------------------------------------------------------------------------------


async def dies_of(trouble: Callable[[apps.WachtApp], object]) -> apps.WachtApp:
    """A console in which that goes wrong; gives it back when it has ended."""
    from collectors.sim import SimSettings

    app = apps.WachtApp(demo(SimSettings(nodes=4)), Config())
    with pytest.raises(BaseException) as caught:
        async with app.run_test(size=(80, 24)) as pilot:
            trouble(app)
            for _ in range(3000):  # a minute at least
                await pilot.pause(0.02)
                if app.errors:
                    break
    app.session.poller.stop()
    assert caught.value is app.errors[0]
    return app


@pytest.mark.slow
async def test_an_error_that_nobody_waits_for_ends_it(capfd):
    app = await dies_of(lambda app: asyncio.get_running_loop().call_soon(lambda: {}[FACT]))
    assert isinstance(app.errors[0], KeyError) and capfd.readouterr() == ("", "")


@pytest.mark.slow
async def test_an_error_that_describes_itself_is_not_asked_to(capfd):
    def later(app: apps.WachtApp) -> None:
        def fail() -> None:
            raise Pretty(FACT)

        app.call_later(fail)

    app = await dies_of(later)
    assert isinstance(app.errors[0], Pretty) and capfd.readouterr() == ("", "")


@fault("process", "an exception in a worker's thread, of the app and of a screen, four times",
       "three reports, each told on the screen without values; the console goes on")  # fmt: skip
async def test_a_worker_that_breaks_is_reported_and_the_console_goes_on(state, monkeypatch):
    from collectors.sim import SimSettings

    app = apps.WachtApp(demo(SimSettings(nodes=4)), Config())
    told: list[str] = []
    monkeypatch.setattr(app.notifications, "show", lambda text, severity="": told.append(text))
    async with app.run_test(size=(80, 24)) as pilot:
        for number in range(4):
            of = app.screen if number % 2 else app
            of.run_worker(lambda: {}[FACT], thread=True, group=str(number), exit_on_error=False)
        for _ in range(6000):
            await pilot.pause(0.01)
            if sum("goes on" in text for text in told) == 3:
                break
        await pilot.pause()
        assert app.is_running and app.errors == []
    app.session.poller.stop()
    reports = [
        text for text in told if "an error of its own: KeyError in tests/unit/console/session/test_crash.py" in text
    ]
    assert len(reports) == 3 == len(list(state.iterdir()))
    assert all(str(state) in text and FACT not in text for text in reports)
    assert not [path for path in state.iterdir() if FACT in path.read_text()]


BREAKS = f"""
import sys
from console.app import app
from console.app.cluster_updates import ClusterUpdates
where = sys.argv.pop(1)
class Pretty(Exception):
    def __rich__(self):
        return {FACT!r}
def fails(self, *words):
    fact = {FACT!r}
    raise Pretty(fact) if where == "tick" else KeyError(fact)
if where == "tick":
    app.WachtApp._tick = fails
else:
    ClusterUpdates.publish = fails
from console.cli.main import main
main()
"""


@pytest.mark.pty
@fault("process", "an exception on the event loop, and one in the poller's thread",
       "the terminal is given back, one plain message names the report, no value of any variable is shown")  # fmt: skip
@pytest.mark.parametrize("where", ["tick", "poller"])
@pytest.mark.slow
def test_the_console_gives_the_terminal_back_and_says_what_happened(state, tmp_path, where):
    script = tmp_path / "breaks.py"
    script.write_text(BREAKS)
    home = {"XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": str(Path(crash.__file__).parent.parent.parent)}
    one = Pty(
        "--log", str(tmp_path / "log"), "demo", "--nodes", "8", program=(sys.executable, str(script), where), **home
    )
    try:
        assert one.end() == 1
        restored(one)
    finally:
        one.close()
    (path,) = state.iterdir()
    after = one.out[one.out.rfind(b"\x1b[?1049l") :].decode()
    assert after.count("wacht: an error of its own ended the console") == 1 and str(path) in after
    assert "nothing was sent" in after and "Traceback" not in after
    told = (tmp_path / "log").read_text()
    for shown in (one.out.decode(), path.read_text(), told):
        assert FACT not in shown
    assert "ERROR wacht an error of its own ended the console" in told and told.endswith(" INFO wacht ends\n")
