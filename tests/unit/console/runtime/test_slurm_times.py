"""Moments and durations as Slurm's commands take them."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from console.actions.option_parsing import parse_seconds
from console.runtime.slurm_times import clock_seconds, parse_moment


@pytest.fixture(autouse=True)
def _amsterdam(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Amsterdam")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-11-18T15:00"), ("now+1h", "2026-11-18T16:00"), ("now+1hour", "2026-11-18T16:00"),
        ("now+60", "2026-11-18T15:01"), ("NOW+2days", "2026-11-20T15:00"), ("+2h", "2026-11-18T17:00"),
        ("+1d12h", "2026-11-20T03:00"), ("tomorrow", "2026-11-19T00:00"), ("tomorrowT08:00", "2026-11-19T08:00"),
        ("today", "2026-11-18T00:00"), ("8:00", "2026-11-19T08:00"), ("22:00", "2026-11-18T22:00"),
        ("8pm", "2026-11-18T20:00"), ("12am", "2026-11-19T00:00"), ("noon", "2026-11-19T12:00"),
        ("midnight", "2026-11-19T00:00"), ("teatime", "2026-11-18T16:00"), ("2026-11-26T08:00", "2026-11-26T08:00"),
        ("2026-11-26", "2026-11-26T00:00"),
    ],
)  # fmt: skip
def test_a_moment_is_what_slurm_takes_it_for(text, moment):
    now = datetime(2026, 11, 18, 15, 0).timestamp()
    assert datetime.fromtimestamp(parse_moment(text, now)) == datetime.fromisoformat(moment)


def test_tomorrow_is_a_midnight_where_the_clocks_change():
    now = datetime(2026, 10, 24, 23, 30).timestamp()
    assert parse_moment("tomorrow", now) - now == 1800
    assert datetime.fromtimestamp(parse_moment("tomorrowT08:00", now)).hour == 8


@pytest.mark.parametrize(
    "text", ["", "8", "+60", "now+", "now-1h", "25:00", "13pm", "0pm", "tomorrowx", "tomorrow 25:00"]
)
def test_what_is_no_moment_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="is no moment; write 22:00, tomorrow, now"):
        parse_moment(text, 1_795_000_000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4:00:00", 14_400),
        ("2-12", 216_000),
        ("2-12:30", 217_800),
        ("2-12:30:05", 217_805),
        ("4:00", None),
        ("90", None),
    ],
)
def test_a_duration_is_what_slurm_takes_it_for(text, seconds):
    assert clock_seconds(text) == seconds
    if seconds is not None:
        assert parse_seconds(text) == seconds
