"""CallbackScreen: a Screen that loses no callback when it goes.

Mends: Textual 8.2.8 passes callbacks that wait for the next painting (`call_after_refresh`) to the top screen, and
loses them when that screen goes: if the terminal is resized while help closes, the screen below would keep its old
layout.

When Textual changes: if `Screen` passes its callbacks on, or keeps those of other screens elsewhere, drop this module.
"""

from __future__ import annotations

from typing import TypeVar

from textual.screen import Screen

Result = TypeVar("Result")


class CallbackScreen(Screen[Result]):
    """A Screen that hands its waiting callbacks to the next one when it goes."""

    async def _message_loop_exit(self) -> None:
        left, self._callbacks = self._callbacks, []
        await super()._message_loop_exit()
        if self.app.is_running and self.app.screen_stack:
            for call, sender in left:
                if sender.is_running and sender is not self:
                    self.app.screen._invoke_later(call, sender)
