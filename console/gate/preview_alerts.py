"""What is shown of alerts and silences before they are taken, silenced or lifted. Pure."""

from __future__ import annotations

from collectors.model import Alert, Silence
from collectors.nodeset import fold
from console.actions.plan import Plan
from widgets.units import duration

from .preview_parts import GROUPS_SHOWN, Fact, clock, few, many, moment, most


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
