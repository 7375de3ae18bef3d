"""How well two colours can be distinguished: contrast, simulated colour blindness, and colour difference.

Used to hold every theme to its figures, in the tests and in docs/themes.md, and for a theme that a site wrote. Colours
are `#rrggbb`. Sources: contrast from WCAG 2.2; the simulations, of a cone that is wholly missing, from Machado,
Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (IEEE TVCG 15-6,
2009), matrices of severity 1.0, on linear light; the distance is CIEDE2000 as in Sharma, Wu and Dalal (Color Research
and Application 30-1, 2005), for D65. A difference of about 1 is just seen side by side, one of 10 at a glance.
"""

from __future__ import annotations

from math import atan2, cos, degrees, exp, hypot, radians, sin

Triple = tuple[float, float, float]

VISIONS: dict[str, tuple[Triple, Triple, Triple]] = {
    "normal": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""What is seen of linear red, green and blue."""

_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def difference(one: str, other: str, vision: str = "normal") -> float:
    """CIEDE2000 between two colours as seen with that vision."""
    return ciede2000(_lab(one, vision), _lab(other, vision))


def _luminance(colour: str) -> float:
    red, green, blue = _linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(colour: str) -> Triple:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def _times(matrix: tuple[Triple, Triple, Triple], by: Triple) -> Triple:
    first, second, third = (sum(one * two for one, two in zip(row, by, strict=True)) for row in matrix)
    return first, second, third


def _lab(colour: str, vision: str) -> Triple:
    red, green, blue = (min(1.0, max(0.0, part)) for part in _times(VISIONS[vision], _linear(colour)))
    parts = [part / white for part, white in zip(_times(_XYZ, (red, green, blue)), _WHITE, strict=True)]
    x, y, z = (part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116 for part in parts)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one: Triple, other: Triple) -> float:
    """The difference of two colours given as CIE L*, a*, b*."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = ((hypot(a1, b1) + hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - (mean / (mean + 25**7)) ** 0.5)
    c1, c2 = hypot(a1 * stretch, b1), hypot(a2 * stretch, b2)
    h1, h2 = (degrees(atan2(b, a * stretch)) % 360 if hypot(a, b) else 0.0 for a, b in ((a1, b1), (a2, b2)))
    turn = h2 - h1 if c1 * c2 else 0.0
    turn -= 360 if turn > 180 else -360 if turn < -180 else 0
    light, chroma, hue = l2 - l1, c2 - c1, 2 * (c1 * c2) ** 0.5 * sin(radians(turn) / 2)
    middle_l, middle_c = (l1 + l2) / 2, (c1 + c2) / 2
    middle_h = h1 + h2
    if c1 * c2:
        middle_h = (middle_h if abs(h1 - h2) <= 180 else middle_h + (360 if middle_h < 360 else -360)) / 2
    t = (
        1
        - 0.17 * cos(radians(middle_h - 30))
        + 0.24 * cos(radians(2 * middle_h))
        + 0.32 * cos(radians(3 * middle_h + 6))
        - 0.20 * cos(radians(4 * middle_h - 63))
    )
    off = (middle_l - 50) ** 2
    light /= 1 + 0.015 * off / (20 + off) ** 0.5
    chroma /= 1 + 0.045 * middle_c
    hue /= 1 + 0.015 * middle_c * t
    seventh = middle_c**7
    about = 2 * (seventh / (seventh + 25**7)) ** 0.5 * sin(radians(60 * exp(-(((middle_h - 275) / 25) ** 2))))
    return float((light**2 + chroma**2 + hue**2 - about * chroma * hue) ** 0.5)
