"""Cooling from Prometheus: every point as it is or unknown, never dry or cold by default; and its configuration."""

from __future__ import annotations

import re
import time

import pytest

from collectors.model import SourceFault
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.plant.cooling_queries import CoolingLimits, CoolingSettings, expression
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.sources import Cooling, open_sources
from console.config.settings import ConfigError, load
from console.session.cluster_sources import choose
from tests.support.paths import DOCS
from tests.support.prometheus_server import StandIn, refusing

OWN = CoolingSettings(
    supply_c="supply", return_c="back", flow_lpm="flow", leak="leak", place_label="detector",
    limits=CoolingLimits(supply_high=34, flow_low=300),
)  # fmt: skip


def row(what, value, cdu="cdu-1", **labels):
    return ({"what": what, "cdu": cdu, **labels}, value)


def read(*rows, own=OWN, ahead=0.0):
    with StandIn(cooling=own) as server:
        server.ahead_s = ahead
        server.rows = {"cooling": rows}
        return Cooling(server.settings).collect()


# -- what is read ----------------------------------------------------------------------------------------------------


def test_points_with_their_limits_age_and_trend():
    now = time.time()
    facts = read(row("supply", 31.5), row("supply_at", now - 3), row("supply_rise", 12.34), row("flow", 512),
                 row("flow_at", now - 4), row("return", 44.25, rack="R07"))  # fmt: skip
    supply, flow, back = (facts.cooling[f"cdu-1/{key}"] for key in ("supply/", "flow/", "return/R07"))
    assert (supply.value, supply.high, supply.low, supply.trend_h) == (31.5, 34.0, None, 12.3)
    assert abs(supply.sampled_at - (now - 3)) < 2
    assert (flow.value, flow.low, flow.high, flow.trend_h) == (512.0, 300.0, None, None)
    assert (back.value, back.at, back.racks, back.sampled_at, back.high) == (44.25, "R07", ("R07",), None, None)
    assert facts.warnings == ()


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", 4000, -60, "x"])
def test_what_is_no_temperature_is_unknown_and_told(value):
    facts = read(row("supply", value), row("flow", 500))
    assert facts.cooling["cdu-1/supply/"].value is None and facts.cooling["cdu-1/flow/"].value == 500
    assert "1 point of cooling left out: NaN, infinite or out of bounds (cdu-1 supply)" in facts.warnings


def test_an_old_sample_is_unknown_and_told():
    facts = read(row("supply", 31.5), row("supply_at", time.time() - 400))
    assert facts.cooling["cdu-1/supply/"].value is None
    assert "1 point of cooling with a sample older than 180 s, which is left out" in facts.warnings[0]


def test_times_are_on_our_clock():
    now = time.time()
    facts = read(row("supply", 31.5), row("supply_at", now + 600 - 3), ahead=600.0)
    assert facts.cooling["cdu-1/supply/"].value == 31.5
    assert abs(facts.cooling["cdu-1/supply/"].sampled_at - (now - 3)) < 3


def test_detectors_are_dry_wet_or_unknown():
    facts = read(
        row("detectors", 6, rack="R01"), row("dry", 6, rack="R01"),
        row("detectors", 6, rack="R02"), row("dry", 4, rack="R02"), row("wet", 1, rack="R02"),
        row("leak", 2, rack="R02", detector="R02 tray 7"),
        row("detectors", 2, rack="R03"),
    )  # fmt: skip
    first, second, third = (facts.cooling[f"cdu-1/leak/R0{n}"] for n in (1, 2, 3))
    assert (first.value, first.detectors, first.unknown) == (0.0, 6, 0)
    assert (second.value, second.unknown, second.wet) == (1.0, 1, ("R02 tray 7",))
    assert (third.value, third.unknown) == (None, 2), "what says nothing is not dry"
    assert "2 groups of leak detectors with some that say neither dry nor wet" in facts.warnings[0]


def test_racks_come_from_the_labels_and_from_the_configuration():
    own = CoolingSettings(supply_c="supply", loops={"cdu-1": "R[01-04]", "cdu-9": "R09"})
    facts = read(row("supply", 30), row("supply", 29, rack="R07"), row("supply", 30, cdu="cdu-2"), own=own)
    assert facts.cooling["cdu-1/supply/"].racks == ("R01", "R02", "R03", "R04")
    assert facts.cooling["cdu-1/supply/R07"].racks == ("R07", "R01", "R02", "R03", "R04")
    assert facts.cooling["cdu-2/supply/"].racks == ()
    silent = facts.cooling["cdu-9/supply/"]
    assert (silent.value, silent.racks) == (None, ("R09",)), "a loop that is configured and says nothing is there"


def test_a_loop_is_named_by_its_address_without_the_port():
    own = CoolingSettings(supply_c="supply", loop_label="instance")
    facts = read(({"what": "supply", "instance": "cdu-1.example:9100"}, 30), own=own)
    assert set(facts.cooling) == {"cdu-1.example/supply/"}


def test_what_was_there_and_is_gone_is_unknown_for_a_day():
    with StandIn(cooling=OWN) as server:
        source = Cooling(server.settings)
        server.rows = {"cooling": [row("supply", 31), row("detectors", 2), row("wet", 1), row("flow", 500, cdu="b")]}
        source.collect()
        server.rows = {"cooling": [row("flow", 500, cdu="b")]}
        facts = source.collect()
        gone, leak = facts.cooling["cdu-1/supply/"], facts.cooling["cdu-1/leak/"]
        assert gone.value is None and (leak.value, leak.unknown, leak.wet) == (None, 2, ())
        server.ahead_s = 90_000
        assert set(source.collect().cooling) == {"b/flow/"}


def test_no_series_at_all_is_a_fault():
    with pytest.raises(SourceFault, match="no series supply, back, flow, leak") as caught:
        read(row("supply_at", 5))
    assert caught.value.fault.kind == "empty" and "see cooling" in caught.value.fault.mend


def test_a_refusal_is_a_fault():
    with StandIn(cooling=OWN) as server:
        server.odd["cooling"] = refusing(422, "too many")
        with pytest.raises(SourceFault, match="422"):
            Cooling(server.settings).collect()


@pytest.mark.parametrize("hostile", ["x\x1b]52;c;AA\x07", "a" * 5000, "[/]", "\u202e"])
def test_labels_are_cleaned(hostile):
    facts = read(row("supply", 30, cdu=hostile, rack=hostile), row("detectors", "1e400", cdu=hostile))
    for one in facts.cooling.values():
        assert "\x1b" not in one.key and "\u202e" not in one.key and len(one.key) < 700
    assert [one.detectors for one in facts.cooling.values() if one.what == "leak"] == [0]


# -- what is asked ---------------------------------------------------------------------------------------------------


def test_one_query_asks_for_all_and_counts_what_is_dry_on_the_server():
    text = SiteQueries(PrometheusSettings(url="https://x", matchers='cluster="g"', cooling=OWN)).whole("cooling")
    assert 'max by (cdu, rack, detector) (supply{cluster="g"})' in text
    assert 'min by (cdu, rack, detector) (flow{cluster="g"})' in text
    assert 'count by (cdu, rack) (leak{cluster="g"} == 0 and time() - timestamp(leak{cluster="g"}) < 180)' in text
    assert 'deriv(supply{cluster="g"}[10m])' in text and "deriv(flow" not in text


def test_promql_takes_the_place_of_a_metric():
    own = CoolingSettings(flow_lpm="cdu_m3h * 16.667", dry=1)
    text = expression(own, 180)
    assert "(cdu_m3h * 16.667)" in text and "timestamp" not in text
    assert " == 1" in expression(CoolingSettings(leak="x", dry=1), 180)


def test_it_is_read_where_it_is_configured_and_nowhere_else():
    names = [[one.name for one in open_sources("x", PrometheusSettings(url="https://x", cooling=cooling))]
             for cooling in (None, OWN)]  # fmt: skip
    assert "prom.cooling" not in names[0] and "prom.cooling" in names[1]


# -- how it is configured --------------------------------------------------------------------------------------------

A = "[cluster.a]\nprometheus = { url = 'https://x' }\n"


def configured(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return load(str(path), {}, tmp_path / "none.toml")


def test_the_table_stands_beside_prometheus(tmp_path):
    config = configured(tmp_path, A + "cooling = { supply_c = 's', loops = { cdu-1 = 'R[01-02]' }, "
                                      "limits = { supply_high = 34 } }\n")  # fmt: skip
    cooling = config.clusters["a"].cooling
    assert cooling == CoolingSettings(supply_c="s", loops={"cdu-1": "R[01-02]"}, limits=CoolingLimits(supply_high=34))
    assert choose(config, "a").others["prometheus"].cooling == cooling


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("{}", "cooling names no series: give one of supply_c"),
        ("{ supply_c = 's', loop_label = 'a b' }", "loop_label: 'a b' is no label of Prometheus"),
        ("{ supply_c = 's', loops = { x = '@racks' } }", "loops.x: groups (@) cannot be used"),
        ("{ supply_c = 's', limits = { pressure_low = 3, pressure_high = 2 } }", "pressure_low is not below"),
        ("{ supply_c = 's', limits = { hot = 3 } }", "hot: unknown key"),
        ("{ supply_f = 's' }", "supply_f: unknown key; allowed: supply_c, return_c"),
        ("{ supply_c = 3 }", "supply_c"),
    ],
)
def test_mistakes_are_told(tmp_path, table, told):
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, f"{A}cooling = {table}\n")
    assert told in str(caught.value) and "own.toml:3: cluster.a.cooling" in str(caught.value)


def test_inside_prometheus_it_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cooling: unknown key; it belongs in \[cluster.a\], beside prometheus"):
        configured(tmp_path, "[cluster.a]\nprometheus = { url = 'https://x', cooling = { supply_c = 's' } }\n")


def test_the_example_of_the_page_is_a_configuration(tmp_path):
    page = (DOCS / "cooling.md").read_text()
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.S | re.M)
    cooling = configured(tmp_path, example).clusters["groningen"].cooling
    assert cooling.limits.flow_low == 300 and cooling.loops["cdu-1"] == "R[01-04]"
