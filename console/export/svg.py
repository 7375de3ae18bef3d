"""The screen as a self-contained SVG that loads nothing from the network."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from rich.console import Console

from widgets.textual_ext.screen_contents import full_update

#: Rich's SVG loads its font from a server, which would reveal who opens a picture of an incident.
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def blanks_kept(svg: str) -> str:
    """The SVG with all blanks preserved; renderers may otherwise collapse them."""
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def picture(app: Any, title: str) -> Callable[[], bytes]:
    """Capture the screen now. The returned function draws it, in any thread (0.1 s for a large screen)."""
    width, height = app.size
    seen = full_update(app)
    # Textual's export_screenshot, split into two steps.
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor",
                      record=True, legacy_windows=False, safe_box=False)  # fmt: skip
    console.print(seen)

    def draw() -> bytes:
        return blanks_kept(_FONTS.sub("", console.export_svg(title=title), count=2)).encode()

    return draw
