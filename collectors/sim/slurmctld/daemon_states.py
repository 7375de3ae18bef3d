"""How the daemons of the simulated Slurm fare: two controllers, a slurmdbd, and the jobs that do not end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collectors.model import Completing, Control, Controller

if TYPE_CHECKING:
    from collectors.sim.machine import Machine

PRIMARY, BACKUP = "ctl1", "ctl2"
UNKILLABLE_S = 180


def control(machine: Machine) -> Control:
    """What pings, the accounts and the queue say now."""
    with machine.locked():
        incidents, jobs = machine.incidents, machine.queue.jobs
        return Control(
            controllers=(
                Controller(host=PRIMARY, role="primary", up=not incidents.failed_over),
                Controller(host=BACKUP, role="backup", up=True),
            ),
            dbd=BACKUP,
            dbd_up=True,
            completing=tuple(
                Completing(job=job, user=row.user, nodes=row.nodes, since=since)
                for job, since in incidents.hung.items()
                if (row := jobs.get(job)) is not None and row.state == "COMPLETING"
            ),
            runaway=(),
            runaway_at=int(machine.now) - int(machine.now) % 900,
            unkillable_s=UNKILLABLE_S,
        )
