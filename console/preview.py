"""What an action will do, as lines of a given width, before anything is sent. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter

from collectors.model import Node
from collectors.nodeset import fold
from console.plan import Hit, Plan
from widgets.cells import cut
from widgets.pane import Line, line
from widgets.units import count, duration

_MOST_JOBS = 8
_LABEL = 13


def title(plan: Plan) -> str:
    """`Drain gpu[0412-0415]`."""
    return f"{plan.action.label.capitalize()} {folded(plan.change.targets, plan.action.kind)}"


def folded(targets: tuple[str, ...], kind: str) -> str:
    """The targets, short."""
    if kind == "node":
        return fold(targets)
    return ", ".join(targets[:12]) + (f" and {len(targets) - 12:,} more" if len(targets) > 12 else "")


def lines(plan: Plan, cells: int) -> list[Line]:
    """Targets and their states, capacity, jobs hit, what is left alone and why, the exact command; nothing is cut."""
    number = len(plan.change.targets)
    noun = plan.action.kind + ("" if number == 1 else "s")
    states = Counter(row.display if isinstance(row, Node) else row.state.lower() for row in plan.seen.values())
    now = ", ".join(f"{n:,} {word}" for word, n in states.most_common())
    made = [
        Line([(f"{number:,} {noun}", "text-strong"), (f"   {now}", "")]),
        line((f"{plan.action.label}: {plan.action.help}", "text-dim")),
    ]
    for share in plan.shares:
        made += _fact("capacity", str(share), "warn" if share.part > 0.05 else "", cells)
    made += _jobs(plan, cells)
    alone: dict[str, list[str]] = {}
    for skip in plan.skipped:
        alone.setdefault(skip.why, []).append(skip.target)
    for why, targets in alone.items():
        made += _fact("left alone", f"{folded(tuple(targets), plan.action.kind)}: {why}", "text-dim", cells)
    if plan.change.reason:
        made += _fact("reason", plan.change.reason, "text-strong", cells)
    for argv in plan.commands[:3]:
        made += _fact("runs", shlex.join(argv), "accent", cells)
    if len(plan.commands) > 3:
        made += _fact("", f"and {len(plan.commands) - 3} more commands like it", "text-dim", cells)
    return made


def _fact(label: str, text: str, role: str, cells: int) -> list[Line]:
    """A labelled text, on as many lines as it needs."""
    pieces = textwrap.wrap(text, max(20, cells - _LABEL), break_on_hyphens=False) or [""]
    return [
        Line([(f"{label if at == 0 else '':<{_LABEL}}", "text-dim"), (piece, role)]) for at, piece in enumerate(pieces)
    ]


def _jobs(plan: Plan, cells: int) -> list[Line]:
    if plan.jobs is None:
        return _fact("jobs hit", "unknown: the queue was never read", "warn", cells)
    if not plan.jobs:
        none = "none is running there" if plan.action.kind == "node" else "no running work is lost"
        return _fact("jobs hit", none, "", cells)
    label, role = ("kills", "bad") if plan.kills else ("runs there", "text-dim")
    made = [
        Line([(f"{label if at == 0 else '':<{_LABEL}}", role), (_hit(hit, cells - _LABEL), "")])
        for at, hit in enumerate(plan.jobs[:_MOST_JOBS])
    ]
    if len(plan.jobs) > _MOST_JOBS:
        made += _fact("", f"and {len(plan.jobs) - _MOST_JOBS:,} more jobs", "", cells)
    users = len({hit.user for hit in plan.jobs})
    total = f"{len(plan.jobs):,} jobs of {users:,} users" if len(plan.jobs) > 1 else "1 job"
    if plan.kills:
        unsure = any(hit.gpus is None for hit in plan.jobs)
        hours = sum((hit.gpus or 0) * (hit.elapsed_s or 0) for hit in plan.jobs) / 3600
        lost = f"{total}, {'at least ' if unsure else ''}{hours:,.0f} GPU-hours of work"
        return made + _fact("lost", lost, "bad", cells)
    soon = "when is not known" if plan.empty_in_s is None else f"in about {duration(plan.empty_in_s)} at the latest"
    return made + _fact("", f"they go on until they end; the last frees its nodes {soon}", "text-dim", cells)


def _hit(hit: Hit, cells: int) -> str:
    left = "no limit" if hit.left_s is None else f"{duration(hit.left_s)} left"
    done = f"{duration(hit.elapsed_s)} done, {left}"
    if cells < 75:
        return (
            f"{hit.id} {cut(hit.user, 9)} {cut(hit.name, 12)}  {count(hit.node_count)}n {count(hit.gpus)} GPUs  {done}"
        )
    who = f"{hit.id:<10} {cut(hit.user, 10):<10} {cut(hit.name, 18):<18}"
    return f"{who} {count(hit.node_count):>5} nodes {count(hit.gpus):>6} GPUs   {done}"
