"""A recording from a stranger: nothing in it steers a terminal, fills the memory, or ends the console."""

from __future__ import annotations

import random
import resource
import shutil
import sqlite3
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collectors.clean import hostile
from collectors.model import Alert, Cluster, Diag, Fault, Job, Node, Source
from console.app.app import WachtApp
from console.config.settings import Config
from console.config.settings import RecordingSettings as Chosen
from console.recording import row_codec, store
from console.recording.frame import LARGEST, inflated, pack, unpack
from console.recording.location import recording_path
from console.recording.replay_site import replay_site
from console.recording.row_codec import MOST, ColumnDelta, MalformedFrame, Table, unpack_rows
from console.recording.store import RecordingFault, RecordingReader
from tests.support.operator import Operator
from tests.support.recordings import cluster_at, recorded

EVIL = "x\x1b]52;c;cm0gLXJm\x07\u202e\x9b2J[/]"
NODE = {"a": Node(name="a", state="IDLE", display="idle", cpu_load=0.5)}


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("night") / "a.wacht"
    recorded(path, 30, nodes=32)
    return path


@pytest.fixture
def path(night, tmp_path) -> Path:
    return Path(shutil.copy(night, tmp_path / "a.wacht"))


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in texts(one)]
    if isinstance(value, tuple | list | set | frozenset):
        return [text for one in value for text in texts(one)]
    if isinstance(value, msgspec.Struct):
        return texts([getattr(value, name) for name in value.__struct_fields__])
    return []


def test_every_text_is_cleaned_again():
    bad = Cluster(
        name=EVIL,
        nodes={EVIL: Node(name=EVIL, state=EVIL, display=EVIL, flags=(EVIL,), reason=EVIL)},
        jobs={EVIL: Job(id=EVIL, name=EVIL, user=EVIL, state=EVIL, nodes=EVIL)},
        alerts={EVIL: Alert(id=EVIL, name=EVIL, labels={EVIL: EVIL}, silenced_by=(EVIL,))},
        diag=Diag(user_calls={EVIL: 1}, reader=EVIL),
        sources={EVIL: Source(name=EVIL, fault=Fault(EVIL, EVIL, EVIL), warnings=(EVIL,))},
        known=frozenset({"nodes", "jobs", "alerts", "diag"}),
    )
    found, diff = unpack(pack(None, bad, 0.0), None)
    every = texts(found) + texts(dict(diff.keys))
    assert len(every) > 30 and not [text for text in every if hostile(text)]


# -- frames ------------------------------------------------------------------------------------------------------------


def squeezed(size: int) -> bytes:
    machine = zlib.compressobj(1)
    return b"".join([*(machine.compress(b"\x90" * (1 << 20)) for _ in range(size >> 20)), machine.flush()])


def test_a_bomb_is_not_unpacked():
    bomb = squeezed(LARGEST + (64 << 20))
    assert len(bomb) < 2 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MalformedFrame, match="larger than one can be"):
        unpack(bomb, None)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 3 * LARGEST / 1024, f"{grown / 1024:.0f} MB"


def raw(values: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(values))


def column(values: Any, at: list[int] | None = None, scale: int = 0, steps: int = 0) -> ColumnDelta:
    return ColumnDelta(at, scale, steps, values if isinstance(values, msgspec.Raw) else raw(values))


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("cpu_load", column([float("nan")])), ("cpu_load", column([float("inf")])), ("cpu_load", column(["1"])),
        ("cpu_load", column([1, 2])), ("cpu_load", column([])), ("cpu_load", column({"a": 1})),
        ("cpu_load", column(msgspec.Raw(b"\x91"))), ("cpu_load", column(msgspec.Raw(b""))),
        ("cpu_load", column(msgspec.Raw(b"\xdd\xff\xff\xff\xff"))), ("cpu_load", column([1], scale=7)),
        ("flags", column(msgspec.Raw(b"\x91" * 100_000 + b"\x90"))),
        ("cpu_load", column([1 << 62], scale=1)), ("cpu_load", column([MOST + 1], scale=1, steps=2)),
        ("cpu_load", column([1], at=[1])), ("cpu_load", column([1], at=[-1])), ("cpu_load", column([], at=[])),
        ("cpu_load", column([1, 2], at=[0, 0])), ("boot_at", column([1.5])), ("boot_at", column([MOST + 1])),
        ("boot_at", column([True])), ("boot_at", column([1], scale=1, steps=2)), ("state", column([1])),
        ("state", column([None])), ("state", column([5], scale=1)), ("flags", column(["DRAIN"])),
        ("flags", column([[1]])), ("name", column(["b"])), ("__class__", column(["b"])), ("nothing", column([1])),
    ],
)  # fmt: skip
def test_a_column_that_does_not_fit_is_refused(field, bad):
    with pytest.raises(MalformedFrame):
        unpack_rows("nodes", Table(gone=[], keys=["a"], columns={field: bad}), NODE)


@pytest.mark.parametrize(
    "bad",
    [
        Table(gone=[], keys=["a", "a"], columns={}), Table(gone=["b"], keys=[], columns={}),
        Table(gone=[], keys=["new"], columns={}), Table(gone=[], keys=["new"], columns={"state": column(["IDLE"])}),
        Table(gone=["a"], keys=["\x1b", "\\e"], columns={}),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_are_refused(bad):
    with pytest.raises(MalformedFrame):
        unpack_rows("nodes", bad, NODE)


def test_more_rows_than_there_can_be(monkeypatch):
    monkeypatch.setattr(row_codec, "MOST_ROWS", 3)
    with pytest.raises(MalformedFrame, match="more rows"):
        unpack_rows("nodes", Table(gone=[], keys=list("bcde"), columns={}), {})


def test_whatever_byte_is_another_it_is_a_cluster_or_malformed(path):
    rng = random.Random(8)
    recording = RecordingReader(path)
    first = recording.first()
    whole = inflated(recording.frame(first)[1])
    before = cluster_at(recording, recording.last())
    step = inflated(recording.frame(recording.last())[0])
    outcomes = set()
    for _ in range(250):
        for good, old in ((whole, None), (step, before)):
            spoilt = bytearray(good)
            for _ in range(rng.randint(1, 4)):
                spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
            try:
                cluster, _ = unpack(zlib.compress(bytes(spoilt), 0), old)
            except MalformedFrame:
                outcomes.add("malformed")
            else:
                assert not [text for text in texts(cluster.jobs) if hostile(text)]
                outcomes.add("a cluster")
    assert outcomes == {"malformed", "a cluster"}


# -- files -------------------------------------------------------------------------------------------------------------


def look_through(path: Path) -> str:
    """Open it and look at everything; "" or what was said against it."""
    try:
        recording = RecordingReader(path)
        here = recording.first()
        cluster = None
        while here is not None:
            cluster = cluster_at(recording, here) if cluster is None else cluster
            step, _ = recording.frame(here)
            cluster = unpack(step, cluster)[0] if step is not None else cluster_at(recording, here)
            here = recording.after(here)
        recording.marks(0, 1e12), recording.actions(1e12), recording.mark(0.0)
    except (RecordingFault, MalformedFrame) as error:
        return str(error)
    return ""


def test_a_file_spoilt_anywhere_is_refused_in_words(path):
    assert look_through(path) == ""
    good, rng = path.read_bytes(), random.Random(5)
    for _ in range(40):
        spoilt = bytearray(good)
        at = rng.randrange(len(good))
        spoilt[at : at + 64] = rng.randbytes(64)
        path.write_bytes(bytes(spoilt[: rng.choice([len(spoilt), rng.randrange(len(spoilt))])]))
        look_through(path)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON frames BEGIN DELETE FROM frames; END", "CREATE VIEW v AS SELECT 1",
        "DROP TABLE marks", "CREATE TABLE more (id)",
        "DROP TABLE deeds; CREATE VIEW deeds AS WITH RECURSIVE r(at) AS (SELECT 1 UNION ALL SELECT at+1 FROM r) "
        "SELECT at AS id, at, 'x' AS digest, x'00' AS line FROM r",
    ],
)  # fmt: skip
def test_other_things_in_the_file_are_refused_before_they_are_asked(path, sql):
    with sqlite3.connect(path) as base:
        base.executescript(sql)
    with pytest.raises(RecordingFault, match="other things than a recording"):
        RecordingReader(path)


def change(path: Path, sql: str, *values: Any) -> None:
    with sqlite3.connect(path) as base:
        base.execute(sql, values)
    base.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE frames SET at = 1e300", "UPDATE frames SET at = 'now'", "UPDATE frames SET wall = x'00'",
        "UPDATE frames SET at = -5.0", "UPDATE frames SET whole = 'text'", "UPDATE frames SET step = 7, whole = 7",
        "UPDATE frames SET whole = zeroblob(70000000) WHERE id = 1", "UPDATE frames SET whole = NULL",
        "DELETE FROM frames",
        "UPDATE marks SET at = 'x'", "UPDATE deeds SET at = 'x'",
    ],
)  # fmt: skip
def test_values_of_another_kind_are_refused_in_words(path, sql):
    change(path, "INSERT INTO deeds (at, digest, line) VALUES (1.0, 'd', x'7b7d')")
    change(path, sql)
    said = look_through(path)
    try:
        replay_site(path)
    except RecordingFault as error:
        said = said or str(error)
    assert said or "marks" in sql or "deeds" in sql


def test_a_question_that_takes_for_ever_is_given_up(path, monkeypatch):
    monkeypatch.setattr(store, "_MAX_QUERY_STEPS", 1_000_000)
    change(path, "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r LIMIT 300000) "
                 "INSERT INTO marks SELECT n, 'alert', 'x' FROM r")  # fmt: skip
    began = time.monotonic()
    with pytest.raises(RecordingFault, match="interrupted"):
        RecordingReader(path).marks(0, 1e12)
    assert time.monotonic() - began < 10


@pytest.mark.slow
async def test_a_console_stands_on_a_frame_that_is_broken(path):
    recording = RecordingReader(path)
    third = recording.after(recording.after(recording.first()))
    change(path, "UPDATE frames SET step = x'00', whole = NULL WHERE id >= ? AND id < ?", third.id + 8, third.id + 20)
    change(path, "INSERT INTO marks VALUES (?, ?, ?)", third.at + 0.0001, EVIL, EVIL)
    change(path, "INSERT INTO deeds (at, digest, line) VALUES (0.0, 'd', ?)", b"\xff{]")
    app = WachtApp(replay_site(path), Config())
    try:
        async with app.run_test(size=(100, 30), notifications=True) as pilot:
            op = Operator(app, pilot)
            await op.until(lambda: op.cluster.known, "the first moment")
            app.session.poller.go(lambda recording, here: recording.first().at)
            await op.press("n")
            await op.comes("]52;c")
            assert not any(hostile(line) for line in op.screen().split("\n"))
            for _ in range(12):
                await op.press("full_stop")
            await op.comes("this moment cannot be shown")
            await op.press("8", "1", "less_than_sign")
            op.sees("REPLAY")
    finally:
        app.stop_reading()


def test_a_name_that_is_a_path_stays_in_the_folder(tmp_path):
    assert recording_path("../../etc/passwd", Chosen(path=str(tmp_path))).parent == tmp_path
