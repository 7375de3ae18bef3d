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
from widgets.units import duration, plural, when

from . import fitness, plant_checks
from .checks import Check, Level, PreflightContext

#: Reasons that Slurm itself writes when it takes a node out, with level and meaning.
_SLURM: tuple[tuple[str, Level, str], ...] = (
    (r"kill task failed", "warn", "a process of a job would not die: see that none is left, and what it hung on"),
    (r"\w*(prolog|epilog)", "warn", "the site's prolog or epilog failed: its log says why"),
    (r"batch job complete failure", "warn", "slurmd could not report the end of a job"),
    (r"low realmemory", "warn", "it registered with less memory than slurm.conf says: is a DIMM gone?"),
    (r"low ", "warn", "it registered with less than slurm.conf says"),
    (r"gres/\w+ count", "warn", "it registered with fewer GPUs than slurm.conf says"),
    (r"node unexpectedly rebooted", "warn", "it rebooted by itself: its console and hardware log say why"),
    (r"duplicate jobid", "warn", "two jobs had one id there: look for what is left of the old one"),
    (r"(scheduled )?reboot timed out|resumetimeout", "warn", "it did not come back in time"),
    (r"not responding", "note", "slurmd did not answer"),
)  # fmt: skip
_SLURM_REASONS = tuple((re.compile(rf"\s*{pattern}", re.I), level, meaning) for pattern, level, meaning in _SLURM)

# -- nodes that return to service --------------------------------------------------------------------------------------


def resume(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if node.state == "DOWN" or "NOT_RESPONDING" in node.flags:
        found.append(
            Check(node.name, "note", "it must register first: it is followed until it does", "registers-first")
        )
    if "REBOOT_ISSUED" in node.flags:
        found.append(Check(node.name, "warn", "it is rebooting now", "rebooting"))
    elif "REBOOT_REQUESTED" in node.flags:
        found.append(Check(node.name, "warn", "a reboot is asked for: a resume calls it off", "reboot-cancelled"))
    _return_to_service(node, known, found)


def undrain(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if node.state == "DOWN":
        found.append(Check(node.name, "note", "it is down and stays down: only the drain is taken off", "stays-down"))
    elif "NOT_RESPONDING" in node.flags:
        found.append(Check(node.name, "note", "it does not answer: no work starts before it does", "not-responding"))
    _return_to_service(node, known, found)


def cancel_reboot(node: Node, known: PreflightContext, found: list[Check]) -> None:
    # A node whose reboot was requested without a drain is still in service and needs no check.
    if "DRAIN" in node.flags:
        found.append(Check(node.name, "note", "the drain of that reboot goes with it, and its reason", "drain-goes"))
        _return_to_service(node, known, found)


def _return_to_service(node: Node, known: PreflightContext, found: list[Check]) -> None:
    """Checks of every node that is to take work again."""
    if not {"POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN"}.isdisjoint(node.flags):
        found.append(Check(node.name, "note", "powered off: Slurm powers it up when work comes", "powered-off"))
    elif "POWERING_UP" in node.flags:
        found.append(Check(node.name, "note", "it is powering up", "powering-up"))
    if "COMPLETING" in node.flags:
        found.append(Check(node.name, "warn", "a job is still ending there (COMPLETING)", "completing"))
    _reservation(node, known, found)
    if node.reason is not None or node.reason_by is not None:
        level, meaning = _slurm_reason(node)
        found.append(
            Check(
                node.name,
                level,
                f"{_drained_by(node, known)}{meaning and f': {meaning}'}",
                "reason",
                (node.reason_by, node.reason),
            )
        )
    from console.health import drain_reasons

    if drain_reasons.is_forgotten(node, known.now):
        found.append(Check(node.name, "note", "out for more than 7 days: is what it waited for done?", "out-for-days"))
    fitness.check_gpus(
        node, cluster=known.cluster, extra=known.reads, now=known.now, policy=known.policy, good=known.fresh,
        xids=known.xids.get(node.name, ()), found=found,
    )  # fmt: skip
    plant_checks.check_nvlink(node, known.cluster, known.fresh, found)
    plant_checks.check_cooling(node, known.cluster, known.now, found)
    plant_checks.check_ports_and_storage(node, known.cluster, known.fresh, found)
    plant_checks.check_health(node, known.cluster, known.now, known.fresh, found)


def _drained_by(node: Node, known: PreflightContext) -> str:
    """`drained by jdv (human) 1h 52m ago: "XID 79"`."""
    from console.health import drain_reasons

    who = drain_reasons.author_of(node.reason_by, node.reason)
    by = f" by {node.reason_by}" if node.reason_by else ""
    kind = f" ({who})" if by and who != "unknown" else ""
    ago = f" {duration(known.now - node.reason_at)} ago" if node.reason_at is not None else ""
    said = f': "{node.reason}"' if node.reason else ", without a reason"
    return f"{node.display}{by}{kind}{ago}{said}"


def _slurm_reason(node: Node) -> tuple[Level, str]:
    """Level and meaning of a reason that Slurm itself set; ("note", "") for any other."""
    from console.health import drain_reasons

    if node.reason is not None and drain_reasons.is_automation(node.reason_by, node.reason):
        for pattern, level, meaning in _SLURM_REASONS:
            if pattern.match(node.reason):
                return level, meaning
    return "note", ""


# -- nodes that go out ------------------------------------------------------------------------------------------------


def drain(node: Node, known: PreflightContext, found: list[Check]) -> None:
    power = next((flag for flag in ("POWERED_DOWN", "POWERING_UP", "POWERING_DOWN") if flag in node.flags), None)
    if power is not None:
        word = power.replace("_", " ").lower()
        found.append(
            Check(node.name, "warn", f"{word}: a drain kills the jobs that wait for it there", "drain-kills", (power,))
        )
    _reason_kept(node, known, found)
    _reservation(node, known, found)


def down(node: Node, known: PreflightContext, found: list[Check]) -> None:
    _reason_kept(node, known, found)


def reboot(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if "NOT_RESPONDING" in node.flags:
        found.append(
            Check(
                node.name, "warn", "slurmd does not answer, and it is slurmd that reboots: use the BMC", "slurmd-silent"
            )
        )
    _reason_kept(node, known, found)
    _reservation(node, known, found)


def power_down(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if known.cluster.jobs_on.get(node.name) or hidden_jobs.has_work(node):
        found.append(
            Check(
                node.name,
                "note",
                "power goes off once its jobs have ended; no new work starts meanwhile",
                "power-after-jobs",
            )
        )
    if "DRAIN" in node.flags:
        # Seen on 24.11.5 and 26.05.5, of POWER_DOWN and POWER_DOWN_ASAP alike.
        goes = "Slurm takes the drain off with the power, and the next job boots it: drain it again once it is off"
        found.append(Check(node.name, "warn", f"{_drained_by(node, known)}; {goes}", "drain-lost"))
    _reservation(node, known, found)


def _reason_kept(node: Node, known: PreflightContext, found: list[Check]) -> None:
    # A node in service may still carry the reason of its last drain (24.11 never clears it): that is history.
    if node.reason and node.display in UNAVAILABLE:
        found.append(
            Check(
                node.name,
                "note",
                f"{_drained_by(node, known)}; it is kept behind yours",
                "reason-kept",
                (node.reason_by, node.reason),
            )
        )


def _reservation(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if not node.reservation:
        return
    one = known.cluster.reservations.get(node.reservation)
    until = f" until {when(one.ends, None, known.now)}" if one is not None and one.ends is not None else ""
    users = (one.users or one.accounts) if one is not None else None
    found.append(
        Check(
            node.name,
            "note",
            f"in reservation {node.reservation}{until}{f' for {users}' if users else ''}",
            "reserved",
            (node.reservation,),
        )
    )


def killed_jobs(rows: Mapping[str, Row], known: PreflightContext) -> Iterable[Check]:
    """The number of jobs that Slurm kills when these nodes are set down."""
    if not known.fresh.jobs:
        yield Check(
            "", "unknown", "how many jobs die is not known: the jobs were not read, or are old", "deaths-unknown"
        )
        return
    dying = {job for name in rows for job in known.cluster.jobs_on.get(name, ())}
    hidden = hidden_jobs.nodes_with_hidden_jobs(known.cluster, rows)
    if len(dying) == 1:
        yield Check("", "warn", "1 job dies at once, on all its nodes", "deaths", (1,))
    elif dying:
        yield Check("", "warn", f"{plural(len(dying), 'job')} die at once, on all their nodes", "deaths", (len(dying),))
    elif not hidden:
        yield Check("", "ok", "no job is there", "no-job")
    if hidden:
        yield Check(
            "",
            "unknown",
            f"how many {'more ' if dying else ''}jobs die is {hidden_jobs.hidden_jobs_text(hidden)}",
            "deaths-unknown",
        )


def features(node: Node, _: PreflightContext, found: list[Check]) -> None:
    found.append(
        Check(
            node.name,
            "note",
            "slurmctld says so until the next start of slurmd, or a reconfigure",
            "features-until-restart",
        )
    )
