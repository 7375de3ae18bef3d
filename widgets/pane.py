"""Pane: a box with a title around lines of spans; for figures, for lists to choose from, and for long texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from .cells import Span, cut_spans, spans_of, spans_width, width, wrap_spans
from .scroll import Scrolled

#: Cells below which nothing is wrapped, and which a label has at most.
_MIN_WRAP = 20
#: Most lines on which a choosable line is folded: a list must show more than its first item.
MAX_FOLDS = 2


class PaneLine(NamedTuple):
    """One line of a pane: spans, spans at its right end, and a key if it can be chosen.

    `link` is the URL of the last span, for a terminal that supports links (`widgets.terminal.screen_diff` says which
    URLs). `continues` is set on a part of a wrapped line: it belongs to the line above.
    """

    spans: Sequence[Span]
    right: Sequence[Span] = ()
    key: str | None = None
    link: str | None = None
    continues: bool = False


def pane_line(text: str | Span | Sequence[Span], right: Sequence[Span] = (), key: str | None = None) -> PaneLine:
    """A PaneLine from a text, a span or spans."""
    return PaneLine(spans_of(text), right, key)


class Pane(Scrolled):
    """Paints `lines`. With `select` a cursor moves over the lines that have a key; with `scroll` it takes the focus.

    With `wrap` a long line continues below, a choosable one on at most FOLDS lines; else it is cut.
    """

    DEFAULT_CSS = """
    Pane { width: 1fr; height: 1fr; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "Up", show=False),
        Binding("down,j", "step(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "ends(False)", "First", show=False),
        Binding("end", "ends(True)", "Last", show=False),
        Binding("enter", "open", "Open", show=False),
    ]

    class Opened(Message):
        """The operator opened a line."""

        def __init__(self, pane: Pane, key: str) -> None:
            super().__init__()
            self.pane, self.key = pane, key

        @property
        def control(self) -> Pane:
            """The pane, so that `@on(Pane.Opened, "#needs")` works."""
            return self.pane

    class Moved(Message):
        """The cursor moved to another line's key."""

        def __init__(self, pane: Pane, key: str | None) -> None:
            super().__init__()
            self.pane, self.key = pane, key

        @property
        def control(self) -> Pane:
            """The pane."""
            return self.pane

    def __init__(
        self,
        title: str | Sequence[Span] = "",
        *,
        border: bool = True,
        select: bool = False,
        scroll: bool = False,
        wrap: bool = False,
        empty_text: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.border = border
        self.select = select
        self.can_focus = select or scroll
        self.head = self.foot = 1 if border else 0
        self.lines: tuple[PaneLine, ...] = ()
        self._source_lines: tuple[PaneLine, ...] = ()
        self._wraps = wrap
        self.cursor_key: str | None = None
        """The key under the cursor of a pane with `select`."""
        self._title = _spans(title)
        self._title_right: Sequence[Span] = ()
        self._empty_text = empty_text
        self._strips: dict[tuple[int, int, bool], Strip] = {}

    # Input.

    def set_empty_text(self, text: str) -> None:
        """Set the text that is shown while there are no lines."""
        if text != self._empty_text:
            self._empty_text = text
            if self.is_mounted and not self.lines:
                self._strips.clear()
                self.refresh()

    def set_title(self, title: str | Sequence[Span], right: str | Sequence[Span] = ()) -> None:
        """Set the title and the text at the right end of the same line."""
        spans, right = _spans(title), _spans(right)
        if spans != self._title or right != self._title_right:
            self._title, self._title_right = spans, right
            if self.is_mounted and self.border:
                self.refresh(Region(0, 0, self.extent.width, 1))

    def set_lines(self, lines: Sequence[PaneLine]) -> None:
        """Set the lines; only those that differ are painted. The cursor stays on its key, or moves to the nearest."""
        self._source_lines = tuple(lines)
        before, self.lines = self.lines, self._wrapped()
        self._strips.clear()
        self._keep_cursor(before)
        if not self.is_mounted:
            return
        top = max(0, min(self.top, len(self.lines) - self.page))
        if top != self.top or not before or not self.lines:
            self.top = top
            self.scrolled()
        else:
            for at in range(self.top, self.top + self.page):
                if before[at : at + 1] != self.lines[at : at + 1]:
                    self.repaint_line(at)
        self.repaint_bar()

    def _wrapped(self) -> tuple[PaneLine, ...]:
        """The lines, wrapped if the pane wraps: continuation lines are indented below the text after the label."""
        room = self.inner_width - 3
        if not self._wraps or room < _MIN_WRAP:
            return self._source_lines
        found: list[PaneLine] = []
        for one in self._source_lines:
            right = spans_width(one.right) + 1 if one.right else 0
            if one.link is not None or spans_width(one.spans) <= room - right or room - right < _MIN_WRAP:
                found.append(one)
                continue
            label = one.spans[0][0]
            labelled = len(one.spans) > 1 and label.endswith(" ") and width(label) < _MIN_WRAP
            indent = width(label) if labelled else 2 + len(label) - len(label.lstrip(" "))
            rows = wrap_spans(one.spans, room, indent, room - right)
            if one.key is not None and len(rows) > MAX_FOLDS:
                rows = wrap_spans(one.spans, room - 2, indent, room - right)[:MAX_FOLDS]
                rows[-1].append((" …", "text-dim"))
            found += [PaneLine(rows[0], one.right, one.key), *(PaneLine(row, continues=True) for row in rows[1:])]
        return tuple(found)

    def _continuation_count(self, at: int) -> int:
        """How many lines below this one belong to it."""
        end = at + 1
        while end < len(self.lines) and self.lines[end].continues:
            end += 1
        return end - at - 1

    def _repaint_whole(self, at: int) -> None:
        for each in range(at, at + self._continuation_count(at) + 1):
            self.repaint_line(each)

    def resized(self) -> None:
        """Wrap for the new width."""
        if self._wraps:
            self.lines = self._wrapped()
            self._strips.clear()

    def select_key(self, key: str) -> bool:
        """Put the cursor on a line. False when no line has the key."""
        at = self._index_of(key)
        if at is not None:
            self._go(at)
        return at is not None

    # Painting.

    @property
    def body_lines(self) -> int:
        """Number of lines, visible or not."""
        return len(self.lines)

    @property
    def inner_width(self) -> int:
        """A bordered pane's bar is in its border, so that its lines never change their width."""
        return max(0, self.extent.width - 1) if self.border else super().inner_width

    def bar_cell(self, thumb: bool | None) -> Span | None:
        """The right border, with the thumb in it."""
        if not self.border:
            return super().bar_cell(thumb)
        return ("┃", "thumb") if thumb else ("│", "border")

    def paint_head(self, y: int, cells: int) -> Strip:
        """The upper border with the title."""
        role = "border-focus" if self.has_focus else "border"
        if cells < 2:
            return self.role_styles.line((("╭", role),), cells)
        room = cells - 4
        right = cut_spans(self._title_right, max(0, room // 2)) if room > 8 else []
        left = cut_spans(self._title, room - (spans_width(right) + 3 if right else 0)) if room > 0 else []
        left = [(" ", ""), *left, (" ", "")] if left else []
        right = [(" ", ""), *right, (" ", "")] if right else []
        rule = cells - 3 - spans_width(left) - spans_width(right) - (1 if right else 0)
        spans: list[Span] = [("╭─" if rule >= 0 else "╭", role)]
        spans += [(text, own or "title") for text, own in left]
        spans.append(("─" * rule, role))
        spans += [(text, own or "text-dim") for text, own in right]
        spans.append(("─╮" if right else "╮", role))
        return self.role_styles.line(spans, cells)

    def paint_foot(self, cells: int) -> Strip:
        """The lower border."""
        return self.role_styles.line((("╰" + "─" * (cells - 2) + "╯", "border"),), cells)

    def paint_body(self, at: int, cells: int) -> Strip:
        """One line within the side borders."""
        key = self.lines[self._first(at)].key
        cursor = self.select and key is not None and key == self.cursor_key and self.has_focus
        found = self._strips.get((at, cells, cursor))
        if found is None:
            found = self._strips[at, cells, cursor] = self._bordered(self.lines[at], cells, cursor)
        return found

    def _bordered(self, line: PaneLine, cells: int, cursor: bool = False) -> Strip:
        on = "cursor" if cursor else ""
        if not self.border:
            return self.role_styles.split_line(line.spans, line.right, cells, on=on)
        if cells < 3:
            return self.role_styles.line((("│", "border"),), cells)
        inner = self.role_styles.split_line(
            [("▌" if cursor else " ", "accent"), *line.spans], line.right, cells - 2, on=on
        )
        if line.link is not None and line.spans:
            inner = _linked(inner, line)
        edge = self.role_styles.strip((("│", "border"),))
        return Strip([*edge, *inner, *self.role_styles.strip(((" ", ""),))], cells)

    def paint_blank(self, y: int, cells: int) -> Strip:
        """The area below the last line; the text of an empty pane is on its first line."""
        empty = not self.lines and y == 0 and self._empty_text
        return self._bordered(PaneLine(((self._empty_text, "text-dim"),) if empty else ()), cells)

    def role_styles_changed(self) -> None:
        """Discard the strips of the old theme."""
        self._strips.clear()

    # Keys and mouse.

    def _first(self, at: int) -> int:
        """The first of the lines that this one belongs to."""
        while at and self.lines[at].continues:
            at -= 1
        return at

    def _index_of(self, key: str | None) -> int | None:
        return next((at for at, each in enumerate(self.lines) if each.key == key), None) if key is not None else None

    def _keep_cursor(self, before: Sequence[PaneLine]) -> None:
        if not self.select or (self.cursor_key is not None and self._index_of(self.cursor_key) is not None):
            return
        old = next((at for at, each in enumerate(before) if each.key == self.cursor_key), 0)
        can = [at for at, each in enumerate(self.lines) if each.key is not None]
        nearest = min(can, key=lambda at: (abs(at - old), -at), default=None)
        key = None if nearest is None else self.lines[nearest].key
        if key != self.cursor_key:
            self.cursor_key = key
            self.post_message(self.Moved(self, key))

    def _go(self, at: int) -> None:
        before, key = self._index_of(self.cursor_key), self.lines[at].key
        # All of the wrapped line is made visible, its first line in any case.
        scrolled = self.show_line(at + self._continuation_count(at)) | self.show_line(at)
        if key == self.cursor_key:
            return
        self.cursor_key = key
        if not scrolled:
            if before is not None:
                self._repaint_whole(before)
            self._repaint_whole(at)
        self.repaint_bar()
        self.post_message(self.Moved(self, key))

    def _step_choosable(self, by: int) -> None:
        """Move by this number of choosable lines, or to the first or last of them."""
        can = [at for at, each in enumerate(self.lines) if each.key is not None]
        if can:
            now = self._index_of(self.cursor_key)
            place = can.index(now) + by if now is not None else 0
            self._go(can[max(0, min(place, len(can) - 1))])

    def action_step(self, by: int) -> None:
        """Move by one line."""
        if self.select:
            self._step_choosable(by)
        else:
            self.scroll_top(self.top + by)

    def action_page(self, by: int) -> None:
        """Move by one page."""
        step = by * max(1, self.page - 1)
        if self.select:
            self._step_choosable(step)
        else:
            self.scroll_top(self.top + step)

    def action_ends(self, last: bool) -> None:
        """Move to the first or the last line."""
        reach = len(self.lines) if last else -len(self.lines)
        if self.select:
            self._step_choosable(reach)
        self.scroll_top(self.top + reach)

    def action_open(self) -> None:
        """Open the line under the cursor."""
        if self.select and self.cursor_key is not None:
            self.post_message(self.Opened(self, self.cursor_key))

    def on_click(self, event: Click) -> None:
        """Choose a line; a second click on it opens it."""
        where = event.get_content_offset(self)
        at = -1 if where is None else self.top + where.y - self.head
        if not self.select or not 0 <= at < len(self.lines):
            return
        at = self._first(at)
        if self.lines[at].key is None:
            return
        event.stop()
        if event.chain > 1:
            self.action_open()
        else:
            self._go(at)

    def focus_changed(self) -> None:
        """The upper border and the cursor show the focus; painting all four sides would cost kilobytes."""
        if self.border:
            self.refresh(Region(0, 0, self.extent.width, 1))
        at = self._index_of(self.cursor_key)
        if at is not None:
            self._repaint_whole(at)


def _linked(strip: Strip, line: PaneLine) -> Strip:
    """A painted line with the link on its last span alone: not on the blanks behind it."""
    first = 1 + spans_width(line.spans[:-1])
    last = min(first + spans_width(line.spans[-1:]), strip.cell_length)
    if first >= last:
        return strip
    middle = strip.crop(first, last).apply_style(Style(link=line.link))
    return Strip.join([strip.crop(0, first), middle, strip.crop(last, strip.cell_length)])


def _spans(text: str | Sequence[Span]) -> Sequence[Span]:
    return (((text, ""),) if text else ()) if isinstance(text, str) else tuple(text)
