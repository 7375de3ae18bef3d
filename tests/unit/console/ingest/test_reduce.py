"""The reducer: pure; what did not change stays the same object; a fault keeps the old facts; joins fit their facts."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import KINDS, Alert, Cluster, Diag, Diff, Fault, Job, Load, Node, Partition, Source
from console.ingest.pace import LONGEST_S, due_s
from console.ingest.reduce import begin, differing, merged, reduce
from console.plant.totals import by_user, partition_uses
from tests.support import make
from tests.support.make import cluster, job, node, reading

FAULT = Fault("timeout", "squeue gave no answer in 30 s")
NODES = st.dictionaries(
    st.sampled_from([f"gpu{n}" for n in range(6)]),
    st.tuples(st.sampled_from(["IDLE", "DOWN", "MIXED+DRAIN"]), st.sampled_from([None, "R1", "R2"])),
).map(lambda rows: {name: node(name, state, rack=rack) for name, (state, rack) in rows.items()})
JOBS = st.dictionaries(
    st.sampled_from(["1", "2", "3_0", "4+1"]), st.sampled_from([None, "gpu[0-2]", "gpu3", "gpu[1,5]", "gpu[1"])
).map(lambda rows: {id: job(id, "RUNNING" if nodes else "PENDING", nodes) for id, nodes in rows.items()})
LOADS = st.dictionaries(st.sampled_from([f"gpu{n}" for n in range(6)]), st.integers(0, 8)).map(
    lambda rows: {
        name: Load(node=name, gpus_idle=idle, power_w=100.0 * idle, temp_c=80.0 + idle) for name, idle in rows.items()
    }
)
READINGS = st.one_of(
    NODES.map(lambda rows: reading("slurm.nodes", nodes=rows)),
    JOBS.map(lambda rows: reading("slurm.jobs", jobs=rows)),
    LOADS.map(lambda rows: reading("prom.loads", loads=rows)),
    st.sampled_from(["slurm.nodes", "slurm.jobs", "prom.loads"]).map(lambda source: reading(source, fault=FAULT)),
)
START = begin("lab", [("slurm.nodes", 10.0), ("slurm.jobs", 10.0), ("prom.loads", 15.0)])


def facts(of: Cluster) -> dict:
    """All that is known, as plain values."""
    return {name: getattr(of, name) for name in of.__struct_fields__}


def copied(rows: dict) -> dict:
    """Equal rows, every one another object."""
    return {key: msgspec.structs.replace(row) for key, row in rows.items()}


# -- differing ---------------------------------------------------------------------------------------------------------


@given(NODES, NODES)
def test_what_differs_is_what_a_plain_comparison_says(old, new):
    assert differing(old, new) == {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    assert differing(old, copied(old)) == differing(old, old) == frozenset()


@given(st.lists(NODES, min_size=3, max_size=3))
def test_two_differences_cover_the_whole_way(steps):
    diffs = [Diff(kinds=frozenset({"nodes"}), keys={"nodes": differing(a, b)}) for a, b in itertools.pairwise(steps)]
    assert differing(steps[0], steps[2]) <= merged(*diffs).keys["nodes"]
    assert merged(Diff(kinds=frozenset({"jobs"})), diffs[0]).kinds == {"jobs", "nodes"}


# -- purity and identity -----------------------------------------------------------------------------------------------


@given(st.lists(READINGS, max_size=8))
def test_the_old_cluster_is_left_as_it_was(readings):
    now = START
    for one in readings:
        before = facts(now)
        kept = {name: dict(value) for name, value in before.items() if isinstance(value, dict)}
        after, _ = reduce(now, one)
        assert facts(now) == before
        assert {name: dict(value) for name, value in facts(now).items() if isinstance(value, dict)} == kept
        assert facts(reduce(now, one)[0]) == facts(after)
        now = after


@given(st.lists(READINGS, max_size=8))
def test_unchanged_rows_stay_the_same_objects_and_changed_ones_are_told(readings):
    now = START
    for one in readings:
        after, diff = reduce(now, one)
        for kind in ("nodes", "jobs", "loads"):
            old, new = getattr(now, kind), getattr(after, kind)
            told = diff.keys.get(kind, frozenset())
            assert told == {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
            assert all(new[key] is old[key] for key in new.keys() - told)
            if kind not in diff.kinds:
                assert new is old
        now = after


def test_rows_made_anew_but_equal_are_the_old_objects():
    first = cluster(nodes=[node("gpu1"), node("gpu2")])
    again, diff = reduce(first, reading(nodes=copied(dict(first.nodes))))
    assert again.nodes is first.nodes and diff.kinds == {"sources"} and diff.keys == {}
    moved, diff = reduce(first, reading(nodes=copied(dict(first.nodes)) | {"gpu2": node("gpu2", "DOWN")}))
    assert moved.nodes["gpu1"] is first.nodes["gpu1"] and diff.keys == {"nodes": {"gpu2"}}


def test_joins_are_made_only_when_what_they_are_made_of_changed():
    start = cluster(nodes=[node("gpu1", rack="R1")], jobs=[job("1", nodes="gpu1")])
    same, _ = reduce(start, reading("slurm.partitions", partitions=[Partition(name="gpu", state="UP")]))
    assert same.jobs_on is start.jobs_on and same.racks is start.racks and same.totals is start.totals
    drained, _ = reduce(start, reading(nodes=[node("gpu1", "IDLE+DRAIN", rack="R1")]))
    assert drained.racks is start.racks and drained.jobs_on is start.jobs_on and drained.totals.gpus_out == 8


# -- faults ------------------------------------------------------------------------------------------------------------


@given(st.lists(READINGS, max_size=5), st.sampled_from(["slurm.nodes", "slurm.jobs", "prom.loads"]))
def test_a_fault_keeps_all_that_was_known(readings, source):
    now = START
    for one in readings:
        now, _ = reduce(now, one)
    after, diff = reduce(now, reading(source, mono=500.0, fault=FAULT))
    assert diff.kinds == {"sources"} and diff.keys == {}
    for name in after.__struct_fields__:
        if name not in {"sources", "at"}:
            assert getattr(after, name) is getattr(now, name), name
    was, is_ = now.sources[source], after.sources[source]
    assert (is_.ok, is_.tried, is_.fault, is_.failures) == (False, True, FAULT, was.failures + 1)
    assert is_.read_mono == was.read_mono and is_.warnings == was.warnings
    assert all(after.sources[name] is now.sources[name] for name in now.sources if name != source)


def test_a_good_reading_heals():
    bad, _ = reduce(START, reading(fault=FAULT))
    bad, _ = reduce(bad, reading(fault=FAULT))
    assert bad.sources["slurm.nodes"].failures == 2 and bad.known == frozenset()
    good, _ = reduce(bad, reading(mono=7.0, took=0.5, nodes=[node()], warnings=("2 lines were doubled",)))
    source = good.sources["slurm.nodes"]
    assert (source.ok, source.failures, source.fault, source.read_mono, source.took_s) == (True, 0, None, 7.0, 0.5)
    assert source.warnings == ("2 lines were doubled",) and source.age_s(10.0) == 3.0 and source.age_s(5.0) == 0.0


def test_a_source_that_nobody_announced_is_taken_in():
    after, _ = reduce(begin("lab", []), reading("new.source", nodes=[node()]))
    assert after.sources["new.source"].ok


def test_wall_time_never_goes_back():
    later, _ = reduce(START, reading(mono=900.0, nodes=[node()]))
    assert reduce(later, reading("slurm.jobs", mono=100.0, jobs=[]))[0].at == later.at == 1900.0


# -- order -------------------------------------------------------------------------------------------------------------


@given(NODES, JOBS, LOADS)
def test_the_order_of_different_sources_does_not_matter(nodes, jobs, loads):
    readings = [
        reading("slurm.nodes", nodes=nodes),
        reading("slurm.jobs", jobs=jobs),
        reading("prom.loads", loads=loads),
    ]
    found = []
    for order in itertools.permutations(readings):
        now = START
        for one in order:
            now, _ = reduce(now, one)
        found.append(facts(now))
    assert all(one == found[0] for one in found)


# -- unknown is not none -----------------------------------------------------------------------------------------------


def test_nothing_is_known_in_the_beginning():
    assert START.known == frozenset() and START.totals.nodes is START.totals.gpus is START.totals.jobs is None
    assert not any(source.tried or source.ok or source.age_s(0.0) for source in START.sources.values())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"diag", "power"}])
def test_an_empty_answer_is_known_to_be_empty(kind):
    after, diff = reduce(START, reading("any", **{kind: {}}))
    assert after.known == {kind} and kind in diff.kinds and diff.keys[kind] == frozenset()
    assert kind not in reduce(after, reading("any", **{kind: {}}))[1].kinds


def test_figures_of_the_controller():
    after, diff = reduce(START, reading("slurm.diag", diag=Diag(jobs_running=3)))
    assert after.diag.jobs_running == 3 and "diag" in diff.kinds and after.known == {"diag"}
    assert "diag" not in reduce(after, reading("slurm.diag", diag=Diag(jobs_running=3)))[1].kinds


# -- joins and sums ----------------------------------------------------------------------------------------------------


def test_jobs_stand_on_their_nodes():
    now = cluster(
        jobs=[job("1", nodes="gpu[1-2]"), job("2", nodes="gpu2"), job("3", "PENDING"), job("4", nodes="gpu[1")]
    )
    assert now.jobs_on == {"gpu1": ("1",), "gpu2": ("1", "2")}


def test_racks_are_in_the_order_of_people():
    names = {"gpu10": "R2", "gpu9": "R2", "gpu1": "R10", "login": None}
    now = cluster(nodes=[node(name, rack=rack) for name, rack in names.items()])
    assert list(now.racks.items()) == [("", ("login",)), ("R2", ("gpu9", "gpu10")), ("R10", ("gpu1",))]


def test_totals():
    nodes = [
        node("gpu1", "MIXED", gpus_alloc=3),
        node("gpu2", "DOWN"),
        node("gpu3", "IDLE+DRAIN", gpus=None, gpus_alloc=None),
    ]
    loads = [
        Load(node="gpu1", gpus_idle=6, gpu_util_pct=50.0, power_w=1000.0, temp_c=86.0),
        Load(node="gpu2", temp_c=85.0),
    ]
    totals = cluster(nodes=nodes, jobs=[job("1"), job("2", "PENDING")], loads=loads).totals
    assert (totals.nodes, totals.nodes_by_display) == (3, {"mixed": 1, "down": 1, "drained": 1})
    assert (totals.gpus, totals.gpus_alloc, totals.gpus_out) == (16, 3, 8)
    assert (totals.jobs, totals.jobs_by_state) == (2, {"RUNNING": 1, "PENDING": 1})
    assert (totals.power_w, totals.gpu_util_pct, totals.nodes_hot) == (1000.0, 50.0, 1)
    assert totals.gpus_idle_in_jobs == 1, "6 rest, of which 5 belong to no job"


def test_a_sum_of_unknowns_is_unknown():
    """Without GresUsed nobody knows how many GPUs are in use: that is not none."""
    totals = cluster(nodes=[node("gpu1", gpus_alloc=None), node("gpu2", gpus_alloc=None)]).totals
    assert totals.gpus == 16 and totals.gpus_alloc is None
    assert cluster(nodes={}).totals.gpus == 0
    assert cluster(nodes=[node("gpu1")], loads=[Load(node="gpu1")]).totals.power_w is None


def test_partitions_in_use():
    nodes = [node("gpu1", "MIXED", gpus_alloc=3), node("gpu2", "DOWN", partitions=("gpu", "long"))]
    waiting = [job("2", "PENDING", partition="gpu,long", submitted=50, reason="Priority"),
               job("3", "PENDING", submitted=20, gpus=None, reason="ReqNodeNotAvail, May be reserved")]  # fmt: skip
    parts = [Partition(name=name, state="UP") for name in ("gpu", "long", "empty")]
    now = cluster(nodes=nodes, jobs=[job("1", nodes="gpu1"), *waiting], partitions=parts)
    gpu, long, empty = partition_uses(now).values()
    assert gpu == type(gpu)(parts[0], 1, 16, 3, 1, 2, 8, 20, (("Priority", 1), ("ReqNodeNotAvail", 1)))
    assert long == type(gpu)(parts[1], 1, 8, 0, 0, 1, 8, 50, (("Priority", 1),))
    assert empty == type(gpu)(parts[2], 0, 0, 0, 0, 0, 0, None, ())


def test_who_holds_most():
    jobs = [
        job("1", nodes="a"),
        job("2", nodes="b", user="bob", gpus=32),
        job("3", nodes="c"),
        job("4", "PENDING", user="eve"),
    ]
    assert by_user(cluster(jobs=jobs)) == [("bob", 32, 1), ("alice", 16, 2)]


# -- pace --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("took", "failures", "due"),
    [(0.1, 0, 10), (3.0, 0, 30), (0.1, 1, 20), (0.1, 2, 40), (0.1, 5, 300), (0.1, 1000, 300), (60.0, 1, 600)],
)
def test_pace(took, failures, due):
    assert due_s(10.0, took, failures) == due
    after = begin("lab", [])
    for _ in range(min(failures, 6)):
        after, _ = reduce(after, reading("x", took=took, fault=FAULT))
    if 0 < failures < 6:
        assert after.sources["x"].due_s == due


@given(st.floats(1, 60), st.floats(0, 100), st.integers(0, 50))
def test_the_pace_spares_the_controller(floor, took, failures):
    due = due_s(floor, took, failures)
    assert due >= floor and due >= 10 * took and due_s(floor, took, failures + 1) >= due
    assert due <= max(LONGEST_S, floor, 10 * took)


def test_names_of_the_facts():
    """The factories of these tests make what the collectors make."""
    assert isinstance(node(), Node) and isinstance(job(), Job) and isinstance(Source(name="a.b"), Source)
    assert Source(name="slurm.nodes").chip == "slurm" and make.keyed([Alert(id="1", name="n")]).keys() == {"1"}
