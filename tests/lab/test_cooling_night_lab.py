"""The night of a cooling trip on real parts: a loop of four racks loses its flow on the simulated machine, a real
Prometheus fires wacht's own rules into a real Alertmanager, and a person on call takes the racks out of a live Slurm,
and brings them back in waves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from collectors.clock import ManualClock
from collectors.nodeset import fold
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.plant.cooling_queries import CoolingLimits
from collectors.prometheus.recording_rules import COOLING
from collectors.sim import SimSettings
from collectors.sim.cooling_incident import COLD_S
from collectors.sim.incidents import STARTS_S
from collectors.sim.machine import Machine
from console.alerts.alert_rules import RuleLimits, rule_file_text
from console.app.confirm_dialog import ConfirmDialog
from console.app.progress_dialog import ProgressDialog
from console.config.paths import journal_path
from console.config.settings import load
from console.gate import rollout
from console.journal import writer
from console.session import cluster_sources
from tests.support.make import change_of
from tests.support.operator import Operator, console_on

from .alertmanager import Alertmanager
from .place import wait_for
from .prometheus import Monitor
from .running import require_engine
from .slurm import Lab

pytestmark = pytest.mark.lab
CLOCK = ManualClock(now=time.time())
MINUTE = 60
LOOP, RACK = "cdu-02", 8
#: Racks of eight nodes: of a machine of 64 the loop has half, and flows at 269 l/min when it is well.
LIMITS = CoolingLimits(supply_high=34, return_high=50, flow_low=160)
CONFIG = """
[guard]
wave_from = 20
wave_pause_s = 1
ramp_kw_min = 500
node_kw = 7
[cluster.groningen]
alertmanager = {{ url = "{alertmanager}", interval_s = 1 }}
racks = {{ pattern = "gpu(?P<n>\\\\d{{4}})", nodes_per_rack = 8 }}
prometheus = {{ url = "{prometheus}", interval_s = 1 }}
[cluster.groningen.cooling]
supply_c = "cdu_supply_temperature_celsius"
return_c = "cdu_return_temperature_celsius"
flow_lpm = "cdu_flow_liters_per_minute"
leak = "redfish_leak_detector_state"
place_label = "detector"
limits = {{ supply_high = 34, return_high = 50, flow_low = 160 }}
"""


@pytest.fixture(scope="module")
def machine() -> Machine:
    """The machine that the telemetry is of: a CDU of it trips when its clock is moved."""
    made = Machine(SimSettings(nodes=64, nodes_per_rack=RACK, incident="cooling"), CLOCK)
    for host in made.site.hosts:
        made.repair_node(host.name)
    return made


@pytest.fixture(scope="module")
def monitor(machine: Machine, alertmanager_forky: Alertmanager, tmp_path_factory) -> Iterator[Monitor]:
    """Prometheus with the rules that ship, which ring in the Alertmanager."""
    require_engine("prometheus-3")
    alertmanager_forky.reset()
    file = tmp_path_factory.mktemp("rules") / "wacht-alerts.yml"
    settings = PrometheusSettings(url="http://unused", cooling=msgspec.structs.replace(COOLING, limits=LIMITS))
    file.write_text(rule_file_text(settings, limits=RuleLimits(waits=False, rack_w=10**9)))
    with Monitor("prometheus-3", machine=machine, rules=[file], alertmanager=alertmanager_forky.url) as started:
        started.wait_for_samples()
        yield started
    alertmanager_forky.reset()


class Night:
    """What is there when the phone rings."""

    def __init__(self, lab: Lab, monitor: Monitor, am: Alertmanager, folder: Path) -> None:
        self.lab, self.monitor, self.am, self.machine, self.folder = lab, monitor, am, monitor.machine, folder
        file = folder / "config.toml"
        file.write_text(CONFIG.format(prometheus=monitor.url, alertmanager=am.url))
        file.chmod(0o600)
        self.config = load(str(file), {}, folder / "no-site-file")
        self.nodes = [host.name for host in self.machine.site.hosts if host.loop.name == LOOP]
        self.off = self.nodes[8:12]
        self.jobs: list[str] = []
        self.other = ""
        self.told = lab.folder / "told"

    def trip(self) -> None:
        """The pump stops. Two jobs run on the racks, one elsewhere; four nodes are off already."""
        place = f"{self.lab.state.place}/told"
        self.told.touch()
        self.told.chmod(0o666)  # the jobs are Alice's
        script = f"trap 'echo told >> {place}' USR1; while :; do sleep 0.2; done"
        for where in (self.nodes[:4], self.nodes[16:18]):
            self.jobs += self.lab.submit(user="alice", nodes=len(where), nodelist=",".join(where), script=script,
                                         name="train_7b")  # fmt: skip
        (self.other,) = self.lab.submit(nodelist="gpu0001", name="elsewhere")
        self.lab.wait_jobs("RUNNING", [*self.jobs, self.other])
        self.lab.stop_nodes(self.off)
        self.lab.check(["scontrol", "update", f"NodeName={','.join(self.off)}", "State=DOWN", "Reason=Not responding"])
        CLOCK.advance(STARTS_S + 6 * MINUTE)
        self.machine.advance()
        self.monitor.settle()
        self.am.wait_for_alerts(1, alertname="CoolantFlowLow", timeout=60)
        wait_for(lambda: "" if any(one["labels"]["alertname"] == "GpuHot" for one in self.am.alerts()) else "cool", 60)

    def mend(self) -> None:
        """The pump runs, the water is cold, the nodes have power; on the machine nothing runs on them any more."""
        trip = self.machine.incidents.cooling_trip
        assert trip is not None
        for name in self.nodes:
            self.machine.repair_node(name)
        self._change("drain", "node", self.nodes, "cooling")
        on = {index for index, host in enumerate(self.machine.site.hosts) if host.name in set(self.nodes)}
        runs = self.machine.queue.runs
        self._change("cancel", "job", [job for job in runs if on & set(runs[job].hosts)])
        trip.repair()
        CLOCK.advance(COLD_S + 5 * MINUTE)
        self.machine.advance()
        for name in self.nodes:
            self.machine.repair_node(name)
        self._change("drain", "node", [one for one in self.nodes if not self.machine.host(one).drain], "cooling")
        self.lab.start_nodes(self.off)
        self.monitor.settle()

    def _change(self, action: str, kind: str, targets: list[str], reason: str | None = None) -> None:
        if targets:
            self.machine.apply(change_of(action=action, kind=kind, targets=tuple(targets), reason=reason))

    def partition(self, name: str) -> str:
        return self.lab.check(["scontrol", "show", "partition", name]).partition("State=")[2].split()[0]


@pytest.fixture
async def night(lab_forky: Lab, monitor: Monitor, alertmanager_forky: Alertmanager, tmp_path, monkeypatch):
    monkeypatch.setattr(rollout, "TELEMETRY_POLL_S", 1.0)  # it is scraped every second here
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{lab_forky.bin_dir}:/usr/bin:/bin")
    lab_forky.reset()
    made = Night(lab_forky, monitor, alertmanager_forky, tmp_path)
    yield made
    lab_forky.check(["scontrol", "update", "PartitionName=long", "State=UP"])
    lab_forky.start_nodes(made.off)
    lab_forky.reset()
    made.told.unlink(missing_ok=True)


@pytest.fixture
async def op(night: Night) -> AsyncIterator[Operator]:
    """The person on call."""
    async with console_on(cluster_sources.choose(night.config, None), guard=night.config.guard) as operator:
        known = {"alerts", "silences", "loads", "cooling"}
        await operator.until(lambda: known <= operator.cluster.known, "telemetry")
        try:
            yield operator
        finally:
            operator.app.acting.stop_sending()


async def asked(op: Operator) -> ConfirmDialog:
    await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the preview")
    await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
    return op.dialog


async def test_the_night_of_the_cooling(night: Night, op: Operator) -> None:
    lab, am, nodes = night.lab, night.am, night.nodes
    await asyncio.to_thread(night.trip)

    # One line for the loop and all that grows hot on it.
    await op.until(
        lambda: {"CoolantFlowLow", "GpuHot"} <= {one.name for one in op.cluster.alerts.values()}, "the alerts"
    )
    await op.press("6")
    await op.comes(f"{LOOP}: flow")
    await op.until(lambda: set(op.app.screen.targets("node")) == set(nodes), "its nodes under the cursor")  # type: ignore[attr-defined]

    # Declared once, by its name.
    await op.command(f"incident {LOOP} cooling lost its flow")
    await asked(op)
    op.sees("INCIDENT", "shown to everybody")
    await op.confirm(answer=LOOP)
    await op.comes(f"INCIDENT {LOOP}")
    assert sum(one["status"]["state"] == "active" for one in am.silences()) == 1

    # Inside it one key each: the partition, and the nodes, which are more than half of the large one.
    await op.command("partition-down long cooling")
    assert (await asked(op)).plan.incident == LOOP
    await op.confirm(answer="y")
    await asyncio.to_thread(wait_for, lambda: "" if night.partition("long") == "DOWN" else "it is up", 20)
    await op.look_again()
    await op.command(f"drain @loop:{LOOP} cooling")
    dialog = await asked(op)
    assert (dialog.plan.confirmation.kind, dialog.plan.incident, len(dialog.plan.rows)) == ("plain", LOOP, len(nodes))
    op.sees("inside", "train_7b")
    await op.confirm(answer="y")
    await op.until(lambda: all("DRAIN" in op.cluster.nodes[name].flags for name in nodes), "the racks are drained")
    assert "DRAIN" not in lab.node_states()["gpu0001"]

    # The jobs on them are told, and then ended: each a frozen list, each with its count.
    await op.command(f"signal @loop:{LOOP} B:USR1")
    assert (await asked(op)).plan.change.targets == tuple(night.jobs)
    await op.confirm(answer="2")
    await asyncio.to_thread(
        wait_for, lambda: "" if night.told.read_text().count("told") == 2 else "not both were told", 20
    )
    await op.look_again()
    await op.command(f"cancel @loop:{LOOP}")
    await asked(op)
    op.sees("kills")
    await op.confirm(answer="2")
    await op.until(
        lambda: not set(night.jobs) & {job for on in nodes for job in op.cluster.jobs_on.get(on, ())}, "ended"
    )
    assert lab.job_states([night.other]) == {night.other: "RUNNING"}

    # The water is cold again. What is fit comes back: the canary rack, a tenth, the rest.
    await asyncio.to_thread(night.mend)
    await op.until(lambda: not any(one.name == "GpuHot" for one in op.cluster.alerts.values()), "nothing is hot")
    ill = nodes[-1]
    await op.look_again()
    await op.command(f"resume @loop:{LOOP} --canary R06")
    plan = (await asked(op)).plan
    assert plan.waves is not None and plan.waves.waves[0].name == "canary R06"
    op.sees("in waves", "kW a minute")
    back = list(plan.change.targets)
    assert ill in back and len(back) > 20
    await op.confirm(answer=str(len(back)))
    await op.until(lambda: isinstance(op.app.screen, ProgressDialog), "the progress")
    # While the canary comes back one of the others loses a GPU.
    night.machine.failures.report_xid(night.machine.host(ill), 79, 3)
    await asyncio.to_thread(night.monitor.settle)
    for _ in range(90):
        if not op.app.session.sending:
            break
        await asyncio.sleep(1)
        await op.pilot.pause()
    await op.comes("nothing more is sent")
    op.sees("canary R06: 8 back", "2 back, 1 set aside", f"set aside  {ill}", "XID 79")
    states = lab.node_states()
    # It was looked at again before its wave went out: it was never sent, and is drained as before.
    assert "DRAIN" in states[ill]
    fit = [name for name in back if name != ill]
    assert {states[name] for name in fit} == {"IDLE"}, fold(one for one in fit if states[one] != "IDLE")
    await op.press("escape")

    # Open again, and over.
    await op.command("partition-up long")
    await asked(op)
    await op.confirm(answer="y")
    await asyncio.to_thread(wait_for, lambda: "" if night.partition("long") == "UP" else "it is down", 20)
    await op.command("incident end")
    await asked(op)
    await op.confirm(answer="y")
    await op.until(lambda: "INCIDENT" not in op.screen(), "it has ended")

    # It is all written down, and whoever comes next is told.
    path = journal_path("groningen", night.config)
    await asyncio.to_thread(
        wait_for, lambda: "" if not writer.unfinished(path) else "an action has no result", 20)  # fmt: skip
    assert writer.verify(path).ok
    waves = [line["wave"] for line in writer.read(path) if line.get("wave")]
    assert waves == [wave.name for wave in plan.waves.waves]
    report = night.folder / "report.md"
    await op.command(f"report 12h {report}")
    await op.until(report.exists, "the report")
    said = " ".join(report.read_text().split())
    done = ("incident gpu", "partition-down long", "drain gpu", "signal ", "cancel ", "partition-up long", "lift ")
    for word in (*done, f"{len(fit)} done, 1 dropped, of them 1 set aside"):
        assert word in said, f"{word} is not in the report:\n{said}"
    await op.press("B")
    await op.comes("Hand-over")
