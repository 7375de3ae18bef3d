"""The axes of a chart: round steps, units, labels apart, local times."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from widgets.chart_scale import time_ticks, unit_of, value_axis

NOW = int(datetime(2026, 11, 18, 12, 6, tzinfo=UTC).timestamp())


def labels(low: float, high: float, unit: str, rows: int) -> list[str]:
    return [label for _, label in value_axis(low, high, unit_of(unit), rows).ticks]


@pytest.mark.parametrize(
    ("low", "high", "unit", "rows", "expected"),
    [
        (75, 89, "%", 7, ["0 %", "50 %", "100 %"]),
        (5, 38, "%", 9, ["0 %", "10 %", "20 %", "30 %", "40 %"]),
        (0, 3, "%", 5, ["0 %", "5 %", "10 %"]),
        (5.11e6, 5.94e6, "W", 8, ["5.0 MW", "5.5 MW", "6.0 MW"]),
        (10_400, 10_900, "W", 5, ["10.2 kW", "10.6 kW", "11.0 kW"]),
        (41, 62, "°C", 7, ["40 °C", "50 °C", "60 °C", "70 °C"]),
        (1000, 90_000, "MB", 5, ["0 GB", "50 GB", "100 GB"]),
        (1200, 1980, "MHz", 5, ["1,000 MHz", "1,500 MHz", "2,000 MHz"]),
        (0, 0, "W", 5, ["0.0 W", "0.5 W", "1.0 W"]),
        (64, 64, "°C", 1, ["66 °C"]),
    ],
)
def test_labels_are_round_and_have_their_unit(low, high, unit, rows, expected):
    assert labels(low, high, unit, rows) == expected


def test_a_share_starts_at_0_and_a_temperature_near_its_values():
    assert value_axis(88, 92, unit_of("%"), 10).low == 0 and value_axis(88, 92, unit_of("%"), 10).high == 100
    assert value_axis(28, 88, unit_of("°C"), 10).low == 20
    assert value_axis(100, 900, unit_of("W"), 10).low == 0, "0 is near"
    assert value_axis(800, 900, unit_of("W"), 10).low > 0


def test_noise_does_not_fill_the_axis():
    axis = value_axis(5_900_000, 5_900_100, unit_of("W"), 10)
    assert axis.high - axis.low >= 0.05 * 5_900_000


@given(
    low=st.floats(-1e9, 1e9), reach=st.floats(0, 1e9), unit=st.sampled_from(("%", "W", "°C", "MB", "x")),
    rows=st.integers(1, 60),
)  # fmt: skip
def test_every_value_is_on_the_axis_and_no_two_labels_are_equal(low, reach, unit, rows):
    axis = value_axis(low, low + reach, unit_of(unit), rows)
    slack = 1e-6 * (1 + abs(low) + reach)
    assert axis.low <= low + slack and axis.high >= low + reach - slack
    texts = [label for _, label in axis.ticks]
    assert texts and len(set(texts)) == len(texts) and len(texts) <= max(2, rows)
    assert all(axis.low <= value <= axis.high for value, _ in axis.ticks)


def test_times_are_round_local_times():
    zone = ZoneInfo("Europe/Amsterdam")
    assert [label for _, label in time_ticks(NOW - 3600, NOW, 60, zone)] == [
        "12:10", "12:20", "12:30", "12:40", "12:50", "13:00",
    ]  # fmt: skip
    assert [label for _, label in time_ticks(NOW - 86_400, NOW, 40, zone)] == ["18:00", "18 Nov", "06:00", "12:00"]
    assert [label for _, label in time_ticks(NOW - 7 * 86_400, NOW, 80, zone)][:2] == ["12 Nov", "13 Nov"]
    kolkata = ZoneInfo("Asia/Kolkata")
    assert time_ticks(NOW - 3600, NOW, 20, kolkata)[0][1] == "17:00", "half an hour off the hours of UTC"


def test_times_stay_round_over_the_end_of_summer_time():
    zone = ZoneInfo("Europe/Amsterdam")
    end = int(datetime(2026, 10, 25, 12, 0, tzinfo=zone).timestamp())
    found = time_ticks(end - 24 * 3600, end, 60, zone)
    assert all(datetime.fromtimestamp(at, zone).strftime("%H:%M") in {label, "00:00"} for at, label in found)


@given(span=st.integers(0, 10**9), columns=st.integers(-1, 300))
def test_times_are_within_the_chart_and_ascend(span, columns):
    found = [at for at, _ in time_ticks(NOW - span, NOW, columns, UTC)]
    assert found == sorted(found) and all(NOW - span <= at <= NOW for at in found)
    assert len(found) <= max(0, columns) / 8 + 1
