"""Daylight: the light theme, for a bright office and a projector. Same order of states, darker inks."""

from __future__ import annotations

from themes.roles import HEAT
from themes.theme_spec import ThemeSpec

_GROUND = "#f7f8fa"
_RAISED = "#e6eaef"
_TEXT = "#28323d"
# One hue, the stronger the more: load is no alarm.
_HEAT = (
    "#5a708a",
    "#506a88",
    "#476486",
    "#3e5f85",
    "#355a84",
    "#2d5684",
    "#255184",
    "#1d4d84",
    "#154883",
    "#0d4484",
)

LOOK = ThemeSpec(
    name="daylight",
    says="light, for a bright office and a projector",
    roles={
        "text": f"{_TEXT} on {_GROUND}",
        "text-dim": "#5d6b79",
        "text-strong": "bold #0d151d",
        "accent": "#1f5f99",
        "title": "bold #3a4c5e",
        "cursor": "#0d1a26 on #c9def2",
        "map-cursor": "bold #0d1a26 on #a9cdf0",
        "mark": "bold #6a3fa0",
        "header": f"#475564 on {_RAISED}",
        "header-sorted": f"bold #0d151d on {_RAISED}",
        "chip-ok": f"#1f5c45 on {_RAISED}",
        "chip-stale": f"bold #7a4d00 on {_RAISED}",
        "chip-fault": "bold #ffffff on #b3202f",
        "mode-demo": "bold #ffffff on #0b6470",
        "mode-readonly": "bold #ffffff on #1f5f99",
        "mode-replay": "bold #ffffff on #6a3fa0",
        "bar": f"#384654 on {_RAISED}",
        "bar-strong": f"bold #0d151d on {_RAISED}",
        "key": f"bold #16508a on {_RAISED}",
        "key-off": f"#5f6b78 on {_RAISED}",
        "pending": "italic #0b6470",
        "good": "#1c6f4e",
        "warn": "#855600",
        "bad": "bold #b3202f",
        "map-bad": "bold #ffffff on #be002a",
        "map-warn": "#ffffff on #a35a12",
        "state-idle": "#3471ae",
        "state-allocated": "#116649",
        "state-mixed": "#0f7f59",
        "state-completing": "#247c8d",
        "state-draining": "#6a500a",
        "state-drained": "#b45609",
        "state-down": "bold #be002a",
        "state-unknown": "#6f3e88",
        "state-maint": "#4854b3",
        "state-other": "#5d6771",
        "job-running": "#116649",
        "job-pending": "#3471ae",
        "job-completing": "#247c8d",
        "job-failed": "bold #be002a",
        "job-held": "#6a500a",
        "border": "#c3ccd5",
        "border-focus": "#3f7cb5",
        "panel": f"{_TEXT} on {_RAISED}",
        "trough": "#d5dce3",
        "fill": "#5f9bd0",
        "map-healthy": "#b3c8bf",
        "thumb": "#a3b0bd",
        **dict(zip(HEAT, _HEAT, strict=True)),
    },
)
