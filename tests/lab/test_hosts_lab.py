"""Hosts in labels and nodes of Slurm, on real servers: whatever either calls them, the same facts; or it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from collectors.clock import ManualClock
from collectors.hosts import NodeNames
from collectors.model import Collector, Facts, Node, SourceFault
from collectors.prometheus import PowerSettings, PrometheusSettings
from collectors.prometheus.recording_rules import FILE
from collectors.prometheus.sources import PLANT, Loads, PowerSource, open_sources, open_telemetry
from collectors.sim import SimSettings
from collectors.sim.exporters.dcgm import ExporterOptions
from collectors.sim.machine import Machine
from console.config.settings import Config
from console.doctor import run
from console.session.cluster_sources import ClusterSources

from .place import wait_for
from .prometheus import ENGINES, Monitor
from .running import require_engine

DOMAIN = "cluster.example"
BMC = "ipmi_dcmi_power_consumption_watts"


#: Of a machine with so many.
NODES = [f"gpu{n:04d}" for n in range(1, 17)]


@contextmanager
def monitored(engine: str, **odd: Mapping[str, str] | str) -> Iterator[Monitor]:
    """A server of its own, whose hosts are called so from the first sample on, with the node_exporters as well: series
    under other names would stand for minutes."""
    require_engine(engine)
    with Monitor(engine, nodes=len(NODES), plant=True, odd=ExporterOptions(**odd)) as started:  # type: ignore[arg-type]
        started.wait_for_samples()
        started.settle()
        yield started


def full(nodes: Sequence[str]) -> dict[str, str]:
    return {node: f"{node}.{DOMAIN}" for node in nodes}


def addresses(nodes: Sequence[str]) -> dict[str, str]:
    """All in one network, so that whoever strips at a dot makes one node of them all."""
    return {node: f"10.0.10.{n}" for n, node in enumerate(nodes, 1)}


class Slurm:
    """Slurm's nodes by these names and addresses."""

    name, floor_s = "slurm.nodes", 5.0

    def __init__(self, nodes: Mapping[str, str | None]) -> None:
        self.rows = {
            name: Node(name=name, state="IDLE", display="idle", gpus=8, address=at) for name, at in nodes.items()
        }

    def collect(self) -> Facts:
        return Facts(nodes=self.rows)

    def close(self) -> None:
        """Nothing is open."""


class Made(ClusterSources, frozen=True, kw_only=True):
    """A site whose Slurm is made up, and whose Prometheus is real."""

    nodes: Mapping[str, str | None]

    def collectors(self) -> Sequence[Collector]:
        return [Slurm(self.nodes), *open_sources(self.name, self.others["prometheus"])]  # type: ignore[arg-type]


def settings(monitor: Monitor, **more: object) -> PrometheusSettings:
    return PrometheusSettings(url=monitor.url, power=PowerSettings(node_series=BMC), **more)  # type: ignore[arg-type]


def names(nodes: Mapping[str, str | None]) -> NodeNames:
    return NodeNames(tuple((name, name, at or name) for name, at in nodes.items()))


def read(kind: Callable[[PrometheusSettings], Loads], monitor: Monitor, nodes: Mapping[str, str | None]) -> Facts:
    source = kind(settings(monitor))
    source.set_node_names(names(nodes))
    try:
        return source.collect()
    finally:
        source.close()


def findings(monitor: Monitor, nodes: Mapping[str, str | None], source: str) -> dict[str, tuple[str, str]]:
    """What doctor says of the hosts of a source: what they are to its mark and text."""
    site = Made(name="lab", demo=False, slurm=None, others={"prometheus": settings(monitor)}, nodes=nodes)
    found = run.examine(site, Config()).findings
    return {one.figures["what"]: (one.mark, one.said) for one in found if one.name == source and "what" in one.figures}


@pytest.mark.lab
@pytest.mark.parametrize(
    ("engine", "case"),
    [*(("prometheus-3", case) for case in ("short", "slurm full", "labels full", "addresses", "mixed")),
     ("prometheus-2", "mixed"), ("victoria", "mixed")],
)  # fmt: skip
def test_the_same_facts_whatever_hosts_are_called(engine: str, case: str) -> None:
    nodes = NODES
    called: dict[str, str] = {}
    at: dict[str, str] = {}
    slurm: dict[str, str | None] = dict.fromkeys(nodes)
    hostname = "Hostname"
    if case == "slurm full":
        slurm = {f"{node}.{DOMAIN}": None for node in nodes}
    elif case == "labels full":
        called = at = full(nodes)
    elif case == "addresses":
        hostname, at = "", addresses(nodes)
        slurm = {node: at[node] for node in nodes}
    elif case == "mixed":
        # Half is called in full; of half the exporters give pods and addresses.
        called = full(nodes[::2]) | {node: f"dcgm-exporter-x{n}k" for n, node in enumerate(nodes[1::2])}
        at = addresses(nodes)
        slurm = {node: at[node] for node in nodes}
    with monitored(engine, hostname=hostname, hostname_of=called, instance_host=at) as plant:
        check(plant, dict(zip(nodes, slurm, strict=True)), slurm)


def check(plant: Monitor, own: Mapping[str, str], slurm: Mapping[str, str | None]) -> None:
    """All facts of the machine, under the names that Slurm has for its nodes."""
    nodes = NODES
    machine = plant.machine
    host = next(host for host in machine.site.hosts if machine.gpus(host.name) and not host.silent)
    machine.failures.report_xid(host, 48, 3)
    plant.settle()

    def missing() -> str:
        # VictoriaMetrics finds series of new labels by each of their names a while late.
        try:
            facts = read(Loads, plant, slurm)
            assert facts.loads is not None and facts.xids is not None
            truth = machine.loads()
            assert {own[name] for name in truth} <= facts.loads.keys() <= slurm.keys()
            for name, true in truth.items():
                load = facts.loads[own[name]]
                assert (load.gpus_seen, load.gpu_power_w, load.temp_c) == (
                    true.gpus_seen, true.gpu_power_w, true.temp_c), name  # fmt: skip
                assert load.power_w == machine.node_power(name)
            assert f"{own[host.name]}/3/48" in facts.xids, "an XID 48 is seen"
            assert not facts.warnings
            power = read(PowerSource, plant, slurm).power
            assert power is not None and power.site_w == pytest.approx(sum(machine.node_power(n) or 0.0 for n in nodes))
        except (AssertionError, SourceFault) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    wait_for(missing, 60)
    checks = read(PLANT["prom.checkups"], plant, slurm).checkups
    assert checks is not None and {own[name] for name in machine.loads()} <= checks.keys() <= slurm.keys()
    for kind in (PLANT["prom.fabric"], PLANT["prom.storage"]):
        source = kind(settings(plant))
        source.set_node_names(names(slurm))
        source.collect()
        (host_mappings,) = source.host_mappings()
        assert (host_mappings.known, host_mappings.unknown) == (host_mappings.hosts, ()) and host_mappings.hosts >= len(
            machine.loads()
        )
    telemetry = open_telemetry("x", settings(plant))
    telemetry.set_node_names(names(slurm))
    node = own[host.name]
    assert len(telemetry.gpus([node])[node]) == len(machine.gpus(host.name))

    def unseen() -> str:
        charts = telemetry.history(node, 900)
        if not all(any(value is not None for _, value in one.points) for one in charts):
            return "a server just started"
        same = [one.name for one in charts] == ["utilisation", "memory", "temperature", "power"]
        return "" if same else f"only {[one.name for one in charts]}"

    wait_for(unseen, 60)
    attached = telemetry.attached(node)
    assert attached.ports and attached.mounts and {port.node for port in attached.ports} == {node}
    for source in ("prom.loads", "prom.power", "prom.checkups", "prom.fabric", "prom.storage"):
        told = findings(plant, slurm, source)
        assert told and {mark for mark, _ in told.values()} == {"ok"}, told
    telemetry.close()


@pytest.mark.lab
def test_addresses_that_slurm_does_not_give_are_no_nodes() -> None:
    with monitored("prometheus-3", hostname="", instance_host=addresses(NODES)) as plant:
        check_addresses(plant, dict.fromkeys(NODES))


def check_addresses(plant: Monitor, slurm: Mapping[str, str | None]) -> None:
    """Nothing is a node, and whatever reads it says so."""

    def seen() -> str:
        try:
            read(Loads, plant, slurm)
        except SourceFault as error:
            return "" if "is a node of Slurm" in error.fault.what and "10.0.10." in error.fault.what else str(error)
        return "it was read"

    wait_for(seen, 60)
    # node_uname_info bears the name of its host beside the address; what else is checked there does not.
    checks = read(PLANT["prom.checkups"], plant, slurm).checkups or {}
    assert all(one.nhc is one.diag is one.serial is None for one in checks.values())
    assert {mark for mark, _ in findings(plant, slurm, "prom.checkups").values()} <= {"bad", "warn"}
    for source in ("prom.loads", "prom.power", "prom.fabric", "prom.storage"):
        told = findings(plant, slurm, source)
        assert told and {mark for mark, _ in told.values()} == {"bad"}, told
        assert all(said.startswith("0 of ") and "10.0.10.[" in said for _, said in told.values())
    power = read(PowerSource, plant, slurm).power
    assert power is not None and power.site_w == pytest.approx(sum(plant.machine.node_power(n) or 0.0 for n in NODES))


@pytest.mark.lab
def test_two_hosts_of_one_name_are_neither() -> None:
    machine = Machine(SimSettings(nodes=len(NODES)), ManualClock())
    one, two = [name for name in NODES if machine.gpus(name)][:2]
    called = full(NODES) | {two: f"{one}.elsewhere.example"}
    slurm: dict[str, str | None] = dict.fromkeys(NODES)
    # By `instance` they are told apart, where that is no address that Slurm does not know.
    with monitored("prometheus-3", hostname_of=called) as plant:
        loads = read(Loads, plant, slurm).loads or {}
        assert loads[one].gpus_seen == loads[two].gpus_seen == 8
    with monitored("prometheus-3", hostname_of=called, instance_host=addresses(NODES)) as plant:
        facts = read(Loads, plant, slurm)
        assert not {one, two} & (facts.loads or {}).keys() and len(facts.loads or {}) > 8
        assert any("fit several nodes, or share one" in text for text in facts.warnings)
        site = Made(name="lab", demo=False, slurm=None, others={"prometheus": settings(plant)}, nodes=slurm)
        told = [one for one in run.examine(site, Config()).findings if one.name == "prom.loads"]
        assert any(one.mark == "warn" and "share one" in one.said for one in told)


@pytest.mark.lab
@pytest.mark.parametrize("engine", ENGINES)
def test_recorded_series_are_mapped_as_well(engine: str) -> None:
    require_engine(engine)
    odd = ExporterOptions(hostname_of=full(NODES), instance_host=full(NODES))
    slurm: dict[str, str | None] = dict.fromkeys(NODES)
    with Monitor(engine, nodes=len(NODES), rules=[FILE], odd=odd) as monitor:
        monitor.wait_for_samples()

        def missing() -> str:
            try:
                source = Loads(settings(monitor, recorded=True))
                source.set_node_names(names(slurm))
                loads = source.collect().loads or {}
                charts = telemetry.history(next(iter(monitor.machine.loads())), 900)
            except SourceFault as error:
                return str(error)
            have = monitor.machine.loads().keys() <= loads.keys() <= slurm.keys()
            drawn = bool(charts) and any(value is not None for _, value in charts[0].points)
            return "" if have and drawn else f"{len(loads)} nodes, {sorted(loads)[:3]}"

        telemetry = open_telemetry("x", settings(monitor, recorded=True))
        telemetry.set_node_names(names(slurm))
        wait_for(missing, 90)
        telemetry.close()
