"""Parses durations as users type them: `90s`, `30m`, `2h`, `1h30m`, `3d`, `1w`. Pure."""

from __future__ import annotations

import re

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
FORM = r"(?:[0-9]{1,6}[smhdw])+"
"""The pattern of a duration, for parsers of longer texts."""
_LENGTH = re.compile(FORM)
_PART = re.compile(r"([0-9]+)([smhdw])")


def seconds_in(text: str) -> int | None:
    """The duration in seconds; None when the text is no duration."""
    low = text.strip().lower()
    if not _LENGTH.fullmatch(low):
        return None
    return sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(low))
