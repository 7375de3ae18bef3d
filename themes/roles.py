"""Colour roles: widgets request a role, a theme defines its style.

A role never names a colour, nor does a widget: a new theme is one new file. The tables below also give each state its
glyph, because a state is always glyph + word + colour: nothing may depend on colour alone.
"""

from __future__ import annotations

HEAT_STEPS = 10
"""Steps of the heat scale: enough to see a pattern, few enough that a refresh repaints little."""

HEAT: tuple[str, ...] = tuple(f"heat-{step}" for step in range(HEAT_STEPS))

#: Text that must be readable: contrast with its background of at least 4.5:1.
TEXT_ROLES: tuple[str, ...] = (
    "text",
    "text-dim",
    "text-strong",
    "accent",
    "title",
    "cursor",
    "map-cursor",
    "mark",
    "header",
    "header-sorted",
    "chip-ok",
    "chip-stale",
    "chip-fault",
    "mode-demo",
    "mode-readonly",
    "mode-replay",
    "bar",
    "bar-strong",
    "key",
    "key-off",
    "pending",
    "good",
    "warn",
    "bad",
    "map-bad",
    "map-warn",
)
#: Glyph + word + colour: contrast of at least 3:1, as for any sign.
STATE_ROLES: tuple[str, ...] = (
    "state-idle",
    "state-allocated",
    "state-mixed",
    "state-completing",
    "state-draining",
    "state-drained",
    "state-down",
    "state-unknown",
    "state-maint",
    "state-other",
    "job-running",
    "job-pending",
    "job-completing",
    "job-failed",
    "job-held",
)
#: Lines, troughs and surfaces: no words are painted in these.
QUIET_ROLES: tuple[str, ...] = ("border", "border-focus", "panel", "trough", "thumb", "fill", "map-healthy")

ROLES: tuple[str, ...] = (*TEXT_ROLES, *STATE_ROLES, *QUIET_ROLES, *HEAT)
"""Every role a theme must define."""

ALARM_ROLES: tuple[str, ...] = (
    "warn",
    "bad",
    "map-bad",
    "map-warn",
    "chip-stale",
    "chip-fault",
    "state-draining",
    "state-drained",
    "state-down",
    "state-unknown",
    "job-failed",
    "job-held",
)
"""Faults, limits, and what is out of service: only these may be red or amber."""

#: Display word of a node (collectors.nodestate.DISPLAYS) to its glyph, one cell wide, and its role.
STATE_LOOK: dict[str, tuple[str, str]] = {
    "down": ("✖", "state-down"),
    "failed": ("✗", "state-down"),
    "invalid": ("⊘", "state-down"),
    "unknown": ("?", "state-unknown"),
    "drained": ("▼", "state-drained"),
    "draining": ("▽", "state-draining"),
    "failing": ("▿", "state-draining"),
    "rebooting": ("↻", "state-maint"),
    "resuming": ("↑", "state-maint"),
    "powering": ("↯", "state-maint"),
    "powered off": ("◌", "state-other"),
    "maintenance": ("◇", "state-maint"),
    "completing": ("◔", "state-completing"),
    "reserved": ("◆", "state-other"),
    "planned": ("◎", "state-other"),
    "blocked": ("▣", "state-other"),
    "mixed": ("◐", "state-mixed"),
    "allocated": ("●", "state-allocated"),
    "idle": ("○", "state-idle"),
    "future": ("-", "state-other"),
}
#: For a display word this version does not know.
UNKNOWN_STATE_LOOK: tuple[str, str] = ("¿", "state-other")

#: Slurm's job states (long base words) to glyph and role.
JOB_LOOK: dict[str, tuple[str, str]] = {
    "RUNNING": ("►", "job-running"),
    "PENDING": ("◦", "job-pending"),
    "COMPLETING": ("◔", "job-completing"),
    "CONFIGURING": ("↑", "job-completing"),
    "STAGE_OUT": ("↥", "job-completing"),
    "SUSPENDED": ("‖", "job-held"),
    "STOPPED": ("‖", "job-held"),
    "REQUEUED": ("↻", "job-held"),
    "REQUEUE_HOLD": ("║", "job-held"),
    "SPECIAL_EXIT": ("║", "job-held"),
    "HELD": ("║", "job-held"),
    "COMPLETED": ("✓", "job-completing"),
    "CANCELLED": ("⊘", "job-failed"),
    "FAILED": ("✖", "job-failed"),
    "TIMEOUT": ("✖", "job-failed"),
    "NODE_FAIL": ("✖", "job-failed"),
    "OUT_OF_MEMORY": ("✖", "job-failed"),
    "BOOT_FAIL": ("✖", "job-failed"),
    "DEADLINE": ("✖", "job-failed"),
    "PREEMPTED": ("⊘", "job-failed"),
    "REVOKED": ("⊘", "job-failed"),
}
UNKNOWN_JOB_LOOK: tuple[str, str] = ("¿", "job-held")


def state_look(display: str) -> tuple[str, str]:
    """Glyph and role for the display word of a node; an unknown word of a newer Slurm gets a default."""
    return STATE_LOOK.get(display, UNKNOWN_STATE_LOOK)


def job_look(state: str) -> tuple[str, str]:
    """Glyph and role for a job's state."""
    return JOB_LOOK.get(state, UNKNOWN_JOB_LOOK)


def heat_role(step: int) -> str:
    """Role of a heat step; steps outside 0..9 are clamped."""
    return HEAT[max(0, min(HEAT_STEPS - 1, step))]
