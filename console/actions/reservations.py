"""New and changed reservations: parses their settings, checks them, and verifies them. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from collectors.model import Change, Cluster, Job, Reservation, Row
from collectors.nodeset import fold, names_in
from collectors.nodestate import UNAVAILABLE
from collectors.slurm.operations import (
    MOMENT,
    NAME,
    RESERVATION_FLAGS,
    RESERVATION_OWNERS,
    RESERVATION_S,
    epoch_of,
    moment_of,
)
from console.runtime.slurm_times import FORM, parse_moment, seconds_in

from .action import ChangeInputs, Creation
from .plan import partition_shares

#: Each flag to its effect, as shown before it is confirmed.
FLAG_TEXTS: Mapping[str, str] = {
    "MAINT": "a maintenance: the nodes show it, and it may lie over other reservations",
    "IGNORE_JOBS": "jobs that run there are ignored: they go on inside it until they end",
    "OVERLAP": "it may lie over other reservations",
    "FLEX": "its jobs may begin before it and go on after it",
    "MAGNETIC": "it draws in the jobs of those it is for, asked or not",
    "DAILY": "it comes again every day",
    "WEEKLY": "it comes again every week",
    "WEEKDAY": "it comes again every working day",
    "WEEKEND": "it comes again every weekend",
}
#: Settings as typed (`--name`), each with an example.
SETTINGS: Mapping[str, str] = {
    "name": "--name maint", "start": "--start now, now+1h, tomorrow, 22:00 or 2026-11-26T08:00",
    "users": "--users alice,bob",
    "accounts": "--accounts ml", "flags": f"--flags {','.join(RESERVATION_FLAGS[:2])}",
}  # fmt: skip
#: The user of a maintenance when none is given: Slurm requires one.
_NOBODY = "root"
#: Longest time (seconds) in the past that Slurm accepts for a start.
_LATE_S = 300
_SHIFT = re.compile(rf"([+-]?)({FORM})")
#: Flags that record how Slurm chose the nodes. A recreated reservation names the same nodes instead.
_CHOSEN = frozenset({"SPEC_NODES", "ALL_NODES", "PART_NODES", "REPLACE", "REPLACE_DOWN", "ANY_NODES", "STATIC",
                     "STATIC_ALLOC", "FIRST_CORES"})  # fmt: skip


# -- what is typed ----------------------------------------------------------------------------------------------------


def parse_setting(key: str, text: str, now: float | None = None) -> str:
    """One setting of a new reservation in the form that is kept. Raises ValueError with valid examples."""
    said = text.strip()
    if key == "start":
        return said.lower() if said.lower() == "now" else str(parse_moment(said, time.time() if now is None else now))
    if key == "flags":
        flags = [flag.strip().upper() for flag in said.split(",") if flag.strip()]
        unknown = [flag for flag in flags if flag not in RESERVATION_FLAGS]
        if unknown or not flags:
            raise ValueError(
                f"no flag {unknown[0][:40] if unknown else said!r}; there are {', '.join(RESERVATION_FLAGS)}"
            )
        return ",".join(dict.fromkeys(flags))
    form = NAME if key == "name" else RESERVATION_OWNERS
    if not form.fullmatch(said) or said.upper() == "ALL" or len(said) > 1000:
        raise ValueError(f"{text!r} will not do; write {SETTINGS[key]}")
    return said


# -- another end ------------------------------------------------------------------------------------------------------


def end_of(row: Reservation) -> str | None:
    """Its end as it is sent and compared; None where it has none."""
    return None if row.ends is None else moment_of(row.ends)


def parse_end(text: str) -> str:
    """`4h` or `+4h` (later than its end), `-1h` (sooner) or a time, in the form for `new_end`. Raises ValueError."""
    shift = _SHIFT.fullmatch(text.strip().lower())
    if shift is None:
        if text.strip()[:1] in {"+", "-"}:
            raise ValueError(f"{text!r} is no length of time; write +4h, -1h or +1d12h")
        return str(parse_moment(text, time.time()))
    return f"{shift[1] or '+'}{seconds_in(shift[2])}"


def new_end(row: Reservation, text: str, now: float) -> str:
    """The new end. Raises ValueError where its end is unknown, or the new one is past or more than a year away."""
    if text[:1] in "+-":
        if row.ends is None:
            raise ValueError(f"{row.name}: when it ends is not known")
        ends = row.ends + int(text)
    else:
        ends = int(text)
    if ends <= max(now, row.starts or 0):
        raise ValueError(f"{row.name} would end before it {'began' if (row.starts or 0) > now else 'is sent'};"
                         " unreserve deletes it")  # fmt: skip
    if ends - now > RESERVATION_S[1]:
        raise ValueError(f"{row.name} would end more than a year from now")
    return moment_of(ends)


# -- a new one --------------------------------------------------------------------------------------------------------


def _begins(settings: Mapping[str, str], now: float) -> float:
    return now if settings.get("start", "now") == "now" else int(settings["start"])


def invalid(cluster: Cluster, targets: Sequence[str], options: Any, now: float) -> str | None:
    """Why a reservation of these nodes cannot be made with these options; None where it can."""
    said, seconds = options.settings, options.seconds
    if "name" not in said:
        return f"a reservation needs a name: {SETTINGS['name']}"
    if seconds is None:
        return "how long it lasts is not said: --for 4h"
    if not RESERVATION_S[0] <= seconds <= RESERVATION_S[1]:
        return "a reservation lasts from a minute to a year"
    flags = frozenset(said.get("flags", "").split(","))
    if "users" not in said and "accounts" not in said and "MAINT" not in flags:
        return f"no users or accounts are given: {SETTINGS['users']} or {SETTINGS['accounts']}"
    if said["name"] in cluster.reservations:
        return f"there is a reservation {said['name']} already: extend or unreserve it, or take another name"
    begins = _begins(said, now)
    if begins < now - _LATE_S:
        return "it would begin in the past: --start now"
    ends = begins + seconds
    if flags.isdisjoint({"MAINT", "OVERLAP"}):
        for other in overlapping(cluster, targets, begins, ends):
            return f"Slurm would refuse: {other.name} has some of them then; --flags OVERLAP or MAINT goes over it"
    crossing = crossing_jobs(cluster, targets, begins, now)
    if crossing and "IGNORE_JOBS" not in flags:
        few = ", ".join(job.id for job in crossing[:3]) + (" …" if len(crossing) > 3 else "")
        jobs = f"{len(crossing):,} job{'s run' if len(crossing) > 1 else ' runs'}"
        return f"Slurm would refuse: {jobs} past its start ({few}); --flags IGNORE_JOBS lets them go on inside it"
    return None


def overlapping(cluster: Cluster, targets: Sequence[str], begins: float, ends: float) -> list[Reservation]:
    """Reservations that include one of these nodes in that period, except those that may overlap others."""
    wanted = frozenset(targets)
    return [
        one for one in cluster.reservations.values()
        if (one.starts or 0) < ends and (one.ends is None or one.ends > begins)
        and {"MAINT", "OVERLAP"}.isdisjoint(one.flags) and not wanted.isdisjoint(names_in(one.nodes))
    ]  # fmt: skip


def crossing_jobs(cluster: Cluster, targets: Sequence[str], begins: float, now: float) -> list[Job]:
    """Jobs that run on these nodes and may run past that time, judged by their time limits."""
    ids = dict.fromkeys(job for node in targets for job in cluster.jobs_on.get(node, ()))
    jobs = [cluster.jobs[one] for one in ids if one in cluster.jobs]
    return [job for job in jobs if (left := job.left_s(now)) is None or now + left > begins]


def all_withheld(rows: Mapping[str, Row], _: Mapping[str, str], __: Cluster) -> tuple[str, ...]:
    """The nodes that a new reservation withholds from other users: all its nodes."""
    return tuple(rows)


def later_withheld(rows: Mapping[str, Row], ends: Mapping[str, str], cluster: Cluster) -> tuple[str, ...]:
    """The nodes that reservations withhold longer, of those whose end is moved later."""
    later = (row for target, row in rows.items() if isinstance(row, Reservation) and ends[target] > (end_of(row) or ""))
    return tuple(dict.fromkeys(name for row in later for name in names_in(row.nodes) if name in cluster.nodes))


def ends_sooner(row: Reservation, end: str) -> bool:
    """Whether it would end earlier: Slurm kills the jobs that run in it then (ResvOverRun)."""
    return end < (end_of(row) or "")


def not_restorable(end: str, now: float) -> str | None:
    """Why an old end cannot be put back; None where it can. Slurm would end it at once, with the jobs in it."""
    soon = not MOMENT.fullmatch(end) or epoch_of(end) - now < RESERVATION_S[0]
    return f"the end that it had is over: {end}" if soon else None


def break_glass(cluster: Cluster, targets: Sequence[str], _: Any) -> tuple[str, str] | None:
    """The word to type and why, if all usable nodes of the machine or of a partition would be reserved, however few;
    else None."""
    wanted = frozenset(targets)
    serving = [name for name, node in cluster.nodes.items() if node.display not in UNAVAILABLE]
    if wanted.issuperset(serving or cluster.nodes):
        return cluster.name, "it sets every node in service of the machine aside"
    whole = [one for one in partition_shares(targets, cluster) if one.healthy and one.newly_out == one.healthy]
    if not whole:
        return None
    largest = max(whole, key=lambda one: one.healthy)
    return largest.partition, f"it sets every node in service of {', '.join(one.partition for one in whole)} aside"


def complete_change(change: Change, given: ChangeInputs) -> Change:
    """The complete Change: the settings of the reservation, its name at every node, and the reason as its comment."""
    options = given.options
    said = {key: options.settings[key] for key in (*SETTINGS,) if key in options.settings}
    said = {"start": "now", **said, "for": str(options.seconds)}
    if "users" not in said and "accounts" not in said:
        said["users"] = _NOBODY
    values = dict.fromkeys(change.targets, said["name"])
    return msgspec.structs.replace(change, settings=said, values=values, reason=given.typed_reason)


def exists(cluster: Cluster, target: str, name: str) -> bool:
    """Whether the reservation of that name exists and includes this node."""
    one = cluster.reservations.get(name)
    return one is not None and target in names_in(one.nodes)


CREATION = Creation(kind="reservation", invalid=invalid, break_glass=break_glass, exists=exists)


def recreate(row: Reservation, now: float) -> tuple[tuple[str, ...], dict[str, str], int, list[str]] | str:
    """What recreates a deleted one: nodes, settings, duration (seconds) and what is lost; or why it cannot be
    recreated."""
    if row.ends is not None and row.ends - now < RESERVATION_S[0]:
        return "it would have ended by now"
    if row.ends is None or row.starts is None:
        return "when it was is not known"
    nodes = names_in(row.nodes)
    if not nodes or any(name.upper() == "ALL" for name in nodes):
        return "which nodes it had is not known"
    begins = max(float(row.starts), now)
    said = {"name": row.name, "start": "now" if row.starts <= now else str(row.starts)}
    whom = {key: text for key, text in (("users", row.users), ("accounts", row.accounts)) if text}
    said |= whom
    # `-bob` means everyone but bob; without the sign it would admit only bob.
    if not whom or not all(RESERVATION_OWNERS.fullmatch(text) for text in whom.values()):
        return "its users cannot be set again"
    flags = [flag for flag in row.flags if flag in RESERVATION_FLAGS]
    if flags:
        said["flags"] = ",".join(flags)
    lost = [flag for flag in row.flags if flag not in RESERVATION_FLAGS and flag not in _CHOSEN]
    notes = [f"it comes back without its flag{'s' if len(lost) > 1 else ''} {', '.join(lost)}"] if lost else []
    others = [f"{word} {text}" for word, text in (("groups", row.groups), ("licenses", row.licenses),
                                                  ("features", row.features),
                                                  ("partition", row.partition)) if text]  # fmt: skip
    notes += [f"it comes back without its {other}" for other in others]
    notes.append(f"its nodes are {fold(nodes)}")
    return nodes, said, int(row.ends - begins), notes
