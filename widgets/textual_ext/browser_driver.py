"""BrowserDriver: Textual's driver for a browser behind textual-serve.

Mends, for safety: the WebDriver of Textual 8.2.8 goes on without a client when the server is gone, loses the rest of a
write that the pipe takes in part, and makes a screen of any size that the other end names.

When Textual changes: if `WebDriver.write` writes everything, drop `_all`; if it ends the app at the end of its input,
drop `run_input_thread`. The size stays bounded here.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from textual.app import App
from textual.drivers.web_driver import WebDriver

MAX_SIZE = (1000, 400)
"""Most columns and rows: more than a wall of screens has."""


class BrowserDriver(WebDriver):
    """Ends the app when the server is gone (Textual would continue without a client), and limits the size."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._write = partial(self._all)
        if self._size is not None:
            self._size = _bounded(*self._size)

    def run_input_thread(self) -> None:
        """Read the server's packets until it closes the pipe, or sends an invalid packet."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._loop.call_soon_threadsafe(self._app.exit)

    def on_meta(self, packet_type: str, payload: dict[str, Any]) -> None:
        """Handle what the browser reports about itself."""
        if packet_type == "resize":
            payload["width"], payload["height"] = _bounded(int(payload["width"]), int(payload["height"]))
        super().on_meta(packet_type, payload)

    def _all(self, data: bytes) -> int:
        """Write all of it. Data without a reader is dropped: the reading thread ends the app."""
        left = data
        try:
            while left:
                left = left[os.write(self.fileno, left) :]
        except BrokenPipeError:
            pass
        return len(data)


def _bounded(width: int, height: int) -> tuple[int, int]:
    """The size within MAX_SIZE: every cell costs memory, and the other end chooses the number."""
    return max(1, min(width, MAX_SIZE[0])), max(1, min(height, MAX_SIZE[1]))
