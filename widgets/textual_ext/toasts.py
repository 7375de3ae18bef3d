"""Notifications in the corner of the screen: at most two, equal ones counted, none over a dialog or a typed line.

Mends: Textual 8.2.8 checks whether a notification has expired, and later sets a timer of the time left. On a busy
machine that time may be negative by then, and a negative timer blocks the event loop for ever. And it shows as many
notifications as there are, over whatever is on the screen.

When Textual changes: if `Timer` accepts a negative interval, drop Toast; if an App takes its own collection of
notifications, hand it ToastList.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from textual.app import App
from textual.notifications import Notification, Notifications

MIN_TIMER_S = 0.01
"""Least seconds of a timer."""
MAX_SHOWN = 2
MAX_WAITING = 20
"""Most notifications that wait for their turn; the oldest of the least severe are dropped."""
_CONTAINER = "--textual-toast-"
"""What precedes the identity of a notification in the id of its container."""
_RANKS = {"error": 0, "warning": 1, "information": 2}


class Toast(Notification):
    """A notification whose timer is never negative."""

    count = 1
    """How often it was raised."""

    @property
    def time_left(self) -> float:
        """Seconds until it ends, at least MIN_TIMER_S."""
        return max(MIN_TIMER_S, super().time_left)

    @property
    def has_expired(self) -> bool:
        """Whether it has ended."""
        return super().time_left <= 0

    @property
    def text(self) -> str:
        """The message without its count."""
        return self.message.removesuffix(f" (x{self.count})")

    def add_to(self, earlier: Toast) -> None:
        """Count an equal earlier one."""
        self.message, self.count = f"{self.text} (x{earlier.count + 1})", earlier.count + 1


class ToastList(Notifications):
    """The notifications of an app: those shown, which is what Textual sees of it, and those that wait.

    A newer one takes the place of the oldest that is for information; where all that are shown are warnings and errors,
    it waits. The time of one that waits does not run.
    """

    def __init__(self, app: App[Any], held: Callable[[], bool]) -> None:
        """`held` tells that none may be shown now."""
        super().__init__()
        self._shown: dict[str, Notification] = self._notifications
        self._waiting: list[Notification] = []
        self._app, self._held = app, held

    def add(self, notification: Notification) -> ToastList:
        """Add one; an equal one that is shown or waits is replaced, and counted."""
        if isinstance(notification, Toast):
            for one in (*self._shown.values(), *self._waiting):
                if isinstance(one, Toast) and (one.text, one.severity) == (notification.text, notification.severity):
                    notification.add_to(one)
                    self._drop(one)
                    break
        self._waiting.append(notification)
        self._settle()
        return self

    def clear(self) -> ToastList:
        """Remove all."""
        self._waiting.clear()
        self._shown.clear()
        return self

    def _drop(self, one: Notification) -> None:
        if one in self._waiting:
            self._waiting.remove(one)
        else:
            self._hide(one)

    def _settle(self) -> None:
        """Decide which ones are shown now."""
        for one in [one for one in self._shown.values() if one.has_expired]:
            del self._shown[one.identity]
        if self._held():
            # Information has been seen by now; the others come back.
            self._waiting[:0] = [one for one in self._shown.values() if one.severity != "information"]
            self._hide(*self._shown.values())
        else:
            while self._waiting and self._make_room():
                first = min(self._waiting, key=lambda one: _RANKS[one.severity])
                self._waiting.remove(first)
                first.raised_at, first.identity = time.time(), str(uuid4())  # a shown identity is not shown again
                self._shown[first.identity] = first
        while len(self._waiting) > MAX_WAITING:
            self._waiting.remove(max(self._waiting, key=lambda one: _RANKS[one.severity]))

    def _make_room(self) -> bool:
        if len(self._shown) >= MAX_SHOWN:
            old = next((one for one in self._shown.values() if one.severity == "information"), None)
            if old is None:
                return False
            self._hide(old)
        return True

    def _hide(self, *those: Notification) -> None:
        """Show these no longer. Textual removes their text, but not the container around it."""
        gone = {f"{_CONTAINER}{one.identity}" for one in those if self._shown.pop(one.identity, None) is not None}
        for screen in self._app.screen_stack if gone else ():
            for one in screen.query("ToastHolder"):
                if one.id in gone:
                    one.remove()

    def __len__(self) -> int:
        """The number of those shown."""
        self._settle()
        return len(self._shown)

    def __iter__(self) -> Iterator[Notification]:
        """Those shown, the oldest first."""
        self._settle()
        return iter(tuple(self._shown.values()))

    def __delitem__(self, notification: Notification) -> None:
        """Remove one, when it has ended; then those that wait are shown."""
        self._shown.pop(notification.identity, None)
        if self._waiting:
            self._app.call_later(refresh_toasts, self._app)


def bound_toasts(app: App[Any], held: Callable[[], bool]) -> None:
    """Have an app show its notifications as ToastList says."""
    app._notifications = ToastList(app, held)


def refresh_toasts(app: App[Any]) -> None:
    """Show what may be shown now, after `held` has changed."""
    app._refresh_notifications()
