"""The screen as SVG, as a person sees it. It fetches nothing when it is looked at."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from rich.console import Console

#: Rich lets a viewer fetch the font from a server: an incident is nobody's to know who opens a picture of it.
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def blanks_kept(svg: str) -> str:
    """Text of an SVG whose blanks every renderer keeps: by default it may make one of several."""
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


def picture(app: Any, title: str) -> Callable[[], bytes]:
    """Take the screen as it is, now; what comes back draws it, in any thread (0.1 s for a large one)."""
    width, height = app.size
    seen = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    # As Textual's own export_screenshot, in two halves.
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor",
                      record=True, legacy_windows=False, safe_box=False)  # fmt: skip
    console.print(seen)

    def draw() -> bytes:
        return blanks_kept(_FONTS.sub("", console.export_svg(title=title), count=2)).encode()

    return draw
