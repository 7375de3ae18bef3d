"""LinePace: whether the line to the terminal is slow, and when the next frame may be sent. Pure; the time is an
argument.

A line that blocks shows this by how long it has accepted no bytes. Most lines do not even show that: sshd and the
kernel buffer hundreds of KB before anything backs up. So the terminal is queried now and then (see
`widgets.terminal.tty_writer`), and what it has not answered for counts as in flight.
"""

from __future__ import annotations

from msgspec import Struct, structs

FRAME_S = 1 / 30
"""Seconds between two frames that do not answer a key."""
SLOW_FRAME_S = 0.4
"""The same on a slow line."""
ANSWER_S = 0.5
"""A frame painted within this many seconds of a key or a click is its answer, and is sent at once."""
MAX_IN_FLIGHT = 32_768
"""Bytes that may be in flight when a frame is sent: 0.26 s of 1 Mbit/s, and 320 KB/s at a round trip of 100 ms."""
SLOW_MAX_IN_FLIGHT = 8_192
"""The same on a slow line: a key held down must not run ahead of its screens."""
SLOW_BEHIND_S = 0.5
"""Seconds behind from which a line is slow."""
SLOW_RATE = 125_000
"""Bytes per second (1 Mbit/s): a line that accepts no more while it blocks is slow."""
MIN_BLOCKED_S = 0.5
"""Seconds of blocking, of the last few, from which a measured rate is reliable."""
CALM_BEHIND_S = 0.3
CALM_S = 60.0
"""Seconds without delay after which a slow line counts as fast again: the little that is sent on it proves
nothing sooner.
"""


class FlowState(Struct, frozen=True):
    """The measured state of the line at one moment."""

    unsent_bytes: int = 0
    """Bytes that the system has not accepted yet."""
    in_flight: int | None = None
    """Bytes that the terminal has not confirmed; None where it does not answer."""
    behind_s: float = 0.0
    """Seconds since the oldest of them was sent."""
    blocked_s: float = 0.0
    """Seconds, of the last few, in which writing blocked."""
    blocked_bytes: int = 0
    """Bytes accepted after such a wait."""

    @property
    def slow(self) -> bool:
        """Whether this state alone indicates a slow line."""
        return self.behind_s > SLOW_BEHIND_S or (
            self.blocked_s >= MIN_BLOCKED_S and self.blocked_bytes <= SLOW_RATE * 1.1 * self.blocked_s
        )

    @property
    def calm(self) -> bool:
        """Whether nothing indicates a slow line."""
        return self.behind_s < CALM_BEHIND_S and self.blocked_s < MIN_BLOCKED_S / 5


class LinePace(Struct, frozen=True):
    """Whether the line counts as slow, and since when (monotonic seconds) nothing has indicated it."""

    slow: bool = False
    calm_since: float | None = None

    def next(self, seen: FlowState, now: float) -> LinePace:
        """The pace after another measurement. Slow at the first sign, fast after a minute without any."""
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
        """Seconds until a frame may be sent: 0 now, None when the line must make progress first.

        `framed` is when the last frame was sent, `touched` when the last key or click arrived, in monotonic seconds.
        """
        if seen.unsent_bytes or (seen.in_flight or 0) > (SLOW_MAX_IN_FLIGHT if self.slow else MAX_IN_FLIGHT):
            return None
        if now - touched < ANSWER_S:
            return 0.0
        return max(0.0, framed + (SLOW_FRAME_S if self.slow else FRAME_S) - now)
