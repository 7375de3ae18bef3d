"""What is set on simulated nodes, what powers them up and down, and what a reboot is called off or forced with."""

from __future__ import annotations

from collections.abc import Callable

from collectors.model import Change
from collectors.sim.plant.site_layout import Host
from collectors.slurm import operations

from .request_base import INVALID_NODE, Acts, Bench

BAD_STATE = "Invalid node state specified"
SKIPPED = "Skipping reboot of nodes {target} due to current node state"
BAD_FEATURES = "Invalid feature specification"
#: How soon slurmctld sees that a node which waits for its power to go is empty, how long a SuspendProgram and a
#: ResumeProgram take.
LOOK_S = 10.0
DOWN_S = 45.0
UP_S = 240.0

#: What does one action to one host.
_HostAct = Callable[[Bench, Change, Host], str | None]


def _of_node(act: _HostAct) -> Callable[[Bench, Change, str], str | None]:
    def on(bench: Bench, change: Change, name: str) -> str | None:
        index = bench.queue.site.by_name.get(name)
        if index is None:
            return INVALID_NODE
        host = bench.queue.site.hosts[index]
        why = act(bench, change, host)
        bench.faults.refresh(host)
        return why

    return on


def _give_reason(bench: Bench, change: Change, host: Host) -> None:
    host.reason = change.reasons.get(host.name, change.reason)
    host.reason_by, host.reason_at = bench.operator, int(bench.timeline.now)


def _drain(bench: Bench, change: Change, host: Host) -> str | None:
    """A change of state cancels an automatic resume; a drain over a drain does not."""
    _give_reason(bench, change, host)
    if not host.drain:
        host.resume_at = None
    host.drain = True
    if change.resume_after_s is not None:
        host.resume_at = int(bench.timeline.now) + change.resume_after_s
        bench.timeline.at(host.resume_at, _auto_resume, bench, host, host.resume_at)
    return None


def _auto_resume(bench: Bench, host: Host, due: int) -> None:
    if host.resume_at == due:
        _back(bench, host, down_too=True)
        bench.faults.refresh(host)


def _undrain(bench: Bench, _: Change, host: Host) -> str | None:
    _back(bench, host, down_too=False)
    return None


def _resume(bench: Bench, _: Change, host: Host) -> str | None:
    if host.invalid or not (host.down or host.drain):
        return BAD_STATE
    _back(bench, host, down_too=True)
    return None


def _back(bench: Bench, host: Host, down_too: bool) -> None:
    """Take the drain off, and with `down_too` the node out of down; a reboot that still waits is cancelled as well."""
    was_down, host.drain, host.resume_at = host.down, False, None
    if down_too:
        host.down = host.rebooting = False
        host.reboot = None
    if not host.down:
        host.reason = host.reason_by = host.reason_at = None
        bench.faults.resumed(host, was_down)


def _down(bench: Bench, change: Change, host: Host) -> str | None:
    _give_reason(bench, change, host)
    host.down, host.resume_at = True, None
    return None


def _reboot(bench: Bench, change: Change, host: Host) -> str | None:
    if host.reboot is not None:
        return SKIPPED.format(target=host.name)
    _give_reason(bench, change, host)
    bench.reboots.ask(host, change.next_state[host.name])
    return None


def _comment(_: Bench, change: Change, host: Host) -> str | None:
    host.comment = change.values[host.name] or None
    return None


def _features(_: Bench, change: Change, host: Host) -> str | None:
    wanted = tuple(one for one in change.values[host.name].split(",") if one)
    if not set(wanted) <= set(host.hardware.features):
        return BAD_FEATURES
    host.features = wanted
    return None


def _cancel_reboot(_: Bench, __: Change, host: Host) -> str | None:
    if host.reboot is None or host.rebooting:
        return BAD_STATE
    host.reboot, host.drain = None, False
    host.reason = host.reason_by = host.reason_at = None
    return None


def _reboot_now(bench: Bench, change: Change, host: Host) -> str | None:
    # Two commands: by the first its jobs have ended, so what the second asks for happens at once.
    if host.reboot is None:
        host.down, host.resume_at = True, None
        _give_reason(bench, change, host)
        bench.reboots.ask(host, change.next_state[host.name])
    return None


def _powerdown(bench: Bench, _: Change, host: Host) -> str | None:
    if host.power in {"", "POWERING_UP"}:
        host.power = "POWER_DOWN"
        bench.timeline.after(1.0, _look, bench, host)
    return None


def _look(bench: Bench, host: Host) -> None:
    """Power goes once the last job has ended."""
    if host.power != "POWER_DOWN":
        return
    if host.jobs:
        bench.timeline.after(LOOK_S, _look, bench, host)
        return
    host.power, host.silent = "POWERING_DOWN", True
    bench.timeline.after(DOWN_S, _off, bench, host)
    bench.faults.refresh(host)


def _off(bench: Bench, host: Host) -> None:
    if host.power == "POWERING_DOWN":
        host.power = "POWERED_DOWN"
        bench.faults.refresh(host)


def _powerup(bench: Bench, _: Change, host: Host) -> str | None:
    if host.power == "POWER_DOWN":
        host.power = ""
    elif host.power in {"POWERING_DOWN", "POWERED_DOWN"}:
        host.power = "POWERING_UP"
        bench.timeline.after(UP_S, _up, bench, host)
    return None


def _up(bench: Bench, host: Host) -> None:
    if host.power == "POWERING_UP":
        host.power = ""
        bench.faults.booted(host)
        bench.faults.refresh(host)


ACTS: Acts = {
    operations.DRAIN: _of_node(_drain),
    operations.UNDRAIN: _of_node(_undrain),
    operations.RESUME: _of_node(_resume),
    operations.DOWN: _of_node(_down),
    operations.REBOOT: _of_node(_reboot),
    operations.NODE_COMMENT: _of_node(_comment),
    operations.NODE_FEATURES: _of_node(_features),
    operations.CANCEL_REBOOT: _of_node(_cancel_reboot),
    operations.REBOOT_NOW: _of_node(_reboot_now),
    operations.POWER_DOWN: _of_node(_powerdown),
    operations.POWER_UP: _of_node(_powerup),
}
