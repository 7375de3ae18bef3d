"""The NVL72 racks of the simulated cluster: domains that are whole, one that falls apart, none on other machines."""

from __future__ import annotations

import re

from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.exporters.dcgm import ExporterOptions
from collectors.sim.incidents import STARTS_S
from collectors.sim.machine import Machine
from console.plant.nvlink_domains import domain_states
from tests.support import make

CLIQUE = re.compile(
    r'^DCGM_FI_DEV_FABRIC_CLIQUE_ID\{gpu="(\d)".*Hostname="(\w+)".*CLUSTER_UUID="([0-9a-f-]{36})"', re.M
)


def machine(**more):
    clock = ManualClock()
    return Machine(SimSettings(**({"nodes": 72, "nvl72": True} | more)), clock), clock


def test_a_rack_is_a_domain_of_18_trays_with_4_gpus():
    made, _ = machine()
    found = made.domains()
    assert {name: len(one.nodes) for name, one in found.items()} == dict.fromkeys(("R01", "R02", "R03", "R04"), 18)
    trays = made.trays()
    assert {tray.gpus for tray in trays.values() if not made.host(tray.node).lost_gpus} == {4}
    of = {trays[name].domain: one for one in found.values() for name in one.nodes if name in trays}
    assert len(of) == 4, "each has an id of its own"
    assert {node.gpus for node in made.nodes().values()} == {4}


def test_a_machine_of_servers_has_none():
    made, _ = machine(nvl72=False)
    assert made.domains() == made.trays() == {}
    assert made.nvlink.text(made.gpus("gpu0001"), ExporterOptions()) == ""


def test_a_tray_that_does_not_answer_tells_nothing():
    made, _ = machine()
    made.break_node("gpu0010")
    assert "gpu0010" not in made.trays() and "gpu0010" in made.domains()["R01"].nodes


def test_rows_that_look_as_before_are_the_same_objects():
    made, clock = machine()
    before = made.trays()
    clock.advance(60)
    made.advance()
    after = made.trays()
    assert sum(after[name] is before[name] for name in after.keys() & before.keys()) > 60


def test_the_incident_splits_one_domain_and_it_is_mended():
    made, clock = machine(nvl72=False, incident="nvlink")
    assert made.settings.nvl72, "it makes the machine one of NVL72 racks"
    clock.advance(STARTS_S + 60)
    made.advance()
    found = domain_states(make.cluster(nodes=list(made.nodes().values()), domains=made.domains(), trays=made.trays()))
    (one,) = [one for one in found.values() if one.split]
    hit = made.incidents.affected
    assert len(hit) == 4 and set(hit) < set(one.nodes) and one.imex in {"degraded", "down"}
    assert one.fabric == "unhealthy" and one.largest_job < len(one.usable)
    assert made.nodes()[hit[-1]].display in {"drained", "draining"}
    clock.advance(6 * 3600)
    made.advance()
    later = domain_states(make.cluster(nodes=list(made.nodes().values()), domains=made.domains(), trays=made.trays()))
    assert not later[one.name].split and later[one.name].imex == "up"


def test_the_exporter_tells_what_the_machine_knows():
    made, _ = machine()
    text = made.nvlink.text([gpu for name in made.site.by_name for gpu in made.gpus(name)], ExporterOptions())
    rows = CLIQUE.findall(text)
    trays = made.trays()
    assert len(rows) == sum(tray.gpus or 0 for tray in trays.values())
    assert {(node, domain) for _, node, domain in rows} == {(tray.node, tray.domain) for tray in trays.values()}
    assert text.count("\n# TYPE ") == 4 and 'DCGM_FI_IMEX_DOMAIN_STATUS="UP"' in text
