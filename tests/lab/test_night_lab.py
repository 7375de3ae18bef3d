"""The whole night on real parts: a PDU dies on the simulated machine, a real Prometheus fires wacht's own rules into a
real Alertmanager, and a person on call acts on a live Slurm whose nodes have the same names.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from console.alerts.alert_rules import RuleLimits, rule_file_text
from console.app.confirm_dialog import ConfirmDialog
from console.config.paths import journal_path
from console.config.settings import load
from console.journal import writer
from console.session import cluster_sources
from tests.support.operator import Operator, console_on

from .alertmanager import Alertmanager
from .place import wait_for
from .prometheus import Monitor
from .running import require_engine
from .slurm import Lab

pytestmark = pytest.mark.lab
CLOCK = ManualClock(now=time.time())
CONFIG = """
[cluster.groningen]
prometheus = {{ url = "{prometheus}", interval_s = 1 }}
alertmanager = {{ url = "{alertmanager}", interval_s = 1 }}
racks = {{ pattern = "gpu(?P<n>\\\\d{{4}})", nodes_per_rack = 16 }}
"""


@pytest.fixture(scope="module")
def machine() -> Machine:
    """The machine that the telemetry is of: a PDU of it dies when its clock is moved."""
    return Machine(SimSettings(nodes=64, incident="pdu"), CLOCK)


@pytest.fixture(scope="module")
def monitor(machine: Machine, alertmanager_forky: Alertmanager, tmp_path_factory) -> Iterator[Monitor]:
    """Prometheus with the rules that ship, which ring in the Alertmanager."""
    require_engine("prometheus-3")
    alertmanager_forky.reset()
    file = tmp_path_factory.mktemp("rules") / "wacht-alerts.yml"
    file.write_text(rule_file_text(limits=RuleLimits(waits=False, rack_w=10**9)))
    with Monitor("prometheus-3", machine=machine, rules=[file], alertmanager=alertmanager_forky.url) as started:
        started.wait_for_samples()
        yield started
    alertmanager_forky.reset()


class Night:
    """What is there when the phone rings."""

    def __init__(self, lab: Lab, monitor: Monitor, am: Alertmanager, folder: Path) -> None:
        self.lab, self.monitor, self.am, self.machine = lab, monitor, am, monitor.machine
        file = folder / "config.toml"
        file.write_text(CONFIG.format(prometheus=monitor.url, alertmanager=am.url))
        file.chmod(0o600)
        self.config = load(str(file), {}, folder / "no-site-file")
        self.hit: list[str] = []
        self.pdu = self.job = ""

    def lose_power(self) -> None:
        """The PDU dies: its exporters fall silent, most of its nodes are down for Slurm, two still run a job."""
        CLOCK.advance(120)
        self.machine.advance()
        self.hit = sorted(self.machine.incidents.affected)
        self.pdu = self.machine.host(self.hit[0]).pdu
        (self.job,) = self.lab.submit(user="alice", nodes=2, name="train_7b", nodelist=",".join(self.hit[:2]))
        self.lab.wait_jobs("RUNNING", [self.job])
        down = self.hit[2:]
        self.lab.stop_nodes(down)
        self.lab.check(["scontrol", "update", f"NodeName={','.join(down)}", "State=DOWN", "Reason=Not responding"])
        self.monitor.settle()
        for name in self.hit:
            self.am.wait_for_alerts(1, alertname="NodeDown", node=name, timeout=60)
        self.am.wait_for_alerts(1, alertname="PduPowerLost", timeout=60)

    def mend(self, broken: str) -> None:
        """Power is back and every slurmd with it; one GPU of one node is lost."""
        for name in self.hit:
            self.machine.repair_node(name)
        self.machine.failures.report_xid(self.machine.host(broken), 79, 3)
        self.lab.start_nodes(self.hit[2:])
        self.lab.cancel_all(20)
        self.monitor.settle()

    def reason(self, name: str) -> str:
        shown = self.lab.check(["scontrol", "show", "node", name])
        return next((line.partition("Reason=")[2] for line in shown.splitlines() if "Reason=" in line), "")


@pytest.fixture
async def night(lab_forky: Lab, monitor: Monitor, alertmanager_forky: Alertmanager, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{lab_forky.bin_dir}:/usr/bin:/bin")
    lab_forky.reset()
    made = Night(lab_forky, monitor, alertmanager_forky, tmp_path)
    yield made
    lab_forky.start_nodes(made.hit[2:])
    lab_forky.reset()


@pytest.fixture
async def op(night: Night) -> AsyncIterator[Operator]:
    """The person on call, at a console in a terminal of 120x40."""
    async with console_on(cluster_sources.choose(night.config, None)) as operator:
        await operator.until(lambda: {"alerts", "silences", "loads", "xids"} <= operator.cluster.known, "telemetry")
        yield operator


async def test_the_night(night: Night, op: Operator) -> None:
    lab, am = night.lab, night.am
    await asyncio.to_thread(night.lose_power)

    # One line for all of it, whatever else rings.
    await op.until(lambda: {one.labels.get("pdu") for one in op.cluster.alerts.values()} >= {night.pdu}, "the alerts")
    await op.until(lambda: {one.node for one in op.cluster.alerts.values()} >= set(night.hit), "those of the nodes")
    await op.press("6")
    await op.comes(night.pdu)
    await op.until(lambda: len(op.app.screen.targets("node")) == 8, "eight nodes under the cursor")  # type: ignore[attr-defined]
    op.sees("critical", "8")
    assert set(op.app.screen.targets("node")) == set(night.hit)  # type: ignore[attr-defined]

    # Five keys from the overview: 6, d, Enter, 8, Enter.
    await op.look_again()
    await op.until(lambda: night.job in op.cluster.jobs, "the job that it hits")
    await op.until(lambda: op.cluster.nodes[night.hit[-1]].display.startswith("down"), "what Slurm says of them")
    await op.press("d")
    await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the preview")
    op.sees("alice train_7b", "2 nodes", "16 GPUs", "Not responding")
    await op.confirm(reason="", answer="8")
    await op.until(lambda: all("DRAIN" in op.cluster.nodes[name].flags for name in night.hit), "the rack is drained")
    states = lab.node_states()
    assert all("DRAIN" in states[name] for name in night.hit)
    assert night.pdu in night.reason(night.hit[0]) and "Not responding" in night.reason(night.hit[-1])

    # Quiet: these alerts, and no other.
    ringing = len(op.app.screen.targets("alert"))  # type: ignore[attr-defined]
    assert ringing == 9
    await op.press("s")
    await op.confirm(reason="", answer=str(ringing))
    await op.until(lambda: op.cluster.silences, "the silence is seen")
    quiet = {one["labels"].get("node") for one in am.alerts() if one["status"]["state"] == "suppressed"}
    assert quiet >= set(night.hit)
    am.fire({"alertname": "NodeDown", "node": "gpu0063", "severity": "critical"}, {"summary": "another one"})
    await op.comes("NodeDown on 2 nodes")
    assert all(one["status"]["state"] == "active" for one in am.wait_for_alerts(1, node="gpu0063", severity="critical"))

    # It is written down, and the chain holds.
    path = journal_path("groningen", night.config)
    wait_for(lambda: "" if len(writer.unfinished(path)) == 0 else "an action has no result", 60)
    assert writer.verify(path).ok
    await op.press("8")
    await op.comes("8 done")
    op.sees("drain", "silence", "PduPowerLost")

    # Power is back. What is fit returns and is followed until it runs; what is not is left alone, and it says why.
    broken = night.hit[3]
    await asyncio.to_thread(night.mend, broken)
    await op.until(lambda: any(xid.node == broken and xid.code == 79 for xid in op.cluster.xids.values()), "the XID")
    await op.press("2")
    await op.look_again()
    op.list.table.mark(night.hit)
    await op.press("r")
    await op.comes("left alone")
    op.sees("XID 79", broken)
    await op.confirm(answer="7")
    await op.comes("registered, idle")
    states = lab.node_states()
    assert {states[name] for name in night.hit if name != broken} == {"IDLE"} and "DRAIN" in states[broken]

    # One drain too many is taken back (of a node whose GPUs rest: a busy one without a job would be held against it).
    wrong = night.hit[2]
    await op.select(wrong)
    await op.press("d")
    await op.confirm(reason="wrong node", answer="y")
    await op.comes(f"drained: {wrong}")
    await op.press("Z")
    await op.confirm(answer="y")
    await op.comes(f"undrained: {wrong}")
    assert "DRAIN" not in lab.node_states()[wrong]

    # And the alerts ring again for whoever comes next.
    await op.press("6")
    await op.press("tab")
    await op.until(lambda: op.app.screen.targets("silence"), "the silence under the cursor")  # type: ignore[attr-defined]
    await op.press("L")
    await op.confirm(answer="y")
    await op.until(lambda: sum(one["status"]["state"] == "active" for one in am.silences()) == 1, "one silence left")
    assert writer.verify(path).ok
