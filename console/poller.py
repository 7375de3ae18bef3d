"""Polls the sources of one cluster: a thread a source, one call in flight each, and one thread that reduces.

Only frozen values cross threads, through one queue. Nothing here knows about screens: `publish` is called with each
new Cluster, from the reducing thread.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from collectors import process
from collectors.clean import clean
from collectors.clock import Clock
from collectors.model import Cluster, Collector, Diff, Fault, Reading, SourceFault
from console.pace import due_s, jittered
from console.reduce import begin, reduce

Publish = Callable[[Cluster, Diff], None]


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
    return Reading(cluster=cluster, source=collector.name, at=clock.now(), mono=began, took_s=clock.mono() - began,
                   facts=facts, fault=fault)  # fmt: skip


def _own_fault(source: str, error: Exception) -> Fault:
    """What an unexpected exception tells may hold anybody's text."""
    return Fault("internal", clean(f"{source}: {type(error).__name__}: {error}"[:300]), "please report it to wacht")


class Poller:
    """Keeps one cluster's facts fresh until `stop`."""

    def __init__(
        self, name: str, collectors: Sequence[Collector], clock: Clock, publish: Publish, demo: bool = False
    ) -> None:
        self.name = name
        self.cluster = begin(name, [(one.name, one.floor_s) for one in collectors], demo)
        """The newest Cluster; replaced, never changed, by the reducing thread."""
        self._collectors = {one.name: one for one in collectors}
        self._clock = clock
        self._publish = publish
        self._wake = {name: threading.Event() for name in self._collectors}
        self._readings: queue.SimpleQueue[Reading | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to read."""
        self._threads = [threading.Thread(target=self._reduce, name=f"reduce {self.name}", daemon=True)]
        self._threads += [
            threading.Thread(target=self._poll, args=(one,), name=f"poll {one.name}", daemon=True)
            for one in self._collectors.values()
        ]
        for thread in self._threads:
            thread.start()

    def poke(self, sources: Iterable[str] | None = None) -> None:
        """Read these sources (all by default) again as soon as the call in flight has ended."""
        for name in sources if sources is not None else self._wake:
            if name in self._wake:
                self._wake[name].set()

    def stop(self) -> None:
        """End every thread and every command that runs, within about a second."""
        self._stopping.set()
        self.poke()
        for one in self._collectors.values():
            one.close()
        process.stop_all()
        self._readings.put(None)
        until = time.monotonic() + 1.0
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _poll(self, collector: Collector) -> None:
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        wake, failures = self._wake[collector.name], 0
        while not self._stopping.is_set():
            wake.clear()
            if self._stopping.is_set():  # stop() may have set both in between
                return
            reading = read(self.name, collector, self._clock)
            if self._stopping.is_set():
                return
            failures = 0 if reading.fault is None else failures + 1
            self._readings.put(reading)
            wait = jittered(due_s(collector.floor_s, reading.took_s, failures), rng)
            del reading  # the old facts must not outlive the next reading in this frame
            wake.wait(wait)

    def _reduce(self) -> None:
        while (reading := self._readings.get()) is not None:
            floor = self._collectors[reading.source].floor_s
            try:
                self.cluster, diff = reduce(self.cluster, reading, floor)
            except Exception as error:  # facts that cannot be joined cost this reading, not all that would follow
                bad = msgspec.structs.replace(reading, facts=None, fault=_own_fault(reading.source, error))
                self.cluster, diff = reduce(self.cluster, bad, floor)
            if not self._stopping.is_set():
                self._publish(self.cluster, diff)
