"""One reading for several consoles: true to the byte, as old as it is, and never from anybody but its owner."""

from __future__ import annotations

import os
import queue as queues
import shutil
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors import shared_readings
from collectors.clean import clean
from collectors.clock import SystemClock
from collectors.model import SourceFault
from collectors.process import ProcessResult
from collectors.shared_readings import SharedAnswer, SharedFolder
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_transport
from console.ingest.poller import RECALL_S, read, recall
from tests.support import make
from tests.support.consoles import JOBS, PATIENCE_S, console, folder, kept, queue, squeue_argv
from tests.support.make import Commands


@pytest.fixture
def commands(tmp_path, monkeypatch) -> Commands:
    return queue(Commands(tmp_path, monkeypatch))


# -- one asks, all have it ---------------------------------------------------------------------------------------------


def test_the_second_console_takes_what_the_first_has_read(commands):
    first, second = console().collect(), console().collect()
    assert second.jobs == first.jobs and list(second.jobs) == JOBS and len(commands.calls) == 1
    assert not first.taken.lent and second.taken.lent
    assert (second.taken.begun, second.taken.took_s) == (first.taken.begun, first.taken.took_s)
    assert "\x1b" not in second.jobs["2"].name and "\\e[2J" in second.jobs["2"].name, "the same edge"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b"")).filter(lambda raw: b"@F" not in raw))
def test_any_name_comes_through_as_it_was_read(tmp_path_factory, name):
    with pytest.MonkeyPatch.context() as patch:
        here = tmp_path_factory.mktemp("any")
        patch.setenv("XDG_RUNTIME_DIR", str(here))
        asked = Commands(here, patch)
        asked.says("squeue", make.squeue(make.row(Name="@N")).encode().replace(b"@N", name))
        first, second = console().collect(), console().collect()
        assert second.taken.lent and second.jobs == first.jobs and len(asked.calls) == 1


def test_the_age_is_that_of_the_question(commands):
    clock = SystemClock()
    now, mono = clock.now(), clock.mono()
    leave(begun=mono - 100.0)
    one = read("lab", console(), clock)
    assert (one.mono, one.took_s) == (mono - 100.0, 0.5) and commands.calls == []
    assert one.at == pytest.approx(now - 99.5, abs=1.0), "when that reading had ended, for people"


def test_nobody_is_given_what_it_has_already(commands):
    alone, other = console(), console()
    begun = [alone.collect().taken.begun, other.collect().taken.begun, alone.collect().taken.begun]
    assert begun[0] == begun[1] < begun[2] and len(commands.calls) == 2
    assert other.collect().taken.begun == begun[2] and len(commands.calls) == 2


def test_only_what_is_new_enough_will_do(commands):
    console().collect()
    poked = console(since=time.monotonic()).collect()
    assert not poked.taken.lent and len(commands.calls) == 2


def test_snapshot_act_and_the_gate_neither_take_nor_leave_anything(commands):
    assert console(since=None).collect().taken is None and kept(folder()) == []
    console().collect()
    assert console(since=None).collect().taken is None and len(commands.calls) == 3
    named = (make.named_row(JobArrayID=one) for one in ("1", "2"))
    commands._cases.clear()  # the first that fits wins
    commands.says("squeue", make.squeue(*named, columns=make.NAMED))
    assert set(open_transport("lab", SlurmSettings()).read_jobs(["1", "2"])) == {"1", "2"} and len(commands.calls) == 4


@pytest.mark.parametrize("other", ["cluster", "configuration", "path", "off", "token"])
def test_what_is_not_the_same_is_not_shared(commands, monkeypatch, tmp_path, other):
    console().collect()
    chosen = {"cluster": "other"} if other == "cluster" else {"share": False} if other == "off" else {}
    if other == "configuration":
        monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    elif other == "token":
        monkeypatch.setenv("SLURM_JWT", "somebody else's")
    elif other == "path":
        shutil.copytree(commands.folder, tmp_path / "bin2")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin2'}:{os.defpath}")
    found = console(**chosen).collect()
    assert len(commands.calls) == 2 and list(found.jobs) == ["1", "2"]


def test_a_reading_of_several_commands_is_no_older_than_its_first(commands):
    line = "NodeName=gpu1 State=DOWN+DRAIN Reason=broken [root@1]\n"
    commands.says("scontrol", line, to="-a show node -d -o")
    commands.says("sinfo", "gpu1\n", to="-a -h -o %N")
    commands.says("sinfo", "NodeList|User|Timestamp|Reason@F\ngpu1|root(0)|1|broken@F\n")
    first = console("slurm.nodes").collect()
    assert len(commands.calls) == 3
    second = console("slurm.nodes").collect()
    assert second.nodes == first.nodes and second.taken.lent and len(commands.calls) == 3
    third = console("slurm.nodes", since=time.monotonic()).collect()
    assert third.taken.begun > first.taken.begun and len(commands.calls) == 6, "old reasons do not go with new nodes"


def test_a_refusal_is_shared_too(commands):
    commands.script("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    for _ in range(3):
        with pytest.raises(SourceFault, match="Unable to contact"):
            console().collect()
    assert len(commands.calls) == 1, "a controller in trouble is asked once"


def test_what_a_signal_ended_is_no_answer(commands):
    commands.script("squeue", "kill -9 $$")
    for _ in range(2):
        with pytest.raises(SourceFault, match="signal 9"):
            console().collect()
    assert len(commands.calls) == 2, "the end of one console is not the others' fault"


# -- the start -------------------------------------------------------------------------------------------------------


def test_an_older_reading_is_recalled_without_a_command(commands):
    mono = time.monotonic()
    leave(begun=mono - 300.0)
    found = recall("lab", console(), SystemClock())
    assert found is not None and found.recalled and (found.mono, found.took_s) == (mono - 300.0, 0.5)
    assert list(found.facts.jobs) == ["7"] and commands.calls == []


@pytest.mark.parametrize("age_s", [RECALL_S + 60.0, 1.0], ids=["too old", "so new that the first reading takes it"])
def test_what_is_too_old_or_new_is_not_recalled(commands, age_s):
    leave(begun=time.monotonic() - age_s)
    assert recall("lab", console(), SystemClock()) is None and commands.calls == []


def test_a_kind_that_nobody_stored_is_not_recalled(commands):
    assert recall("lab", console("slurm.nodes"), SystemClock()) is None
    assert recall("lab", console("slurm.rights"), SystemClock()) is None and commands.calls == []


def test_a_console_reads_itself_after_it_has_recalled(commands):
    leave(begun=time.monotonic() - 300.0)
    one = console(since=time.monotonic() - 10.0)
    assert recall("lab", one, SystemClock()) is not None
    assert not one.collect().taken.lent and len(commands.calls) == 1


# -- taking turns ------------------------------------------------------------------------------------------------------


class Door:
    """In place of the event that ends a wait: tells each time its console has looked in vain."""

    def __init__(self) -> None:
        self.looked: queues.Queue[None] = queues.Queue()
        self.shut = threading.Event()

    def wait(self, seconds: float) -> bool:
        self.looked.put(None)
        return self.shut.wait(seconds)

    def set(self) -> None:
        self.shut.set()


class Waiting:
    """A console that reads in a thread of its own."""

    def __init__(self, **chosen) -> None:
        self.source = console(**chosen)
        self.door = self.source.shared_cache._closed = Door()
        self._found: queues.Queue = queues.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            self._found.put(self.source.collect())
        except SourceFault as error:
            self._found.put(error.fault)

    def waits(self) -> None:
        """It has looked in vain, and will again."""
        self.door.looked.get(timeout=PATIENCE_S)

    @property
    def found(self):
        """What came of it."""
        return self._found.get(timeout=PATIENCE_S)


def own() -> SharedFolder:
    return SharedFolder(folder(), os.geteuid(), private=True)


def held(run_for_s: float = 60.0) -> int:
    """The lock of squeue, as by a console that asks just now."""
    lock = own().lock(
        shared_readings.file_name_of("lab", shared_readings.question_of(squeue_argv())), time.monotonic() + run_for_s
    )
    assert lock is not None and lock >= 0
    return lock


def leave(begun: float) -> None:
    """What another console has read, begun then: job 7."""
    mark = "B" * 16
    out = make.squeue(make.row(JobArrayID="7")).replace("@F", mark).encode()
    ended = ProcessResult(argv=tuple(squeue_argv(mark)), rc=0, out=out, err="", took_s=0.5)
    form = shared_readings.question_of(squeue_argv())
    assert own().put(shared_readings.file_name_of("lab", form), form, SharedAnswer(begun=begun, ended=ended))


def test_an_error_text_of_a_shared_answer_is_cleaned(commands):
    """It was written by another process: what comes from its file passes the same edge as what a command prints."""
    mark = "B" * 16
    ended = ProcessResult(
        argv=tuple(squeue_argv(mark)), rc=1, out=b"", err="no \x1b]52;c;x\x07\u202e slurmctld\n", took_s=0.5
    )
    form, begun = shared_readings.question_of(squeue_argv()), time.monotonic() - 1.0
    assert own().put(shared_readings.file_name_of("lab", form), form, SharedAnswer(begun=begun, ended=ended))
    found = own().get(shared_readings.file_name_of("lab", form), form, 0.0)
    assert found is not None and found.ended.err == clean(ended.err)
    assert found.ended.err.isprintable() and "\\e]52;c;x" in found.ended.err


def test_who_finds_another_asking_waits_for_its_answer(commands):
    lock = held()
    waiting = Waiting()
    waiting.waits()
    leave(begun=time.monotonic())
    found = waiting.found
    os.close(lock)
    assert list(found.jobs) == ["7"] and found.taken.lent and found.taken.took_s == 0.5 and commands.calls == []


def test_who_gets_the_lock_looks_once_more(commands, monkeypatch):
    plain = SharedFolder.lock

    def lock(place: SharedFolder, name: str, until: float) -> int | None:
        leave(begun=time.monotonic())  # by one that has let go since
        return plain(place, name, until)

    monkeypatch.setattr(SharedFolder, "lock", lock)
    assert list(console().collect().jobs) == ["7"] and commands.calls == []


def test_when_it_dies_the_next_takes_over(commands):
    lock = held()
    waiting = Waiting()
    waiting.waits()
    os.close(lock)  # as the kernel does
    found = waiting.found
    assert list(found.jobs) == JOBS and not found.taken.lent and len(commands.calls) == 1


def test_one_that_was_stopped_with_the_lock_holds_nobody_up(commands):
    lock = held(run_for_s=-1.0)
    waiting = Waiting()
    found = waiting.found
    os.close(lock)
    assert list(found.jobs) == JOBS and waiting.door.looked.empty()
    assert kept(folder()) == [], "who has no lock leaves nothing"


@pytest.mark.slow
def test_nobody_waits_beyond_the_deadline(commands):
    lock = held()
    waiting = Waiting(deadline_s=1.0)
    waiting.waits()
    assert list(waiting.found.jobs) == JOBS and len(commands.calls) == 1
    os.close(lock)


def test_the_end_of_a_console_ends_its_waiting(commands):
    lock = held()
    waiting = Waiting()
    waiting.waits()
    waiting.source.close()
    assert waiting.found.kind == "cut" and commands.calls == []
    os.close(lock)


def test_ten_consoles_at_once_ask_once(commands, tmp_path):
    go, said = tmp_path / "go", tmp_path / "squeue.0"
    os.mkfifo(go)
    commands.script("squeue", f'read word < {go}; mark="${{*##*:}}"; sed s/@F/$mark/g {said}')
    first = Waiting()
    with go.open("w") as pipe:  # opens when squeue runs
        others = [Waiting() for _ in range(9)]
        for one in others:
            one.waits()
        pipe.write("now\n")
    assert [list(one.found.jobs) for one in (first, *others)] == [JOBS] * 10 and len(commands.calls) == 1
