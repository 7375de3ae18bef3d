"""NodeMap: the whole machine at a glance: one cell per node, rack by rack, or one tile per rack where the nodes do not
fit, and then a single rack after Enter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from collectors.model import Cluster
from themes.roles import state_look

from .cells import Span, pad
from .map_health import MapHealth
from .map_layout import MapLayout, lay_out, lay_out_rack
from .map_legend import legend
from .map_measures import UNKNOWN_CELL, Measure, cell_function, is_block, is_solid, power_top, tile_function, widened
from .scroll import Scrolled
from .units import plural

_EMPTY = Cluster(name="")
_NO_HEALTH = MapHealth()
_BRIDGE = 6
"""Up to this many unchanged cells between two changed runs are painted again, which is cheaper than a jump."""


class NodeMap(Scrolled):
    """Shows the cluster given to `set_cluster` and the health given to `set_health`; `measure` selects what the cells
    show. A fault lies over every measure. Only changed runs are painted.
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

    class RackOpened(Message):
        """The operator opened the tile of a rack."""

        def __init__(self, map: NodeMap, rack: str) -> None:
            super().__init__()
            self.map, self.rack = map, rack

        @property
        def control(self) -> NodeMap:
            """The map."""
            return self.map

    class RackLeft(Message):
        """The operator clicked on the way back to the whole machine."""

        def __init__(self, map: NodeMap) -> None:
            super().__init__()
            self.map = map

        @property
        def control(self) -> NodeMap:
            """The map."""
            return self.map

    class Moved(Message):
        """The cursor moved to another node or rack, or the map shows another rack; None where there is nothing."""

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
        """The node under the cursor; on a map of racks, the rack."""
        self.zoomed: str | None = None
        """The rack that alone is shown; None for the whole machine."""
        self.chosen = False
        """Whether the user put the cursor there: a default position is no target for actions."""
        self._cluster = _EMPTY
        self._health = _NO_HEALTH
        self._layout = MapLayout()
        self._laid_out = _EMPTY.racks
        self._shown_cells: dict[int, list[Span]] = {}
        self._painted: dict[int, tuple[list[Span], Strip]] = {}
        """Line to its cells and the strip painted of them, without the cursor."""
        self._top_w = 0.0
        self._cells: dict[str, Span] = {}
        self._cell: Callable[[str], Span] = lambda _: UNKNOWN_CELL
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
        self._renew_cells()

    def set_health(self, health: MapHealth) -> None:
        """Show newer health of the nodes and racks."""
        if health is not self._health and health != self._health:
            before, self._health = self._health, health
            self._renew_cells()
            if before.ill_racks != health.ill_racks:
                self._painted.clear()
                self.refresh()
            if self.zoomed is not None:
                self.refresh(Region(0, 0, self.extent.width, self.head))
            self._show_changes()

    def zoom(self, rack: str | None) -> bool:
        """Show one rack alone, or with None the whole machine again. The cursor goes to the first node at fault, or
        back to the rack. False where there is nothing to change."""
        if rack == self.zoomed or (rack is not None and rack not in self._cluster.racks):
            return False
        before, self.zoomed = self.zoomed, rack
        self.top = 0
        self._lay_out()
        names = self._cluster.racks.get(rack or "", ())
        at_fault = (name for name in names if is_solid(self._cell(name)[1]))
        self.cursor_key = before if rack is None else next(at_fault, next(iter(names), None))
        self.chosen = True
        if self.cursor_key is not None:
            self.show_line(self._layout.places[self.cursor_key][0])
        self.refresh()
        self.post_message(self.Moved(self, self.cursor_key))
        return True

    def select(self, node: str) -> bool:
        """Put the cursor on a node, or on its rack where the map shows racks. False when it is not on the map."""
        known = self._cluster.nodes.get(node)
        key = node if not self.shows_racks else None if known is None else known.rack
        if key not in self._layout.places:
            return False
        self._go(key)
        return True

    @property
    def shows_racks(self) -> bool:
        """Whether the cells are racks."""
        return self._layout.tiles

    @property
    def cursor_node(self) -> str | None:
        """The node under the cursor; None on a map of racks."""
        return None if self.shows_racks else self.cursor_key

    @property
    def cursor_rack(self) -> str | None:
        """The rack under the cursor of a map of racks, or that of the node under the cursor."""
        if self.shows_racks:
            return self.cursor_key
        node = self._cluster.nodes.get(self.cursor_key or "")
        return None if node is None else node.rack or ""

    @property
    def chosen_key(self) -> str | None:
        """The node that the user put the cursor on and that keys apply to, which is also the one
        highlighted; else None.
        """
        return self.cursor_node if self.chosen and self.has_focus else None

    @property
    def chosen_rack(self) -> str | None:
        """The rack that the user put the cursor on; None where the map shows nodes."""
        return self.cursor_key if self.shows_racks and self.chosen and self.has_focus else None

    @property
    def lines_wanted(self) -> int:
        """Lines that the whole map takes at its current width."""
        return len(self._layout.lines) + self.head

    @property
    def health(self) -> MapHealth:
        """The health shown."""
        return self._health

    def legend(self) -> list[Span]:
        """The meaning of the cells."""
        return legend(self.measure, self._health, self._top_w, racks=self.shows_racks, numbers=self._layout.scale > 1)

    @property
    def head(self) -> int:  # type: ignore[override]
        """One line over a single rack: its name, and the way back."""
        return 0 if self.zoomed is None else 1

    # Painting.

    @property
    def body_lines(self) -> int:
        """Lines of the map."""
        return len(self._layout.lines)

    def paint_head(self, y: int, cells: int) -> Strip:
        """The rack that alone is shown."""
        nodes, rack = self._cluster.racks.get(self.zoomed or "", ()), self._health.racks.get(self.zoomed or "")
        left: list[Span] = [(self.zoomed or "no rack", "title"), (f"  {plural(len(nodes), 'node')}", "text-dim")]
        if rack is not None and rack.level is not None:
            left.append((f"  {plural(rack.faults, 'fault')}", rack.level))
        return self.role_styles.split_line(left, [("‹ whole machine", "key")], cells)

    def _renew_cells(self) -> None:
        """Make the function that gives each cell its content."""
        layout, health = self._layout, self._health
        if layout.tiles:
            self._cell = tile_function(self.measure, health, self._top_w, layout.mark, layout.scale > 1, self._cells)
            return
        cell, wide = cell_function(self.measure, self._cluster, health, self._top_w, self._cells), layout.mark
        self._cell = (lambda key: widened(cell(key), wide)) if wide > 1 else cell

    def _lay_out(self) -> None:
        self._laid_out = self._cluster.racks
        if self.zoomed is not None and self.zoomed not in self._laid_out:
            self.zoomed = None
        self._layout = self._layout_in(self.extent.width)
        if len(self._layout.lines) > self.page:  # leave a column for the bar
            self._layout = self._layout_in(self.extent.width - 1)
        self._cells.clear()
        self._renew_cells()
        self._shown_cells.clear()
        self._painted.clear()
        self.top = max(0, min(self.top, self.body_lines - self.page))
        if self.cursor_key not in self._layout.places:
            beside = self._beside_cursor()
            # A node that the user did not choose is no target.
            self.chosen = self.chosen and beside is not None and self.shows_racks
            self.cursor_key = beside or next(iter(self._layout.places), None)
            self.post_message(self.Moved(self, self.cursor_key))

    def _layout_in(self, cells: int) -> MapLayout:
        if self.zoomed is not None:
            return lay_out_rack(self._laid_out[self.zoomed], cells, self.page)
        return lay_out(self._laid_out, cells, self.page)

    def _beside_cursor(self) -> str | None:
        """What the cursor goes to where the map now shows the rack of its node, or the nodes of its rack."""
        node = self._cluster.nodes.get(self.cursor_key or "")
        names = self._laid_out.get(self.cursor_key or "", ())
        found = next(iter(names), None) if node is None else node.rack
        return found if found in self._layout.places else None

    def _cells_of(self, at: int) -> list[Span]:
        return [self._cell(key) for run in self._layout.lines[at] for key in run.keys]

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
                xs = [self._layout.places[key][1] for run in self._layout.lines[at] for key in run.keys]
                changed = [x for x, old, new in zip(xs, before, now, strict=True) if old is not new and old != new]
                runs = _runs(changed, self._layout.scale)
                regions += [Region(start, y, end - start, 1) for start, end in runs]
            self._shown_cells[at] = now
        if regions:
            self.refresh(*regions)

    def paint_body(self, at: int, cells: int) -> Strip:
        """One line: labels and cells, and the cursor over them."""
        now = self._shown_cells[at] = self._cells_of(at)
        kept = self._painted.get(at)
        if kept is None or kept[0] != now or kept[1].cell_length != cells:
            kept = self._painted[at] = now, self._line_of(at, now, cells)
        head = kept[1]
        cursor = self._layout.places.get(self.cursor_key or "") if self.chosen and self.has_focus else None
        if cursor is None or cursor[0] != at:
            return head
        here, end = cursor[1], cursor[1] + max(1, self._layout.scale - 1)
        text = head.crop(here, end).text
        found = self._cluster.nodes.get(self.cursor_key or "")
        if self.role_styles("map-cursor").reverse and is_block(text):
            # Reversed, a block would be a hole: the glyph of its state is shown instead.
            glyph = "●" if found is None else state_look(found.display)[0]
            text = glyph.center(self._layout.mark) + text[self._layout.mark :]
        mark = self.role_styles.strip(((text, "map-cursor"),))
        return Strip([*head.crop(0, here), *mark, *head.crop(end, cells)], cells)

    def _line_of(self, at: int, now: Sequence[Span], cells: int) -> Strip:
        """The strip of a line without the cursor."""
        layout, spans, x, cell = self._layout, list[Span](), 0, 0
        for run in layout.lines[at]:
            ill = run.label in self._health.ill_racks and not layout.tiles
            label = pad(f"{run.label}{'!' * ill}", run.first - run.x)
            spans += [(" " * (run.x - x), ""), (label, "bad" if ill else "text-dim")]
            for key, (text, role) in zip(run.keys, now[cell:], strict=False):
                spans.append((text, role))
                if layout.named:
                    name = pad(key, layout.named)
                    spans += [(" ", role), (name, role if is_solid(role) else "text-dim"), ("  ", "")]
                elif layout.scale > 1:
                    spans.append((" ", ""))
            cell += len(run.keys)
            x = run.first + len(run.keys) * layout.scale
        if self.dimmed:
            spans = [(text, role if role == "map-healthy" else "text-dim") for text, role in spans]
        return self._strip_of(spans, cells)

    def _strip_of(self, spans: Sequence[Span], cells: int) -> Strip:
        """The spans as a strip. Blank text joins the run before it, but not where either is filled with colour."""
        segments: list[Segment] = []
        text, role = "", ""
        for piece, want in spans:
            if want == role or (piece.isspace() and not is_solid(want) and not is_solid(role)):
                text += piece
            elif text.isspace() and not is_solid(want) and not is_solid(role):
                text, role = text + piece, want
            else:
                if text:
                    segments.append(Segment(text, self.role_styles(role)))
                text, role = piece, want
        segments.append(Segment(text, self.role_styles(role)))
        return Strip(segments).adjust_cell_length(cells, self.role_styles(""))

    def watch_measure(self) -> None:
        """Another measure: the same places, other cells."""
        self._cells.clear()
        self._renew_cells()
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

    def _go(self, key: str | None) -> None:
        fresh = key is not None and not self.chosen
        self.chosen = self.chosen or fresh
        if key is None or (key == self.cursor_key and not fresh):
            return
        before = self._layout.places.get(self.cursor_key or "")
        self.cursor_key = key
        line, x = self._layout.places[key]
        if not self.show_line(line):
            if before is not None:
                self.repaint_line(before[0], before[1], self._layout.scale)
            self.repaint_line(line, x, self._layout.scale)
        self.repaint_bar()
        self.post_message(self.Moved(self, key))

    def action_beside(self, by: int) -> None:
        """Move one cell to the side; past the end of a line, to the next line."""
        if self.cursor_key is None:
            return
        key = self._layout.beside(self.cursor_key, by)
        if key is None:
            line = self._layout.places[self.cursor_key][0] + by
            key = self._layout.nearest(line, 0 if by > 0 else self.extent.width)
        self._go(key)

    def action_line(self, by: int) -> None:
        """Move to the nearest cell `by` lines up or down."""
        if self.cursor_key is not None:
            line, x = self._layout.places[self.cursor_key]
            self._go(self._layout.nearest(max(0, min(line + by, self.body_lines - 1)), x))

    def action_page(self, by: int) -> None:
        """Move a page up or down."""
        self.action_line(by * max(1, self.page - 1))

    def action_ends(self, last: bool) -> None:
        """Move to the first or the last cell."""
        places = list(self._layout.places)
        if places:
            self._go(places[-1 if last else 0])

    def action_open(self) -> None:
        """Open the chosen node or rack; without one, first show where the cursor is."""
        if self.chosen and self.cursor_key is not None and self.shows_racks:
            self.post_message(self.RackOpened(self, self.cursor_key))
        elif self.chosen and self.cursor_key is not None:
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
        """Choose a node or rack; a second click on it opens it. A click on the line over a rack leaves the rack."""
        where = event.get_content_offset(self)
        if where is None:
            return
        if where.y < self.head:
            event.stop()
            self.post_message(self.RackLeft(self))
            return
        key = self._layout.key_at(self.top + where.y - self.head, where.x)
        if key is not None:
            event.stop()
            if event.chain > 1:
                self.action_open()
            else:
                self._go(key)


def _runs(xs: Sequence[int], wide: int) -> list[tuple[int, int]]:
    """Cells at ascending positions as runs (first, one after the last), small gaps bridged."""
    runs: list[tuple[int, int]] = []
    for x in xs:
        if runs and x - runs[-1][1] <= _BRIDGE:
            runs[-1] = (runs[-1][0], x + wide)
        else:
            runs.append((x, x + wide))
    return runs
