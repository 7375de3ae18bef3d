"""The writing half of the simulated machine. Only `console.gate` may import this."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.model import Change, Sent
from collectors.sim import SimSettings
from collectors.sim.actions import commands
from collectors.sim.machine import Machine
from collectors.sim.sources import running


class SimWriter:
    """Sends changes to a simulated machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """The commands as they would be on a real Slurm."""
        return commands(change)

    def send(self, change: Change) -> Sequence[Sent]:
        """Do it."""
        return self._machine.apply(change)


def open_writer(cluster: str, settings: SimSettings) -> SimWriter:
    """The writer of the machine that the sources read."""
    return SimWriter(running(cluster, settings))
