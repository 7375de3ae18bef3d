"""`wacht doctor`: each road by what it really did."""

from __future__ import annotations

import json

import msgspec
import pytest

from collectors.sim import SimSettings
from console.doctor import report
from console.site import Site, demo
from tests.make import Commands, play
from tests.restd import StandIn


@pytest.fixture
def restd(tmp_path, monkeypatch):
    commands = Commands(tmp_path, monkeypatch)
    play(commands, "26.05")
    commands.says("scontrol", "Slurmctld(primary) at labctl is UP\n", to="ping")
    commands.says("scontrol", "slurm 26.05.5\n", to="version")
    with StandIn(tmp_path) as started:
        yield started


def site(restd, **more):
    return Site(name="lab", demo=False, slurm=msgspec.structs.replace(restd.settings, **more), others={})


def test_what_works_what_it_costs_and_what_it_cannot(restd):
    text, status = report(site(restd, fallback=("cli",)), False)
    assert status == 0 and restd.file.read_text() not in text
    assert "  rest (transport): works: Slurm 26.05.5 v0.0.45, 127.0.0.1:" in text
    assert "  cli (fallback): works: Slurm 26.05.5, /" in text
    assert "    rights: alice, unknown; may change nodes: unknown, everybody's jobs: unknown (" in text
    assert "    cannot reboot: slurmrestd has no call that reboots\n" in text
    assert "    cannot hold tasks: slurmrestd refuses to change a task of an array\n" in text
    assert text.count("    read nodes: ") == 2 and " kB\n" in text
    assert "  native (not configured): does not work: " in text


def test_a_configured_road_that_does_not_work_is_told_and_fails(restd):
    restd.answers["ping/"] = {"pings": []}
    restd.answers["nodes/"] = {"nodes": []}
    text, status = report(site(restd), True)
    found = {one["road"]: one for one in json.loads(text)["roads"]}
    assert status == 1 and found["rest"]["fault"]["kind"] == "refused" and found["cli"]["fault"] is None
    assert found["rest"]["use"] == "transport" and found["cli"]["use"] == ""


def test_a_reading_that_fails_is_told(restd):
    restd.answers["nodes/"] = {"nodes": []}
    assert "    read nodes: failed: slurmrestd lists not one node" in report(site(restd), False)[0]


def test_without_a_slurm_there_is_nothing_to_try():
    assert report(demo(SimSettings(nodes=4)), False) == ("demo: no Slurm to be asked\n", 0)
