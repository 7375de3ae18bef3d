"""What the lines of a preview are made of: names, counts and moments as people read them. Pure.

A screen shows as much of a sort as can be read there. Where it is to be `whole`, nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from collectors.nodeset import fold
from console.actions.action import Kind
from console.actions.plan import Plan, listed
from widgets.units import UNKNOWN

#: What a screen shows of each sort.
GROUPS_SHOWN = 6
#: Longer node sets are cut where they only say whom a line is about; "now" names every target.
_NAMES_CAP = 48


class Fact(Struct, frozen=True):
    """One thing to know. `role` is how it is to be painted where there are colours."""

    label: str
    text: str
    role: str = ""


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
