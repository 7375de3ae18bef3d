"""The simulated machine keeps its books: nothing is given twice, nothing waits for a reason that is not true."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.clean import hostile
from collectors.clock import ManualClock
from collectors.nodeset import expand, fold
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from collectors.sim.plant.site_layout import build_site, fold_bits, indices_of
from collectors.sim.plant.site_layout import fold as fold_hosts
from collectors.sim.slurmctld.gpu_pool import GpuPool
from collectors.sim.slurmctld.job_queue import entry
from tests.support.make import change_of

START = 1_795_000_000.0
HOUR = 3600


def machine(nodes: int = 64, **more) -> tuple[Machine, ManualClock]:
    clock = ManualClock(START)
    return Machine(SimSettings(nodes=nodes, **more), clock, operator="jdv"), clock


def step(made: Machine, clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    made.advance()


def everything(made: Machine) -> tuple:
    return (made.nodes(), made.jobs(), made.partitions(), made.reservations(), made.loads(), made.alerts(), made.diag())


def check_books(made: Machine) -> None:
    """Nodes and jobs agree, and no GPU is held twice."""
    nodes, jobs = made.nodes(), made.jobs()
    held: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for job in jobs.values():
        if job.state == "RUNNING":
            names = expand(job.nodes or "")
            assert len(names) == job.node_count
            assert job.gpus == job.gpus_held and job.gpus % len(names) == 0
            assert job.started is not None and job.reason is None and job.expected is None
            assert all(job.partition in nodes[name].partitions for name in names)
            for name in names:
                held[name].append((job.id, job.gpus // len(names)))
        else:
            assert job.state == "PENDING" and job.reason
            assert job.nodes is job.started is job.gpus_held is None
    for node in nodes.values():
        host = made.host(node.name)
        assert sum(gpus for _, gpus in held[node.name]) == node.gpus_alloc <= node.gpus
        assert {job for job, _ in held[node.name]} == set(host.jobs)
        masks = 0
        for job, gpus in held[node.name]:
            assert host.jobs[job].bit_count() == gpus
            assert not masks & host.jobs[job]
            masks |= host.jobs[job]
        assert node.gpus_used == (fold_bits(masks) or None)
        if node.state == "DOWN":
            assert not held[node.name]
    assert made.diag().jobs_running == sum(job.state == "RUNNING" for job in jobs.values())
    used = Counter[str]()
    for job in jobs.values():
        if job.state == "RUNNING" and job.qos == "normal":
            used[job.user] += job.gpus
    assert {user: count for user, count in made.queue.used.items() if count} == used
    assert all(count <= made.queue.gpu_cap for count in used.values())


def check_reasons(made: Machine) -> None:
    """Every reason to wait is true now."""
    assert made.scheduler.up_to_date
    queue, now = made.queue, made.now
    jobs = made.jobs()
    ahead = {name: line[0] for name, line in queue.eligible.items() if line}
    in_line = Counter[str]()
    for job in jobs.values():
        if job.reason in {"Priority", "Resources"}:
            in_line[job.user] += job.gpus or 0
    for job in jobs.values():
        if job.state != "PENDING":
            continue
        reason = (job.reason or "").partition(",")[0]
        if reason == "Resources":
            assert made.scheduler._fit(job, 0) is None
        elif reason == "Priority":
            # Something stands before it, in its own line or in one that shares nodes with it.
            mine = made.site.partitions[job.partition].mask
            assert any(first < entry(job) for name, first in ahead.items() if made.site.partitions[name].mask & mine)
        elif reason == "Dependency":
            assert queue.parents[job.id] in jobs
        elif reason == "BeginTime":
            assert queue.begins[job.id] > now
        elif reason in {"JobHeldUser", "JobHeldAdmin", "job_requeued_in_held_state"}:
            assert job.priority == 0
        elif reason == "PartitionTimeLimit":
            assert job.time_limit_s > made.partitions()[job.partition].time_limit_s
        elif reason == "ReqNodeNotAvail":
            assert not made.host(job.reason.rpartition(":")[2]).usable
        elif reason == "Reservation":
            assert made.reservations()[queue.reservation_of[job.id]].state == "INACTIVE"
        elif reason == "QOSMaxGRESPerUser":
            assert queue.used[job.user] + in_line[job.user] + job.gpus > queue.gpu_cap
        else:
            raise AssertionError(f"no such reason: {job.reason}")


def settle(made: Machine, clock: ManualClock) -> None:
    """Let the scheduler look, if it is about to."""
    for _ in range(20):
        if made.scheduler.up_to_date:
            return
        step(made, clock, 1.0)
    raise AssertionError("the scheduler does not come to rest")


REASONS = {"Priority", "Resources", "Dependency", "BeginTime", "JobHeldUser", "JobHeldAdmin", "ReqNodeNotAvail"}


@pytest.mark.slow
def test_two_days_keep_the_books():
    reasons, ends = Counter[str](), Counter[str]()
    for seed in (1, 2, 3):
        made, clock = machine(96, seed=seed)
        for _ in range(48):
            check_books(made)
            settle(made, clock)
            check_reasons(made)
            reasons.update((job.reason or "").partition(",")[0] for job in made.jobs().values())
            step(made, clock, HOUR)
        ends.update(run.state for run in made.accounting.ended)
    assert set(reasons) - {""} == REASONS | {"PartitionTimeLimit", "QOSMaxGRESPerUser", "Reservation"}
    assert {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"} <= set(ends)


ON_NODES = ("drain", "undrain", "resume", "down", "reboot")
ON_JOBS = ("requeue", "requeuehold", "hold", "uhold", "release", "priority", "cancel")
ACTIONS = st.sampled_from(ON_NODES + ON_JOBS)
ACTS = st.tuples(ACTIONS, st.integers(0, 10_000), st.integers(1, 5), st.floats(0, 4000))


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 5), st.lists(ACTS, max_size=25))
def test_whatever_an_operator_does_the_books_hold(seed, acts):
    made, clock = machine(32, seed=seed, incident="lemon")
    for action, start, count, seconds in acts:
        kind = "node" if action in ON_NODES else "job"
        names = list(made.nodes() if kind == "node" else made.jobs())
        targets = tuple(dict.fromkeys(names[(start + i) % len(names)] for i in range(count))) if names else ("1",)
        change = change_of(
            action=action, kind=kind, targets=targets, reason="test",
            next_state=dict.fromkeys(targets, "DOWN" if start % 2 else "RESUME") if action == "reboot" else {},
            values=dict.fromkeys(targets, str(start + 1)) if action == "priority" else {},
            resume_after_s=600 if action == "drain" and start % 3 == 0 else None,
        )  # fmt: skip
        (sent,) = made.apply(change)
        assert (sent.rc == 0) == (not sent.refused) or action == "reboot"
        assert set(sent.refused) <= set(targets)
        check_books(made)
        step(made, clock, seconds)
        check_books(made)
    settle(made, clock)
    check_reasons(made)


def test_the_same_times_give_the_same_facts():
    (one, clock_one), (two, clock_two) = machine(), machine()
    for _ in range(20):
        assert everything(one) == everything(two)
        step(one, clock_one, 97.0)
        step(two, clock_two, 97.0)
    other, _ = machine(seed=2)
    assert other.jobs() != machine()[0].jobs()


def test_how_often_one_looks_changes_nothing():
    (often, clock_often), (once, clock_once) = machine(), machine()
    for _ in range(360):
        step(often, clock_often, 10.0)
        often.loads()
    step(once, clock_once, 3600.0)
    assert everything(often) == everything(once)


def test_speed_makes_time_pass_faster():
    made, clock = machine(speed=60.0)
    step(made, clock, 10.0)
    assert made.now == START + 600


def test_facts_that_did_not_change_are_the_same_objects():
    made, clock = machine(256)
    before = everything(made)
    for _ in range(6):
        step(made, clock, 10.0)
    after = everything(made)
    for kind in (0, 1, 4, 5):
        same = [key for key, row in before[kind].items() if after[kind].get(key) is row]
        equal = [key for key, row in before[kind].items() if after[kind].get(key) == row]
        assert same == equal
    assert len([key for key, row in before[0].items() if after[0][key] is row]) > 200
    assert before[1] == dict(before[1]) and before[1] is not after[1]


def test_the_work_of_a_step_does_not_grow_with_the_queue():
    counts = []
    for jobs in (2_000, 20_000):
        made, clock = machine(512, jobs=jobs)
        tests, events = made.scheduler.placement_tests, made.timeline.done
        for _ in range(60):
            step(made, clock, 10.0)
        counts.append((made.scheduler.placement_tests - tests, made.timeline.done - events))
    assert counts[1][0] < 2 * counts[0][0] + 500
    assert counts[1][1] < 2 * counts[0][1] + 500


def test_a_machine_that_has_run_for_days():
    made, _ = machine(1024)
    nodes, jobs = made.nodes(), made.jobs()
    shown = Counter(node.display for node in nodes.values())
    assert {"allocated", "drained", "draining", "down", "invalid", "maintenance"} <= set(shown)
    assert shown["allocated"] + shown["mixed"] > 850
    assert 3 <= shown["down"] <= 20 and 5 <= shown["drained"] <= 30
    states = Counter(job.state for job in jobs.values())
    assert states["RUNNING"] > 500 and states["PENDING"] > 2500
    elapsed = [job.elapsed_s(START) for job in jobs.values() if job.state == "RUNNING"]
    assert min(elapsed) < HOUR and max(elapsed) > 20 * HOUR and len(set(elapsed)) > 400
    assert all(job.left_s(START) > 0 for job in jobs.values() if job.state == "RUNNING")
    assert any(job.gpus >= 128 for job in jobs.values() if job.state == "RUNNING")
    assert any("_" in job for job in jobs)
    assert any(job.expected for job in jobs.values() if job.state == "PENDING")
    out = [node for node in nodes.values() if node.reason]
    assert {node.reason_by for node in out} >= {"slurm", "root", "jdv"}
    assert all(node.reason_at <= START for node in out)
    assert max(START - node.reason_at for node in out) > 24 * HOUR
    assert {row.state for row in made.reservations().values()} == {"ACTIVE", "INACTIVE"}
    assert list(nodes) == sorted(nodes)
    assert nodes["gpu0001"].rack == "R01" and nodes["gpu0017"].rack == "R02"


def test_jobs_alive_is_what_was_asked_for_and_stays_near_it():
    for wanted in (0, 1, 10, 700):
        made, clock = machine(32, jobs=wanted)
        assert len(made.jobs()) == wanted
        step(made, clock, 6 * HOUR)
        assert len(made.jobs()) <= wanted
        assert len(made.jobs()) >= wanted * 0.7 - 3


@pytest.mark.parametrize("more", [{"gpus_per_node": 1}, {"gpus_per_node": 4}, {"nodes_per_rack": 1}, {}])
@pytest.mark.parametrize("nodes", [1, 2, 7, 33])
def test_any_size_runs(nodes, more):
    made, clock = machine(nodes, **more)
    for _ in range(8):
        check_books(made)
        step(made, clock, 3 * HOUR)
    settle(made, clock)
    check_reasons(made)


@pytest.mark.parametrize("more", [{"nodes": 0}, {"gpus_per_node": 0}, {"nodes_per_rack": 0}])
def test_what_is_no_machine_is_refused(more):
    with pytest.raises(ValueError, match="at least"):
        Machine(SimSettings(**more), ManualClock())


def test_nodes_break_about_as_often_as_published():
    # 47 days for a node: 512 nodes in 4 days break 44 times, with a share of lemons on top.
    made, clock = machine(512, jobs=0)
    struck = []
    real = made.failures.inject
    made.failures.inject = lambda host, kind: (struck.append(host.name), real(host, kind))[1]
    step(made, clock, 4 * 24 * HOUR)
    assert 30 < len(struck) < 80
    per_node = Counter(struck)
    lemons = {host.name for host in made.site.hosts if host.lemon}
    assert sum(per_node[name] for name in lemons) / len(lemons) > 4 * len(struck) / 512


def test_a_broken_node_kills_or_requeues_and_comes_back():
    made, clock = machine()
    name = next(name for name, node in made.nodes().items() if node.display == "allocated")
    held = set(made.host(name).jobs)
    before = made.jobs()
    made.break_node(name)
    node, jobs = made.nodes()[name], made.jobs()
    assert (node.state, node.display, node.reason, node.reason_by) == ("DOWN", "down", "Not responding", "slurm")
    assert node.flags == ("NOT_RESPONDING",)
    for job in held:
        if job in jobs:
            assert jobs[job].state == "PENDING" and jobs[job].restarts == before[job].restarts + 1
            assert jobs[job].reason == "BeginTime" and jobs[job].submitted == int(START)
        else:
            assert next(run for run in made.accounting.ended if run.id == job).state == "NODE_FAIL"
    assert name not in made.loads() and made.gpus(name) == ()
    assert any(alert.node == name and alert.name == "NodeDown" for alert in made.alerts().values())
    made.repair_node(name)
    step(made, clock, 60)
    assert made.nodes()[name].reason is None and made.nodes()[name].state != "DOWN"
    assert name in made.loads()
    assert not any(alert.node == name for alert in made.alerts().values())


def test_hostile_text_is_there_and_is_clean():
    made, _ = machine(64, hostile=True)
    texts = [job.name for job in made.jobs().values()] + [node.reason or "" for node in made.nodes().values()]
    assert not any(hostile(text) for text in texts)
    assert any("\\e" in text for text in texts) and any("[/]" in text for text in texts)
    assert any(len(text) > 200 for text in texts) and any("模" in text for text in texts)


@given(st.sets(st.integers(0, 11_999), min_size=1, max_size=60))
def test_folds_as_clustershell_does(indices):
    assert fold_hosts(tuple(sorted(indices)), 5) == fold(f"gpu{index + 1:05d}" for index in indices)


@given(st.sets(st.integers(0, 15)))
def test_folds_gpu_indices(indices):
    text = fold_bits(sum(1 << index for index in indices))
    found = set()
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    assert found == indices


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), max_size=30), st.randoms(use_true_random=False))
def test_the_pool_knows_what_is_free(asks, rng):
    site = build_site(SimSettings(nodes=12), START)
    pool, given_out = GpuPool(site), {}
    for number, (count, gpus) in enumerate(asks):
        count = count if gpus == 8 else 1
        able = [host.index for host in site.hosts if host.usable and host.free.bit_count() >= gpus]
        found = pool.find(count, gpus, (1 << 12) - 1)
        assert (found is None) == (len(able) < count)
        if found is not None:
            assert set(found) <= set(able) and len(set(found)) == count
            pool.allocate(str(number), found, gpus, 0.0)
            given_out[str(number)] = found
        if given_out and rng.random() < 0.4:
            job = rng.choice(list(given_out))
            pool.release(job, given_out.pop(job), START)
        host = rng.choice(site.hosts)
        host.drain = not host.drain
        pool.refresh(host)
    for host in site.hosts:
        assert host.offered == (host.free.bit_count() if host.usable else 0)


def test_bits():
    assert indices_of(0b10110) == [1, 2, 4] and indices_of(0) == []


def test_the_settings_are_light():
    code = "import sys, collectors.sim; print([m for m in sys.modules if m.startswith('collectors.sim.')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
