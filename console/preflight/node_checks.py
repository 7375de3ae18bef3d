"""Pre-flight checks of nodes: may this node be acted on, and what should the person know first. Pure.

A `bad` finding keeps its target out unless the glass is broken. Missing or old facts are `unknown`: they are reported,
they refuse nothing, and nothing passes on them. XIDs count by the policy, since the boot and since the last return of
the node to service (`console.health.inconsistencies`). The rows of the actions are imported for the first frame, so
`drain_reasons` is imported where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from collectors.model import Node, Row
from collectors.nodestate import UNAVAILABLE
from console.health import hidden_jobs

from . import fitness, plant_checks
from .checks import Check, Level, PreflightContext
from .sentences import Drain, SlurmReason

#: Reasons that Slurm itself writes when it takes a node out, with level and meaning.
_SLURM: tuple[tuple[str, Level, SlurmReason], ...] = (
    (r"kill task failed", "warn", SlurmReason.KILL_FAILED),
    (r"\w*(prolog|epilog)", "warn", SlurmReason.PROLOG),
    (r"batch job complete failure", "warn", SlurmReason.BATCH_COMPLETE),
    (r"low realmemory", "warn", SlurmReason.LOW_MEMORY),
    (r"low ", "warn", SlurmReason.LOW),
    (r"gres/\w+ count", "warn", SlurmReason.FEWER_GPUS),
    (r"node unexpectedly rebooted", "warn", SlurmReason.REBOOTED),
    (r"duplicate jobid", "warn", SlurmReason.DUPLICATE_JOB),
    (r"(scheduled )?reboot timed out|resumetimeout", "warn", SlurmReason.NOT_BACK),
    (r"not responding", "note", SlurmReason.SILENT),
)
_SLURM_REASONS = tuple((re.compile(rf"\s*{pattern}", re.I), level, meaning) for pattern, level, meaning in _SLURM)

# -- nodes that return to service --------------------------------------------------------------------------------------


def resume(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if node.state == "DOWN" or "NOT_RESPONDING" in node.flags:
        found.append(Check(node.name, "note", "registers-first"))
    if "REBOOT_ISSUED" in node.flags:
        found.append(Check(node.name, "warn", "rebooting"))
    elif "REBOOT_REQUESTED" in node.flags:
        found.append(Check(node.name, "warn", "reboot-cancelled"))
    _return_to_service(node, known, found)


def undrain(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if node.state == "DOWN":
        found.append(Check(node.name, "note", "stays-down"))
    elif "NOT_RESPONDING" in node.flags:
        found.append(Check(node.name, "note", "not-responding"))
    _return_to_service(node, known, found)


def cancel_reboot(node: Node, known: PreflightContext, found: list[Check]) -> None:
    # A node whose reboot was requested without a drain is still in service and needs no check.
    if "DRAIN" in node.flags:
        found.append(Check(node.name, "note", "drain-goes"))
        _return_to_service(node, known, found)


def _return_to_service(node: Node, known: PreflightContext, found: list[Check]) -> None:
    """Checks of every node that is to take work again."""
    if not {"POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN"}.isdisjoint(node.flags):
        found.append(Check(node.name, "note", "powered-off"))
    elif "POWERING_UP" in node.flags:
        found.append(Check(node.name, "note", "powering-up"))
    if "COMPLETING" in node.flags:
        found.append(Check(node.name, "warn", "completing"))
    _reservation(node, known, found)
    if node.reason is not None or node.reason_by is not None:
        level, meaning = _slurm_reason(node)
        values = {"drained": _drain_of(node, known), "meaning": meaning}
        found.append(Check(node.name, level, "reason", (node.reason_by, node.reason), values))
    from console.health import drain_reasons

    if drain_reasons.is_forgotten(node, known.now):
        found.append(Check(node.name, "note", "out-for-days"))
    fitness.check_gpus(
        node, cluster=known.cluster, extra=known.reads, now=known.now, policy=known.policy, good=known.fresh,
        xids=known.xids.get(node.name, ()), found=found,
    )  # fmt: skip
    plant_checks.check_nvlink(node, known.cluster, known.fresh, found)
    plant_checks.check_cooling(node, known.cluster, known.now, found)
    plant_checks.check_ports_and_storage(node, known.cluster, known.fresh, found)
    plant_checks.check_health(node, known.cluster, known.now, known.fresh, found)


def _drain_of(node: Node, known: PreflightContext) -> Drain:
    from console.health import drain_reasons

    return Drain(
        state=node.display,
        by=node.reason_by,
        reason=node.reason,
        author=drain_reasons.author_of(node.reason_by, node.reason),
        age=None if node.reason_at is None else known.now - node.reason_at,
    )


def _slurm_reason(node: Node) -> tuple[Level, SlurmReason | None]:
    """Level and meaning of a reason that Slurm itself set; ("note", None) for any other."""
    from console.health import drain_reasons

    if node.reason is not None and drain_reasons.is_automation(node.reason_by, node.reason):
        for pattern, level, meaning in _SLURM_REASONS:
            if pattern.match(node.reason):
                return level, meaning
    return "note", None


# -- nodes that go out ------------------------------------------------------------------------------------------------


def drain(node: Node, known: PreflightContext, found: list[Check]) -> None:
    power = next((flag for flag in ("POWERED_DOWN", "POWERING_UP", "POWERING_DOWN") if flag in node.flags), None)
    if power is not None:
        found.append(Check(node.name, "warn", "drain-kills", (power,)))
    _reason_kept(node, known, found)
    _reservation(node, known, found)


def down(node: Node, known: PreflightContext, found: list[Check]) -> None:
    _reason_kept(node, known, found)


def reboot(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if "NOT_RESPONDING" in node.flags:
        found.append(Check(node.name, "warn", "slurmd-silent"))
    _reason_kept(node, known, found)
    _reservation(node, known, found)


def power_down(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if known.cluster.jobs_on.get(node.name) or hidden_jobs.has_work(node):
        found.append(Check(node.name, "note", "power-after-jobs"))
    if "DRAIN" in node.flags:
        # Seen on 24.11.5 and 26.05.5, of POWER_DOWN and POWER_DOWN_ASAP alike.
        found.append(Check(node.name, "warn", "drain-lost", params={"drained": _drain_of(node, known)}))
    _reservation(node, known, found)


def _reason_kept(node: Node, known: PreflightContext, found: list[Check]) -> None:
    # A node in service may still carry the reason of its last drain (24.11 never clears it): that is history.
    if node.reason and node.display in UNAVAILABLE:
        values = {"drained": _drain_of(node, known)}
        found.append(Check(node.name, "note", "reason-kept", (node.reason_by, node.reason), values))


def _reservation(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if not node.reservation:
        return
    one = known.cluster.reservations.get(node.reservation)
    ends, users = (None, None) if one is None else (one.ends, one.users or one.accounts)
    values = {"ends": ends, "users": users, "now": known.now}
    found.append(Check(node.name, "note", "reserved", (node.reservation,), values))


def killed_jobs(rows: Mapping[str, Row], known: PreflightContext) -> Iterable[Check]:
    """The number of jobs that Slurm kills when these nodes are set down."""
    if not known.fresh.jobs:
        yield Check("", "unknown", "deaths-unknown")
        return
    dying = {job for name in rows for job in known.cluster.jobs_on.get(name, ())}
    hidden = hidden_jobs.nodes_with_hidden_jobs(known.cluster, rows)
    if dying:
        yield Check("", "warn", "deaths", (len(dying),))
    elif not hidden:
        yield Check("", "ok", "no-job")
    if hidden:
        yield Check("", "unknown", "deaths-hidden", params={"nodes": hidden, "more": bool(dying)})


def features(node: Node, _: PreflightContext, found: list[Check]) -> None:
    found.append(Check(node.name, "note", "features-until-restart"))
