"""The Prometheus collector against real servers: the same queries, the same facts on each, and the machine's truth."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from collectors.model import Facts, SourceFault
from collectors.prometheus import PowerSettings
from collectors.prometheus.recording_rules import FILE
from collectors.prometheus.sources import Loads, PowerSource, open_telemetry
from collectors.sim.exporters.dcgm import ExporterOptions
from tests.faults import fault

from .gpu_truth import BMC, POWER, assert_same_gpus, assert_true, settings, turn_odd
from .place import wait_for
from .prometheus import ENGINES, Monitor
from .roots import SUITES, root_of
from .running import require, require_engine


def read(monitor: Monitor, **more: object) -> Facts:
    return Loads(settings(monitor, **more)).collect()


def told(facts: Facts) -> dict[str, tuple[object, ...]]:
    """What is said of each node, whichever way it was asked for."""
    assert facts.loads is not None
    return {
        name: (one.gpu_util_pct, one.gpu_memory_pct, one.temp_c, one.power_w, one.gpu_power_w, one.gpus_seen,
               one.gpus_idle, one.xid)
        for name, one in facts.loads.items()
    }  # fmt: skip


# -- loads -------------------------------------------------------------------------------------------------------------


def test_loads_are_the_machines_truth(prometheus: Monitor) -> None:
    prometheus.settle()
    facts = read(prometheus, power=POWER)
    silent = frozenset(facts.loads or {}) - prometheus.machine.loads().keys()
    assert_true(prometheus, facts, silent)
    for name, load in (facts.loads or {}).items():
        assert load.power_w == prometheus.machine.node_power(name)
        if name in silent:  # its exporter is silent, its BMC is not
            assert load.gpus_seen is load.gpu_util_pct is load.sampled_at is load.gpu_power_w is None
    assert all(load.power_w is None for load in (read(prometheus).loads or {}).values())


def test_xids_are_the_machines_truth(prometheus: Monitor) -> None:
    prometheus.settle()
    machine, source = prometheus.machine, Loads(settings(prometheus))
    name = next(name for name, load in machine.loads().items() if load.xid is None and machine.gpus(name))
    prometheus.backfill(hours=0.2, nodes=[name])
    prometheus.settle()
    source.collect()
    machine.failures.report_xid(machine.host(name), 48, 3)
    prometheus.settle()
    for facts in (source.collect(), read(prometheus)):  # by one who watched, and by one who comes later
        assert facts.xids is not None and facts.loads is not None
        row = facts.xids[f"{name}/3/48"]
        assert row.uuid == machine.gpus(name)[3].uuid and row.count == 1
        assert row.first_at == row.last_at and row.last_at is not None and abs(time.time() - row.last_at) < 200
        shown = {(gpu.node, gpu.index, gpu.xid) for node in machine.loads() for gpu in machine.gpus(node) if gpu.xid}
        assert {(row.node, row.gpu, row.code) for row in facts.xids.values()} == shown
        assert {node for node, load in facts.loads.items() if load.xid} == {node for node, _, _ in shown}
    machine.failures.report_xid(machine.host(name), 31, 3)
    prometheus.settle()
    rows = source.collect().xids
    assert rows is not None and {rows[f"{name}/3/48"].count, rows[f"{name}/3/31"].count} == {1}


def _well(monitor: Monitor) -> str:
    """A node without an XID."""
    loads = monitor.machine.loads()
    return next(name for name, load in loads.items() if load.xid is None and monitor.machine.gpus(name))


def test_an_xid_that_another_follows_between_two_steps_is_told(prometheus: Monitor) -> None:
    machine, name = prometheus.machine, _well(prometheus)
    prometheus.backfill(hours=0.2, nodes=[name])
    prometheus.settle()
    gauge = f'DCGM_FI_DEV_XID_ERRORS{{Hostname="{name}",gpu="3"}}'
    machine.failures.report_xid(machine.host(name), 62, 3)
    prometheus.settle()

    def missing() -> str:
        """As long as a scrape interval of a site; no step of a minute sees it for certain."""
        # Oddities of the test before may have left a series of other labels in this minute.
        rows = prometheus.query(f"{gauge}[1m]")
        seen = [at for row in rows for at, value in row["values"] if value == "62"]
        return "" if seen and max(seen) - min(seen) >= 11 else "the 62 does not stand for 11 s yet"

    wait_for(missing, 60)
    machine.failures.report_xid(machine.host(name), 45, 3)
    prometheus.settle()
    assert prometheus.values(gauge, "gpu") == {"3": 45}, "the gauge keeps the last alone"
    facts = read(prometheus)  # by one who comes later
    assert facts.xids is not None and facts.loads is not None
    row = facts.xids[f"{name}/3/62"]
    assert row.count == 1 and row.last_at is not None and abs(time.time() - row.last_at) < 200
    assert facts.xids[f"{name}/3/45"].count == 1 and facts.loads[name].xid == 62
    assert not facts.warnings


@pytest.mark.lab
@pytest.mark.parametrize("engine", ENGINES)
def test_an_xid_that_another_follows_between_two_scrapes_is_told_where_they_are_counted(engine: str) -> None:
    require_engine(engine)
    with Monitor(
        engine, odd=ExporterOptions(extra=True)
    ) as monitor:  # of its own: its clock runs ahead of the server's
        machine, name = monitor.machine, _well(monitor)
        monitor.backfill(hours=0.2, nodes=[name])
        monitor.settle()
        for code in (62, 45):
            machine.failures.report_xid(machine.host(name), code, 5)
        monitor.settle()
        assert monitor.query(f'DCGM_FI_DEV_XID_ERRORS{{Hostname="{name}",gpu="5"}} == 62') == []
        facts = read(monitor)
        assert facts.xids is not None and facts.loads is not None
        assert f"{name}/5/62" in facts.xids and facts.loads[name].xid == 62
        monitor.clock.advance(400)  # the exporter's window is over: its past tells still
        machine.advance()
        monitor.settle()
        assert monitor.query(f'DCGM_EXP_XID_ERRORS_COUNT{{Hostname="{name}",gpu="5",xid="62"}}') == []
        facts = read(monitor)
        assert facts.xids is not None and facts.xids[f"{name}/5/62"].count == 1


def test_the_past_of_an_xid_is_found(prometheus: Monitor) -> None:
    machine = prometheus.machine
    old = next(
        row for row in machine.xids().values() if row.gpu is not None and row.first_at and machine.gpus(row.node)
    )
    assert old.first_at is not None and old.gpu is not None
    hours = min(20.0, (machine.now - old.first_at) / 3600 + 1)
    prometheus.backfill(hours=hours, nodes=[old.node], fields=["DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_GPU_TEMP"])
    prometheus.settle()
    found_rows = read(prometheus).xids
    assert found_rows is not None
    code = machine.gpus(old.node)[old.gpu].xid
    found, true = found_rows[f"{old.node}/{old.gpu}/{code}"], machine.xids()[f"{old.node}/{old.gpu}/{code}"]
    if hours < 20:
        assert found.count == 1 and found.last_at == pytest.approx(true.first_at, abs=180)
    else:
        assert found.count is found.last_at is None


@pytest.mark.lab
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("label", ["hostname", ""])
def test_the_host_label_may_be_spelt_otherwise(engine: str, label: str) -> None:
    require_engine(engine)
    # A server of its own: a past that was written to the shared one has no end, and stands beside the new labels.
    with Monitor(engine, odd=ExporterOptions(hostname=label)) as monitor:
        monitor.wait_for_samples()
        monitor.settle()

        def missing() -> str:
            # VictoriaMetrics finds series of new labels by each of their names a while late.
            try:
                assert_true(monitor, read(monitor))
                if not label:
                    assert_true(monitor, read(monitor, host_labels=("instance",)))
            except (AssertionError, SourceFault) as error:
                return str(error)
            return ""

        wait_for(missing, 60)
        if label:
            return
        with pytest.raises(SourceFault, match="the series of GPUs and XIDs have no label Hostname"):
            read(monitor, host_labels=("Hostname",))
        mapped = read(monitor, host_labels=("instance",), node="gpu(.*):9400").loads
        assert mapped is not None and mapped.keys() == {name[3:] for name in monitor.machine.loads()}
        node = next(iter(monitor.machine.loads()))
        telemetry = open_telemetry("x", settings(monitor, host_labels=("instance",), node="gpu(.*):9400"))
        assert len(telemetry.gpus([node[3:]])[node[3:]]) == 8

        def unseen() -> str:
            charts = telemetry.history(node[3:], 900)
            return "" if charts and any(value is not None for _, value in charts[0].points) else "a server just started"

        wait_for(unseen, 60)


def test_every_gpu_counts_once(prometheus: Monitor) -> None:
    one, two, three = list(prometheus.machine.loads())[:3]
    turn_odd(
        prometheus,
        ExporterOptions(two_exporters=frozenset({one}), jobs=True, shared=frozenset({two}), mig=frozenset({three})),
    )
    assert_true(prometheus, read(prometheus))
    telemetry = open_telemetry("x", settings(prometheus))
    found = telemetry.gpus([one, two, three])
    for name in (one, two, three):
        assert_same_gpus(found[name], prometheus.machine.gpus(name))
        assert {gpu.mig for gpu in found[name]} == {True if name == three else None}
    jobs = {gpu.job for gpu in prometheus.machine.gpus(one)}
    assert {gpu.job for gpu in found[one]} == jobs
    assert all(gpu.job is None or "," in gpu.job for gpu in found[two])


@fault("Prometheus", "exporters that are silent, hang or say NaN", "gaps of those nodes, and no others")
def test_silence_and_nan_are_gaps(prometheus: Monitor) -> None:
    one, two, three = list(prometheus.machine.loads())[:3]
    prometheus.exporter.options = ExporterOptions(
        silent=frozenset({one}), nan=frozenset({two}), hangs=frozenset({three})
    )
    prometheus.settle()
    prometheus.wait_for_samples()
    facts = read(prometheus)
    assert_true(prometheus, facts, frozenset({one, two, three}))
    assert facts.loads is not None and not {one, three} & facts.loads.keys()
    if not prometheus.kind.victoria:  # which keeps no NaN: there the value before stands until it is old
        assert facts.loads[two].gpu_util_pct is facts.loads[two].util_gpus is None
        (said,) = [text for text in facts.warnings if "utilisation" in text]
        assert said == f"1 node with a GPU whose utilisation is not exported, or is NaN: no mean counts it ({two})"
    assert open_telemetry("x", settings(prometheus)).gpus([one, two, three]).keys() == {two}


# -- power -------------------------------------------------------------------------------------------------------------


def test_power_names_its_source(prometheus: Monitor) -> None:
    prometheus.settle()
    machine = prometheus.machine
    power = PowerSource(settings(prometheus, power=POWER)).collect().power
    truth = machine.power()
    assert power is not None and (power.source, power.budget_w) == ("PDU", 600_000)
    assert (power.site_w, power.rack_w) == (truth.site_w, truth.rack_w)
    bmc = PowerSource(settings(prometheus, power=PowerSettings(node_series=BMC))).collect().power
    assert bmc is not None and bmc.source == "BMC"
    assert bmc.site_w == sum(machine.node_power(name) or 0.0 for name in machine.site.by_name)
    gpus = PowerSource(settings(prometheus, power=PowerSettings(source="the GPUs alone"))).collect().power
    assert gpus is not None and gpus.source == "the GPUs alone"
    assert gpus.site_w == sum(load.gpu_power_w or 0.0 for load in machine.loads().values())
    with pytest.raises(SourceFault, match="no series pdu_watts"):
        PowerSource(settings(prometheus, power=PowerSettings(rack_series="pdu_watts"))).collect()


# -- on demand ---------------------------------------------------------------------------------------------------------


def test_every_gpu_of_the_nodes_on_the_screen(prometheus: Monitor) -> None:
    prometheus.settle()
    machine = prometheus.machine
    telemetry = open_telemetry("x", settings(prometheus))
    names = [*machine.site.by_name, "gpu9999", "a|b", '"}']
    found = telemetry.gpus(names)
    assert found.keys() == machine.loads().keys()
    for name in found:
        assert_same_gpus(found[name], machine.gpus(name))


def test_charts_and_energy(prometheus: Monitor) -> None:
    machine = prometheus.machine
    name = next(iter(machine.loads()))
    prometheus.backfill(hours=3, nodes=[name])
    prometheus.wait_for_samples()
    telemetry = open_telemetry("x", settings(prometheus, power=POWER))
    for seconds, step, known in ((3600, 20, 170), (6 * 3600, 120, 80), (86_400, 600, 16)):
        series = telemetry.history(name, seconds)
        assert [(one.name, one.unit) for one in series] == [
            ("utilisation", "%"), ("memory", "%"), ("temperature", "°C"), ("power", "W"),
        ]  # fmt: skip
        for one in series:
            assert {b[0] - a[0] for a, b in zip(one.points, one.points[1:], strict=False)} == {step}
            assert len(one.points) == seconds // step + 1 <= 201
            assert sum(value is not None for _, value in one.points) >= known, (one.name, seconds)
    hour = dict(telemetry.history(name, 3600)[0].points)
    for at, value in list(hour.items())[:100]:
        sampled = int(machine.now) - (int(machine.now) - at + 59) // 60 * 60
        levels = [level for level in machine.sensor_history.levels(machine.host(name), sampled) if level is not None]
        before = [
            level for level in machine.sensor_history.levels(machine.host(name), sampled - 60) if level is not None
        ]
        allowed = [sum(level[0] for level in some) / len(some) for some in (levels, before) if some]
        assert value is None or any(value == pytest.approx(one, abs=0.1) for one in allowed)
    assert [one.unit for one in telemetry.site_history(3600)] == ["W", "%"]
    assert telemetry.history("gpu9999", 3600) == ()
    since = int(machine.now) - 7200
    used = telemetry.energy_j([name], since)
    assert used == pytest.approx(machine.energy([name], since), rel=0.05)
    # The server is shared by the session, so other tests may have given other nodes a past; none reaches back so far.
    assert telemetry.energy_j([name], since - 30 * 86_400) is None, "no counter reaches back so far"


# -- faults and rules --------------------------------------------------------------------------------------------------


@fault(
    "Prometheus",
    "the server frozen (SIGSTOP)",
    "a fault within the deadline; thawed, it is read again",
    case="hang after accept",
)
def test_a_server_that_hangs_is_a_named_fault_within_its_time(prometheus: Monitor) -> None:
    source = Loads(settings(prometheus, timeout_s=0.5))
    source.collect()
    prometheus.signal_server(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(SourceFault) as caught:
            source.collect()
    finally:
        prometheus.signal_server(signal.SIGCONT)
    assert caught.value.fault.kind == "timeout" and time.monotonic() - began < 15
    assert source.collect().loads


@fault("Prometheus", "a query that it refuses", "a gap with the name of the query; the others count", case="422")
def test_a_query_that_is_refused_is_a_gap_with_a_name(prometheus: Monitor) -> None:
    prometheus.settle()
    facts = read(
        prometheus, queries={"memory": "sum by (", "temperature": "max by (Hostname) (<DCGM_FI_DEV_GPU_TEMP>)"}
    )
    assert facts.loads and all(load.gpu_memory_pct is None and load.temp_c for load in facts.loads.values())
    assert any("memory" in text and "parse" in text for text in facts.warnings)


def test_no_gpu_series_says_where_to_look(prometheus: Monitor) -> None:
    with pytest.raises(SourceFault) as caught:
        read(prometheus, matchers='cluster="elsewhere"')
    assert caught.value.fault.kind == "empty"
    assert "dcgm (" in caught.value.fault.mend and 'cluster="elsewhere"' in caught.value.fault.what


@pytest.mark.lab
@pytest.mark.parametrize("suite", SUITES)
def test_promtool_finds_nothing_wrong_with_the_rules(suite: str) -> None:
    require(suite)
    with tempfile.TemporaryDirectory(dir=root_of(suite) / "tmp") as folder:
        shutil.copy(FILE, folder)
        words = ["chroot", str(root_of(suite)), "/usr/bin/promtool", "check", "rules"]
        words.append(f"/tmp/{Path(folder).name}/{FILE.name}")
        checked = subprocess.run(words, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.lab
@pytest.mark.parametrize("engine", ENGINES)
def test_the_recorded_series_hold_the_same(engine: str) -> None:
    require_engine(engine)
    machine = Monitor(engine, rules=[Path(FILE)])
    machine.exporter.options = ExporterOptions(
        newer=frozenset(list(machine.machine.site.by_name)[::2])
    )  # half of it rolled out
    with machine as monitor:
        monitor.wait_for_samples()
        monitor.settle()
        monitor.wait_for_samples("wacht:node_gpu_util:avg", len(monitor.machine.loads()))
        monitor.wait_for_samples("wacht:site_gpu_util:avg", 1)
        monitor.settle()

        def differs() -> str:
            # Each rule is evaluated by itself: that one has all nodes says nothing of the others.
            raw, recorded = (told(read(monitor, power=POWER, recorded=on)) for on in (False, True))
            names = [name for name in raw.keys() | recorded.keys() if raw.get(name) != recorded.get(name)]
            return f"{len(names)}, {names[0]}: {raw.get(names[0])}, {recorded.get(names[0])}" if names else ""

        wait_for(differs, 60)
        raw, recorded = (read(monitor, power=POWER, recorded=on) for on in (False, True))
        assert recorded.loads is not None and raw.loads is not None and raw.xids is not None
        for name, load in recorded.loads.items():
            assert load.sampled_at is None or abs(load.sampled_at - (raw.loads[name].sampled_at or 0)) < 30
        assert recorded.xids is not None and recorded.xids.keys() == raw.xids.keys()
        for power in (POWER, PowerSettings(node_series=BMC), PowerSettings()):

            def other(power: PowerSettings = power) -> str:
                one, two = (
                    PowerSource(settings(monitor, power=power, recorded=on)).collect().power for on in (False, True)
                )
                assert one is not None and two is not None
                same = (one.site_w, one.rack_w) == (two.site_w, two.rack_w)
                return "" if same else f"{one} is not {two}"

            wait_for(other, 60)
        telemetry = open_telemetry("x", settings(monitor, power=POWER, recorded=True))
        node = next(iter(monitor.machine.loads()))
        for ask in (lambda: telemetry.history(node, 900), lambda: telemetry.site_history(900)):
            # The rules are a few seconds old, the points of a chart 15 s apart.
            wait_for(lambda ask=ask: "" if all(any(v for _, v in one.points) for one in ask()) else "no point", 60)
