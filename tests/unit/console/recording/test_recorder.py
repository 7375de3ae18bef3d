"""What a recorder keeps is what there was: row for row, within its hours and bytes, whatever happens to it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from collectors.clock import ManualClock
from collectors.model import Diff, Fault, Load, Matcher, Silence, Source
from console.journal.chain import append
from console.recording import frame, recorder, session_writer
from console.recording.location import Bounds
from console.recording.recorder import Recorder
from console.recording.row_codec import Table, pack_rows, unpack_rows
from console.recording.session_writer import RecordingBusy
from console.recording.store import RecordingFault, RecordingFile, RecordingReader
from tests.support import make
from tests.support.recordings import BOUNDS, Night, cluster_at, intent, recorded, same


@pytest.mark.slow
def test_every_moment_is_as_it_was(tmp_path):
    night = Night()
    keep = night.tape(tmp_path / "a.wacht")
    was = []
    for _ in range(14):
        for cluster, diff in night.readings():
            keep.add(cluster, diff, night.clock.now(), night.clock.mono())
            was.append((cluster, night.clock.mono()))
        night.clock.advance(3)
    recording = RecordingReader(tmp_path / "a.wacht")
    here, shift = recording.first(), recording.first().at - 0.0
    for cluster, mono in was:
        again = cluster_at(recording, here)
        same(cluster, again)
        for name, source in cluster.sources.items():
            told = again.sources[name]
            assert (told.ok, told.fault, told.warnings, told.due_s) == (
                source.ok, source.fault, source.warnings, source.due_s
            )  # fmt: skip
            if source.read_mono is not None:
                assert told.age_s(here.at) == pytest.approx(source.age_s(mono), abs=0.02), "its age is the same"
        assert here.at - shift == pytest.approx(mono, abs=0.02)
        here = recording.after(here)
    assert here is None


def test_it_is_the_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        recorded(tmp_path / "deep" / "a.wacht", 6)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "deep").iterdir()} == {0o600}
    assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o700


ROW_STEPS = [
    ("nodes", {"a": make.node("a", cpu_load=0.1)},
     {"a": make.node("a", "DOWN+DRAIN", reason="ü\u0308 fan", cpu_load=None),
      "b": make.node("b", cpu_load=1 / 3, boot_at=5)}),
    ("jobs", {"1": make.job("1", "PENDING", priority=10)}, {}),
    ("jobs", {}, {f"{i}": make.job(f"{i}", priority=i * i) for i in range(40)}),
    ("loads", {"n": Load(node="n", power_w=512.5, gpu_util_pct=97.1)}, {"n": Load(node="n", power_w=1 / 3)}),
    ("alerts", {}, {"f": make.alert(id="f", labels={"a": "b", "c": ""}, silenced_by=("1", "2"))}),
    ("silences", {"s": Silence(id="s", state="active", matchers=(Matcher("a", "b"),))},
     {"s": Silence(id="s", state="active", matchers=(Matcher("a", "b", True), Matcher("c", "", False, False)))}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "old", "new"), ROW_STEPS)
def test_rows_come_back_as_they_went(kind, old, new):
    keys = old.keys() | new.keys()
    table = msgspec.msgpack.decode(msgspec.msgpack.encode(pack_rows(kind, old, new, keys)), type=Table)
    rows, moved = unpack_rows(kind, table, old)
    assert rows == new and list(rows) == list(new) and moved == keys


@pytest.mark.parametrize("value", [1e300 / 3, -1e12, float("nan"), float("inf"), 10**30])
def test_a_number_that_no_machine_says_is_unknown(value):
    bad, good = {"n": Load(node="n", power_w=value, xid=3)}, {"n": Load(node="n", power_w=1.5, xid=3)}
    for old, new in (({}, bad), (good, bad), (bad, bad)):
        rows, _ = unpack_rows("loads", pack_rows("loads", old, new, new), old)
        assert rows["n"].xid == 3 and (rows["n"].power_w is None or old is bad)
    rows, _ = unpack_rows("loads", pack_rows("loads", bad, good, good), {"n": Load(node="n", xid=3)})
    assert rows == good


def test_numbers_of_prometheus_lose_nothing():
    values = [0.0, 97.1, 33.3, 1234.567, 0.1 + 0.2, -5.25, 12345678.9]
    old = {f"n{i}": Load(node=f"n{i}", power_w=value) for i, value in enumerate(values)}
    new = {key: Load(node=key, power_w=value) for key, value in zip(old, reversed(values), strict=True)}
    for was in ({}, old):
        rows, _ = unpack_rows("loads", pack_rows("loads", was, new, new), was)
        assert rows == new


def test_a_row_that_came_and_went_between_two_frames_is_in_neither():
    old, new = {"a": Load(node="a", gpu_util_pct=1.0)}, {"a": Load(node="a", gpu_util_pct=2.0)}
    made = pack_rows("loads", old, new, {"a", "came and went"})
    assert made.gone == []
    assert unpack_rows("loads", made, old)[0] == new


def test_what_changed_is_small(tmp_path):
    night = recorded(tmp_path / "a.wacht", 9, nodes=256)
    recording = RecordingReader(tmp_path / "a.wacht")
    whole = len(recording.frame(recording.whole_before(recording.last()))[1])
    assert len(frame.pack(night.cluster, night.cluster, 0.0, Diff())) < 150 < whole / 50


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_the_oldest_goes_when_the_bytes_are_used_up(tmp_path):
    path, night = tmp_path / "a.wacht", Night(nodes=256)
    size = (1 << 20) + (200 << 10)
    keep = night.tape(path, Bounds(keep_s=1e9, size=size))
    largest = 0
    for _ in range(40):
        night.keep(keep)
        night.clock.advance(15)
        largest = max(largest, path.stat().st_size)
    recording = RecordingReader(path)
    assert largest <= size and recording.first().id > 50 and recording.last().at > recording.first().at + 60
    same(night.cluster, cluster_at(recording, recording.last()))
    assert recording.marks(0.0, recording.first().at - 0.001) == []


def test_the_oldest_goes_when_it_is_too_old(tmp_path):
    night = Night()
    keep = night.tape(tmp_path / "a.wacht", Bounds(keep_s=120.0, size=64 << 20))
    for _ in range(40):
        night.keep(keep)
        night.clock.advance(30)
    recording = RecordingReader(tmp_path / "a.wacht")
    kept = recording.last().at - recording.first().at
    assert 120 <= kept < 600, "the hours that were asked for, and up to a whole frame more"


def test_it_is_written_seldomer_where_a_frame_costs_more_than_its_time(tmp_path):
    made = Recorder(tmp_path / "a", Bounds(keep_s=86400, size=512 << 20), ManualClock())
    burst = made._rate * recorder._BURST_S
    assert made._rest_s(int(burst / 2)) == pytest.approx(1.0), "an incident may cost more for ten minutes"
    assert made._rest_s(int(burst / 2 + 30 * made._rate)) == pytest.approx(30.0, abs=0.5)
    assert made._rest_s(1 << 30) == 60.0


# -- sessions, crashes, others -----------------------------------------------------------------------------------------


def test_a_second_session_goes_on_where_the_clock_was_set_back(tmp_path):
    path = tmp_path / "a.wacht"
    night = recorded(path, 30)
    first_end = RecordingReader(path).last()
    night.clock._now -= 3600
    keep = night.tape(path)
    night.keep(keep)
    recording = RecordingReader(path)
    last = recording.last()
    assert last.at > first_end.at and last.wall < first_end.wall
    assert recording.frame(recording.after(first_end))[0] is None, "it begins whole"
    same(night.cluster, cluster_at(recording, last))


def test_two_consoles_of_one_user_make_one_recording(tmp_path):
    night = Night()
    first = night.tape(tmp_path / "a.wacht")
    with pytest.raises(RecordingBusy):
        night.tape(tmp_path / "a.wacht")
    first.close()
    night.tape(tmp_path / "a.wacht").close()


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.support.recordings import Night
night = Night()
tape = night.tape(Path(sys.argv[1]))
for _ in range(4):
    night.keep(tape)
    night.clock.advance(3)
base = tape._store._database
base.execute("PRAGMA cache_size=1"); base.execute("PRAGMA cache_spill=1")
base.execute("BEGIN IMMEDIATE")
base.execute("DELETE FROM frames")
base.execute("INSERT INTO deeds (at, digest, line) VALUES (1.0, 'x', zeroblob(3000000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_crash_in_the_middle_leaves_what_was_there_before(tmp_path):
    path = tmp_path / "a.wacht"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL and path.with_name("a.wacht-journal").stat().st_size > 0
    recording = RecordingReader(path)
    assert recording.last().id > 30
    assert "nodes" in cluster_at(recording, recording.last()).known
    recording.close()
    Night().tape(path).close()


class Full(RecordingFile):
    """A disk that is full when it is told to be."""

    full = False

    def add(self, *moment) -> None:
        if Full.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().add(*moment)


def test_a_full_disk_stops_the_recording_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(session_writer, "RecordingFile", Full)
    monkeypatch.setattr(recorder, "_AGAIN_S", 0.01)
    monkeypatch.setattr(recorder, "_LEAST_S", 0.0)
    monkeypatch.setattr(Full, "full", True)
    night = Night()
    made = Recorder(tmp_path / "a.wacht", BOUNDS, night.clock)
    made.start()
    told = threading.Event()
    for cluster, diff in night.readings():
        made.offer(cluster, diff)
    wait(lambda: made.trouble, told)
    assert "disk is full" in made.trouble and not made.writing
    monkeypatch.setattr(Full, "full", False)
    night.clock.advance(3)
    for cluster, diff in night.readings():
        made.offer(cluster, diff)
    wait(lambda: made.writing and not made.trouble, told)
    made.stop()
    recording = RecordingReader(tmp_path / "a.wacht")
    same(night.cluster, cluster_at(recording, recording.last()))


def wait(true, told: threading.Event) -> None:
    for _ in range(6000):  # half a minute at least
        if true():
            return
        told.wait(0.005)
    raise AssertionError("never came true")


def test_who_offers_never_waits_for_the_disk(tmp_path, monkeypatch):
    held, entered = threading.Event(), threading.Event()

    class Slow(RecordingFile):
        def add(self, *moment) -> None:
            entered.set()
            assert held.wait(60)
            super().add(*moment)

    monkeypatch.setattr(session_writer, "RecordingFile", Slow)
    monkeypatch.setattr(recorder, "_LEAST_S", 0.0)
    night = Night()
    made = Recorder(tmp_path / "a.wacht", BOUNDS, night.clock)
    made.start()
    offered = 0
    for _ in range(20):
        for cluster, diff in night.readings():
            made.offer(cluster, diff)
            offered += 1
        assert entered.wait(60)
        night.clock.advance(3)
    assert not made.trouble, "a disk that is slow is no trouble yet"
    monkeypatch.setattr(recorder, "_HUNG_S", 0.0)
    assert made.trouble == f"{tmp_path}/a.wacht: the file system does not answer"
    held.set()
    made.stop(20)
    recording = RecordingReader(tmp_path / "a.wacht")
    assert recording.last().id < 5 < offered, "what came meanwhile became one"
    assert not made.trouble
    same(night.cluster, cluster_at(recording, recording.last()))


# -- marks and actions -------------------------------------------------------------------------------------------------


def test_what_happened_is_marked(tmp_path):
    recorded(tmp_path / "a.wacht", 90)
    recording = RecordingReader(tmp_path / "a.wacht")
    marks = recording.marks(0, 1e12)
    assert {mark.kind for mark in marks} == {"alert", "failure"}
    assert any("PduPowerLost" in mark.what for mark in marks) and any(" down" in mark.what for mark in marks)
    first = recording.mark(0.0)
    assert (
        first == marks[0] and recording.mark(first.at) == marks[1] and recording.mark(marks[1].at, back=True) == first
    )
    assert recording.mark(0.0, kind="action") is None
    assert recording.mark(recording.first().at, back=True) is None, "what was there at the start is no event"


def test_a_source_that_fails_is_marked_once(tmp_path):
    night = Night(incident=None)
    keep = night.tape(tmp_path / "a.wacht")
    night.keep(keep)
    fault = msgspec.structs.replace(
        Source(name="slurm.jobs", tried=True), fault=Fault("timeout", "squeue did not answer")
    )
    for _ in range(2):
        night.clock.advance(3)
        night.cluster = msgspec.structs.replace(night.cluster, sources={**night.cluster.sources, "slurm.jobs": fault})
        keep.add(night.cluster, Diff(), night.clock.now(), night.clock.mono())
    assert [mark.what for mark in RecordingReader(tmp_path / "a.wacht").marks(0, 1e12)] == ["slurm.jobs: timeout"]


def test_actions_are_kept_with_the_moment_when_they_were_seen(tmp_path):
    journal, night = tmp_path / "j.jsonl", Night(incident=None)
    append(journal, [intent("old")])
    keep = night.tape(tmp_path / "a.wacht", journal=journal)
    night.keep(keep)
    night.clock.advance(60)
    begun = night.clock.mono()
    append(journal, [intent("new")])
    night.keep(keep)
    keep.close()
    night.keep(night.tape(tmp_path / "a.wacht", journal=journal))
    recording = RecordingReader(tmp_path / "a.wacht")
    first = recording.first().at
    assert [b'"id":"old"' in line for _, line in recording.actions(first + 30)] == [True]
    assert len(recording.actions(1e12)) == 2, "a second session tells none of them twice"
    (mark,) = recording.marks(0, 1e12)
    assert mark.kind == "action" and mark.what == 'jdv: drain gpu0001 "bad DIMM"'
    assert mark.at == pytest.approx(first + begun, abs=0.1)


# -- what is none ------------------------------------------------------------------------------------------------------


def test_a_file_of_another_version_is_refused_in_plain_words(tmp_path):
    path = tmp_path / "a.wacht"
    recorded(path, 6)
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version=2")
    for open_it in (RecordingReader, RecordingFile):
        with pytest.raises(RecordingFault, match="version 2, this wacht knows 1: use the wacht that wrote it"):
            open_it(path)


@pytest.mark.parametrize("what", ["text", "other base", "folder", "link", "fifo", "nothing"])
def test_what_is_no_recording_is_left_alone(tmp_path, what):
    path: Path = tmp_path / "a.wacht"
    if what == "text":
        path.write_text("my thesis\n" * 1000)
    elif what == "other base":
        with sqlite3.connect(path) as base:
            base.execute("CREATE TABLE mail (id)")
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        (tmp_path / "b").write_text("")
        path.symlink_to(tmp_path / "b")
    elif what == "fifo":
        os.mkfifo(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(RecordingFault):
        RecordingReader(path)
    if what != "nothing":
        with pytest.raises(RecordingFault):
            RecordingFile(path)
    assert (path.read_bytes() if path.is_file() else b"") == before
