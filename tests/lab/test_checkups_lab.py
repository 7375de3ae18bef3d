"""Health checks and versions from a real Prometheus that scrapes the simulated machine's exporters."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from collectors.model import Cluster
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.sources import PLANT
from collectors.sim.exporters.dcgm import ExporterOptions
from collectors.sim.plant import hardware
from console.health.version_drift import drifts

from .prometheus import Monitor
from .running import monitoring

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def plant() -> Iterator[Monitor]:
    """With node_exporter of every node, and the VBIOS among dcgm-exporter's labels."""
    yield from monitoring("prometheus-3", plant=True, odd=ExporterOptions(extra=True))


def read(monitor: Monitor, **more: object) -> Cluster:
    """The facts, beside the nodes that Slurm would tell."""
    settings = PrometheusSettings(url=monitor.url, **more)  # type: ignore[arg-type]
    found = PLANT["prom.checkups"](settings).collect()
    assert found.checkups is not None and found.warnings == ()
    return Cluster(name="demo", nodes=monitor.machine.nodes(), checkups=found.checkups)


def test_what_is_read_is_the_machines_truth(plant: Monitor) -> None:
    cluster, truth = read(plant), plant.machine.checks.rows(plant.machine.now)
    assert cluster.checkups.keys() == truth.keys()
    for name, one in cluster.checkups.items():
        true = truth[name]
        # A node whose dcgm-exporter is silent tells what its node_exporter does.
        known = {what: value for what, value in true.versions.items() if what in one.versions}
        assert one.versions == known and one.versions.keys() >= {"kernel", "bios", "bmc"}, name
        assert (one.serial, one.nhc, one.nhc_at, one.diag, one.diag_at) == (
            true.serial, true.nhc, true.nhc_at, true.diag, true.diag_at
        ), name  # fmt: skip
        assert one.health is None, "dcgm-exporter does not report it here"
    whole = [one for one in cluster.checkups.values() if len(one.versions) == 5]
    assert len(whole) > 50 and all(one.versions == hardware.versions_of(one.node) for one in whole)


def test_what_differs_is_found(plant: Monitor) -> None:
    cluster = read(plant)
    true = Cluster(name="true", nodes=cluster.nodes, checkups=plant.machine.checks.rows(plant.machine.now))
    found = {(one.what, name) for one in drifts(cluster) for name in one.nodes}
    assert found and found <= {(one.what, name) for one in drifts(true) for name in one.nodes}


def test_a_check_that_fails_is_named(plant: Monitor) -> None:
    machine = plant.machine
    name = next(name for name, one in machine.checks.rows(machine.now).items() if one.nhc == "ok")
    machine.break_node(name, "NHC: check_ib mlx5_0 link down", down=False)
    try:
        plant.publish()
        plant.settle()
        assert read(plant).checkups[name].nhc == "check_ib"
    finally:
        machine.repair_node(name)


def test_series_of_another_name(plant: Monitor) -> None:
    """What the documentation tells: exit codes instead of 1 for ok."""
    query = "1 - clamp_max(max by ($exported) (1 - nhc_status), 1)"
    own = read(plant, queries={"nhc": query}).checkups
    plain = read(plant).checkups
    assert {name: one.nhc_ok for name, one in own.items()} == {name: one.nhc_ok for name, one in plain.items()}
    assert msgspec.structs.asdict(next(iter(own.values())))["nhc"] is not None
