"""Reboots: the node drains, goes down when its jobs have ended, and returns minutes later."""

from __future__ import annotations

import random

from collectors.sim.failures import NodeFailures
from collectors.sim.host import Host
from collectors.sim.timeline import Timeline

#: Seconds between two checks whether a node that waits for its reboot is empty.
CHECK_S = 10.0
#: Seconds from the reboot of a node with eight GPUs until its slurmd registers.
BOOT_S = (170.0, 290.0)
#: Seconds after which slurmctld gives up on a node (ResumeTimeout).
TIMEOUT_S = 600.0


class Reboots:
    """Reboots nodes as `scontrol reboot ASAP` does, with its flags and reason texts."""

    def __init__(self, rng: random.Random, failures: NodeFailures, timeline: Timeline) -> None:
        self._rng = rng
        self._failures = failures
        self._timeline = timeline

    def request(self, host: Host, next_state: str) -> None:
        """Request a reboot: the node takes no new jobs and reboots once it is empty."""
        host.reboot, host.drain = next_state, True
        self._timeline.after(1.0, self._reboot_when_empty, host)

    def _reboot_when_empty(self, host: Host) -> None:
        if host.reboot is None or host.rebooting:
            return
        if host.jobs:
            self._timeline.after(CHECK_S, self._reboot_when_empty, host)
            return
        host.rebooting = host.down = host.silent = True
        self._append_reason(host, "reboot issued")
        dead = host.failure is not None and host.failure.down
        wait = TIMEOUT_S if dead else self._rng.uniform(*BOOT_S)
        self._timeline.after(wait, self._time_out if dead else self._register, host)
        self._failures.refresh(host)

    def _register(self, host: Host) -> None:
        """Register a node that has booted. A failure that a reboot does not repair shows again."""
        if not host.rebooting:
            return
        resumed = host.reboot == "RESUME"
        host.reboot, host.rebooting, host.drain, host.down = None, False, False, not resumed
        self._failures.on_boot(host)
        if resumed:
            host.reason = host.reason_by = host.reason_at = None
            self._failures.on_resume(host, was_down=False)
        else:
            self._append_reason(host, "reboot complete")
        self._failures.refresh(host)

    def _time_out(self, host: Host) -> None:
        if not host.rebooting:
            return
        host.reboot, host.rebooting = None, False
        self._append_reason(host, "reboot timed out")
        self._failures.refresh(host)

    def _append_reason(self, host: Host, what: str) -> None:
        host.reason = f"{host.reason} : {what}"
        host.reason_by, host.reason_at = "slurm", int(self._timeline.now)
