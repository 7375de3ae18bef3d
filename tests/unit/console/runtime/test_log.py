"""The log: a line an event, private, bounded, never in anybody's way, and nobody's token in it."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import sys
import threading
import time
from pathlib import Path

import pytest

from collectors.clock import ManualClock
from collectors.model import Fault, Source
from collectors.redaction import Secret
from console.config.settings import Config
from console.journal.writer import Journal
from console.runtime import log
from tests.faults import fault
from tests.support.make import cluster
from tests.support.pty_program import Pty

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) \S+ .+")


@pytest.fixture(autouse=True)
def no_log(monkeypatch):
    """No log of another test's."""
    monkeypatch.setattr(log, "_file", None)
    yield
    log.end()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "wacht.log"


def lines(path: Path) -> list[str]:
    """What the log holds once it is ended, without the times."""
    log.end()
    every = path.read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in every), every
    return [line.partition("Z ")[2] for line in every]


def test_a_line_says_when_how_bad_where_and_what(path):
    log.info("wacht", "before there is a file")
    log.begin(str(path))
    log.info("wacht", "begins")
    log.warning("slurm.nodes", "timeout: squeue did not answer")
    log.error("wacht", "an error")
    assert lines(path) == [
        "INFO wacht begins",
        "WARNING slurm.nodes timeout: squeue did not answer",
        "ERROR wacht an error",
    ]
    assert path.stat().st_mode & 0o777 == 0o600 and log.unreported_fault() == ""


@fault("hostile text", "line breaks, escapes and 5,000 characters in what a source says",
       "one line in the log, visible escapes, cut at 1,000")  # fmt: skip
def test_nothing_can_forge_a_line(path):
    log.begin(str(path))
    log.warning("evil source\n", "a\n2026-01-01T00:00:00.000Z INFO wacht forged\x1b]52;c;x\x07 \u202e" + "x" * 5000)
    (line,) = lines(path)
    assert line.startswith("WARNING evil_source\\n a\\n2026") and "\\e]52" in line and len(line) < 1100


def test_no_token_gets_in_whole_or_cut(path):
    token = Secret("wk7-Zt4mQx9LrBv2Hs6y")
    log.begin(str(path))
    for text in (token.reveal(), token.reveal()[:15], f"Bearer {token.reveal()}", repr(token), f"{token}"):
        log.info("here", f"it said {text} again")
    assert not [line for line in lines(path) if "wk7-Zt4mQx9L" in line]


@fault("files", "a log at its size, with two consoles writing to it",
       "one older file is kept beside it, no line is lost or torn")  # fmt: skip
def test_it_is_bounded_with_two_writers(path, monkeypatch):
    monkeypatch.setattr(log, "LARGEST", 20_000)
    two = [log.FileLog(path), log.FileLog(path)]

    def write(mine: log.FileLog) -> None:
        for number in range(150):
            text = f"{two.index(mine)} {number} {'x' * 60}"
            mine.handle(logging.makeLogRecord({"levelname": "INFO", "source": "here", "msg": text}))

    threads = [threading.Thread(target=write, args=(one,)) for one in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in two:
        one.end()
    old = path.with_name("wacht.log.1")
    every = (old.read_text() + path.read_text()).splitlines()
    assert all(LINE.fullmatch(line) for line in every)
    assert old.stat().st_size <= 20_000 and path.stat().st_size <= 20_000
    assert sorted(item.name for item in path.parent.iterdir()) == ["wacht.log", "wacht.log.1"]
    assert len(every) == 300
    assert [oct(item.stat().st_mode & 0o777) for item in (old, path)] == ["0o600"] * 2


def test_it_writes_only_while_no_other_console_does(path, monkeypatch):
    path.touch(0o600)
    asked, real = threading.Event(), fcntl.flock

    def lock(fd: int, how: int) -> None:
        asked.set()
        real(fd, how)

    one = log.FileLog(path)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(log.fcntl, "flock", lock)
        one.handle(logging.makeLogRecord({"levelname": "INFO", "source": "here", "msg": "mine"}))
        assert asked.wait(60), "it never asked for the lock"
        assert path.read_bytes() == b""
    one.end()
    assert path.read_text().endswith("INFO here mine\n")


def test_of_a_line_that_fits_in_part_nothing_is_left(path, monkeypatch):
    log.begin(str(path))
    room, real = [40], os.write

    def fills_up(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = real(fd, data[: room[0]])
        room[0] -= taken
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(log.os, "write", fills_up)
        log.info("here", "x" * 100)
        log.end()
    assert path.read_bytes() == b"" and "No space left" in log.unreported_fault()


@fault("files", "a file system that hangs beneath the log",
       "nobody waits for it: events are dropped and counted, and the end of the program comes in time")  # fmt: skip
def test_a_disk_that_hangs_holds_nobody_up(path, monkeypatch):
    hung, real = threading.Event(), log.files.open_to_append

    def hangs(name: Path) -> int:
        hung.wait(60)
        return real(name)

    monkeypatch.setattr(log.files, "open_to_append", hangs)
    monkeypatch.setattr(log, "STOP_S", 0.05)
    one = log.FileLog(path)
    began = time.monotonic()
    for number in range(log.WAITING + 200):
        one.handle(logging.makeLogRecord({"levelname": "INFO", "source": "here", "msg": str(number)}))
    one.end()
    assert time.monotonic() - began < 20 and one.lost >= 199 and not path.exists()
    hung.set()


@fault("files", "a log that cannot be written: a folder, or a folder where everybody can write",
       "it says so once, with what to do; wacht goes on")  # fmt: skip
def test_a_log_that_cannot_be_written_says_so_once(tmp_path):
    open_to_all = tmp_path / "all"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for path, says in ((tmp_path, "Is a directory"), (open_to_all / "log", f"try: chmod go-w {open_to_all}")):
        log.begin(str(path))
        for _ in range(3):
            log.info("wacht", "begins")
        log.end()
        told = log.unreported_fault()
        assert says in told and str(path) in told and "goes on" in told and log.unreported_fault() == ""


# -- what is told ------------------------------------------------------------------------------------------------------


def test_a_source_is_told_of_once_a_change(path):
    log.begin(str(path))
    watched = log.SourceLog()

    def see(took: float | None = 0.1, fault: Fault | None = None, tried: bool = True) -> None:
        source = Source(name="slurm.nodes", ok=fault is None, tried=tried, took_s=took, fault=fault)
        watched.see(cluster(sources=[source]))

    see(None, tried=False)
    see()
    see()
    for second in range(3):
        see(fault=Fault("timeout", f"no answer for {second} s", "is it overloaded?"))
    see(fault=Fault("internal", "KeyError", "please report it"))
    see()
    for took in (6.0, 7.0, 4.0, 6.0, 2.0, 2.0):
        see(took)
    assert lines(path) == [
        "INFO slurm.nodes answers",
        "WARNING slurm.nodes timeout: no answer for 0 s (is it overloaded?)",
        "ERROR slurm.nodes internal: KeyError (please report it)",
        "INFO slurm.nodes answers again",
        "WARNING slurm.nodes slow: a reading took 6.0 s",
        "INFO slurm.nodes no longer slow: a reading took 2.0 s",
    ]


def test_an_action_is_told_by_its_id_the_rest_is_in_the_journal(path, tmp_path):
    log.begin(str(path))
    book = Journal(tmp_path / "lab.jsonl", "lab", ManualClock(), witness=None)
    book.write("intent", id="4f1c", action="drain", targets=["gpu0001"], reason="of alice")
    book.write("result", id="4f1c", action="drain", outcome={})
    assert lines(path) == ["INFO journal intent of drain 4f1c", "INFO journal result of drain 4f1c"]


async def test_slow_mode_and_a_log_that_fails_are_told(path, tmp_path, monkeypatch):
    from collectors.sim import SimSettings
    from console.app.app import WachtApp
    from console.session.cluster_sources import demo

    log.begin(str(path))
    app = WachtApp(demo(SimSettings(nodes=2)), Config())
    slow = [False]
    monkeypatch.setattr(WachtApp, "slow_line", property(lambda _: slow[0]))
    told: list[str] = []
    monkeypatch.setattr(app.notifications, "show", lambda text, severity="": told.append(text))
    async with app.run_test(size=(80, 24)):
        for slow[0] in (False, True, True, False):
            app.error_reporting.check()
        log.begin(str(tmp_path))
        log.info("wacht", "nowhere to go")
        log.end()
        app.error_reporting.check()
        app.error_reporting.check()
    app.session.poller.stop()
    assert next(line for line in path.read_text().splitlines() if "terminal" in line).endswith("slow mode is on")
    assert path.read_text().count("slow mode") == 2
    assert [text for text in told if "the log" in text] == [
        f"the log {tmp_path} cannot be written: Is a directory; wacht goes on without it"
    ]


# -- the program -------------------------------------------------------------------------------------------------------


def test_a_command_logs_where_the_configuration_says(path, tmp_path, monkeypatch, capsysbinary):
    from console.cli import main

    file = tmp_path / "config.toml"
    file.write_text(f"log = '{path}'\n")
    file.chmod(0o600)
    monkeypatch.setattr(sys, "argv", ["wacht", "--config", str(file), "snapshot", "--json", "--demo", "--nodes", "2"])
    with pytest.raises(SystemExit):
        main.main()
    out, err = capsysbinary.readouterr()
    first, *rest = lines(path)
    assert (
        re.fullmatch(rf"INFO wacht \S+ begins: wacht snapshot; read: {file}", first) and rest[-1] == "INFO wacht ends"
    )
    assert "INFO slurm.nodes answers" in rest and err == b"" and b" INFO " not in out
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--log", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0 and capsysbinary.readouterr()[1].decode() == (
        f"wacht: the log {tmp_path} cannot be written: Is a directory; wacht goes on without it\n"
    )


@pytest.mark.pty
@pytest.mark.slow
def test_the_console_logs_and_nothing_of_it_reaches_the_terminal(path, tmp_path):
    one = Pty("demo", "--nodes", "8", "--log", str(path), XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
    try:
        one.read_until(b"running")
        one.type(b"q")
        assert one.end() == 0
    finally:
        one.close()
    told = lines(path)
    assert told[0].startswith("INFO wacht ") and told[-1] == "INFO wacht ends"
    assert "INFO slurm.nodes answers" in told and b"INFO" not in one.out
