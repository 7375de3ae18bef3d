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
from console.actions.action import Kind, said
from console.actions.plan import JobHit, PartitionShare, Plan, Skip, listed
from console.actions.verification import state_of
from console.health import hidden_jobs
from console.plant import nvlink_domains
from widgets.units import UNKNOWN, count, duration, plural

from . import impact

#: What a screen shows of each sort.
GROUPS_SHOWN = 6
#: Longer node sets are cut where they only say whom a line is about; "now" names every target.
_NAMES_CAP = 48
#: What is listed one by one of each on a screen.
JOBS_SHOWN = 10
COMMANDS_SHOWN = 3
CHECKS_SHOWN = 12
LINES_SHOWN = 12
LABEL = 14
#: Labels of what stands last, and is asked of a person: the reason, then the command.
ASKED = ("reason", "runs")
#: Level of a check to how it is shown: worst first, told by a sign and a word, not by the colour alone.
LEVELS: Mapping[str, tuple[str, str]] = {
    "bad": ("✖ against it", "bad"),
    "warn": ("▲ warning", "warn"),
    "unknown": ("? unknown", "warn"),
    "note": ("· note", ""),
    "ok": ("✓ fine", "good"),
}
_RANK = {level: rank for rank, level in enumerate(LEVELS)}


class Fact(Struct, frozen=True):
    """One thing to know. `role` is how it is to be painted where there are colours."""

    label: str
    text: str
    role: str = ""


def title(plan: Plan) -> str:
    """`Drain gpu[0412-0415] on groningen`: every action names its cluster. Alerts go by their names, never by ids."""
    label, targets = plan.action.label, plan.change.targets
    if plan.action.kind == "alert":
        called = list(dict.fromkeys(row.name for row in plan.seen.values() if isinstance(row, Alert)))
        what = f"{many(len(targets), 'alert')}: {few(called)}"
    elif plan.action.kind == "silence":
        people = list(dict.fromkeys(row.by or "unknown" for row in plan.seen.values() if isinstance(row, Silence)))
        what = f"the silence of {few(people)}" + (f" ({len(targets):,} silences)" if len(targets) > 1 else "")
    elif plan.action.kind == "job" and len(targets) > 4:
        # "now" names them; here they would push the cluster's name off the line.
        what = f"{plural(len(targets), 'job')}"
    else:
        what = names(plan, targets, whole=False)
    return f"{label[0].upper()}{label[1:]} {what} on {plan.cluster.name}"


def facts(plan: Plan, whole: bool = True) -> list[Fact]:
    """What must be broken, targets and their states, what the pre-flight found, capacity, jobs hit, what comes of it,
    what is left alone and why, the reason, the exact command. `whole` is all there is of each, not what fits a screen.
    """
    made = [Fact("BREAK GLASS", f"✖ {plan.confirm.why}", "bad")] if plan.confirm.kind == "break" else []
    if plan.action.id == "incident":
        made = [Fact("INCIDENT", plan.confirm.why, "warn")]
    elif plan.inside:
        made = [Fact("inside", f"the incident {plan.inside}: one key does", "accent")]
    made += most([Fact("changed", text, "warn") for text in _changed(plan, whole)], whole)
    made += _now(plan, whole)
    made += [Fact("in waves", text) for text in (plan.waves.words(whole) if plan.waves is not None else ())]
    made += _checks(plan, whole)
    made += [Fact("takes out", *_share(plan, share)) for share in plan.shares]
    if plan.action.takes_out:
        lost = [Fact("NVLink", text, "warn") for text in nvlink_domains.loses(plan.cluster, plan.change.targets)]
        made += most(lost, whole)
    made += _jobs(plan, whole)
    made += [Fact(*line) for line in impact.told(plan, whole)]
    made += _comes(plan, whole)
    made += _left_alone(plan, whole)
    made += _reasons(plan, whole)
    shown = plan.commands if whole else plan.commands[:COMMANDS_SHOWN]
    made += [Fact("runs", shlex.join(command), "accent") for command in shown]
    if len(plan.commands) > len(shown):
        made.append(Fact("runs", f"and {len(plan.commands) - len(shown):,} more like it", "text-dim"))
    return made


def rows(plan: Plan, cells: int | None = None) -> list[Fact]:
    """The facts as lines: long texts on several where a width is given, a label only where it changes.

    Thousands of scattered names would push all else off the screen, so with a width there are so many facts of a sort,
    and no fact has more than LINES_SHOWN lines; without one everything is there.
    """
    made: list[Fact] = []
    before = ""
    for fact in facts(plan, whole=cells is None):
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
    """It without colours, uncut where no width is given. The first line is the title."""
    told = rows(plan, None if cells is None else cells - 2)
    return [title(plan), *(f"  {fact.label:<{LABEL}}{fact.text}" for fact in told)]


# -- targets ----------------------------------------------------------------------------------------------------------


def _changed(plan: Plan, whole: bool) -> list[str]:
    """Why this is asked again: what differs from the preview before."""
    groups: dict[str, list[str]] = {}
    for target, why in plan.changed.items():
        groups.setdefault(why, []).append(target)
    return [f"not sent yet, {names(plan, those, whole)}: {why}" for why, those in groups.items()]


def _now(plan: Plan, whole: bool) -> list[Fact]:
    """The targets, each under the state it is in."""
    kind = plan.action.kind
    if kind == "alert":
        return alerts(plan, whole)
    if kind == "silence":
        return silences(plan, whole)
    states: dict[str, list[str]] = {}
    for target, row in plan.seen.items():
        states.setdefault(state_of(row), []).append(target)
    told = [f"{len(them):,} {state}  {each(them, kind, whole)}" for state, them in states.items()]
    return most([Fact("now", one, "text-strong") for one in told], whole)


# -- alerts and silences -----------------------------------------------------------------------------------------------


def alerts(plan: Plan, whole: bool) -> list[Fact]:
    """The alerts by name, and the silences that will keep them quiet."""
    names: dict[tuple[str, str], list[Alert]] = {}
    for row in plan.seen.values():
        if isinstance(row, Alert):
            names.setdefault((row.name, row.severity or ""), []).append(row)
    made = []
    for (name, severity), those in names.items():
        told = f"{len(those):,} {name}{f' ({severity})' if severity else ''}"
        nodes = list(dict.fromkeys(alert.node for alert in those if alert.node))
        more = fold(nodes) if nodes else those[0].summary if len(those) == 1 else None
        made.append(Fact("alerts", f"{told}  {more}" if more else told, "text-strong"))
    made = most(made, whole)
    new = plan.change.silences
    quiets = [f"{many(len(one.alerts), 'alert')}: {' '.join(map(str, one.matchers))}" for one in new]
    made += most([Fact("silences", one, "accent") for one in quiets], whole)
    lasts = list(dict.fromkeys(one.seconds for one in new))
    made += [Fact("quiet for", f"{duration(seconds)}, until {moment(plan, seconds)}") for seconds in lasts]
    signed = dict.fromkeys((one.by, one.comment) for one in new)
    return made + most([Fact("signed", f"{by}: {words}") for by, words in signed], whole)


def silences(plan: Plan, whole: bool) -> list[Fact]:
    """Silences to be lifted: whose, why, of what, and what rings again."""
    made = []
    for target, row in plan.seen.items():
        if not isinstance(row, Silence):
            continue
        ends = "" if row.ends is None else f"; would end {clock(row.ends)}"
        made.append(Fact("now", f"{row.state}, by {row.by or 'unknown'}: {row.comment}{ends}", "text-strong"))
        made.append(Fact("it is of", " ".join(map(str, row.matchers))))
        quiet = [alert for alert in plan.cluster.alerts.values() if alert.silenced_by == (target,)]
        nodes = fold(dict.fromkeys(alert.node for alert in quiet if alert.node))
        names = few(list(dict.fromkeys(alert.name for alert in quiet)), whole)
        rings = f"{many(len(quiet), 'alert')}: {names}  {nodes}".rstrip() if quiet else "no alert that is known"
        made.append(Fact("rings again", rings, "warn" if quiet else ""))
        if not whole and len(made) >= 3 * GROUPS_SHOWN:
            break
    left = len(plan.seen) - len(made) // 3
    return [*made, Fact("now", f"and {many(left, 'silence')} more", "text-dim")] if left > 0 else made


# -- what was looked at -----------------------------------------------------------------------------------------------


def _checks(plan: Plan, whole: bool) -> list[Fact]:
    """The checks, equal ones of many targets as one, the worst first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for check in plan.checks:
        groups.setdefault((check.level, check.text), []).append(check.target)
    order = sorted(groups.items(), key=lambda group: (_RANK[group[0][0]], -len(group[1])))
    shown = len(order) if whole else CHECKS_SHOWN
    made = [_check(plan, level, words, those, whole) for (level, words), those in order[:shown]]
    left = [level for (level, _), _ in order[shown:]]
    if left:
        kinds = ", ".join(f"{left.count(level)} {LEVELS[level][0][2:]}" for level in LEVELS if level in left)
        made.append(Fact(made[-1].label, f"and {len(left):,} more: {kinds}", made[-1].role))
    return made


def _check(plan: Plan, level: str, words: str, those: Sequence[str], whole: bool) -> Fact:
    label, role = LEVELS[level]
    about = [target for target in dict.fromkeys(those) if target]
    if not about or len(plan.seen) == 1:
        whom = ""
    elif len(about) == len(plan.seen):
        whom = f"all {len(about):,}: "
    else:
        whom = f"{names(plan, about, whole)}: "
    return Fact(label, f"{whom}{words}{'; go on?' if level == 'unknown' else ''}", role)


def _share(plan: Plan, share: PartitionShare) -> tuple[str, str]:
    """What a partition loses, and what the guard says of it."""
    guard, pct = plan.guard, 100 * share.part
    if share.newly_out > guard.share_nodes:
        if pct > guard.break_pct:
            glass = "" if plan.inside else ", break the glass"
            return f"✖ {share}: more than {guard.break_pct:g} %{glass}", "bad"
        if pct > guard.share_pct:
            return f"▲ {share}: more than {guard.share_pct:g} %", "warn"
    return str(share), ""


# -- jobs -------------------------------------------------------------------------------------------------------------


def _jobs(plan: Plan, whole: bool) -> list[Fact]:
    """The jobs it touches, and what becomes of them."""
    # What is written into a node touches no job.
    if plan.action.kind not in {"node", "job"} or (plan.action.value is not None and not plan.kills):
        return []
    label, role = ("kills", "bad") if plan.kills else ("running there", "")
    if plan.jobs is None:
        return [Fact(label, "unknown: the jobs were never read", "warn")]
    hidden = hidden_jobs.on(plan.cluster, plan.seen) if plan.action.kind == "node" else ()
    unknown = [Fact(label, hidden_jobs.words(hidden), "warn")] if hidden else []
    if not plan.jobs:
        return unknown if hidden or plan.action.kind == "job" else [Fact(label, "no job")]
    shown: Sequence[JobHit] = plan.jobs if whole or len(plan.jobs) <= JOBS_SHOWN else plan.jobs[: JOBS_SHOWN - 1]
    made = [Fact(label, _hit(job, whole), role) for job in shown]
    if len(shown) < len(plan.jobs):
        made.append(Fact(label, f"and {len(plan.jobs) - len(shown):,} jobs more", role))
    return [*made, *unknown, Fact(label, _fate(plan), role or "text-dim")]


def _fate(plan: Plan) -> str:
    jobs = plan.jobs or ()
    if plan.kills:
        known = [job.gpus * job.elapsed_s for job in jobs if job.gpus is not None and job.elapsed_s is not None]
        more = "" if len(known) == len(jobs) else f", unknown for {len(jobs) - len(known):,} jobs"
        return f"{sum(known) / 3600:,.1f} GPU-hours of work at risk{more}"
    if not plan.action.takes_out:
        return "they are not touched"
    then = "each node reboots after its last job; " if plan.action.id == "reboot" else ""
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


# -- what comes of it, and what does not ------------------------------------------------------------------------------


def _comes(plan: Plan, whole: bool) -> list[Fact]:
    """How nodes come back, and the priorities that jobs get."""
    if plan.change.resume_after_s is not None:
        after = plan.change.resume_after_s
        return [Fact("comes back", f"by itself after {duration(after)}, at {moment(plan, after)}")]
    groups: dict[tuple[str, str], list[str]] = {}
    for target, state in plan.change.next_state.items():
        groups.setdefault(_next(plan, target, state), []).append(target)
    made = [
        Fact("comes back", f"{names(plan, those, whole)}: {words}", role) for (words, role), those in groups.items()
    ]
    moves: dict[str, list[str]] = {}
    for target, to in plan.change.priorities.items():
        row = plan.seen.get(target)
        was = row.priority if isinstance(row, Job) else None
        moves.setdefault(f"{'unknown' if was is None else count(was)} → {count(to)}", []).append(target)
    made += [Fact("priority", f"{names(plan, those, whole)}: {move}", "text-strong") for move, those in moves.items()]
    return most(made + _values(plan, whole), whole)


def _values(plan: Plan, whole: bool) -> list[Fact]:
    """What each target has and gets: `time limit  88121: 1:00:00 → 4:00:00`."""
    value = plan.action.value
    if value is None or impact.knows(plan.action.id):
        return []
    moves: dict[str, list[str]] = {}
    for target, to in plan.change.values.items():
        row, was = plan.seen[target], "" if plan.action.unseen else f"{_told(value.of(plan.seen[target]))} → "
        whom = f"to {row.user}: " if plan.action.id == "notify" and isinstance(row, Job) else ""
        moves.setdefault(f"{whom}{was}{_told(to)}", []).append(target)
    label = value.word if len(value.word) < LABEL else "becomes"
    return [Fact(label, f"{names(plan, those, whole)}: {move}", "text-strong") for move, those in moves.items()]


def _told(text: str | None) -> str:
    return "unknown" if text is None else text or "none"


def _next(plan: Plan, target: str, state: str) -> tuple[str, str]:
    """In which state a node comes back from its reboot, and why in that."""
    row = plan.seen.get(target)
    assert isinstance(row, Node)
    out = row.state == "DOWN" or not {"DRAIN", "FAIL"}.isdisjoint(row.flags)
    if state == "DOWN":
        return (f"DOWN: it is {row.display}{said(row)}" if out else "DOWN, as asked"), ""
    if out:
        return f"in service: {row.display}{said(row)} is cleared, as asked", "warn"
    return "in service (RESUME)", ""


def _left_alone(plan: Plan, whole: bool) -> list[Fact]:
    groups: dict[str, list[Skip]] = {}
    for skip in plan.skipped:
        groups.setdefault(skip.why, []).append(skip)
    lines = [f"{names(plan, [skip.target for skip in those], whole)}: {why}" for why, those in groups.items()]
    if not lines:
        return []
    lines[0] = f"{len(plan.skipped):,} of {len(plan.skipped) + len(plan.seen):,}: {lines[0]}"
    return most([Fact("left alone", one) for one in lines], whole)


def _reasons(plan: Plan, whole: bool) -> list[Fact]:
    """The reason, and where a node's own differs from it."""
    made = []
    if plan.why:
        made.append(Fact("reason", plan.why, "text-strong"))
    elif plan.asks_reason:
        made.append(Fact("reason", "not given yet", "warn"))
    own: dict[str, list[str]] = {}
    for target, words in plan.change.reasons.items():
        if words == plan.why:
            continue
        own.setdefault(words, []).append(target)
    return made + most([Fact("reason", f"{names(plan, those, whole)}: {words}") for words, those in own.items()], whole)


# -- names, counts and times -------------------------------------------------------------------------------------------


def names(plan: Plan, targets: Sequence[str], whole: bool) -> str:
    """Whom a line is about, as people read it: ids of alerts and silences mean nothing to them."""
    kind = plan.action.kind
    if kind == "alert":
        alerts = [plan.cluster.alerts[target] for target in targets if target in plan.cluster.alerts]
        nodes = list(dict.fromkeys(alert.node for alert in alerts if alert.node))
        return f"{few(list(dict.fromkeys(alert.name for alert in alerts)), whole)} {folded(nodes, whole)}".rstrip()
    if kind == "silence":
        known = [plan.cluster.silences[target] for target in targets if target in plan.cluster.silences]
        return f"silence of {few(list(dict.fromkeys(one.by or 'unknown' for one in known)), whole)}"
    return folded(targets, whole) if kind == "node" else each(targets, kind, whole)


def folded(nodes: Sequence[str], whole: bool) -> str:
    """A node set, on a screen never a very long one."""
    every = fold(nodes)
    # Only the beginning of a large set is folded twice.
    return every if whole or len(every) <= _NAMES_CAP else f"{fold(nodes[:4])} and {len(nodes) - 4:,} more"


def each(targets: Sequence[str], kind: Kind, whole: bool) -> str:
    """Targets, jobs by their ids: on a screen the first of them."""
    return listed(targets, kind, len(targets)) if whole else listed(targets, kind)


def most(made: list[Fact], whole: bool) -> list[Fact]:
    """Not more of one sort than can be read; what is left out is counted."""
    if whole or len(made) <= GROUPS_SHOWN:
        return made
    shown = made[: GROUPS_SHOWN - 1]
    return [*shown, Fact(shown[-1].label, f"and {len(made) - len(shown):,} more like it", "text-dim")]


def many(number: int, word: str) -> str:
    """`1 alert`, `2 alerts`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def few(names: Sequence[str], whole: bool = False) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - 3:,} more" if len(names) > 4 and not whole else ""
    return ", ".join(names[:3] if more else names) + more


def moment(plan: Plan, seconds: int) -> str:
    """The moment so many seconds after the plan was made, as far as its facts tell the time."""
    newest: Iterable[float] = (one.read_mono for one in plan.cluster.sources.values() if one.read_mono is not None)
    at = plan.cluster.at + max(0.0, plan.made - max(newest, default=plan.made))
    return clock(at + seconds)


def clock(epoch: float) -> str:
    """`2026-11-24 07:12 +01:00 (06:12 UTC)`: people of several time zones read one journal."""
    try:
        at = datetime.fromtimestamp(epoch).astimezone()
    except (OverflowError, OSError, ValueError):
        return UNKNOWN
    utc = at.astimezone(UTC)
    offset = f"{at:%z}"
    return f"{at:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:5]} ({utc:%H:%M} UTC)"
