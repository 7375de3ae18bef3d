"""Groningen: the dark theme for the night shift. Quiet slate ground, few saturated colours, each with a meaning.

The state colours can be distinguished with red-green colour blindness: working nodes are blue-green, nodes leaving
service run from yellow over orange to a pinkish red that is also lighter or darker than its neighbours.
"""

from __future__ import annotations

from themes.roles import HEAT
from themes.theme_spec import ThemeSpec

_GROUND = "#10151b"
_RAISED = "#18202a"
_TEXT = "#c3ccd6"
# One hue from dim to bright: load is no alarm.
_HEAT = (
    "#5486ae",
    "#5a8db6",
    "#6094be",
    "#679bc5",
    "#6da2cd",
    "#75aad5",
    "#7cb2dd",
    "#84b9e6",
    "#8cc2ee",
    "#94caf6",
)

LOOK = ThemeSpec(
    name="groningen",
    says="the default: dark and quiet, for the night shift",
    roles={
        "text": f"{_TEXT} on {_GROUND}",
        "text-dim": "#82909e",
        "text-strong": "bold #eef3f8",
        "accent": "#79b3e6",
        "title": "bold #a9bccf",
        "cursor": "#f0f5fa on #22374d",
        "map-cursor": "bold #ffffff on #2f5f93",
        "mark": "bold #7fe0e6",
        "header": f"#94a5b7 on {_RAISED}",
        "header-sorted": f"bold #d9e4ee on {_RAISED}",
        "chip-ok": f"#8fb8a8 on {_RAISED}",
        "chip-stale": f"bold #e8bd62 on {_RAISED}",
        "chip-fault": "bold #1a0d10 on #f0808a",
        "mode-demo": "bold #07171a on #6fc7c0",
        "mode-readonly": "bold #0c1420 on #8fbbea",
        "mode-replay": "bold #150f1f on #c3a2ea",
        "bar": f"#b4c0cc on {_RAISED}",
        "bar-strong": f"bold #eef3f8 on {_RAISED}",
        "key": f"bold #9cc7ee on {_RAISED}",
        "key-off": f"#7f8b99 on {_RAISED}",
        "pending": "italic #7fd3da",
        "good": "#62c49b",
        "warn": "#e8bd62",
        "bad": "bold #f4808a",
        "map-bad": "bold #1a0d10 on #f46f7e",
        "map-warn": "#17130a on #e8bd62",
        "state-idle": "#a0c6eb",
        "state-allocated": "#48b38e",
        "state-mixed": "#87cdae",
        "state-completing": "#63bbc2",
        "state-draining": "#e7ce75",
        "state-drained": "#e89346",
        "state-down": "bold #f46f7e",
        "state-unknown": "#c399f7",
        "state-maint": "#8599c8",
        "state-other": "#86919d",
        "job-running": "#48b38e",
        "job-pending": "#a0c6eb",
        "job-completing": "#63bbc2",
        "job-failed": "bold #f46f7e",
        "job-held": "#e7ce75",
        "border": "#2f3b48",
        "border-focus": "#5d9bd3",
        "panel": f"{_TEXT} on {_RAISED}",
        "trough": "#2a3541",
        "fill": "#4f86b8",
        "map-healthy": "#35574f",
        "thumb": "#4a5b6d",
        **dict(zip(HEAT, _HEAT, strict=True)),
    },
)
