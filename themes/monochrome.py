"""Monochrome: only the terminal's foreground and background, for NO_COLOR and for terminals without colour.

Rank is shown by attributes, the same everywhere: loud is reversed, wrong is bold, needing a look is underlined, quiet
is dim. A terminal that cannot show one of them loses emphasis, never a fact: facts are words.
"""

from __future__ import annotations

from themes.roles import HEAT
from themes.theme_spec import ThemeSpec

# The height of a block shows the figure; the weight only repeats which end of the scale it is at.
_HEAT = ("dim", "dim", *["default"] * 6, "bold", "bold")

LOOK = ThemeSpec(
    name="monochrome",
    says="no colour at all; put on by itself where NO_COLOR is set",
    colours="none",
    roles={
        "text": "default on default",
        "text-dim": "dim",
        "text-strong": "bold",
        "accent": "bold",
        "title": "bold",
        "cursor": "reverse",
        "map-cursor": "bold underline reverse",
        "mark": "bold underline",
        "header": "underline",
        "header-sorted": "bold underline",
        "chip-ok": "default",
        "chip-stale": "bold underline",
        "chip-fault": "bold reverse",
        "mode-demo": "bold reverse",
        "mode-readonly": "bold reverse",
        "mode-replay": "bold reverse",
        "bar": "default on default",
        "bar-strong": "bold",
        "key": "bold",
        "key-off": "dim",
        "pending": "underline",
        "good": "default",
        "warn": "underline",
        "bad": "bold underline",
        "map-bad": "bold reverse",
        "map-warn": "reverse",
        "state-idle": "default",
        "state-allocated": "default",
        "state-mixed": "default",
        "state-completing": "dim",
        "state-draining": "underline",
        "state-drained": "bold underline",
        "state-down": "bold",
        "state-unknown": "bold underline",
        "state-maint": "dim underline",
        "state-other": "dim",
        "job-running": "default",
        "job-pending": "default",
        "job-completing": "dim",
        "job-failed": "bold",
        "job-held": "underline",
        "border": "dim",
        "border-focus": "bold",
        "panel": "default on default",
        "trough": "dim",
        "fill": "default",
        "map-healthy": "dim",
        "thumb": "bold",
        **dict(zip(HEAT, _HEAT, strict=True)),
    },
)
