"""Builds silences for exactly the named alerts, finds who took an alert, and matches silences to alerts.

A silence covers only what is known now: the same failure on another node must still notify. Alerts share a silence only
where it matches no combination of labels that was not named, and each silence is checked against all known alerts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.matchers import meets, one_of
from collectors.model import Alert, Matcher, NewSilence, Silence

#: Labels of a location. They vary together: the label that identifies one node determines the others.
PLACES = frozenset({"node", "Hostname", "hostname", "instance", "host", "nodename", "exported_instance", "rack", "pdu",
                    "switch", "row", "chassis", "address"})  # fmt: skip
#: Longest expression (characters) in a silence; a longer one is split into several silences.
LONGEST = 4000


class _Group(Struct, frozen=True, eq=False):
    """Alerts that one silence may cover. `parts` are the groups that it was joined from; empty if made from alerts."""

    alerts: tuple[Alert, ...]
    parts: tuple[_Group, ...] = ()

    @property
    def values(self) -> dict[str, frozenset[str]]:
        """Label to all its values in the group; every alert of a group has the same labels."""
        names = _labels(self.alerts[0])
        return {name: frozenset(alert.labels[name] for alert in self.alerts) for name in names}

    def split(self) -> tuple[_Group, ...]:
        """The group split into smaller groups."""
        half = len(self.alerts) // 2
        return self.parts or (_Group(self.alerts[:half]), _Group(self.alerts[half:]))


def build(
    alerts: Sequence[Alert], known: Mapping[str, Alert], *, seconds: int, by: str, comment: str
) -> tuple[NewSilence, ...]:
    """A few silences that match all these alerts and no other known alert.

    Raises ValueError for an alert whose labels do not distinguish it from an alert that was not named.
    """
    named = {alert.id: alert for alert in alerts}
    others: dict[str, list[Alert]] = {}
    for alert in known.values():
        if alert.id not in named:
            others.setdefault(alert.labels.get("alertname", ""), []).append(alert)
    found: list[NewSilence] = []
    todo = _grouped(named.values())[::-1]
    while todo:
        group = todo.pop()
        matchers = _exact(group, others.get(group.alerts[0].labels.get("alertname", ""), ()))
        if matchers is None and len(group.alerts) == 1:
            alert = group.alerts[0]
            raise ValueError(f"{alert.name}: its labels do not distinguish it from another alert that was not named")
        if matchers is None or (len(group.alerts) > 1 and any(len(one.value) > LONGEST for one in matchers)):
            todo += group.split()[::-1]
            continue
        ids = tuple(alert.id for alert in group.alerts)
        found.append(NewSilence(alerts=ids, matchers=matchers, seconds=seconds, by=by, comment=comment))
    return tuple(found)


def match(silence: Silence, alert: Alert) -> bool:
    """Whether a silence matches an alert. For an expression that is not a list of plain words, Alertmanager's own
    answer counts."""
    met = meets(silence.matchers, alert.labels)
    return silence.id in alert.silenced_by if met is None else met


def taker(silences: Mapping[str, Silence], alert: Alert) -> Silence | None:
    """The active "I'm on it" silence of an alert that lasts longest; None where no person has taken the alert."""
    held = (silences[one] for one in alert.silenced_by if one in silences)
    taken = [one for one in held if one.taken and one.state == "active"]
    return max(taken, key=lambda one: (one.ends or 0, one.id), default=None)


def _labels(alert: Alert) -> list[str]:
    """The labels that can be matched, sorted: those with a value whose name was not changed by cleaning."""
    return sorted(name for name, value in alert.labels.items() if value and "\\" not in name)


def _exact(group: _Group, others: Iterable[Alert]) -> tuple[Matcher, ...] | None:
    """Matchers that match the group and none of the others; None where no such matchers exist."""
    values = group.values
    if not values:
        return None
    matchers = tuple(one_of(name, values[name]) for name in values)
    strays = [other for other in others if meets(matchers, other.labels)]
    if strays:
        # Other alerts with additional labels: a missing label equals the empty value.
        more = {name for other in strays for name in _labels(other)} - set(values)
        matchers += tuple(Matcher(name, "") for name in sorted(more))
        if any(meets(matchers, other.labels) for other in strays):
            return None
    return matchers


def _grouped(alerts: Iterable[Alert]) -> list[_Group]:
    """The largest groups in which every combination of label values is a named alert."""
    alike: dict[object, list[Alert]] = {}
    for alert in alerts:
        names = _labels(alert)
        rest = tuple((name, alert.labels[name]) for name in names if name not in PLACES)
        alike.setdefault((rest, tuple(name for name in names if name in PLACES)), []).append(alert)
    groups = [group for some in alike.values() for group in _by_place(some)]
    every = {name for group in groups for name in group.values}
    for name in sorted(every - PLACES - {"alertname"}):
        groups = _joined(groups, name)
    return groups


def _by_place(alerts: list[Alert]) -> list[_Group]:
    """Group alerts that differ only in location labels: one group if one such label is unique to each alert."""
    places = [name for name in _labels(alerts[0]) if name in PLACES]
    if any(len({alert.labels[name] for alert in alerts}) == len(alerts) for name in places):
        return [_Group(tuple(alerts))]
    return [_Group((alert,)) for alert in alerts]


def _joined(groups: list[_Group], name: str) -> list[_Group]:
    """Join groups that differ only in this label."""
    alike: dict[object, list[_Group]] = {}
    for group in groups:
        values = group.values
        rest = tuple((other, values[other]) for other in values if other != name)
        alike.setdefault((rest, name in values), []).append(group)
    return [
        some[0] if len(some) == 1 else _Group(tuple(one for group in some for one in group.alerts), tuple(some))
        for some in alike.values()
    ]
