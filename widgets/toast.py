"""A notification in the corner of the screen that expires by itself."""

from __future__ import annotations

from textual.notifications import Notification

MIN_TIMER_S = 0.01
"""Least seconds of a timer."""


class Toast(Notification):
    """A notification whose timer is never negative.

    Textual 8.2 checks whether it has expired, and later sets a timer of the time left. On a busy machine that time may
    be negative by then, and a negative timer blocks the event loop for ever.
    """

    @property
    def time_left(self) -> float:
        """Seconds until it ends, at least MIN_TIMER_S."""
        return max(MIN_TIMER_S, super().time_left)

    @property
    def has_expired(self) -> bool:
        """Whether it has ended."""
        return super().time_left <= 0
