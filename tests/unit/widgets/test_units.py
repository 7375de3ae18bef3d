"""Figures: units always, unknown is a dash and never a nought."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets import units

ALL = (
    units.count,
    units.percent,
    units.duration,
    units.clock_span,
    units.power,
    units.memory,
    units.degrees,
    units.when,
    units.age,
)


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.__name__)
def test_unknown_is_a_dash(form: object) -> None:
    assert form(None) == "—"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.count(7514), "7,514"),
        (units.count(0), "0"),
        (units.percent(92.4), "92 %"),
        (units.percent(2.61), "2.6 %"),
        (units.percent(0), "0 %"),
        (units.percent(9.96), "10 %"),
        (units.share(212, 8192), "2.6 %"),
        (units.share(None, 5), "—"),
        (units.share(1, 0), "—"),
        (units.duration(48), "48s"),
        (units.duration(12 * 60 + 59), "12m"),
        (units.duration(6720), "1h 52m"),
        (units.duration(41 * 3600), "41h"),
        (units.duration(9 * 86400 + 5), "9 d"),
        (units.duration(-5), "0s"),
        (units.clock_span(2 * 86400 + 3 * 3600 + 245), "2-03:04:05"),
        (units.clock_span(59), "00:00:59"),
        (units.power(612), "612 W"),
        (units.power(4234), "4.2 kW"),
        (units.power(412_000), "412 kW"),
        (units.power(5_912_000), "5.91 MW"),
        (units.power(999_700), "1.00 MW"),
        (units.power(999.7), "1.0 kW"),
        (units.memory(512), "512 MB"),
        (units.memory(61 * 1024), "61 GB"),
        (units.memory(2 << 20), "2.0 TB"),
        (units.degrees(64.4), "64 °C"),
        (units.age(75), "75s"),
        (units.age(720), "12m"),
        (units.age(4 * 86400), "4d"),
    ],
)
def test_figures(text: str, expected: str) -> None:
    assert text == expected


def test_moments() -> None:
    zone = timezone(timedelta(hours=1))
    at = 1_795_486_327  # 2026-11-24 02:12:07 UTC
    assert units.stamp(at, zone) == "2026-11-24 03:12:07 +01:00"
    assert units.stamp(at, timezone(-timedelta(hours=3, minutes=30))) == "2026-11-23 22:42:07 -03:30"
    assert units.when(at, zone) == "2026-11-24 03:12"
    assert units.when(at, zone, now=at + 60) == "03:12"
    assert units.when(1e30, zone) == "—"
    assert len(units.stamp(at)) == 26


@given(st.floats(min_value=0, max_value=1e9))
def test_figures_stay_short(value: float) -> None:
    """A column of fixed width must never have to cut a figure."""
    assert len(units.power(value)) <= 10
    assert len(units.duration(value)) <= 7
    assert len(units.memory(value)) <= 8
    assert len(units.age(value)) <= 6
