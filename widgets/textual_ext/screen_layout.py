"""SettledScreen: a Screen that is laid out once when it is shown, and that loses no callback when it goes.

Mends:
- Textual 8.2.8 reports to a screen the size that it has just laid out, and lays it out again for that.
- It passes callbacks that wait for the next painting (`call_after_refresh`) to the top screen, and loses them when that
  screen goes: if the terminal is resized while help closes, the screen below would keep its old layout.

When Textual changes: if a screen with an unchanged size returns early, or `Screen` passes its callbacks on, drop the
method.
"""

from __future__ import annotations

from typing import TypeVar

from textual.geometry import Size
from textual.screen import Screen

Result = TypeVar("Result")


class SettledScreen(Screen[Result]):
    """A Screen without a second layout for the same size."""

    def size_confirmed(self) -> None:
        """Called instead of a layout when the size is the one that was laid out, for subclasses."""

    def _screen_resized(self, size: Size) -> None:
        if size != self._compositor.size or size != self._size:
            super()._screen_resized(size)
        else:
            self.size_confirmed()

    async def _message_loop_exit(self) -> None:
        left, self._callbacks = self._callbacks, []
        await super()._message_loop_exit()
        if self.app.is_running and self.app.screen_stack:
            for call, sender in left:
                if sender.is_running and sender is not self:
                    self.app.screen._invoke_later(call, sender)
