"""InOrder: one key after the other. What was typed next waits until the one before has done all that it does.

Textual 8.2.8 hands every key on at once to what has the focus by then. A key that opens a line or another screen does
so only when it has come back to the app: what comes close behind it, from a slow line or a fast hand, then reaches what
was there before. And Enter sends a line as it is when Enter has come back, with what was typed behind it.

Esc and a key that come in one piece are Alt and that key to Textual. Where that means nothing they are Esc and that
key, as in vi.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

from textual import on
from textual.app import App
from textual.events import Event, Key, Paste
from textual.message import Message
from textual.message_pump import MessagePump

Result = TypeVar("Result")

PATIENCE_S = 0.5
"""What was typed next goes on its way then: a widget that was taken away keeps what it had not read."""


class _Behind(Message):
    """Goes the way that a key went, behind it and what it sent: back at the app, all of that is done."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left


class InOrder(App[Result]):
    """The part of an app that keys and pastes come to first."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self._behind: _Behind | None = None
        self._typed_on: deque[Key | Paste] = deque()
        self._patience: asyncio.TimerHandle | None = None
        super().__init__(*given, **named)

    @property
    def all_done(self) -> bool:
        """Whether all that was typed has done what it does."""
        return self._behind is None and not self._typed_on

    async def on_event(self, event: Event) -> None:
        """Let one through, the others wait."""
        if not isinstance(event, Key | Paste) or event.is_forwarded:
            await super().on_event(event)
            return
        self._typed_on += self._read(event)
        if self._behind is None:
            await self._let_through(self._typed_on.popleft())

    def means(self, key: str) -> bool:
        """Whether a key with Alt means something."""
        return False

    def _read(self, event: Key | Paste) -> Sequence[Key | Paste]:
        if not isinstance(event, Key) or not event.key.startswith("alt+") or self.means(event.key):
            return (event,)
        name = event.key.removeprefix("alt+")
        parts = Key("escape", "\x1b"), Key(name, event.character or (name if len(name) == 1 else None))
        for one in parts:
            one.time = event.time  # a dialog asks when it was pressed
        return parts

    async def _let_through(self, event: Key | Paste) -> None:
        await super().on_event(event)
        # Twice: what it does may be a message to a widget, which tells others.
        self._follow(1)

    def _follow(self, left: int) -> None:
        self._behind = behind = _Behind(left)
        to: MessagePump = (self.focused or self.screen) if self.screen_stack else self
        if not to.post_message(behind):
            self.post_message(behind)
        self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self.post_message, behind)

    @on(_Behind)
    async def _done(self, behind: _Behind) -> None:
        if behind is not self._behind:
            return
        if self._patience is not None:
            self._patience.cancel()
        if behind.left:
            self._follow(behind.left - 1)
            return
        self._behind = None
        if self._typed_on:
            await self._let_through(self._typed_on.popleft())
