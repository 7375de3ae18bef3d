"""Figures as text, always with their unit. Unknown (None) is a dash, never zero."""

from __future__ import annotations

from datetime import datetime, tzinfo

UNKNOWN = "—"

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def count(value: float | None) -> str:
    """A number of things: `7,514`."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def percent(value: float | None, digits: int | None = None) -> str:
    """A share in percent: `92 %`, `2.6 %`; below ten one digit is shown, because 0.3 % of a big machine matters."""
    if value is None:
        return UNKNOWN
    if digits is None:
        digits = 0 if abs(value) >= 9.95 or value == 0 else 1
    return f"{value:.{digits}f} %"


def share(part: float | None, whole: float | None) -> str:
    """A part as a percentage; unknown where either value is unknown, or the whole is zero."""
    return UNKNOWN if part is None or not whole else percent(100 * part / whole)


def duration(seconds: float | None) -> str:
    """A length of time in at most two units: `48s`, `12m`, `1h 52m`, `31h`, `9 d`. Negative ones count as none."""
    if seconds is None:
        return UNKNOWN
    s = max(0, int(seconds))
    if s < _MINUTE:
        return f"{s}s"
    if s < _HOUR:
        return f"{s // _MINUTE}m"
    if s < 10 * _HOUR:
        hours, rest = divmod(s, _HOUR)
        return f"{hours}h {rest // _MINUTE:02d}m"
    if s < 2 * _DAY:
        return f"{s // _HOUR}h"
    return f"{s // _DAY} d"


def clock_span(seconds: float | None) -> str:
    """A length of time as Slurm writes it, exact: `2-03:04:05`, `03:04:05`."""
    if seconds is None:
        return UNKNOWN
    minutes, s = divmod(max(0, int(seconds)), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    return f"{days}-{h:02d}:{m:02d}:{s:02d}" if days else f"{h:02d}:{m:02d}:{s:02d}"


def power(watts: float | None) -> str:
    """Power: `612 W`, `4.2 kW`, `412 kW`, `5.91 MW`."""
    if watts is None:
        return UNKNOWN
    size = abs(watts)
    if size < 999.5:
        return f"{watts:.0f} W"
    if size < 9_950:
        return f"{watts / 1e3:.1f} kW"
    if size < 999_500:
        return f"{watts / 1e3:.0f} kW"
    return f"{watts / 1e6:.2f} MW"


def energy(joules: float | None) -> str:
    """Energy: `412 Wh`, `31 kWh`, `2.41 MWh`."""
    if joules is None:
        return UNKNOWN
    hours = joules / 3600
    if abs(hours) < 999.5:
        return f"{hours:.0f} Wh"
    return f"{hours / 1e3:,.0f} kWh" if abs(hours) < 999_500 else f"{hours / 1e6:.2f} MWh"


def memory(mb: float | None) -> str:
    """Memory given in MB as Slurm counts it (2^20 bytes): `512 MB`, `61 GB`, `2.0 TB`."""
    if mb is None:
        return UNKNOWN
    if mb < 1024:
        return f"{mb:.0f} MB"
    gb = mb / 1024
    if gb < 9.95:
        return f"{gb:.1f} GB"
    if gb < 1023.5:
        return f"{gb:.0f} GB"
    tb = gb / 1024
    return f"{tb:.1f} TB" if tb < 99.5 else f"{tb:,.0f} TB"


def degrees(celsius: float | None) -> str:
    """A temperature: `64 °C`."""
    return UNKNOWN if celsius is None else f"{celsius:.0f} °C"


def when(epoch: float | None, zone: tzinfo | None = None, now: float | None = None) -> str:
    """A moment: `03:12` on the day of `now`, else `2026-11-24 03:12`. `zone` None is the machine's own."""
    if epoch is None:
        return UNKNOWN
    try:
        at = datetime.fromtimestamp(epoch, zone)
        if now is not None and at.date() == datetime.fromtimestamp(now, zone).date():
            return f"{at:%H:%M}"
        return f"{at:%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):
        return UNKNOWN


def stamp(epoch: float, zone: tzinfo | None = None) -> str:
    """The full time with its offset from UTC: `2026-11-24 03:12:07 +01:00`."""
    at = datetime.fromtimestamp(epoch, zone)
    offset = (at if at.tzinfo else at.astimezone()).strftime("%z")
    return f"{at:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:5]}"


def age(seconds: float | None) -> str:
    """The age of facts for a chip: `4s`, `75s`, `12m`, `3h`."""
    if seconds is None:
        return UNKNOWN
    s = max(0, int(seconds))
    if s < 2 * _MINUTE:
        return f"{s}s"
    if s < 2 * _HOUR:
        return f"{s // _MINUTE}m"
    return f"{s // _HOUR}h" if s < 2 * _DAY else f"{s // _DAY}d"


def plural(number: float | None, word: str, many: str = "") -> str:
    """A number and its noun in agreement: `1 port`, `12 ports`, `— ports`; `many` is an irregular plural."""
    return f"{count(number)} {word if number == 1 else many or word + 's'}"


def times(number: int) -> str:
    """How often: `never`, `once`, `3 times`."""
    return {0: "never", 1: "once"}.get(number, f"{number:,} times")
