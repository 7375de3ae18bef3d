"""From a Cluster and explicit names to a Plan or a Refusal: what acts, what is left alone and why, what must be typed.

Pure. Only the gate calls it, and only what it makes can be sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from collectors.clean import clean
from collectors.jobstate import ENDED, WAITING
from collectors.model import TAKEN, Alert, Change, Cluster, Job, Node, Reservation
from collectors.nodestate import OUT
from collectors.slurm.commands.argv import REASON_CAP
from console.actions import het_jobs, reservations, silences, user_actions, user_messages, waves
from console.actions.action import Action, Row, Value, rows_of, tidy
from console.actions.incident import Scope
from console.actions.options import OPTION_OF
from console.actions.plan import (
    Check,
    Confirm,
    Guard,
    JobHit,
    Options,
    Plan,
    PreflightReads,
    Refusal,
    Skip,
    grouped,
    listed,
)
from console.actions.verification import Drifted, judged
from console.filters.language import filter_in_reason
from console.health import hidden_jobs
from console.health.xid_policy import Policy

from . import confirmation, preflight, rights

_ON_IT = "I'm on it"


def make(
    action: Action,
    targets: Sequence[str],
    cluster: Cluster,
    now: float,
    mono: float,
    guard: Guard,
    policy: Policy,
    options: Options,
    extra: PreflightReads,
    scopes: Sequence[Scope] = (),
) -> Plan | Refusal:
    """Freeze an action on explicit targets of this cluster, or say why there is nothing to confirm."""
    if action.kind == "user" and extra.faults:
        return Refusal(extra.faults[0])
    if action.kind == "user":
        # No poll has them: what was read for this action is all there is.
        cluster = msgspec.structs.replace(cluster, users=extra.rows, known=cluster.known | {"users"})
    why = rights.refused(action, cluster.rights) or _unfit(action, targets, cluster) or _lacking(action, options)
    if why is None and action.together is not None:
        why = action.together.lacks(cluster, targets, options, now)
    if why:
        return Refusal(why)
    rows = rows_of(action, cluster)
    acting: dict[str, Row] = {}
    skipped = []
    for target in targets:
        row = extra.rows.get(target, rows[target])
        why = action.refuse(cluster, row) or rights.refused(action, cluster.rights, row)
        if why:
            skipped.append(Skip(target, why))
        else:
            acting[target] = row
    if action.id == "notify":
        acting, options, told = user_messages.one_a_user(acting, options)
        skipped += [Skip(target, why) for target, why in told.items()]
    if action.id == "cancel":
        left = het_jobs.left_out(acting, cluster)
        skipped += [Skip(target, why) for target, why in left.items()]
        acting = {target: row for target, row in acting.items() if target not in left}
    try:
        given = _given(action, options, acting, now)
    except ValueError as error:
        return Refusal(str(error))
    if action.value is not None:
        vain = _vain(action.value, acting, given)
        skipped += [Skip(target, why) for target, why in vain.items()]
        acting = {target: row for target, row in acting.items() if target not in vain}
    options = msgspec.structs.replace(options, values=given)
    checks = preflight.checks(action, cluster, acting, extra, now, policy, mono=mono, values=given) if acting else ()
    bad = _found(checks, "bad", acting)
    # What Slurm would refuse stays out whatever is broken; what only speaks against it, unless the glass is.
    out = _found(checks, "refused", acting) | ({} if options.break_glass else bad)
    skipped += [Skip(target, text) for target, text in out.items()]
    acting = {target: row for target, row in acting.items() if target not in out}
    checks = tuple(check for check in checks if check.target not in out)
    if not acting or (skipped and action.together is not None):
        return Refusal(grouped(skipped, action.kind), tuple(skipped), glass=bool(bad))
    jobs = _hits(action, acting, cluster, now)
    ends = [job.left_s for job in jobs or ()]
    hidden = hidden_jobs.nodes_with_hidden_jobs(cluster, acting) if action.kind == "node" else ()
    shares, confirm, inside = confirmation.asked(action, acting, cluster, checks, guard, scopes, now,
                                            reservations.aside(action, acting, given, cluster))  # fmt: skip
    try:
        nodes = {target: row for target, row in acting.items() if isinstance(row, Node)}
        returns = waves.planned(action.id, nodes, cluster, options, guard, now, mono)
    except ValueError as error:
        return Refusal(str(error))
    if returns is not None and confirm.kind == "plain":
        confirm = Confirm("count", len(acting))
    if (
        action.id == "extend"
        and confirm.kind == "plain"
        and any(
            given[target] < (reservations.end_of(row) or "")
            for target, row in acting.items()
            if isinstance(row, Reservation)
        )
    ):
        # Sooner: Slurm kills what runs in it then (ResvOverRun).
        confirm = Confirm("count", len(acting))
    if action.together is not None and (glass := action.together.glass(cluster, tuple(acting), options)) is not None:
        confirm = Confirm("break", len(acting), *glass)
    return Plan(
        id=secrets.token_hex(6),
        action=action,
        change=Change(action=action.id, kind=action.kind, targets=tuple(acting)),
        cluster=cluster,
        made=mono,
        seen=acting,
        skipped=tuple(skipped),
        jobs=jobs,
        empty_in_s=None if None in ends or hidden else max((s for s in ends if s is not None), default=None),
        shares=shares,
        commands=(),
        confirm=confirm,
        inside=inside,
        waves=returns,
        checks=checks,
        options=options,
        guard=guard,
    )


def otherwise(plan: Plan, target: str, now: Row | None) -> Drifted | None:
    """What keeps a target from getting what was shown, as it is now; None where it would get that."""
    if plan.action.id not in {"reboot", "reboot-now"} or now is None:
        return None
    assert isinstance(now, Node)
    shown, to = plan.change.next_state[target], _next(now, plan.options)
    if to == shown:
        return None
    why = f"it would come back {to} from the reboot, not {shown} as shown: {now.display}"
    return judged(plan.action, [("next_down" if to == "DOWN" else "next_resume", why)])


def _given(action: Action, options: Options, rows: Mapping[str, Row], now: float) -> dict[str, str]:
    """Target to what it is given, in full: its own where there is one, else what all are given."""
    value = action.value
    if value is None:
        return {}
    made = {}
    for target, row in rows.items():
        own = options.values.get(target)
        if own is None and options.value is not None:
            own = options.value if value.whole is None else value.whole(row, options.value, now)
        if own is not None:
            made[target] = own
    return made


def _vain(value: Value, rows: Mapping[str, Row], given: Mapping[str, str]) -> dict[str, str]:
    """The targets that have already what they would be given, or are given nothing."""
    found = {}
    for target, row in rows.items():
        if target not in given:
            found[target] = f"no {value.word} is given for it"
        elif value.of(row) == given[target]:
            found[target] = f"its {value.word} is that already"
    return found


def _found(checks: Sequence[Check], level: str, acting: Mapping[str, Row]) -> dict[str, str]:
    """Target to all that was found of it at this level."""
    found: dict[str, list[str]] = {}
    for check in checks:
        if check.level == level and check.target in acting:
            found.setdefault(check.target, []).append(check.text)
    return {target: "; ".join(texts) for target, texts in found.items()}


def spelled(plan: Plan, reason: str | None, person: str) -> Plan:
    """The plan with the person's reason, and with it the Change in full: what will be sent, to the last word.

    Raises ValueError where what was typed for the reason is a filter. What an undo puts back was typed by no one.
    """
    why = tidy(reason or "") or None
    given = plan.options.offered
    if (
        why
        and plan.options.undoes is None
        and (meant := filter_in_reason(why.removeprefix(tidy(given)) if given else why))
    ):
        raise ValueError(meant)
    return msgspec.structs.replace(plan, why=why, change=change_for(plan, plan.change.targets, plan.seen, why, person))


def change_for(plan: Plan, targets: Sequence[str], rows: Mapping[str, Row], why: str | None, person: str) -> Change:
    """The Change of a plan for these of its targets, as they are now. Without a reason `…` stands for it."""
    action, options = plan.action, plan.options
    reason = (why or "…") if action.needs_reason or options.reasons else None
    change = Change(action=action.id, kind=action.kind, targets=tuple(targets), reason=reason)
    replace = msgspec.structs.replace
    if action.value is not None:
        change = replace(change, values={target: options.values[target] for target in targets})
    if action.together is not None:
        return action.together.spell(change, options, why)
    if action.kind == "user":
        return user_actions.spell(change, rows, options.settings)
    match action.id:
        case "drain" | "down" | "reboot" | "reboot-now":
            kept = {target: text for target in targets if (text := _kept(rows[target], reason or "", options))}
            change = replace(change, reasons=kept)
            if action.id == "drain":
                return replace(change, resume_after_s=options.resume_after_s)
            if action.id in {"reboot", "reboot-now"}:
                return replace(change, next_state={target: _next(rows[target], options) for target in targets})
            return change
        case "priority":
            wanted = {target: options.priorities.get(target, options.priority) for target in targets}
            return replace(change, priorities={target: to for target, to in wanted.items() if to is not None})
        case "take" | "silence":
            comment = f"{TAKEN}{why or _ON_IT}" if action.id == "take" else reason or ""
            made = silences.build(
                [row for target in targets if isinstance(row := rows[target], Alert)], plan.cluster.alerts,
                seconds=lasts_s(plan), by=person, comment=comment,
            )  # fmt: skip
            return replace(change, reason=comment, silences=made)
    return change


def lasts_s(plan: Plan) -> int:
    """Seconds that a silence of this plan lasts."""
    usual = plan.guard.take_s if plan.action.id == "take" else plan.guard.silence_s
    return plan.options.seconds or usual


def _kept(row: Row, reason: str, options: Options) -> str | None:
    """A node's own reason where it is not just the new one: what stood there while it was out of service is kept."""
    assert isinstance(row, Node)
    own, old = options.reasons.get(row.name), row.reason
    reason = own or reason
    if not old or row.display not in OUT or reason in old:
        # A node in service may still carry the reason of its last drain (24.11 never clears it): that is history.
        return old if old and row.display in OUT and reason and reason in old else own
    by = f" by {row.reason_by}" if row.reason_by else ""
    was = f" [was{by}: {old}]"
    # However long the new one is: half of the room is for what stood there.
    was = was if len(was) <= REASON_CAP // 2 else f"{was[: REASON_CAP // 2 - 2]}…]"
    return f"{reason[: REASON_CAP - len(was)]}{was}"


def _next(row: Row, options: Options) -> str:
    """How a node comes back from a reboot: RESUME would clear the drain that somebody put on it, and its reason."""
    assert isinstance(row, Node)
    if options.next_state is not None:
        return options.next_state
    return "DOWN" if row.state == "DOWN" or not {"DRAIN", "FAIL"}.isdisjoint(row.flags) else "RESUME"


def _lacking(action: Action, options: Options) -> str | None:
    """What must be said beside the targets and was not."""
    if action.value is not None and options.value is None and not options.values:
        return f"a {action.value.word} is required: {action.value.like}"
    if action.value is None and (options.value is not None or options.values):
        return f"{action.label} takes no value"
    if action.id == "priority" and options.priority is None and not options.priorities:
        return "a priority is required: a whole number"
    if options.settings and action.together is None and action.kind != "user":
        return _takes_no(action, next(iter(options.settings)))
    known = ("priority", "resume_after_s", "seconds", "next_state", "waves", "canary", "redrain")
    given = {name for name in known if getattr(options, name)}
    for name in sorted(given.difference(action.asks)):
        return _takes_no(action, OPTION_OF[name])
    return None


def _takes_no(action: Action, option: str) -> str:
    """An option that this action does not take, as it was typed, and those that it does."""
    takes = [f"--{OPTION_OF[name]}" for name in action.asks]
    takes += ["--value"] if action.value is not None else []
    return f"{action.label} takes no --{option}; it takes {', '.join(takes) or 'no options'}"


def _unfit(action: Action, targets: Sequence[str], cluster: Cluster) -> str | None:
    """What is wrong with the targets as a whole: every one must be a name that this cluster knows, each once."""
    kind = action.kind
    if not targets:
        return f"no {kind}s were named"
    if any(target.upper() == "ALL" for target in targets):
        return f"ALL is never sent: name the {kind}s"
    if f"{kind}s" not in cluster.known:
        faults = dict.fromkeys(str(source.fault) for source in cluster.sources.values() if source.fault is not None)
        return f"the {kind}s of {cluster.name} were never read{': ' + '; '.join(faults) if faults else ''}"
    rows = rows_of(action, cluster)
    unknown = [clean(target)[:60] for target in targets if target not in rows]
    if unknown:
        return f"unknown {kind}{'s' if len(unknown) > 1 else ''} {listed(unknown, kind)}"
    if len(set(targets)) != len(targets):
        return f"a {kind} was named twice"
    return None


def _hits(action: Action, acting: Mapping[str, Row], cluster: Cluster, now: float) -> tuple[JobHit, ...] | None:
    """The jobs on the nodes acted on, or the running ones that are themselves killed."""
    if action.kind not in {"node", "job"}:
        return ()
    if "jobs" not in cluster.known:
        return None
    if action.kind == "node":
        ids = dict.fromkeys(job for node in acting for job in cluster.jobs_on.get(node, ()))
        jobs = [cluster.jobs[job] for job in ids if job in cluster.jobs]
        if action.danger == "kills":
            jobs = het_jobs.with_it(jobs, cluster)
    else:
        running = (row for row in acting.values() if isinstance(row, Job) and row.state not in ENDED | WAITING)
        jobs = list(running) if action.danger == "kills" else []
    return tuple(
        JobHit(id=job.id, user=job.user, name=job.name, nodes=job.nodes, node_count=job.node_count,
            gpus=job.gpus_held if job.gpus_held is not None else job.gpus,
            elapsed_s=job.elapsed_s(now), left_s=job.left_s(now), unlimited=job.unlimited)
        for job in jobs
    )  # fmt: skip
