"""The alerting rules that ship: the file is what the code makes, and the XID policy decides what rings how loud."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from collectors.model import FOLLOWERS
from collectors.prometheus import PowerSettings, PrometheusSettings
from collectors.prometheus.plant.cooling_queries import CoolingLimits, CoolingSettings
from collectors.prometheus.recording_rules import DEFAULT
from console.alerts import alert_rules
from console.alerts.alert_rules import RuleLimits, rule_file_text, rules
from console.health.xid_policy import default_policy


def codes(expr: str) -> set[int]:
    """The XIDs that an expression of comparisons lets through."""
    found = {int(code) for code in re.findall(r"now == (\d+)", expr)}
    for first, last in re.findall(r"now >= (\d+) <= (\d+)", expr):
        found |= set(range(int(first), int(last) + 1))
    return found


def xids(**settings):
    """The expressions on the gauge, by severity."""
    return {
        rule.severity: rule.expr for rule in rules(**settings)
        if rule.alert == "GpuXid" and "_XID_ERRORS_COUNT" not in rule.expr
    }  # fmt: skip


def test_the_rule_file_is_true():
    assert alert_rules.SHIPPED_FILE.read_text() == rule_file_text()


def test_the_policy_decides_what_an_xid_means():
    advice = default_policy().advice
    found = xids()
    drains, _, behind = found["critical"].partition(" or (max_over_time((")
    assert codes(drains) == {code for code, one in advice.items() if one.drains} >= {48, 79, 95, 119}
    before, _, follows = behind.partition(")[6h:30s]) and on (node, gpu) (")
    assert before == drains and codes(follows) == FOLLOWERS, "a 62 is not hidden by a 45"
    assert not codes(drains) & {*range(144, 151)}, "telemetry does not say whether they are fatal"
    counted = next(rule for rule in rules() if "DCGM_EXP_XID_ERRORS_COUNT" in rule.expr)
    assert (counted.alert, counted.severity) == ("GpuXid", "critical") and "$labels.xid" in counted.summary
    assert set(map(int, counted.expr.partition('xid=~"')[2].partition('"')[0].split("|"))) == codes(drains)
    acting, _, rest = found["warning"].partition(" or (")
    rest = found["warning"].split("unless", 1)[1]
    assert codes(found["warning"].split("(wacht:gpu_xid:now unless")[0]) == {
        code for code, one in advice.items() if one.acts and not one.drains
    }
    assert acting and codes(rest) == {code for code, one in advice.items() if one.action != "watch"}
    assert codes(found["info"]) == {code for code, one in advice.items() if one.action == "job"} >= {13, 31}
    quiet = {code for code, one in advice.items() if one.action == "ignore"}
    assert 43 in quiet and not quiet & (codes(drains) | codes(found["info"]))


def test_a_sites_own_policy_changes_the_rules():
    policy = default_policy()
    advice = {31: policy.advice[79], 79: policy.advice[31]}
    found = xids(policy=replace(policy, advice=advice))
    assert codes(found["critical"].partition(" or (max_over")[0]) == {31} and codes(found["info"]) == {79}
    empty = xids(policy=replace(policy, advice={}))
    assert codes(empty["critical"].partition(" or (max_over")[0]) == set() and "now < 0" in empty["critical"]


def test_every_rule_says_what_it_is_and_where_to_read_on():
    found = list(rules())
    assert {rule.alert for rule in found} == {
        "NodeDown", "ExporterSilent", "GpuXid", "GpuRowRemapFailed", "GpuHot", "RackPowerHigh", "PduPowerLost",
        "SlurmctldSilent", "NodesLost", "DrainedTooLong", "CoolantLeak", "CoolantFlowLow", "CoolantSupplyWarm",
        "PortDown", "PortFlapping", "PortSlow", "FileSystemHangs",
    }  # fmt: skip
    assert {rule.severity for rule in found} == {"critical", "warning", "info"}
    assert len({(rule.alert, rule.severity, rule.expr) for rule in found}) == len(found)
    shown = rule_file_text()
    assert shown.count("severity: ") == shown.count("summary: ") == shown.count("runbook_url: ") == len(found)
    for rule in found:
        assert rule.expr.count("(") == rule.expr.count(")") and rule.expr.count("{") == rule.expr.count("}")


def test_rules_can_be_written_for_a_site():
    own = PrometheusSettings(url="https://x", matchers='cluster="g"', host_labels=("instance",), node="(.*)-dcgm")
    limits = RuleLimits(
        exporters='job="gpus"', rack_w=40_000, hot_c=80, runbooks="https://wiki.example/r/", waits=False
    )
    power = PowerSettings(rack_series="apc_watts", rack_label="cabinet")
    made = rule_file_text(replace(own, power=power), limits=limits)
    assert 'up{job="gpus"}' in made and "> 80" in made and "https://wiki.example/r/NodeDown" in made
    assert "sum by (cabinet, rack) (apc_watts) > 0.95 * 40000" in made
    assert 'DCGM_FI_DEV_XID_ERRORS{cluster="g"}[1h]' in made and "(.*)-dcgm" in made
    assert "for:" not in made and "keep_firing_for" not in made
    assert "RackPowerHigh" not in rule_file_text(own)
    summed = replace(DEFAULT, power=PowerSettings(rack_series="sum by (rack) (x)"))
    assert "PduPowerLost" not in rule_file_text(summed) and "RackPowerHigh" in rule_file_text(summed)


def test_cooling_rings_under_the_label_by_which_it_is_folded():
    limits = CoolingLimits(supply_high=30)
    own = CoolingSettings(supply_c="bms_supply", leak="leak", loop_label="circuit", dry=1, limits=limits)
    found = {rule.alert: rule for rule in rules(PrometheusSettings(url="https://x", matchers='a="b"', cooling=own))}
    assert found["CoolantLeak"].expr.endswith("> 1") and found["CoolantLeak"].severity == "critical"
    assert found["CoolantSupplyWarm"].expr == (
        'label_replace(max by (circuit, rack, place) (bms_supply{a="b"}), "cdu", "$1", "circuit", "(.*)") > 30'
    )
    assert "CoolantFlowLow" not in found, "it has no series, and no limit"
    assert not any(rule.alert.startswith("Coolant") for rule in rules(PrometheusSettings(url="https://x")))


@pytest.mark.parametrize(("given", "spans"), [((1, 2, 3, 7), "now >= 1 <= 3 or wacht:gpu_xid:now == 7"), ((), "< 0")])
def test_neighbours_are_one_comparison(given, spans):
    assert spans in alert_rules._any(given)
