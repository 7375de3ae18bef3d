"""Wall clocks that jump, and time zones: ages, turns and the order of the journal come from the monotonic clock."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.model import Budget, Cluster
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_sources
from console.journal.writer import Journal, verify
from tests.faults import fault
from tests.faults.watch import NEVER_S, Watch
from tests.support.make import Commands, play
from widgets.units import stamp

#: The night when summer ends in Amsterdam: 03:00 is 02:00 again.
SUMMER_ENDS = datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()


class WallClock:
    """The wall clock of this process, which a test sets as an administrator or NTP does; the monotonic one goes on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._true = time.time
        self._off_s = 0.0
        patch.setattr(time, "time", lambda: self._true() + self._off_s)

    def steps(self, seconds: float) -> None:
        """It is set so far ahead, or back."""
        self._off_s += seconds

    def says(self, epoch: float) -> None:
        """It is set to that moment."""
        self._off_s = epoch - self._true()


@pytest.fixture
def wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WallClock]:
    """Slurm's commands stand on PATH, and the wall clock may be set."""
    play(Commands(tmp_path, monkeypatch), "26.05")
    yield WallClock(monkeypatch)
    monkeypatch.undo()
    time.tzset()


@contextmanager
def nodes(floor_s: float = NEVER_S) -> Iterator[Watch]:
    """A poller over the nodes of those commands."""
    settings = SlurmSettings(interval_s=floor_s, share=False, budget=Budget(calls=600, seconds=60))
    with Watch(next(one for one in open_sources("lab", settings) if one.name == "slurm.nodes")) as watch:
        yield watch


def fresh(watch: Watch, cluster: Cluster) -> None:
    """It was read well and just now, by either clock."""
    assert watch.source.ok, watch.source.fault
    assert 0 <= watch.source.age_s(watch.clock.mono()) < 20 and abs(time.time() - cluster.at) < 20


@pytest.mark.parametrize(
    "step_s",
    [
        pytest.param(-3600, marks=fault(
            "clock", "the wall clock steps back by an hour",
            "no age and no turn changes, it is read when it is due; what is shown follows; the journal is whole",
            case="clock steps back")),
        pytest.param(86_400, marks=fault(
            "clock", "the wall clock jumps ahead by a day",
            "no age and no turn changes, nothing is called old; the journal is whole")),
    ],
)  # fmt: skip
def test_a_wall_clock_that_jumps(wall: WallClock, tmp_path: Path, step_s: int) -> None:
    with nodes(floor_s=1.0) as watch:
        journal = Journal(tmp_path / "lab.jsonl", "lab", watch.clock)
        fresh(watch, watch.cluster)
        before, due_s = time.time(), watch.source.due_s
        journal.write("result", id="x")
        wall.steps(step_s)
        fresh(watch, watch.reads())  # by itself, when it is due
        journal.write("result", id="y")
        assert abs(time.time() - before - step_s) < 20 and watch.source.due_s == pytest.approx(due_s, abs=5)
    assert verify(journal.path).ok
    first, second = (json.loads(line) for line in journal.path.read_text().splitlines())
    assert first["mono"] < second["mono"] and (first["time"] > second["time"]) is (step_s < 0)


@fault("clock", "the night when summer time ends, in Amsterdam",
       "ages go on; a time is shown with its offset, and the journal is in UTC", case="DST")  # fmt: skip
def test_an_hour_that_comes_twice(wall: WallClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Amsterdam")
    time.tzset()
    wall.says(SUMMER_ENDS - 30)
    with nodes() as watch:
        journal = Journal(tmp_path / "lab.jsonl", "lab", watch.clock)
        fresh(watch, watch.cluster)
        summer = stamp(watch.cluster.at)
        journal.write("result", id="x")
        wall.says(SUMMER_ENDS + 30)
        fresh(watch, watch.again())
        winter = stamp(watch.cluster.at)
        journal.write("result", id="y")
    assert re.fullmatch(r"2026-10-25 02:59:\d\d \+02:00", summer) and re.fullmatch(r".* 02:00:\d\d \+01:00", winter)
    times = [json.loads(line)["time"][:16] for line in journal.path.read_text().splitlines()]
    assert times == ["2026-10-25T00:59", "2026-10-25T01:00"]


@fault("clock", "a console in Kiritimati, in St John's and in UTC", "the same moments", case="other time zones")
def test_a_moment_is_the_same_everywhere(wall: WallClock, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for zone in ("UTC", "Pacific/Kiritimati", "America/St_Johns"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        with nodes() as watch:
            fresh(watch, watch.cluster)
            told.append({name: (one.reason_at, one.boot_at) for name, one in watch.cluster.nodes.items()})
    assert told[0] == told[1] == told[2] and any(one[0] for one in told[0].values())
