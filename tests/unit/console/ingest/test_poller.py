"""The poller: one call in flight a source, poked at once and after failures later, and it ends when told to.

Collectors here answer when the test lets them; every wait is a handshake that a passing test never waits out.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
from pathlib import Path

import pytest

from collectors import process
from collectors.clock import ManualClock
from collectors.model import Facts, SourceFault
from console.ingest import poller as polling
from console.ingest.pace import jittered
from console.ingest.poller import read
from tests.support.held_sources import PATIENCE_S, Held, Watched, facts


@pytest.fixture
def watch():
    made: list[Watched] = []

    def start(*held: Held, **more) -> Watched:
        made.append(Watched(*held, **more))
        made[-1].poller.start()
        return made[-1]

    yield start
    for one in made:
        one.poller.stop()


def threads_of(cluster: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in {f"reduce {cluster}", "poll slurm.nodes",
                                                                               "poll slurm.jobs"}]  # fmt: skip


# -- one reading -------------------------------------------------------------------------------------------------------


def test_a_reading_is_as_old_as_its_beginning():
    clock = ManualClock(now=1000.0, mono=50.0)
    held = Held()

    def collect():
        clock.advance(3)
        return facts("gpu1")

    held.collect = collect
    one = read("lab", held, clock)
    assert (one.cluster, one.source, one.mono, one.at, one.took_s) == ("lab", "slurm.nodes", 50.0, 1003.0, 3.0)
    assert list(one.facts.nodes) == ["gpu1"] and one.fault is None


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (SourceFault("timeout", "squeue hangs", "try: sdiag"), "timeout", "squeue hangs (try: sdiag)"),
        (KeyError("new"), "internal", "slurm.nodes: KeyError: 'new' (please report it to wacht)"),
        (ValueError("\x1b[2J\nx"), "internal", "slurm.nodes: ValueError: \\e[2J\\nx (please report it to wacht)"),
        (RecursionError(), "internal", "slurm.nodes: RecursionError:  (please report it to wacht)"),
        (ValueError("x" * 9999), "internal", f"slurm.nodes: ValueError: {'x' * 275} (please report it to wacht)"),
    ],
)
def test_an_exception_is_a_fault(error, kind, says):
    held = Held()
    held.answers(error)
    one = read("lab", held, ManualClock())
    assert one.facts is None and one.fault.kind == kind and str(one.fault) == says


# -- polling -----------------------------------------------------------------------------------------------------------


def test_reads_every_source_at_once_and_publishes(watch):
    nodes, jobs = Held(), Held("slurm.jobs")
    watched = watch(nodes, jobs)
    nodes.is_asked()
    jobs.is_asked()
    nodes.answers(facts("gpu1"))
    cluster, diff = watched.publishes()
    assert list(cluster.nodes) == ["gpu1"] and diff.keys == {"nodes": {"gpu1"}} and cluster is watched.poller.cluster
    assert cluster.sources["slurm.nodes"].ok and not cluster.sources["slurm.jobs"].tried
    jobs.answers(Facts(jobs={}))
    cluster, diff = watched.publishes()
    assert cluster.known == {"nodes", "jobs"} and diff.keys == {"jobs": frozenset()}


def test_a_poke_reads_again_at_once(watch):
    held = Held()
    watched = watch(held)
    held.is_asked()
    held.answers(facts("gpu1"))
    watched.publishes()
    watched.poller.refresh_now(["slurm.nodes"])
    held.is_asked()
    held.answers(facts("gpu1", "gpu2"))
    assert watched.publishes()[1].keys == {"nodes": {"gpu2"}}


def test_a_poke_during_a_call_reads_once_more_after_it(watch):
    held = Held()
    watched = watch(held)
    held.is_asked()
    for _ in range(100):
        watched.poller.refresh_now()
    assert held.is_left_alone(), "one call in flight"
    held.answers(facts("gpu1"))
    watched.publishes()
    held.is_asked()
    held.answers(facts("gpu1"))
    watched.publishes()
    watched.poller.refresh_now(["nobody", "slurm.jobs"])
    assert held.is_left_alone(), "a hundred pokes are one more reading"
    assert held.most_at_once == 1


def test_a_poke_of_one_source_leaves_the_others_alone(watch):
    nodes, jobs = Held(), Held("slurm.jobs")
    watched = watch(nodes, jobs)
    for held in (nodes, jobs):
        held.is_asked()
        held.answers(Facts())
        watched.publishes()
    watched.poller.refresh_now(["slurm.jobs"])
    jobs.is_asked()
    jobs.answers(Facts())
    watched.publishes()
    assert nodes.is_left_alone()


def test_never_two_calls_at_once_however_much_it_is_poked(watch):
    held = Held()
    watched = watch(held)
    pokers = [threading.Thread(target=lambda: [watched.poller.refresh_now() for _ in range(500)]) for _ in range(4)]
    for thread in pokers:
        thread.start()
    for _ in range(50):
        held.is_asked()
        held.answers(Facts())
        watched.publishes()
        watched.poller.refresh_now()
    for thread in pokers:
        thread.join(PATIENCE_S)
    assert held.most_at_once == 1


def test_reads_again_when_it_is_due(watch):
    held = Held(floor_s=0.001)
    held.answers(*[facts("gpu1")] * 3)
    watched = watch(held)
    for _ in range(3):
        held.is_asked()
    assert watched.publishes()[1].keys == {"nodes": {"gpu1"}} and watched.publishes()[1].keys == {}


def test_a_slow_source_holds_up_no_other(watch):
    slow, quick = Held(), Held("slurm.jobs")
    watched = watch(slow, quick)
    slow.is_asked()
    for _ in range(3):
        quick.is_asked()
        quick.answers(Facts(jobs={}))
        watched.publishes()
        watched.poller.refresh_now(["slurm.jobs"])
    assert not watched.poller.cluster.sources["slurm.nodes"].tried


# -- failures ----------------------------------------------------------------------------------------------------------


def test_the_wait_grows_with_failures_and_resets(watch):
    held = Held(floor_s=40.0)
    watched = watch(held, clock=ManualClock())
    told = []
    answers = [SourceFault("refused", "down")] * 4 + [facts("gpu1"), SourceFault("refused", "down again")]
    for answer in answers:
        held.is_asked()
        held.answers(answer)
        source = watched.publishes()[0].sources["slurm.nodes"]
        told.append((source.ok, source.failures, source.due_s))
        watched.poller.refresh_now()
    assert told == [(False, 1, 80.0), (False, 2, 160.0), (False, 3, 300.0), (False, 4, 300.0), (True, 0, 40.0),
                    (False, 1, 80.0)]  # fmt: skip


def test_it_waits_as_long_as_it_says(watch, monkeypatch):
    """What the screen shows as planned is what the thread waits, give or take the jitter."""
    waits: queue.Queue[float] = queue.Queue()
    monkeypatch.setattr(polling, "jittered", lambda seconds, rng: waits.put(seconds) or jittered(seconds, rng))
    held = Held(floor_s=40.0)
    watched = watch(held, clock=ManualClock())
    for answer in (SourceFault("refused", "down"), SourceFault("refused", "down"), facts("gpu1")):
        held.is_asked()
        held.answers(answer)
        assert waits.get(timeout=PATIENCE_S) == watched.publishes()[0].sources["slurm.nodes"].due_s
        watched.poller.refresh_now()


def test_a_fault_keeps_the_old_facts(watch):
    held = Held()
    watched = watch(held)
    held.is_asked()
    held.answers(facts("gpu1"))
    before, _ = watched.publishes()
    watched.poller.refresh_now()
    held.is_asked()
    held.answers(KeyError("a field of tomorrow"))
    after, diff = watched.publishes()
    assert after.nodes is before.nodes and diff.kinds == {"sources"}
    assert after.sources["slurm.nodes"].fault.kind == "internal"
    watched.poller.refresh_now()
    held.is_asked()
    held.answers(facts("gpu1"))
    assert watched.publishes()[0].sources["slurm.nodes"].ok


def test_facts_that_cannot_be_joined_cost_one_reading(watch):
    held = Held()
    watched = watch(held)
    held.is_asked()
    held.answers(Facts(nodes={"gpu1": "no node at all"}))
    cluster, _ = watched.publishes()
    assert cluster.nodes == {} and "AttributeError" in str(cluster.sources["slurm.nodes"].fault)
    watched.poller.refresh_now()
    held.is_asked()
    held.answers(facts("gpu1"))
    assert list(watched.publishes()[0].nodes) == ["gpu1"]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_stop_ends_every_thread_and_closes_every_source():
    nodes, jobs = Held(), Held("slurm.jobs")
    watched = Watched(nodes, jobs)
    watched.poller.start()
    nodes.is_asked()
    jobs.is_asked()
    jobs.answers(Facts(jobs={}))
    watched.publishes()  # jobs waits for its turn, nodes is in the middle of a call
    assert len(threads_of("lab")) == 3
    watched.poller.stop()
    assert threads_of("lab") == [] and (nodes.closed, jobs.closed) == (1, 1)
    assert watched.is_silent(), "what was in flight is not published any more"
    watched.poller.refresh_now()
    assert nodes.is_left_alone() and jobs.is_left_alone()


def test_stop_ends_the_command_that_runs(tmp_path):
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    ended = []

    class Slow(Held):
        def collect(self) -> Facts:
            ended.append(process.run([shutil.which("sh"), "-c", f"echo $$ > {ready}; exec sleep 60"], deadline_s=60))
            return Facts()

    watched = Watched(Slow())
    watched.poller.start()
    child = int(ready.read_text())
    watched.poller.stop()
    assert threads_of("lab") == [] and all(one.rc < 0 and not one.timed_out for one in ended) and len(ended) == 1
    assert not Path(f"/proc/{child}").exists()


def test_stop_before_the_first_answer_and_twice():
    held = Held()
    watched = Watched(held)
    watched.poller.stop()
    watched.poller.start()
    watched.poller.stop()
    assert threads_of("lab") == [] and held.is_left_alone() and watched.is_silent()
