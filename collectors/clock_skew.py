"""How far another computer's clock is from this one's, as one question and its answer tell."""

from __future__ import annotations

from msgspec import Struct


class ClockSkew(Struct, frozen=True, kw_only=True):
    """Another clock beside this one."""

    ahead_s: float
    """Seconds by which it is ahead of this computer's; negative is behind."""
    within_s: float
    """How far off that may be: half of the way there and back, and half of what the clock told the time to."""


def skew_of(said: float, step_s: float, sent: float, received: float) -> ClockSkew:
    """From what a clock said (epoch, cut down to a multiple of `step_s`) and when it was asked and had answered, on
    this computer's wall clock. It said it at some moment between the two."""
    return ClockSkew(
        ahead_s=said + step_s / 2 - (sent + received) / 2, within_s=max(0.0, received - sent) / 2 + step_s / 2
    )
