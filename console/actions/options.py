"""The figures of the guard, and the options of an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field


class Guard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of the guard: `[guard]` in the configuration, with their defaults."""

    plain_most: Annotated[int, Meta(ge=0)] = 1
    """Largest number of targets of a reversible action that a plain yes confirms."""
    share_pct: Annotated[float, Meta(ge=0, le=100)] = 5.0
    """Taking more than this share of a partition's healthy nodes out of service needs a count and a reason."""
    share_nodes: Annotated[int, Meta(ge=0)] = 2
    """No count is asked for up to this number of nodes."""
    break_pct: Annotated[float, Meta(ge=0, le=100)] = 20.0
    """Above this share (and above `share_nodes`) the partition's name must be typed (break-glass)."""
    part_pct: Annotated[float, Meta(ge=0, le=100)] = 50.0
    """To close a partition with at least this share of all nodes or running jobs, its name must be typed."""
    facts_s: Annotated[float, Meta(gt=0)] = 30.0
    """Maximum age in seconds (or two polls, if longer) of facts that may be acted on without reading again."""
    preview_s: Annotated[float, Meta(ge=30)] = 300.0
    """A preview older than this (seconds) can no longer be confirmed: jobs and GPUs have changed since."""
    batch: Annotated[int, Meta(ge=1, le=500)] = 50
    """Targets per call of an action that kills jobs; it can be paused and stopped between two calls."""
    take_s: Annotated[int, Meta(ge=60)] = 3600
    """Seconds that "I'm on it" lasts."""
    silence_s: Annotated[int, Meta(ge=60)] = 4 * 3600
    """Default duration of a silence in seconds."""
    wave_from: Annotated[int, Meta(ge=2)] = 100
    """Number of nodes from which a resume or undrain always goes in waves."""
    wave_failed_pct: Annotated[float, Meta(ge=0, le=100)] = 20.0
    """If more than this share of a wave is unfit, the waves pause until an operator continues them."""
    wave_wait_s: Annotated[float, Meta(ge=1)] = 120.0
    """Longest time (seconds) that a wave waits for a node to register before it goes on without it."""
    wave_pause_s: Annotated[float, Meta(ge=0)] = 60.0
    """Shortest time (seconds) between two waves if no ramp applies."""
    ramp_kw_min: Annotated[float, Meta(ge=0)] = 0.0
    """Power (kW) that waves may add within a minute; 0: no ramp."""
    node_kw: Annotated[float, Meta(ge=0)] = 0.0
    """Power of a busy node (kW), for the ramp; 0: measured on busy nodes of its kind."""


class Options(Struct, frozen=True, kw_only=True):
    """Options besides targets and reason; `Action.option_fields` lists those of an action."""

    resume_after_s: int | None = None
    seconds: int | None = None
    """Duration of a silence."""
    next_state: Literal["RESUME", "DOWN"] | None = None
    """How a node comes back from a reboot; None: a drained one comes back down, the others resume."""
    value: str | None = None
    """The value of every target, as `Action.value.parse` returns it."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Target to its own value: for an undo the old one, in a plan the complete one."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the object that is created: a reservation's name, its end, its users."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """undo: node to the reason that it had."""
    undoes: str | None = None
    """undo: id of the plan that is undone."""
    break_glass: bool = False
    """Set by the command line: bad findings may be overridden with a break-glass confirmation. The screen asks
    itself."""
    waves: bool = False
    """resume, undrain: in waves, however few they are."""
    canary: str | None = None
    """The rack that comes back first."""
    redrain: bool = False
    """Returned nodes that are not fit are to be drained again, each time after a confirmation."""
    prefilled_reason: str = ""
    """The reason that the console itself prefilled. It is not checked for a filter: an alert's text may look like
    one."""
