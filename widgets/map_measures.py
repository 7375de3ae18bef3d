"""The content of a map cell: a node's state, or a figure in ten steps of heat. Unknown is a dot, never cold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from collectors.model import Cluster, Load, Node
from themes.roles import HEAT, state_look

from .cells import Span

Measure = Literal["state", "util", "memory", "temp", "power"]
MEASURES: tuple[Measure, ...] = ("state", "util", "memory", "temp", "power")

UNKNOWN_CELL: Span = ("·", "text-dim")
COLD_C, HOT_C = 30.0, 90.0
"""Ends of the temperature scale: an idle GPU in cool air, and where most of them throttle."""

# On the map most nodes work, and these form one even, quiet surface that makes the others visible. The top eighth of
# every cell stays free, which separates the racks.
_MAP_CELLS = {
    "allocated": ("▇", "map-allocated"),
    "mixed": ("▄", "state-mixed"),
    "completing": ("▂", "state-completing"),
}
# A low figure is also a low block, so that heat does not depend on colour alone.
_LEVELS = "▁▂▂▃▄▄▅▆▆▇"
_BLOCKS = frozenset("▁▂▃▄▅▆▇█")

_STATE_CELLS: dict[str, Span] = {}
HEAT_CELLS: tuple[Span, ...] = tuple(zip(_LEVELS, HEAT, strict=True))
# Work is not an alarm: a busy machine stays below the red end.
UTIL_CELLS: tuple[Span, ...] = tuple((glyph, HEAT[step * 6 // 9]) for step, glyph in enumerate(_LEVELS))
_HYSTERESIS = 0.35


def cell_of_state(display: str) -> Span:
    """Glyph and role of a state on the map."""
    found = _STATE_CELLS.get(display)
    if found is None:
        found = _STATE_CELLS[display] = _MAP_CELLS.get(display) or state_look(display)
    return found


def state_cell(node: Node | None) -> Span:
    """Glyph and role of a node's state."""
    return UNKNOWN_CELL if node is None else cell_of_state(node.display)


def heat_cell(
    value: float | None,
    low: float,
    high: float,
    before: Span = UNKNOWN_CELL,
    cells: tuple[Span, ...] = HEAT_CELLS,
) -> Span:
    """Glyph and role of a figure on a scale; values beyond its ends are clamped.

    The cell stays as it was `before` while the figure is less than a third of a step outside it: figures fluctuate, and
    a map of 12,000 of them would be sent again at every reading.
    """
    if value is None or high <= low:
        return UNKNOWN_CELL
    step = max(0.0, min(9.999, (value - low) / (high - low) * 10))
    cell = cells[int(step)]
    if before is not cell and before in (
        cells[int(max(0.0, step - _HYSTERESIS))],
        cells[int(min(9.999, step + _HYSTERESIS))],
    ):
        return before
    return cell


def power_top(cluster: Cluster, before: float = 0.0) -> float:
    """Upper end of the power scale: the greatest node in steps of 500 W, never below `before`."""
    top = max((load.power_w for load in cluster.loads.values() if load.power_w is not None), default=0.0)
    return max(before, -(-top // 500) * 500)


def widened(cell: Span, scale: int) -> Span:
    """A node's cell on a map where a node takes `scale` cells: blocks grow, other glyphs are centred."""
    glyph, role = cell
    wide = scale - 1  # the last cell separates the nodes
    return ((glyph * wide if glyph in _BLOCKS else glyph.center(wide)) + " ", role) if wide else cell


def cell_function(measure: Measure, cluster: Cluster, top_w: float, before: dict[str, Span]) -> Callable[[str], Span]:
    """A function from the name of a node to its cell. `before` holds the last cells, and the function updates it."""
    if measure == "state":
        nodes = cluster.nodes
        return lambda name: state_cell(nodes.get(name))
    loads = cluster.loads

    def of(
        name: str,
        figure: Callable[[Load], float | None],
        low: float,
        high: float,
        cells: tuple[Span, ...] = HEAT_CELLS,
    ) -> Span:
        load = loads.get(name)
        if load is None:
            return UNKNOWN_CELL
        cell = before[name] = heat_cell(figure(load), low, high, before.get(name, UNKNOWN_CELL), cells)
        return cell

    if measure == "util":
        return lambda name: of(name, lambda load: load.gpu_util_pct, 0.0, 100.0, UTIL_CELLS)
    if measure == "memory":
        return lambda name: of(name, lambda load: load.gpu_memory_pct, 0.0, 100.0, UTIL_CELLS)
    if measure == "temp":
        return lambda name: of(name, lambda load: load.temp_c, COLD_C, HOT_C)
    return lambda name: of(name, lambda load: load.power_w, 0.0, top_w)
