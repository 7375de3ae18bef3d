"""How far another computer's clock is from this one's, from one request and its answer."""

from __future__ import annotations

from msgspec import Struct


class ClockSkew(Struct, frozen=True, kw_only=True):
    """Another clock compared with this one."""

    ahead_s: float
    """Seconds by which it is ahead of this computer's clock; negative: behind."""
    within_s: float
    """Uncertainty in seconds: half of the round trip plus half of the resolution of the time that was read."""


def skew_of(said: float, step_s: float, sent: float, received: float) -> ClockSkew:
    """The skew, from the time a clock reported (epoch, rounded down to a multiple of `step_s`) and when the request was
    sent and the answer received, on this computer's wall clock."""
    return ClockSkew(
        ahead_s=said + step_s / 2 - (sent + received) / 2, within_s=max(0.0, received - sent) / 2 + step_s / 2
    )
