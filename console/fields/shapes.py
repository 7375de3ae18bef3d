"""The shapes of values that a filter can compare, and how people write them: numbers, sizes, durations, node sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from collectors.nodeset import expand

Shape = Literal["text", "words", "names", "holds", "number", "size", "duration", "watts", "percent", "degrees"]
"""text: one string. words: several, any of them counts. names: text that may be given as a node set. holds: a folded
node set, tested by its members. The rest are numbers, in MB, seconds, watts, % and °C where they have a unit.
"""

NUMERIC_SHAPES = frozenset({"number", "size", "duration", "watts", "percent", "degrees"})
_UNITS: dict[str, dict[str, float]] = {
    "number": {"": 1, "k": 1e3, "m": 1e6},
    "percent": {"": 1, "%": 1},
    "degrees": {"": 1, "c": 1, "°": 1, "°c": 1},
    "size": {"": 1, "k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2, "p": 1024**3},
    "watts": {"": 1, "w": 1, "kw": 1e3, "mw": 1e6},
    "duration": {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800},
}
_EXAMPLES = {
    "number": "8", "size": "512G", "watts": "700W or 12kW", "duration": "30m, 2h, 1d12h or 1-00:00:00",
    "percent": "90 or 90%", "degrees": "64 or 64°C",
}  # fmt: skip
#: Shapes whose values are shown with a scaled unit, and what a number without one may mean.
_UNIT_REQUIRED = {"watts": ("kW", "W"), "size": ("GB", "MB")}
#: Units as the columns show them, a blank before each (`6.2 kW`, `64 °C`).
DISPLAY_UNITS: Mapping[str, frozenset[str]] = {
    "watts": frozenset({"w", "kw", "mw"}), "size": frozenset({"mb", "gb", "tb"}), "percent": frozenset({"%"}),
    "degrees": frozenset({"°c", "c"}), "duration": frozenset({"s", "m", "h", "d"}),
}  # fmt: skip
_NUMBER = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,6})?)([a-z%°]*)")
_TIMES = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[a-z]+)+")
_TIME = re.compile(r"([0-9.]+)([a-z]+)")
_SLURM_TIME = re.compile(r"(?:([0-9]{1,6})-)?([0-9]{1,6}):([0-9]{2})(?::([0-9]{2}))?")


def parse_number(shape: str, text: str) -> tuple[float, int | None]:
    """A typed number in the field's own unit, and its decimals where it has no unit. Raises ValueError with a message
    for the user.
    """
    low = text.lower().replace(",", "").strip()
    match = _NUMBER.fullmatch(low)
    unit = match[2] if match else ""
    if match is not None and not unit and shape in _UNIT_REQUIRED and float(match[1]):
        raise ValueError(f"needs a unit: {' or '.join(match[1] + one for one in _UNIT_REQUIRED[shape])}?")
    if shape == "size" and len(unit) > 1:
        unit = unit.removesuffix("b").removesuffix("i")
    if match is not None and unit in _UNITS[shape]:
        scale = _UNITS[shape][unit]
        return float(match[1]) * scale, len(match[1].partition(".")[2]) if scale == 1 else None
    if shape == "duration":
        return float(_duration(low)), None
    raise ValueError(f"is not a number, like {_EXAMPLES[shape]}")


def _duration(low: str) -> float:
    clock = _SLURM_TIME.fullmatch(low)
    if clock is not None:
        days, high, middle, last = clock.groups()
        if last is None and days is None:  # Slurm reads 10:30 as minutes and seconds
            return int(high) * 60 + int(middle)
        return int(days or 0) * 86_400 + int(high) * 3600 + int(middle) * 60 + int(last or 0)
    if low == "0":
        return 0
    units = _UNITS["duration"]
    if _TIMES.fullmatch(low):
        parts = _TIME.findall(low)
        if all(unit in units and value.count(".") < 2 for value, unit in parts):
            return sum(float(value) * units[unit] for value, unit in parts)
    raise ValueError(f"is not a time with its unit, like {_EXAMPLES['duration']}")


def expand_or_none(text: str | None) -> tuple[str, ...]:
    """The nodes in a folded set; none when it is unknown or not a set."""
    if not text:
        return ()
    try:
        return expand(text)
    except ValueError:
        return ()
