"""Polls the sources of one cluster: one thread for each source with one call in flight, and one thread that reduces.

Only frozen values cross threads, through one queue. Nothing here knows about screens: the reducing thread calls
`publish` with each new Cluster, and `need` sets the kinds of facts that are shown.

`pace` decides how long a source waits. Several consoles of a user take turns: one that used another's reading waits a
little longer, to find its next one, and reads itself when there is none.
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

#: Kinds of facts that may be stale while no screen shows them: no alert or judgement depends on them.
SELDOM = frozenset({"partitions", "reservations", "power", "counts"})
#: Kinds that are read while another cluster is shown: alerts, attention and availability depend on them. The others are
#: not read, and show their age.
WATCHED = frozenset({"nodes", "alerts", "diag"})
#: Least seconds between two such readings: an alert may be half a minute late.
_ASIDE_S = {"alerts": 30.0}
_ASIDE_ELSE_S = 60.0
#: Sources that query the controller and slow down when it is overloaded; sdiag does not, as it is the gauge.
_SPARING = frozenset({"slurm.nodes", "slurm.jobs", "slurm.partitions", "slurm.reservations"})
#: Oldest stored reading that is shown at the start, dim and with its age: older facts would mislead more than help.
RECALL_S = 900.0


@runtime_checkable
class LendingSource(Protocol):
    """A source that accepts another console's reading if it is new enough."""

    def lend(self, since: float) -> None:
        """Accept readings that began at this monotonic time or later."""
        ...

    def recall(self, since: float, before: float) -> Facts:
        """The newest stored reading if it began between these two monotonic times. Raises SourceFault if none."""
        ...


@runtime_checkable
class ShownSource(Protocol):
    """A source that reads shown objects more often."""

    def show(self, ids: frozenset[str]) -> None:
        """Set the jobs on the screen. Thread-safe."""
        ...


def read(cluster: str, collector: Collector, clock: Clock) -> Reading:
    """One reading of one source. Never raises: a fault is part of the reading."""
    began = clock.mono()
    facts = fault = None
    try:
        facts = collector.collect()
    except SourceFault as error:
        fault = error.fault
    except Exception as error:
        # An unknown field or an impossible value must cost one reading, not the console.
        fault = _own_fault(collector.name, error)
    at, took_s = clock.now(), clock.mono() - began
    if facts is not None and (taken := facts.taken) is not None:
        # A reading of another console: the facts are as old as its query.
        at -= max(0.0, clock.mono() - taken.begun - taken.took_s)
        began, took_s = taken.begun, taken.took_s
    return Reading(cluster=cluster, source=collector.name, at=at, mono=began, took_s=took_s,
                   facts=facts, fault=fault)  # fmt: skip


def recall(cluster: str, collector: Collector, clock: Clock) -> Reading | None:
    """The newest stored reading of a source, RECALL_S old at most; None if there is none that can be read, or one so
    new that `collect` will take it itself."""
    if not isinstance(collector, LendingSource):
        return None
    now = clock.mono()
    try:
        facts = collector.recall(now - RECALL_S, now - collector.floor_s)
    except Exception:  # whatever is wrong with it: this console's own reading comes next, and tells
        return None
    if facts.taken is None:
        return None
    begun, took_s = facts.taken.begun, facts.taken.took_s
    at = clock.now() - max(0.0, clock.mono() - begun - took_s)
    return Reading(cluster=cluster, source=collector.name, at=at, mono=begun, took_s=took_s, facts=facts,
                   recalled=True)  # fmt: skip


def _own_fault(source: str, error: Exception) -> Fault:
    """The message of an unexpected exception may hold any text."""
    return Fault("internal", clean(f"{source}: {type(error).__name__}: {error}"[:300]), "please report it to wacht")


def background_interval_s(kind: str) -> float:
    """Least seconds between two readings of a kind while another cluster is shown."""
    return _ASIDE_S.get(kind, _ASIDE_ELSE_S)


def rows_in(facts: Facts | None) -> int:
    """The number of rows of all kinds in a reading."""
    found = (getattr(facts, kind) for kind in KINDS) if facts is not None else ()
    return sum(len(rows) for rows in found if isinstance(rows, Mapping))


class _SourceState:
    """The poller's state of one source: its wake-up event, the last refresh request, and figures of its readings."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.budget: Budget | None = getattr(collector, "budget", None)
        self.row_ms: float = getattr(collector, "row_ms", 0.0)
        self.kind = collector.name.rpartition(".")[2]
        self.bell = threading.Event()
        self.requested: tuple[float] | None = None
        """The time of the last refresh request; a new object for each request."""
        self.served: tuple[float] | None = None
        """The request that the last reading served."""
        self.spent = BudgetUse()
        self.rows = self.calls = self.failures = 0
        self.took_s = 0.0
        self.rest_s = 0.0
        """Seconds for which the source asked not to be read, at most LONGEST_S."""
        self.lent = False

    def ended(self, reading: Reading, calls: int, mono: float) -> None:
        """Record the end of a reading, for which `calls` commands were started here."""
        facts = reading.facts
        self.failures = 0 if facts is not None else self.failures + 1
        self.calls, self.took_s = calls, reading.took_s
        self.rest_s = min(LONGEST_S, reading.fault.rest_s) if reading.fault is not None else 0.0
        self.lent = facts is not None and facts.taken is not None and facts.taken.lent
        if facts is not None:
            self.rows = rows_in(facts)
        # A failed reading only counts its calls, so that a repaired controller is read again without a minute's wait.
        self.spent.add(mono, calls, reading.took_s if facts is not None else 0.0)


class Poller:
    """Keeps one cluster's facts fresh until `stop`."""

    def __init__(
        self, name: str, collectors: Sequence[Collector], clock: Clock, publish: Publish, demo: bool = False,
        asked: Iterable[object] = (),
    ) -> None:  # fmt: skip
        """`asked`: on-demand sources that need Slurm's node names."""
        self.name = name
        self.cluster = begin(name, [(one.name, one.floor_s) for one in collectors], demo)
        """The newest Cluster; replaced, never modified, by the reducing thread."""
        self._collectors = {one.name: one for one in collectors}
        self._clock = clock
        self._publish = publish
        self._turns = {name: _SourceState(one) for name, one in self._collectors.items()}
        self._needed: frozenset[str] = SELDOM
        self._aside: frozenset[str] | None = None
        """The kinds read while another cluster is shown; None while this one is shown."""
        self._strain = 1.0
        self._readings: queue.SimpleQueue[tuple[Reading, float] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._naming = Naming(collectors, asked)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start reading."""
        self._threads = [threading.Thread(target=self._reduce, name=f"reduce {self.name}", daemon=True)]
        self._threads += [
            threading.Thread(target=self._poll, args=(turn,), name=f"poll {name}", daemon=True)
            for name, turn in self._turns.items()
        ]
        for thread in self._threads:
            thread.start()

    def refresh_now(self, sources: Iterable[str] | None = None) -> None:
        """Read these sources (default: all) again as soon as the call in flight has ended and the budget allows it."""
        now = self._clock.mono()
        for name in sources if sources is not None else self._turns:
            if name in self._turns:
                self._turns[name].requested = (now,)
                self._turns[name].bell.set()

    def need(self, kinds: Iterable[str]) -> None:
        """Set the kinds of facts that are shown; kinds in `SELDOM` that are not shown are read less often."""
        self._needed, before = frozenset(kinds), self._needed
        for turn in self._turns.values():
            if turn.kind in self._needed - before:
                turn.bell.set()

    def show(self, ids: frozenset[str]) -> None:
        """The jobs on the screen now: a transport that reads all jobs seldom reads these each time."""
        for one in self._collectors.values():
            if isinstance(one, ShownSource):
                one.show(ids)

    def watch(self, kinds: frozenset[str] | None) -> None:
        """While another cluster is shown, read only these kinds, less often. None: read all again when due."""
        self._aside = kinds
        for turn in self._turns.values():
            turn.bell.set()

    def stop(self, *, alone: bool = False) -> None:
        """Stop every thread and every running command within about a second. `alone` leaves the commands to their
        timeouts, because they cannot be distinguished from those of other clusters.
        """
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
        if (stored := recall(self.name, collector, self._clock)) is not None:
            self._readings.put((stored, collector.floor_s))
        del stored  # the old facts must not outlive the first reading in this frame
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
            before = process.count_started()
            reading = read(self.name, collector, self._clock)
            if self._stopping.is_set():
                return
            turn.ended(reading, process.count_started() - before, self._clock.mono())
            floor = self._floor_s(turn)
            self._readings.put((reading, floor))
            due, ended = due_s(floor, turn.took_s, turn.failures), reading.mono + reading.took_s
            del reading  # the old facts must not outlive the next reading in this frame
            self._rest(turn, ended, jittered(due, rng) / due)

    def _floor_s(self, turn: _SourceState) -> float:
        """The current least seconds to the next reading of a source."""
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
        """Wait until the next reading is due or requested, and within budget."""
        spread += AFTER_ANOTHER if turn.lent else 0.0
        while turn.requested is turn.served:
            due = due_s(self._floor_s(turn), turn.took_s, turn.failures)
            if not turn.bell.wait(max(0.0, ended + due * spread - self._clock.mono())) or self._stopping.is_set():
                break
            turn.bell.clear()
        if turn.budget is not None:
            self._stopping.wait(turn.spent.wait_s(self._clock.mono(), turn.budget))

    def _reduce(self) -> None:
        memory.return_large_blocks()
        while not self._stopping.is_set() and (item := self._readings.get()) is not None:
            diff = self._taken_in(*item)
            del item  # the old facts must not outlive the next reading in this frame
            # Include what arrived meanwhile: at the start, or when the event loop is behind.
            while not self._readings.empty() and (item := self._readings.get()) is not None:
                diff = merged(diff, self._taken_in(*item))
                del item
            if not self._stopping.is_set():
                self._publish(self.cluster, diff)

    def _taken_in(self, reading: Reading, floor: float) -> Diff:
        before = self.cluster
        try:
            self.cluster, diff = reduce(before, reading, floor)
        except Exception as error:  # facts that cannot be joined cost this reading, not all later ones
            reading = msgspec.structs.replace(reading, facts=None, fault=_own_fault(reading.source, error))
            self.cluster, diff = reduce(before, reading, floor)
        if self._naming.see(reading):
            self.refresh_now(self._naming.sources)  # read again what was read under other names
        self.cluster = controller_cost.with_cost(before, self.cluster)
        self._strain = controller_cost.strain(self.cluster.diag, self.cluster.cost)
        return diff
