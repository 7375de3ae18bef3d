"""The content of a map cell: a node's state or a figure in ten steps of one hue, and the fault that lies over either.

Ink is where the fault is: a healthy node is a low dim block, a fault is a solid bright cell with a glyph. Unknown is a
dot, never a low figure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from collectors.model import HOT_C, Cluster, Load, Node
from collectors.nodestate import UNAVAILABLE
from themes.roles import HEAT, state_look

from .cells import Span
from .map_health import FAULT_LEVELS, Level, MapHealth, RackHealth

Measure = Literal["state", "util", "memory", "temp", "power"]
MEASURES: tuple[Measure, ...] = ("state", "util", "memory", "temp", "power")

UNKNOWN_CELL: Span = ("·", "text-dim")
COLD_C = 30.0
"""Lower end of the temperature scale: an idle GPU in cool air. The upper end is the limit, HOT_C."""

FAULT_CELLS: dict[Level, Span] = {"bad": ("!", "map-bad"), "warn": ("▲", "map-warn")}
"""A fault that Slurm's state does not tell. The glyphs differ, so that no level is told by its colour alone."""
LIMIT_CELL: Span = ("°", "map-warn")
"""A GPU is over its temperature limit."""

#: Healthy nodes are low and dim, the higher the more of the node is in use, so that faults stand out from them.
QUIET_CELLS: dict[str, Span] = {
    "allocated": ("▃", "map-healthy"),
    "mixed": ("▂", "map-healthy"),
    "idle": ("▁", "map-healthy"),
}
_LEVELS = "▁▂▂▃▄▄▅▆▆▇"
"""A low figure is also a low block, so that the scale does not depend on colour."""
_BLOCKS = frozenset("▁▂▃▄▅▆▇█")

HEAT_CELLS: tuple[Span, ...] = tuple(zip(_LEVELS, HEAT, strict=True))
_STATE_CELLS: dict[str, Span] = {}
_WIDE: dict[tuple[Span, int], Span] = {}
_HYSTERESIS = 0.35


def cell_of_state(display: str) -> Span:
    """Glyph and role of a state on the map."""
    found = _STATE_CELLS.get(display)
    if found is None:
        glyph, role = state_look(display)
        level = FAULT_LEVELS.get(display)
        quiet = QUIET_CELLS.get(display)
        if level is not None:
            role = FAULT_CELLS[level][1]
        elif display in UNAVAILABLE:
            role = "text-dim"  # taken out of service: known, no fault
        found = _STATE_CELLS[display] = quiet or (glyph, role)
    return found


def state_cell(node: Node | None) -> Span:
    """Glyph and role of a node's state."""
    return UNKNOWN_CELL if node is None else cell_of_state(node.display)


def is_solid(role: str) -> bool:
    """Whether cells of this role are filled: those of faults."""
    return role in {"map-bad", "map-warn"}


def is_block(text: str) -> bool:
    """Whether a cell's text is a block, which says nothing where it is reversed."""
    return text[:1] in _BLOCKS


def heat_cell(value: float | None, low: float, high: float, before: Span = UNKNOWN_CELL) -> Span:
    """Glyph and role of a figure on a scale; values beyond its ends are clamped.

    The cell stays as it was `before` while the figure is less than a third of a step outside it: figures fluctuate, and
    a map of 12,000 of them would be sent again at every reading.
    """
    if value is None or high <= low:
        return UNKNOWN_CELL
    step = max(0.0, min(9.999, (value - low) / (high - low) * 10))
    cell = HEAT_CELLS[int(step)]
    if before is not cell and before in (
        HEAT_CELLS[int(max(0.0, step - _HYSTERESIS))],
        HEAT_CELLS[int(min(9.999, step + _HYSTERESIS))],
    ):
        return before
    return cell


def power_top(cluster: Cluster, before: float = 0.0) -> float:
    """Upper end of the power scale: the greatest node in steps of 500 W, never below `before`."""
    top = max((load.power_w for load in cluster.loads.values() if load.power_w is not None), default=0.0)
    return max(before, -(-top // 500) * 500)


def widened(cell: Span, wide: int) -> Span:
    """A cell in `wide` columns: blocks grow, other glyphs are centred."""
    found = _WIDE.get((cell, wide))
    if found is None:
        glyph, role = cell
        found = _WIDE[cell, wide] = glyph * wide if glyph in _BLOCKS else glyph.center(wide), role
    return found


def figure_cell(measure: Measure, load: Load, top_w: float, before: Span = UNKNOWN_CELL) -> Span:
    """The cell of a figure. A GPU over its temperature limit has the cell of a limit."""
    if measure == "util":
        return heat_cell(load.gpu_util_pct, 0.0, 100.0, before)
    if measure == "memory":
        return heat_cell(load.gpu_memory_pct, 0.0, 100.0, before)
    if measure == "power":
        return heat_cell(load.power_w, 0.0, top_w, before)
    if load.temp_c is not None and load.temp_c > HOT_C:
        return LIMIT_CELL
    return heat_cell(load.temp_c, COLD_C, HOT_C, before)


def cell_function(
    measure: Measure, cluster: Cluster, health: MapHealth, top_w: float, before: dict[str, Span]
) -> Callable[[str], Span]:
    """A function from the name of a node to its cell. `before` holds the last figures, and the function updates it."""
    nodes, loads, faults = cluster.nodes, cluster.loads, health.faults

    def of(name: str) -> Span:
        if (level := faults.get(name)) is not None:
            return FAULT_CELLS[level]
        node, load = nodes.get(name), loads.get(name)
        if measure == "state" or (node is not None and node.display in FAULT_LEVELS):
            return state_cell(node)
        if load is None:
            return UNKNOWN_CELL
        cell = before[name] = figure_cell(measure, load, top_w, before.get(name, UNKNOWN_CELL))
        return cell

    return of


def tile_function(
    measure: Measure, health: MapHealth, top_w: float, wide: int, numbers: bool, before: dict[str, Span]
) -> Callable[[str], Span]:
    """A function from the name of a rack to its tile in `wide` columns: the worst fault and, with `numbers`, how many
    nodes are at fault, or the state or figure of the rack."""
    racks, loads = health.racks, health.loads

    def of(name: str) -> Span:
        rack, load = racks.get(name), loads.get(name)
        if rack is not None and rack.level is not None:
            return fault_tile(rack, wide, numbers)
        if measure == "state":
            return widened(UNKNOWN_CELL if rack is None else cell_of_state(rack.display), wide)
        if load is None:
            return widened(UNKNOWN_CELL, wide)
        cell = before[name] = figure_cell(measure, load, top_w, before.get(name, UNKNOWN_CELL))
        return widened(cell, wide)

    return of


def fault_tile(rack: RackHealth, wide: int, numbers: bool) -> Span:
    """The solid tile of a rack with faults: the glyph of the worst and the number, as far as there is room. `+` is a
    number that does not fit."""
    assert rack.level is not None
    glyph, role = FAULT_CELLS[rack.level]
    if not rack.hidden:
        glyph = state_look(rack.display)[0]
    number = str(rack.faults)
    if not numbers or not rack.faults:
        return glyph.center(wide), role
    if wide > 2 and len(number) < wide:
        return glyph + number.rjust(wide - 1), role
    return (number if len(number) <= wide else "+").rjust(wide), role
