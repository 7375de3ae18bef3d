"""What is looked at before an action: may this target be acted on, and what should the person know first. Pure.

A check that is `bad` keeps its target out unless the glass is broken. Facts that are missing or old are `unknown`: that
is said, never a refusal, and nothing is called fine on them. XIDs are judged as everywhere else: by the policy, since
the boot and since the node was put back the last time (`console.health.inconsistencies`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from collectors.model import Cluster, Job, Node, Xid
from collectors.nodestate import OUT
from console.actions.action import Action, Row
from console.actions.plan import Check, Level, PreflightReads
from console.health import drain_reasons, hidden_jobs
from console.health.inconsistencies import fresh
from console.health.xid_policy import Policy
from widgets.units import duration, plural, when

from . import fitness, node_checks, preflight_values
from .preflight_reads import PreflightContext

#: A job that was requeued so often before is told of.
RESTARTS = 3
#: The owner's own hold, as Slurm calls it.
_OWNERS = "JobHeldUser"
#: What Slurm itself writes when it takes a node out, how serious that is, and what it means.
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
_SLURM_SAYS = tuple((re.compile(rf"\s*{pattern}", re.I), level, meaning) for pattern, level, meaning in _SLURM)
#: Why Slurm keeps a job back, other than by somebody's hold.
_SLURM_HOLDS: Mapping[str, str] = {
    "JobHoldMaxRequeue": "Slurm held it: it was requeued as often as is allowed",
    "launch failed requeued held": "Slurm held it: its launch failed, on that node it would again",
}


def checks(
    action: Action,
    cluster: Cluster,
    rows: Mapping[str, Row],
    extra: PreflightReads,
    now: float,
    policy: Policy,
    *,
    mono: float | None = None,
    values: Mapping[str, str] | None = None,
) -> tuple[Check, ...]:
    """Everything that was found of these targets, in their order. What concerns all of them has "" for its target.

    `mono` is the clock that ages are read by; without it the newest reading tells how late it is. `values` is what
    each target is to be given.
    """
    look = _LOOKS.get(action.id)
    if look is None:
        return ()
    xids: dict[str, list[Xid]] = {}
    good = fresh(cluster, now, mono)
    for xid in cluster.xids.values() if good.xids else ():
        if xid.node in rows:
            xids.setdefault(xid.node, []).append(xid)
    known = PreflightContext(cluster, extra, now, policy, good, xids, values or {})
    found = [Check("", "unknown", fault, "not-read", (fault,)) for fault in extra.faults]
    if action.kind == "node" and not good.nodes:
        found.append(Check("", "unknown", "what Slurm says of the nodes is old", "nodes-old"))
    if action.id in {"down", "reboot-now"}:
        found += _deaths(rows, known)
    for row in rows.values():
        look(row, known, found)
    return tuple(found)


# -- nodes that come back ---------------------------------------------------------------------------------------------


def _resume(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if node.state == "DOWN" or "NOT_RESPONDING" in node.flags:
        found.append(
            Check(node.name, "note", "it must register first: it is followed until it does", "registers-first")
        )
    if "REBOOT_ISSUED" in node.flags:
        found.append(Check(node.name, "warn", "it is rebooting now", "rebooting"))
    elif "REBOOT_REQUESTED" in node.flags:
        found.append(Check(node.name, "warn", "a reboot is asked for: a resume calls it off", "reboot-cancelled"))
    _back(node, known, found)


def _undrain(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if node.state == "DOWN":
        found.append(Check(node.name, "note", "it is down and stays down: only the drain is taken off", "stays-down"))
    elif "NOT_RESPONDING" in node.flags:
        found.append(Check(node.name, "note", "it does not answer: no work starts before it does", "not-responding"))
    _back(node, known, found)


def _cancel_reboot(node: Node, known: PreflightContext, found: list[Check]) -> None:
    # A reboot that was asked for without a drain leaves its node in service: then nothing comes back.
    if "DRAIN" in node.flags:
        found.append(Check(node.name, "note", "the drain of that reboot goes with it, and its reason", "drain-goes"))
        _back(node, known, found)


def _back(node: Node, known: PreflightContext, found: list[Check]) -> None:
    """What holds for every node that is to take work again."""
    if not {"POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN"}.isdisjoint(node.flags):
        found.append(Check(node.name, "note", "powered off: Slurm powers it up when work comes", "powered-off"))
    elif "POWERING_UP" in node.flags:
        found.append(Check(node.name, "note", "it is powering up", "powering-up"))
    if "COMPLETING" in node.flags:
        found.append(Check(node.name, "warn", "a job is still ending there (COMPLETING)", "completing"))
    _reserved(node, known, found)
    if node.reason is not None or node.reason_by is not None:
        level, meaning = _slurm_says(node)
        found.append(
            Check(
                node.name,
                level,
                f"{_signed(node, known)}{meaning and f': {meaning}'}",
                "reason",
                (node.reason_by, node.reason),
            )
        )
    if drain_reasons.is_forgotten(node, known.now):
        found.append(Check(node.name, "note", "out for more than 7 days: is what it waited for done?", "out-for-days"))
    fitness.check_gpus(
        node, cluster=known.cluster, extra=known.extra, now=known.now, policy=known.policy, good=known.good,
        xids=known.xids.get(node.name, ()), found=found,
    )  # fmt: skip
    node_checks.check_nvlink(node, known.cluster, known.good, found)
    node_checks.check_cooling(node, known.cluster, known.now, found)
    node_checks.check_ports_and_storage(node, known.cluster, known.good, found)
    node_checks.check_health(node, known.cluster, known.now, known.good, found)


def _signed(node: Node, known: PreflightContext) -> str:
    """`drained by jdv (human) 1h 52m ago: "XID 79"`."""
    who = drain_reasons.who(node.reason_by, node.reason)
    by = f" by {node.reason_by}" if node.reason_by else ""
    kind = f" ({who})" if by and who != "unknown" else ""
    ago = f" {duration(known.now - node.reason_at)} ago" if node.reason_at is not None else ""
    said = f': "{node.reason}"' if node.reason else ", without a reason"
    return f"{node.display}{by}{kind}{ago}{said}"


def _slurm_says(node: Node) -> tuple[Level, str]:
    """How serious a reason is that Slurm itself gave, and what it means; a note without words for any other."""
    if node.reason is not None and drain_reasons.robot(node.reason_by, node.reason):
        for pattern, level, meaning in _SLURM_SAYS:
            if pattern.match(node.reason):
                return level, meaning
    return "note", ""


# -- nodes that go out ------------------------------------------------------------------------------------------------


def _drain(node: Node, known: PreflightContext, found: list[Check]) -> None:
    power = next((flag for flag in ("POWERED_DOWN", "POWERING_UP", "POWERING_DOWN") if flag in node.flags), None)
    if power is not None:
        word = power.replace("_", " ").lower()
        found.append(
            Check(node.name, "warn", f"{word}: a drain kills the jobs that wait for it there", "drain-kills", (power,))
        )
    _kept(node, known, found)
    _reserved(node, known, found)


def _down(node: Node, known: PreflightContext, found: list[Check]) -> None:
    _kept(node, known, found)


def _reboot(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if "NOT_RESPONDING" in node.flags:
        found.append(
            Check(
                node.name, "warn", "slurmd does not answer, and it is slurmd that reboots: use the BMC", "slurmd-silent"
            )
        )
    _kept(node, known, found)
    _reserved(node, known, found)


def _powerdown(node: Node, known: PreflightContext, found: list[Check]) -> None:
    if known.cluster.jobs_on.get(node.name) or hidden_jobs.works(node):
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
        found.append(Check(node.name, "warn", f"{_signed(node, known)}; {goes}", "drain-lost"))
    _reserved(node, known, found)


def _kept(node: Node, known: PreflightContext, found: list[Check]) -> None:
    # A node in service may still carry the reason of its last drain (24.11 never clears it): that is history.
    if node.reason and node.display in OUT:
        found.append(
            Check(
                node.name,
                "note",
                f"{_signed(node, known)}; it is kept behind yours",
                "reason-kept",
                (node.reason_by, node.reason),
            )
        )


def _reserved(node: Node, known: PreflightContext, found: list[Check]) -> None:
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


def _deaths(rows: Mapping[str, Row], known: PreflightContext) -> Iterable[Check]:
    """How many jobs Slurm kills when these nodes are set down."""
    if not known.good.jobs:
        yield Check(
            "", "unknown", "how many jobs die is not known: the jobs were not read, or are old", "deaths-unknown"
        )
        return
    dying = {job for name in rows for job in known.cluster.jobs_on.get(name, ())}
    hidden = hidden_jobs.on(known.cluster, rows)
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
            f"how many {'more ' if dying else ''}jobs die is {hidden_jobs.words(hidden)}",
            "deaths-unknown",
        )


# -- jobs -------------------------------------------------------------------------------------------------------------


def _requeue(job: Job, known: PreflightContext, found: list[Check]) -> None:
    detail = known.extra.details.get(job.id)
    if detail is None:
        found.append(Check(job.id, "unknown", "whether it can be requeued was not read", "requeue-not-read"))
    elif detail.batch is False:
        found.append(Check(job.id, "refused", "no batch script: Slurm would refuse", "no-batch-script"))
    elif detail.requeueable is False:
        found.append(
            Check(
                job.id, "refused", "submitted as not to be requeued (Requeue=0): Slurm would refuse", "not-requeueable"
            )
        )
    elif detail.batch is None or detail.requeueable is None:
        found.append(Check(job.id, "unknown", "Slurm does not say whether it can be requeued", "requeue-unknown"))
    else:
        found.append(Check(job.id, "ok", "a batch job that may be requeued", "requeueable"))
    if job.restarts is None:
        found.append(Check(job.id, "unknown", "how often it was requeued before is not known", "restarts-unknown"))
    elif job.restarts >= RESTARTS:
        found.append(Check(job.id, "warn", f"it was requeued {job.restarts} times before", "restarts", (job.restarts,)))
    if job.state == "SUSPENDED":
        found.append(Check(job.id, "note", "it is suspended: it will be held, not queued", "requeued-held"))


def _hold(job: Job, known: PreflightContext, found: list[Check]) -> None:
    if job.user != known.me:
        found.append(
            Check(
                job.id,
                "note",
                "an admin hold: its owner cannot lift it; U, the user hold, is the polite one",
                "admin-hold",
            )
        )
    if job.reason == _OWNERS:
        found.append(
            Check(job.id, "note", f"held by its owner, {job.user}, already: yours takes that over", "held-by-owner")
        )


def _release(job: Job, known: PreflightContext, found: list[Check]) -> None:
    reason = job.reason or ""
    if reason in _SLURM_HOLDS:
        found.append(Check(job.id, "warn", _SLURM_HOLDS[reason], "held-by-slurm", (reason,)))
    elif reason == _OWNERS:
        if job.user != known.me:
            found.append(Check(job.id, "note", f"held by its owner, {job.user}", "held-by-owner"))
    elif reason == "JobHeldAdmin":
        found.append(Check(job.id, "note", "held by an admin", "held-by-admin"))
    elif job.state == "SPECIAL_EXIT":
        found.append(Check(job.id, "note", "held by its own exit code (SPECIAL_EXIT)", "held-by-exit-code"))


#: Action to what looks at one of its targets. Any other hides nothing that the preview does not tell.
_LOOKS: Mapping[str, Callable[..., None]] = {
    "resume": _resume,
    "undrain": _undrain,
    "cancel_reboot": _cancel_reboot,
    "drain": _drain,
    "down": _down,
    "reboot": _reboot,
    "reboot-now": _reboot,
    "powerdown": _powerdown,
    "requeue": _requeue,
    "requeuehold": _requeue,
    "hold": _hold,
    "release": _release,
    **preflight_values.LOOKS,
}
