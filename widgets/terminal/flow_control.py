"""LinePace: whether the line to the terminal is slow, and when the next frame may be sent. Pure; the time is given.

A line that stops taking bytes says so by how long it has not taken them. Most lines do not say even that: sshd and the
kernel keep hundreds of KB before anything backs up. So the terminal is asked now and then (see
widgets.terminal.tty_writer), and what it has not answered for counts as being on the way.
"""

from __future__ import annotations

from msgspec import Struct, structs

FRAME_S = 1 / 30
"""Seconds between two frames that answer no key."""
SLOW_FRAME_S = 0.4
"""The same on a slow line."""
ANSWER_S = 0.5
"""What is painted so soon after a key or a click is its answer, and goes at once."""
MAX_IN_FLIGHT = 32_768
"""Bytes that may be on the way when a frame is sent: 0.26 s of 1 Mbit/s, and 320 KB/s at a round trip of 100 ms."""
SLOW_MAX_IN_FLIGHT = 8_192
"""The same on a slow line: a key held down must not run ahead of its screens."""
SLOW_BEHIND_S = 0.5
"""A line that is so far behind is slow."""
SLOW_RATE = 125_000
"""Bytes a second (1 Mbit/s): a line that takes no more while it is waited for is slow."""
MIN_BLOCKED_S = 0.5
"""Seconds of waiting, of the last few, that make a rate worth believing."""
CALM_BEHIND_S = 0.3
CALM_S = 60.0
"""A slow line is well again after so long without being behind: what little is sent on it proves nothing sooner."""


class FlowState(Struct, frozen=True):
    """What is known of the line at a moment."""

    unsent_bytes: int = 0
    """Bytes that the system has not taken yet."""
    in_flight: int | None = None
    """Bytes that the terminal has not answered for; None where it does not answer."""
    behind_s: float = 0.0
    """Seconds since the oldest of them was handed over."""
    blocked_s: float = 0.0
    """Seconds, of the last few, in which bytes were waited for to be taken."""
    blocked_bytes: int = 0
    """Bytes that were taken after such a wait."""

    @property
    def slow(self) -> bool:
        """Whether this alone says that the line is slow."""
        return self.behind_s > SLOW_BEHIND_S or (
            self.blocked_s >= MIN_BLOCKED_S and self.blocked_bytes <= SLOW_RATE * 1.1 * self.blocked_s
        )

    @property
    def calm(self) -> bool:
        """Whether nothing speaks for a slow line."""
        return self.behind_s < CALM_BEHIND_S and self.blocked_s < MIN_BLOCKED_S / 5


class LinePace(Struct, frozen=True):
    """Whether the line is held to be slow, and since when (monotonic seconds) nothing has spoken for it."""

    slow: bool = False
    calm_since: float | None = None

    def next(self, seen: FlowState, now: float) -> LinePace:
        """The pace after another look. On at the first sign, off after a minute without any."""
        if seen.slow:
            return LinePace(slow=True)
        if not self.slow:
            return self
        if not seen.calm:
            return structs.replace(self, calm_since=None)
        if self.calm_since is None:
            return structs.replace(self, calm_since=now)
        return LinePace() if now - self.calm_since >= CALM_S else self

    def hold_s(self, seen: FlowState, now: float, framed: float, touched: float) -> float | None:
        """Seconds until a frame may be sent: 0 now, None when the line has to move first.

        `framed` is when the last frame was sent, `touched` when a key or a click came, in monotonic seconds.
        """
        if seen.unsent_bytes or (seen.in_flight or 0) > (SLOW_MAX_IN_FLIGHT if self.slow else MAX_IN_FLIGHT):
            return None
        if now - touched < ANSWER_S:
            return 0.0
        return max(0.0, framed + (SLOW_FRAME_S if self.slow else FRAME_S) - now)
