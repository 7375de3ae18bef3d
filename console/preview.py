"""What an action will do, before anything is sent: the same facts for the dialog and for `wacht act`. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence

from msgspec import Struct

from console.plan import Hit, Plan, grouped, listed
from console.verify import state_of
from widgets.units import duration

#: Jobs and commands that are listed one by one.
JOBS_SHOWN = 10
COMMANDS_SHOWN = 3
LABEL = 14
#: A partition that loses more of its healthy nodes than this is told of in another colour.
MUCH = 0.05


class Fact(Struct, frozen=True):
    """One thing to know. `role` is how it is to be painted where there are colours."""

    label: str
    text: str
    role: str = ""


def title(plan: Plan) -> str:
    """`Drain gpu[0412-0415] on groningen`: every action names its cluster."""
    label = plan.action.label
    return f"{label[0].upper()}{label[1:]} {listed(plan.change.targets, plan.action.kind)} on {plan.cluster.name}"


def facts(plan: Plan) -> list[Fact]:
    """Targets and their states, capacity, jobs hit, what is left alone and why, the reason, the exact command."""
    kind = plan.action.kind
    states: dict[str, list[str]] = {}
    for target, row in plan.seen.items():
        states.setdefault(state_of(row), []).append(target)
    made = [
        Fact("now", f"{len(them):,} {state}  {listed(them, kind)}", "text-strong") for state, them in states.items()
    ]
    made += [Fact("takes out", str(share), "warn" if share.part > MUCH else "") for share in plan.shares]
    made += _jobs(plan)
    if plan.skipped:
        every = len(plan.skipped) + len(plan.seen)
        told = f"{len(plan.skipped):,} of {every:,}: {grouped(plan.skipped, kind)}"
        made.append(Fact("left alone", told, "text-dim"))
    if plan.change.reason or plan.action.needs_reason:
        made.append(
            Fact("reason", plan.change.reason or "not given yet", "text-strong" if plan.change.reason else "warn")
        )
    made += [Fact("runs", shlex.join(command), "accent") for command in plan.commands[:COMMANDS_SHOWN]]
    if len(plan.commands) > COMMANDS_SHOWN:
        made.append(Fact("runs", f"and {len(plan.commands) - COMMANDS_SHOWN:,} more like it", "text-dim"))
    return made


def rows(plan: Plan, cells: int | None = None) -> list[Fact]:
    """The facts as lines: long texts on several where a width is given, a label only where it changes."""
    made: list[Fact] = []
    before = ""
    for fact in facts(plan):
        room = max(20, (cells or 10_000) - LABEL)
        pieces = [fact.text] if cells is None else textwrap.wrap(fact.text, room, break_on_hyphens=False) or [""]
        for piece in pieces:
            made.append(Fact("" if fact.label == before else fact.label, piece, fact.role))
            before = fact.label
    return made


def text(plan: Plan) -> list[str]:
    """All of it for a terminal without colours. The first line is the title."""
    return [title(plan), *(f"  {fact.label:<{LABEL}}{fact.text}" for fact in rows(plan))]


def _jobs(plan: Plan) -> list[Fact]:
    """The jobs it touches, and what becomes of them."""
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
    if plan.empty_in_s is None:
        return "they go on until they end; when the last will end is unknown"
    return f"they go on until they end; the last frees its nodes within {duration(plan.empty_in_s)}"


def _hit(job: Hit) -> str:
    nodes = "nodes unknown" if job.node_count is None else f"{job.node_count} node{'s' if job.node_count != 1 else ''}"
    gpus = "GPUs unknown" if job.gpus is None else f"{job.gpus} GPU{'s' if job.gpus != 1 else ''}"
    done = "run time unknown" if job.elapsed_s is None else f"{duration(job.elapsed_s)} done"
    left = "time left unknown" if job.left_s is None else f"{duration(job.left_s)} left"
    return f"{job.id} {job.user} {job.name[:24]}  {nodes}  {gpus}  {done}, {left}"
