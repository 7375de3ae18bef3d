"""Scrolled: the base of the table, the panes and the map: a body of lines that scrolls, fixed lines around it, a bar.

Textual's own ScrollView is not used: its scrollbar is a widget that repaints whole at every step, its header would
scroll, and a change of its virtual size lays the screen out again. Here a step costs the lines that changed.
"""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from collectors.model import Cluster

from .cells import Span
from .role_styles import RoleStyles, role_styles

WHEEL_LINES = 3
"""Lines that one notch of the wheel scrolls."""


class Scrolled(Widget, can_focus=True):
    """Lines painted by `paint_body`, from `top` on; `head` and `foot` lines are fixed above and below them."""

    ALLOW_SELECT = False
    head = 0
    foot = 0

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.top = 0
        """The first visible line of the body."""
        self.extent = Size(0, 0)
        """The size that is painted for. Textual's own `size` is looked up in the layout every time, which is slow."""
        self._theme_styles: RoleStyles | None = None
        self._bar_painted: tuple[int, int] | None = None
        self._bar_dragged = False

    # Overridden by subclasses.

    def update_hidden(self, cluster: Cluster, ctx: Any) -> None:
        """Take newer data while hidden, so that older data is freed; paint nothing."""

    @property
    def body_lines(self) -> int:
        """Lines in the body, visible or not."""
        return 0

    def paint_head(self, y: int, cells: int) -> Strip:
        """One of the fixed lines above."""
        return self.role_styles.line((), cells)

    def paint_foot(self, cells: int) -> Strip:
        """The fixed line below."""
        return self.role_styles.line((), cells)

    def paint_body(self, at: int, cells: int) -> Strip:
        """Line `at` of the body in exactly `cells` cells."""
        return self.role_styles.line((), cells)

    def paint_blank(self, y: int, cells: int) -> Strip:
        """Line `y` of the page, below the end of the body."""
        return self.role_styles.line((), cells)

    def bar_cell(self, thumb: bool | None) -> Span | None:
        """One cell of the scrollbar, under its thumb or not; `thumb` None where no bar is needed."""
        return None if thumb is None else ("▐", "thumb") if thumb else ("▕", "trough")

    def resized(self) -> None:
        """The size changed: arrange the body again."""

    def focus_changed(self) -> None:
        """The focus changed: repaint what shows it."""

    def role_styles_changed(self) -> None:
        """The theme changed: discard what was painted."""

    # Provided to subclasses.

    @property
    def role_styles(self) -> RoleStyles:
        """The styles of the active theme."""
        found = role_styles(self)
        if found is not self._theme_styles:
            self._theme_styles = found
            self.role_styles_changed()
        return found

    @property
    def page(self) -> int:
        """Visible lines of the body."""
        return max(0, self.extent.height - self.head - self.foot)

    @property
    def has_bar(self) -> bool:
        """Whether the body is longer than the page."""
        return self.body_lines > self.page > 0 and self.extent.width > 2

    @property
    def inner_width(self) -> int:
        """Cells of a line of the body, without the bar."""
        return max(0, self.extent.width - (1 if self.has_bar else 0))

    def scroll_top(self, top: int) -> bool:
        """Show the body from this line on, clamped to its length. True when the first line changed."""
        top = max(0, min(top, self.body_lines - self.page))
        if top == self.top:
            return False
        self.top = top
        self.scrolled()
        return True

    def scrolled(self) -> None:
        """Repaint after scrolling: the whole page, unless a subclass can repaint less."""
        if self.page:
            self.refresh(Region(0, self.head, self.extent.width, self.page))

    def show_line(self, at: int) -> bool:
        """Scroll as little as needed to show a line of the body."""
        if at < self.top:
            return self.scroll_top(at)
        if self.page and at >= self.top + self.page:
            return self.scroll_top(at - self.page + 1)
        return False

    def repaint_line(self, at: int, x: int = 0, cells: int | None = None) -> None:
        """Repaint one line of the body, or a part of it, if it is visible."""
        y = at - self.top
        if 0 <= y < self.page:
            self.refresh(Region(x, y + self.head, self.extent.width - x if cells is None else cells, 1))

    def repaint_bar(self) -> None:
        """Repaint the cells of the bar whose look changed."""
        before, now = self._bar_painted, self._thumb()
        if before == now:
            return
        self._bar_painted = now
        x = self.extent.width - 1
        if before is None or now is None:
            self.refresh(Region(0, self.head, self.extent.width, self.page))
            return
        for y in set(range(*before)) ^ set(range(*now)):
            self.refresh(Region(x, y + self.head, 1, 1))

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a region. Bypasses Textual's cache of styled lines: all lines are cached here already."""
        styles = self.styles
        if styles.gutter.totals != (0, 0) or self.opacity != 1.0 or styles.tint.a:
            return super().render_lines(crop)
        self._measure()
        strips = [self._line(y) for y in crop.line_range]
        if crop.column_span != (0, self.extent.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        for line_filter in self.get_line_filters():
            ground = self.background_colors[1]
            strips = [strip.apply_filter(line_filter, ground) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """One line of the widget."""
        self._measure()
        return self._line(y)

    def _measure(self) -> bool:
        """Update `extent` if the size changed. A paint may precede the resize event."""
        size = self.size
        if size == self.extent:
            return False
        self.extent = size
        self.resized()
        self.top = max(0, min(self.top, self.body_lines - self.page))
        self._bar_painted = self._thumb()
        return True

    def _line(self, y: int) -> Strip:
        size, paint = self.extent, self.role_styles
        if not size.width:
            return Strip([])
        if y < self.head:
            return self.paint_head(y, size.width)
        y -= self.head
        if y >= self.page:
            return self.paint_foot(size.width)
        inner, at = self.inner_width, self.top + y
        strip = self.paint_body(at, inner) if at < self.body_lines else self.paint_blank(y, inner)
        thumb = self._bar_painted = self._thumb()
        cell = self.bar_cell(None if thumb is None else thumb[0] <= y < thumb[1])
        return strip if cell is None else Strip([*strip, Segment(cell[0], paint(cell[1]))], size.width)

    def _thumb(self) -> tuple[int, int] | None:
        """First line of the thumb and the one after its last, on the page; None without a bar."""
        if not self.has_bar:
            return None
        page, lines = self.page, self.body_lines
        long = max(1, page * page // lines)
        # The thumb touches an end only when the body is at that end.
        start = round((page - long) * self.top / (lines - page))
        if 0 < self.top < lines - page and page - long > 1:
            start = max(1, min(start, page - long - 1))
        return start, start + long

    # Events.

    # Textual calls a handler of this name in every class that has one, so those below call methods to override.

    def on_resize(self) -> None:
        """Keep the page filled."""
        self._measure()
        self.refresh()

    def on_focus(self, event: events.Focus) -> None:
        """As Textual does, but without repainting the whole widget."""
        event.prevent_default()
        self.has_focus = True
        if self.parent is not None:
            self.parent.post_message(events.DescendantFocus(self))
        self.focus_changed()

    def on_blur(self, event: events.Blur) -> None:
        """As `on_focus`, when the focus is lost."""
        event.prevent_default()
        self.has_focus = False
        if self.parent is not None:
            self.parent.post_message(events.DescendantBlur(self))
        self.focus_changed()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll without moving the cursor."""
        if self.scroll_top(self.top + WHEEL_LINES):
            event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll without moving the cursor."""
        if self.scroll_top(self.top - WHEEL_LINES):
            event.stop()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Start dragging the bar."""
        if self.has_bar and event.x == self.extent.width - 1 and event.y >= self.head:
            self._bar_dragged = True
            self.capture_mouse()
            self._drag_bar(event.y)
            event.stop()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag the bar."""
        if self._bar_dragged:
            self._drag_bar(event.y)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Release the bar."""
        if self._bar_dragged:
            self._bar_dragged = False
            self.capture_mouse(False)
            event.stop()

    def _drag_bar(self, y: int) -> None:
        """Scroll so that the middle of the thumb is on a line of the widget."""
        thumb = self._thumb()
        if thumb is not None:
            long = thumb[1] - thumb[0]
            reach = max(1, self.page - long)
            self.scroll_top(round((y - self.head - (long - 1) / 2) / reach * (self.body_lines - self.page)))
