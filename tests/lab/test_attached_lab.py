"""Ports and file systems through a real Prometheus, which scrapes what node_exporter and lustre_exporter would say."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from collectors.clock import ManualClock, SystemClock
from collectors.model import Facts, SourceFault
from collectors.nodeset import fold
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.client import PrometheusClient
from collectors.prometheus.plant import fabric_queries, storage_queries
from collectors.prometheus.plant.plant_settings import FabricSettings, StorageSettings
from collectors.prometheus.site_queries import SiteQueries
from collectors.prometheus.sources import PLANT, open_telemetry
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from console.health.inconsistencies import fresh_facts
from console.ingest.reduce import begin, reduce
from console.triage.attention_fabric_storage import port_items as ill_ports
from console.triage.attention_fabric_storage import storage_items as ill_stores
from tests.support import make

from .place import wait_for
from .prometheus import Monitor
from .running import monitoring

#: The counters are looked at over so many seconds here, an hour on a machine that has one behind it.
FLAPS_S = 6
pytestmark = pytest.mark.lab
FABRIC = FabricSettings(links="ib_link_info", flaps_s=FLAPS_S)


@pytest.fixture(scope="module")
def plant() -> Iterator[Monitor]:
    clock = ManualClock(now=time.time())
    machine = Machine(SimSettings(nodes=48, incident="fabric"), clock)
    for one in monitoring("prometheus-3", machine=machine, plant=True):
        one.clock = clock
        yield one


def settings(monitor: Monitor, **more: object) -> PrometheusSettings:
    return PrometheusSettings(url=monitor.url, **({"fabric": FABRIC} | more))  # type: ignore[arg-type]


def test_ports_and_file_systems_from_the_exporters_to_the_list_of_needs(plant: Monitor) -> None:
    """One after the other, since each changes the machine: well, a switch loses links, a mount hangs, silence."""
    machine = plant.machine
    ports, stores = PLANT["prom.fabric"](settings(plant)), PLANT["prom.storage"](settings(plant))
    plant.settle()
    before = ports.collect()
    assert before.warnings == () and before.fabric is not None and before.ports is not None
    answering = [host for host in machine.site.hosts if not host.silent]
    devices = len(machine.links.devices())
    truth = {key: port for key, port in machine.links.unhealthy().items() if {"down", "slow"} & set(port.wrong)}
    assert (before.fabric.ports, before.fabric.uncabled) == (len(answering) * devices, len(answering) * 2)
    assert before.fabric.up == before.fabric.ports - sum(not port.up for port in truth.values())
    assert before.fabric.switches == machine.links.fabric({}).switches
    assert before.ports.keys() == truth.keys()
    for key, port in before.ports.items():
        true = truth[key]
        assert (port.up, port.speed_gbps, port.usual_gbps, port.switch, port.switch_port) == (
            true.up, None if not true.up else true.speed_gbps, true.usual_gbps, true.switch, true.switch_port,
        )  # fmt: skip
    # A switch loses links, once there is a past to hold it against.
    past = f"node_network_up{{device='eno1'}} offset {FLAPS_S}s"
    wait_for(lambda: "" if len(plant.query(past)) == len(answering) else "the server is young", 60)
    plant.clock.advance(30 + 75 + 60)
    machine.advance()
    assert len(machine.incidents.affected) == 16
    plant.settle()
    facts = ports.collect()
    leaf = machine.host(machine.incidents.affected[0]).switch
    true = {key: port for key, port in machine.links.unhealthy().items() if port.switch == leaf}
    assert facts.ports is not None
    found = {key: port for key, port in facts.ports.items() if port.switch == leaf}
    down, slow = ({key for key, port in found.items() if word in port.wrong} for word in ("down", "slow"))
    assert down == {key for key, port in true.items() if "down" in port.wrong} and len(down) >= 14
    assert slow == {key for key, port in true.items() if "slow" in port.wrong} and slow
    flapping = {key for key, port in found.items() if "flapping" in port.wrong}
    assert len(flapping) > 50 and flapping <= {key for key, port in true.items() if (port.downed or 0) >= 2}
    assert {port.usual_gbps for key, port in found.items() if key in slow} == {400.0}
    # One node in full, on demand.
    telemetry = open_telemetry("x", settings(plant))
    name = machine.incidents.affected[1]
    attached = telemetry.attached(name)
    mine = {port.device: port for port in machine.links.ports(machine.host(name))}
    assert {port.device: (port.up, port.speed_gbps) for port in attached.ports} == {
        device: (port.up, port.speed_gbps) for device, port in mine.items()
    }
    assert attached.mounts == {"/scratch": True, "/home": True}
    assert telemetry.attached("gpu9999").ports == telemetry.attached('a"}').ports == ()
    # A file system hangs, and the console says so.
    calm = stores.collect().storage
    assert calm is not None and calm.keys() == {"/scratch", "/home"} and calm["/scratch"].wrong == ()
    assert calm["/scratch"].targets == calm["/scratch"].targets_up == 6
    hosts = [host for host in answering if not host.silent][:5]
    machine.storage.hang(hosts, lost=2)
    machine.storage.file_systems["/home"].missing[hosts[1].index] = hosts[1].boot_at
    plant.settle()
    hangs = stores.collect()
    assert hangs.storage is not None and hangs.warnings == ()
    row = hangs.storage["/scratch"]
    assert row.hung == tuple(host.name for host in hosts) and (row.targets_up, row.targets, row.kind) == (
        4,
        6,
        "lustre",
    )
    assert hangs.storage["/home"].missing == machine.storage.rows()["/home"].missing != ()
    assert row.used_pct == pytest.approx(machine.storage.used_pct(machine.storage.file_systems["/scratch"]), abs=0.1)
    cluster = begin("lab", [("prom.fabric", 60.0), ("prom.storage", 60.0), ("slurm.nodes", 3.0)])
    for source, told in (
        ("slurm.nodes", Facts(nodes=machine.nodes())),
        ("prom.fabric", facts),
        ("prom.storage", hangs),
    ):
        cluster, _ = reduce(cluster, make.reading(source, **{kind: getattr(told, kind) for kind in (
            "nodes", "ports", "fabric", "storage") if getattr(told, kind) is not None}))  # fmt: skip
    good = fresh_facts(cluster, 1100.0, 100.0)
    said = "\n".join(one.text for one in (*ill_stores(cluster, good), *ill_ports(cluster, good)))
    assert f"{leaf}: {len(down)} ports down" in said
    assert f"/scratch hangs on {fold(row.hung)}; 2 of 6 targets do not answer" in said
    # All of it falls silent: that is a fault, never "all is well".
    for host in machine.site.hosts:
        host.silent = True
    plant.settle()
    wait_for(lambda: "" if not plant.query("node_network_up") else "still there", 60)
    with pytest.raises(SourceFault, match="the fabric's ports: the series were there and are gone"):
        ports.collect()


def test_a_site_without_such_series_shows_nothing_and_has_no_fault(plant: Monitor) -> None:
    elsewhere = settings(plant, matchers='cluster="elsewhere"', storage=StorageSettings(mounts=("/scratch",)))
    for source in (PLANT["prom.fabric"](elsewhere), PLANT["prom.storage"](elsewhere)):
        facts = source.collect()
        assert facts.ports is facts.fabric is facts.storage is None and facts.warnings == ()


def test_every_server_takes_these_queries(prometheus: Monitor) -> None:
    """A query that a server refuses is a gap with a warning: there is none."""
    own = settings(prometheus, fabric=FabricSettings(links="up", node_label="instance", switch_label="job"))
    book, client = SiteQueries(own), PrometheusClient(own, SystemClock())
    for query in (*fabric_queries.QUERIES, *storage_queries.QUERIES):
        client.ask(query.name, book.asking(query.name))
        if query.host == "node_labels":
            client.ask(query.name, book.of_node(query.name, "gpu0001"))
    by_join = settings(prometheus, fabric=FabricSettings(links="sum by (node, switch) (up)"))
    client.ask("switch_of", SiteQueries(by_join).linked("(gpu0001)([.:].*)?"))
    client.close()
