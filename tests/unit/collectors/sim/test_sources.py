"""The simulated machine is opened as the real ones are, and what its sensors say follows from its jobs."""

from __future__ import annotations

import pytest

from collectors import model, source_registry
from collectors.clock import ManualClock
from collectors.model import SourceFault
from collectors.sim import DESCRIPTOR, SimSettings
from collectors.sim.plant.gpu_telemetry import SAMPLE_S
from collectors.sim.plant.hardware import HGX_H100, NVL72_GB200
from collectors.sim.sources import (
    SimTelemetry,
    SimTransport,
    forget,
    open_sources,
    open_transport,
    running,
)
from collectors.sim.write import open_writer
from tests.support.make import change_of

SMALL = SimSettings(nodes=48)
KINDS = {
    "slurm.nodes": {"nodes"},
    "slurm.jobs": {"jobs"},
    "slurm.partitions": {"partitions"},
    "slurm.reservations": {"reservations"},
    "slurm.diag": {"diag"},
    "slurm.control": {"control"},
    "slurm.rights": {"rights"},
    "slurm.topology": {"domains"},
    "prom.loads": {"loads", "xids"},
    "prom.power": {"power"},
    "prom.trays": {"trays"},
    "prom.fabric": {"ports", "fabric"},
    "prom.storage": {"storage"},
    "prom.cooling": {"cooling"},
    "prom.checkups": {"checkups"},
    "alerts.alerts": {"alerts", "silences"},
}


@pytest.fixture(autouse=True)
def off():
    yield
    forget("demo")


def opened(settings: SimSettings = SMALL):
    clock = ManualClock()
    return {source.name: source for source in open_sources("demo", settings, clock)}, clock


def test_the_registry_finds_and_opens_it():
    assert source_registry.descriptors()["sim"] is DESCRIPTOR
    chosen = source_registry.settings(DESCRIPTOR, {"nodes": 4, "incident": "pdu"})
    assert chosen == SimSettings(nodes=4, incident="pdu")
    names = [source.name for source in source_registry.open_sources(DESCRIPTOR, "demo", chosen)]
    assert [name for name in names if name in KINDS] == list(KINDS)
    with pytest.raises(Exception, match="unknown field"):
        source_registry.settings(DESCRIPTOR, {"noodles": 4})


def test_each_source_reads_its_kinds():
    sources, _ = opened(SimSettings(nodes=48, nvl72=True))
    # No slurmctld counts there: its rows are the machine itself, and hide nothing.
    read = {"counts"}
    for name, source in sources.items():
        facts = source.collect()
        kinds = {kind for kind in model.KINDS if getattr(facts, kind) is not None}
        assert kinds == KINDS.get(name, kinds)
        assert source.floor_s >= 3
        source.close()
        read |= kinds
    assert read == set(model.KINDS)


def test_reading_moves_the_machine():
    sources, clock = opened()
    before = sources["slurm.jobs"].collect().jobs
    clock.advance(3600)
    assert sources["slurm.jobs"].collect().jobs != before


def test_sources_transport_and_writer_find_the_same_machine():
    sources, clock = opened()
    assert len(sources["slurm.nodes"].collect().nodes) == SMALL.nodes, "the first that reads builds it, on its clock"
    writer, transport = open_writer("demo", SMALL), open_transport("demo", SMALL)
    change = change_of(action="drain", kind="node", targets=("gpu0001",), reason="look")
    (sent,) = writer.send(change)
    assert (sent.argv,) == tuple(writer.commands(change))
    assert sources["slurm.nodes"].collect().nodes["gpu0001"].reason == "look"
    assert transport.read_nodes(["gpu0001", "gpu9999"]).keys() == {"gpu0001"}
    assert running("demo", SMALL, clock) is running("demo", SMALL)
    assert running("demo", SMALL, ManualClock()) is not running("other", SMALL)
    forget("other")


def test_reads_on_demand():
    _, clock = opened()
    machine = running("demo", SMALL, clock)
    transport = SimTransport(lambda: machine)
    job = next(iter(machine.queue.runs))
    assert transport.read_jobs([job, "1"]) == {job: machine.queue.detailed(job)}
    detail = transport.job_detail(job)
    held = machine.jobs()[job]
    assert len(detail.gpu_indices) == held.node_count and detail.dependency is None
    name = next(iter(detail.gpu_indices))
    found = SimTelemetry(lambda: machine).gpus([name, "nowhere"])
    assert found.keys() == {name}
    gpus = found[name]
    assert [gpu.index for gpu in gpus] == list(range(8)) and len({gpu.uuid for gpu in gpus}) == 8
    assert sum(gpu.job == job for gpu in gpus) == held.gpus // held.node_count
    with pytest.raises(SourceFault, match="no job 1"):
        transport.job_detail("1")


def test_a_slow_controller_blocks_its_readers_and_lets_go_when_closed():
    sources, clock = opened(SimSettings(nodes=8, incident="controller-slow"))
    waited = []
    for name in ("slurm.nodes", "slurm.jobs", "prom.loads"):
        sources[name].delay.wait = waited.append
        sources[name].collect()
    assert waited == []
    clock.advance(40)
    sources["prom.loads"].collect()
    assert waited == []
    faults = 0
    for _ in range(60):
        try:
            assert sources["slurm.jobs"].collect().jobs is not None
        except SourceFault as error:
            faults += 1
            assert error.fault.kind == "timeout" and "squeue" in error.fault.what
    assert len(waited) == 60 and min(waited) >= 3 and max(waited) <= 6
    assert 3 < faults < 30
    # Not patched: it would take seconds, and takes none, because it is closed.
    sources["slurm.diag"].close()
    assert all(sources["slurm.diag"].collect().diag is not None for _ in range(20))


# -- telemetry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("nvl72", "made"), [(False, HGX_H100), (True, NVL72_GB200)])
def test_sensors_follow_the_jobs_and_are_of_the_gpus_that_are_there(nvl72, made):
    machine = running("demo", SimSettings(nodes=256, nvl72=nvl72), ManualClock())
    assert {node.gpu_type for node in machine.nodes().values()} == {made.gpu_type}
    nodes, loads = machine.nodes(), machine.loads()
    for name, load in loads.items():
        gpus = machine.gpus(name)
        known = [gpu for gpu in gpus if gpu.util_pct is not None]
        assert load.power_w == sum(gpu.power_w for gpu in known) + made.host_w
        assert load.gpu_power_w == load.power_w - made.host_w and load.gpus_seen == len(known)
        assert load.temp_c == max(gpu.temp_c for gpu in known)
        assert load.gpu_util_pct == pytest.approx(sum(gpu.util_pct for gpu in known) / len(known), abs=0.06)
        assert load.gpus_idle == sum(gpu.util_pct < 5 for gpu in known)
        assert machine.now - SAMPLE_S <= load.sampled_at <= machine.now
        assert all(0 <= gpu.util_pct <= 100 and made.idle_w <= gpu.power_w <= made.limit_w for gpu in known)
        assert {(gpu.model, gpu.memory_mb, gpu.power_limit_w) for gpu in known} <= {
            (made.model, made.memory_mb, made.limit_w)
        }
        assert all(25 <= gpu.temp_c <= 90 and gpu.memory_used_mb <= gpu.memory_mb for gpu in known)
        assert {gpu.job for gpu in gpus} - {None} == set(machine.host(name).jobs)
        if not machine.host(name).jobs and not machine.host(name).stray_process:
            assert load.gpu_util_pct == 0 and load.power_w < made.host_w + machine.site.gpus * (made.idle_w + 10)
    silent = {name for name in nodes if name not in loads}
    assert {name for name, node in nodes.items() if node.state == "DOWN"} < silent
    assert len(silent) <= 8
    busy = [load.power_w for name, load in loads.items() if nodes[name].display == "allocated"]
    assert 5000 < sum(busy) / len(busy) < 7000
    idle = sum(load.gpus_idle for name, load in loads.items() if nodes[name].display == "allocated")
    assert 0.003 < idle / (machine.site.gpus * len(busy)) < 0.1


def test_only_those_whose_turn_it_is_are_sampled():
    clock = ManualClock()
    machine = running("demo", SimSettings(nodes=300, jobs=0), clock)
    before = machine.loads()
    clock.advance(2)
    machine.advance()
    after = machine.loads()
    assert sum(after[name] is not load for name, load in before.items()) <= 300 // 15
    clock.advance(SAMPLE_S)
    machine.advance()
    final = machine.loads()
    assert all(final[name].sampled_at > load.sampled_at for name, load in before.items())


def test_facts_disagree_somewhere_as_on_real_machines():
    machine = running("demo", SimSettings(nodes=256), ManualClock())
    nodes, loads = machine.nodes(), machine.loads()
    working = {name for name, node in nodes.items() if node.display in {"idle", "mixed", "allocated"}}
    assert any(loads[name].xid == 48 for name in working & loads.keys())
    assert working - loads.keys()
    assert any(alert.state == "suppressed" for alert in machine.alerts().values())
