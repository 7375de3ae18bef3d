"""Sources that answer what and when the test says, and a poller over them."""

from __future__ import annotations

import queue

from collectors.clock import SystemClock
from collectors.model import Facts, SourceFault
from console.ingest.poller import Poller
from tests.support.make import node

PATIENCE_S = 60.0
NEVER_S = 3600.0


class Held:
    """A collector that answers what and when the test says."""

    def __init__(self, name: str = "slurm.nodes", floor_s: float = NEVER_S) -> None:
        self.name = name
        self.floor_s = floor_s
        self.closed = 0
        self.at_once = 0
        self.most_at_once = 0
        self._began: queue.Queue[None] = queue.Queue()
        self._answers: queue.Queue[Facts | Exception | None] = queue.Queue()

    def collect(self) -> Facts:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._began.put(None)
        try:
            answer = self._answers.get(timeout=PATIENCE_S)
        finally:
            self.at_once -= 1
        if answer is None:
            raise SourceFault("cut", "closed")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1
        self._answers.put(None)

    def is_asked(self) -> None:
        """Waits until `collect` has begun."""
        self._began.get(timeout=PATIENCE_S)

    def is_left_alone(self) -> bool:
        return self._began.empty()

    def answers(self, *answers: Facts | Exception) -> None:
        for answer in answers:
            self._answers.put(answer)


class Watched:
    """A poller and what it published."""

    def __init__(self, *held: Held, clock=None) -> None:
        self._published: queue.Queue = queue.Queue()
        self.held = held
        self.poller = Poller("lab", held, clock or SystemClock(), lambda *pair: self._published.put(pair))

    def publishes(self):
        """The next Cluster and Diff."""
        return self._published.get(timeout=PATIENCE_S)

    def is_silent(self) -> bool:
        return self._published.empty()


def facts(*names: str) -> Facts:
    return Facts(nodes={name: node(name) for name in names})
