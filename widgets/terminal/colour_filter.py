"""Filters out colours that a theme may not use, including those of Textual's own widgets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter, Monochrome, NoColor


class PaletteFilter(LineFilter):
    """Every colour becomes the nearest of the terminal's own sixteen."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same text in colours of the palette."""
        return [Segment(text, style and _nearest(style), control) for text, style, control in segments]


@lru_cache(maxsize=1024)
def _nearest(style: Style) -> Style:
    front, back = style.color, style.bgcolor
    return style + Style(
        color=front and front.downgrade(ColorSystem.STANDARD), bgcolor=back and back.downgrade(ColorSystem.STANDARD)
    )


def filter_colours(filters: Sequence[LineFilter], colours: str) -> list[LineFilter]:
    """The filters of an App for a theme of all colours ("all"), of the sixteen ("16") or of none ("none").

    Textual sets its own once, from NO_COLOR; but a theme selected by name must get its colours.
    """
    return [*(one for one in filters if not isinstance(one, Monochrome | NoColor)), *_FILTERS.get(colours, ())]


_FILTERS: dict[str, tuple[LineFilter, ...]] = {"16": (PaletteFilter(),), "none": (NoColor(),)}
