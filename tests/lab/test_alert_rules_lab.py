"""A fault of the simulated machine makes a real Prometheus fire the rules that ship; a real Alertmanager holds it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from collectors.alertmanager import AlertmanagerSettings
from collectors.alertmanager.sources import open_sources
from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.exporters.dcgm import ExporterOptions
from collectors.sim.machine import Machine
from console.alerts.alert_rules import RuleLimits, rule_file_text
from console.health.xid_policy import default_policy

from .alertmanager import Alertmanager
from .place import wait_for
from .prometheus import Monitor
from .promtool import promtool
from .roots import SUITES
from .running import require_engine

#: Engine and the suite of the Alertmanager beside it: between them every version is seen, and vmalert too.
PAIRS = {"prometheus-2": "forky", "prometheus-3": "trixie", "victoria": "forky"}


@pytest.mark.lab
@pytest.mark.parametrize("suite", SUITES)
def test_promtool_finds_nothing_wrong(suite: str, tmp_path) -> None:
    assert "SUCCESS: 21 rules found" in promtool(suite, tmp_path.name, "check", "rules", "@/rules.yml")


#: Series with a sample a minute (an hour for those of a week), when to look, and the labels under which it rings then.
RINGS: dict[str, tuple[str, str, str, dict[str, str] | None]] = {
    "RackPowerHigh": ('pdu_power_watts{rack="R07",pdu="a"}', "70000x20", "10m", {"rack": "R07"}),
    "GpuHot": ('DCGM_FI_DEV_GPU_TEMP{Hostname="gpu0007",gpu="3"}', "91x20", "10m", {"node": "gpu0007", "gpu": "3"}),
    # A 45 takes the place of the 62 in the gauge, and hides it no longer than that.
    "GpuXid": (
        'DCGM_FI_DEV_XID_ERRORS{Hostname="gpu0007",gpu="3"}', "0 62x2 45x40", "30m",
        {"node": "gpu0007", "gpu": "3", "xid": "62", "severity": "critical"},
    ),
    "GpuRowRemapFailed": (
        'DCGM_FI_DEV_ROW_REMAP_FAILURE{hostname="gpu0007.example",gpu="3"}', "1x20", "2m",
        {"node": "gpu0007.example", "gpu": "3"},
    ),
    "SlurmctldSilent": ('up{job="slurmctld",instance="ctl:6817"}', "0x20", "5m", {"job": "slurmctld"}),
    "NodesLost": ("slurm_nodes_down", "1x20 6x20", "30m", {}),
    "DrainedTooLong": ("slurm_nodes_drain", "3x400", "192h", {}),
    "CoolantLeak": (
        'redfish_leak_detector_state{cdu="cdu-2",rack="R07",detector="tray 4"}', "0x5 2x20", "7m",
        {"cdu": "cdu-2", "rack": "R07", "detector": "tray 4"},
    ),
    "CoolantFlowLow": ('cdu_flow_liters_per_minute{cdu="cdu-2"}', "500x5 40x20", "8m", {"cdu": "cdu-2"}),
    "CoolantSupplyWarm": ('cdu_supply_temperature_celsius{cdu="cdu-2"}', "30x5 36x20", "10m", {"cdu": "cdu-2"}),
    "PortDown": (
        'node_infiniband_state_id{instance="gpu0007:9100",device="mlx5_3",port="1"}', "1x20", "5m",
        {"node": "gpu0007", "device": "mlx5_3"},
    ),
    "PortFlapping": (
        'node_infiniband_link_downed_total{instance="gpu0007:9100",device="mlx5_3",port="1"}', "1x60 4x60", "90m",
        {"node": "gpu0007", "device": "mlx5_3"},
    ),
    "PortSlow": (
        'node_infiniband_rate_bytes_per_second{instance="gpu0007:9100",device="mlx5_3",port="1"}', "25000000000x20",
        "15m", {"node": "gpu0007", "device": "mlx5_3"},
    ),
    "FileSystemHangs": (
        'node_filesystem_device_error{instance="gpu0007:9100",fstype="lustre",mountpoint="/scratch",device="m:/fs1"}',
        "1x20", "5m", {"node": "gpu0007", "mountpoint": "/scratch"},
    ),
}  # fmt: skip
QUIET: dict[str, tuple[str, str, str, dict[str, str] | None]] = {
    "RackPowerHigh": ('pdu_power_watts{rack="R07",pdu="a"}', "60000x20", "10m", None),
    "GpuHot": ('DCGM_FI_DEV_GPU_TEMP{Hostname="gpu0007",gpu="3"}', "80x20", "10m", None),
    "GpuXid": ('DCGM_FI_DEV_XID_ERRORS{Hostname="gpu0007",gpu="3"}', "0 45x40", "30m", None),
    "GpuRowRemapFailed": ('DCGM_FI_DEV_ROW_REMAP_FAILURE{hostname="gpu0007",gpu="3"}', "0x20", "2m", None),
    "SlurmctldSilent": ('up{job="slurmctld",instance="ctl:6817"}', "1x20", "5m", None),
    "NodesLost": ("slurm_nodes_down", "1x20 3x20", "30m", None),
    "DrainedTooLong": ("slurm_nodes_drain", "3x100 0 3x300", "192h", None),
    "CoolantLeak": ('redfish_leak_detector_state{cdu="cdu-2",rack="R07",detector="tray 4"}', "0x20", "7m", None),
    "CoolantFlowLow": ('cdu_flow_liters_per_minute{cdu="cdu-2"}', "500x20", "8m", None),
    "CoolantSupplyWarm": ('cdu_supply_temperature_celsius{cdu="cdu-2"}', "33x20", "10m", None),
    # No other node has this device up: it has no cable.
    "PortDown": ('node_infiniband_state_id{instance="gpu0007:9100",device="mlx5_9",port="1"}', "1x20", "5m", None),
    "PortFlapping": (
        'node_infiniband_link_downed_total{instance="gpu0007:9100",device="mlx5_3",port="1"}',
        "1x60 2x60",
        "90m",
        None,
    ),
    "PortSlow": (
        'node_infiniband_rate_bytes_per_second{instance="gpu0007:9100",device="mlx5_3",port="1"}',
        "50000000000x20",
        "15m",
        None,
    ),
    "FileSystemHangs": (
        'node_filesystem_device_error{instance="gpu0007:9100",fstype="ext4",mountpoint="/",device="/dev/sda1"}',
        "1x20",
        "5m",
        None,
    ),
}


def _neighbours(series: str) -> list[dict[str, str]]:
    """What the ports of other nodes say: what is usual."""
    found = []
    for name, value in (("node_infiniband_state_id", "4"), ("node_infiniband_rate_bytes_per_second", "50000000000")):
        for node in ("gpu0007", "gpu0008", "gpu0009"):
            labels = f'{{instance="{node}:9100",device="mlx5_3",port="1"}}'
            if f"{name}{labels}" != series:
                found.append({"series": f"{name}{labels}", "values": f"{value}x20"})
    return found


@pytest.mark.lab
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("cases", [RINGS, QUIET], ids=["rings", "quiet"])
def test_rules_without_a_fault_of_the_machine_ring_in_promtool(suite: str, cases, tmp_path) -> None:
    tests = []
    for name, (series, values, at, labels) in cases.items():
        # The second PDU of the rack, which lets the sum be seen.
        inputs = [{"series": series, "values": values}]
        if name == "RackPowerHigh":
            inputs.append({"series": series.replace('"a"', '"b"'), "values": values})
        if name in {"PortDown", "PortSlow"}:
            inputs += _neighbours(series)
        tests.append({
            "interval": "1h" if at.endswith("h") else "1m",
            "input_series": inputs,
            "promql_expr_test": [{
                "expr": f'count by (alertname) (ALERTS{{alertname="{name}",alertstate="firing"}})',
                "eval_time": at,
                "exp_samples": [] if labels is None else [{"labels": f'{{alertname="{name}"}}', "value": 1}],
            }] + ([] if not labels else [{
                "expr": f'count(ALERTS{{alertname="{name}",{",".join(f"{k}={v!r}" for k, v in labels.items())}}})',
                "eval_time": at, "exp_samples": [{"labels": "{}", "value": 1}],
            }]),
        })  # fmt: skip
    for every in ("1m", "1h"):  # a week by the minute takes promtool a minute and a half
        some = [one for one in tests if one["interval"] == every]
        body = json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": some})
        assert some and "SUCCESS" in promtool(suite, tmp_path.name, "test", "rules", "@/tests.yml", tests=body)


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
    file.write_text(rule_file_text(limits=RuleLimits(waits=False, rack_w=10**9)))
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
    night.monitor.exporter.options = ExporterOptions(silent=frozenset({quiet}))
    exporter = night.monitor.exporter
    mute = {name for name in machine.nodes() if machine.node_power(name) is not None and not exporter.gpus(name)}
    silent = night.wait("ExporterSilent", *mute)[quiet]
    assert silent.severity == "warning" and silent.labels["job"] == "dcgm" and "silent" in silent.summary
    # XIDs as the policy has them.
    standing_xids = {name: load.xid for name, load in machine.loads().items() if load.xid is not None}
    before = {
        name for name, code in standing_xids.items() if (advice := default_policy().advice_for(code)) and advice.acts
    }
    night.wait("GpuXid", *before)
    for name, code in ((lost, 79), (odd, 63), (ill, 31)):
        machine.failures.report_xid(machine.host(name), code, 2)
    rings = night.wait("GpuXid", *before, lost, odd, ill)
    for name, code, severity in ((lost, 79, "critical"), (odd, 63, "warning"), (ill, 31, "info")):
        one = rings[name]
        assert (one.severity, one.labels["xid"], one.labels["gpu"]) == (severity, str(code), "2")
        assert f"XID {code} on GPU 2 of {name}" in one.summary
        assert one.annotations["runbook_url"] == "https://runbooks.example.org/GpuXid"
    # A power unit dies: it rings itself, and each of its nodes.
    night.clock.advance(120)
    machine.advance()
    hit = machine.incidents.affected
    assert len(hit) == 8
    down = {name for name, node in machine.nodes().items() if node.state == "DOWN"}
    assert down >= set(hit)
    rings = night.wait("NodeDown", *down)
    assert all(one.severity == "critical" and one.labels["node"] == one.node for one in rings.values())
    rack, pdu = machine.host(hit[0]).rack, machine.host(hit[0]).pdu
    (lost_pdu,) = night.wait("PduPowerLost", rack).values()
    assert (lost_pdu.labels["pdu"], lost_pdu.severity) == (pdu, "critical")
    # Mended, it is over.
    machine.repair_node(hit[0])
    night.wait("NodeDown", *(down - {hit[0]}))
