"""OutputApp: an app that passes its frames to `send_frame`, instead of to the terminal.

Needed for the budgets of bytes and of a slow line: Textual 8.2.8 sends a changed line from the left edge of its widget
on, both colours with every run of text, and queues frames for a line that takes none. At 12,000 nodes and 200x50 a
change of view takes 20 KB through `widgets.terminal.screen_diff` and 46 KB without (30 KB at most), a page of nodes
3 KB and 13 KB, help 16 KB and 77 KB.

When Textual changes: `App._display` is the one place where it writes to the screen. If there is a public hook for
frames, use that; the other names only show whether a frame may be sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from rich.console import RenderableType
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.driver import Driver
from textual.screen import Screen

from .app_errors import ErrorApp
from .screen_contents import ScreenUpdate

Result = TypeVar("Result")


class OutputApp(ErrorApp[Result]):
    """An app whose frames go to `send_frame`."""

    def send_frame(self, update: ScreenUpdate) -> None:
        """Send a frame, or keep it pending. Overridden by subclasses."""
        raise NotImplementedError

    def terminal_overwritten(self) -> None:
        """Called before Textual writes anything that is no frame, for subclasses."""

    @property
    def may_paint(self) -> bool:
        """Whether the app runs, and its screen is not in the middle of a batch of changes."""
        return self._running and not self._closed and not self._batch_count

    @property
    def driver(self) -> Driver | None:
        """The driver, once the app runs."""
        return self._driver

    def run_in_context(self, call: Callable[..., None], *given: object) -> None:
        """Call a function that the event loop or a driver started as if a message of the app had."""
        with self._context():
            call(*given)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if isinstance(renderable, ChopsUpdate | LayoutUpdate):
            if not self._batch_count:
                self.send_frame(renderable)
            self.post_display_hook()
        else:
            if renderable is not None:
                self.terminal_overwritten()
            super()._display(screen, renderable)


def write_sequence(app: App[Any], text: str) -> None:
    """Write a sequence that is no frame, such as a bell, to the terminal of an app."""
    if app._driver is not None and not app.is_headless:
        app._driver.write(text)
