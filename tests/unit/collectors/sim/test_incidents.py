"""Each incident does what its line says, after the watcher has had time to look."""

from __future__ import annotations

from itertools import pairwise

import pytest

from collectors.clock import ManualClock
from collectors.sim import INCIDENTS, SimSettings
from collectors.sim.incidents import STARTS_S
from collectors.sim.machine import Machine

HOUR = 3600


class Watched:
    """A machine to which something is about to happen."""

    def __init__(self, incident: str, nodes: int = 128, nvl72: bool = False) -> None:
        self.clock = ManualClock()
        self.machine = Machine(SimSettings(nodes=nodes, incident=incident, nvl72=nvl72), self.clock)
        self.before = self.machine.jobs()
        self.held = {host.name: dict(host.jobs) for host in self.machine.site.hosts}

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.machine.advance()

    @property
    def hit(self):
        return [self.machine.nodes()[name] for name in self.machine.incidents.affected]

    def alerts(self, name: str):
        return [alert for alert in self.machine.alerts().values() if alert.name == name]


@pytest.mark.parametrize("incident", INCIDENTS)
def test_nothing_happens_before_its_time(incident):
    calm, struck = Watched("lemon", nvl72=incident == "nvlink"), Watched(incident)
    calm.wait(STARTS_S - 1)
    struck.wait(STARTS_S - 1)
    assert struck.hit == [] and not struck.machine.incidents.slow
    assert struck.machine.nodes() == calm.machine.nodes()


@pytest.mark.parametrize("incident", INCIDENTS)
@pytest.mark.parametrize("nodes", [1, 3, 256])
def test_it_happens_on_any_machine(incident, nodes):
    watched = Watched(incident, nodes)
    watched.wait(2 * HOUR)
    assert watched.hit or watched.machine.incidents.slow or not watched.machine.queue.runs


def test_unknown_ones_name_the_known():
    with pytest.raises(ValueError, match="no incident is called 'fire'") as caught:
        Machine(SimSettings(incident="fire"), ManualClock())
    assert all(name in str(caught.value) for name in INCIDENTS)


def test_pdu_takes_half_a_rack():
    watched = Watched("pdu")
    watched.wait(60)
    assert len(watched.hit) == 8 and len({node.rack for node in watched.hit}) == 1
    assert {(node.display, node.reason, node.reason_by) for node in watched.hit} == {
        ("down", "Not responding", "slurm")
    }
    assert all("NOT_RESPONDING" in node.flags for node in watched.hit)
    loads = watched.machine.loads()
    assert not any(node.name in loads for node in watched.hit)
    gone = {job for node in watched.hit for job in watched.held[node.name]}
    assert gone
    jobs = watched.machine.jobs()
    requeued = {job for job in gone if job in jobs}
    assert all(jobs[job].restarts == 1 for job in requeued)
    assert {run.state for run in watched.machine.accounting.ended if run.id in gone - requeued} <= {
        "NODE_FAIL", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT",
    }  # fmt: skip
    (alert,) = watched.alerts("PduPowerLost")
    assert alert.severity == "critical" and alert.labels["rack"] == watched.hit[0].rack
    assert {alert.node for alert in watched.alerts("NodeDown")} >= {node.name for node in watched.hit}
    watched.wait(6 * HOUR)
    assert not any(node.display == "down" and node.reason == "Not responding" for node in watched.hit)
    assert not watched.alerts("PduPowerLost")


def test_xid_storm_is_one_users_noise_and_one_lost_gpu():
    watched = Watched("xid-storm")
    watched.wait(STARTS_S + 160)
    assert len(watched.hit) >= 4
    loads = watched.machine.loads()
    codes = {gpu.xid for node in watched.hit for gpu in watched.machine.gpus(node.name)} - {None}
    assert {31, 43, 94} <= codes and 79 not in codes
    assert sum(loads[node.name].xid is not None for node in watched.hit if node.name in loads) >= len(watched.hit) - 1
    owners = [set(watched.held[node.name]) for node in watched.hit]
    users = set.intersection(*({watched.before[job].user for job in jobs} for jobs in owners))
    assert len(users) == 1
    watched.wait(120)
    lost = [gpu for node in watched.hit for gpu in watched.machine.gpus(node.name) if gpu.xid == 79]
    assert len(lost) == 1 and lost[0].util_pct is lost[0].power_w is lost[0].temp_c is None
    assert len(watched.alerts("GpuXid")) > 4
    watched.wait(900)
    assert not [alert for alert in watched.alerts("GpuXid") if alert.labels["xid"] in {"31", "43"}]


def test_lemon_fails_again_and_again():
    watched = Watched("lemon")
    watched.wait(STARTS_S + 1)
    (node,) = watched.hit
    words = []
    for _ in range(120):
        words.append(watched.machine.nodes()[node.name].display)
        watched.wait(10)
    falls = sum(now == "drained" != before for before, now in pairwise(words))
    assert falls >= 3
    assert [run for run in watched.machine.accounting.ended if run.state == "FAILED"]


def test_fabric_drains_a_rack_and_fails_what_crosses_it():
    watched = Watched("fabric", nodes=512)
    watched.wait(STARTS_S)
    rack = {watched.machine.site.by_name[name] for name in watched.machine.incidents.affected}
    runs = watched.machine.queue.runs
    crossing = {job for job, run in runs.items() if len(run.hosts) > 1 and rack & set(run.hosts)}
    watched.wait(120)
    rack = {node.rack for node in watched.hit}
    assert len(watched.hit) == 16 and len(rack) == 1
    assert all(node.display in {"drained", "draining", "down", "invalid"} for node in watched.hit)
    assert sum("check_ib" in (node.reason or "") for node in watched.hit) >= 12
    assert any(load.xid == 74 for load in watched.machine.loads().values())
    assert crossing and not crossing & runs.keys()
    (alert,) = watched.alerts("IbSwitchUnhealthy")
    assert alert.labels["switch"] == f"leaf-{rack.pop()}"


def test_a_slow_controller_shows_in_its_own_figures():
    watched = Watched("controller-slow")
    calm = watched.machine.diag()
    watched.wait(40)
    slow = watched.machine.diag()
    assert slow.server_threads > 20 * calm.server_threads
    assert slow.backfill_cycle_last_us > 10 * calm.backfill_cycle_last_us
    assert max(slow.user_calls, key=slow.user_calls.get) == "alice"
    assert watched.alerts("SlurmctldSlow")
