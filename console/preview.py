"""What an action will do, before anything is sent: the same facts for the dialog and for `wacht act`. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from collectors.model import Alert, Job, Node, Silence
from collectors.nodeset import fold
from console import domains, foretold
from console.action import said
from console.plan import Hit, Plan, Share, Skip, listed
from console.verify import state_of
from widgets.units import UNKNOWN, count, duration

#: What is listed one by one of each.
JOBS_SHOWN = 10
COMMANDS_SHOWN = 3
CHECKS_SHOWN = 12
GROUPS_SHOWN = 6
LINES_SHOWN = 12
LABEL = 14
#: Labels of what stands last, and is asked of a person: the reason, then the command.
ASKED = ("reason", "runs")
#: Longer node sets are cut where they only say whom a line is about; "now" names every target.
_NAMES_CAP = 48
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
        names = list(dict.fromkeys(row.name for row in plan.seen.values() if isinstance(row, Alert)))
        what = f"{_many(len(targets), 'alert')}: {_few(names)}"
    elif plan.action.kind == "silence":
        people = list(dict.fromkeys(row.by or "unknown" for row in plan.seen.values() if isinstance(row, Silence)))
        what = f"the silence of {_few(people)}" + (f" ({len(targets):,} silences)" if len(targets) > 1 else "")
    elif plan.action.kind == "job" and len(targets) > 4:
        # "now" names them; here they would push the cluster's name off the line.
        what = f"{len(targets):,} jobs"
    else:
        what = _names(plan, targets)
    return f"{label[0].upper()}{label[1:]} {what} on {plan.cluster.name}"


def facts(plan: Plan) -> list[Fact]:
    """What must be broken, targets and their states, what the pre-flight found, capacity, jobs hit, what comes of it,
    what is left alone and why, the reason, the exact command."""
    made = [Fact("BREAK GLASS", f"✖ {plan.confirm.why}", "bad")] if plan.confirm.kind == "break" else []
    if plan.action.id == "incident":
        made = [Fact("INCIDENT", plan.confirm.why, "warn")]
    elif plan.inside:
        made = [Fact("inside", f"the incident {plan.inside}: one key does", "accent")]
    made += _now(plan)
    made += [Fact("in waves", text) for text in (plan.waves.words() if plan.waves is not None else ())]
    made += _checks(plan)
    made += [Fact("takes out", *_share(plan, share)) for share in plan.shares]
    if plan.action.takes_out:
        made += _most([Fact("NVLink", text, "warn") for text in domains.loses(plan.cluster, plan.change.targets)])
    made += _jobs(plan)
    made += [Fact(*line) for line in foretold.told(plan)]
    made += _comes(plan)
    made += _left_alone(plan)
    made += _reasons(plan)
    made += [Fact("runs", shlex.join(command), "accent") for command in plan.commands[:COMMANDS_SHOWN]]
    if len(plan.commands) > COMMANDS_SHOWN:
        made.append(Fact("runs", f"and {len(plan.commands) - COMMANDS_SHOWN:,} more like it", "text-dim"))
    return made


def rows(plan: Plan, cells: int | None = None) -> list[Fact]:
    """The facts as lines: long texts on several where a width is given, a label only where it changes.

    Thousands of scattered names would push all else off the screen, so with a width no fact has more than LINES_SHOWN
    lines; without one everything is there.
    """
    made: list[Fact] = []
    before = ""
    for fact in facts(plan):
        room = max(20, (cells or 10_000) - LABEL)
        pieces = [fact.text] if cells is None else textwrap.wrap(
            fact.text, room, subsequent_indent="  ", break_on_hyphens=False) or [""]  # fmt: skip
        if len(pieces) > LINES_SHOWN:
            left = f"… {len(pieces) - LINES_SHOWN + 1:,} lines more: all of it with `wacht act … --dry-run`"
            pieces = [*pieces[: LINES_SHOWN - 1], left]
        for piece in pieces:
            made.append(Fact("" if fact.label == before else fact.label, piece, fact.role))
            before = fact.label
    return made


def text(plan: Plan) -> list[str]:
    """All of it for a terminal without colours. The first line is the title."""
    return [title(plan), *(f"  {fact.label:<{LABEL}}{fact.text}" for fact in rows(plan))]


# -- targets ----------------------------------------------------------------------------------------------------------


def _now(plan: Plan) -> list[Fact]:
    """The targets, each under the state it is in."""
    kind = plan.action.kind
    if kind == "alert":
        return _alerts(plan)
    if kind == "silence":
        return _silences(plan)
    states: dict[str, list[str]] = {}
    for target, row in plan.seen.items():
        states.setdefault(state_of(row), []).append(target)
    return _most([
        Fact("now", f"{len(them):,} {state}  {listed(them, kind)}", "text-strong") for state, them in states.items()
    ])  # fmt: skip


def _alerts(plan: Plan) -> list[Fact]:
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
    made = _most(made)
    new = plan.change.silences
    made += _most([
        Fact("silences", f"{_many(len(one.alerts), 'alert')}: {' '.join(map(str, one.matchers))}", "accent")
        for one in new
    ])  # fmt: skip
    lasts = list(dict.fromkeys(one.seconds for one in new))
    made += [Fact("quiet for", f"{duration(seconds)}, until {_moment(plan, seconds)}") for seconds in lasts]
    made += _most(
        [Fact("signed", f"{by}: {words}") for by, words in dict.fromkeys((one.by, one.comment) for one in new)]
    )
    return made


def _silences(plan: Plan) -> list[Fact]:
    """Silences to be lifted: whose, why, of what, and what rings again."""
    made = []
    for target, row in plan.seen.items():
        if not isinstance(row, Silence):
            continue
        ends = "" if row.ends is None else f"; would end {_clock(row.ends)}"
        made.append(Fact("now", f"{row.state}, by {row.by or 'unknown'}: {row.comment}{ends}", "text-strong"))
        made.append(Fact("it is of", " ".join(map(str, row.matchers))))
        quiet = [alert for alert in plan.cluster.alerts.values() if alert.silenced_by == (target,)]
        nodes = fold(dict.fromkeys(alert.node for alert in quiet if alert.node))
        names = _few(list(dict.fromkeys(alert.name for alert in quiet)))
        rings = f"{_many(len(quiet), 'alert')}: {names}  {nodes}".rstrip() if quiet else "no alert that is known"
        made.append(Fact("rings again", rings, "warn" if quiet else ""))
        if len(made) >= 3 * GROUPS_SHOWN:
            break
    left = len(plan.seen) - len(made) // 3
    return [*made, Fact("now", f"and {_many(left, 'silence')} more", "text-dim")] if left > 0 else made


def _names(plan: Plan, targets: Sequence[str]) -> str:
    """Whom a line is about, as people read it and never very long: ids of alerts and silences mean nothing to them."""
    kind = plan.action.kind
    if kind == "alert":
        alerts = [plan.cluster.alerts[target] for target in targets if target in plan.cluster.alerts]
        nodes = list(dict.fromkeys(alert.node for alert in alerts if alert.node))
        return f"{_few(list(dict.fromkeys(alert.name for alert in alerts)))} {_folded(nodes)}".rstrip()
    if kind == "silence":
        known = [plan.cluster.silences[target] for target in targets if target in plan.cluster.silences]
        return f"silence of {_few(list(dict.fromkeys(one.by or 'unknown' for one in known)))}"
    return _folded(targets) if kind == "node" else listed(targets, kind)


def _folded(nodes: Sequence[str]) -> str:
    # Only the beginning of a large set is folded twice.
    whole = fold(nodes)
    return whole if len(whole) <= _NAMES_CAP else f"{fold(nodes[:4])} and {len(nodes) - 4:,} more"


# -- what was looked at -----------------------------------------------------------------------------------------------


def _checks(plan: Plan) -> list[Fact]:
    """The checks, equal ones of many targets as one, the worst first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for check in plan.checks:
        groups.setdefault((check.level, check.text), []).append(check.target)
    order = sorted(groups.items(), key=lambda group: (_RANK[group[0][0]], -len(group[1])))
    made = [_check(plan, level, words, those) for (level, words), those in order[:CHECKS_SHOWN]]
    left = [level for (level, _), _ in order[CHECKS_SHOWN:]]
    if left:
        kinds = ", ".join(f"{left.count(level)} {LEVELS[level][0][2:]}" for level in LEVELS if level in left)
        made.append(Fact(made[-1].label, f"and {len(left):,} more: {kinds}", made[-1].role))
    return made


def _check(plan: Plan, level: str, words: str, those: Sequence[str]) -> Fact:
    label, role = LEVELS[level]
    about = [target for target in dict.fromkeys(those) if target]
    if not about or len(plan.seen) == 1:
        whom = ""
    elif len(about) == len(plan.seen):
        whom = f"all {len(about):,}: "
    else:
        whom = f"{_names(plan, about)}: "
    return Fact(label, f"{whom}{words}{'; go on?' if level == 'unknown' else ''}", role)


def _share(plan: Plan, share: Share) -> tuple[str, str]:
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


def _jobs(plan: Plan) -> list[Fact]:
    """The jobs it touches, and what becomes of them."""
    # What is written into a node touches no job.
    if plan.action.kind not in {"node", "job"} or (plan.action.value is not None and not plan.kills):
        return []
    label, role = ("kills", "bad") if plan.kills else ("running there", "")
    if plan.jobs is None:
        return [Fact(label, "unknown: the jobs were never read", "warn")]
    if not plan.jobs:
        return [] if plan.action.kind == "job" else [Fact(label, "no job")]
    shown: Sequence[Hit] = plan.jobs if len(plan.jobs) <= JOBS_SHOWN else plan.jobs[: JOBS_SHOWN - 1]
    made = [Fact(label, _hit(job), role) for job in shown]
    if len(shown) < len(plan.jobs):
        made.append(Fact(label, f"and {len(plan.jobs) - len(shown):,} jobs more", role))
    return [*made, Fact(label, _fate(plan), role or "text-dim")]


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


def _hit(job: Hit) -> str:
    nodes = "nodes unknown" if job.node_count is None else f"{job.node_count} node{'s' if job.node_count != 1 else ''}"
    gpus = "GPUs unknown" if job.gpus is None else f"{job.gpus} GPU{'s' if job.gpus != 1 else ''}"
    done = "run time unknown" if job.elapsed_s is None else f"{duration(job.elapsed_s)} done"
    left = "time left unknown" if job.left_s is None else f"{duration(job.left_s)} left"
    return f"{job.id} {job.user} {job.name[:24]}  {nodes}  {gpus}  {done}, {left}"


# -- what comes of it, and what does not ------------------------------------------------------------------------------


def _comes(plan: Plan) -> list[Fact]:
    """How nodes come back, and the priorities that jobs get."""
    if plan.change.resume_after_s is not None:
        after = plan.change.resume_after_s
        return [Fact("comes back", f"by itself after {duration(after)}, at {_moment(plan, after)}")]
    groups: dict[tuple[str, str], list[str]] = {}
    for target, state in plan.change.next_state.items():
        groups.setdefault(_next(plan, target, state), []).append(target)
    made = [Fact("comes back", f"{_names(plan, those)}: {words}", role) for (words, role), those in groups.items()]
    moves: dict[str, list[str]] = {}
    for target, to in plan.change.priorities.items():
        row = plan.seen.get(target)
        was = row.priority if isinstance(row, Job) else None
        moves.setdefault(f"{'unknown' if was is None else count(was)} → {count(to)}", []).append(target)
    made += [Fact("priority", f"{_names(plan, those)}: {move}", "text-strong") for move, those in moves.items()]
    return _most(made + _values(plan))


def _values(plan: Plan) -> list[Fact]:
    """What each target has and gets: `time limit  88121: 1:00:00 → 4:00:00`."""
    value = plan.action.value
    if value is None or foretold.knows(plan.action.id):
        return []
    moves: dict[str, list[str]] = {}
    for target, to in plan.change.values.items():
        row, was = plan.seen[target], "" if plan.action.unseen else f"{_told(value.of(plan.seen[target]))} → "
        whom = f"to {row.user}: " if plan.action.id == "notify" and isinstance(row, Job) else ""
        moves.setdefault(f"{whom}{was}{_told(to)}", []).append(target)
    label = value.word if len(value.word) < LABEL else "becomes"
    return [Fact(label, f"{_names(plan, those)}: {move}", "text-strong") for move, those in moves.items()]


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


def _left_alone(plan: Plan) -> list[Fact]:
    groups: dict[str, list[Skip]] = {}
    for skip in plan.skipped:
        groups.setdefault(skip.why, []).append(skip)
    lines = [f"{_names(plan, [skip.target for skip in those])}: {why}" for why, those in groups.items()]
    if not lines:
        return []
    lines[0] = f"{len(plan.skipped):,} of {len(plan.skipped) + len(plan.seen):,}: {lines[0]}"
    return _most([Fact("left alone", one) for one in lines])


def _reasons(plan: Plan) -> list[Fact]:
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
    return made + _most([Fact("reason", f"{_names(plan, those)}: {words}") for words, those in own.items()])


# -- words ------------------------------------------------------------------------------------------------------------


def _most(made: list[Fact]) -> list[Fact]:
    """Not more of one sort than can be read; what is left out is counted."""
    if len(made) <= GROUPS_SHOWN:
        return made
    shown = made[: GROUPS_SHOWN - 1]
    return [*shown, Fact(shown[-1].label, f"and {len(made) - len(shown):,} more like it", "text-dim")]


def _many(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more


def _moment(plan: Plan, seconds: int) -> str:
    """The moment so many seconds after the plan was made, as far as its facts tell the time."""
    newest: Iterable[float] = (one.read_mono for one in plan.cluster.sources.values() if one.read_mono is not None)
    at = plan.cluster.at + max(0.0, plan.made - max(newest, default=plan.made))
    return _clock(at + seconds)


def _clock(epoch: float) -> str:
    """`2026-11-24 07:12 +01:00 (06:12 UTC)`: people of several time zones read one journal."""
    try:
        at = datetime.fromtimestamp(epoch).astimezone()
    except (OverflowError, OSError, ValueError):
        return UNKNOWN
    utc = at.astimezone(UTC)
    offset = f"{at:%z}"
    return f"{at:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:5]} ({utc:%H:%M} UTC)"
