"""Alerts of a cooling loop, and of the racks that hang on it, as one line. Pure.

A loop feeds many racks, so much happens on it that it has nothing to do with: only alerts that speak of heat, or of
what comes of it, may be its own. It takes the racks' alerts when it is ill itself, or when most of its racks are hot at
one time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

from collectors.model import Alert
from console.health.failure_domains import GAP_S, LOOP, TOGETHER, Place

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
#: Words in the names of alerts that speak of heat, or of the coolant; and of what comes of it.
_HEAT = frozenset({
    "hot", "heat", "heating", "overheat", "overheated", "overheating", "temp", "temperature", "thermal", "thermals",
    "inlet", "cooling", "coolant", "cdu", "leak", "leakage", "leaking", "chiller", "flow", "supply", "warm",
})  # fmt: skip
_AFTER = frozenset({"down", "slowdown", "throttle", "throttled", "throttling", "unreachable", "shutdown", "off"})
#: What makes another thing of it: a memory leak, the power supply.
_NOT = frozenset({
    "memory", "mem", "power", "psu", "pdu", "ups", "voltage", "fan", "disk", "traffic", "network", "link", "links",
    "switch", "port", "ib", "infiniband",
})  # fmt: skip


class FoldableAlert(Protocol):
    """What is needed of `console.alerts.folds.AlertFacts`."""

    @property
    def alert(self) -> Alert: ...
    @property
    def thing(self) -> str: ...
    @property
    def at(self) -> float: ...


T = TypeVar("T", bound=FoldableAlert)


@lru_cache(maxsize=4096)
def _words(name: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(name))


def speaks_of_heat(name: str) -> bool:
    """Whether an alert of that name is about heat or the coolant."""
    words = _words(name)
    return bool(words & _HEAT) and not words & _NOT


def follows(name: str) -> bool:
    """Whether it is that, or may come of it: `GpuHot`, `HwThermalSlowdown`, `NodeDown`."""
    words = _words(name)
    return bool(words & (_HEAT | _AFTER)) and not words & _NOT


def of_the_hot(told: Sequence[T]) -> list[T]:
    """Those about things that are hot; none where too few are."""
    hot = {one.thing for one in told if speaks_of_heat(one.alert.name)}
    return [one for one in told if one.thing in hot] if len(hot) >= TOGETHER else []


def fold_racks(
    found: dict[Place, list[T]], hints: Mapping[Place, Sequence[T]], racks: Mapping[str, Sequence[str]]
) -> None:
    """Put into each loop's alerts those of its racks that come of it. `hints` are the alerts about places."""
    for loop, fed in racks.items():
        own = found.get((LOOP, loop), [])
        hot = [place for rack in fed if (place := ("rack", rack)) in found and _mostly(found[place])]
        heat = [place for place in hot if any(speaks_of_heat(one.alert.name) for one in found[place])]
        if (LOOP, loop) in hints:
            begins = min(one.at for one in hints[LOOP, loop])
            taken = [place for place in hot if _first(found[place]) >= begins - GAP_S]
        elif own:
            begins = _first(own)
            taken = [place for place in heat if abs(_first(found[place]) - begins) <= GAP_S]
        else:
            taken = _at_once(heat, found) if 2 * len(heat) > len(fed) else []
            taken = taken if len(taken) > 1 and 2 * len(taken) > len(fed) else []
        for place in taken:
            found.setdefault((LOOP, loop), []).extend(found.pop(place))


def _mostly(told: Sequence[FoldableAlert]) -> bool:
    return 2 * sum(follows(one.alert.name) for one in told) > len(told)


def _first(told: Sequence[FoldableAlert]) -> float:
    return min(one.at for one in told)


def _at_once(places: Sequence[Place], found: Mapping[Place, Sequence[T]]) -> list[Place]:
    """The most of these that began within GAP_S of the one before."""
    ordered = sorted(places, key=lambda place: _first(found[place]))
    bursts: list[list[Place]] = []
    for place in ordered:
        if not bursts or _first(found[place]) - _first(found[bursts[-1][-1]]) > GAP_S:
            bursts.append([])
        bursts[-1].append(place)
    return max(bursts, key=len, default=[])
