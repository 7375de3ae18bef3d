"""A word in the corner of the screen, which goes by itself."""

from __future__ import annotations

from textual.notifications import Notification

MIN_TIMER_S = 0.01
"""Seconds that a timer is made for, at least."""


class Toast(Notification):
    """A notification that may be shown in the very moment in which it ends.

    Textual (8.2) asks whether it has ended, and a moment later makes a timer of what is left. A busy machine lies
    between the two, and a timer of less than nothing never ends: it holds the event loop for ever, and with it every
    key.
    """

    @property
    def time_left(self) -> float:
        """Seconds until it ends, LEAST_S at least."""
        return max(MIN_TIMER_S, super().time_left)

    @property
    def has_expired(self) -> bool:
        """Whether it has ended."""
        return super().time_left <= 0
