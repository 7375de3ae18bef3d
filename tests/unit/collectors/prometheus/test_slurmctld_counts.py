"""slurmctld's own counts: what a real one said, what goes wrong, and what the overview makes of them."""

from __future__ import annotations

import json
import time

import pytest
from msgspec.structs import replace

from collectors.model import Facts, Fault, Reading, SlurmCounts, Source, SourceFault
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.query_table import SLURMCTLD
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.sources import Counts, open_sources
from collectors.sim.sources import SimSource
from console.alerts.alert_rules import RuleLimits
from console.tables import overview_figures
from tests.support import make
from tests.support.operator import console
from tests.support.paths import DATA
from tests.support.prometheus_server import StandIn, refusing
from widgets.chips import chips

RECORDED = json.loads((DATA / "slurmctld.json").read_text())
"""What Prometheus 3.5 answers of slurmctld 26.05.5: 16 nodes, 106 jobs, no AccountingStorageTRES=gres/gpu."""


def rows(**other: str | float | None) -> list[tuple[dict[str, str], str | float]]:
    """The recorded answer, taken 9 s ago, with these figures in place of its own, or without them."""
    at = time.time() - 9
    found = {row["metric"]["count"]: row["value"][1] for row in RECORDED} | {"nodes_at": at, "jobs_at": at} | other
    return [({"count": name}, value) for name, value in found.items() if value is not None]


@pytest.fixture
def prom():
    with StandIn(slurm_metrics=True) as server:
        server.rows["slurmctld"] = rows()
        yield server


def read(server):
    return Counts(server.settings).collect()


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_reading_is_one_question(prom):
    facts = read(prom)
    counts = facts.counts
    assert abs(time.time() - 9 - counts.nodes_at) < 3 and counts.jobs_at == counts.nodes_at
    assert replace(counts, nodes_at=None, jobs_at=None) == SlurmCounts(
        nodes=16,
        nodes_by_state={"alloc": 3, "mixed": 1, "idle": 11, "down": 1, "future": 0, "unknown": 0, "drained": 2,
                        "draining": 1},
        gpus=None, gpus_alloc=28,
        jobs_by_state={"running": 4, "pending": 102, "suspended": 0, "completing": 0},
    )  # fmt: skip
    assert prom.asked == ["slurmctld"] and facts.warnings == ()


def test_gpus_are_known_where_slurm_accounts_for_them(prom):
    prom.rows["slurmctld"] = rows(gpus=128)
    assert read(prom).counts.gpus == 128
    prom.rows["slurmctld"] = rows(gpus=None, gpus_alloc=None)  # 25.11
    assert (read(prom).counts.gpus, read(prom).counts.gpus_alloc) == (None, None)


def test_what_is_missing_or_no_number_is_unknown(prom):
    prom.rows["slurmctld"] = rows(nodes_down="NaN", jobs_pending=None)
    facts = read(prom)
    assert "down" not in facts.counts.nodes_by_state and "pending" not in facts.counts.jobs_by_state
    assert facts.warnings == ("1 value of slurmctld left out: NaN, infinite or out of bounds (nodes_down)",)


@pytest.mark.parametrize(("gone", "left"), [("nodes", "jobs"), ("jobs", "nodes")])
def test_half_of_them_old_or_missing_leaves_the_other_half(prom, gone, left):
    for at, said in ((None, f"no series slurm_{gone}"), (time.time() - 600, f"count of {gone} is 60")):
        prom.rows["slurmctld"] = rows(**{f"{gone}_at": at})
        facts = read(prom)
        assert getattr(facts.counts, f"{gone}_at") is None and getattr(facts.counts, f"{left}_at") is not None
        assert getattr(facts.counts, f"{gone}_by_state") == {} and getattr(facts.counts, f"{left}_by_state")
        assert said in facts.warnings[0]
        assert gone == "jobs" or (facts.counts.nodes, facts.counts.gpus_alloc) == (None, None)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ([], "empty", 'no series slurm_nodes or slurm_jobs with job=~"slurm.*"'),
        (rows(nodes_at=1, jobs_at=1), "empty", "s old and left out; slurmctld's newest count of jobs"),
        (rows(nodes_least=8), "malformed", "count from 8 to 16 nodes"),
    ],
    ids=["none", "old", "two clusters"],
)
def test_what_cannot_stand_as_the_present_is_a_fault(prom, answer, kind, said):
    prom.rows["slurmctld"] = answer
    with pytest.raises(SourceFault) as raised:
        read(prom)
    assert raised.value.fault.kind == kind and said in raised.value.fault.what and raised.value.fault.mend


def test_a_query_that_is_refused_is_a_fault(prom):
    prom.odd["slurmctld"] = refusing(422, "too much")
    with pytest.raises(SourceFault, match="too much"):
        read(prom)


def test_the_moment_is_told_by_this_computers_clock(prom):
    prom.ahead_s = 600.0
    prom.rows["slurmctld"] = rows(nodes_at=prom.now - 9, jobs_at=prom.now - 9)
    assert abs(time.time() - 9 - read(prom).counts.jobs_at) < 3


def test_it_is_there_only_where_it_is_asked_for():
    def names(**settings):
        return [one.name for one in open_sources("lab", PrometheusSettings(url="http://localhost:9090", **settings))]

    assert set(names(slurm_metrics=True)) - set(names()) == {"ctld.counts"}


def test_whose_metrics_they_are_is_said_once():
    def sent(**settings):
        return SiteQueries(PrometheusSettings(url="http://localhost:9090", **settings)).whole("slurmctld")

    assert RuleLimits().slurmctld == SLURMCTLD
    own = sent(slurm_metrics=True, matchers='cluster="g"')
    assert own.count("slurm_nodes{") == own.count('slurm_nodes{job=~"slurm.*",cluster="g"}') > 3
    assert 'cluster="g"' not in sent(slurm_metrics='job="ctl"', matchers='cluster="g"')
    with pytest.raises(ValueError, match="matchers"):
        PrometheusSettings(url="http://localhost:9090", slurm_metrics="ctl")


# -- on the overview ---------------------------------------------------------------------------------------------------

NOW, MONO = 1_000.0, 500.0
DEAD = Fault("timeout", "slurmctld is silent")
COUNTS = SlurmCounts(
    nodes=64, nodes_by_state={"down": 3, "idle": 50, "drained": 2, "future": 0}, nodes_at=991, gpus_alloc=96, gpus=512,
    jobs_by_state={"running": 1204, "pending": 12345, "suspended": 0}, jobs_at=991,
)  # fmt: skip


def told(what, *, rows_fault=None, rows_age=1.0, own=True, counts=COUNTS, jobs=0, nodes=64, cells=80):
    kind = "jobs" if what == "jobs" else "nodes"
    sources = [
        Source(name=f"slurm.{kind}", ok=rows_fault is None, tried=True, read_mono=MONO - rows_age, fault=rows_fault),
        Source(name="ctld.counts", ok=own, tried=True, read_mono=MONO - 1),
    ]
    made = make.cluster(
        sources=sources, counts=counts,
        nodes=[make.node(f"gpu{n:04d}") for n in range(nodes)],
        jobs=[make.job(str(n), "PENDING") for n in range(jobs)],
    )  # fmt: skip
    return ["".join(text for text, _ in one.spans) for one in overview_figures.counted(made, what, NOW, MONO, cells)]


def test_counts_stand_beside_rows_that_cannot_be_read():
    lost = {"rows_fault": DEAD, "rows_age": 60.0}
    assert told("jobs", **lost) == ["slurmctld's metrics, 9s ago: 1,204 running, 12,345 pending"]
    assert told("nodes", **lost) == ["slurmctld's metrics, 9s ago: 64 nodes, 3 down, 2 drained"]
    assert told("gpus", **lost) == ["slurmctld's metrics, 9s ago: 96 of 512 in jobs"]
    assert told("nodes", **lost, cells=31) == ["metrics 9s ago: 64 nodes"], "half a number would be a wrong one"
    assert told("power", **lost) == []
    assert told("jobs", rows_age=60.0), "stale rows, whose source has not failed yet"


def test_they_never_stand_as_newer_than_they_are():
    assert told("jobs", rows_fault=DEAD, rows_age=5.0) == [], "the rows are newer"
    (line,) = told("jobs", rows_fault=DEAD, rows_age=900.0, own=False, counts=replace(COUNTS, jobs_at=400))
    assert line.startswith("slurmctld's metrics, 10m ago")
    assert told("jobs", rows_fault=DEAD, rows_age=60.0, counts=replace(COUNTS, jobs_at=None)) == []
    assert told("gpus", rows_fault=DEAD, rows_age=60.0, counts=replace(COUNTS, gpus_alloc=None)) == []
    assert told("jobs", rows_fault=DEAD, rows_age=60.0, counts=None) == []


def test_beside_rows_that_are_well_they_are_told_when_they_differ():
    few = replace(COUNTS, jobs_by_state={"running": 0, "pending": 100})
    assert told("jobs", counts=few, jobs=98) == [], "jobs come and go between two moments"
    assert told("jobs", counts=few, jobs=60) == ["slurmctld's metrics, 9s ago: 0 running, 100 pending"]
    assert told("jobs", counts=few, jobs=60, own=False) == [], "old counts prove nothing"
    assert told("jobs", counts=replace(few, jobs_by_state={}), jobs=60) == []
    assert told("nodes") == []
    assert told("nodes", nodes=60)[0].startswith("slurmctld's metrics, 9s ago: 64 nodes")
    assert told("nodes", nodes=60, counts=replace(COUNTS, nodes_by_state={"future": 4})) == []


def test_its_chip_is_its_own():
    sources = [Source(name=name, ok=True, tried=True, read_mono=MONO - 4)
               for name in ("slurm.nodes", "prom.loads", "ctld.counts")]  # fmt: skip
    assert [one.text for one in chips(sources, MONO)] == ["slurm 4s", "prom 4s", "ctld 4s"]


@pytest.fixture
def silent_squeue(monkeypatch, tmp_path):
    """Call it, and squeue answers no more."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    well = SimSource.collect

    def collect(self):
        if self.name == "slurm.jobs":
            raise SourceFault("timeout", "squeue did not answer")
        return well(self)

    return lambda: monkeypatch.setattr(SimSource, "collect", collect)


async def test_the_overview_says_them_beside_old_rows_with_a_chip_of_their_own(silent_squeue):
    async with console((200, 50)) as op:
        op.sees_not("slurmctld's metrics", " ctld")
        silent_squeue()
        op.app.clock.advance(60)
        counts = replace(COUNTS, jobs_at=int(op.app.clock.now()) - 9, nodes_at=None)
        found = Reading(cluster="lab", source="ctld.counts", at=op.app.clock.now(), mono=op.app.clock.mono() - 2,
                        took_s=0.1, facts=Facts(counts=counts))  # fmt: skip
        op.app.session.poller._readings.put((found, 15.0))
        op.app.session.poller.refresh_now(["slurm.jobs"])
        await op.comes("slurmctld's metrics, 9s ago: 1,204 running, 12,345 pending")
        await op.comes("slurm timeout")
        op.sees(" ctld 2s", "partition ")
