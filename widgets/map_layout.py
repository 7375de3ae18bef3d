"""The place of each cell on the map: racks in columns with their nodes side by side, or one tile for each rack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from .cells import cut, width

GAP = 2
MAX_SCALE = 6
"""Cells that a node may take on a large screen; the last one stays blank to separate the nodes."""
_MAX_LABEL = 10
TILE_SCALES = (5, 4, 3, 2, 1)
"""Columns of a rack's tile, widest first. All but the narrowest have room for the number of faults, and end blank."""
_NAMED_MARK = 3
"""Cells before the name on a cell that is wide enough for one."""


class MapRun(Struct, frozen=True):
    """Cells side by side on one line, and the label before them ("" on a rack's further lines)."""

    x: int
    """Position of the label; the cells begin at `first`."""
    label: str
    first: int
    keys: tuple[str, ...]


class MapLayout(Struct, frozen=True):
    """Lines of runs, left to right, and where to find the cell of a node or rack: (line, position). A cell takes
    `scale` columns."""

    lines: tuple[tuple[MapRun, ...], ...] = ()
    places: Mapping[str, tuple[int, int]] = {}
    scale: int = 1
    tiles: bool = False
    """The cells are racks, not nodes."""
    named: int = 0
    """Columns for the name on each cell; 0 without names."""

    @property
    def mark(self) -> int:
        """Columns of a cell that show its state: all but the blank at its end and its name."""
        return _NAMED_MARK if self.named else max(1, self.scale - 1)

    def key_at(self, line: int, x: int) -> str | None:
        """The node or rack at a position; None where there is none."""
        if 0 <= line < len(self.lines):
            for run in self.lines[line]:
                if run.first <= x < run.first + len(run.keys) * self.scale:
                    return run.keys[(x - run.first) // self.scale]
        return None

    def nearest(self, line: int, x: int) -> str | None:
        """The node or rack on a line that is nearest to a position."""
        if not 0 <= line < len(self.lines):
            return None
        spots = [(run.first + at * self.scale, key) for run in self.lines[line] for at, key in enumerate(run.keys)]
        return min(spots, key=lambda spot: abs(spot[0] - x))[1] if spots else None

    def beside(self, key: str, by: int) -> str | None:
        """The cell `by` places to the right on the same line (negative: to the left); None past its ends."""
        line = self.places[key][0]
        keys = [name for run in self.lines[line] for name in run.keys]
        at = keys.index(key) + by
        return keys[at] if 0 <= at < len(keys) else None


def lay_out(racks: Mapping[str, Sequence[str]], cells: int, page: int) -> MapLayout:
    """Place the nodes as wide as the page allows with the whole machine visible, or a tile for each rack where the
    nodes do not fit. Nodes without racks have no tiles: their map scrolls."""
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
    if best[2] > page and len(groups) > 1:
        return _tiles([rack for rack, _ in groups], label, cells, page)
    return _place(groups, before, label, best[1], best[2], 1)


def lay_out_rack(nodes: Sequence[str], cells: int, page: int) -> MapLayout:
    """The nodes of one rack, each with its name where there is room for the names."""
    return _named(nodes, cells, page) or lay_out({"": tuple(nodes)}, cells, page)


def _tiles(racks: Sequence[str], label: int, cells: int, page: int) -> MapLayout:
    """A tile for each rack: with its name where all fit, else as wide as possible, with the name of the first rack
    before each line."""
    named = _named(racks, cells, page, tiles=True)
    if named is not None:
        return named
    before = label + 1 if 0 < 2 * label < cells else 0
    scale = across = 1
    for scale in TILE_SCALES:
        # The blank after the last tile of a line may be cut.
        across = max(1, (cells - before + (scale > 1)) // scale)
        if -(-len(racks) // across) <= page:
            break
    ends = range(0, len(racks), across)
    runs = [MapRun(0, cut(racks[at], label) if before else "", before, tuple(racks[at : at + across])) for at in ends]
    return _of_lines([(run,) for run in runs], scale, tiles=True)


def _named(keys: Sequence[str], cells: int, page: int, *, tiles: bool = False) -> MapLayout | None:
    """Cells with names in as few lines as possible; None where they do not fit."""
    name = max((width(key) for key in keys), default=0)
    scale = _NAMED_MARK + 1 + name + GAP
    across = (cells + GAP) // scale
    if not name or not across or -(-len(keys) // across) > page:
        return None
    ends = range(0, len(keys), across)
    return _of_lines(
        [(MapRun(0, "", 0, tuple(keys[at : at + across])),) for at in ends], scale, tiles=tiles, named=name
    )


def _of_lines(lines: Sequence[tuple[MapRun, ...]], scale: int, *, tiles: bool = False, named: int = 0) -> MapLayout:
    places = {
        key: (y, run.first + at * scale)
        for y, line in enumerate(lines)
        for run in line
        for at, key in enumerate(run.keys)
    }
    return MapLayout(tuple(lines), places, scale, tiles, named)


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
    x = y = 0
    for rack, nodes in groups:
        if y + -(-len(nodes) // wide) > high:
            x, y = x + before + wide * scale + GAP, 0
        for start in range(0, len(nodes), wide):
            part = nodes[start : start + wide]
            lines[y].append(MapRun(x, cut(rack, label) if not start else "", x + before, part))
            y += 1
    return _of_lines([tuple(line) for line in lines], scale)
