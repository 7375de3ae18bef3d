"""16-colour: only the terminal's own palette, so that it looks as the terminal is configured.

Words have the terminal's foreground on its background, states its colours, and the rest is shown by attributes. Blue is
not used: on most palettes it is unreadable on black. Nothing bold is black: many terminals show bold in the brighter
colour.
"""

from __future__ import annotations

from themes.roles import HEAT
from themes.theme_spec import ThemeSpec

# One hue from dim to bright: load is no alarm, and red and yellow are for faults and limits.
_HEAT = (*["dim cyan"] * 3, *["cyan"] * 4, *["bright_cyan"] * 2, "bold bright_cyan")

LOOK = ThemeSpec(
    name="16-colour",
    says="the palette of the terminal; put on by itself where it has 16 colours",
    colours="16",
    roles={
        "text": "default on default",
        "text-dim": "dim",
        "text-strong": "bold",
        "accent": "cyan",
        "title": "bold",
        "cursor": "reverse",
        "map-cursor": "bold reverse",
        "mark": "bold bright_cyan",
        "header": "underline",
        "header-sorted": "bold underline",
        "chip-ok": "green",
        "chip-stale": "bold yellow",
        "chip-fault": "bold bright_white on red",
        "mode-demo": "black on green",
        "mode-readonly": "black on cyan",
        "mode-replay": "bold bright_white on magenta",
        "bar": "default on default",
        "bar-strong": "bold",
        "key": "bold cyan",
        "key-off": "dim",
        "pending": "italic cyan",
        "good": "green",
        "warn": "yellow",
        "bad": "bold bright_red",
        "map-bad": "bold bright_white on red",
        "map-warn": "black on yellow",
        "state-idle": "default",
        "state-allocated": "green",
        "state-mixed": "bold green",
        "state-completing": "cyan",
        "state-draining": "yellow",
        "state-drained": "bold yellow",
        "state-down": "bold bright_red",
        "state-unknown": "bright_magenta",
        "state-maint": "bold cyan",
        "state-other": "dim",
        "job-running": "green",
        "job-pending": "default",
        "job-completing": "cyan",
        "job-failed": "bold bright_red",
        "job-held": "yellow",
        "border": "dim",
        "border-focus": "cyan",
        "panel": "default on default",
        "trough": "dim",
        "fill": "cyan",
        "map-healthy": "dim green",
        "thumb": "default",
        **dict(zip(HEAT, _HEAT, strict=True)),
    },
)
