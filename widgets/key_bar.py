"""KeyBar: the keys that work on this screen, in the last line. A key that is refused now is dim and says why."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from textual.events import Click
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from .cells import Span, cut, width
from .role_styles import role_styles

_GAP = 2


class KeyHint(Struct, frozen=True):
    """One key of the bar, as shown ("Space", "d"), and what it does ("drain")."""

    key: str
    label: str
    enabled: bool = True
    refusal: str = ""
    pinned: bool = False
    """Whether it stays when the bar is too narrow for all keys."""

    @property
    def cells(self) -> int:
        """Cells it takes."""
        return width(self.key) + 1 + width(self.label)


class KeyBar(Widget):
    """Shows the keys given to `set_keys`. Where they do not fit, refused ones are dropped, then others that are not
    pinned, the last first; then the pinned ones from the first on. The last one always stays.
    """

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; background: $panel; }
    """
    ALLOW_SELECT = False

    class Pressed(Message):
        """A key was clicked, enabled or not."""

        def __init__(self, bar: KeyBar, key: KeyHint) -> None:
            super().__init__()
            self.bar, self.key = bar, key

        @property
        def control(self) -> KeyBar:
            """The bar."""
            return self.bar

    def __init__(self, keys: Sequence[KeyHint] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.keys: tuple[KeyHint, ...] = tuple(keys)
        self._places: list[tuple[int, KeyHint]] = []

    def set_keys(self, keys: Sequence[KeyHint]) -> None:
        """Show other keys, in this order."""
        if tuple(keys) != self.keys:
            self.keys = tuple(keys)
            self.refresh()

    def placed(self, cells: int) -> list[tuple[int, KeyHint]]:
        """The keys that fit, each with its first cell."""
        shown = list(self.keys)
        while len(shown) > 1 and 2 + sum(key.cells for key in shown) + _GAP * (len(shown) - 1) > cells:
            loose = [at for at, key in enumerate(shown[:-1]) if not key.pinned]
            refused = [at for at in loose if not shown[at].enabled]
            del shown[(refused or loose or [0])[-1]]
        places, x = [], 1
        for key in shown:
            places.append((x, key))
            x += key.cells + _GAP
        return places

    def render_line(self, y: int) -> Strip:
        """The line."""
        cells = self.size.width
        self._places = self.placed(cells)
        spans: list[Span] = [(" ", "")]
        for at, (_, key) in enumerate(self._places):
            spans += [(" " * _GAP, "")] if at else []
            spans.append((key.key, "key" if key.enabled else "key-off"))
            spans.append((" " + cut(key.label, cells), "bar" if key.enabled else "key-off"))
        return role_styles(self).line(spans, cells, on="bar")

    def on_click(self, event: Click) -> None:
        """Send the message of the clicked key, as if it had been pressed."""
        for x, key in self._places:
            if x <= event.x < x + key.cells:
                event.stop()
                self.post_message(self.Pressed(self, key))
