"""The place of each node on the map: racks in columns, each with its label, nodes side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from .cells import cut, width

GAP = 2
MAX_SCALE = 6
"""Cells that a node may take on a large screen; the last one stays blank to separate the nodes."""
_MAX_LABEL = 10


class MapRun(Struct, frozen=True):
    """Nodes side by side on one line, and the label before them ("" on a rack's further lines)."""

    x: int
    """Cell of the label; the nodes begin at `first`."""
    label: str
    first: int
    nodes: tuple[str, ...]


class MapLayout(Struct, frozen=True):
    """Lines of runs, left to right, and where to find a node: (line, first cell). A node takes `scale` cells."""

    lines: tuple[tuple[MapRun, ...], ...] = ()
    places: Mapping[str, tuple[int, int]] = {}
    scale: int = 1

    def node_at(self, line: int, x: int) -> str | None:
        """The node on a cell; None where there is none."""
        if 0 <= line < len(self.lines):
            for run in self.lines[line]:
                if run.first <= x < run.first + len(run.nodes) * self.scale:
                    return run.nodes[(x - run.first) // self.scale]
        return None

    def nearest(self, line: int, x: int) -> str | None:
        """The node on a line that is nearest to a cell."""
        if not 0 <= line < len(self.lines):
            return None
        spots = [(run.first + at * self.scale, node) for run in self.lines[line] for at, node in enumerate(run.nodes)]
        return min(spots, key=lambda spot: abs(spot[0] - x))[1] if spots else None

    def beside(self, node: str, by: int) -> str | None:
        """The node `by` places to the right on the same line (negative: to the left); None past its ends."""
        line = self.places[node][0]
        nodes = [name for run in self.lines[line] for name in run.nodes]
        at = nodes.index(node) + by
        return nodes[at] if 0 <= at < len(nodes) else None


def lay_out(racks: Mapping[str, Sequence[str]], cells: int, page: int) -> MapLayout:
    """Place the racks in as many columns as fit.

    Nodes are as wide as the page allows with the whole machine visible; where it does not fit, racks are folded so that
    the map becomes as low as possible.
    """
    groups = [(rack, tuple(nodes)) for rack, nodes in racks.items() if nodes]
    if not groups or cells <= 0:
        return MapLayout()
    label = min(_MAX_LABEL, max(width(rack) for rack, _ in groups))
    before = label + 1 if label else 0
    if cells - before < 1:
        label = before = 0
    room = cells - before
    sizes = {len(nodes) for _, nodes in groups}
    for scale in range(MAX_SCALE, 1, -1):
        wide = max(sizes) * scale
        columns = (cells + GAP) // (before + wide + GAP)
        if columns and (high := _height([1] * len(groups), columns)) <= page:
            return _place(groups, before, label, max(sizes), high, scale)
    across = {min(room, size) for size in sizes} | {min(room, -(-max(sizes) // part)) for part in range(2, 9)}
    best: tuple[tuple[bool, int, int], int, int, int] | None = None
    for wide in across:
        columns = max(1, (cells + GAP) // (before + wide + GAP))
        heights = [-(-len(nodes) // wide) for _, nodes in groups]
        high = _height(heights, columns)
        # Fits first; among those the widest racks; among those that do not fit the lowest map.
        rank = (high > page, -wide if high <= page else high, -wide)
        if best is None or rank < best[0]:
            best = (rank, wide, high, columns)
    assert best is not None
    return _place(groups, before, label, best[1], best[2], 1)


def _height(heights: Sequence[int], columns: int) -> int:
    """The least height of a column with which the racks, in order, fit into this number of columns."""
    low, high = max(*heights, -(-sum(heights) // columns)), sum(heights)
    while low < high:
        middle = (low + high) // 2
        if _columns(heights, middle) <= columns:
            high = middle
        else:
            low = middle + 1
    return low


def _columns(heights: Sequence[int], limit: int) -> int:
    used, at = 1, 0
    for height in heights:
        if at + height > limit:
            used, at = used + 1, 0
        at += height
    return used


def _place(
    groups: Sequence[tuple[str, tuple[str, ...]]], before: int, label: int, wide: int, high: int, scale: int
) -> MapLayout:
    lines: list[list[MapRun]] = [[] for _ in range(high)]
    places: dict[str, tuple[int, int]] = {}
    x = y = 0
    for rack, nodes in groups:
        if y + -(-len(nodes) // wide) > high:
            x, y = x + before + wide * scale + GAP, 0
        for start in range(0, len(nodes), wide):
            part = nodes[start : start + wide]
            lines[y].append(MapRun(x, cut(rack, label) if not start else "", x + before, part))
            for at, node in enumerate(part):
                places[node] = (y, x + before + at * scale)
            y += 1
    return MapLayout(tuple(tuple(line) for line in lines), places, scale)
