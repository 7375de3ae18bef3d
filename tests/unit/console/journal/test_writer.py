"""The journal: on the disk before anything is sent, chained across sessions, and honest about every cut and change.

For syslog see test_syslog_witness.
"""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.clock import ManualClock
from console.config.paths import default_journal_path
from console.journal import chain
from console.journal.syslog_witness import Witness
from console.journal.writer import (  # fmt: skip
    Journal,
    JournalFault,
    Verdict,
    may_still_end,
    orphans,
    read,
    show,
    unfinished,
    verified,
    verify,
)
from tests.faults import fault


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "journal" / "lab.jsonl"


def book(path, **options) -> Journal:
    return Journal(path, "lab", ManualClock(), **options)


def filled(path, lines: int = 4) -> bytes:
    """A chain made by two sessions."""
    path.unlink(missing_ok=True)
    first, second = book(path), book(path)
    for number in range(lines):
        (first if number % 2 else second).write("intent", id=str(number), targets=["gpu0001"], reason='é "x" \x1b')
    return path.read_bytes()


def test_a_line_says_who_when_and_what(path, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 5022 192.0.2.1 22")
    book(path).write("intent", id="a1", action="drain", targets=["gpu0001"], reason="bad DIMM", argv=[["scontrol"]])
    (line,) = read(path)
    assert line["time"] == "2026-11-18T11:06:40.000+00:00" and line["mono"] == 0 and line["seq"] == 1
    assert line["uid"] == os.getuid() and line["host"] == os.uname().nodename and line["cluster"] == "lab"
    assert line["ssh"].startswith("192.0.2.7") and "login" in line and len(line["session"]) == 8
    assert (line["event"], line["action"], line["targets"], line["reason"]) == (
        "intent",
        "drain",
        ["gpu0001"],
        "bad DIMM",
    )


def test_it_is_private_whatever_the_umask(path):
    before = os.umask(0)
    try:
        book(path).write("intent")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_line_is_synced_before_the_writer_goes_on(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    book(path).write("intent")
    assert synced == [str(path), str(path.parent)]


def test_one_chain_across_sessions(path):
    raw = filled(path).splitlines()
    assert [json.loads(line)["prev"] for line in raw] == [hashlib.sha256(line).hexdigest() for line in [b"", *raw[:-1]]]
    assert len({json.loads(line)["session"] for line in raw}) == 2
    assert verify(path) == Verdict(ok=True, lines=4)


def test_long_lines_chain_too(path):
    for _ in range(3):
        book(path).write("intent", targets=[f"gpu{n:05d}" for n in range(12_000)])
    assert verify(path).ok and path.stat().st_size > 3 * chain._BLOCK


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_shows(path, data):
    raw = bytearray(filled(path, 3))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    found = verify(path)
    assert not found.ok and found.broken is not None and found.why
    # The line that was changed, or the one whose start a changed newline has eaten.
    assert abs(found.broken - (bytes(raw[:at]).count(b"\n") + 1)) <= 1


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_line_shows(path, lost):
    lines = filled(path).splitlines(keepends=True)
    del lines[lost]
    path.write_bytes(b"".join(lines))
    found = verify(path)
    assert (found.ok, found.broken) == (False, lost + 1) and "follow" in found.why


def test_swapped_doubled_and_foreign_lines_show(path):
    one, two, three, four = filled(path).splitlines(keepends=True)
    for lines in (
        [one, three, two, four],
        [one, two, two, three, four],
        [one, two, b"{}\n", three, four],
        [one, b"\n"],
    ):
        path.write_bytes(b"".join(lines))
        assert not verify(path).ok


def test_a_cut_line_in_the_middle_shows(path):
    one, two, three, four = filled(path).splitlines(keepends=True)
    path.write_bytes(one + two[:40] + b"\n" + three + four)
    assert (verify(path).ok, verify(path).broken) == (False, 2)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_an_unfinished_last_line_is_named_and_then_sealed(path, kept):
    one, two, *_ = filled(path).splitlines(keepends=True)
    path.write_bytes(one + two[:kept])
    assert verify(path) == Verdict(ok=False, lines=2, broken=2, why="unfinished last line")
    book(path).write("intent", id="next")
    book(path).write("result", id="next")
    assert verify(path) == Verdict(ok=True, lines=4, cut=(2,) if kept != -1 else ())
    assert read(path)[-1]["event"] == "result"
    # Once sealed it is part of the chain like any other line.
    raw = bytearray(path.read_bytes())
    raw[len(one)] ^= 1
    path.write_bytes(raw)
    assert not verify(path).ok


def _write_many(path, number):
    for _ in range(number):
        book(path).write("intent", id="x", targets=["gpu0001"] * 50)


def test_two_consoles_write_one_chain(path):
    others = [multiprocessing.get_context("fork").Process(target=_write_many, args=(path, 20)) for _ in range(2)]
    for other in others:
        other.start()
    mine = book(path)
    threads = [threading.Thread(target=mine.write, args=("result",)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for one in [*others, *threads]:
        one.join(60)
    assert verify(path) == Verdict(ok=True, lines=50)
    own = [line["seq"] for line in read(path) if line["event"] == "result"]
    assert own == list(range(1, 11))


def test_a_symbolic_link_is_refused(path, tmp_path):
    path.parent.mkdir(parents=True)
    (tmp_path / "victim").write_text("")
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(JournalFault, match="symbolic link"):
        book(path).write("intent")
    assert (tmp_path / "victim").read_text() == ""


def test_what_is_no_file_of_ours_is_refused(path):
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(JournalFault, match="no plain file"):
        book(path).write("intent")
    path.unlink()
    path.mkdir()
    with pytest.raises(JournalFault, match="directory"):
        book(path).write("intent")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_owner_is_refused(path):
    filled(path)
    os.chown(path, 2001, 2001)
    with pytest.raises(JournalFault, match="another user"):
        book(path).write("intent")


def test_a_file_that_is_too_open_is_closed(path):
    filled(path)
    path.chmod(0o666)
    book(path).write("intent")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_everybody_can_write_is_refused(path):
    filled(path)
    path.parent.chmod(0o777)
    with pytest.raises(JournalFault, match="everybody can write"):
        book(path).write("intent")


@fault("journal", "disk of the journal full", "a fault, the chain stays whole and goes on when there is room")
def test_a_full_disk_leaves_the_chain_whole(path, monkeypatch):
    filled(path)
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _fills_up(os.write))
        with pytest.raises(JournalFault, match="No space left"):
            book(path).write("intent")
    assert path.read_bytes() == whole and verify(path).ok


def _fills_up(write):
    room = [40]

    def limited(fd, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = write(fd, data[: room[0]])
        room[0] -= taken
        return taken

    return limited


@fault("journal", "a file system that hangs", "the deadline, and no more; the console is not held up")
def test_a_hung_file_system_costs_the_deadline_and_no_more(path, monkeypatch):
    answered = threading.Event()
    append = chain.append

    def hung(*args):
        answered.wait()
        return append(*args)

    monkeypatch.setattr(chain, "append", hung)
    mine = book(path, deadline_s=0.02)
    with pytest.raises(JournalFault, match=r"did not answer in 0\.02 s; mend it"):
        mine.write("intent", id="a1")
    with pytest.raises(JournalFault, match="still does not answer"):
        mine.write("intent", id="a2")
    answered.set()
    assert mine._writing is not None
    mine._writing.join()
    # What arrives after nobody counts on it says so itself, and leaves no orphan.
    assert [(line["event"], line["id"], line.get("note")) for line in read(path)] == [
        ("intent", "a1", None),
        ("result", "a1", "written too late, not sent"),
    ]
    assert unfinished(path) == [] and verify(path).ok


def test_a_write_that_hangs_returns_at_its_deadline_however_short(path, monkeypatch):
    answered = threading.Event()

    def hang(*_: object) -> list[str]:
        answered.wait()
        return []

    monkeypatch.setattr(chain, "append", hang)
    mine = book(path, deadline_s=0.02)
    began = time.monotonic()
    try:
        with pytest.raises(JournalFault, match=r"did not answer in 0\.02 s"):
            mine.write("intent", id="a1")
        assert time.monotonic() - began < 2.0
    finally:
        answered.set()
        assert mine._writing is not None
        mine._writing.join()


def test_what_json_cannot_hold_is_a_fault_and_not_half_a_line(path):
    with pytest.raises(JournalFault, match="cannot be written down"):
        book(path).write("intent", odd=object())
    assert not path.exists()


def test_frozen_values_are_written_as_they_are(path):
    book(path).write("intent", targets=("a", "b"), verdict=Verdict(ok=True, lines=3))
    assert read(path)[0]["targets"] == ["a", "b"] and read(path)[0]["verdict"]["lines"] == 3


# -- without a result -------------------------------------------------------------------------------------------------


def test_intents_without_a_result_are_found(path):
    mine = book(path)
    for event, which in (("intent", "a"), ("intent", "b"), ("result", "a"), ("intent", "c"), ("intent", "d")):
        mine.write(event, id=which, action="drain", kind="node", targets=["gpu0001"])
    # A reading that told of every target is as good as a result.
    mine.write("verified", id="d", outcome={"gpu0001": {"state": "done", "why": ""}})
    assert [one.plan for one in unfinished(path)] == ["b", "c"]
    # They are on their way: this very process may still write what came of them.
    assert orphans(path) == []


def _one_intent(path):
    book(path).write("intent", id="dead", action="drain", kind="node", targets=["gpu0001"])


def test_an_intent_of_a_dead_process_is_an_orphan(path):
    other = multiprocessing.get_context("fork").Process(target=_one_intent, args=(path,))
    other.start()
    other.join(60)
    assert other.exitcode == 0
    book(path).write("intent", id="mine", action="drain", kind="node", targets=["gpu0002"])
    assert [one.plan for one in orphans(path)] == ["dead"]


def test_a_process_is_known_by_more_than_its_number(path):
    _one_intent(path)
    (one,) = unfinished(path)
    assert one.pid == os.getpid() and may_still_end(one, now=one.at)
    assert not may_still_end(msgspec.structs.replace(one, began=one.began - 1), now=one.at)
    assert not may_still_end(msgspec.structs.replace(one, began=None), now=one.at)
    assert not may_still_end(msgspec.structs.replace(one, pid=1 << 30), now=one.at)


def test_what_another_host_sends_has_ten_minutes(path):
    _one_intent(path)
    one = msgspec.structs.replace(unfinished(path)[0], host="elsewhere", pid=1)
    assert may_still_end(one, now=one.at + 599) and not may_still_end(one, now=one.at + 601)
    # A wave was read back meanwhile; several commands may have been paused in between for hours.
    late = msgspec.structs.replace(one, proven_at=one.at + 500)
    assert may_still_end(late, now=one.at + 1099) and not may_still_end(late, now=one.at + 1101)
    many = msgspec.structs.replace(one, argv=(("a",), ("b",)))
    assert may_still_end(many, now=one.at + 86_399) and not may_still_end(many, now=one.at + 86_401)


# -- told -------------------------------------------------------------------------------------------------------------


def told(path, plan="a", verified=True):
    mine = book(path)
    about = {"id": plan, "kind": "node", "action": "drain", "targets": ["gpu0001", "gpu0002"]}
    mine.write("intent", **about, reason="bad DIMM")
    outcome = {"gpu0001": {"state": "pending", "why": ""}, "gpu0002": {"state": "failed", "why": "Invalid node name"}}
    mine.write("result", **about, sent=[], outcome=outcome)
    if verified:
        mine.write("verified", id=plan, kind="node", action="drain", outcome={"gpu0001": {"state": "done", "why": ""}})


def test_show_tells_a_line_a_record_with_its_outcome(path):
    assert show(path)[1] == 2
    told(path)
    text, status = show(path)
    intent, result, proven = text.splitlines()
    assert status == 0 and 'intent  drain  gpu[0001-0002]  "bad DIMM"' in intent and intent.endswith("[a]")
    assert "result  drain  gpu[0001-0002]  1 pending, 1 failed  Invalid node name" in result
    assert "verified  drain  gpu0001  1 done" in proven
    assert len(json.loads(show(path, last=1, as_json=True)[0])["entries"]) == 1


def test_verify_for_people_and_programs(path, tmp_path):
    nobody = Witness(tmp_path / "log")
    assert verified(path, witness=nobody)[1] == 2
    told(path)
    text, status = verified(path, witness=nobody)
    assert status == 0 and text.splitlines() == [
        f"{path}: whole, 3 lines",
        f"no syslog here, so this file is the only record: {tmp_path}/log: No such file or directory"
    ]  # fmt: skip
    assert json.loads(verified(path, as_json=True, witness=nobody)[0]) == {
        "version": 1, "path": str(path), "ok": True, "lines": 3, "broken": None, "why": "", "cut": [], "gaps": [],
        "orphans": [], "syslog": f"{tmp_path}/log: No such file or directory"}  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b"bad", b"bed"))
    text, status = verified(path, witness=nobody)
    assert status == 1 and "broken at line 1" in text
    assert json.loads(verified(path, as_json=True, witness=nobody)[0])["ok"] is False


def test_verify_tells_of_orphans(path):
    other = multiprocessing.get_context("fork").Process(target=_one_intent, args=(path,))
    other.start()
    other.join(60)
    assert other.exitcode == 0
    text, status = verified(path)
    assert status == 0 and "1 action has no result: drain gpu0001 by" in text
    assert json.loads(verified(path, as_json=True)[0])["orphans"] == ["dead"]


def test_show_survives_a_file_full_of_anything(path):
    filled(path)
    with path.open("ab") as file:
        file.write(b'{"event":"\\u001b]52;c;eA==\\u0007","targets":7,"outcome":[1],"time":null}\n')
        file.write(b'{"event":[],"id":{},"gap":"x"}\n{"event":"gap","gap":3}\n')
        file.write(b"\xff\xfe\n[]\n" + b"[" * 100_000)
    text, status = show(path)
    assert status == 0 and "\x1b" not in text and "unreadable" in text
    assert not verify(path).ok and len(unfinished(path)) == 4


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/x")
    assert str(default_journal_path("groningen")) == "/var/lib/x/wacht/journal/groningen.jsonl"
    assert default_journal_path("../../etc/x").parent == default_journal_path("groningen").parent
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_journal_path("a") == tmp_path / ".local/state/wacht/journal/a.jsonl"
