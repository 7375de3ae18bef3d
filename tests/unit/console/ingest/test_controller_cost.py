"""What the console costs the controller: never a figure that two readings of sdiag do not bear out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import Cluster, Cost, Diag, Source
from console.ingest.controller_cost import MOST, between, strain, with_cost
from console.tables.overview_figures import controller_spans
from tests.support import make


def diag(calls: int = 100, us: int = 5_000, **more) -> Diag:
    given = {"since": 7, "reader": "ops", "user_calls": {"ops": calls, "root": 9}, "user_time_us": {"ops": us}}
    return Diag(**(given | more))


def test_calls_and_milliseconds_a_minute():
    assert between(diag(), diag(124, 53_000), 120.0) == Cost(user="ops", calls_min=12.0, ms_min=24.0)
    assert between(diag(), diag(), 60.0) == Cost(user="ops", calls_min=0.0, ms_min=0.0)


@pytest.mark.parametrize(
    ("after", "seconds", "why"),
    [
        (diag(99, 6_000), 60.0, "the calls went back"),
        (diag(124, 4_000), 60.0, "the time went back"),
        (diag(500, 9_000, since=8), 60.0, "the counters began anew and have overtaken the old ones"),
        (diag(reader=None), 60.0, "nobody knows who asks"),
        (diag(user_calls={}), 60.0, "the user is not counted"),
        (diag(user_time_us={}), 60.0, "the user's time is not counted"),
        (diag(reader="root"), 60.0, "root has calls and no time"),
        (diag(124, 53_000), 0.0, "the same reading twice"),
        (diag(124, 53_000), 4.0, "too short to speak of a minute"),
    ],
)
def test_what_cannot_be_said_is_not(after, seconds, why):
    assert between(diag(), after, seconds) is None, why


@given(*[st.integers(0, 2**62)] * 4, st.floats(0, 1e6))
def test_a_cost_is_never_negative(calls, us, more_calls, more_us, seconds):
    found = between(diag(calls, us), diag(more_calls, more_us), seconds)
    assert found is None or (found.calls_min >= 0 and found.ms_min >= 0)


# -- holding back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figures", "cost", "expected"),
    [
        ({}, None, 1.0),
        ({"main_cycle_last_us": 900_000, "server_threads": 12, "agent_queue": 40}, None, 1.0),
        ({"main_cycle_last_us": 5_000_000}, None, 2.5),
        ({"server_threads": 256}, None, 2.56),
        ({"agent_queue": 1_840}, None, 3.68),
        ({"agent_queue": 90_000}, None, MOST),
        ({}, Cost(user="ops", calls_min=40, ms_min=3_600), 3.0),
        ({}, Cost(user="ops", calls_min=40, ms_min=300), 1.0),
        ({}, Cost(user="root", calls_min=9_000, ms_min=30_000), 1.0),
    ],
)
def test_it_holds_back_when_the_controller_strains(figures, cost, expected):
    assert strain(Diag(**figures), cost) == pytest.approx(expected)


def test_what_is_not_known_does_not_strain():
    assert strain(None, None) == 1.0


# -- in the cluster ----------------------------------------------------------------------------------------------------


def cluster(one: Diag | None, mono: float | None) -> Cluster:
    return make.cluster(diag=one, sources=[Source(name="slurm.diag", read_mono=mono)])


def test_the_cost_is_told_once_a_reading_of_sdiag():
    first, second = cluster(diag(), 10.0), cluster(diag(112, 17_000), 70.0)
    assert with_cost(cluster(None, None), first) is first
    assert with_cost(make.cluster(), second) is second
    found = with_cost(first, second)
    assert found.cost == Cost(user="ops", calls_min=12.0, ms_min=12.0)
    later = msgspec.structs.replace(found, at=9.0)
    assert with_cost(found, later).cost is found.cost, "a reading of another source leaves it"
    assert with_cost(found, cluster(diag(1, 1, since=99), 130.0)).cost is None, "counters that began anew"


def test_the_overview_says_what_it_costs_and_that_it_holds_back():
    def text(one: Cluster) -> str:
        return "".join(part for part, _ in controller_spans(one))

    calm = make.cluster(diag=Diag(main_cycle_last_us=12_000))
    assert text(make.cluster()) == "" and text(calm) == "slurmctld 12 ms a cycle"
    cost = Cost(user="ops", calls_min=11.6, ms_min=214.0)
    assert text(msgspec.structs.replace(calm, cost=cost)).endswith("  ops 12 calls, 214 ms a minute")
    slow = msgspec.structs.replace(make.cluster(diag=Diag(main_cycle_last_us=4_000_000)), cost=cost)
    assert text(slow) == "read 2.0x seldomer: slurmctld 4,000 ms a cycle  ops 12 calls, 214 ms a minute"
