"""A chained file that is followed while it grows, and that somebody may change under the reader's hands."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from collectors.clock import ManualClock
from console.journal import chain
from console.journal.chain import Follower, JournalFault, read, verify
from console.journal.writer import Journal
from tests.faults import fault
from tests.support.pty_program import Pty, restored


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal" / "lab.jsonl"


def book(path) -> Journal:
    return Journal(path, "lab", ManualClock())


def filled(path) -> bytes:
    mine = book(path)
    for number in range(4):
        mine.write("intent", id=str(number))
    return path.read_bytes()


def ids(found):
    return None if found is None else (found[0], [record.get("id") for record in found[1]])


def test_a_follower_reads_only_what_was_added(path):
    follower = Follower(path, last=3)
    assert ids(follower.more()) == (True, []) and follower.more() is None
    mine = book(path)
    for number in range(5):
        mine.write("intent", id=str(number))
    assert ids(follower.more()) == (True, ["2", "3", "4"])
    assert follower.more() is None
    mine.write("result", id="5")
    mine.write("result", id="6")
    assert ids(follower.more()) == (False, ["5", "6"])


def test_a_follower_waits_for_the_end_of_a_line(path):
    follower = Follower(path, last=10)
    one, two, *_ = filled(path).splitlines(keepends=True)
    path.write_bytes(one + two[:30])
    assert ids(follower.more()) == (True, ["0"])
    path.write_bytes(one + two)
    assert ids(follower.more())[1] == ["1"]


def test_a_follower_begins_anew_when_the_file_is_another_one(path):
    follower = Follower(path, last=10)
    raw = filled(path)
    assert ids(follower.more()) == (True, ["0", "1", "2", "3"])
    # As long as before, but changed; then shorter; then gone; then another file.
    path.write_bytes(raw.replace(b'"id":"0"', b'"id":"9"'))
    os.utime(path, ns=(1, 1))
    assert ids(follower.more()) == (True, ["9", "1", "2", "3"])
    path.write_bytes(raw[: raw.index(b"\n") + 1])
    assert ids(follower.more()) == (True, ["0"])
    path.unlink()
    assert ids(follower.more()) == (True, [])
    path.with_suffix(".new").write_bytes(raw + raw)
    path.with_suffix(".new").rename(path)
    assert len(ids(follower.more())[1]) == 8


def test_a_follower_says_what_stands_in_its_way(path):
    follower = Follower(path, last=10)
    path.mkdir(parents=True)
    with pytest.raises(JournalFault, match="directory"):
        follower.more()
    path.rmdir()
    filled(path)
    assert len(ids(follower.more())[1]) == 4


@fault("journal", "a file system that hangs beneath the journal, while it is read",
       "reading gives up after 5 s without a line, says so, and reads all anew when it answers again")  # fmt: skip
def test_reading_from_a_file_system_that_hangs(path, monkeypatch):
    filled(path)
    hung, own = threading.Event(), chain.files.open_to_read
    follower = Follower(path, 100)
    assert len(follower.more()[1]) == 4

    def hangs(*words, **more):
        hung.wait(60)
        return own(*words, **more)

    with monkeypatch.context() as patch:
        patch.setattr(chain, "READ_S", 0.05)
        patch.setattr(chain.files, "open_to_read", hangs)
        for look in (verify, read, lambda _: follower.more()):
            with pytest.raises(JournalFault, match=r"did not answer in 0\.05 s"):
                look(path)
        with pytest.raises(JournalFault, match="still does not answer"):
            follower.more()
    book(path).write("intent", id="new")
    hung.set()
    follower._asking.join(20)
    whole, lines = follower.more()
    assert whole and len(lines) == 5 and follower.more() is None


@pytest.mark.slow
def test_a_long_journal_is_read_for_as_long_as_it_moves_on(path, monkeypatch):
    filled(path)
    own = chain._record
    monkeypatch.setattr(chain, "READ_S", 1.0)

    def slow(raw):
        time.sleep(0.3)  # four times: longer in all than it may stand still, and much less each time
        return own(raw)

    monkeypatch.setattr(chain, "_record", slow)
    assert verify(path).lines == 4


HANGS = """
import sys, threading
from console.journal import chain
chain.READ_S = 0.3
chain.there = lambda path: True
own = chain.files.open_to_read
def reading(path, *words, **more):
    if path.suffix == ".jsonl":
        threading.Event().wait()
    return own(path, *words, **more)
chain.files.open_to_read = reading
from console.cli.main import main
main()
"""


@pytest.mark.pty
@fault("journal", "a home that hangs while the console reads the journal at its start, and q",
       "it starts, shows the machine, and ends: no thread that hangs is waited for")  # fmt: skip
@pytest.mark.slow
def test_a_home_that_hangs_does_not_keep_the_console_from_ending(tmp_path):
    (tmp_path / "hangs.py").write_text(HANGS)
    home = {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    one = Pty("demo", "--nodes", "8", program=(sys.executable, str(tmp_path / "hangs.py")), **home)
    try:
        one.read_until(b"the journal cannot be")
        one.type(b"q")
        assert one.end() == 0
        restored(one)
    finally:
        one.close()
