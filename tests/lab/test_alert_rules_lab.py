"""A fault of the simulated machine makes a real Prometheus fire the rules that ship; a real Alertmanager holds it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.sources import open_sources
from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.dcgm import Odd
from collectors.sim.machine import Machine
from console.alert_rules import FILE, Limits, text
from console.policy import default_policy

from .alertmanager import Alertmanager
from .conftest import require, require_engine
from .place import wait_for
from .prometheus import Monitor
from .roots import SUITES, root_of

#: Engine and the suite of the Alertmanager beside it: between them every version is seen, and vmalert too.
PAIRS = {"prometheus-2": "forky", "prometheus-3": "trixie", "victoria": "forky"}


@pytest.mark.lab
@pytest.mark.parametrize("suite", SUITES)
def test_promtool_finds_nothing_wrong(suite: str, tmp_path) -> None:
    require(suite)
    folder = root_of(suite) / "tmp" / tmp_path.name
    folder.mkdir(parents=True)
    try:
        shutil.copy(FILE, folder / "rules.yml")
        words = ["chroot", str(root_of(suite)), "/usr/bin/promtool", "check", "rules", f"/tmp/{folder.name}/rules.yml"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS: 13 rules found" in done.stdout
    finally:
        shutil.rmtree(folder)


class Night:
    """The machine, what watches it, and what rings."""

    def __init__(self, monitor: Monitor, am: Alertmanager, clock: ManualClock) -> None:
        self.monitor, self.am, self.clock, self.machine = monitor, am, clock, monitor.machine
        self.source = open_sources("lab", AlertmanagerSettings(url=am.url))[0]

    def ringing(self, name: str) -> dict[str, object]:
        """Alerts of that name by node, or by rack."""
        facts = self.source.collect()
        return {one.node or one.labels.get("rack", ""): one for one in facts.alerts.values() if one.name == name}

    def wait(self, name: str, *places: str) -> dict[str, object]:
        """Wait until the alert rings there, and nowhere else."""
        self.monitor.publish()

        def missing() -> str:
            rings = set(self.ringing(name))
            return "" if rings == set(places) else f"{name} rings at {sorted(rings)}, not {sorted(places)}"

        wait_for(missing, 60)
        return self.ringing(name)


@pytest.fixture(scope="module", params=PAIRS)
def night(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Night]:
    require_engine(request.param)
    am: Alertmanager = request.getfixturevalue(f"alertmanager_{PAIRS[request.param]}")
    am.reset()
    file = tmp_path_factory.mktemp("rules") / "wacht-alerts.yml"
    file.write_text(text(limits=Limits(waits=False, rack_w=10**9)))
    clock = ManualClock(now=time.time())
    machine = Machine(SimSettings(nodes=64, incident="pdu"), clock)
    with Monitor(request.param, machine=machine, rules=[file], alertmanager=am.url) as monitor:
        monitor.wait_for_samples()
        yield Night(monitor, am, clock)
    am.reset()


def test_faults_ring(night: Night) -> None:
    machine = night.machine
    standing = {name for name, node in machine.nodes().items() if node.state == "DOWN"}
    night.wait("NodeDown", *standing)
    well = [name for name, load in machine.loads().items() if load.xid is None]
    quiet, lost, odd, ill = well[:4]
    # One exporter of two is silent, the node answers.
    night.monitor.exporter.odd = Odd(silent=frozenset({quiet}))
    exporter = night.monitor.exporter
    mute = {name for name in machine.nodes() if machine.node_power(name) is not None and not exporter.gpus(name)}
    silent = night.wait("ExporterSilent", *mute)[quiet]
    assert silent.severity == "warning" and silent.labels["job"] == "dcgm" and "silent" in silent.summary
    # XIDs as the policy has them.
    standing_xids = {name: load.xid for name, load in machine.loads().items() if load.xid is not None}
    before = {name for name, code in standing_xids.items() if (advice := default_policy().of(code)) and advice.acts}
    night.wait("GpuXid", *before)
    for name, code in ((lost, 79), (odd, 63), (ill, 31)):
        machine.faults.xid(machine.host(name), code, 2)
    rings = night.wait("GpuXid", *before, lost, odd, ill)
    for name, code, severity in ((lost, 79, "critical"), (odd, 63, "warning"), (ill, 31, "info")):
        one = rings[name]
        assert (one.severity, one.labels["xid"], one.labels["gpu"]) == (severity, str(code), "2")
        assert f"XID {code} on GPU 2 of {name}" in one.summary
        assert one.annotations["runbook_url"] == "https://runbooks.example.org/GpuXid"
    # A power unit dies: it rings itself, and each of its nodes.
    night.clock.advance(120)
    machine.advance()
    hit = machine.incidents.hit
    assert len(hit) == 8
    down = {name for name, node in machine.nodes().items() if node.state == "DOWN"}
    assert down >= set(hit)
    rings = night.wait("NodeDown", *down)
    assert all(one.severity == "critical" and one.labels["node"] == one.node for one in rings.values())
    rack, pdu = machine.host(hit[0]).rack, machine.host(hit[0]).pdu
    (lost_pdu,) = night.wait("PduPowerLost", rack).values()
    assert (lost_pdu.labels["pdu"], lost_pdu.severity) == (pdu, "critical")
    # Mended, it is over.
    machine.mend_node(hit[0])
    night.wait("NodeDown", *(down - {hit[0]}))
