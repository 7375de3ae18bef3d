"""What the simulated sensors showed before agrees with what they show now, whenever it is asked for."""

from __future__ import annotations

import pytest

from collectors.clock import ManualClock
from collectors.model import Telemetry
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from collectors.sim.plant.gpu_telemetry import SAMPLE_S
from collectors.sim.plant.hardware import HGX_H100
from collectors.sim.plant.sensors import AFTER
from collectors.sim.sources import forget, open_telemetry, running

HOUR, DAY = 3600, 24 * 3600


def made(nodes: int = 64, **more: object) -> tuple[Machine, ManualClock]:
    clock = ManualClock()
    return Machine(SimSettings(nodes=nodes, **more), clock), clock  # type: ignore[arg-type]


def step(machine: Machine, clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    machine.advance()


def values(machine: Machine, name: str, seconds: int, which: str = "power") -> dict[int, float | None]:
    return dict(next(series for series in machine.history(name, seconds) if series.name == which).points)


def busy(machine: Machine) -> str:
    return next(
        name for name, node in machine.nodes().items() if node.display == "allocated" and name in machine.loads()
    )


@pytest.mark.parametrize("seconds", [HOUR, 6 * HOUR, DAY, 7 * DAY])
def test_charts_end_in_the_present(seconds):
    machine, _ = made()
    for name, load in machine.loads().items():
        charts = machine.history(name, seconds)
        assert [(chart.name, chart.unit) for chart in charts] == [
            ("utilisation", "%"), ("memory", "%"), ("temperature", "°C"), ("power", "W"),
        ]  # fmt: skip
        assert [chart.points[-1] for chart in charts] == [
            (load.sampled_at, load.gpu_util_pct),
            (load.sampled_at, load.gpu_memory_pct),
            (load.sampled_at, load.temp_c),
            (load.sampled_at, load.power_w),
        ]
        for chart in charts:
            times = [at for at, _ in chart.points]
            assert times == sorted(set(times)) and 100 <= len(times) <= 122
            assert machine.now - seconds <= times[0] < machine.now - seconds + max(SAMPLE_S, seconds // 120) + 1
    assert machine.history("nowhere", seconds) == ()


def test_what_was_stays_what_it_was():
    machine, clock = made()
    names = list(machine.loads())[:24]
    before = {name: values(machine, name, 6 * HOUR) for name in names}
    for _ in range(30):
        step(machine, clock, 120)
    ended = 0
    for name in names:
        after = values(machine, name, 6 * HOUR)
        # The newest points are samples of their own time; those on whole steps must not change.
        common = [at for at in sorted(before[name].keys() & after.keys())[:-1] if at < machine.now - HOUR]
        assert len(common) > 90
        host = machine.host(name)
        ended += any(
            start < at < machine.now - 60 for _, _, start, at in machine.sensor_history._allocations.get(host.index, ())
        )
        if host.failure is None:
            assert [before[name][at] for at in common] == [after[at] for at in common]
    assert ended > 3


def test_the_same_history_for_the_same_machine_however_often_it_is_looked_at():
    one, one_clock = made()
    other, other_clock = made()
    for _ in range(60):
        step(one, one_clock, 60)
        one.loads(), one.power()
    step(other, other_clock, 3600)
    for name in list(one.site.by_name)[:16]:
        assert one.history(name, 6 * HOUR) == other.history(name, 6 * HOUR)
        assert one.gpus(name) == other.gpus(name)


def test_nothing_while_a_node_is_down():
    machine, clock = made()
    name = busy(machine)
    step(machine, clock, HOUR)
    went = machine.now
    machine.break_node(name)
    step(machine, clock, 2 * HOUR)
    points = values(machine, name, 4 * HOUR)
    assert [at for at, value in points.items() if value is None] == [at for at in points if at >= went]
    assert all(chart.points[-1][1] is None for chart in machine.history(name, 4 * HOUR))
    machine.repair_node(name)
    back = machine.now
    step(machine, clock, HOUR)
    points = values(machine, name, 5 * HOUR)
    gaps = [at for at, value in points.items() if value is None]
    assert gaps and min(gaps) >= went and max(gaps) < back
    assert all(value is not None for at, value in points.items() if at > back)
    silent = next(host.name for host in machine.site.hosts if host.exporter_down)
    assert 100 > sum(value is not None for value in values(machine, silent, 12 * HOUR).values()) > 20


def test_energy_never_falls_and_keeps_pace_with_the_power():
    machine, clock = made()
    name = busy(machine)
    gpus = machine.gpus(name)
    sums = [gpu.power_w or 0.0 for gpu in gpus]
    before, last = [gpu.energy_j or 0.0 for gpu in gpus], [0.0] * 8
    jobs, rounds = set(machine.host(name).jobs), 0
    while rounds < 40 and set(machine.host(name).jobs) == jobs:
        step(machine, clock, SAMPLE_S)
        gpus, rounds = machine.gpus(name), rounds + 1
        assert all((gpu.energy_j or 0.0) >= low for gpu, low in zip(gpus, last, strict=True))
        last = [gpu.energy_j or 0.0 for gpu in gpus]
        sums = [total + (gpu.power_w or 0.0) for total, gpu in zip(sums, gpus, strict=True)]
    assert rounds > 5
    for g in range(8):
        assert (last[g] - before[g]) / (rounds * SAMPLE_S) == pytest.approx(sums[g] / (rounds + 1), rel=0.03, abs=8)


def test_energy_of_all_gpus_never_falls_while_jobs_come_and_go():
    machine, clock = made(32)
    last: dict[str, tuple[int, list[float]]] = {}
    for _ in range(200):
        step(machine, clock, 300)
        for name in machine.site.by_name:
            gpus, boot = machine.gpus(name), machine.host(name).boot_at
            if gpus and all(gpu.energy_j is not None for gpu in gpus):
                now = [gpu.energy_j or 0.0 for gpu in gpus]
                known = last.get(name)
                if known is not None and known[0] == boot:
                    assert all(new >= old + 300 * HGX_H100.idle_w - 1 for new, old in zip(now, known[1], strict=True))
                last[name] = (boot, now)
            else:
                last.pop(name, None)


def test_what_an_xid_leaves_behind():
    machine, _ = made()
    host = machine.host(busy(machine))
    for code, left in AFTER.items():
        machine.failures.report_xid(host, code, 3)
        gpu = machine.gpus(host.name)[3]
        assert gpu.xid == code and all(getattr(gpu, name) == value for name, value in left.items())
    machine.break_node(host.name)
    machine.repair_node(host.name)
    gpu = machine.gpus(host.name)[3]
    assert (gpu.xid, gpu.recovery, gpu.ecc_uncorrected, gpu.nvlinks_up) == (None, "none", 0, 18)


def test_a_gpu_in_full():
    machine, _ = made()
    found = [gpu for name in machine.site.by_name for gpu in machine.gpus(name) if gpu.lost is None]
    capped = [gpu for gpu in found if "power cap" in (gpu.throttle or ())]
    assert 0 < len(capped) < len(found) / 3
    assert any("thermal slowdown" in (gpu.throttle or ()) for gpu in found)
    for gpu in found:
        assert gpu.na == frozenset() and None not in (
            gpu.sampled_at, gpu.tensor_pct, gpu.memory_temp_c, gpu.energy_j, gpu.sm_clock_mhz, gpu.memory_clock_mhz,
            gpu.throttle, gpu.ecc_corrected, gpu.remapped_corrected, gpu.remap_pending, gpu.nvlink_errors,
            gpu.pcie_replays, gpu.mig, gpu.fabric, gpu.processes,
        )  # fmt: skip
        assert (gpu.power_limit_w, gpu.nvlinks, gpu.pcie_gen, gpu.pcie_width) == (700, 18, 5, 16)
        assert gpu.tensor_pct <= gpu.util_pct and gpu.memory_temp_c > gpu.temp_c
        assert gpu.sm_clock_mhz < 1980 or not gpu.throttle
        assert [process.job for process in gpu.processes] in ([gpu.job], []) and bool(gpu.processes) >= bool(gpu.job)


def test_xids_are_kept_for_a_day_and_while_they_are_the_last():
    machine, clock = made()
    names = [name for name in machine.loads() if machine.host(name).failure is None][:2]
    began = int(machine.now)
    for name in names:
        machine.failures.report_xid(machine.host(name), 31, 2)
    clock.advance(60)
    machine.advance()
    machine.failures.report_xid(machine.host(names[0]), 31, 2)
    row = machine.xids()[f"{names[0]}/2/31"]
    assert (row.first_at, row.last_at, row.count, row.gpu) == (began, began + 60, 2, 2)
    assert row.uuid == machine.gpus(names[0])[2].uuid
    machine.failures.report_xid(machine.host(names[0]), 43, 2)
    clock.advance(DAY + 120)
    machine.advance()
    for name in names:
        machine.host(name).xids.setdefault(2, 43)
    kept = machine.xids()
    assert f"{names[0]}/2/31" not in kept
    assert (f"{names[1]}/2/31" in kept) == (machine.host(names[1]).xids.get(2) == 31)
    assert kept == machine.xids()


def test_power_of_the_site():
    machine, clock = made(256)
    power, loads = machine.power(), machine.loads()
    assert power.source == "PDU" and power.budget_w == pytest.approx(1.15 * 256 * 7000, abs=1)
    assert sum(power.rack_w.values()) == power.site_w and power.rack_w.keys() == set(machine.site.racks)
    drawn = sum(load.power_w or 0.0 for load in loads.values())
    assert drawn < (power.site_w or 0.0) < 1.1 * drawn + 20_000
    assert power.trend_w_h is not None and abs(power.trend_w_h) < 0.1 * drawn
    seen = [(machine.now, power.site_w or 0.0)]
    for _ in range(90):
        step(machine, clock, 60)
        seen.append((machine.now, machine.power().site_w or 0.0))
    then = min(seen, key=lambda one: abs(one[0] - (machine.now - HOUR)))
    assert machine.power().trend_w_h == pytest.approx(seen[-1][1] - then[1], rel=0.1, abs=0.02 * drawn)


def test_telemetry_is_opened_as_the_console_opens_it():
    settings = SimSettings(nodes=48)
    try:
        telemetry: Telemetry = open_telemetry("history", settings)
        machine = running("history", settings)
        name = busy(machine)
        assert telemetry.gpus([name, "nowhere"]) == {name: machine.gpus(name)}
        assert len(telemetry.history(name, HOUR)) == 4
        power, used = telemetry.site_history(HOUR)
        assert (power.unit, used.unit) == ("W", "%") and power.points[-1][1] == machine.power().site_w
        assert all(value and 0 < value < 2e6 for _, value in power.points)
        job = next(iter(machine.host(name).jobs))
        started = machine.jobs()[job].started or 0
        joules = telemetry.energy_j([name], started)
        hours = (machine.now - started) / HOUR
        assert joules is not None and 8 * HGX_H100.idle_w * hours * 0.99 <= joules / 3600 <= 8 * 700 * hours + 1
        assert telemetry.energy_j(["nowhere"], started) is None
    finally:
        forget("history")
