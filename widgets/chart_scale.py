"""Scales of a chart: the value axis and the time axis with round steps, and the units of the labels. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from . import units

#: Below this share of the greatest value the axis starts at 0: the room between would be small.
_NEAR_ZERO = 0.35
#: The least reach of a scaled axis, as a share of its greatest value: noise must not look like a change.
_LEAST_REACH = 0.05
#: Room below the least value on a scaled axis, as a share of the reach of the values.
_BELOW = 0.04
#: The least top of an axis of shares, in percent.
_LEAST_SHARE = 10.0
#: A limit is within the axis where it is at most this far from the values, as a ratio.
_LIMIT_REACH = 1.3
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
#: Seconds between two labels of the time axis.
_TIME_STEPS = (
    *(_MINUTE * step for step in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * step for step in (1, 2, 3, 6, 12)),
    *(_DAY * step for step in (1, 2, 7, 14, 28, 91, 364)),
)


class Unit(NamedTuple):
    """How values of one unit are written."""

    write: Callable[[float | None], str]
    prefixes: tuple[tuple[float, str], ...]
    """Divisor and suffix, ascending."""
    is_share: bool = False
    """Shares start at 0 and end at 100."""
    has_zero: bool = True
    """Whether 0 is the least value: it is not for temperatures."""


UNITS = {
    "%": Unit(units.percent, ((1, "%"),), is_share=True),
    "W": Unit(units.power, ((1, "W"), (1e3, "kW"), (1e6, "MW"))),
    "°C": Unit(units.degrees, ((1, "°C"),), has_zero=False),
    "C": Unit(units.degrees, ((1, "°C"),), has_zero=False),
    "MB": Unit(units.memory, ((1, "MB"), (1024, "GB"), (1024**2, "TB"))),
}


def unit_of(name: str) -> Unit:
    """The unit of that name; an unknown one is written with its name as the suffix."""
    return UNITS.get(name) or Unit(
        lambda value: units.UNKNOWN if value is None else f"{value:,.0f} {name}".rstrip(), ((1, name),)
    )


class ValueAxis(NamedTuple):
    """The value axis: its ends and its labels."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    """Value and label, ascending."""

    def part(self, value: float) -> float:
        """Where a value is on the axis, from 0 (low) to 1 (high)."""
        return max(0.0, min(1.0, (value - self.low) / (self.high - self.low)))


def limit_fits(limit: float, low: float, high: float) -> bool:
    """Whether a limit is so near to the values that an axis with both leaves room for the values."""
    return low / _LIMIT_REACH <= limit <= high * _LIMIT_REACH


def value_axis(low: float, high: float, unit: Unit, rows: int) -> ValueAxis:
    """The axis for values from `low` to `high` on so many lines. Shares start at 0; others at a round value below the
    least one, or at 0 where that is near.
    """
    if unit.is_share:
        low, high = min(low, 0.0), max(high, _LEAST_SHARE)
    elif unit.has_zero and 0 <= low <= _NEAR_ZERO * high:
        low = 0.0
    missing = _LEAST_REACH * max(abs(low), abs(high)) - (high - low)
    if missing > 0:
        low, high = low - missing / 2, high + missing / 2
    elif low > 0 or not unit.has_zero:
        low -= _BELOW * (high - low)  # so that the least value has an area too
    if high - low < 1e-6:  # all values are 0, as far as labels can say
        high = low + 1.0
    if unit.is_share and 50 < high <= 100:
        high = 100.0
    divisor, suffix = next(
        (one for one in reversed(unit.prefixes) if max(abs(low), abs(high)) >= one[0]), unit.prefixes[0]
    )
    step, first, last, each = _steps(low / divisor, high / divisor, max(1, rows))
    digits = max(0, -math.floor(math.log10(step if first % each else step * each) + 1e-9))
    ticks = tuple(
        (at * step * divisor, f"{at * step:,.{digits}f} {suffix}".rstrip()) for at in range(first, last + 1, each)
    )
    # On a single line there is room for the greatest label only.
    return ValueAxis(first * step * divisor, last * step * divisor, ticks if rows > 1 else ticks[-1:])


def _steps(low: float, high: float, rows: int) -> tuple[float, int, int, int]:
    """A round step, the ends of the axis in steps, and how many steps there are from one label to the next: both ends
    have a label, labels are at least two lines apart (three on a tall chart), and little room is left over.
    """
    apart = 3 if rows > 12 else 2
    power = math.floor(math.log10((high - low) / rows))
    best: tuple[float, tuple[float, int, int, int]] | None = None
    for exponent in range(power, power + 4):
        for digit, groups in ((1, (1, 2, 5)), (2, (1, 2, 5)), (5, (1, 2))):
            step = digit * 10.0**exponent
            first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
            count = last - first
            for each in groups:
                labels = count // each
                if count % each or (labels > 1 and rows - 1 < apart * labels):
                    continue
                blank = 1 - (high - low) / (count * step)
                # Labels such as 350, 450, 550 or 400, 440, 480 are less round than 400, 500, 600.
                score = blank + 0.5 / (labels + 1) + (0.1 if first % each or digit * each == 4 else 0.0)
                if best is None or score < best[0] - 1e-9:
                    best = score, (step, first, last, each)
    return best[1] if best is not None else (step, first, last, count)


def time_ticks(start: float, end: float, columns: int, zone: tzinfo | None = None) -> list[tuple[float, str]]:
    """Round local times between `start` and `end` with their labels, as many as fit on so many columns."""
    span = end - start
    if span <= 0 or columns <= 0:
        return []
    # Each label takes its letters and at least three blanks.
    step = next((step for step in _TIME_STEPS if step * columns / span >= (10 if step >= _DAY else 8)), None)
    if step is None:
        return []
    try:
        at = datetime.fromtimestamp(start, zone).replace(tzinfo=None)
        day = at.replace(hour=0, minute=0, second=0, microsecond=0)
        if step > _DAY:  # whole days since a fixed one, so that a label keeps its place while time passes
            day -= timedelta(days=day.toordinal() % (step // _DAY))
        ticks = []
        begin = math.ceil((at - day).total_seconds() / step)
        for number in range(begin, begin + columns + 1):
            local = day + timedelta(seconds=number * step)
            epoch = local.replace(tzinfo=zone).timestamp()
            if epoch > end:
                break
            dated = step >= _DAY or (local.hour == local.minute == 0 and span > 12 * _HOUR)
            if epoch >= start:
                ticks.append((epoch, f"{local:%d %b}" if dated else f"{local:%H:%M}"))
        return ticks
    except (OverflowError, OSError, ValueError):
        return []
