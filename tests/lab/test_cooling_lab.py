"""Cooling through a real Prometheus and a real Alertmanager: the loops as they are, a CDU that trips as one line."""

from __future__ import annotations

import time

import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.sources import open_sources as open_alerts
from collectors.clock import ManualClock
from collectors.model import Cluster, Coolant, Facts, Reading
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.recording_rules import COOLING
from collectors.prometheus.sources import Cooling, Loads
from collectors.sim import SimSettings
from collectors.sim.incidents import STARTS_S
from collectors.sim.machine import Machine
from collectors.sim.plant import cooling as water
from console.alerts.alert_rules import RuleLimits, rule_file_text
from console.alerts.groups import alert_groups
from console.ingest.reduce import begin, reduce
from console.plant import cooling
from console.triage.attention import attention_lines

from .alertmanager import Alertmanager
from .place import wait_for
from .prometheus import Monitor
from .running import require_engine

MINUTE = 60


def read(monitor: Monitor) -> dict[str, Coolant]:
    facts = Cooling(PrometheusSettings(url=monitor.url, cooling=COOLING)).collect()
    return dict(facts.cooling or {})


def test_loops_are_the_machines_truth(prometheus: Monitor) -> None:
    machine = prometheus.machine
    (loop,) = machine.site.loops.values()
    try:
        loop.wet.add("R02 manifold")
        loop.silent_detectors.add("R03 tray")
        loop.tripped = machine.now - 30
        prometheus.settle()
        found, truth = read(prometheus), water.read(machine)
        assert found.keys() == truth.keys()
        for key, row in found.items():
            assert row.value == truth[key].value, key
            assert row.sampled_at is not None and abs(row.sampled_at - time.time()) < 15
        assert (found["cdu-01/leak/R02"].wet, found["cdu-01/leak/R02"].unknown) == (("R02 manifold",), 0)
        blind = found["cdu-01/leak/R03"]
        # VictoriaMetrics keeps no NaN: there the value before stands until it is old.
        assert (blind.value, blind.detectors, blind.unknown) == (0, 2, 0 if prometheus.kind.victoria else 1)
        assert (found["cdu-01/supply/"].trend_h or 0) > 0
        loop.tripped = machine.now - 10 * MINUTE
        prometheus.settle()
        warm = read(prometheus)
        assert warm["cdu-01/supply/"].value == water.read(machine)["cdu-01/supply/"].value > water.SUPPLY_HIGH
        assert warm["cdu-01/flow/"].value < (warm["cdu-01/flow/"].low or 0)
    finally:
        loop.tripped = None
        loop.wet.clear()
        loop.silent_detectors.clear()
        prometheus.settle()


def seen(monitor: Monitor, am: Alertmanager, machine: Machine) -> Cluster:
    """What a console knows: nodes and jobs of the machine, the rest over the wire."""
    settings = PrometheusSettings(url=monitor.url, cooling=COOLING)
    cluster = begin("lab", [])
    for source in (Loads(settings), Cooling(settings), open_alerts("lab", AlertmanagerSettings(url=am.url))[0]):
        cluster, _ = reduce(cluster, Reading(cluster="lab", source=source.name, at=time.time(), mono=time.monotonic(),
                                             took_s=0.1, facts=source.collect()))  # fmt: skip
    facts = Facts(nodes=machine.nodes(), jobs=machine.jobs())
    cluster, _ = reduce(cluster, Reading(cluster="lab", source="slurm.nodes", at=time.time(), mono=time.monotonic(),
                                         took_s=0.1, facts=facts))  # fmt: skip
    return cluster


@pytest.mark.lab
def test_a_cdu_that_trips_is_one_line(alertmanager_forky: Alertmanager, tmp_path) -> None:
    require_engine("prometheus-3")
    am = alertmanager_forky
    am.reset()
    rules = tmp_path / "wacht-alerts.yml"
    rules.write_text(rule_file_text(limits=RuleLimits(waits=False, rack_w=10**9)))
    clock = ManualClock(now=time.time())
    machine = Machine(SimSettings(nodes=128, incident="cooling", gpus_per_node=4), clock)
    with Monitor("prometheus-3", machine=machine, rules=[rules], alertmanager=am.url, per_node=False) as monitor:
        monitor.wait_for_samples()
        monitor.wait_for_samples(COOLING.supply_c, len(machine.site.racks) // 4)
        assert {one.state for one in cooling.loops(seen(monitor, am, machine)).values()} <= {"ok", "silent"}
        clock.advance(STARTS_S + 6 * MINUTE)
        monitor.settle()

        def missing() -> str:
            named = {one.name for one in seen(monitor, am, machine).alerts.values()}
            wanted = {"CoolantFlowLow", "CoolantSupplyWarm", "GpuHot"}
            return "" if wanted <= named else f"no {', '.join(sorted(wanted - named))} yet"

        wait_for(missing, 60)
        cluster = seen(monitor, am, machine)
        (loop,) = [one for one in cooling.loops(cluster).values() if one.faulty]
        hot = {one.node for one in cluster.alerts.values() if one.name == "GpuHot"} & set(loop.nodes)
        assert (loop.name, loop.state, loop.racks) == ("cdu-02", "low flow", ("R05", "R06", "R07", "R08"))
        assert len(hot) > 10
        (line,) = [one for one in alert_groups(cluster, time.time()) if one.place == ("cdu", "cdu-02")]
        assert line.title.startswith("cdu-02: flow ") and line.title.endswith(f"{len(hot)} nodes hot")
        assert {name for name, _ in line.names} == {"CoolantFlowLow", "CoolantSupplyWarm", "GpuHot"}
        assert (line.severity, len(line.nodes)) == ("critical", 64)
        said = [one.text for one in attention_lines(cluster, time.time())]
        assert said[0].startswith("cdu-02 low flow: flow ") and "R[05-08], 64 nodes" in said[0]
        assert sum("CoolantFlowLow" in one or "CoolantSupplyWarm" in one for one in said) == 0
    am.reset()
