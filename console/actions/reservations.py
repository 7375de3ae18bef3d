"""Reservations before they are made: what is typed, what is lacking, what stands against one, what proves it. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from collectors.model import Change, Cluster, Job, Node, Reservation
from collectors.nodeset import fold, names_in
from collectors.nodestate import OUT
from collectors.slurm.commands.argv_base import NAME
from collectors.slurm.commands.argv_reservations import EPOCH, FLAGS, LASTS_S, NAMES, moment_of
from console.runtime.durations import FORM, seconds_in

from .action import Action, Row, Together, Value
from .plan import shares_of

#: What each flag does, said aloud before it is asked for.
ALOUD: Mapping[str, str] = {
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
#: Settings as typed (`--name`), and how each is told to be written.
SETTINGS: Mapping[str, str] = {
    "name": "--name maint", "start": "--start now, 22:00 or 2026-11-26T08:00", "users": "--users alice,bob",
    "accounts": "--accounts ml", "flags": f"--flags {','.join(FLAGS[:2])}",
}  # fmt: skip
#: For whom a maintenance is when nobody is named: Slurm wants somebody.
_NOBODY = "root"
#: Slurm takes a beginning that is no older than this.
_LATE_S = 300
_SHIFT = re.compile(rf"([+-]?)({FORM})")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})")
#: Flags that say how Slurm chose the nodes of one: it is made again with these nodes, whatever they were.
_CHOSEN = frozenset({"SPEC_NODES", "ALL_NODES", "PART_NODES", "REPLACE", "REPLACE_DOWN", "ANY_NODES", "STATIC",
                     "STATIC_ALLOC", "FIRST_CORES"})  # fmt: skip


# -- what is typed ----------------------------------------------------------------------------------------------------


def setting(key: str, text: str, now: float | None = None) -> str:
    """One setting of a new reservation as it is kept. Raises ValueError with what would do."""
    said = text.strip()
    if key == "start":
        return said.lower() if said.lower() == "now" else str(moment(said, time.time() if now is None else now))
    if key == "flags":
        flags = [flag.strip().upper() for flag in said.split(",") if flag.strip()]
        unknown = [flag for flag in flags if flag not in FLAGS]
        if unknown or not flags:
            raise ValueError(f"no flag {unknown[0][:40] if unknown else said!r}; there are {', '.join(FLAGS)}")
        return ",".join(dict.fromkeys(flags))
    form = NAME if key == "name" else NAMES
    if not form.fullmatch(said) or said.upper() == "ALL" or len(said) > 1000:
        raise ValueError(f"{text!r} will not do; write {SETTINGS[key]}")
    return said


def moment(text: str, now: float) -> int:
    """`22:00` (the next time it is that late), `2026-11-26T08:00`, `+2h`, or an epoch. Raises ValueError."""
    said = text.strip()
    if EPOCH.fullmatch(said):
        return int(said)
    if (shift := _SHIFT.fullmatch(said.lower())) and shift[1] == "+":
        return int(now) + (seconds_in(shift[2]) or 0)
    try:
        if clock := _CLOCK.fullmatch(said):
            here = datetime.fromtimestamp(now)
            then = here.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return int((then if then > here else then + timedelta(days=1)).timestamp())
        return int(datetime.fromisoformat(said).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no moment; write 22:00, 2026-11-26T08:00 or +2h") from None


# -- another end ------------------------------------------------------------------------------------------------------


def end_of(row: Reservation) -> str | None:
    """When it ends, as it is sent and compared."""
    return None if row.ends is None else moment_of(row.ends)


def end_read(text: str) -> str:
    """`4h` or `+4h` later and `-1h` sooner than it ends now, or a moment. Raises ValueError."""
    shift = _SHIFT.fullmatch(text.strip().lower())
    if shift is None:
        return str(moment(text, time.time()))
    return f"{shift[1] or '+'}{seconds_in(shift[2])}"


def end_of_row(row: Reservation, text: str, now: float) -> str:
    """The end that this one gets. Raises ValueError where it would be over, or have none."""
    if text[:1] in "+-":
        if row.ends is None:
            raise ValueError(f"{row.name}: when it ends is not known")
        ends = row.ends + int(text)
    else:
        ends = int(text)
    if ends <= max(now, row.starts or 0):
        raise ValueError(f"{row.name} would end before it {'began' if (row.starts or 0) > now else 'is sent'};"
                         " unreserve deletes it")  # fmt: skip
    if ends - now > LASTS_S[1]:
        raise ValueError(f"{row.name} would end more than a year from now")
    return moment_of(ends)


# -- a new one --------------------------------------------------------------------------------------------------------


def _begins(settings: Mapping[str, str], now: float) -> float:
    return now if settings.get("start", "now") == "now" else int(settings["start"])


def lacks(cluster: Cluster, targets: Sequence[str], options: Any, now: float) -> str | None:
    """Why a reservation of these nodes would not be made as it was said."""
    said, seconds = options.settings, options.seconds
    if "name" not in said:
        return f"a reservation needs a name: {SETTINGS['name']}"
    if seconds is None:
        return "how long it lasts is not said: --for 4h"
    if not LASTS_S[0] <= seconds <= LASTS_S[1]:
        return "a reservation lasts from a minute to a year"
    flags = frozenset(said.get("flags", "").split(","))
    if "users" not in said and "accounts" not in said and "MAINT" not in flags:
        return f"for whom it is, is not said: {SETTINGS['users']} or {SETTINGS['accounts']}"
    if said["name"] in cluster.reservations:
        return f"there is a reservation {said['name']} already: extend or unreserve it, or take another name"
    begins = _begins(said, now)
    if begins < now - _LATE_S:
        return "it would begin in the past: --start now"
    ends = begins + seconds
    if flags.isdisjoint({"MAINT", "OVERLAP"}):
        for other in overlaps(cluster, targets, begins, ends):
            return f"Slurm would refuse: {other.name} has some of them then; --flags OVERLAP or MAINT goes over it"
    crossing = crosses(cluster, targets, begins, now)
    if crossing and "IGNORE_JOBS" not in flags:
        few = ", ".join(job.id for job in crossing[:3]) + (" …" if len(crossing) > 3 else "")
        jobs = f"{len(crossing):,} job{'s run' if len(crossing) > 1 else ' runs'}"
        return f"Slurm would refuse: {jobs} past its start ({few}); --flags IGNORE_JOBS lets them go on inside it"
    return None


def overlaps(cluster: Cluster, targets: Sequence[str], begins: float, ends: float) -> list[Reservation]:
    """Reservations that have one of these nodes at that time, but for those that may lie over others."""
    wanted = frozenset(targets)
    return [
        one for one in cluster.reservations.values()
        if (one.starts or 0) < ends and (one.ends is None or one.ends > begins)
        and {"MAINT", "OVERLAP"}.isdisjoint(one.flags) and not wanted.isdisjoint(names_in(one.nodes))
    ]  # fmt: skip


def crosses(cluster: Cluster, targets: Sequence[str], begins: float, now: float) -> list[Job]:
    """Jobs that run on these nodes and may do so past that moment, as far as their time limits tell."""
    ids = dict.fromkeys(job for node in targets for job in cluster.jobs_on.get(node, ()))
    jobs = [cluster.jobs[one] for one in ids if one in cluster.jobs]
    return [job for job in jobs if (left := job.left_s(now)) is None or now + left > begins]


def aside(action: Action, rows: Mapping[str, Row], given: Mapping[str, str], cluster: Cluster) -> tuple[str, ...]:
    """The nodes that this keeps from others: those of a new reservation, or of one that is to end later."""
    if action.together is TOGETHER:
        return tuple(rows)
    later = (
        row for target, row in rows.items()
        if action.id == "extend" and isinstance(row, Reservation) and given[target] > (end_of(row) or "")
    )  # fmt: skip
    return tuple(dict.fromkeys(name for row in later for name in names_in(row.nodes) if name in cluster.nodes))


def glass(cluster: Cluster, targets: Sequence[str], _: Any) -> tuple[str, str] | None:
    """The word to be typed, and why, where all that serves of the machine or of a partition would be set aside, however
    small it is; what is out of service serves nobody."""
    wanted = frozenset(targets)
    serving = [name for name, node in cluster.nodes.items() if node.display not in OUT]
    if wanted.issuperset(serving or cluster.nodes):
        return cluster.name, "it sets every node in service of the machine aside"
    whole = [one for one in shares_of(targets, cluster) if one.healthy and one.newly_out == one.healthy]
    if not whole:
        return None
    largest = max(whole, key=lambda one: one.healthy)
    return largest.partition, f"it sets every node in service of {', '.join(one.partition for one in whole)} aside"


def spell(change: Change, options: Any, why: str | None) -> Change:
    """The change in full: what is said of the reservation, its name at every node, and the reason as its comment."""
    said = {key: options.settings[key] for key in (*SETTINGS,) if key in options.settings}
    said = {"start": "now", **said, "for": str(options.seconds)}
    if "users" not in said and "accounts" not in said:
        said["users"] = _NOBODY
    values = dict.fromkeys(change.targets, said["name"])
    return msgspec.structs.replace(change, settings=said, values=values, reason=why)


def shows(cluster: Cluster, target: str, name: str) -> bool:
    """Whether the reservation of that name stands, with this node in it."""
    one = cluster.reservations.get(name)
    return one is not None and target in names_in(one.nodes)


TOGETHER = Together(kind="reservation", lacks=lacks, glass=glass, spell=spell, shows=shows)


def again(row: Reservation, now: float) -> tuple[tuple[str, ...], dict[str, str], int, list[str]] | str:
    """What makes a deleted one anew: nodes, settings, seconds, and what does not come back; or why nothing does."""
    if row.ends is not None and row.ends - now < LASTS_S[0]:
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
    # `-bob` is everybody but bob: without that word it would be open to him.
    if not whom or not all(NAMES.fullmatch(text) for text in whom.values()):
        return "for whom it was cannot be said again"
    flags = [flag for flag in row.flags if flag in FLAGS]
    if flags:
        said["flags"] = ",".join(flags)
    lost = [flag for flag in row.flags if flag not in FLAGS and flag not in _CHOSEN]
    notes = [f"it comes back without its flag{'s' if len(lost) > 1 else ''} {', '.join(lost)}"] if lost else []
    others = [f"{word} {text}" for word, text in (("groups", row.groups), ("licenses", row.licenses),
                                                  ("features", row.features),
                                                  ("partition", row.partition)) if text]  # fmt: skip
    notes += [f"it comes back without its {other}" for other in others]
    notes.append(f"its nodes are {fold(nodes)}")
    return nodes, said, int(row.ends - begins), notes


# -- the actions ------------------------------------------------------------------------------------------------------


def _reserve(_: Cluster, node: Node) -> str | None:
    return "Slurm knows it as FUTURE: there is nothing to set aside" if node.state == "FUTURE" else None


def _never_refused(_: Cluster, __: Reservation) -> str | None:
    return None


def _extend(_: Cluster, row: Reservation) -> str | None:
    return "when it ends is not known" if row.ends is None else None


def _gone(_: Any, after: Reservation | None) -> bool | None:
    return after is None


ROWS: tuple[Action, ...] = (
    Action(
        id="reserve", key="", kind="node", label="reserve", doing="reserving…", done="reserved", refuse=_reserve,
        asks=("seconds",), together=TOGETHER, inverse="unreserve",
        typed="--name  --start now --for 4h --users ",
        help="set nodes aside: --name, --start, --for, --users or --accounts, --flags; all of them or none",
    ),
    Action(
        id="extend", key="", kind="reservation", label="extend", doing="changing…", done="changed", refuse=_extend,
        inverse="extend", help="let a reservation end later (4h), sooner (-1h) or at a moment (22:00)",
        value=Value(
            word="closing time", like="4h is so much later, -1h so much sooner, 22:00 or 2026-11-26T08:00 that moment",
            read=end_read, of=end_of, whole=end_of_row,
        ),
    ),
    Action(
        id="unreserve", key="", kind="reservation", label="unreserve", doing="deleting…", done="deleted",
        refuse=_never_refused, inverse="reserve", proof=_gone,
        help="delete a reservation: its nodes are everybody's again; Slurm refuses while a job asks for it",
    ),
)  # fmt: skip
