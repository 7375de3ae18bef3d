"""Proofs that an action was done, from the rows before and after it: named by the rows of the actions. Pure.

Seen on slurmctld 22.05 to 26.05: a bulk update can half succeed, so only what a later reading shows counts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from collectors.jobstate import ENDED, WAITING, held
from collectors.model import Alert, Job, Node, Silence

from .action import Expected, Proof

#: Boot times are computed from the uptime: between two readings they differ by some seconds.
BOOT_TOLERANCE_S = 30
#: The stages of a reboot: it waits for the jobs to end, or the node is booting.
ASKED, REBOOTING = "reboot asked", "rebooting"
_REGISTERING = "registering"
_OUT_OF_SERVICE = frozenset({"DRAIN", "FAIL", "INVALID_REG"})
_OFF = frozenset({"POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN"})

Stage = tuple[bool | None, str, str]


def has_state(*states: str) -> Proof:
    """A proof that the row has one of these states. One that no longer exists proves nothing (None)."""

    def proof(_: Any, after: Any, __: Expected) -> bool | None:
        return None if after is None else after.state in states

    return proof


def gone(_: Any, after: Any, __: Expected) -> bool | None:
    """It is no longer listed."""
    return after is None


# -- nodes ------------------------------------------------------------------------------------------------------------


def drained(_: Node, after: Node | None, sent: Expected) -> bool | None:
    """It has the drain, with the reason, and its end where one was set."""
    if after is None:
        return None
    ends = sent.resume_after_s is None or after.resume_at is not None
    return "DRAIN" in after.flags and _has_reason(after, sent) and ends


def drained_until(before: Node, after: Node, sent: Expected, _: str) -> Stage:
    """The same, with a note where an earlier drain's ResumeAfter is still active."""
    shown = drained(before, after, sent)
    note = "an earlier ResumeAfter still applies: Slurm will resume it automatically"
    return shown, "", note if shown and sent.resume_after_s is None and after.resume_at else ""


def undrained(_: Node, after: Node | None, __: Expected) -> bool | None:
    """It has no drain."""
    return None if after is None else "DRAIN" not in after.flags


def set_down(_: Node, after: Node | None, sent: Expected) -> bool | None:
    """It is DOWN, with the reason."""
    return None if after is None else after.state == "DOWN" and _has_reason(after, sent)


def _has_reason(after: Node, sent: Expected) -> bool:
    # scontrol strips a quote at either end of a reason.
    return not sent.reason or sent.reason.strip('"') in (after.reason or "")


def resumed(before: Node, after: Node | None, _: Expected) -> bool | None:
    """It is in service, and has registered."""
    if after is None:
        return None
    if not _OUT_OF_SERVICE.isdisjoint(after.flags):
        return False
    if "REBOOT_REQUESTED" in before.flags and "REBOOT_REQUESTED" in after.flags:
        return False  # the resume was meant to cancel it
    # A node that the controller has never seen is UNKNOWN before and after; any other must have registered again.
    heard = after.state not in {"DOWN", "UNKNOWN", "FUTURE"} and "NOT_RESPONDING" not in after.flags
    return heard or after.state == before.state == "UNKNOWN"


def resumed_in_stages(before: Node, after: Node, sent: Expected, stage: str) -> Stage:
    """The same: it registers, or goes out again."""
    if resumed(before, after, sent):
        never = after.state == "UNKNOWN"
        return True, "", "as before: Slurm never heard of it" if never else f"registered, {after.display}"
    out = after.state == "DOWN" or not _OUT_OF_SERVICE.isdisjoint(after.flags)
    if not out and "NOT_RESPONDING" in after.flags:
        return False, _REGISTERING, ""
    # Ignore the state before the resume was seen; only a new state after it counts.
    because = f": {after.reason}" if after.reason else ""
    return (None, "", f"{after.display} again{because}") if out and stage else (False, stage, "")


def reboot_accepted(before: Node, after: Node | None, _: Expected) -> bool | None:
    """Slurm has accepted the reboot, or the node has booted since."""
    if after is None:
        return None
    return not {"REBOOT_REQUESTED", "REBOOT_ISSUED"}.isdisjoint(after.flags) or _booted(before, after)


def rebooted_in_stages(before: Node, after: Node, _: Expected, stage: str) -> Stage:
    """The node has booted: Slurm waits for its jobs, then it reboots."""
    asked = "REBOOT_REQUESTED" in after.flags
    if asked or "REBOOT_ISSUED" in after.flags:
        return False, ASKED if asked else REBOOTING, ""
    because = f": {after.reason}" if after.reason and after.state == "DOWN" else ""
    if _booted(before, after, stage):
        return True, "", f"rebooted, {after.display}{because}"
    # Slurm also clears the flag when it gave up (ResumeTimeout), and when a person cancelled the reboot.
    return (None, "", f"not rebooted, {after.display}{because}") if stage else (False, "", "")


def _booted(before: Node, after: Node, stage: str = "") -> bool:
    """True when it has booted since. Where the old boot time is unknown, an earlier reading must show the reboot."""
    if after.boot_at is None:
        return False
    if before.boot_at is None:
        return stage == REBOOTING
    return after.boot_at > before.boot_at + BOOT_TOLERANCE_S


def reboot_cancelled(_: Node, after: Node | None, __: Expected) -> bool | None:
    """No reboot is requested any more; None once it is rebooting."""
    if after is None or "REBOOT_ISSUED" in after.flags:
        return None
    return "REBOOT_REQUESTED" not in after.flags


def powers_down(_: Node, after: Node | None, __: Expected) -> bool | None:
    """It is powered off, or on its way."""
    return None if after is None else not _OFF.isdisjoint(after.flags)


def powers_up(_: Node, after: Node | None, __: Expected) -> bool | None:
    """It has power, or is powering up."""
    return None if after is None else "POWERING_UP" in after.flags or _OFF.isdisjoint(after.flags)


# -- jobs -------------------------------------------------------------------------------------------------------------


def cancelled(_: Job, after: Job | None, __: Expected) -> bool | None:
    """It has ended, or is no longer listed."""
    return after is None or after.state in ENDED


def requeued(before: Job, after: Job | None, _: Expected) -> bool | None:
    """It waits again, or runs again with a higher restart count."""
    if after is None or after.state in ENDED:
        return None
    # Until its old processes are gone it is COMPLETING, with the new restart count; it may stay in that state.
    again = after.state != "COMPLETING" and (after.restarts or 0) > (before.restarts or 0)
    return after.state in WAITING or again


def requeued_and_held(before: Job, after: Job | None, sent: Expected) -> bool | None:
    """The same, and it is held."""
    again = requeued(before, after, sent)
    return again and after is not None and held(after)


def holds(before: Job, after: Job | None, _: Expected) -> bool | None:
    """It is held; one that was held before is held for another reason now."""
    if after is None or after.state in ENDED:
        return None
    return held(after) and (not held(before) or after.reason != before.reason)


def released(_: Job, after: Job | None, __: Expected) -> bool | None:
    """It is not held."""
    return None if after is None or after.state in ENDED else not held(after)


def suspended(_: Job, after: Job | None, __: Expected) -> bool | None:
    """Its processes are stopped."""
    return None if after is None or after.state in ENDED else after.state == "SUSPENDED"


def unsuspended(before: Job, after: Job | None, sent: Expected) -> bool | None:
    """Its processes go on."""
    stopped = suspended(before, after, sent)
    return None if stopped is None else not stopped


# -- alerts and silences ----------------------------------------------------------------------------------------------


def silenced(before: Alert, after: Alert | None, _: Expected) -> bool | None:
    """A new silence covers it."""
    if after is None:
        return None
    return after.state == "suppressed" and not _among(after.silenced_by, before.silenced_by)


def _among(silences: Collection[str], others: Collection[str]) -> bool:
    return set(silences) <= set(others)


def expired(_: Silence, after: Silence | None, __: Expected) -> bool | None:
    """It is over."""
    return after is None or after.state == "expired"
