"""What goes over the wire: repaints that begin where the change begins, colours that are said only when they change.

Textual 8.2.8 sends a changed line from the left edge of its widget on ("TODO: crop to x extents" in _compositor.py) and
says foreground, background and a reset for every run of text. Measured at 200x50: a second of a table with a clock in
its sixth column costs 12 KB there and 3 KB here; a page of it 13 KB there and 6 KB here. It rests on the internals of
exactly that version, which is why pyproject.toml pins it.
"""

from __future__ import annotations

from functools import lru_cache

from rich.color import ColorSystem
from rich.console import Console
from rich.control import Control
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.strip import Strip

_RESET = "\x1b[0m"
_PLAIN = Style.null()


@lru_cache(maxsize=16384)
def _codes(style: Style, system: ColorSystem) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """SGR codes of a style: attributes, foreground, background."""
    plain = Strip.render_ansi(style.without_color, system)
    front = style.color.downgrade(system).get_ansi_codes() if style.color else ("39",)
    back = style.bgcolor.downgrade(system).get_ansi_codes(foreground=False) if style.bgcolor else ("49",)
    return tuple(plain.split(";")) if plain else (), tuple(front), tuple(back)


@lru_cache(maxsize=16384)
def _turn(before: Style | None, after: Style, system: ColorSystem) -> str:
    """The sequence that takes the terminal from one style to the next, None being its plain state."""
    attributes, front, back = _codes(after, system)
    if before is None:
        return f"\x1b[{';'.join((*attributes, *front, *back))}m"
    were, was_front, was_back = _codes(before, system)
    if were == attributes:
        codes = (*(front if front != was_front else ()), *(back if back != was_back else ()))
        return f"\x1b[{';'.join(codes)}m" if codes else ""
    return f"\x1b[0;{';'.join((*attributes, *front, *back))}m"


def lean(strip: Strip, console: Console) -> str:
    """A strip as bytes for the terminal; it begins and ends in the plain state."""
    if strip._render_cache is None:
        system = console._color_system or ColorSystem.TRUECOLOR
        out: list[str] = []
        now: Style | None = None
        for text, style, _control in strip._segments:
            want = style or _PLAIN
            if want.link:
                return strip.render(console)
            out.append(_turn(now, want, system))
            out.append(text)
            now = want
        out.append(_RESET)
        strip._render_cache = "".join(out)
    return strip._render_cache


class _TightUpdate(ChopsUpdate):
    """Changed spans of lines, each from its first changed cell to its last."""

    def render_segments(self, console: Console) -> str:
        """The bytes."""
        out: list[str] = []
        for y, first, last in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                start, stop = max(x, first), min(end, last)
                if strip is None or start >= stop:
                    continue
                part = strip.crop(start - x, stop - x) if start > x or stop < end else strip
                out.append(Control.move_to(start, y).segment.text)
                out.append(lean(part, console))
        return "".join(out)


class _TightLayout(LayoutUpdate):
    """The whole screen."""

    def render_segments(self, console: Console) -> str:
        """The bytes."""
        out: list[str] = []
        for y, line in enumerate(self.strips, self.region.y):
            out.append(Control.move_to(self.region.x, y).segment.text)
            # One strip a line: a colour that goes on in the next widget is not said again.
            out.append(lean(Strip.join(line), console))
        return "".join(out)


class TightCompositor(Compositor):
    """Textual's compositor, which sends less."""

    def render_full_update(self, simplify: bool = False) -> LayoutUpdate:
        """Everything."""
        update = super().render_full_update(simplify)
        return _TightLayout(update.strips, update.region)

    def render_partial_update(self) -> ChopsUpdate | None:
        """What is dirty."""
        update = super().render_partial_update()
        return None if update is None else _TightUpdate(update.chops, update.spans, update.chop_ends)
