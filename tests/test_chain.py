"""A chained file that is followed while it grows, and that somebody may change under the reader's hands."""

from __future__ import annotations

import os

import pytest

from collectors.clock import ManualClock
from console.chain import Follower, JournalFault
from console.journal import Journal


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
