"""Operator requests on nodes: comment, features, power, and cancelling or forcing a reboot."""

from __future__ import annotations

from collections.abc import Callable

from collectors.model import Change
from collectors.sim.host import Host
from collectors.slurm import operations

from .request_base import INVALID_NODE, Handlers, RequestContext

BAD_STATE = "Invalid node state specified"
SKIPPED = "Skipping reboot of nodes {target} due to current node state"
BAD_FEATURES = "Invalid feature specification"
#: Seconds between two checks whether a node that powers down is empty, and the run times of SuspendProgram and
#: ResumeProgram.
CHECK_S = 10.0
DOWN_S = 45.0
UP_S = 240.0

#: Handles one action on one host. Returns Slurm's error text, or None.
_HostHandler = Callable[[RequestContext, Change, Host], str | None]


def _of_node(act: _HostHandler) -> Callable[[RequestContext, Change, str], str | None]:
    def on(context: RequestContext, change: Change, name: str) -> str | None:
        index = context.queue.site.by_name.get(name)
        if index is None:
            return INVALID_NODE
        host = context.queue.site.hosts[index]
        why = act(context, change, host)
        context.failures.refresh(host)
        return why

    return on


def _give_reason(context: RequestContext, change: Change, host: Host) -> None:
    host.reason = change.reasons.get(host.name, change.reason)
    host.reason_by, host.reason_at = context.operator, int(context.timeline.now)


def _drain(context: RequestContext, change: Change, host: Host) -> str | None:
    """A change of state cancels an automatic resume; a drain over a drain does not."""
    _give_reason(context, change, host)
    if not host.drain:
        host.resume_at = None
    host.drain = True
    if change.resume_after_s is not None:
        host.resume_at = int(context.timeline.now) + change.resume_after_s
        context.timeline.at(host.resume_at, _auto_resume, context, host, host.resume_at)
    return None


def _auto_resume(context: RequestContext, host: Host, due: int) -> None:
    if host.resume_at == due:
        _back(context, host, down_too=True)
        context.failures.refresh(host)


def _undrain(context: RequestContext, _: Change, host: Host) -> str | None:
    _back(context, host, down_too=False)
    return None


def _resume(context: RequestContext, _: Change, host: Host) -> str | None:
    if host.invalid or not (host.down or host.drain):
        return BAD_STATE
    _back(context, host, down_too=True)
    return None


def _back(context: RequestContext, host: Host, down_too: bool) -> None:
    """Take the drain off, and with `down_too` the node out of down; a reboot that still waits is cancelled as well."""
    was_down, host.drain, host.resume_at = host.down, False, None
    if down_too:
        host.down = host.rebooting = False
        host.reboot = None
    if not host.down:
        host.reason = host.reason_by = host.reason_at = None
        context.failures.on_resume(host, was_down)


def _down(context: RequestContext, change: Change, host: Host) -> str | None:
    _give_reason(context, change, host)
    host.down, host.resume_at = True, None
    return None


def _reboot(context: RequestContext, change: Change, host: Host) -> str | None:
    if host.reboot is not None:
        return SKIPPED.format(target=host.name)
    _give_reason(context, change, host)
    context.reboots.request(host, change.next_state[host.name])
    return None


def _comment(_: RequestContext, change: Change, host: Host) -> str | None:
    host.comment = change.values[host.name] or None
    return None


def _features(_: RequestContext, change: Change, host: Host) -> str | None:
    wanted = tuple(one for one in change.values[host.name].split(",") if one)
    if not set(wanted) <= set(host.hardware.features):
        return BAD_FEATURES
    host.features = wanted
    return None


def _cancel_reboot(_: RequestContext, __: Change, host: Host) -> str | None:
    if host.reboot is None or host.rebooting:
        return BAD_STATE
    host.reboot, host.drain = None, False
    host.reason = host.reason_by = host.reason_at = None
    return None


def _reboot_now(context: RequestContext, change: Change, host: Host) -> str | None:
    # Sent as two commands: setting DOWN ends the jobs, so the reboot of the second one starts at once.
    if host.reboot is None:
        host.down, host.resume_at = True, None
        _give_reason(context, change, host)
        context.reboots.request(host, change.next_state[host.name])
    return None


def _powerdown(context: RequestContext, _: Change, host: Host) -> str | None:
    if host.power in {"", "POWERING_UP"}:
        host.power = "POWER_DOWN"
        context.timeline.after(1.0, _power_off_when_empty, context, host)
    return None


def _power_off_when_empty(context: RequestContext, host: Host) -> None:
    """Power the node down once its last job has ended."""
    if host.power != "POWER_DOWN":
        return
    if host.jobs:
        context.timeline.after(CHECK_S, _power_off_when_empty, context, host)
        return
    host.power, host.silent = "POWERING_DOWN", True
    context.timeline.after(DOWN_S, _off, context, host)
    context.failures.refresh(host)


def _off(context: RequestContext, host: Host) -> None:
    if host.power == "POWERING_DOWN":
        host.power = "POWERED_DOWN"
        context.failures.refresh(host)


def _powerup(context: RequestContext, _: Change, host: Host) -> str | None:
    if host.power == "POWER_DOWN":
        host.power = ""
    elif host.power in {"POWERING_DOWN", "POWERED_DOWN"}:
        host.power = "POWERING_UP"
        context.timeline.after(UP_S, _up, context, host)
    return None


def _up(context: RequestContext, host: Host) -> None:
    if host.power == "POWERING_UP":
        host.power = ""
        context.failures.on_boot(host)
        context.failures.refresh(host)


HANDLERS: Handlers = {
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
