"""The second witness: what syslog gets of every line, and what happens when the file or syslog or both are gone."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.clock import ManualClock
from console.journal import chain
from console.journal.syslog_witness import MOST, Witness, shortened
from console.journal.writer import Journal, JournalFault, read, show, unfinished, verified, verify

FORM = re.compile(rb"<85>wacht\[(\d+)\]: (\{[\x20-\x7e]*\})")


class Syslog:
    """Stands in for /dev/log: a datagram socket, as journald and rsyslog open it."""

    def __init__(self, path) -> None:
        self.path = path
        self.open()

    def open(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)

    def close(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def raw(self) -> list[bytes]:
        """Every datagram since the last look."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(1 << 20))
            except BlockingIOError:
                return found

    def lines(self) -> list[dict]:
        told = [FORM.fullmatch(one) for one in self.raw()]
        assert all(one is not None and int(one[1]) == os.getpid() for one in told)
        return [json.loads(one[2]) for one in told if one is not None]


@pytest.fixture
def syslog(tmp_path):
    with closing(Syslog(tmp_path / "log")) as one:
        yield one


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal" / "lab.jsonl"


def book(path, to, **options) -> Journal:
    return Journal(path, "lab", ManualClock(), witness=Witness(to.path, timeout_s=0.05), **options)


def act(mine, plan="a", event="intent", **more):
    return mine.write(event, id=plan, action="drain", kind="node", targets=["gpu0001"], **more)


def test_every_line_goes_to_syslog_with_its_hash(path, syslog):
    mine = book(path, syslog)
    assert [act(mine), act(mine, event="result", outcome={"gpu0001": {"state": "pending", "why": ""}})] == ["", ""]
    first, second = syslog.lines()
    assert next(iter(first)) == "sum"
    # It is the line of the file, to the last field.
    assert [first, second] == read(path) and first["sum"] == read(path)[0]["sum"] and second["event"] == "result"


def test_nothing_in_it_can_forge_a_line_or_steer_a_terminal(path, syslog):
    act(book(path, syslog), reason='x\n<0>kernel: "forged" \x1b[2J \x85 é')
    (raw,) = syslog.raw()
    assert FORM.fullmatch(raw) and json.loads(FORM.fullmatch(raw)[2])["reason"].startswith("x\n<0>")


def test_without_syslog_the_file_is_enough(path, tmp_path):
    mine = Journal(path, "lab", ManualClock(), witness=Witness(tmp_path / "nobody"))
    assert act(mine) == "" and verify(path).lines == 1


def test_a_syslog_that_takes_nothing_delays_and_stops_nothing(path, syslog):
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as flood:
        flood.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                flood.sendto(b"x", str(syslog.path))
    assert "did not take it in 0.05 s" in Witness(syslog.path, timeout_s=0.05).tell({"event": "intent"}, "0")
    assert act(book(path, syslog)) == "" and verify(path).lines == 1


# -- the file is gone -------------------------------------------------------------------------------------------------


def test_where_the_file_cannot_be_written_syslog_has_the_audit_copy(path, syslog):
    path.mkdir(parents=True)
    told = act(book(path, syslog))
    assert "the journal file cannot be written" in told and "directory" in told and "syslog has the audit copy" in told
    (line,) = syslog.lines()
    # It hangs on no other line, but it proves itself.
    assert (line["event"], line["id"]) == ("intent", "a") and "prev" not in line
    assert json.loads(chain.seal({key: value for key, value in line.items() if key != "sum"})) == line


def test_where_neither_takes_it_it_is_a_fault(path, tmp_path):
    path.mkdir(parents=True)
    for witness in (Witness(tmp_path / "nobody"), None):
        with pytest.raises(JournalFault, match=r"directory; mend it.*syslog does not take it either"):
            act(Journal(path, "lab", ManualClock(), witness=witness))


def test_the_gap_is_owned_up_to_when_the_file_is_back(path, syslog):
    mine = book(path, syslog)
    act(mine, "a")
    whole = path.read_bytes()
    path.unlink()
    path.mkdir()
    assert act(mine, "b") and act(mine, "b", "result", outcome={"gpu0001": {"state": "pending", "why": ""}})
    path.rmdir()
    path.write_bytes(whole)
    path.chmod(0o600)
    assert act(mine, "c") == ""
    assert [(one["event"], one.get("id"), one.get("late")) for one in read(path)] == [
        ("intent", "a", None), ("gap", None, None), ("intent", "b", True), ("result", "b", True), ("intent", "c", None)
    ]  # fmt: skip
    found = verify(path)
    assert found.ok and found.lines == 5 and found.gaps == ((2, 2),)
    assert "line 2: 2 lines could not be written at the time; syslog has the audit copy" in verified(path)[0]
    assert json.loads(verified(path, as_json=True)[0])["gaps"] == [[2, 2]]
    assert "2 lines that only syslog had" in show(path)[0]
    assert [one.plan for one in unfinished(path)] == ["a", "c"]
    # It is told once.
    act(mine, "d")
    assert verify(path).gaps == ((2, 2),)


def test_where_no_thread_is_to_be_had_nothing_is_lost(path, syslog, monkeypatch):
    def none_left(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("console.journal.writer._Write.start", none_left)
    path.mkdir(parents=True)
    mine = book(path, syslog)
    assert "syslog has the audit copy" in act(mine, "a") and "syslog has the audit copy" in act(mine, "b")
    path.rmdir()
    assert act(mine, "c") == ""
    assert [(one["event"], one.get("id"), one.get("late")) for one in read(path)] == [
        ("gap", None, None), ("intent", "a", True), ("intent", "b", True), ("intent", "c", None)
    ]  # fmt: skip
    assert verify(path).gaps == ((1, 2),)


def test_of_a_long_gap_the_last_lines_are_kept_and_all_are_counted(path, syslog, monkeypatch):
    monkeypatch.setattr("console.journal.writer.MISSED_KEPT", 2)
    path.mkdir(parents=True)
    mine = book(path, syslog)
    for number in range(5):
        act(mine, str(number))
        syslog.lines()
    path.rmdir()
    act(mine, "now")
    assert [one.get("id") for one in read(path)] == [None, "3", "4", "now"] and verify(path).gaps == ((1, 5),)


class Hung:
    """A file system that answers when it is let."""

    def __init__(self, monkeypatch) -> None:
        self.answers = threading.Event()
        self._append = chain.append
        monkeypatch.setattr(chain, "append", self)

    def __call__(self, *args):
        self.answers.wait()
        return self._append(*args)


def test_a_hung_file_system_does_not_hold_up_what_syslog_takes(path, syslog, monkeypatch):
    hung = Hung(monkeypatch)
    mine = book(path, syslog, deadline_s=0.1)
    assert "did not answer in 0.1 s): syslog has the audit copy" in act(mine, "a")
    assert "still does not answer" in act(mine, "a", "result", outcome={"gpu0001": {"state": "done", "why": ""}})
    assert [one["event"] for one in syslog.lines()] == ["intent", "result"]
    hung.answers.set()
    assert mine._writing is not None
    mine._writing.join()
    mine._deadline_s = 60.0  # from now on it answers
    # It counted: nothing says that it was not sent.
    assert [(one["event"], one["id"]) for one in read(path)] == [("intent", "a")]
    act(mine, "b")
    assert [one["event"] for one in read(path)] == ["intent", "gap", "result", "intent"]
    assert verify(path).ok and [one.plan for one in unfinished(path)] == ["b"]


def test_a_line_that_hung_and_then_failed_is_not_forgotten(path, syslog, monkeypatch):
    hung = Hung(monkeypatch)
    mine = book(path, syslog, deadline_s=0.1)
    act(mine, "a")
    path.mkdir(parents=True)
    hung.answers.set()
    assert mine._writing is not None
    mine._writing.join()
    mine._deadline_s = 60.0
    path.rmdir()
    act(mine, "b")
    assert [(one["event"], one.get("id")) for one in read(path)] == [("gap", None), ("intent", "a"), ("intent", "b")]


def test_what_neither_took_is_taken_back_when_it_arrives_late(path, tmp_path, monkeypatch):
    hung = Hung(monkeypatch)
    mine = Journal(path, "lab", ManualClock(), deadline_s=0.02, witness=Witness(tmp_path / "nobody"))
    with pytest.raises(JournalFault, match="did not answer"):
        act(mine, "a")
    hung.answers.set()
    assert mine._writing is not None
    mine._writing.join()
    assert read(path)[-1]["note"] == "written too late, not sent"


# -- what fits --------------------------------------------------------------------------------------------------------


def long_line(nodes=12_000, **more):
    names = [f"gpu{number:05d}" for number in range(1, nodes + 1)]
    seen = {name: {"state": "IDLE", "reason": None} for name in names}
    return {"sum": "f" * 64, "time": "t", "event": "intent", "id": "a", "action": "drain", "kind": "node",
            "targets": names, "reason": "r", "argv": [["scontrol", ",".join(names)]], "seen": seen,
            "prev": "e" * 64, **more}  # fmt: skip


def test_long_targets_are_folded_and_the_cut_is_said():
    told = json.loads(shortened(long_line(), MOST))
    assert told["targets"] == "gpu[00001-12000]" and told["cut"] is True and "seen" not in told
    assert (told["sum"], told["prev"], told["reason"]) == ("f" * 64, "e" * 64, "r") and len(told["argv"][0][1]) == 201


def test_outcomes_are_folded_by_state():
    names = long_line()["targets"]
    outcome = {name: {"state": "failed" if name == "gpu00007" else "done", "why": "x" * 50} for name in names}
    told = json.loads(shortened(long_line(argv=[], seen={}, outcome=outcome), MOST))
    assert told["outcome"] == {"done": "gpu[00001-00006,00008-12000]", "failed": "gpu00007"}


def test_what_fits_is_sent_whole():
    line = long_line(nodes=3)
    assert json.loads(shortened(line, MOST)) == line


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300).map(lambda one: one * 40),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=300), inner, max_size=8),
    max_leaves=30,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(["targets", "reason", "argv", "outcome", "seen", "kind", "x", "y"]), values))
def test_it_always_fits_and_keeps_its_hash(line):
    data = shortened({"sum": "f" * 64, "event": "intent", **line}, MOST)
    assert len(data) <= MOST and json.loads(data)["sum"] == "f" * 64 and data.isascii()


def test_a_whole_machine_fits_a_datagram(path, syslog):
    names = [f"r{rack:03d}n{number:02d}" for rack in range(1, 700) for number in (1, 3, 5, 7, 9, 12, 15, 17)]
    book(path, syslog).write("intent", id="a", action="drain", kind="node", targets=names, reason="z" * 1000)
    (raw,) = syslog.raw()
    assert len(raw) <= 8192 and json.loads(FORM.fullmatch(raw)[2])["id"] == "a"


# -- the real thing ---------------------------------------------------------------------------------------------------

JOURNALD = Path("/usr/lib/systemd/systemd-journald")


@pytest.fixture
def journald():
    """A real journald of our own namespace, and where it listens."""
    if os.geteuid() != 0 or not JOURNALD.exists() or shutil.which("journalctl") is None:
        pytest.skip("no systemd-journald that can be started here")
    name = f"wacht{os.getpid()}"
    home = Path(f"/run/systemd/journal.{name}")
    daemon = subprocess.Popen([JOURNALD, name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        witness = Witness(home / "dev-log")
        for _ in range(3000):  # a minute at most
            if not witness.missing():
                break
            with suppress(subprocess.TimeoutExpired):
                daemon.wait(0.02)
                pytest.skip("systemd-journald does not run here")
        yield name, witness
    finally:
        daemon.terminate()
        daemon.wait()
        for left in (home, *Path("/run/log/journal").glob(f"*.{name}"), *Path("/var/log/journal").glob(f"*.{name}")):
            shutil.rmtree(left, ignore_errors=True)


def test_a_real_journald_keeps_it(path, journald):
    name, witness = journald
    mine = Journal(path, "lab", ManualClock(), witness=witness)
    mine.write("intent", id="short", kind="node", targets=["gpu0001"], reason="bad DIMM é")
    mine.write("intent", id="long", kind="node", targets=[f"gpu{n:05d}" for n in range(12_000)], argv=[["x" * 60_000]])
    subprocess.run(["journalctl", f"--namespace={name}", "--sync"], check=True, capture_output=True)
    said = subprocess.run(["journalctl", f"--namespace={name}", "-t", "wacht", "-o", "json", "--all"],
                          check=True, capture_output=True, text=True).stdout  # fmt: skip
    short, long = [json.loads(line) for line in said.splitlines()]
    assert (short["SYSLOG_FACILITY"], short["PRIORITY"], short["SYSLOG_PID"]) == ("10", "5", str(os.getpid()))
    assert json.loads(short["MESSAGE"]) == read(path)[0]
    told = json.loads(long["MESSAGE"])
    assert told["targets"] == "gpu[00000-11999]" and told["cut"] and told["sum"] == read(path)[1]["sum"]
