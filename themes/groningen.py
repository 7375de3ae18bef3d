"""Groningen: the dark theme for the night shift. Quiet slate ground, few saturated colours, and those mean something.

The state colours keep apart for people who do not tell red from green: working things are blue-green, what leaves
service runs from yellow over orange to a pinkish red that is also lighter or darker than its neighbours.
"""

from __future__ import annotations

from themes.look import Look
from themes.roles import HEAT

_GROUND = "#10151b"
_RAISED = "#18202a"
_TEXT = "#c3ccd6"
# From the palette of 256 colours: a map says one of these for every cell, and these are said in half the bytes.
_HEAT = (
    "#5f5f87",
    "#5f87af",
    "#5fafaf",
    "#5faf87",
    "#87af87",
    "#afaf5f",
    "#d7af5f",
    "#ffaf5f",
    "#ff875f",
    "#ff5f5f",
)

LOOK = Look(
    name="groningen",
    dark=True,
    base={
        "primary": "#6ea8dc",
        "secondary": "#7f93ab",
        "accent": "#e3bf74",
        "warning": "#e3b458",
        "error": "#f0707c",
        "success": "#5cbf96",
        "foreground": _TEXT,
        "background": _GROUND,
        "surface": "#141a22",
        "panel": _RAISED,
    },
    variables={
        "block-cursor-background": "#26405c",
        "block-cursor-foreground": "#f0f5fa",
        "block-cursor-text-style": "none",
        "border": "#4f86b8",
        "border-blurred": "#2b3643",
        "footer-background": _RAISED,
        "footer-key-foreground": "#e3bf74",
        "input-selection-background": "#6ea8dc 35%",
        "scrollbar": "#33414f",
        "scrollbar-hover": "#45576a",
        "scrollbar-active": "#6ea8dc",
        "scrollbar-background": _GROUND,
        "scrollbar-background-hover": _GROUND,
        "scrollbar-background-active": _GROUND,
        "scrollbar-corner-color": _GROUND,
    },
    roles={
        "text": f"{_TEXT} on {_GROUND}",
        "text-dim": "#82909e",
        "text-strong": "bold #eef3f8",
        "accent": "#79b3e6",
        "title": "bold #a9bccf",
        "cursor": "#f0f5fa on #22374d",
        "map-cursor": "bold #ffffff on #2f5f93",
        "mark": "bold #f0cb7f",
        "header": f"#94a5b7 on {_RAISED}",
        "header-sorted": f"bold #d9e4ee on {_RAISED}",
        "chip-ok": f"#8fb8a8 on {_RAISED}",
        "chip-stale": f"bold #e8bd62 on {_RAISED}",
        "chip-fault": "bold #1a0d10 on #f0808a",
        "mode-demo": "bold #17130a on #e3bf74",
        "mode-readonly": "bold #0c1420 on #8fbbea",
        "mode-replay": "bold #150f1f on #c3a2ea",
        "bar": f"#b4c0cc on {_RAISED}",
        "bar-strong": f"bold #eef3f8 on {_RAISED}",
        "key": f"bold #e3bf74 on {_RAISED}",
        "key-off": f"#7f8b99 on {_RAISED}",
        "pending": "italic #e3bf74",
        "good": "#62c49b",
        "warn": "#e8bd62",
        "bad": "bold #f4808a",
        "state-idle": "#9cc4ea",
        "state-allocated": "#4fb592",
        "state-mixed": "#8ed0b4",
        "state-completing": "#5fbcc4",
        "state-draining": "#ecd27a",
        "state-drained": "#e8944a",
        "state-down": "bold #f4707e",
        "state-unknown": "#c79cf0",
        "state-maint": "#8f9fe0",
        "state-other": "#8996a5",
        "job-running": "#4fb592",
        "job-pending": "#9cc4ea",
        "job-completing": "#5fbcc4",
        "job-failed": "bold #f4707e",
        "job-held": "#ecd27a",
        "border": "#2f3b48",
        "border-focus": "#5d9bd3",
        "panel": f"{_TEXT} on {_RAISED}",
        "trough": "#2a3541",
        "fill": "#4f86b8",
        "map-allocated": "#2f7f69",
        "thumb": "#4a5b6d",
        **dict(zip(HEAT, _HEAT, strict=True)),
    },
)
