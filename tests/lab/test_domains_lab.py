"""NVLink domains on the real thing: Slurm with topology/block, and Prometheus that scrapes NVL72 racks."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from collectors.clock import ManualClock, SystemClock
from collectors.model import Facts
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.sources import PLANT
from collectors.racks import RackRule
from collectors.sim import SimSettings
from collectors.sim.incidents import STARTS_S
from collectors.sim.machine import Machine
from collectors.sim.plant.nvlink import DEGRADED
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_sources
from console.actions.options import Guard, Options
from console.actions.plan import Plan
from console.actions.registry import BY_ID
from console.gate.planning import make_plan
from console.gate.preview import text
from console.health.xid_policy import default_policy
from console.plant import nvlink_domains
from console.preflight.checks import PreflightReads
from console.session.snapshot import take

from .place import wait_for
from .prometheus import Monitor
from .roots import SUITES
from .running import require, require_engine
from .slurm import Lab

CONF = "BlockName=R01 Nodes=gpu[0001-0003]\nBlockName=R02 Nodes=gpu[0004-0006]\nBlockSizes=3\n"
YAML = """\
- topology: nvl
  cluster_default: true
  block:
    block_sizes:
      - 3
    blocks:
      - block: R01
        nodes: gpu[0001-0003]
      - block: R02
        nodes: gpu[0004-0006]
"""


class Racks(Lab):
    """A Slurm whose topology has two blocks of three nodes."""

    topology = ("topology.conf", CONF)

    def _lay_out(self) -> None:
        super()._lay_out()
        name, lines = self.topology
        (self.folder / name).write_text(lines)


class NewRacks(Racks):
    """The same as 25.05 and later write it: several topologies, of which one is the cluster's."""

    topology = ("topology.yaml", YAML)


@pytest.fixture(scope="module", params=[*SUITES, "yaml"])
def racks(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Each version, and the newer way to write it."""
    kind, suite = (NewRacks, "forky") if request.param == "yaml" else (Racks, request.param)
    require(suite)
    extra = "" if kind is NewRacks else "TopologyPlugin=topology/block\n"
    with kind(suite, nodes=6, extra=extra) as lab:
        yield lab


def snapshot(lab: Lab, monkeypatch: pytest.MonkeyPatch, **chosen: object):
    monkeypatch.setenv("PATH", f"{lab.bin_dir}:/usr/bin:/bin")
    sources = [one for one in open_sources("lab", SlurmSettings(**chosen)) if one.name != "slurm.rights"]
    return take("lab", sources, SystemClock())


def test_blocks_are_domains_and_a_drain_tells_what_they_lose(racks: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = snapshot(racks, monkeypatch)
    assert cluster.sources["slurm.topology"].ok, cluster.sources["slurm.topology"].fault
    found = nvlink_domains.domain_states(cluster)
    assert {name: one.nodes for name, one in found.items()} == {
        "R01": ("gpu0001", "gpu0002", "gpu0003"), "R02": ("gpu0004", "gpu0005", "gpu0006"),
    }  # fmt: skip
    assert {(one.said_by, len(one.usable), one.largest_job) for one in found.values()} == {("Slurm's blocks", 3, 3)}
    made = make_plan(BY_ID["drain"], ["gpu0002"], cluster, time.time(), time.monotonic(), Guard(), default_policy(),
                     Options(break_glass=True), PreflightReads())  # fmt: skip
    assert isinstance(made, Plan)
    assert any("R01 2 of 3 trays usable (now 3): no 3-tray job fits" in line for line in text(made))
    racks.run(["scontrol", "update", "NodeName=gpu0002", "State=DRAIN", "Reason=x"])
    after = nvlink_domains.domain_states(snapshot(racks, monkeypatch))
    assert after["R01"].usable == ("gpu0001", "gpu0003") and after["R02"].largest_job == 3
    racks.run(["scontrol", "update", "NodeName=gpu0002", "State=UNDRAIN"])
    by_racks = snapshot(racks, monkeypatch, racks=RackRule(pattern=r"gpu(?P<n>\d+)", nodes_per_rack=2, domains=True))
    assert {name: len(one.nodes) for name, one in by_racks.domains.items()} == {"R01": 2, "R02": 2, "R03": 2}
    same = snapshot(racks, monkeypatch, racks=RackRule(topology=True))
    assert nvlink_domains.domain_states(same)["R01"].rack == "R01", "the blocks may be the racks too"


def test_a_slurm_without_blocks_has_no_domains(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = snapshot(lab, monkeypatch)
    assert cluster.sources["slurm.topology"].ok and cluster.domains == {}


# -- Prometheus --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["prometheus-3", "victoria"])
def monitor(request: pytest.FixtureRequest) -> Iterator[Monitor]:
    """Four NVL72 racks, scraped."""
    require_engine(request.param)
    clock = ManualClock(now=time.time())
    machine = Machine(SimSettings(nodes=72, incident="nvlink"), clock)
    with Monitor(request.param, machine=machine, per_node=False) as started:
        started.clock = clock
        started.wait_for_samples()
        yield started


def read(monitor: Monitor) -> Facts:
    return PLANT["prom.trays"](PrometheusSettings(url=monitor.url)).collect()


def comes(monitor: Monitor) -> Facts:
    """What is read once it is the machine's truth: VictoriaMetrics finds new series by their labels a while late."""
    wait_for(lambda: "" if read(monitor).trays == monitor.machine.trays() else f"only {len(read(monitor).trays)}", 60)
    return read(monitor)


def test_the_fabric_is_the_machines_truth(monitor: Monitor) -> None:
    monitor.settle()
    comes(monitor)
    name = next(name for name, tray in monitor.machine.trays().items() if tray.fabric == "healthy")
    monitor.machine.nvlink.degrade(monitor.machine.host(name), DEGRADED)
    monitor.clock.advance(STARTS_S + 60)
    monitor.machine.advance()
    monitor.settle()
    found = comes(monitor)
    assert found.trays == monitor.machine.trays() and not found.warnings
    assert found.trays[name].wrong == ("degraded bandwidth",) and found.trays[name].ready == 0
    apart = monitor.machine.incidents.affected
    assert {found.trays[one].clique for one in apart if one in found.trays}.isdisjoint(
        {tray.clique for tray in found.trays.values() if tray.domain == found.trays[apart[1]].domain
         and tray.node not in apart})  # fmt: skip
