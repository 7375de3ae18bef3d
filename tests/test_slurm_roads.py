"""The six sources over whatever road is configured, and what stands in where a road cannot."""

from __future__ import annotations

import msgspec
import pytest

from collectors.model import SourceFault
from collectors.slurm import SlurmSettings, road
from collectors.slurm.cli import CliRoad
from collectors.slurm.jobs import NAMED
from collectors.slurm.road import KINDS, OPTIONAL, Limit
from collectors.slurm.sources import LentSource, Roads, open_roads, open_sources, open_transport
from console.poller import Lends
from tests.make import VERSIONS, Commands, named_row, play, row, squeue
from tests.restd import StandIn, record


@pytest.fixture
def blind(monkeypatch):
    """slurmrestd can tell no reservations and no detail of a job."""
    more = (Limit(road="rest", what="reservations", why="it is blind"), Limit(road="rest", what="job_detail", why="so"))
    monkeypatch.setattr(road, "LIMITS", (*road.LIMITS, *more))


@pytest.fixture
def restd(tmp_path):
    with StandIn(tmp_path) as started:
        yield started


def test_the_same_sources_over_every_road(restd):
    over = {name: open_sources("lab", SlurmSettings(transport=name)) for name in ("cli", "native")}
    over["rest"] = open_sources("lab", restd.settings)
    for name, found in over.items():
        # What only some sites have, and a road cannot read, has no source there: no fault for what may not be.
        kinds = [kind for kind in KINDS if kind not in OPTIONAL or road.why_not(name, kind) is None]
        assert [one.name for one in found] == [f"slurm.{kind}" for kind in kinds]
        assert [one.floor_s for one in found][:6] == [10.0, 10.0, 60.0, 60.0, 60.0, 900.0]
    both = open_sources("lab", msgspec.structs.replace(restd.settings, fallback=("cli",)))
    assert "slurm.topology" in [one.name for one in both]
    assert all(isinstance(one, Lends) for one in over["cli"])
    assert not any(isinstance(one, LentSource) for one in over["rest"]), "a connection is not shared"
    assert restd.seen == [], "nothing is asked by opening"


def test_a_kind_that_no_road_can_tell_is_unknown_with_the_reason(restd, blind):
    with pytest.raises(SourceFault, match="reservations cannot be read over rest: it is blind") as caught:
        open_sources("lab", restd.settings)[3].collect()
    assert 'fallback = ["cli"]' in caught.value.fault.mend


def test_what_a_road_cannot_read_goes_over_the_next(restd, blind, tmp_path, monkeypatch):
    play(Commands(tmp_path, monkeypatch), VERSIONS[-1])
    chosen = msgspec.structs.replace(restd.settings, fallback=("cli",))
    kept = open_sources("lab", chosen)[3]
    assert isinstance(kept, LentSource) and "lab-maint" in kept.collect().reservations
    both = open_transport("lab", chosen)
    assert both.job_detail("2").batch and restd.seen == []
    assert list(both.read_nodes(["gpu0001"])) == ["gpu0001"] and restd.asked == ["nodes/"]
    with pytest.raises(SourceFault, match="job_detail cannot be read over rest: so"):
        Roads(open_roads("lab", restd.settings)).job_detail("2")


def test_what_a_screen_shows_reaches_the_road(restd, monkeypatch):
    monkeypatch.setattr("collectors.slurm.rest.queue.SMALL", 0)
    restd.queue(record(1), record(2))
    jobs = open_sources("lab", restd.settings)[1]
    jobs.collect()
    jobs.show(frozenset({"2"}))
    jobs.collect()
    assert restd.asked[-1] == "job/2"
    open_sources("lab", SlurmSettings())[1].show(frozenset({"2"}))  # the commands read all of them alike


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"transport": "rest"}, "either url or socket"),
        ({"transport": "rest", "url": "https://a", "socket": "/b"}, "either url or socket"),
        ({"transport": "rest", "url": "http://far"}, "https://"),
        ({"transport": "rest", "socket": "b"}, "socket must begin at /"),
        ({"transport": "rest", "socket": "/b", "user": "a/b"}, "user must be the name of an account"),
        ({"transport": "rest", "socket": "/b", "fallback": ("rest",)}, "fallback names a transport twice"),
        ({"url": "https://a"}, 'are for transport = "rest"'),
    ],
)
def test_settings_that_cannot_be(chosen, words):
    with pytest.raises(ValueError, match=words):
        SlurmSettings(**chosen)


def test_a_row_of_squeue_that_cannot_be_read_may_be_of_any_job(tmp_path, monkeypatch):
    commands = Commands(tmp_path, monkeypatch)
    commands.says("squeue", squeue(named_row(JobArrayID="7"), "nonsense", columns=NAMED), to="*-j *")
    commands.says("squeue", squeue(row(), "nonsense"))
    cli = CliRoad(SlurmSettings(share=False))
    assert cli.reader("jobs").read().hidden == {"*"}
    with pytest.raises(SourceFault, match="a row of squeue cannot be read"):
        cli.read_jobs(["7", "8"])
