"""What the map shows of health: the nodes at fault whatever Slurm says of them, and a summary of each rack.

The values are computed by the console, off the event loop. The map only looks them up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from collectors.model import Load

Level = Literal["bad", "warn"]
"""How serious a fault is."""

FAULT_LEVELS: Mapping[str, Level] = {
    "down": "bad",
    "failed": "bad",
    "failing": "bad",
    "invalid": "bad",
    "unknown": "warn",
}
"""Display words of states that are faults."""


class RackHealth(Struct, frozen=True):
    """One rack: its worst state, and how many of its nodes are at fault."""

    display: str
    """Display word of the state that decides: of its worst node, or of most nodes where none is out of service."""
    level: Level | None = None
    """The worst fault; None without one."""
    faults: int = 0
    """Nodes at fault."""
    hidden: bool = False
    """The worst fault is one that Slurm's state does not tell, so that `display` does not name it."""


class MapHealth(Struct, frozen=True):
    """Health of the machine for the map."""

    faults: Mapping[str, Level] = {}
    """Nodes with a fault that lies over their Slurm state: XID, alert, inconsistency. Nodes whose state is the fault,
    as down, are not in it."""
    racks: Mapping[str, RackHealth] = {}
    loads: Mapping[str, Load] = {}
    """By rack: means of its nodes, and its hottest GPU."""
    states: Mapping[str, int] = {}
    """Display word to its number of nodes, without those in `faults`."""
    ill_racks: frozenset[str] = frozenset()
    """Racks with a fault of the whole: their NVLink domain, their cooling loop."""
