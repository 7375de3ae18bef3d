"""Toast: a notification in the corner of the screen that expires by itself; and how some are removed.

Mends: Textual 8.2.8 checks whether a notification has expired, and later sets a timer of the time left. On a busy
machine that time may be negative by then, and a negative timer blocks the event loop for ever. And it can only remove
all notifications (`App.clear_notifications`): a dialog removes those that are no errors, which would cover its inputs.

When Textual changes: if `Timer` accepts a negative interval, drop Toast; if `App.clear_notifications` takes a
severity, drop `remove_information`.
"""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.notifications import Notification

MIN_TIMER_S = 0.01
"""Least seconds of a timer."""


class Toast(Notification):
    """A notification whose timer is never negative."""

    @property
    def time_left(self) -> float:
        """Seconds until it ends, at least MIN_TIMER_S."""
        return max(MIN_TIMER_S, super().time_left)

    @property
    def has_expired(self) -> bool:
        """Whether it has ended."""
        return super().time_left <= 0


def remove_information(app: App[Any]) -> None:
    """Remove the notifications that are for information; warnings and errors stay."""
    for one in [one for one in app._notifications if one.severity == "information"]:
        app._unnotify(one)
