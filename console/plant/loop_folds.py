"""Folds the alerts of a cooling loop and of its racks into one. Pure.

A loop serves many racks, so most alerts there have other causes: only alerts about heat or its effects may belong to
it. It takes the alerts of its racks when it has an alert of its own, or when most of its racks are hot at one time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol, TypeVar

from collectors.model import Alert
from console.health.failure_domains import GAP_S, LOOP, MIN_TOGETHER, Place

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
#: Words in alert names that mean heat or coolant, and words that mean effects of heat.
_HEAT = frozenset({
    "hot", "heat", "heating", "overheat", "overheated", "overheating", "temp", "temperature", "thermal", "thermals",
    "inlet", "cooling", "coolant", "cdu", "leak", "leakage", "leaking", "chiller", "flow", "supply", "warm",
})  # fmt: skip
_HEAT_EFFECTS = frozenset({"down", "slowdown", "throttle", "throttled", "throttling", "unreachable", "shutdown", "off"})
#: Words that give them another meaning: a memory leak, a power supply.
_OTHER_SUBJECTS = frozenset({
    "memory", "mem", "power", "psu", "pdu", "ups", "voltage", "fan", "disk", "traffic", "network", "link", "links",
    "switch", "port", "ib", "infiniband",
})  # fmt: skip


class FoldableAlert(Protocol):
    """The attributes of `console.alerts.folds.AlertFacts` that are needed here."""

    @property
    def alert(self) -> Alert: ...
    @property
    def host(self) -> str: ...
    @property
    def at(self) -> float: ...


T = TypeVar("T", bound=FoldableAlert)


@lru_cache(maxsize=4096)
def _name_words(name: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(name))


def is_about_heat(name: str) -> bool:
    """Whether an alert of that name is about heat or the coolant."""
    words = _name_words(name)
    return bool(words & _HEAT) and not words & _OTHER_SUBJECTS


def may_follow_heat(name: str) -> bool:
    """Whether it is about heat or may be an effect of it: `GpuHot`, `HwThermalSlowdown`, `NodeDown`."""
    words = _name_words(name)
    return bool(words & (_HEAT | _HEAT_EFFECTS)) and not words & _OTHER_SUBJECTS


def on_hot_hosts(told: Sequence[T]) -> list[T]:
    """The alerts of hosts that are hot; none where fewer than MIN_TOGETHER are."""
    hot = {one.host for one in told if is_about_heat(one.alert.name)}
    return [one for one in told if one.host in hot] if len(hot) >= MIN_TOGETHER else []


def fold_racks(
    found: dict[Place, list[T]], hints: Mapping[Place, Sequence[T]], racks: Mapping[str, Sequence[str]]
) -> None:
    """Move the alerts of racks that their loop explains to the loop. `hints` are the alerts about places."""
    for loop, fed in racks.items():
        own = found.get((LOOP, loop), [])
        hot = [place for rack in fed if (place := ("rack", rack)) in found and _mostly_heat(found[place])]
        heat = [place for place in hot if any(is_about_heat(one.alert.name) for one in found[place])]
        if (LOOP, loop) in hints:
            begins = min(one.at for one in hints[LOOP, loop])
            taken = [place for place in hot if _first_start(found[place]) >= begins - GAP_S]
        elif own:
            begins = _first_start(own)
            taken = [place for place in heat if abs(_first_start(found[place]) - begins) <= GAP_S]
        else:
            taken = _largest_burst(heat, found) if 2 * len(heat) > len(fed) else []
            taken = taken if len(taken) > 1 and 2 * len(taken) > len(fed) else []
        for place in taken:
            found.setdefault((LOOP, loop), []).extend(found.pop(place))


def _mostly_heat(told: Sequence[FoldableAlert]) -> bool:
    return 2 * sum(may_follow_heat(one.alert.name) for one in told) > len(told)


def _first_start(told: Sequence[FoldableAlert]) -> float:
    return min(one.at for one in told)


def _largest_burst(places: Sequence[Place], found: Mapping[Place, Sequence[T]]) -> list[Place]:
    """The largest run of places that each began within GAP_S of the one before."""
    ordered = sorted(places, key=lambda place: _first_start(found[place]))
    bursts: list[list[Place]] = []
    for place in ordered:
        if not bursts or _first_start(found[place]) - _first_start(found[bursts[-1][-1]]) > GAP_S:
            bursts.append([])
        bursts[-1].append(place)
    return max(bursts, key=len, default=[])
