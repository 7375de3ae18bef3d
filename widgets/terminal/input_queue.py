"""InputQueueApp: handles one key at a time. Later input waits until the key before it has had its full effect.

Textual 8.2.8 passes every key at once to the widget that has the focus then. A key that opens a line or another screen
does so only when it has returned to the app: input that follows closely, from a slow line or fast typing, then reaches
the old widget. And Enter submits a line as it is when Enter has returned, with later input included.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeVar

from textual import on
from textual.app import App
from textual.events import AppBlur, AppFocus, Event, InputEvent, Key, MouseMove, Paste
from textual.message import Message
from textual.message_pump import MessagePump

from .quiet_app import QuietScreen

Result = TypeVar("Result")

TIMEOUT_S = 0.5
"""Input waits at most this long: a removed widget never returns the marker."""
BYPASS_KEYS = frozenset({"ctrl+c", "ctrl+q", "ctrl+z"})
"""Keys to quit or suspend, which do not wait."""


class _Marker(Message):
    """A marker that follows a key through the message queues: when it returns to the app, the key is done."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left


class InputQueueApp(App[Result]):
    """An app that queues keys, pastes and clicks."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self._marker: _Marker | None = None
        self._waiting: deque[Event] = deque()
        self._timeout: asyncio.TimerHandle | None = None
        super().__init__(*given, **named)

    @property
    def input_settled(self) -> bool:
        """Whether all input has been handled."""
        return self._marker is None and not self._waiting

    async def on_event(self, event: Event) -> None:
        """Queue input; pass everything else on."""
        move, waiting = isinstance(event, MouseMove), self._waiting
        if (
            not isinstance(event, InputEvent | Paste | AppFocus | AppBlur)
            or event.is_forwarded
            or (move and not waiting)
            or (isinstance(event, Key) and event.key in BYPASS_KEYS)
        ):
            await super().on_event(event)
            return
        if move and isinstance(waiting[-1], MouseMove):
            waiting.pop()  # only the newest position counts
        waiting.append(event)
        await self._dispatch()

    def press_next(self, key: str, time: float) -> None:
        """Press the key of something that was just clicked: it precedes input after the click."""
        event = Key(key, None)
        event.time = time
        self._waiting.appendleft(event)
        self.call_next(self._dispatch)

    async def _dispatch(self) -> None:
        while self._waiting and self._marker is None:
            event = self._waiting.popleft()
            screen = self.screen if self.screen_stack else None
            # Here and not in the screen: a key goes to the focused widget, and a screen that is not shown yet may set
            # the focus.
            if isinstance(screen, QuietScreen) and screen.is_too_early(event):
                continue
            await super().on_event(event)
            if not isinstance(event, MouseMove):
                # Twice: its effect may be a message to a widget, which sends messages to others.
                self._send_marker(1)
                self._timeout = asyncio.get_running_loop().call_later(TIMEOUT_S, self._timed_out)

    def _send_marker(self, left: int) -> None:
        self._marker = behind = _Marker(left)
        to: MessagePump = (self.focused or self.screen) if self.screen_stack else self
        if not to.post_message(behind):
            self.post_message(behind)

    def _timed_out(self) -> None:
        """Continue after TIMEOUT_S: the marker is late or lost."""
        self._marker = _Marker(0)
        self.post_message(self._marker)

    @on(_Marker)
    async def _marker_back(self, behind: _Marker) -> None:
        if behind is not self._marker:
            return
        if behind.left:
            self._send_marker(behind.left - 1)
            return
        if self._timeout is not None:
            self._timeout.cancel()
        self._marker = None
        await self._dispatch()
