"""Makes a Plan or a Refusal from a Cluster and explicit names: targets acted on, targets skipped and why, what must be
typed. Pure. Only the gate calls it, and only its plans can be sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

import msgspec

from collectors.clean import clean
from collectors.jobstate import ENDED, WAITING
from collectors.model import Change, Cluster, Job, Node, Row
from console.actions import het_jobs, waves
from console.actions.action import Action, ChangeInputs, Value, clean_reason, rows_of
from console.actions.drift import Drifted, apply_rules
from console.actions.incident import Scope
from console.actions.node_actions import state_after_reboot
from console.actions.option_parsing import OPTION_OF
from console.actions.options import Guard, Options
from console.actions.plan import Confirmation, JobHit, Plan, Refusal, Skip, by_reason, target_list
from console.actions.refusals import rights_refusal, target_refusal
from console.filters.language import filter_in_reason
from console.health import hidden_jobs
from console.health.xid_policy import Policy
from console.preflight.checks import Check, PreflightReads

from . import confirmation
from .preflight_reads import run_checks


def make_plan(
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
        # No poll reads users: only what was read for this action is known.
        cluster = msgspec.structs.replace(cluster, users=extra.rows, known=cluster.known | {"users"})
    why = (
        rights_refusal(action, cluster.rights)
        or _invalid_targets(action, targets, cluster)
        or _invalid_options(action, options)
    )
    if why is None and action.creates is not None:
        why = action.creates.invalid(cluster, targets, options, now)
    if why:
        return Refusal(why)
    rows = rows_of(action, cluster)
    acting: dict[str, Row] = {}
    skipped = []
    for target in targets:
        row = extra.rows.get(target, rows[target])
        why = target_refusal(action, cluster, row)
        if why:
            skipped.append(Skip(target, why))
        else:
            acting[target] = row
    if action.adjust is not None:
        acting, options, dropped = action.adjust(acting, options, cluster)
        skipped += [Skip(target, why) for target, why in dropped.items()]
    try:
        given = _values_of(action, options, acting, now)
    except ValueError as error:
        return Refusal(str(error))
    if action.value is not None:
        vain = _unchanged(action.value, acting, given)
        skipped += [Skip(target, why) for target, why in vain.items()]
        acting = {target: row for target, row in acting.items() if target not in vain}
    options = msgspec.structs.replace(options, values=given)
    checks = run_checks(action, cluster, acting, extra, now, policy, mono=mono, values=given) if acting else ()
    bad = _findings(checks, "bad", acting)
    # Targets that Slurm would refuse are always skipped; bad findings can be overridden by breaking the glass.
    out = _findings(checks, "refused", acting) | ({} if options.break_glass else bad)
    skipped += [Skip(target, text) for target, text in out.items()]
    acting = {target: row for target, row in acting.items() if target not in out}
    checks = tuple(check for check in checks if check.target not in out)
    if not acting or (skipped and action.creates is not None):
        return Refusal(by_reason(skipped, action.kind), tuple(skipped), can_break_glass=bool(bad))
    jobs = _jobs_hit(action, acting, cluster, now)
    ends = [job.left_s for job in jobs or ()]
    hidden = hidden_jobs.nodes_with_hidden_jobs(cluster, acting) if action.kind == "node" else ()
    withheld = () if action.withholds is None else action.withholds(acting, given, cluster)
    shares, confirm, inside = confirmation.required(action, acting, cluster, checks, guard, scopes, now, withheld)
    try:
        nodes = {target: row for target, row in acting.items() if isinstance(row, Node)}
        returns = waves.plan_waves(action, nodes, cluster, options, guard, now, mono)
    except ValueError as error:
        return Refusal(str(error))
    if returns is not None and confirm.kind == "plain":
        confirm = Confirmation("count", len(acting))
    must_count = action.count_when is not None and any(
        action.count_when(row, given[target]) for target, row in acting.items()
    )
    if must_count and confirm.kind == "plain":
        confirm = Confirmation("count", len(acting))
    if (
        action.creates is not None
        and (glass := action.creates.break_glass(cluster, tuple(acting), options)) is not None
    ):
        confirm = Confirmation("break", len(acting), *glass)
    return Plan(
        id=secrets.token_hex(6),
        action=action,
        change=Change(action=action.id, operation=action.operation, kind=action.kind, targets=tuple(acting)),
        cluster=cluster,
        made=mono,
        rows=acting,
        skipped=tuple(skipped),
        jobs=jobs,
        empty_in_s=None if None in ends or hidden else max((s for s in ends if s is not None), default=None),
        shares=shares,
        commands=(),
        confirmation=confirm,
        incident=inside,
        waves=returns,
        checks=checks,
        options=options,
        guard=guard,
    )


def next_state_drift(plan: Plan, target: str, now: Row | None) -> Drifted | None:
    """The drift of a target that would come back from a reboot in another state than shown; None for no drift."""
    shown = plan.change.next_state.get(target)
    if shown is None or now is None:
        return None
    assert isinstance(now, Node)
    to = state_after_reboot(now, plan.options)
    if to == shown:
        return None
    why = f"it would come back {to} from the reboot, not {shown} as shown: {now.display}"
    return apply_rules(plan.action, [("next_down" if to == "DOWN" else "next_resume", why)])


def _values_of(action: Action, options: Options, rows: Mapping[str, Row], now: float) -> dict[str, str]:
    """Target to its complete value: its own where there is one, else the common one."""
    value = action.value
    if value is None:
        return {}
    made = {}
    for target, row in rows.items():
        own = options.values.get(target)
        if own is None and options.value is not None:
            own = options.value if value.complete is None else value.complete(row, options.value, now)
        if own is not None:
            made[target] = own
    return made


def _unchanged(value: Value, rows: Mapping[str, Row], given: Mapping[str, str]) -> dict[str, str]:
    """Targets that have the value already or get none, and why."""
    found = {}
    for target, row in rows.items():
        if target not in given:
            found[target] = f"no {value.noun} is given for it"
        elif value.current(row) == given[target]:
            found[target] = f"its {value.noun} is that already"
    return found


def _findings(checks: Sequence[Check], level: str, acting: Mapping[str, Row]) -> dict[str, str]:
    """Target to all its findings of this level, as text."""
    found: dict[str, list[str]] = {}
    for check in checks:
        if check.level == level and check.target in acting:
            found.setdefault(check.target, []).append(check.text)
    return {target: "; ".join(texts) for target, texts in found.items()}


def with_reason(plan: Plan, reason: str | None, person: str) -> Plan:
    """The plan with the person's reason and the complete Change, exactly as it will be sent.

    Raises ValueError where the typed reason is a filter; the reason of an undo is not typed and is not checked.
    """
    why = clean_reason(reason or "") or None
    given = plan.options.prefilled_reason
    if (
        why
        and plan.options.undoes is None
        and (meant := filter_in_reason(why.removeprefix(clean_reason(given)) if given else why))
    ):
        raise ValueError(meant)
    return msgspec.structs.replace(
        plan, reason=why, change=change_for(plan, plan.change.targets, plan.rows, why, person)
    )


def change_for(plan: Plan, targets: Sequence[str], rows: Mapping[str, Row], why: str | None, person: str) -> Change:
    """The Change of a plan for these targets, from their current rows. `…` replaces a missing reason."""
    action, options = plan.action, plan.options
    reason = (why or "…") if action.needs_reason or options.reasons else None
    change = Change(
        action=action.id, operation=action.operation, kind=action.kind, targets=tuple(targets), reason=reason
    )
    if action.value is not None:
        change = msgspec.structs.replace(change, values={target: options.values[target] for target in targets})
    if action.complete is None:
        return change
    given = ChangeInputs(
        rows=rows, cluster=plan.cluster, options=options, guard=plan.guard, reason=reason, typed_reason=why,
        person=person,
    )  # fmt: skip
    return action.complete(change, given)


def _invalid_options(action: Action, options: Options) -> str | None:
    """Why the options do not fit the action: one is missing, or one is not accepted."""
    if action.value is not None and options.value is None and not options.values:
        return f"a {action.value.noun} is required: {action.value.example}"
    if action.value is None and (options.value is not None or options.values):
        return f"{action.label} takes no value"
    if options.settings and action.creates is None and action.kind != "user":
        return _option_refused(action, next(iter(options.settings)))
    known = ("resume_after_s", "seconds", "next_state", "waves", "canary", "redrain")
    given = {name for name in known if getattr(options, name)}
    for name in sorted(given.difference(action.option_fields)):
        return _option_refused(action, OPTION_OF[name])
    return None


def _option_refused(action: Action, option: str) -> str:
    """The text for an option that this action does not accept, with those that it does."""
    takes = [f"--{OPTION_OF[name]}" for name in action.option_fields]
    takes += ["--value"] if action.value is not None else []
    return f"{action.label} takes no --{option}; it takes {', '.join(takes) or 'no options'}"


def _invalid_targets(action: Action, targets: Sequence[str], cluster: Cluster) -> str | None:
    """Why the targets are invalid: each must be a name that the cluster knows, and be named once."""
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
        return f"unknown {kind}{'s' if len(unknown) > 1 else ''} {target_list(unknown, kind)}"
    if len(set(targets)) != len(targets):
        return f"a {kind} was named twice"
    return None


def _jobs_hit(action: Action, acting: Mapping[str, Row], cluster: Cluster, now: float) -> tuple[JobHit, ...] | None:
    """The jobs on the target nodes, or the running target jobs that are killed; None where jobs were never read."""
    if action.kind not in {"node", "job"}:
        return ()
    if "jobs" not in cluster.known:
        return None
    if action.kind == "node":
        ids = dict.fromkeys(job for node in acting for job in cluster.jobs_on.get(node, ()))
        jobs = [cluster.jobs[job] for job in ids if job in cluster.jobs]
        if action.danger == "kills":
            jobs = het_jobs.with_components(jobs, cluster)
    else:
        running = (row for row in acting.values() if isinstance(row, Job) and row.state not in ENDED | WAITING)
        jobs = list(running) if action.danger == "kills" else []
    return tuple(
        JobHit(id=job.id, user=job.user, name=job.name, nodes=job.nodes, node_count=job.node_count,
            gpus=job.gpus_held if job.gpus_held is not None else job.gpus,
            elapsed_s=job.elapsed_s(now), left_s=job.left_s(now), unlimited=job.unlimited)
        for job in jobs
    )  # fmt: skip
