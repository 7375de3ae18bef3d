"""An operator at the simulated machine."""

from __future__ import annotations

from collectors.clock import ManualClock
from collectors.model import Job, Node
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from tests.support.make import change_of

START = 1_795_000_000
HOUR = 3600


class Operator:
    """Somebody at a machine: acts read like what people do."""

    def __init__(self, **more) -> None:
        self.clock = ManualClock(START)
        self.machine = Machine(SimSettings(**{"nodes": 64, **more}), self.clock, operator="mdejong")

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.machine.advance()

    def does(self, action: str, *targets: str, reason: str | None = None, **more):
        (sent,) = self.machine.apply(change_of(action, targets=targets, reason=reason, **more))
        return sent

    def empty(self, name: str) -> None:
        for job in list(self.machine.host(name).jobs):
            self.does("cancel", job)

    def node(self, name: str) -> Node:
        return self.machine.nodes()[name]

    def job(self, job_id: str) -> Job:
        return self.machine.jobs()[job_id]

    def find(self, display: str) -> str:
        return next(name for name, node in self.machine.nodes().items() if node.display == display)

    def running(self, plain: bool = True) -> str:
        """A job that runs; plain ones may be requeued."""
        queue = self.machine.queue
        odd = queue.interactive | queue.not_requeueable
        return next(job for job in queue.runs if (job not in odd) == plain)

    def waiting(self, reason: str = "Priority") -> str:
        return next(job.id for job in self.machine.jobs().values() if job.reason == reason)
