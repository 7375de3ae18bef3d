"""Which silences keep exactly the named alerts quiet, who has taken an alert, and what a silence meets.

A silence is made for what is known now and nothing else: the same failure on another node must ring again. Alerts are
put together only where the silence meets no combination of labels that nobody named, and each one is proven against
all alerts that are known before it is handed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from collectors.matchers import meets, one_of
from collectors.model import Alert, Matcher, NewSilence, Silence

#: Labels that say where something is. They differ together: what one node's say decides all of them.
PLACES = frozenset({"node", "Hostname", "hostname", "instance", "host", "nodename", "exported_instance", "rack", "pdu",
                    "switch", "row", "chassis", "address"})  # fmt: skip
#: Longest expression of a silence in characters: more is more than one silence.
LONGEST = 4000


class _Group(Struct, frozen=True, eq=False):
    """Alerts that one silence may hold. `parts` are the groups it was made of; none where it was made of alerts."""

    alerts: tuple[Alert, ...]
    parts: tuple[_Group, ...] = ()

    @property
    def values(self) -> dict[str, frozenset[str]]:
        """Label to all its values here; every alert of a group has the same labels."""
        names = _labels(self.alerts[0])
        return {name: frozenset(alert.labels[name] for alert in self.alerts) for name in names}

    def split(self) -> tuple[_Group, ...]:
        """The same in smaller groups."""
        half = len(self.alerts) // 2
        return self.parts or (_Group(self.alerts[:half]), _Group(self.alerts[half:]))


def build(
    alerts: Sequence[Alert], known: Mapping[str, Alert], *, seconds: int, by: str, comment: str
) -> tuple[NewSilence, ...]:
    """Few silences that meet all these alerts and no other that is known.

    Raises ValueError for an alert that its labels do not tell from another one that was not named.
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
            raise ValueError(f"{alert.name}: its labels do not tell it from another alert that was not named")
        if matchers is None or (len(group.alerts) > 1 and any(len(one.value) > LONGEST for one in matchers)):
            todo += group.split()[::-1]
            continue
        ids = tuple(alert.id for alert in group.alerts)
        found.append(NewSilence(alerts=ids, matchers=matchers, seconds=seconds, by=by, comment=comment))
    return tuple(found)


def match(silence: Silence, alert: Alert) -> bool:
    """Whether a silence meets an alert. For an expression that lists no plain words only Alertmanager can tell."""
    met = meets(silence.matchers, alert.labels)
    return silence.id in alert.silenced_by if met is None else met


def taker(silences: Mapping[str, Silence], alert: Alert) -> Silence | None:
    """The silence of whoever is on it, the one that lasts longest; None where nobody has taken the alert."""
    held = (silences[one] for one in alert.silenced_by if one in silences)
    taken = [one for one in held if one.taken and one.state == "active"]
    return max(taken, key=lambda one: (one.ends or 0, one.id), default=None)


def _labels(alert: Alert) -> list[str]:
    """The labels that can stand in a matcher: one without a value is not there, one cleaned has another name there."""
    return sorted(name for name, value in alert.labels.items() if value and "\\" not in name)


def _exact(group: _Group, others: Iterable[Alert]) -> tuple[Matcher, ...] | None:
    """Matchers that meet the group and none of the others, None where there are none."""
    values = group.values
    if not values:
        return None
    matchers = tuple(one_of(name, values[name]) for name in values)
    strays = [other for other in others if meets(matchers, other.labels)]
    if strays:
        # They have labels more: a label that is not there has the empty value.
        more = {name for other in strays for name in _labels(other)} - set(values)
        matchers += tuple(Matcher(name, "") for name in sorted(more))
        if any(meets(matchers, other.labels) for other in strays):
            return None
    return matchers


def _grouped(alerts: Iterable[Alert]) -> list[_Group]:
    """The largest groups whose labels' values, freely combined, are alerts that were named."""
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
    """Alerts that differ in their places alone: one group, where one of these labels is each alert's own."""
    places = [name for name in _labels(alerts[0]) if name in PLACES]
    if any(len({alert.labels[name] for alert in alerts}) == len(alerts) for name in places):
        return [_Group(tuple(alerts))]
    return [_Group((alert,)) for alert in alerts]


def _joined(groups: list[_Group], name: str) -> list[_Group]:
    """Groups that differ in this one label alone, made one."""
    alike: dict[object, list[_Group]] = {}
    for group in groups:
        values = group.values
        rest = tuple((other, values[other]) for other in values if other != name)
        alike.setdefault((rest, name in values), []).append(group)
    return [
        some[0] if len(some) == 1 else _Group(tuple(one for group in some for one in group.alerts), tuple(some))
        for some in alike.values()
    ]
