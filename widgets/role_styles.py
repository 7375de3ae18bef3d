"""RoleStyles: maps the name of a role to the style that the App's theme gives it, and spans to Strips.

Styles are read from the variables of the App's theme (`role-state-idle`), so a widget knows no theme and no colour.
Under a foreign theme every role has the theme's text style: plain, but readable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from .cells import Align, Span, cut_spans, pad_spans, spans_width

_PREFIX = "role-"


class RoleStyles:
    """The styles of one theme. Call it with a role; `on` paints the role's colour on the ground of another role."""

    def __init__(self, roles: dict[str, str], foreground: str, background: str) -> None:
        plain = Style.parse(f"{foreground} on {background}".replace("ansi_", ""))  # Rich names the terminal's own so
        self.text = plain + Style.parse(roles["text"]) if "text" in roles else plain
        self._roles = {role: Style.parse(style) for role, style in roles.items()}
        self._cache: dict[tuple[str, str, bool], Style] = {}

    def __call__(self, role: str = "", *, on: str = "", bold: bool = False) -> Style:
        """The style of a role, always with a background: a strip without one would show the terminal's own."""
        key = (role, on, bold)
        style = self._cache.get(key)
        if style is None:
            ground = self.text if not on else self.text + self._roles.get(on, Style())
            style = ground
            if role and role != on:
                own = self._roles.get(role, Style())
                if on and ground.reverse:
                    # Reversed, a colour would be the background of its word, and a dim word would be unreadable.
                    own = own.without_color + Style(dim=False)
                elif on:
                    own = own.without_color + Style(color=own.color)
                style = ground + own
            if bold:
                style += Style(bold=True)
            self._cache[key] = style
        return style

    def strip(self, spans: Iterable[Span], cells: int | None = None, *, on: str = "", dim: bool = False) -> Strip:
        """The spans as one Strip, of width `cells` if that is known already.

        Blank text joins the run before it, whatever its role: fewer runs, fewer bytes.
        """
        segments: list[Segment] = []
        text, role = "", "text-dim" if dim else ""
        for piece, want in spans:
            if not piece:
                continue
            if dim or want == role or piece.isspace():
                text += piece
                continue
            if text and not text.isspace():
                segments.append(Segment(text, self(role, on=on)))
                text = piece
            else:
                text += piece
            role = want
        if text:
            segments.append(Segment(text, self(role, on=on)))
        return Strip(segments, cells)

    def line(self, spans: Sequence[Span], cells: int, align: Align = "left", *, on: str = "") -> Strip:
        """The spans as a Strip of exactly `cells` cells."""
        return self.strip(pad_spans(spans, cells, align), max(0, cells), on=on)

    def split_line(self, left: Sequence[Span], right: Sequence[Span], cells: int, *, on: str = "") -> Strip:
        """A line with a left part that is cut where needed and a right part that keeps its place."""
        right = cut_spans(right, cells)
        taken = spans_width(right)
        if right and taken < cells:
            room = cells - taken - 1
            return self.strip([*pad_spans(left, room), (" ", ""), *right], cells, on=on)
        return self.line(right or left, cells, on=on)


_STYLES: dict[str, RoleStyles] = {}


def role_styles(widget: Widget) -> RoleStyles:
    """The RoleStyles of the active theme. The same object until the theme changes, so callers may compare it."""
    name = widget.app.theme
    found = _STYLES.get(name)
    if found is None:
        theme = widget.app.current_theme
        roles = {key[len(_PREFIX) :]: value for key, value in theme.variables.items() if key.startswith(_PREFIX)}
        colours = theme.to_color_system().generate()
        found = _STYLES[name] = RoleStyles(roles, colours["foreground"], colours["background"])
    return found
