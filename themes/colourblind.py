"""Colour-blind: states that can be distinguished without red and green: working nodes are blue, nodes leaving service
are yellow and orange.

Every pair of states is at least 10 apart (CIEDE2000, themes/colour_difference.py) for normal eyes, protanopia and
deuteranopia, and at least 7 for tritanopia. Heat runs from blue to yellow and only ever becomes lighter.
"""

from __future__ import annotations

from themes.roles import HEAT
from themes.theme_spec import ThemeSpec

_GROUND = "#0e1116"
_RAISED = "#1a2029"
_TEXT = "#cdd3da"
# One hue from dim to bright: load is no alarm.
_HEAT = (
    "#4782b3",
    "#558dba",
    "#6398c2",
    "#72a3ca",
    "#83aed2",
    "#94bada",
    "#a6c7e2",
    "#b9d4ea",
    "#cde1f2",
    "#e2f0fb",
)

LOOK = ThemeSpec(
    name="colour-blind",
    says="dark; states distinguishable without red and green",
    roles={
        "text": f"{_TEXT} on {_GROUND}",
        "text-dim": "#8b96a3",
        "text-strong": "bold #f2f5f8",
        "accent": "#7cc0f0",
        "title": "bold #b5c4d4",
        "cursor": "#f4f7fa on #243447",
        "map-cursor": "bold reverse #f2f5f8 on #0e1116",
        "mark": "bold #43d1c9",
        "header": f"#9fadbc on {_RAISED}",
        "header-sorted": f"bold #e4eaf0 on {_RAISED}",
        "chip-ok": f"#8fc3e8 on {_RAISED}",
        "chip-stale": f"bold #f0e442 on {_RAISED}",
        "chip-fault": "bold #14100c on #f08a62",
        "mode-demo": "bold #07171a on #43d1c9",
        "mode-readonly": "bold #0c1420 on #8fc8f5",
        "mode-replay": "bold #17131a on #d8b4c4",
        "bar": f"#bcc6d0 on {_RAISED}",
        "bar-strong": f"bold #f2f5f8 on {_RAISED}",
        "key": f"bold #a8d4ff on {_RAISED}",
        "key-off": f"#8793a0 on {_RAISED}",
        "pending": "italic #43d1c9",
        "good": "#7cc0f0",
        "warn": "#f0e442",
        "bad": "bold #f08a62",
        "map-bad": "bold #14100c on #f08a62",
        "map-warn": "#14110a on #f0e442",
        "state-idle": "#a8d4ff",
        "state-allocated": "#0584d8",
        "state-mixed": "#55afe8",
        "state-completing": "#43d1c9",
        "state-draining": "#efe237",
        "state-drained": "#e69f04",
        "state-down": "bold #e7714f",
        "state-unknown": "#c57181",
        "state-maint": "#7893ae",
        "state-other": "#9e9ea1",
        "job-running": "#0584d8",
        "job-pending": "#a8d4ff",
        "job-completing": "#43d1c9",
        "job-failed": "bold #e7714f",
        "job-held": "#efe237",
        "border": "#323d4a",
        "border-focus": "#7cc0f0",
        "panel": f"{_TEXT} on {_RAISED}",
        "trough": "#2c3845",
        "fill": "#4a8fc4",
        "map-healthy": "#1f4a68",
        "thumb": "#506274",
        **dict(zip(HEAT, _HEAT, strict=True)),
    },
)
