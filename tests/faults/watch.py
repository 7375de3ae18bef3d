"""A poller over one real source, as the console has it, read when the test says so."""

from __future__ import annotations

import queue
import re
from pathlib import Path

from collectors.clock import Clock, SystemClock
from collectors.model import Cluster, Collector, Source
from console.ingest.poller import Poller

PATIENCE_S = 60.0
#: The floor of a source that nothing reads but a test.
NEVER_S = 3600.0


class Watch:
    """For the length of a `with`, within which the source has been read once, well or not."""

    def __init__(self, source: Collector, clock: Clock | None = None) -> None:
        self._published: queue.Queue[Cluster] = queue.Queue()
        self.name = source.name
        self.clock = clock or SystemClock()
        self.poller = Poller("lab", [source], self.clock, lambda cluster, _: self._published.put(cluster))

    def __enter__(self) -> Watch:
        self.poller.start()
        self.reads()
        return self

    def __exit__(self, *_: object) -> None:
        self.poller.stop()

    @property
    def cluster(self) -> Cluster:
        """What is known."""
        return self.poller.cluster

    @property
    def source(self) -> Source:
        """How the last reading went."""
        return self.cluster.sources[self.name]

    def reads(self) -> Cluster:
        """The next reading that ends, and what is known then."""
        return self._published.get(timeout=PATIENCE_S)

    def again(self) -> Cluster:
        """One more reading, asked for now."""
        self.poller.refresh_now()
        return self.reads()

    def well(self) -> Cluster:
        """What is known once it has been read well: on a busy machine that may take more than one short deadline."""
        for _ in range(5):
            if self.source.ok:
                return self.cluster
            self.again()
        raise AssertionError(f"{self.name} is never read well: {self.source.fault}")


def memory_mb(anew: bool = False) -> float:
    """The most memory that this process has held since it was last measured `anew`."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
