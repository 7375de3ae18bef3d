"""Polls the sources of one cluster: a thread a source, one call in flight each, and one thread that reduces.

Only frozen values cross threads, through one queue. Nothing here knows about screens: `publish` is called with each
new Cluster, from the reducing thread, and `need` is told which kinds of facts are looked at.

How long a source waits is `pace`'s to say. Several consoles of one user take turns by themselves: one whose facts
another has read waits a little longer, so that it finds that one's next reading, and asks itself when there is none.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from collectors import memory, process
from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import KINDS, Budget, Cluster, Collector, Diff, Facts, Fault, Reading, SourceFault

from . import controller_cost
from .node_naming import Naming
from .pace import AFTER_ANOTHER, LONGEST_S, BudgetUse, due_s, jittered, spared_interval_s, within_s
from .reduce import begin, merged, reduce

Publish = Callable[[Cluster, Diff], None]

#: Kinds of facts that may be old while no screen shows them: nothing rings or judges by them.
SELDOM = frozenset({"partitions", "reservations", "power", "counts"})
#: What is read of a cluster while another is on the screen: what rings, what needs somebody, whether it answers. The
#: rest stands still, and shows its age.
WATCHED = frozenset({"nodes", "alerts", "diag"})
#: Seconds between two of these readings at least: an alert may ring half a minute late.
_ASIDE_S = {"alerts": 30.0}
_ASIDE_ELSE_S = 60.0
#: Sources that ask the controller, and hold back when it strains; sdiag does not, since it is the gauge.
_SPARING = frozenset({"slurm.nodes", "slurm.jobs", "slurm.partitions", "slurm.reservations"})


@runtime_checkable
class LendingSource(Protocol):
    """A source that takes a reading of another console where it is new enough."""

    def lend(self, since: float) -> None:
        """From now on a reading will do that was begun at this monotonic moment or later."""
        ...


@runtime_checkable
class ShownSource(Protocol):
    """A source that reads more often what a screen shows."""

    def show(self, ids: frozenset[str]) -> None:
        """These jobs are on the screen now. May be called by another thread."""
        ...


def read(cluster: str, collector: Collector, clock: Clock) -> Reading:
    """One reading of one source. Never raises: what goes wrong is in the reading."""
    began = clock.mono()
    facts = fault = None
    try:
        facts = collector.collect()
    except SourceFault as error:
        fault = error.fault
    except Exception as error:
        # A new field or an impossible value must cost one reading, not the console.
        fault = _own_fault(collector.name, error)
    at, took_s = clock.now(), clock.mono() - began
    if facts is not None and (taken := facts.taken) is not None:
        # Another console may have asked a while ago: the facts are as old as its question.
        at -= max(0.0, clock.mono() - taken.begun - taken.took_s)
        began, took_s = taken.begun, taken.took_s
    return Reading(cluster=cluster, source=collector.name, at=at, mono=began, took_s=took_s,
                   facts=facts, fault=fault)  # fmt: skip


def _own_fault(source: str, error: Exception) -> Fault:
    """What an unexpected exception tells may hold anybody's text."""
    return Fault("internal", clean(f"{source}: {type(error).__name__}: {error}"[:300]), "please report it to wacht")


def background_interval_s(kind: str) -> float:
    """Least seconds between two readings of a kind while another cluster is on the screen."""
    return _ASIDE_S.get(kind, _ASIDE_ELSE_S)


def rows_in(facts: Facts | None) -> int:
    """Rows of all kinds in a reading."""
    found = (getattr(facts, kind) for kind in KINDS) if facts is not None else ()
    return sum(len(rows) for rows in found if isinstance(rows, Mapping))


class _SourceState:
    """What the poller keeps of one source: its bell, the last poke, and what its readings were like."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.budget: Budget | None = getattr(collector, "budget", None)
        self.row_ms: float = getattr(collector, "row_ms", 0.0)
        self.kind = collector.name.rpartition(".")[2]
        self.bell = threading.Event()
        self.requested: tuple[float] | None = None
        """The moment of the last poke; another object with each."""
        self.served: tuple[float] | None = None
        """The poke that the last reading was for."""
        self.spent = BudgetUse()
        self.rows = self.calls = self.failures = 0
        self.took_s = 0.0
        self.rest_s = 0.0
        """For how long the source itself asked to be left alone, within reason."""
        self.lent = False

    def ended(self, reading: Reading, calls: int, mono: float) -> None:
        """A reading has ended, for which so many commands were started here."""
        facts = reading.facts
        self.failures = 0 if facts is not None else self.failures + 1
        self.calls, self.took_s = calls, reading.took_s
        self.rest_s = min(LONGEST_S, reading.fault.rest_s) if reading.fault is not None else 0.0
        self.lent = facts is not None and facts.taken is not None and facts.taken.lent
        if facts is not None:
            self.rows = rows_in(facts)
        # One that failed counts its calls alone: who has mended a controller that hung must not wait for a minute.
        self.spent.add(mono, calls, reading.took_s if facts is not None else 0.0)


class Poller:
    """Keeps one cluster's facts fresh until `stop`."""

    def __init__(
        self, name: str, collectors: Sequence[Collector], clock: Clock, publish: Publish, demo: bool = False,
        asked: Iterable[object] = (),
    ) -> None:  # fmt: skip
        """`asked` is what is asked on demand beside the sources, and has to know how Slurm names its nodes."""
        self.name = name
        self.cluster = begin(name, [(one.name, one.floor_s) for one in collectors], demo)
        """The newest Cluster; replaced, never changed, by the reducing thread."""
        self._collectors = {one.name: one for one in collectors}
        self._clock = clock
        self._publish = publish
        self._turns = {name: _SourceState(one) for name, one in self._collectors.items()}
        self._needed: frozenset[str] = SELDOM
        self._aside: frozenset[str] | None = None
        """The kinds that are read while another cluster is on the screen; None while this one is."""
        self._strain = 1.0
        self._readings: queue.SimpleQueue[tuple[Reading, float] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._naming = Naming(collectors, asked)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to read."""
        self._threads = [threading.Thread(target=self._reduce, name=f"reduce {self.name}", daemon=True)]
        self._threads += [
            threading.Thread(target=self._poll, args=(turn,), name=f"poll {name}", daemon=True)
            for name, turn in self._turns.items()
        ]
        for thread in self._threads:
            thread.start()

    def refresh_now(self, sources: Iterable[str] | None = None) -> None:
        """Read these sources (all by default) again as soon as the call in flight has ended, and their budget lasts."""
        now = self._clock.mono()
        for name in sources if sources is not None else self._turns:
            if name in self._turns:
                self._turns[name].requested = (now,)
                self._turns[name].bell.set()

    def need(self, kinds: Iterable[str]) -> None:
        """The kinds of facts that are looked at now: of `SELDOM` the others are read seldomer until they are."""
        self._needed, before = frozenset(kinds), self._needed
        for turn in self._turns.values():
            if turn.kind in self._needed - before:
                turn.bell.set()

    def show(self, ids: frozenset[str]) -> None:
        """The jobs that stand on the screen now: where a road reads all of them seldom, it reads these each time."""
        for one in self._collectors.values():
            if isinstance(one, ShownSource):
                one.show(ids)

    def watch(self, kinds: frozenset[str] | None) -> None:
        """Another cluster is on the screen: read these kinds alone, and seldom. None: all of them again, as they fall
        due."""
        self._aside = kinds
        for turn in self._turns.values():
            turn.bell.set()

    def stop(self, *, alone: bool = False) -> None:
        """End every thread and every command that runs, within about a second. `alone` leaves the commands to their
        deadlines: those of other clusters cannot be told from its own."""
        self._stopping.set()
        self._naming.stop()
        self.refresh_now()
        for one in self._collectors.values():
            one.close()
        if not alone:
            process.stop_all()
        self._readings.put(None)
        until = time.monotonic() + 1.0
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _poll(self, turn: _SourceState) -> None:
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        collector, due = turn.collector, turn.collector.floor_s
        while not self._stopping.is_set():
            self._naming.wait(collector)
            turn.bell.clear()
            last, turn.served = turn.served, turn.requested
            if self._stopping.is_set():  # stop() may have set both in between
                return
            if self._aside is not None and turn.kind not in self._aside and turn.requested is last:
                turn.bell.wait()
                continue
            if isinstance(collector, LendingSource):
                poked = turn.served if turn.served is not last else None
                collector.lend(self._clock.mono() - due if poked is None else poked[0])
            before = process.started()
            reading = read(self.name, collector, self._clock)
            if self._stopping.is_set():
                return
            turn.ended(reading, process.started() - before, self._clock.mono())
            floor = self._floor_s(turn)
            self._readings.put((reading, floor))
            due, ended = due_s(floor, turn.took_s, turn.failures), reading.mono + reading.took_s
            del reading  # the old facts must not outlive the next reading in this frame
            self._rest(turn, ended, jittered(due, rng) / due)

    def _floor_s(self, turn: _SourceState) -> float:
        """The least seconds to the next reading of a source as things are now."""
        floor_s = spared_interval_s(
            turn.collector.floor_s,
            rows=turn.rows,
            row_ms=turn.row_ms,
            shown=turn.kind not in SELDOM or turn.kind in self._needed,
            strain=self._strain if turn.collector.name in _SPARING else 1.0,
        )
        floor_s = max(floor_s, turn.rest_s)
        if self._aside is not None:
            floor_s = max(floor_s, background_interval_s(turn.kind))
        return floor_s if turn.budget is None else max(floor_s, within_s(turn.budget, turn.calls, turn.took_s))

    def _rest(self, turn: _SourceState, ended: float, spread: float) -> None:
        """Wait until the next reading is due or asked for, and may be paid for."""
        spread += AFTER_ANOTHER if turn.lent else 0.0
        while turn.requested is turn.served:
            due = due_s(self._floor_s(turn), turn.took_s, turn.failures)
            if not turn.bell.wait(max(0.0, ended + due * spread - self._clock.mono())) or self._stopping.is_set():
                break
            turn.bell.clear()
        if turn.budget is not None:
            self._stopping.wait(turn.spent.wait_s(self._clock.mono(), turn.budget))

    def _reduce(self) -> None:
        memory.give_back()
        while not self._stopping.is_set() and (item := self._readings.get()) is not None:
            diff = self._taken_in(*item)
            del item  # the old facts must not outlive the next reading in this frame
            # What came in meanwhile goes with it: at the start, or while the event loop is behind.
            while not self._readings.empty() and (item := self._readings.get()) is not None:
                diff = merged(diff, self._taken_in(*item))
                del item
            if not self._stopping.is_set():
                self._publish(self.cluster, diff)

    def _taken_in(self, reading: Reading, floor: float) -> Diff:
        before = self.cluster
        try:
            self.cluster, diff = reduce(before, reading, floor)
        except Exception as error:  # facts that cannot be joined cost this reading, not all that would follow
            reading = msgspec.structs.replace(reading, facts=None, fault=_own_fault(reading.source, error))
            self.cluster, diff = reduce(before, reading, floor)
        if self._naming.see(reading):
            self.refresh_now(self._naming.sources)  # what was read under other names is read again
        self.cluster = controller_cost.with_cost(before, self.cluster)
        self._strain = controller_cost.strain(self.cluster.diag, self.cluster.cost)
        return diff
