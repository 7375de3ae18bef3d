"""One utilisation, one power and one count of GPUs: the same fact is the same number on every path."""

from __future__ import annotations

import json
from types import SimpleNamespace

import msgspec
import pytest

from collectors.clock import ManualClock, SystemClock
from collectors.model import Load
from collectors.prometheus import PowerSettings
from collectors.prometheus.query_table import BY_NAME
from collectors.prometheus.recording_rules import text as rules_text
from collectors.prometheus.sources import Loads, open_telemetry
from collectors.slurm.commands import nodes as by_commands
from collectors.slurm.native import facts as native
from collectors.slurm.rest import answers as rest
from console.health.inconsistencies import inconsistencies
from console.plant.gpus import jobs_with_idle_gpus
from console.session import snapshot
from console.tables import overview_figures
from tests.support import make
from tests.support.machine_room import site
from tests.support.make import NOW
from tests.support.operator import console
from tests.support.prometheus_server import StandIn, node

#: GPUs of each node and their utilisation: nodes of unequal size, some GPUs unknown, one node unknown altogether.
GPUS: dict[str, list[float | None]] = {
    "gpu0001": [0.0] * 16,
    "gpu0002": [100.0, 100.0],
    "gpu0003": [90.0, None, None, 30.0],
    "gpu0004": [None, None],
}
KNOWN = {name: [util for util in utils if util is not None] for name, utils in GPUS.items()}
EVERY = [util for utils in KNOWN.values() for util in utils]
MEAN = sum(EVERY) / len(EVERY)
SLICED = "gpu:nvidia_b200:4,gpu:nvidia_b200_2g.45gb:8"


def served(server: StandIn) -> StandIn:
    """What Prometheus answers to each query on that machine; each GPU draws 100 W."""
    have = {name: utils for name, utils in KNOWN.items() if utils}
    server.rows = {
        "util": [(node(name), sum(utils) / len(utils)) for name, utils in have.items()],
        "util_gpus": [(node(name), len(utils)) for name, utils in have.items()],
        "gpus": [(node(name), len(utils)) for name, utils in GPUS.items()],
        "idle": [(node(name), sum(util < 5 for util in utils)) for name, utils in have.items()],
        "gpu_power": [(node(name), 100.0 * len(utils)) for name, utils in GPUS.items()],
    }
    server.ranges["site_util"] = lambda start, end, step: [
        ({}, [(at, str(MEAN)) for at in range(start, end + 1, step)])
    ]
    return server


def cluster_of(server: StandIn, **more):
    loads = Loads(server.settings).collect().loads
    rows = [make.node(name, gpus=len(utils)) for name, utils in GPUS.items()]
    return make.cluster(nodes=rows, loads=list(loads.values()), **more)


# -- one utilisation ---------------------------------------------------------------------------------------------------


def test_the_mean_over_gpus_is_the_same_number_in_total_chart_overview_and_snapshot():
    with StandIn() as server:
        cluster = cluster_of(served(server))
        chart = open_telemetry("lab", server.settings).site_history(3600)
    used = next(one for one in chart if one.unit == "%")
    document = json.loads(snapshot.as_json(cluster, SystemClock()))
    numbers = [cluster.totals.gpu_util_pct, used.points[-1][1], document["totals"]["gpu_util_pct"]]
    assert numbers == pytest.approx([MEAN] * 3, abs=0.01) and round(MEAN, 2) == 16.0
    assert cluster.totals.util_gpus == document["totals"]["util_gpus"] == len(EVERY) == 20
    (line,) = [said for said in lines(cluster) if said.startswith("utilisation")]
    assert " 16 % over 20 GPUs" in line
    assert "\nGPU utilisation 16 % over 20 GPUs\n" in snapshot.as_text(cluster, SystemClock())
    assert {one["name"]: one["util_gpus"] for one in document["nodes"]} == {
        "gpu0001": 16, "gpu0002": 2, "gpu0003": 2, "gpu0004": None,
    }  # fmt: skip


def lines(cluster, cells: int = 50) -> list[str]:
    return ["".join(text for text, _ in one.spans) for one in overview_figures.gpu_lines(cluster, cells, 9)]


def test_where_a_node_tells_no_number_of_gpus_the_total_tells_none():
    loads = [Load(node="gpu0001", gpu_util_pct=10.0, gpus_seen=8), Load(node="gpu0002", gpu_util_pct=50.0, util_gpus=2)]
    totals = make.cluster(nodes=[make.node("gpu0001"), make.node("gpu0002")], loads=loads).totals
    assert totals.gpu_util_pct == pytest.approx((8 * 10 + 2 * 50) / 10) and totals.util_gpus is None


def test_unknown_utilisation_is_in_no_mean_no_count_and_no_recorded_sum():
    known = {name: BY_NAME[name].expr for name in ("util", "util_gpus", "idle", "site_util")}
    assert all(">= 0" in expr for expr in known.values()), "NaN is not at least 0"
    # The recorded mean of the site weighs each node with the GPUs that its mean is over.
    recorded = next(line for line in rules_text().splitlines() if line.strip().startswith("sum((wacht:node_gpu_util"))
    assert "wacht:node_gpus_util:count" in recorded and "wacht:node_gpus:count" not in recorded


@pytest.mark.parametrize("screen", ["overview", "gpus"])
async def test_figures_and_charts_show_one_utilisation(screen):
    async with console((200, 60), screen=screen, clock=ManualClock()) as op:
        await op.comes("GPU utilisation")
        trends = op.app.screen.trends
        await op.until(lambda: trends.series, "the charts have come")
        chart = trends.charts["%"]
        total = op.cluster.totals
        assert chart.content.series[0].points[-1][1] == pytest.approx(total.gpu_util_pct, abs=0.1)
        # The machine moves on, the chart is read every five minutes: both still show the present total.
        op.app.clock.advance(120)
        await op.look_again()
        await op.until(lambda: op.app.screen.cluster is op.cluster, "painted")
        op.app.screen.tick(op.app.screen.ctx())
        assert chart.content.series[0].newest == op.cluster.totals.gpu_util_pct


# -- power -------------------------------------------------------------------------------------------------------------


def test_the_power_of_a_node_says_what_it_is_of():
    with StandIn() as server:
        (first, *_) = json.loads(snapshot.as_json(cluster_of(served(server)), SystemClock()))["nodes"]
    assert (first["power_w"], first["power_basis"]) == (1600.0, "gpus")
    with StandIn(power=PowerSettings(node_series="ipmi_dcmi_power_consumption_watts")) as server:
        served(server).rows["node_power"] = [(node("gpu0001"), 3400)]
        cluster = cluster_of(server)
    found = json.loads(snapshot.as_json(cluster, SystemClock()))
    first, second, *_ = found["nodes"]
    assert (first["power_w"], first["power_basis"]) == (3400.0, "node")
    assert (second["power_w"], second["power_basis"]) == (200.0, "gpus")
    # Figures of nodes and of GPUs are never added up.
    assert (found["totals"]["power_w"], found["totals"]["gpu_power_w"]) == (3400.0, 2400.0)


def test_power_that_nothing_measures_has_no_basis():
    row = json.loads(snapshot.as_json(make.cluster(nodes=[make.node()]), SystemClock()))["nodes"][0]
    assert (row["power_w"], row["power_basis"]) == (None, None)


# -- MIG ---------------------------------------------------------------------------------------------------------------


def by_each_transport(gres: str):
    line = f"NodeName=gpu0001 State=IDLE Gres={gres} Partitions=gpu"
    yield by_commands.node(line, None)
    yield rest.node(msgspec.convert({"name": "gpu0001", "state": ["IDLE"], "gres": gres}, rest.NodeRecord))
    pairs = [part.rsplit(":", 1) for part in gres.split(",")]
    record = SimpleNamespace(name="gpu0001", state="IDLE", configured_gres={name: int(count) for name, count in pairs})
    yield native.node(record, None, {})


@pytest.mark.parametrize(
    ("gres", "says"),
    [
        (SLICED, (12, 8, "nvidia_b200+nvidia_b200_2g.45gb")),
        ("gpu:a100_1g.5gb:56", (56, 56, "a100_1g.5gb")),
        ("gpu:h100:4,gpu:l40s:4", (8, 0, "h100+l40s")),
        ("gpu:8", (8, 0, None)),
    ],
)
def test_slices_are_counted_apart_by_every_transport(gres, says):
    for row in by_each_transport(gres):
        assert (row.gpus, row.gpu_slices, row.gpu_type) == says


def sliced(**more):
    (row, *_) = by_each_transport(SLICED)
    return msgspec.structs.replace(row, **more)


def kinds(row, load, jobs=None):
    return [(one.kind, one.text) for one in inconsistencies(site(row, loads=[load], jobs=jobs), NOW)]


def load(**more):
    return Load(
        **({"node": "gpu0001", "sampled_at": int(NOW - 5), "gpus_seen": 8, "util_gpus": 8, "gpus_idle": 8} | more)
    )


def test_a_node_with_gpus_and_slices_contradicts_only_what_cannot_be():
    assert kinds(sliced(gpus_alloc=0), load()) == []
    # 4 GPUs and 8 slices need 6 GPUs: MIG cuts one into 7 at most.
    assert kinds(sliced(gpus_alloc=0), load(gpus_seen=6, util_gpus=6, gpus_idle=6)) == []
    assert kinds(sliced(gpus_alloc=0), load(gpus_seen=5, util_gpus=5, gpus_idle=5)) == [
        ("count", "Slurm sees 4 GPUs and 8 MIG slices, telemetry sees 5 GPUs")
    ]


def test_idle_gpus_are_not_reckoned_against_slices():
    job = make.job("7", nodes="gpu0001", gpus=4, started=int(NOW - 7200))
    cluster = site(sliced(state="MIXED", display="mixed", gpus_alloc=4), loads=[load()], jobs=[job])
    assert cluster.totals.gpus_idle_in_jobs is None and jobs_with_idle_gpus(cluster) == []
    assert cluster.totals.gpu_slices == 8
    assert any("8 are MIG slices" in said for said in lines(cluster))


@pytest.mark.parametrize(
    "what",
    [{"util_gpus": 5, "gpus_idle": 5}, {"util_gpus": None, "gpus_idle": None}, {"util_gpus": 0, "gpus_idle": None}],
)
def test_unknown_utilisation_is_neither_busy_nor_idle(what):
    assert kinds(make.node(), load(**what), jobs=[]) == [], "not busy"
    job = make.job("7", nodes="gpu0001", started=int(NOW - 7200))
    held = make.node(state="ALLOCATED", gpus_alloc=8)
    assert kinds(held, load(**what), jobs=[job]) == [], "not idle"
    mean = load(util_gpus=5, gpus_idle=None, gpu_util_pct=0.0)
    assert kinds(held, mean, jobs=[job]) == [], "a mean over some says nothing of the others"
    assert [kind for kind, _ in kinds(make.node(), load(util_gpus=5, gpus_idle=4), jobs=[])] == ["stray"]
