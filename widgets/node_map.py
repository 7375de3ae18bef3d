"""NodeMap: the whole machine at a glance, one cell per node, rack by rack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from collectors.model import Cluster
from collectors.nodestate import DISPLAYS
from themes.roles import state_look

from .cells import Span
from .map_layout import MapLayout, lay_out
from .map_measures import (
    COLD_C,
    HEAT_CELLS,
    HOT_C,
    UNKNOWN_CELL,
    UTIL_CELLS,
    Measure,
    cell_function,
    cell_of_state,
    power_top,
    widened,
)
from .scroll import Scrolled
from .units import power

_EMPTY = Cluster(name="")
_BRIDGE = 6
"""Up to this many unchanged cells between two changed runs are painted again, which is cheaper than a jump."""


class NodeMap(Scrolled):
    """Shows the cluster given to `set_cluster`; `measure` selects what the cells show. Only changed runs
    are painted.
    """

    DEFAULT_CSS = """
    NodeMap { width: 1fr; height: 1fr; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "beside(-1)", "Left", show=False),
        Binding("right,l", "beside(1)", "Right", show=False),
        Binding("up,k", "line(-1)", "Up", show=False),
        Binding("down,j", "line(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "ends(False)", "First", show=False),
        Binding("end", "ends(True)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    measure: reactive[Measure] = reactive[Measure]("state", repaint=False)
    dimmed: reactive[bool] = reactive(False, repaint=False)
    """The facts are stale: everything is painted dim."""

    class Opened(Message):
        """The operator opened a node."""

        def __init__(self, map: NodeMap, key: str) -> None:
            super().__init__()
            self.map, self.key = map, key

        @property
        def control(self) -> NodeMap:
            """The map."""
            return self.map

    class Moved(Message):
        """The cursor moved to another node; None where there are none."""

        def __init__(self, map: NodeMap, key: str | None) -> None:
            super().__init__()
            self.map, self.key = map, key

        @property
        def control(self) -> NodeMap:
            """The map."""
            return self.map

        def can_replace(self, message: Message) -> bool:
            """Only the last move counts."""
            return isinstance(message, NodeMap.Moved) and message.map is self.map

    def __init__(self, *, measure: Measure = "state", id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.cursor_key: str | None = None
        """The node under the cursor."""
        self.chosen = False
        """Whether the user put the cursor there: a default position is no target for actions."""
        self._cluster = _EMPTY
        self._layout = MapLayout()
        self._laid_out = _EMPTY.racks
        self._shown_cells: dict[int, list[Span]] = {}
        self._painted: dict[int, tuple[list[Span], Strip]] = {}
        """Line to its cells and the strip painted of them, without the cursor."""
        self._top_w = 0.0
        self._cells: dict[str, Span] = {}
        self._cell: Callable[[str], Span] = lambda _: UNKNOWN_CELL
        self._marked_racks: frozenset[str] = frozenset()
        self.set_reactive(NodeMap.measure, measure)

    # Input.

    def set_cluster(self, cluster: Cluster) -> None:
        """Show a newer state of the machine."""
        self.update_hidden(cluster, None)
        if cluster.racks is not self._laid_out and cluster.racks != self._laid_out:
            self._lay_out()
            self.refresh()
        else:
            self._show_changes()

    def update_hidden(self, cluster: Cluster, ctx: Any) -> None:
        """Take newer data while hidden, without painting."""
        before, self._cluster = self._cluster, cluster
        if cluster.loads is not before.loads:
            self._top_w = power_top(cluster, self._top_w if cluster.name == before.name else 0.0)
        self._cell = cell_function(self.measure, cluster, self._top_w, self._cells)

    def mark_racks(self, ill: frozenset[str]) -> None:
        """Mark the labels of racks that have a problem as a whole with a !."""
        if ill != self._marked_racks:
            self._marked_racks = ill
            self._painted.clear()
            self.refresh()

    def select(self, node: str) -> bool:
        """Put the cursor on a node. False when it is not on the map."""
        if node not in self._layout.places:
            return False
        self._go(node)
        return True

    @property
    def chosen_key(self) -> str | None:
        """The node that the user put the cursor on and that keys apply to, which is also the one
        highlighted; else None.
        """
        return self.cursor_key if self.chosen and self.has_focus else None

    @property
    def lines_wanted(self) -> int:
        """Lines that the whole map takes at its current width."""
        return len(self._layout.lines)

    def legend(self) -> list[Span]:
        """The meaning of the cells: the states present, with their numbers, or the scale."""
        if self.measure == "state":
            numbers = Counter(node.display for node in self._cluster.nodes.values())
            known = [word for word in reversed(DISPLAYS) if word in numbers]
            spans: list[Span] = []
            for word in [*known, *sorted(numbers.keys() - set(DISPLAYS))]:
                spans += [cell_of_state(word), (f" {word} ", state_look(word)[1]), (f"{numbers[word]:,}  ", "text-dim")]
            return spans
        low, high = {
            "util": ("0 %", "100 %"),
            "memory": ("0 %", "100 %"),
            "temp": (f"{COLD_C:.0f} °C", f"{HOT_C:.0f} °C"),
            "power": ("0 W", power(self._top_w)),
        }[self.measure]
        unknown = (UNKNOWN_CELL, (" unknown", "text-dim"))
        return [
            (low + " ", "text-dim"),
            *(UTIL_CELLS if self.measure in {"util", "memory"} else HEAT_CELLS),
            (f" {high}  ", "text-dim"),
            *unknown,
        ]

    # Painting.

    @property
    def body_lines(self) -> int:
        """Lines of the map."""
        return len(self._layout.lines)

    def _lay_out(self) -> None:
        # The bar's cell is reserved, so that the map keeps its shape when the bar appears.
        self._laid_out = self._cluster.racks
        self._layout = lay_out(self._laid_out, self.extent.width - 1, self.page)
        self._shown_cells.clear()
        self._painted.clear()
        self.top = max(0, min(self.top, self.body_lines - self.page))
        if self.cursor_key not in self._layout.places:
            self.cursor_key, self.chosen = next(iter(self._layout.places), None), False
            self.post_message(self.Moved(self, self.cursor_key))

    def _cells_of(self, at: int) -> list[Span]:
        return [self._cell(node) for run in self._layout.lines[at] for node in run.nodes]

    def _show_changes(self) -> None:
        """Repaint the runs of cells that differ from the screen."""
        if not self.is_mounted:
            return
        regions: list[Region] = []
        for at in range(self.top, min(self.top + self.page, self.body_lines)):
            before, now = self._shown_cells.get(at), self._cells_of(at)
            if before == now:
                continue
            y = at - self.top + self.head
            if before is None or len(before) != len(now):
                regions.append(Region(0, y, self.extent.width, 1))
            else:
                xs = [self._layout.places[node][1] for run in self._layout.lines[at] for node in run.nodes]
                changed = [x for x, old, new in zip(xs, before, now, strict=True) if old is not new and old != new]
                runs = _runs(changed, self._layout.scale)
                regions += [Region(start, y, end - start, 1) for start, end in runs]
            self._shown_cells[at] = now
        if regions:
            self.refresh(*regions)

    def paint_body(self, at: int, cells: int) -> Strip:
        """One line: labels and nodes, and the cursor over them."""
        now = self._shown_cells[at] = self._cells_of(at)
        kept = self._painted.get(at)
        if kept is None or kept[0] != now or kept[1].cell_length != cells:
            kept = self._painted[at] = now, self._line_of(at, now, cells)
        head = kept[1]
        cursor = self._layout.places.get(self.chosen_key or "")
        if cursor is None or cursor[0] != at:
            return head
        here, end = cursor[1], cursor[1] + max(1, self._layout.scale - 1)
        text = head.crop(here, end).text
        found = self._cluster.nodes.get(self.cursor_key or "")
        if self.role_styles("map-cursor").reverse and found is not None:
            # Reversed, a block would be a hole: the glyph of its state is shown instead.
            text = state_look(found.display)[0].center(end - here)
        mark = self.role_styles.strip(((text, "map-cursor"),))
        return Strip([*head.crop(0, here), *mark, *head.crop(end, cells)], cells)

    def _line_of(self, at: int, now: Sequence[Span], cells: int) -> Strip:
        """The strip of a line without the cursor."""
        scale, spans, plain = self._layout.scale, list[Span](), True
        x, node = 0, 0
        for run in self._layout.lines[at]:
            ill = run.label in self._marked_racks
            label = f"{run.label}{'!' * ill}".ljust(run.first - run.x)
            plain = plain and label.isascii() and len(label) == run.first - run.x
            spans += [(" " * (run.x - x), ""), (label, "bad" if ill else "text-dim")]
            spans += [widened(cell, scale) for cell in now[node : node + len(run.nodes)]]
            node += len(run.nodes)
            x = run.first + len(run.nodes) * scale
        if self.dimmed:
            spans = [(text, "text-dim") for text, _ in spans]
        if plain and x <= cells:  # the exact width does not matter
            return self.role_styles.strip([*spans, (" " * (cells - x), "")], cells)
        return self.role_styles.line(spans, cells)

    def watch_measure(self) -> None:
        """Another measure: the same places, other cells."""
        self._cells.clear()
        self._cell = cell_function(self.measure, self._cluster, self._top_w, self._cells)
        self._show_changes()

    def watch_dimmed(self) -> None:
        """Repaint everything in the new colours."""
        self._painted.clear()
        self.refresh()

    def role_styles_changed(self) -> None:
        """Repaint for another theme."""
        self._painted.clear()

    def resized(self) -> None:
        """Lay the racks out again and keep the cursor visible."""
        self._lay_out()
        if self.cursor_key is not None:
            self.show_line(self._layout.places[self.cursor_key][0])

    # Keys and mouse.

    def _go(self, node: str | None) -> None:
        fresh = node is not None and not self.chosen
        self.chosen = self.chosen or fresh
        if node is None or (node == self.cursor_key and not fresh):
            return
        before = self._layout.places.get(self.cursor_key or "")
        self.cursor_key = node
        line, x = self._layout.places[node]
        if not self.show_line(line):
            if before is not None:
                self.repaint_line(before[0], before[1], self._layout.scale)
            self.repaint_line(line, x, self._layout.scale)
        self.repaint_bar()
        self.post_message(self.Moved(self, node))

    def action_beside(self, by: int) -> None:
        """Move one node to the side; past the end of a line, to the next line."""
        if self.cursor_key is None:
            return
        node = self._layout.beside(self.cursor_key, by)
        if node is None:
            line = self._layout.places[self.cursor_key][0] + by
            node = self._layout.nearest(line, 0 if by > 0 else self.extent.width)
        self._go(node)

    def action_line(self, by: int) -> None:
        """Move to the nearest node `by` lines up or down."""
        if self.cursor_key is not None:
            line, x = self._layout.places[self.cursor_key]
            self._go(self._layout.nearest(max(0, min(line + by, self.body_lines - 1)), x))

    def action_page(self, by: int) -> None:
        """Move a page up or down."""
        self.action_line(by * max(1, self.page - 1))

    def action_ends(self, last: bool) -> None:
        """Move to the first or the last node."""
        places = list(self._layout.places)
        if places:
            self._go(places[-1 if last else 0])

    def action_open(self) -> None:
        """Open the chosen node; without one, first show where the cursor is."""
        if self.chosen and self.cursor_key is not None:
            self.post_message(self.Opened(self, self.cursor_key))
        else:
            self._go(self.cursor_key)

    def focus_changed(self) -> None:
        """Without the focus the cursor is hidden: what looks chosen is chosen."""
        if self.chosen and self.cursor_key is not None and self.cursor_key in self._layout.places:
            line, x = self._layout.places[self.cursor_key]
            self.repaint_line(line, x, self._layout.scale)
            self.post_message(self.Moved(self, self.cursor_key))

    def on_click(self, event: Click) -> None:
        """Choose a node; a second click on it opens it."""
        where = event.get_content_offset(self)
        node = None if where is None else self._layout.node_at(self.top + where.y - self.head, where.x)
        if node is not None:
            event.stop()
            if event.chain > 1:
                self.action_open()
            else:
                self._go(node)


def _runs(xs: Sequence[int], wide: int) -> list[tuple[int, int]]:
    """Nodes at ascending cells as runs (first, one after the last), small gaps bridged."""
    runs: list[tuple[int, int]] = []
    for x in xs:
        if runs and x - runs[-1][1] <= _BRIDGE:
            runs[-1] = (runs[-1][0], x + wide)
        else:
            runs.append((x, x + wide))
    return runs
