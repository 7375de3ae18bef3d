"""Ports and file systems of the simulated machine: well but for a few, and what its incidents make of them."""

from __future__ import annotations

import pytest

from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.exporters.exporters import Exporter
from collectors.sim.exporters.node_exporter import NodeExporterText
from collectors.sim.machine import Machine
from collectors.sim.sources import SimTelemetry
from tests.support.exporter_text import parsed


def made(**settings: object) -> tuple[Machine, ManualClock]:
    clock = ManualClock()
    return Machine(SimSettings(**settings), clock), clock  # type: ignore[arg-type]


@pytest.mark.parametrize("nodes", [1, 7, 64, 700])
def test_a_machine_is_well_but_for_a_few_ports(nodes):
    machine, _ = made(nodes=nodes)
    unwell = machine.links.unhealthy()
    fabric = machine.links.fabric(unwell)
    answering = sum(not host.silent for host in machine.site.hosts)
    assert (fabric.ports, fabric.uncabled) == (answering * 10, answering * 2)
    assert len(unwell) <= 3 + nodes // 20 and all(port.wrong for port in unwell.values())
    assert fabric.up == fabric.ports - sum("down" in port.wrong for port in unwell.values())
    assert sum(fabric.switches.values()) == answering * 9
    again, _ = made(nodes=nodes)
    assert again.links.unhealthy() == unwell


def test_the_port_that_the_health_check_names_is_down():
    machine, _ = made(nodes=64)
    before = machine.links.unhealthy()
    name = next(host.name for host in machine.site.hosts if host.usable and f"{host.name}/mlx5_3/1" not in before)
    machine.break_node(name, "NHC: check_ib mlx5_3 link down", down=False)
    port = machine.links.unhealthy()[f"{name}/mlx5_3/1"]
    assert (port.wrong, port.state, port.speed_gbps, port.usual_gbps) == (("down",), "Down, Polling", None, 400.0)
    machine.host(name).failure = None
    assert f"{name}/mlx5_3/1" not in machine.links.unhealthy()


def test_a_leaf_switch_that_loses_links():
    machine, clock = made(nodes=128, incident="fabric")
    before = machine.links.unhealthy()
    clock.advance(180)
    machine.advance()
    hit = set(machine.incidents.affected)
    new = {key: port for key, port in machine.links.unhealthy().items() if key not in before}
    words = {word for port in new.values() for word in port.wrong}
    assert {port.node for port in new.values()} >= hit and words == {"down", "slow", "flapping"}
    assert {port.switch for port in new.values() if port.node in hit} == {machine.host(next(iter(hit))).switch}


def test_a_file_system_hangs_and_comes_back():
    machine, clock = made(nodes=128, incident="storage")
    calm = machine.storage.rows()
    assert calm["/scratch"].hung == () and calm["/scratch"].wrong == ()
    (lacks,) = calm["/home"].missing
    assert machine.nodes()[lacks].display in {"drained", "draining"}
    clock.advance(300)
    machine.advance()
    row = machine.storage.rows()["/scratch"]
    assert row.hung == machine.incidents.affected and len(row.hung) == 16 and row.targets_up == (row.targets or 0) - 2
    assert any(machine.nodes()[name].reason == "Kill task failed" for name in row.hung)
    assert any(alert.name == "LustreTargetLost" for alert in machine.alerts().values())
    telemetry = SimTelemetry(lambda: machine)
    assert telemetry.attached(row.hung[0]).mounts == {"/scratch": False, "/home": True}
    assert telemetry.attached("gpu9999").ports == ()
    clock.advance(2 * 3600)
    machine.advance()
    assert machine.storage.rows()["/scratch"].hung == ()


def test_the_exporters_say_the_same():
    machine, clock = made(nodes=64, incident="storage")
    clock.advance(300)
    machine.advance()
    exporter = Exporter(machine)
    one = machine.incidents.affected[0]
    writer = NodeExporterText(machine.site, machine.links, machine.storage)
    text = writer.text([machine.host(one)], one=True)
    assert (exporter.answer(f"/node/{one}/metrics") or "").startswith(text)
    found = parsed(text)
    states = {dict(key)["device"]: value for key, value in found["node_infiniband_state_id"].items()}
    assert states == {**{port.device: 4 if port.up else 1 for port in machine.links.ports(machine.host(one))
                         if port.link == "InfiniBand"}, "mlx5_9": 1}  # fmt: skip
    errors = {dict(key)["mountpoint"]: value for key, value in found["node_filesystem_device_error"].items()}
    assert errors == {"/": 0, "/scratch": 1, "/home": 0}
    assert {dict(key)["mountpoint"] for key in found["node_filesystem_size_bytes"]} == {"/", "/home"}
    every = parsed(writer.text(machine.site.hosts, one=False))
    assert {key for key, _ in next(iter(every["node_network_up"]))} == {"device", "instance"}
    targets = machine.storage.rows()["/scratch"].targets_up
    assert len(parsed(exporter.answer("/lustre/metrics") or "")["lustre_capacity_kibibytes"]) == targets
    links = parsed(exporter.answer("/links/metrics") or "")["ib_link_info"]
    assert len(links) == sum(9 for host in machine.site.hosts if not host.silent)
    down = next(host.name for host in machine.site.hosts if host.silent)
    assert exporter.answer(f"/node/{down}/metrics") is None and exporter.answer("/node/gpu9999/metrics") is None
