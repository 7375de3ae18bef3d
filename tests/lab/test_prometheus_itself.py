"""The monitoring lab itself: real servers that hold the machine's truth, and nothing left behind, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from collectors.sim.exporters.dcgm import ExporterOptions
from tests.support.paths import ROOT

from . import place
from .namespaces import in_namespace_of
from .place import wait_for
from .prometheus import ENGINES, Monitor, QueryError
from .roots import LabError
from .running import require_engine

UTIL = "avg by (Hostname) (max by (Hostname, gpu) (DCGM_FI_DEV_GPU_UTIL))"
WATTS = "sum by (Hostname) (max by (Hostname, UUID) (DCGM_FI_DEV_POWER_USAGE))"
RULES = f"""\
groups:
- name: lab
  rules:
  - record: lab:node_gpu_power_watts
    expr: {WATTS}
"""


def answers(url: str) -> bool:
    """Whether anybody is there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def test_it_answers_with_the_machines_truth(prometheus: Monitor) -> None:
    prometheus.settle()
    machine = prometheus.machine
    loads = machine.loads()
    assert prometheus.values(UTIL) == {name: pytest.approx(load.gpu_util_pct, abs=0.06) for name, load in loads.items()}
    assert prometheus.values(WATTS) == {name: load.gpu_power_w for name, load in loads.items()}
    racks = prometheus.values("sum by (rack) (pdu_power_watts)", "rack")
    assert racks == machine.power().rack_w
    bmc = prometheus.values("ipmi_dcmi_power_consumption_watts", "instance")
    assert {name: bmc[f"{name}:9290"] for name in loads} == {name: load.power_w for name, load in loads.items()}
    codes = prometheus.values("max by (Hostname) (DCGM_FI_DEV_XID_ERRORS)")
    assert {name for name, code in codes.items() if code} == {name for name, load in loads.items() if load.xid}
    ages = [float(row["value"][1]) for row in prometheus.query("time() - timestamp(DCGM_FI_DEV_GPU_UTIL)")]
    assert max(ages) < 30, "scraped every second, on whatever busy machine"


def test_a_node_that_goes_down_is_gone_and_comes_back(prometheus: Monitor) -> None:
    machine = prometheus.machine
    name = next(name for name, node in machine.nodes().items() if node.display == "allocated" and machine.gpus(name))
    machine.break_node(name)
    prometheus.wait_for_samples(f'DCGM_FI_DEV_FB_USED{{Hostname="{name}"}}', 0)
    prometheus.wait_for_samples(f'ipmi_dcmi_power_consumption_watts{{instance="{name}:9290"}}', 0)
    assert prometheus.values(f'up{{instance="{name}:9400"}}', "instance") == {f"{name}:9400": 0.0}
    machine.repair_node(name)
    prometheus.wait_for_samples(f'DCGM_FI_DEV_FB_USED{{Hostname="{name}"}}', 8)
    prometheus.wait_for_samples()


def test_odd_exporters_come_and_go(prometheus: Monitor) -> None:
    name = next(iter(prometheus.machine.loads()))
    mine = f'{{Hostname="{name}"}}'
    prometheus.exporter.options = ExporterOptions(two_exporters=frozenset({name}), jobs=True, shared=frozenset({name}))
    watts = prometheus.machine.loads()[name].gpu_power_w
    prometheus.wait_for_samples(f"count by (instance) (DCGM_FI_DEV_FB_USED{mine})", 2)
    prometheus.wait_for_samples()
    assert prometheus.values(WATTS)[name] == watts
    prometheus.exporter.options = ExporterOptions(hostname="hostname")
    prometheus.wait_for_samples(f'DCGM_FI_DEV_FB_USED{{hostname="{name}"}}', 8)
    prometheus.wait_for_samples(f"DCGM_FI_DEV_FB_USED{mine}", 0)
    prometheus.exporter.options = ExporterOptions(hangs=frozenset({name}))
    prometheus.wait_for_samples(f'up{{instance="{name}:9400"}} == 0', 1)
    prometheus.reset()
    assert prometheus.values(WATTS)[name] == watts


def test_it_can_be_given_the_past(prometheus: Monitor) -> None:
    machine, names = prometheus.machine, list(prometheus.machine.loads())[:2]
    count = prometheus.backfill(hours=12, step=60, nodes=names)
    assert count > 2 * 8 * 8 * 600
    prometheus.wait_for_samples()
    start, end = int(machine.now) // 600 * 600 - 11 * 3600, int(machine.now) // 600 * 600
    for name in names:
        (row,) = prometheus.query_range(f'avg(DCGM_FI_DEV_GPU_UTIL{{Hostname="{name}"}})', start, end, 600)
        said = {int(at): float(value) for at, value in row["values"]}
        assert len(said) > 60
        host, known = machine.host(name), 0
        for at, value in said.items():
            # The newest sample is at most one step older than the moment that was asked for.
            sampled = int(machine.now) - (int(machine.now) - at + 59) // 60 * 60
            levels = [level for level in machine.sensor_history.levels(host, sampled) if level is not None]
            if levels and at < end:
                assert value == pytest.approx(sum(level[0] for level in levels) / len(levels), abs=0.01)
                known += 1
        assert known > 50
    joules = prometheus.values(f'sum by (Hostname) (DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{Hostname="{names[0]}"}})')
    assert joules[names[0]] == pytest.approx(1000 * sum(gpu.energy_j or 0 for gpu in machine.gpus(names[0])), rel=1e-6)


def test_a_refusal_is_told_with_its_status(prometheus: Monitor) -> None:
    with pytest.raises(QueryError) as refused:
        prometheus.query("sum by (")
    assert refused.value.status in {400, 422} and "parse" in str(refused.value)


def test_all_engines_run_side_by_side(prometheus_2: Monitor, prometheus_3: Monitor, victoria: Monitor) -> None:
    assert len({monitor.url for monitor in (prometheus_2, prometheus_3, victoria)}) == 3
    for monitor in (prometheus_2, prometheus_3, victoria):
        assert monitor.query("vector(1)")[0]["value"][1] == "1"
    assert all(monitor.cell.port < 32_768 for monitor in (prometheus_2, prometheus_3, victoria))


@pytest.mark.lab
@pytest.mark.parametrize("engine", ENGINES)
def test_rules_are_loaded(engine: str, tmp_path: Path) -> None:
    require_engine(engine)
    rules = tmp_path / "lab-rules.yml"
    rules.write_text(RULES)
    with Monitor(engine, nodes=4, rules=[rules], per_node=False) as monitor:
        loads = monitor.machine.loads()
        monitor.wait_for_samples("lab:node_gpu_power_watts", len(loads))
        assert monitor.values("lab:node_gpu_power_watts") == {n: load.gpu_power_w for n, load in loads.items()}


@pytest.mark.lab
@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_that_hangs_can_be_healed(engine: str) -> None:
    require_engine(engine)
    with Monitor(engine, nodes=1) as monitor:
        monitor.signal_server(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            monitor._ask("/api/v1/query", {"query": "vector(1)"}, timeout=0.3)
        monitor.signal_server(signal.SIGCONT)
        assert monitor.query("vector(1)")


@pytest.mark.lab
@pytest.mark.parametrize("engine", ENGINES)
def test_stop_leaves_nothing(engine: str) -> None:
    require_engine(engine)
    monitor = Monitor(engine, nodes=2).start()
    state, url = monitor.cell.state, monitor.url
    assert state.init
    ours = in_namespace_of(state.init[0])
    assert len(ours) >= 2
    monitor.stop()
    assert [pid for pid in ours if Path(f"/proc/{pid}").exists()] == []
    assert not state.folder.exists() and place.find(state.name) is None
    assert not answers(url)
    monitor.stop()


@pytest.mark.lab
def test_the_owner_stays_idle_while_it_is_scraped() -> None:
    require_engine("victoria")
    with Monitor("victoria") as monitor:
        monitor.settle()
        asked, costs = monitor._shelf.asked(), []

        def missing() -> str:
            before = time.process_time()
            more = monitor._shelf.asked().total() - asked.total()
            costs.append(time.process_time() - before)
            return "" if more > 200 else "few scrapes"

        before = time.process_time()
        wait_for(missing, 60)
        spent = time.process_time() - before
        # It has asked how many there were, and nothing else: to serve one costs about as much as to ask.
        assert spent < 4 * len(costs) * min(costs)  # 1.5 where it was measured


@pytest.mark.lab
def test_a_killed_owner_takes_its_server_along() -> None:
    require_engine("prometheus-3")
    script = (
        "from tests.lab.prometheus import Monitor; monitor = Monitor(nodes=2).start();"
        "print(monitor.cell.state.name, monitor.exporter.port, flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout
        name, port = owner.stdout.readline().split()
        state = place.find(name)
        assert state and state.init
        ours = in_namespace_of(state.init[0])
        owner.send_signal(signal.SIGKILL)
    wait_for(lambda: "it lives" if any(Path(f"/proc/{pid}").exists() for pid in ours) else "", 60)
    wait_for(lambda: "its directory is there" if state.folder.exists() else "", 60)
    wait_for(lambda: "its exporters answer" if answers(f"http://127.0.0.1:{port}/asked") else "", 60)


@pytest.mark.lab
@pytest.mark.parametrize("engine", ["prometheus-2", "prometheus-3"])
def test_bad_rules_say_why_and_leave_nothing(engine: str, tmp_path: Path) -> None:
    require_engine(engine)
    rules = tmp_path / "bad.yml"
    rules.write_text("groups: [{name: bad, rules: [{record: x, expr: 'sum by ('}]}]\n")
    monitor = Monitor(engine, nodes=1, rules=[rules])
    began = time.monotonic()
    with pytest.raises(LabError, match=r"bad\.yml"):
        monitor.start()
    assert time.monotonic() - began < 40
    assert not [lab for lab in place.all_labs() if lab.owner == place.identity(os.getpid()) and lab.nodes == 1]
