"""The poller spares the controller: what nobody looks at, what is large, what strains, and pokes beyond the budget."""

from __future__ import annotations

import queue
import shutil

import msgspec
import pytest

from collectors import process
from collectors.clock import ManualClock
from collectors.model import Budget, Diag, Facts, Partition, ReadOrigin, SourceFault
from console.ingest import poller as polling
from tests.support.held_sources import PATIENCE_S, Held, Watched, facts


@pytest.fixture
def watch():
    made: list[Watched] = []

    def build(*held: Held, clock: ManualClock | None = None) -> Watched:
        made.append(Watched(*held, clock=clock or ManualClock(mono=100.0)))
        return made[-1]

    yield build
    for one in made:
        one.poller.stop()


def next_due(watched: Watched, held: Held, answer: Facts) -> float:
    """Answers the call in flight; the seconds to the next one as the screen is told."""
    held.is_asked()
    held.answers(answer)
    return watched.publishes()[0].sources[held.name].due_s


def test_a_large_answer_makes_the_next_one_later(watch):
    held = Held(floor_s=40.0)
    held.row_ms = 20_000.0
    watched = watch(held)
    watched.poller.start()
    assert next_due(watched, held, facts("gpu1", "gpu2", "gpu3")) == 60.0


def test_what_no_screen_shows_is_read_seldom_and_at_once_when_it_is_shown(watch):
    clock, held = ManualClock(mono=100.0), Held("slurm.partitions", floor_s=40.0)
    answer = Facts(partitions={"gpu": Partition(name="gpu", state="UP")})
    watched = watch(held, clock=clock)
    watched.poller.need({"power"})
    watched.poller.start()
    assert next_due(watched, held, answer) == 200.0
    clock.advance(60)
    watched.poller.need({"partitions"})
    assert next_due(watched, held, answer) == 40.0


def test_nodes_and_jobs_are_read_whatever_is_shown(watch):
    held = Held(floor_s=40.0)
    watched = watch(held)
    watched.poller.need(())
    watched.poller.start()
    assert next_due(watched, held, facts("gpu1")) == 40.0


def test_a_controller_that_strains_is_asked_seldomer_and_sdiag_tells_when_it_is_well_again(watch):
    nodes, gauge = Held(floor_s=40.0), Held("slurm.diag", floor_s=60.0)
    watched = watch(nodes, gauge)
    watched.poller.start()
    assert next_due(watched, nodes, facts("gpu1")) == 40.0
    for threads, expected in ((250, 100.0), (3, 40.0)):
        assert next_due(watched, gauge, Facts(diag=Diag(server_threads=threads))) == 60.0, "it is the gauge"
        watched.poller.refresh_now(["slurm.nodes"])
        assert next_due(watched, nodes, facts("gpu1")) == expected
        watched.poller.refresh_now(["slurm.diag"])


def test_pokes_beyond_the_budget_wait_for_it(watch, monkeypatch):
    class Costly(Held):
        budget = Budget(calls=2, seconds=60)

        def collect(self) -> Facts:
            process.run([str(shutil.which("true"))], deadline_s=20)
            return super().collect()

    held = Costly(floor_s=40.0)
    watched = watch(held)
    waits: queue.Queue[float] = queue.Queue()
    monkeypatch.setattr(watched.poller._stopping, "wait", waits.put)
    watched.poller.start()
    told = []
    for _ in range(3):
        next_due(watched, held, facts("gpu1"))
        watched.poller.refresh_now()
        told.append(waits.get(timeout=PATIENCE_S))
    assert told == [0.0, 60.0, 60.0]


def test_a_reading_that_took_many_commands_keeps_to_the_budget(watch):
    class Costly(Held):
        budget = Budget(calls=3, seconds=60)

        def collect(self) -> Facts:
            for _ in range(4):
                process.run([str(shutil.which("true"))], deadline_s=20)
            return super().collect()

    held = Costly(floor_s=40.0)
    watched = watch(held)
    watched.poller.start()
    assert next_due(watched, held, facts("gpu1")) == 80.0


@pytest.mark.parametrize(("answer", "expected"), [(facts("gpu1"), 60.0), (SourceFault("timeout", "it hung"), 0.0)])
def test_pokes_may_not_keep_the_controller_busy_but_one_may_see_that_it_is_mended(watch, monkeypatch, answer, expected):
    clock = ManualClock(mono=100.0)

    class Slow(Held):
        budget = Budget(calls=30, seconds=6)

        def collect(self) -> Facts:
            process.run([str(shutil.which("true"))], deadline_s=20)
            clock.advance(30)
            return super().collect()

    held = Slow(floor_s=40.0)
    watched = watch(held, clock=clock)
    waits: queue.Queue[float] = queue.Queue()
    monkeypatch.setattr(watched.poller._stopping, "wait", waits.put)
    watched.poller.start()
    held.is_asked()
    watched.poller.refresh_now()
    held.answers(answer)
    assert waits.get(timeout=PATIENCE_S) == expected


class Lender(Held):
    """A source that shares; remembers how old a reading might be."""

    def __init__(self) -> None:
        super().__init__(floor_s=40.0)
        self.lent: list[float] = []
        self.stored: Facts | None = None

    def lend(self, since: float) -> None:
        self.lent.append(since)

    def recall(self, since: float, before: float) -> Facts:
        if self.stored is None:
            raise SourceFault("missing", "nothing is stored")
        return self.stored


def test_a_poke_wants_a_reading_that_was_begun_after_it(watch):
    clock, held = ManualClock(mono=100.0), Lender()
    watched = watch(held, clock=clock)
    watched.poller.start()
    next_due(watched, held, facts("gpu1"))
    clock.advance(7)
    watched.poller.refresh_now()
    clock.advance(2)
    next_due(watched, held, facts("gpu1"))
    assert held.lent[0] == 60.0, "at the start one that is as old as the interval will do"
    assert held.lent[1] == 107.0
    held.lent.clear()
    watched.poller.refresh_now()
    held.is_asked()
    held.answers(SourceFault("refused", "down"))
    watched.publishes()
    assert held.lent == [109.0]


def test_a_stored_reading_is_published_first_and_stands_as_not_read_yet(watch):
    held = Lender()
    held.stored = msgspec.structs.replace(facts("gpu1"), taken=ReadOrigin(begun=20.0, took_s=2.0, lent=True))
    watched = watch(held, clock=ManualClock(mono=100.0))
    watched.poller.start()
    first = watched.publishes()[0]
    source = first.sources[held.name]
    assert set(first.nodes) == {"gpu1"} and (source.recalled, source.ok, source.tried) == (True, False, False)
    assert source.age_s(100.0) == 80.0 and source.late(21.0), "dim at any age"
    held.is_asked()
    held.answers(facts("gpu2"))
    own = watched.publishes()[0]
    assert set(own.nodes) == {"gpu2"} and own.sources[held.name].ok and not own.sources[held.name].recalled


def test_who_took_anothers_reading_waits_longer_counted_from_its_age(watch, monkeypatch):
    monkeypatch.setattr(polling, "jittered", lambda seconds, rng: seconds)
    held = Lender()
    watched = watch(held)
    waits: queue.Queue[float] = queue.Queue()
    bell = watched.poller._turns[held.name].bell
    plain = bell.wait
    monkeypatch.setattr(bell, "wait", lambda seconds: waits.put(seconds) or plain(PATIENCE_S))
    watched.poller.start()
    for lent, expected in ((False, 40.0 - 5.0), (True, 48.0 - 5.0)):
        taken = ReadOrigin(begun=93.0, took_s=2.0, lent=lent)
        held.is_asked()
        held.answers(Facts(nodes={}, taken=taken))
        source = watched.publishes()[0].sources[held.name]
        assert (source.read_mono, source.took_s) == (93.0, 2.0), "the facts are as old as the other's question"
        assert waits.get(timeout=PATIENCE_S) == pytest.approx(expected)
        watched.poller.refresh_now()
