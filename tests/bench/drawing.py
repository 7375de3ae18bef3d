"""An SVG chart: panels with logarithmic axes, legible on light and dark backgrounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 280, 220
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 28, 14, 34
#: Colours with enough contrast on white and on black, distinguishable with red-green colour blindness.
_HUES = ("#2f81c7", "#d9822b", "#8a63d2")
_STYLE = """\
  text { font: 11px sans-serif; fill: #57606a }
  .grid { stroke: #8c959f; stroke-opacity: .3 } .title { font-weight: 600 }
  @media (prefers-color-scheme: dark) { text { fill: #b1bac4 } }"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: the name of its x axis, the sizes on it, and the lines; None for a point that was not measured."""

    along: str
    sizes: Sequence[float]
    lines: Mapping[str, Sequence[float | None]]


def svg(panels: Sequence[Panel]) -> str:
    """The panels side by side with a common y axis, and the legend below."""
    values = [value for panel in panels for line in panel.lines.values() for value in line if value]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))) if values else (-2, 0)
    high = max(high, low + 1)
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    height = _HEIGHT + 18 * len(names) + 8
    parts = [
        '<svg xml:space="preserve" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {_WIDTH * len(panels)} {height}" role="img">',
        f"<style>\n{_STYLE}\n</style>",
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, number * _WIDTH, low, high)
    for number, name in enumerate(names):
        y = _HEIGHT + 12 + 18 * number
        parts.append(f'<path d="M{_LEFT} {y - 4}h24" stroke="{_HUES[number]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{_LEFT + 32}" y="{y}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, left: float, low: int, high: int) -> list[str]:
    least, most = math.log10(min(panel.sizes)), math.log10(max(panel.sizes))

    def x(size: float) -> float:
        return left + _LEFT + (math.log10(size) - least) / (most - least) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - math.log10(value)) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<text class="title" x="{left + _LEFT}" y="16">{panel.along}</text>']
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(f'<path class="grid" d="M{left + _LEFT} {at:.1f}H{left + _WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{left + _LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for size in panel.sizes:
        anchor = "end" if size == max(panel.sizes) else "middle"
        parts.append(f'<text x="{x(size):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="{anchor}">{size:,.0f}</text>')
    for hue, line in zip(_HUES, panel.lines.values(), strict=False):
        points = [(x(size), y(value)) for size, value in zip(panel.sizes, line, strict=True) if value]
        if points:
            path = "L".join(f"{at:.1f} {up:.1f}" for at, up in points)
            parts.append(f'<path d="M{path}" fill="none" stroke="{hue}" stroke-width="2.5"/>')
            parts += [f'<circle cx="{at:.1f}" cy="{up:.1f}" r="3" fill="{hue}"/>' for at, up in points]
    return parts
