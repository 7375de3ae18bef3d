"""What is on the screen: as strips, as an update of Textual's compositor, and such an update as pieces of lines.

Needed: Textual has no public way to its frames. A frame that could not be sent is replaced by a full one with the
newest content (`full_update`), `screen_diff` compares frames cell by cell (`update_pieces`), and `:export` writes the
screen as text (`screen_strips`) or SVG. `App.export_screenshot` draws the SVG on the event loop: 0.1 s for a large
screen.

When Textual changes: a new compositor requires rewriting only this module; `Piece` is what the rest relies on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.strip import Strip

Piece = tuple[int, int, Strip]
"""Line, first cell, and the new content from there on."""
ScreenUpdate = ChopsUpdate | LayoutUpdate
"""What Textual paints: the changed parts of lines, or whole lines."""


def full_update(app: App[Any]) -> LayoutUpdate | None:
    """An update of everything visible, the screens below a dialog included."""
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    return update if isinstance(update, LayoutUpdate) else None


def screen_strips(app: App[Any]) -> list[Strip]:
    """The lines of the top screen."""
    return app.screen._compositor.render_strips(app.size)


def is_full(update: ScreenUpdate) -> bool:
    """Whether an update is of everything visible."""
    return isinstance(update, LayoutUpdate)


def update_pieces(update: ScreenUpdate) -> Iterable[Piece]:
    """The lines of an update, or the changed parts of them."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            yield y, update.region.x, Strip.join(line)
        return
    for y, first, last in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            start, stop = max(x, first), min(end, last)
            if strip is not None and start < stop:
                yield y, start, strip.crop(start - x, stop - x) if start > x or stop < end else strip
