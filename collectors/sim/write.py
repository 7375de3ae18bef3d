"""Writes to the simulated cluster. Only `console.gate.gate` may import this module."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.alertmanager.requests import SilenceOperation, SilenceRequest, requests_of
from collectors.model import Change, Sent

from . import SimSettings
from .machine import Machine
from .slurmctld.operator_requests import commands
from .sources import running

#: URL of the simulated Alertmanager in command lines.
ALERTMANAGER = "http://alertmanager:9093"


class SimWriter:
    """Sends changes: of nodes and jobs to the simulated Slurm, of alerts and silences to the simulated Alertmanager."""

    takes_arrays = True
    """Whether it sends `Change.arrays` by their own ids."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def commands(self, change: Change) -> Sequence[tuple[str, ...]]:
        """The commands with the same effect on a real cluster. Raises ValueError for an invalid change."""
        if isinstance(change.operation, SilenceOperation):
            return [order.argv for order in requests_of(change, ALERTMANAGER)]
        return commands(change)

    def send(self, change: Change) -> Sequence[Sent]:
        """Apply the change and return the result of each target or request."""
        if isinstance(change.operation, SilenceOperation):
            return [self._alerts(order) for order in requests_of(change, ALERTMANAGER)]
        return self._machine.apply(change)

    def _alerts(self, order: SilenceRequest) -> Sent:
        why = ""
        if order.new is not None:
            self._machine.silence(order.new)
        elif not self._machine.expire_silence(order.targets[0]):
            why = f"silence {order.targets[0]} not found"
        refused = dict.fromkeys(order.targets, why) if why else {}
        return Sent(argv=order.argv, targets=order.targets, rc=1 if why else 0, err=why, took_s=0.004, refused=refused)


def open_writer(cluster: str, settings: SimSettings) -> SimWriter:
    """The writer of the cluster that the sources read."""
    return SimWriter(running(cluster, settings))
