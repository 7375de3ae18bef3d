"""What an action will do, before anything is sent: the same facts for the dialog and for `wacht act`. Pure.

A screen shows as much of each kind of fact as can be read there. With `whole` nothing is left out.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from collectors.model import Alert, Job, Node, Silence
from collectors.nodeset import fold
from console.actions import incident
from console.actions.action import Kind, signed_reason
from console.actions.plan import JobHit, PartitionShare, Plan, Skip, target_list
from console.actions.verification import state_text
from console.health import hidden_jobs
from console.plant import nvlink_domains
from console.preflight.checks import Check
from console.queue.job_arrays import array_tasks, one_array
from widgets.units import UNKNOWN, duration, plural

#: Most facts of one kind on a screen.
GROUPS_SHOWN = 6
#: Node sets longer than this (characters) are cut in labels; "now" names every target.
_NAMES_CAP = 48
#: What is listed one by one of each on a screen.
JOBS_SHOWN = 10
COMMANDS_SHOWN = 3
CHECKS_SHOWN = 12
#: From this number of texts on checks that differ only in their figures are one line; those that pass sooner.
ALIKE_MOST = 5
ALIKE: Mapping[str, int] = {"ok": 2, "bad": 1000}
#: From this number on targets and jobs are counted before they are named.
COUNTED = 5
LINES_SHOWN = 12
LABEL = 14
#: Labels of the last rows: the reason, then the command.
ASKED = ("reason", "runs")
#: Level of a check to its label and role, the worst first. The sign and the word show the level without colour.
LEVELS: Mapping[str, tuple[str, str]] = {
    "bad": ("✖ against it", "bad"),
    "warn": ("▲ warning", "warn"),
    "unknown": ("? unknown", "warn"),
    "note": ("· note", ""),
    "ok": ("✓ fine", "good"),
}
_RANK = {level: rank for rank, level in enumerate(LEVELS)}


class Fact(Struct, frozen=True):
    """One line of the preview. `role` is its colour role."""

    label: str
    text: str
    role: str = ""


def title(plan: Plan) -> str:
    """`Drain gpu[0412-0415] on groningen`: every action names its cluster. Alerts go by their names, never by ids."""
    label, targets = plan.action.label, plan.change.targets
    if plan.action.kind == "alert":
        called = list(dict.fromkeys(row.name for row in plan.rows.values() if isinstance(row, Alert)))
        what = f"{counted(len(targets), 'alert')}: {first_names(called)}"
    elif plan.action.kind == "silence":
        people = list(dict.fromkeys(row.by or "unknown" for row in plan.rows.values() if isinstance(row, Silence)))
        what = f"the silence of {first_names(people)}" + (f" ({len(targets):,} silences)" if len(targets) > 1 else "")
    elif plan.action.kind == "job" and len(targets) > 4:
        # The rows labelled "now" list them; here they would push the cluster's name off the line.
        array = one_array(targets)
        what = f"{plural(len(targets), 'task')} of array {array}" if array else plural(len(targets), "job")
    else:
        what = target_names(plan, targets, whole=False)
    return f"{label[0].upper()}{label[1:]} {what} on {plan.cluster.name}"


def facts(plan: Plan, whole: bool = True, brief: bool = False) -> list[Fact]:
    """All facts of the preview: break-glass, targets and states, checks, capacity, jobs, effects, skipped targets,
    reason, command.

    With `whole` nothing is left out; without it each kind is limited to what fits a screen. With `brief` the jobs hit
    and the loss of partitions come first, many jobs in one line, and checks that differ in figures only are one line.
    """
    made = [Fact("BREAK GLASS", f"✖ {plan.confirmation.why}", "bad")] if plan.confirmation.kind == "break" else []
    if plan.action.creates is incident.CREATION:
        made = [Fact("INCIDENT", plan.confirmation.why, "warn")]
    elif plan.incident:
        made = [Fact("inside", f"the incident {plan.incident}: one key does", "accent")]
    made += capped([Fact("changed", text, "warn") for text in _changed(plan, whole)], whole)
    made += _now(plan, whole)
    made += _arrays(plan)
    summary = _jobs_summary(plan) if brief else []
    made += summary
    made += _takes_out(plan) if brief else []
    made += [Fact("in waves", text) for text in (plan.waves.describe(whole) if plan.waves is not None else ())]
    made += _checks(plan, whole, brief)
    made += [] if brief else _takes_out(plan)
    if plan.action.takes_out:
        texts = nvlink_domains.capacity_loss_texts(plan.cluster, plan.change.targets)
        lost = [Fact("NVLink", text, "warn") for text in texts]
        made += capped(lost, whole)
    made += _jobs(plan, whole, fate=not summary)
    if plan.action.impact is not None:
        made += [Fact(*line) for line in plan.action.impact(plan, whole)]
    made += _comes(plan, whole)
    made += _left_alone(plan, whole)
    made += _reasons(plan, whole)
    shown = plan.commands if whole else plan.commands[:COMMANDS_SHOWN]
    made += [Fact("runs", shlex.join(command), "accent") for command in shown]
    if len(plan.commands) > len(shown):
        made.append(Fact("runs", f"and {len(plan.commands) - len(shown):,} more like it", "text-dim"))
    return made


def rows(plan: Plan, cells: int | None = None, brief: bool = False) -> list[Fact]:
    """The facts as lines, wrapped to `cells` where that is given; a label is shown only where it changes.

    With a width, each kind of fact is limited and no fact has more than LINES_SHOWN lines, since thousands of names
    would push everything else off the screen. Without a width nothing is cut. For `brief` see `facts`.
    """
    made: list[Fact] = []
    before = ""
    for fact in facts(plan, cells is None, brief):
        for piece in [fact.text] if cells is None else _wrapped(fact.text, max(20, cells - LABEL)):
            made.append(Fact("" if fact.label == before else fact.label, piece, fact.role))
            before = fact.label
    return made


def _wrapped(told: str, room: int) -> list[str]:
    pieces = textwrap.wrap(told, room, subsequent_indent="  ", break_on_hyphens=False) or [""]
    if len(pieces) <= LINES_SHOWN:
        return pieces
    left = f"… {len(pieces) - LINES_SHOWN + 1:,} lines more: all of it with `wacht act … --dry-run`"
    return [*pieces[: LINES_SHOWN - 1], left]


def text(plan: Plan, cells: int | None = None) -> list[str]:
    """The preview without colours, uncut where no width is given. The first line is the title."""
    told = rows(plan, None if cells is None else cells - 2)
    return [title(plan), *(f"  {fact.label:<{LABEL}}{fact.text}" for fact in told)]


# -- targets ----------------------------------------------------------------------------------------------------------


def _changed(plan: Plan, whole: bool) -> list[str]:
    """What changed since the previous preview, where the plan is confirmed again."""
    groups: dict[str, list[str]] = {}
    for target, why in plan.changed.items():
        groups.setdefault(why, []).append(target)
    return [f"not sent yet, {target_names(plan, those, whole)}: {why}" for why, those in groups.items()]


def _now(plan: Plan, whole: bool) -> list[Fact]:
    """The targets, grouped by state."""
    kind = plan.action.kind
    if kind == "alert":
        return alerts(plan, whole)
    if kind == "silence":
        return silences(plan, whole)
    states: dict[str, list[str]] = {}
    for target, row in plan.rows.items():
        states.setdefault(state_text(row), []).append(target)
    told = [f"{len(them):,} {state}  {all_targets(them, kind, whole)}" for state, them in states.items()]
    return capped([Fact("now", one, "text-strong") for one in told], whole)


# -- alerts and silences -----------------------------------------------------------------------------------------------


def alerts(plan: Plan, whole: bool) -> list[Fact]:
    """The alerts by name, and the silences that will suppress them."""
    names: dict[tuple[str, str], list[Alert]] = {}
    for row in plan.rows.values():
        if isinstance(row, Alert):
            names.setdefault((row.name, row.severity or ""), []).append(row)
    made = []
    for (name, severity), those in names.items():
        told = f"{len(those):,} {name}{f' ({severity})' if severity else ''}"
        nodes = list(dict.fromkeys(alert.node for alert in those if alert.node))
        more = fold(nodes) if nodes else those[0].summary if len(those) == 1 else None
        made.append(Fact("alerts", f"{told}  {more}" if more else told, "text-strong"))
    made = capped(made, whole)
    new = plan.change.silences
    quiets = [f"{counted(len(one.alerts), 'alert')}: {' '.join(map(str, one.matchers))}" for one in new]
    made += capped([Fact("silences", one, "accent") for one in quiets], whole)
    lasts = list(dict.fromkeys(one.seconds for one in new))
    made += [Fact("quiet for", f"{duration(seconds)}, until {time_after(plan, seconds)}") for seconds in lasts]
    signed = dict.fromkeys((one.by, one.comment) for one in new)
    return made + capped([Fact("signed", f"{by}: {words}") for by, words in signed], whole)


def silences(plan: Plan, whole: bool) -> list[Fact]:
    """Silences to be expired: author, comment, matchers, and the alerts that fire again."""
    made = []
    for target, row in plan.rows.items():
        if not isinstance(row, Silence):
            continue
        ends = "" if row.ends is None else f"; would end {time_text(row.ends)}"
        made.append(Fact("now", f"{row.state}, by {row.by or 'unknown'}: {row.comment}{ends}", "text-strong"))
        made.append(Fact("it is of", " ".join(map(str, row.matchers))))
        quiet = [alert for alert in plan.cluster.alerts.values() if alert.silenced_by == (target,)]
        nodes = fold(dict.fromkeys(alert.node for alert in quiet if alert.node))
        names = first_names(list(dict.fromkeys(alert.name for alert in quiet)), whole)
        rings = f"{counted(len(quiet), 'alert')}: {names}  {nodes}".rstrip() if quiet else "no alert that is known"
        made.append(Fact("rings again", rings, "warn" if quiet else ""))
        if not whole and len(made) >= 3 * GROUPS_SHOWN:
            break
    left = len(plan.rows) - len(made) // 3
    return [*made, Fact("now", f"and {counted(left, 'silence')} more", "text-dim")] if left > 0 else made


def _arrays(plan: Plan) -> list[Fact]:
    """The arrays of which several tasks are hit: how many, and whether that is all of them."""
    made = []
    for array, tasks in array_tasks(plan.rows).items():
        if len(tasks) > 1:
            whole = ", all that have not ended; sent as one id" if array in plan.change.arrays else ""
            made.append(Fact("array", f"{array}: {plural(len(tasks), 'task')}{whole}", "text-strong"))
    return capped(made, whole=False)


# -- checks -----------------------------------------------------------------------------------------------


def _checks(plan: Plan, whole: bool, brief: bool) -> list[Fact]:
    """The checks, grouped where they are equal, the worst first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for check in plan.checks:
        groups.setdefault((check.level, check.text), []).append(check.target)
    if brief:
        groups = _alike(plan.checks, groups)
    order = sorted(groups.items(), key=lambda group: (_RANK[group[0][0]], -len(group[1])))
    shown = len(order) if whole else CHECKS_SHOWN
    made = [_check(plan, level, words, those, whole, brief) for (level, words), those in order[:shown]]
    left = [level for (level, _), _ in order[shown:]]
    if left:
        kinds = ", ".join(f"{left.count(level)} {LEVELS[level][0][2:]}" for level in LEVELS if level in left)
        made.append(Fact(made[-1].label, f"and {len(left):,} more: {kinds}", made[-1].role))
    return made


def _alike(checks: Iterable[Check], groups: Mapping[tuple[str, str], list[str]]) -> dict[tuple[str, str], list[str]]:
    """The groups, with one for each code and level that has many texts: the first of them stands for all."""
    texts: dict[tuple[str, str], dict[str, None]] = {}
    for check in checks:
        texts.setdefault((check.level, check.code), {})[check.text] = None
    made: dict[tuple[str, str], list[str]] = {}
    done = set()
    for check in checks:
        alike = texts[check.level, check.code]
        if len(alike) < ALIKE.get(check.level, ALIKE_MOST):
            made[check.level, check.text] = groups[check.level, check.text]
        elif (check.level, check.code) not in done:
            done.add((check.level, check.code))
            every = [target for text in alike for target in groups[check.level, text]]
            made[check.level, f"e.g. {check.text} ({len(alike):,} variants)"] = every
    return made


def _check(plan: Plan, level: str, words: str, those: Sequence[str], whole: bool, brief: bool) -> Fact:
    label, role = LEVELS[level]
    about = [target for target in dict.fromkeys(those) if target]
    if not about or len(plan.rows) == 1:
        subject = ""
    elif len(about) == len(plan.rows):
        subject = f"all {len(about):,}: "
    else:
        number = f"{counted(len(about), plan.action.kind)}, " if brief and len(about) >= COUNTED else ""
        subject = f"{number}{target_names(plan, about, whole)}: "
    return Fact(label, f"{subject}{words}{'; go on?' if level == 'unknown' else ''}", role)


def _takes_out(plan: Plan) -> list[Fact]:
    return [Fact("takes out", *_share(plan, share)) for share in plan.shares]


def _share(plan: Plan, share: PartitionShare) -> tuple[str, str]:
    """The loss of a partition, and the limit of the guard that it exceeds."""
    guard, pct = plan.guard, 100 * share.fraction
    if share.newly_out > guard.share_nodes:
        if pct > guard.break_pct:
            glass = "" if plan.incident else ", break the glass"
            return f"✖ {share}: more than {guard.break_pct:g} %{glass}", "bad"
        if pct > guard.share_pct:
            return f"▲ {share}: more than {guard.share_pct:g} %", "warn"
    return str(share), ""


# -- jobs -------------------------------------------------------------------------------------------------------------


def _jobs_label(plan: Plan) -> tuple[str, str]:
    return ("kills", "bad") if plan.kills else ("running there", "")


def _jobs_summary(plan: Plan) -> list[Fact]:
    """Many jobs in one line: how many of how many users, their GPUs, and what happens to them; none for few."""
    jobs = plan.jobs or ()
    if len(jobs) < COUNTED:
        return []
    label, role = _jobs_label(plan)
    held = [job.gpus for job in jobs if job.gpus is not None]
    users = plural(len({job.user for job in jobs}), "user")
    gpus = f", {plural(sum(held), 'GPU')}" if held else ""
    return [Fact(label, f"{plural(len(jobs), 'job')} of {users}{gpus}: {_fate(plan)}", role or "text-strong")]


def _jobs(plan: Plan, whole: bool, fate: bool) -> list[Fact]:
    """The jobs affected, and with `fate` what happens to them."""
    # A value set on a node affects no job.
    if plan.action.kind not in {"node", "job"} or (plan.action.value is not None and not plan.kills):
        return []
    label, role = _jobs_label(plan)
    if plan.jobs is None:
        return [Fact(label, "unknown: the jobs were never read", "warn")]
    hidden = hidden_jobs.nodes_with_hidden_jobs(plan.cluster, plan.rows) if plan.action.kind == "node" else ()
    unknown = [Fact(label, hidden_jobs.hidden_jobs_text(hidden), "warn")] if hidden else []
    if not plan.jobs:
        return unknown if hidden or plan.action.kind == "job" else [Fact(label, "no job")]
    shown: Sequence[JobHit] = plan.jobs if whole or len(plan.jobs) <= JOBS_SHOWN else plan.jobs[: JOBS_SHOWN - 1]
    made = [Fact(label, _hit(job, whole), role) for job in shown]
    if len(shown) < len(plan.jobs):
        made.append(Fact(label, f"and {len(plan.jobs) - len(shown):,} jobs more", role))
    return [*made, *unknown, *([Fact(label, _fate(plan), role or "text-dim")] if fate else [])]


def _fate(plan: Plan) -> str:
    jobs = plan.jobs or ()
    if plan.kills:
        known = [job.gpus * job.elapsed_s for job in jobs if job.gpus is not None and job.elapsed_s is not None]
        more = "" if len(known) == len(jobs) else f", unknown for {len(jobs) - len(known):,} jobs"
        return f"{sum(known) / 3600:,.1f} GPU-hours of work at risk{more}"
    if not plan.action.takes_out:
        return "they are not touched"
    then = plan.action.jobs_note
    if plan.empty_in_s is None:
        return f"they go on until they end; {then}when the last will end is unknown"
    return f"they go on until they end; {then}the last frees its nodes within {duration(plan.empty_in_s)}"


def _hit(job: JobHit, whole: bool) -> str:
    nodes = "nodes unknown" if job.node_count is None else f"{job.node_count} node{'s' if job.node_count != 1 else ''}"
    gpus = "GPUs unknown" if job.gpus is None else f"{job.gpus} GPU{'s' if job.gpus != 1 else ''}"
    done = "run time unknown" if job.elapsed_s is None else f"{duration(job.elapsed_s)} done"
    left = "time left unknown" if job.left_s is None else f"{duration(job.left_s)} left"
    left = "no time limit" if job.unlimited else left
    return f"{job.id} {job.user} {job.name if whole else job.name[:24]}  {nodes}  {gpus}  {done}, {left}"


# -- what changes, and what is skipped ------------------------------------------------------------------------------


def _comes(plan: Plan, whole: bool) -> list[Fact]:
    """How nodes return from a reboot or drain, and the value that each target gets."""
    if plan.change.resume_after_s is not None:
        after = plan.change.resume_after_s
        return [Fact("comes back", f"by itself after {duration(after)}, at {time_after(plan, after)}")]
    groups: dict[tuple[str, str], list[str]] = {}
    for target, state in plan.change.next_state.items():
        groups.setdefault(_next(plan, target, state), []).append(target)
    made = [
        Fact("comes back", f"{target_names(plan, those, whole)}: {words}", role)
        for (words, role), those in groups.items()
    ]
    return capped(made + _values(plan, whole), whole)


def _values(plan: Plan, whole: bool) -> list[Fact]:
    """What each target has and gets: `time limit  88121: 1:00:00 → 4:00:00`."""
    value = plan.action.value
    if value is None or plan.action.impact is not None:
        return []
    moves: dict[str, list[str]] = {}
    for target, to in plan.change.values.items():
        row, was = (
            plan.rows[target],
            "" if plan.action.unverifiable else f"{_told(value.current(plan.rows[target]))} → ",
        )
        whom = f"to {row.user}: " if value.addressed and isinstance(row, Job) else ""
        moves.setdefault(f"{whom}{was}{_told(to)}", []).append(target)
    label = value.noun if len(value.noun) < LABEL else "becomes"
    return [Fact(label, f"{target_names(plan, those, whole)}: {move}", "text-strong") for move, those in moves.items()]


def _told(text: str | None) -> str:
    return "unknown" if text is None else f"{int(text):,}" if text.isdecimal() else text or "none"


def _next(plan: Plan, target: str, state: str) -> tuple[str, str]:
    """The state of a node after its reboot, and why."""
    row = plan.rows.get(target)
    assert isinstance(row, Node)
    out = row.state == "DOWN" or not {"DRAIN", "FAIL"}.isdisjoint(row.flags)
    if state == "DOWN":
        return (f"DOWN: it is {row.display}{signed_reason(row)}" if out else "DOWN, as asked"), ""
    if out:
        return f"in service: {row.display}{signed_reason(row)} is cleared, as asked", "warn"
    return "in service (RESUME)", ""


def _left_alone(plan: Plan, whole: bool) -> list[Fact]:
    groups: dict[str, list[Skip]] = {}
    for skip in plan.skipped:
        groups.setdefault(skip.why, []).append(skip)
    lines = [f"{target_names(plan, [skip.target for skip in those], whole)}: {why}" for why, those in groups.items()]
    if not lines:
        return []
    lines[0] = f"{len(plan.skipped):,} of {len(plan.skipped) + len(plan.rows):,}: {lines[0]}"
    return capped([Fact("left alone", one) for one in lines], whole)


def _reasons(plan: Plan, whole: bool) -> list[Fact]:
    """The reason, and where a node's own differs from it."""
    made = []
    if plan.reason:
        made.append(Fact("reason", plan.reason, "text-strong"))
    elif plan.needs_reason:
        made.append(Fact("reason", "not given yet", "warn"))
    own: dict[str, list[str]] = {}
    for target, words in plan.change.reasons.items():
        if words == plan.reason:
            continue
        own.setdefault(words, []).append(target)
    return made + capped(
        [Fact("reason", f"{target_names(plan, those, whole)}: {words}") for words, those in own.items()], whole
    )


# -- names, counts and times -------------------------------------------------------------------------------------------


def target_names(plan: Plan, targets: Sequence[str], whole: bool) -> str:
    """Targets as people know them: alerts by name and node, silences by author, never by id."""
    kind = plan.action.kind
    if kind == "alert":
        alerts = [plan.cluster.alerts[target] for target in targets if target in plan.cluster.alerts]
        nodes = list(dict.fromkeys(alert.node for alert in alerts if alert.node))
        alert_names = first_names(list(dict.fromkeys(alert.name for alert in alerts)), whole)
        return f"{alert_names} {folded_nodes(nodes, whole)}".rstrip()
    if kind == "silence":
        known = [plan.cluster.silences[target] for target in targets if target in plan.cluster.silences]
        return f"silence of {first_names(list(dict.fromkeys(one.by or 'unknown' for one in known)), whole)}"
    return folded_nodes(targets, whole) if kind == "node" else all_targets(targets, kind, whole)


def folded_nodes(nodes: Sequence[str], whole: bool) -> str:
    """A folded node set, cut where it is long and not `whole`."""
    every = fold(nodes)
    # Only the first names of a large set are folded again.
    return every if whole or len(every) <= _NAMES_CAP else f"{fold(nodes[:4])} and {len(nodes) - 4:,} more"


def all_targets(targets: Sequence[str], kind: Kind, whole: bool) -> str:
    """Targets by name; only the first of them unless `whole`."""
    return target_list(targets, kind, len(targets)) if whole else target_list(targets, kind)


def capped(made: list[Fact], whole: bool) -> list[Fact]:
    """At most GROUPS_SHOWN facts of one kind; the rest is counted."""
    if whole or len(made) <= GROUPS_SHOWN:
        return made
    shown = made[: GROUPS_SHOWN - 1]
    return [*shown, Fact(shown[-1].label, f"and {len(made) - len(shown):,} more like it", "text-dim")]


def counted(number: int, word: str) -> str:
    """`1 alert`, `2 alerts`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def first_names(names: Sequence[str], whole: bool = False) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - 3:,} more" if len(names) > 4 and not whole else ""
    return ", ".join(names[:3] if more else names) + more


def time_after(plan: Plan, seconds: int) -> str:
    """The time (text) `seconds` after the plan was made, by the clock of its facts."""
    newest: Iterable[float] = (one.read_mono for one in plan.cluster.sources.values() if one.read_mono is not None)
    at = plan.cluster.at + max(0.0, plan.made - max(newest, default=plan.made))
    return time_text(at + seconds)


def time_text(epoch: float) -> str:
    """`2026-11-24 07:12 +01:00 (06:12 UTC)`: people of several time zones read one journal."""
    try:
        at = datetime.fromtimestamp(epoch).astimezone()
    except (OverflowError, OSError, ValueError):
        return UNKNOWN
    utc = at.astimezone(UTC)
    offset = f"{at:%z}"
    return f"{at:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:5]} ({utc:%H:%M} UTC)"
