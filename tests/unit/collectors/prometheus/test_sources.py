"""What Prometheus says, as facts: what is no value is a gap, what is old is told with its age, and nothing is a 0."""

from __future__ import annotations

import time
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import Load, Reading, SourceFault, Xid
from collectors.prometheus import PowerSettings
from collectors.prometheus.on_demand import step_of
from collectors.prometheus.site_power import slope_w_h
from collectors.prometheus.sources import Loads, PowerSource, open_sources, open_telemetry
from console.ingest.reduce import reduce, totals
from tests.faults import fault
from tests.support import make
from tests.support.prometheus_server import StandIn, gpu, machine, node, raw, refusing

BMC = PowerSettings(node_series="ipmi_dcmi_power_consumption_watts")
PDU = PowerSettings(rack_series="pdu_power_watts", budget_mw=1.5)


@pytest.fixture
def prom():
    with StandIn(power=BMC) as server:
        server.rows = machine(4)
        yield server


def facts_of(server: StandIn):
    return Loads(server.settings).collect()


# -- loads -------------------------------------------------------------------------------------------------------------


def test_a_reading_is_a_row_a_node_and_the_xids(prom):
    facts = facts_of(prom)
    load = facts.loads["gpu00002"]
    assert load == Load(
        node="gpu00002", sampled_at=load.sampled_at, gpu_util_pct=47.1, util_gpus=8, gpu_memory_pct=0.0, temp_c=41.0,
        power_w=3413.2, gpu_power_w=2013.2, gpus_seen=8, gpus_idle=1, xid=31,
    )  # fmt: skip
    assert abs(time.time() - load.sampled_at) < 5
    assert facts.xids["gpu00002/3/31"] == Xid(node="gpu00002", gpu=3, code=31, uuid="GPU-gpu00002-3")
    assert facts.warnings == ()
    assert prom.asked.count("util") == 1 and len(prom.asked) <= 16
    assert prom.connections == 1, "one connection for all of them"


def test_without_a_series_for_nodes_power_is_unknown(prom):
    with StandIn() as server:
        server.rows = machine(2)
        load = Loads(server.settings).collect().loads["gpu00001"]
    assert load.power_w is None and load.gpu_power_w == 2000.0
    assert "node_power" not in server.asked


@fault("Prometheus", "NaN and Inf", "a gap that is told, never 0; the other values count")
@pytest.mark.parametrize("bad", ["NaN", "+Inf", "-Inf", "-1", "9223372036854775794", "", "x"])
def test_what_is_no_value_is_a_gap_and_told(prom, bad):
    prom.rows["util"] = [(node("gpu00001"), bad), (node("gpu00002"), 50)]
    facts = facts_of(prom)
    assert facts.loads["gpu00001"].gpu_util_pct is None and facts.loads["gpu00002"].gpu_util_pct == 50
    assert facts.loads["gpu00001"].temp_c == 40
    assert facts.warnings == ("1 value of util left out: NaN, infinite or out of bounds (gpu00001)",)


def test_an_old_sample_is_a_gap_with_its_age(prom):
    now = time.time()
    prom.rows["sampled"] = [(node("gpu00001"), now - 600), (node("gpu00002"), now - 100)]
    facts = facts_of(prom)
    assert facts.loads["gpu00001"] == Load(node="gpu00001", sampled_at=int(now - 600), power_w=3400.0)
    assert facts.loads["gpu00002"].gpu_util_pct is not None
    assert facts.loads["gpu00003"].sampled_at is None
    assert facts.warnings[0].startswith("1 node with samples older than 180 s") and "600 s" in facts.warnings[0]


@fault(
    "clock",
    "the clock of Prometheus is 10 minutes ahead",
    "its times are moved to ours, and that is told",
    case="clock skew",
)
def test_times_are_moved_to_our_clock_where_the_servers_is_wrong(prom):
    prom.ahead_s = 600.0
    prom.rows |= machine(4, now=prom.now)
    source = Loads(prom.settings)
    facts = source.collect()
    assert abs(time.time() - facts.loads["gpu00001"].sampled_at) < 5
    assert facts.loads["gpu00001"].gpu_util_pct is not None, "its samples are fresh by its own clock"
    assert facts.warnings == ("the clock of Prometheus is 600 s ahead of this one",)
    again = source.collect()
    assert {a.sampled_at for a in facts.loads.values()} == {a.sampled_at for a in again.loads.values()}


def test_missing_labels_are_counted(prom):
    prom.rows["util"] = [({}, 12), (node("gpu00001"), 50)]
    prom.rows["lacking"] = [({"lacks": "host"}, 16), ({"lacks": "UUID"}, 8)]
    facts = facts_of(prom)
    assert "" not in facts.loads and facts.loads["gpu00001"].gpu_util_pct == 50
    assert "16 GPU series have no label Hostname or hostname" in facts.warnings[0]
    assert "8 GPU series have no label UUID" in facts.warnings[1]


def test_xids_that_are_not_exported_are_unknown_not_none(prom):
    prom.rows["lacking"] = [({"lacks": "xids"}, 1)]
    prom.rows["xids"] = []
    facts = facts_of(prom)
    assert facts.xids is None and "XIDs are unknown" in facts.warnings[0]
    prom.rows["lacking"] = []
    assert facts_of(prom).xids == {}


def test_hostile_labels_stay_out_and_are_shown_harmless(prom):
    evil = "gpu\x1b]52;c;ZXZpbA==\x07"
    prom.rows["util"] = [*prom.rows["util"], (node(evil), 1), (node("-oProxyCommand=x"), 1), (node("a;b"), 1)]
    prom.rows["xids"] = [(gpu(evil, 0), 79), ({"node": "gpu00001", "gpu": "9" * 5000, "UUID": evil}, 79)]
    prom.warnings["util"] = [f"slow{evil}"]
    facts = facts_of(prom)
    assert set(facts.loads) == {f"gpu0000{n}" for n in range(1, 5)}
    assert [(row.node, row.gpu, row.uuid) for row in facts.xids.values()] == [
        ("gpu00001", None, "gpu\\e]52;c;ZXZpbA==\\x07")
    ]
    assert len(facts.warnings) == 2 and all(text.isprintable() for text in facts.warnings)


@fault("Prometheus", "partial answer", "told beside what came")
def test_a_partial_answer_is_told(prom):
    prom.warnings["temperature"] = ["a store is away"]
    prom.odd["memory"] = raw(
        b'{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}', X="y"
    )  # fmt: skip
    assert facts_of(prom).warnings == (
        "the answer to memory is partial: the server could not read all it should",
        "Prometheus warns of temperature: a store is away",
    )


@pytest.mark.parametrize("name", ["memory", "temperature", "idle", "gpus", "sampled", "gpu_power", "node_power"])
def test_one_refused_query_is_one_gap(prom, name):
    prom.odd[name] = refusing(422, "query processing would load too many samples into memory")
    facts = facts_of(prom)
    assert len(facts.loads) == 4 and facts.loads["gpu00001"].gpu_util_pct is not None
    assert f"answered 422 to {name}: query processing would load too many samples" in facts.warnings[0]
    assert "recorded = true" in facts.warnings[0]


def test_refused_xids_are_unknown(prom):
    prom.odd["xids"] = refusing(422, "no")
    facts = facts_of(prom)
    assert facts.xids is None and len(facts.loads) == 4


def test_nothing_at_all_is_a_fault_that_says_where_to_look(prom):
    prom.rows = {"targets": [({"job": "node", "what": "up"}, 2), ({"job": "node", "what": "all"}, 3)]}
    with pytest.raises(SourceFault) as caught:
        facts_of(prom)
    fault = caught.value.fault
    assert (fault.kind, fault.what) == ("empty", "no series DCGM_FI_DEV_GPU_UTIL or DCGM_FI_DEV_GPU_UTIL_RATIO")
    assert fault.mend == "is dcgm-exporter scraped? the server scrapes: node (2 of 3 up)"
    prom.odd["*"] = refusing(422, "broken")
    with pytest.raises(SourceFault) as caught:
        facts_of(prom)
    assert "answered 422 to hosts: broken" in caught.value.fault.what
    with StandIn(recorded=True) as server, pytest.raises(SourceFault, match=r"no series wacht:node_gpu_util:avg"):
        Loads(server.settings).collect()


def test_utilisation_alone_may_be_missing(prom):
    prom.rows["util"] = []
    facts = facts_of(prom)
    assert facts.loads["gpu00001"].gpu_util_pct is None and facts.loads["gpu00001"].temp_c == 40
    assert facts.warnings == ("no series DCGM_FI_DEV_GPU_UTIL or DCGM_FI_DEV_GPU_UTIL_RATIO: utilisation is unknown",)


def test_a_node_without_its_power_is_told(prom):
    prom.rows["node_power"] = [(node("gpu00001"), 3000), (node("login1"), 300)]
    facts = facts_of(prom)
    assert facts.loads["gpu00002"].power_w is None
    assert facts.loads["login1"] == Load(node="login1", power_w=300.0)
    assert facts.warnings[0].startswith("3 nodes without ipmi_dcmi_power_consumption_watts (")


def test_nodes_that_slurm_does_not_know_count_for_nothing(prom):
    facts = facts_of(prom)
    cluster = make.cluster(nodes=[make.node("gpu00001"), make.node("gpu00002")])
    reading = Reading(cluster="x", source="prom.loads", at=1.0, mono=1.0, took_s=0.1, facts=facts)
    after, _ = reduce(cluster, reading)
    assert after.totals.power_w == facts.loads["gpu00001"].power_w + facts.loads["gpu00002"].power_w
    everything = totals({}, {}, facts.loads, frozenset({"loads"}))
    assert everything.power_w == pytest.approx(sum(load.power_w for load in facts.loads.values()))


# -- power -------------------------------------------------------------------------------------------------------------


def rising(watts: float):
    """A site that draws `watts` more each hour, as a range answer."""
    return lambda start, end, step: [
        ({}, [(at, str(1e6 + watts * (at - end) / 3600)) for at in range(start, end + 1, step)])
    ]


def test_power_of_racks_with_trend_and_budget():
    with StandIn(power=PDU) as server:
        server.rows = {"rack_power": [({"rack": "R01"}, 4e5), ({"rack": "R02"}, 6e5)]}
        server.rows["power_sampled"] = [({}, time.time() - 3)]
        server.ranges["site_power"] = rising(-25_000)
        source = PowerSource(server.settings)
        power = source.collect().power
        assert (power.source, power.site_w, power.budget_w) == ("PDU", 1e6, 1.5e6)
        assert power.rack_w == {"R01": 4e5, "R02": 6e5}
        assert power.trend_w_h == pytest.approx(-25_000, rel=0.1)
        source.collect()
        assert server.asked.count("site_power") == 1, "the hour is asked for every five minutes"


def test_a_rack_without_a_label_counts_for_the_site_and_nan_is_a_gap():
    with StandIn(power=PDU) as server:
        server.rows = {"rack_power": [({"rack": "R01"}, 4e5), ({}, 1e5)]}
        facts = PowerSource(server.settings).collect()
        assert (facts.power.site_w, facts.power.rack_w) == (5e5, {"R01": 4e5})
        assert "100000 W are of no rack" in facts.warnings[0]
        server.rows = {"rack_power": [({"rack": "R01"}, "NaN"), ({"rack": "R02"}, 1e5)]}
        facts = PowerSource(server.settings).collect()
        assert (facts.power.site_w, facts.power.rack_w) == (None, {"R02": 1e5}), "half a site is no site"


def test_old_power_is_unknown():
    with StandIn(power=PDU) as server:
        server.rows = {"rack_power": [({"rack": "R01"}, 4e5)], "power_sampled": [({}, time.time() - 400)]}
        facts = PowerSource(server.settings).collect()
    assert (facts.power.site_w, facts.power.rack_w) == (None, {})
    assert "pdu_power_watts is 400 s old" in facts.warnings[0]


@pytest.mark.parametrize(
    ("settings", "source"), [(None, "sum of GPUs"), (BMC, "BMC"), (PowerSettings(source="meter\x1b[2J"), "meter\\e[2J")]
)
def test_power_of_nodes_or_gpus(settings, source):
    with StandIn(power=settings) as server:
        with pytest.raises(SourceFault, match="no series"):
            PowerSource(server.settings).collect()
        server.rows = {"site_power": [({}, 123)]}
        power = PowerSource(server.settings).collect().power
    assert (power.source, power.site_w, power.rack_w, power.trend_w_h) == (source, 123.0, {}, None)


def test_a_trend_needs_points():
    assert slope_w_h([]) is None and slope_w_h([(0, 1.0), (300, 2.0), (600, None), (3600, 5.0)]) is None
    assert slope_w_h([(at, at / 36.0) for at in range(0, 3601, 300)]) == 100.0
    assert slope_w_h([(at, 5.0) for at in range(0, 601, 60)]) is None, "ten minutes are no trend"


@given(st.lists(st.tuples(st.integers(0, 2**33), st.one_of(st.none(), st.floats(0, 1e12))), max_size=20))
def test_a_trend_is_a_number_or_unknown(line):
    found = slope_w_h(sorted(line, key=lambda point: point[0]))
    assert found is None or isfinite(found)


# -- on demand ---------------------------------------------------------------------------------------------------------


def test_charts_have_gaps_and_a_point_a_step():
    with StandIn() as server:
        server.rows = {"hosts": [({"Hostname": "gpu1.cluster"}, 8)]}
        server.ranges["util"] = lambda start, end, step: [
            (node("gpu1"), [(start, "50"), (start + 2 * step, "NaN"), (start + 3 * step, "60.5"), (end, "70")])
        ]
        telemetry = open_telemetry("x", server.settings)
        util, memory, *_ = telemetry.history("gpu1", 3600)
        assert (util.name, util.unit, len(util.points)) == ("utilisation", "%", 181)
        assert [value for _, value in util.points[:5]] == [50.0, None, None, 60.5, None]
        assert util.points[-1][1] == 70.0 and util.points[1][0] - util.points[0][0] == 20
        assert {value for _, value in memory.points} == {None}
        ranged = [params for _, params, _ in server.seen if "step" in params]
        assert all('Hostname="gpu1.cluster"' in params["query"] for params in ranged)
        server.rows = {}
        assert telemetry.history("other", 3600) == ()
        assert telemetry.history('x"} or up{a="', 3600) == ()


def test_a_chart_never_has_more_points_than_it_can_show():
    for seconds in (60, 900, 3600, 6 * 3600, 86_400, 7 * 86_400, 90 * 86_400):
        assert seconds / step_of(seconds, 200) <= 200


def test_gpus_of_nodes_are_found_by_whatever_their_host_is_called():
    with StandIn() as server:
        server.rows = {
            "hosts": [({"hostname": "gpu1:9400"}, 8)],
            "gpu_fields": [
                ({"hostname": "gpu1:9400", "gpu": "0", "UUID": "u", "__name__": "DCGM_FI_DEV_GPU_TEMP"}, 50),
                ({"hostname": "other", "gpu": "0", "UUID": "v", "__name__": "DCGM_FI_DEV_GPU_TEMP"}, 50),
            ],
        }
        telemetry = open_telemetry("x", server.settings)
        found = telemetry.gpus(["gpu1", "gpu2"])
        assert list(found) == ["gpu1"] and [one.temp_c for one in found["gpu1"]] == [50.0]
        server.rows["gpu_fields"] = []
        assert telemetry.gpus(["gpu1"]) == {}
        asked = server.asked.count("hosts")
        telemetry.gpus(["gpu1"])
        assert server.asked.count("hosts") > asked, "a host that fell silent is looked for anew"


def test_energy_is_told_only_where_nearly_all_is_known():
    with StandIn() as server:
        names = [f"gpu{n}" for n in range(1, 21)]
        server.rows = {"hosts": [({"Hostname": name}, 8) for name in names]}
        server.rows["energy"] = [({"Hostname": name}, 3.6e6) for name in names[:19]]
        telemetry = open_telemetry("x", server.settings)
        assert telemetry.energy_j(names, int(time.time()) - 3600) == 19 * 3.6e6
        server.rows["energy"] = [({"Hostname": name}, 3.6e6) for name in names[:18]]
        assert telemetry.energy_j(names, int(time.time()) - 3600) is None
        assert telemetry.energy_j(names, int(time.time()) + 60) is None
        assert telemetry.energy_j([], 0) is None


def test_what_is_opened_asks_nothing():
    with StandIn() as server:
        sources = open_sources("x", server.settings)
        open_telemetry("x", server.settings)
        always, plant = sources[:2], sources[2:]
        assert [(one.name, one.floor_s) for one in always] == [("prom.loads", 15.0), ("prom.power", 15.0)]
        assert {"prom.trays"} <= {one.name for one in plant} and all(one.floor_s >= 60.0 for one in plant)
        for one in sources:
            one.close()
        assert server.connections == 0
