"""High contrast: for users who need it, and for a screen in sunlight. Every word has 7:1 or more (WCAG AAA), also under
the cursor: its line is reversed, black on white, and states there are shown by glyph and word.
"""

from __future__ import annotations

from themes.roles import HEAT
from themes.theme_spec import ThemeSpec

_GROUND = "#000000"
_RAISED = "#1c1c1c"
_TEXT = "#ffffff"
# One hue from dim to bright: load is no alarm.
_HEAT = (
    "#669ecb",
    "#71a6d1",
    "#7dadd5",
    "#89b6da",
    "#95bedf",
    "#a2c6e3",
    "#afcfe9",
    "#bdd7ed",
    "#cbe0f2",
    "#d9eaf7",
)

LOOK = ThemeSpec(
    name="high-contrast",
    says="7:1 for every word, the cursor black on white",
    roles={
        "text": f"{_TEXT} on {_GROUND}",
        "text-dim": "#bcbcbc",
        "text-strong": "bold #ffffff",
        "accent": "#8fd3ff",
        "title": "bold #d7ecff",
        "cursor": f"bold reverse #ffffff on {_GROUND}",
        "map-cursor": f"bold reverse #ffffff on {_GROUND}",
        "mark": "bold #73eded",
        "header": f"bold #e4e4e4 on {_RAISED}",
        "header-sorted": f"bold underline #ffffff on {_RAISED}",
        "chip-ok": f"#a8f0cf on {_RAISED}",
        "chip-stale": f"bold #ffe95c on {_RAISED}",
        "chip-fault": "bold #000000 on #ff9c9c",
        "mode-demo": "bold #000000 on #73eded",
        "mode-readonly": "bold #000000 on #9fd6ff",
        "mode-replay": "bold #000000 on #e6b8ff",
        "bar": f"#ffffff on {_RAISED}",
        "bar-strong": f"bold #ffffff on {_RAISED}",
        "key": f"bold #8fd3ff on {_RAISED}",
        "key-off": f"#b8b8b8 on {_RAISED}",
        "pending": "italic #73eded",
        "good": "#5fe8ac",
        "warn": "#ffd75f",
        "bad": "bold #ff9c9c",
        "map-bad": "bold #000000 on #fb764c",
        "map-warn": "#000000 on #ffd75f",
        "state-idle": "#98d3ff",
        "state-allocated": "#04d499",
        "state-mixed": "#b3f9d1",
        "state-completing": "#73eded",
        "state-draining": "#f8e400",
        "state-drained": "#ff9e1b",
        "state-down": "bold #fb764c",
        "state-unknown": "#c889c7",
        "state-maint": "#a4a7f9",
        "state-other": "#aeafaf",
        "job-running": "#04d499",
        "job-pending": "#98d3ff",
        "job-completing": "#73eded",
        "job-failed": "bold #fb764c",
        "job-held": "#f8e400",
        "border": "#8a8a8a",
        "border-focus": "#8fd3ff",
        "panel": f"{_TEXT} on {_RAISED}",
        "trough": "#767676",
        "fill": "#8fd3ff",
        "map-healthy": "#3f6e5c",
        "thumb": "#d0d0d0",
        **dict(zip(HEAT, _HEAT, strict=True)),
    },
)
