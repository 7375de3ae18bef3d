"""The meaning of the map's cells, for the line beside the map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from collectors.model import HOT_C
from collectors.nodestate import DISPLAYS

from .cells import Span
from .map_health import FAULT_LEVELS, Level, MapHealth
from .map_measures import (
    COLD_C,
    FAULT_CELLS,
    HEAT_CELLS,
    LIMIT_CELL,
    UNKNOWN_CELL,
    Measure,
    cell_of_state,
)
from .units import plural, power

_ENDS = {"util": ("0 %", "100 %"), "memory": ("0 %", "100 %"), "temp": (f"{COLD_C:.0f} °C", f"{HOT_C:.0f} °C")}

_WORDS: tuple[tuple[Level, str], ...] = (("bad", "fault"), ("warn", "check"))


def legend(measure: Measure, health: MapHealth, top_w: float, *, racks: bool, numbers: bool) -> list[Span]:
    """The cells that the map can show now, faults first. `racks`: its cells are racks, with the number of nodes at
    fault in each where `numbers`."""
    faults = _rack_faults(health, numbers) if racks else _node_faults(health)
    if measure == "state":
        return [*faults, *(_rack_states(health) if racks else _node_states(health))]
    low, high = _ENDS.get(measure, ("0 W", power(top_w)))
    spans: list[Span] = [*faults, (low + " ", "text-dim"), *HEAT_CELLS, (f" {high}  ", "text-dim")]
    if measure == "temp":
        spans += [LIMIT_CELL, (f" over {HOT_C:.0f} °C  ", "text-dim")]
    if racks:
        spans.append(("hottest GPU  " if measure == "temp" else "mean of the rack  ", "text-dim"))
    return [*spans, UNKNOWN_CELL, (" unknown", "text-dim")]


def _entry(cell: Span, word: str, number: int) -> list[Span]:
    return [cell, (f" {word} ", "text-dim"), (f"{number:,}  ", "")]


def _node_faults(health: MapHealth) -> list[Span]:
    """Faults of nodes: those over the Slurm state, then states that are faults."""
    spans: list[Span] = []
    levels = Counter(health.faults.values())
    for level, word in _WORDS:
        if levels[level]:
            spans += _entry(FAULT_CELLS[level], word, levels[level])
    for word in _known(health.states):
        if word in FAULT_LEVELS:
            spans += _entry(cell_of_state(word), word, health.states[word])
    return spans


def _node_states(health: MapHealth) -> list[Span]:
    """States that are no faults, worst first."""
    words = [word for word in _known(health.states) if word not in FAULT_LEVELS]
    return [span for word in words for span in _entry(cell_of_state(word), word, health.states[word])]


def _rack_faults(health: MapHealth, numbers: bool) -> list[Span]:
    spans: list[Span] = []
    for level, word in _WORDS:
        mine = [one.faults for one in health.racks.values() if one.level == level]
        if mine:
            glyph = "3" if numbers else FAULT_CELLS[level][0]
            spans += [(glyph, FAULT_CELLS[level][1]), (f" {word} ", "text-dim")]
            spans.append((f"{plural(len(mine), 'rack')}, {plural(sum(mine), 'node')}  ", ""))
    return spans


def _rack_states(health: MapHealth) -> list[Span]:
    numbers = Counter(one.display for one in health.racks.values() if one.level is None)
    return [span for word in _known(numbers) for span in _entry(cell_of_state(word), word, numbers[word])]


def _known(numbers: Mapping[str, int]) -> list[str]:
    """The words that occur, worst first, words of a newer Slurm last."""
    return [word for word in DISPLAYS if numbers.get(word)] + sorted(numbers.keys() - set(DISPLAYS))
