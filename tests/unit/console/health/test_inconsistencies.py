"""Facts that disagree, and the many reasons not to accuse anybody."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import Fault, Load, Source
from console.health.inconsistencies import KINDS, fresh_facts, inconsistencies
from console.health.xid_policy import load_policy
from console.runtime.memo import forget
from tests.support import make
from tests.support.gpu_checks import DAY, HOUR, load, xid
from tests.support.make import NOW
from tests.support.yardstick import cost

JOB = make.job("7", nodes="gpu0001", started=int(NOW - HOUR))


def node(state="IDLE", **more):
    given = {"gpus_alloc": 8 if state == "ALLOCATED" else 0, "boot_at": int(NOW - 9 * DAY)} | more
    return make.node("gpu0001", state, **given)


def site(*nodes, loads=None, xids=None, jobs=(), sources=(), **facts):
    """A cluster read just now. Kinds that are None were never read."""
    return make.cluster(sources=sources, at=NOW, nodes=nodes, loads=loads, xids=xids, jobs=jobs, **facts)


def found(cluster, *kinds, **more):
    every = inconsistencies(cluster, NOW, **more)
    assert {one.kind for one in every} <= KINDS.keys()
    return [(one.severity, one.text) for one in every if one.kind in kinds] if kinds else every


# -- an XID ----------------------------------------------------------------------------------------------------------


def test_a_node_that_takes_work_with_an_xid_that_takes_it_out():
    (one,) = found(site(node(), xids=[xid()]))
    assert (one.kind, one.severity, one.code, one.gpu, one.since) == ("xid", "bad", 79, 3, NOW - 300)
    assert one.text == "idle in Slurm, XID 79 on GPU 3: drain, reboot the node, call support"


def test_the_worst_of_a_nodes_xids_is_the_one_that_is_told():
    (one,) = found(site(node("MIXED"), xids=[xid(43), xid(63, gpu=1), xid(31), xid(79, gpu=2), xid(79, gpu=5)]))
    assert one.code == 79 and one.gpu is None and "GPU 2, 5" in one.text


@pytest.mark.parametrize("code", [13, 31, 43, 45, 92, 94])
def test_what_the_policy_leaves_alone_is_no_contradiction(code):
    assert found(site(node(), xids=[xid(code)])) == []


def test_what_can_wait_and_what_nobody_knows_is_less_bad():
    assert found(site(node(), xids=[xid(63)]), "xid")[0][0] == "warn"
    severity, text = found(site(node(), xids=[xid(999)]), "xid")[0]
    assert severity == "warn" and "no advice for XID 999" in text


def test_the_sites_policy_decides(tmp_path):
    path = tmp_path / "xid.toml"
    path.write_text('[xid.79]\naction = "ignore"\nfirst_step = "ours do that"\nsource = "us"\n')
    assert found(site(node(), xids=[xid()]), policy=load_policy(path)) == []


@pytest.mark.parametrize("state", ["IDLE+DRAIN", "ALLOCATED+DRAIN", "DOWN*", "IDLE+MAINTENANCE", "IDLE+FAIL"])
def test_a_node_that_is_out_is_not_accused_of_its_xid(state):
    assert found(site(node(state), xids=[xid()]), "xid") == []


def test_an_xid_from_before_the_boot_or_the_repair_is_history():
    old = [xid(ago=2 * HOUR)]
    assert found(site(node(boot_at=int(NOW - HOUR)), xids=old), "xid") == []
    assert found(site(node(reason="XID 79", reason_at=int(NOW - HOUR)), xids=old), "xid") == []
    assert found(site(node(), xids=old), "xid", resumed={"gpu0001": NOW - HOUR}) == []
    assert found(site(node(), xids=old), "xid", resumed={"gpu0001": NOW - 3 * HOUR})


def test_the_last_code_of_the_telemetry_counts_where_nothing_tells_when_it_came():
    gauge = load(xid=79)
    assert found(site(node(), loads=[gauge]), "xid") == [
        ("bad", "idle in Slurm, XID 79: drain, reboot the node, call support")
    ]
    assert found(site(node(), loads=[gauge], xids=[]), "xid")
    # Rows are known and have none: it is old, and the node was drained since it booted.
    repaired = node(reason="XID 79", reason_at=int(NOW - HOUR))
    assert found(site(repaired, loads=[gauge], xids=[]), "xid") == []
    # The rows know better than the gauge.
    assert found(site(node(), loads=[gauge], xids=[xid(31)]), "xid") == []


# -- GPUs that work or do not ----------------------------------------------------------------------------------------


def test_all_gpus_held_and_all_idle_names_who_holds_them():
    (one,) = found(site(node("ALLOCATED"), loads=[load()], jobs=[JOB]))
    assert (one.kind, one.text, one.jobs) == ("idle", "all 8 GPUs held, all idle now: alice 7", ("7",))


@pytest.mark.parametrize(
    "cluster",
    [
        site(node("ALLOCATED"), loads=[load(gpus_idle=7)], jobs=[JOB]),
        site(node("MIXED", gpus_alloc=4), loads=[load()], jobs=[JOB]),
        site(node("ALLOCATED"), loads=[load()], jobs=[make.job("7", nodes="gpu0001", started=int(NOW - 60))]),
        site(node("ALLOCATED"), loads=[load()], jobs=None),
        site(node("ALLOCATED", gpus=0, gpus_alloc=0), loads=[load(gpus_seen=0, gpus_idle=0)], jobs=[JOB]),
        site(
            node("ALLOCATED"),
            loads=[load(gpus_seen=None, util_gpus=None, gpus_idle=None, gpu_util_pct=40.0)],
            jobs=[JOB],
        ),
        site(node("ALLOCATED"), loads=[load(gpus_idle=None, gpu_util_pct=None)], jobs=[JOB]),
    ],
    ids=["one works", "half held", "just begun", "jobs unknown", "no GPUs", "mean is high", "nothing known"],
)
def test_no_word_of_idle_gpus(cluster):
    assert found(cluster, "idle") == []


def test_the_mean_alone_can_tell_that_all_are_idle():
    quiet = load(gpus_seen=None, util_gpus=None, gpus_idle=None, gpu_util_pct=1.0)
    assert found(site(node("ALLOCATED"), loads=[quiet], jobs=[JOB]), "idle")


def test_gpus_busy_with_no_job():
    assert found(site(node(), loads=[load(gpus_idle=7)]), "stray") == [
        ("warn", "idle in Slurm, 1 GPU busy, no job on the node")
    ]
    lone = load(gpus_seen=None, util_gpus=None, gpus_idle=None, gpu_util_pct=12.1)
    assert found(site(node(), loads=[lone]), "stray") == [("warn", "idle in Slurm, GPUs busy, no job on the node")]
    assert found(site(node("IDLE+DRAIN"), loads=[load(gpus_idle=5)]), "stray") == [
        ("note", "drained in Slurm, 3 GPUs busy, no job on the node")
    ]
    cpu_only = [make.job("7", nodes="gpu0001", gpus=0)]
    assert (
        "the jobs here hold none" in found(site(node("MIXED"), loads=[load(gpus_idle=6)], jobs=cpu_only), "stray")[0][1]
    )


def test_a_sample_from_before_the_job_ended_is_no_stray():
    assert found(site(node(busy_at=int(NOW - 30)), loads=[load(20, gpus_idle=0)]), "stray") == []
    assert found(site(node(busy_at=int(NOW - 300)), loads=[load(20, gpus_idle=0)]), "stray")
    assert found(site(node("IDLE+COMPLETING"), loads=[load(gpus_idle=0)]), "stray") == []


def test_counts_that_differ():
    assert found(site(node(), loads=[load(gpus_seen=7, util_gpus=7, gpus_idle=7)]), "count") == [
        ("warn", "Slurm sees 8 GPUs, telemetry sees 7")
    ]
    assert found(site(node("IDLE+DRAIN"), loads=[load(gpus_seen=7, util_gpus=7, gpus_idle=7)]), "count")[0][0] == "note"
    mig = node(gpu_type="1g.10gb", gpu_slices=56, gpus=56)
    assert found(site(mig, loads=[load()]), "count") == []
    assert found(site(node(), loads=[load(gpus_seen=None)]), "count") == []


# -- silence, power, what is left ------------------------------------------------------------------------------------


def other(ago=10.0):
    return Load(node="gpu0002", sampled_at=int(NOW - ago))


def test_a_working_node_whose_exporter_is_silent():
    assert found(site(node("MIXED"), make.node("gpu0002"), loads=[other()]), "silent") == [
        ("warn", "mixed in Slurm, its exporter is silent")
    ]
    late = site(node(), make.node("gpu0002"), loads=[other(), load(400, gpus_idle=2)])
    (one,) = found(late)
    assert (one.kind, one.since) == ("silent", NOW - 400)


@pytest.mark.parametrize(
    "cluster",
    [
        site(node(), loads=None),
        site(node(), loads=[]),
        site(node("DOWN*"), loads=[other()]),
        site(node("IDLE+DRAIN"), loads=[other()]),
        site(node(gpus=0), loads=[other()]),
        site(node(gpus=None), loads=[other()]),
        site(node(slurmd_at=int(NOW - 60)), loads=[other()]),
        site(node(), loads=[other(4000), load(4000)]),
    ],
    ids=["never read", "nobody reports", "down", "drained", "no GPUs", "GPUs unknown", "just came up", "clocks differ"],
)
def test_no_word_of_silence(cluster):
    assert found(cluster, "silent") == []


def test_a_node_that_is_down_and_alive():
    gone = {"reason": "Not responding", "reason_by": "slurm", "reason_at": int(NOW - HOUR)}
    (one,) = found(site(node("DOWN*", **gone), loads=[load(power_w=5400.0)]))
    assert (one.kind, one.severity) == ("alive", "note")
    assert one.text == "down in Slurm, but it draws 5,400 W and its exporter answers"
    just = gone | {"reason_at": int(NOW - 15)}
    assert found(site(node("DOWN*", **just), loads=[load(power_w=5400.0)]), "alive") == []
    bmc = Load(node="gpu0001", sampled_at=int(NOW), power_w=40.0)
    assert found(site(node("IDLE+POWERED_DOWN"), loads=[bmc]), "alive") == []


def test_a_reason_that_is_left_is_a_note():
    left = node(reason="bad DIMM", reason_by="jdv", reason_at=int(NOW - DAY))
    assert found(site(left), "left") == [("note", "idle again, its old reason is still there: bad DIMM")]
    assert found(site(node("IDLE+REBOOT_REQUESTED", reason="bios")), "left") == []


def test_telemetry_of_a_node_that_slurm_does_not_know():
    cluster = site(node(), loads=[load(), Load(node="login1", sampled_at=int(NOW))])
    assert [(one.node, one.kind, one.severity) for one in found(cluster)] == [("login1", "stranger", "note")]
    assert found(cluster, node="gpu0001") == [] and len(found(cluster, node="login1")) == 1


# -- old facts accuse nobody -----------------------------------------------------------------------------------------


def source(name, age=1.0, fault=None, due=10.0):
    return Source(name=name, ok=fault is None, tried=True, read_mono=1000.0 - age, took_s=0.1, fault=fault, due_s=due)


GOOD = ("slurm.nodes", "slurm.jobs", "prom.loads", "prom.xids")
DEAD = Fault("timeout", "it did not answer")


def lemon(**bad):
    """A node with everything wrong, and sources of which some are late or dead."""
    sources = [bad.get(name.replace(".", "_"), source(name)) for name in GOOD]
    return site(
        node("ALLOCATED"),
        loads=[load(gpus_seen=7, util_gpus=7, gpus_idle=7)],
        xids=[xid()],
        jobs=[JOB],
        sources=sources,
    )


@pytest.mark.parametrize(
    ("bad", "kinds"),
    [
        ({}, {"xid", "count", "idle"}),
        ({"slurm_nodes": source("slurm.nodes", fault=DEAD)}, set()),
        ({"slurm_nodes": source("slurm.nodes", age=60)}, set()),
        ({"slurm_jobs": source("slurm.jobs", fault=DEAD)}, {"xid", "count"}),
        ({"prom_loads": source("prom.loads", fault=DEAD)}, {"xid"}),
        ({"prom_loads": source("prom.loads", age=60)}, {"xid"}),
        ({"prom_xids": source("prom.xids", fault=DEAD)}, {"count", "idle"}),
        ({"prom_xids": source("prom.xids", age=60, due=40)}, {"xid", "count", "idle"}),
    ],
)
def test_a_source_that_failed_or_is_late_accuses_nobody(bad, kinds):
    cluster = lemon(**bad)
    assert {one.kind for one in inconsistencies(cluster, NOW, mono=1000.0)} == kinds


def test_without_a_clock_the_newest_reading_tells_how_late_it_is():
    assert fresh_facts(lemon(), NOW).nodes
    assert not fresh_facts(lemon(), NOW + 60).nodes
    assert not fresh_facts(lemon(slurm_nodes=source("slurm.nodes", age=60)), NOW).nodes


def test_a_kind_that_was_never_read_is_not_fresh():
    assert fresh_facts(site(node(), jobs=None), NOW) == fresh_facts(site(node(), jobs=None), NOW, 5.0)
    assert not fresh_facts(site(node(), jobs=None), NOW).jobs and not fresh_facts(make.cluster(), NOW).nodes


states = st.sampled_from(["IDLE", "ALLOCATED", "MIXED", "DOWN*", "IDLE+DRAIN", "ALLOCATED+DRAIN", "IDLE+COMPLETING"])
counts = st.none() | st.integers(0, 8)
times = st.none() | st.integers(int(NOW) - 2 * DAY, int(NOW) + 60)


@given(
    states,
    counts,
    counts,
    counts,
    st.none() | st.floats(0, 100),
    times,
    times,
    times,
    st.none() | st.sampled_from([79, 31]),
)
def test_whatever_is_unknown_nothing_breaks_and_a_drained_node_is_never_bad(
    state, held, seen, idle, util, sampled, boot, reason_at, code
):
    one = node(state, gpus_alloc=held, boot_at=boot, reason="x" if reason_at else None, reason_at=reason_at)
    facts = load(gpus_seen=seen, gpus_idle=idle, gpu_util_pct=util, xid=code)
    cluster = site(one, loads=[msgspec.structs.replace(facts, sampled_at=sampled)], jobs=[JOB])
    for each in inconsistencies(cluster, NOW):
        assert each.text and each.kind in KINDS
        if "DRAIN" in one.flags or one.state == "DOWN":
            assert each.severity == "note"


def test_twelve_thousand_nodes_are_quick():
    names = [f"gpu{number:05d}" for number in range(12_000)]
    nodes = [make.node(name, "ALLOCATED", gpus_alloc=8, rack=f"R{at // 16}") for at, name in enumerate(names)]
    busy = {"sampled_at": int(NOW - 5), "gpus_seen": 8, "util_gpus": 8, "gpus_idle": 0, "gpu_util_pct": 90.0}
    cluster = site(*nodes, loads=[Load(node=name, **busy) for name in names])
    assert inconsistencies(cluster, NOW) == []
    # Once a reading, in the thread that reduces; and then again and again, as the clock goes on.
    assert cost(lambda: (forget(cluster.name), inconsistencies(cluster, NOW))) < 15  # 4.8 where it was measured
    assert cost(lambda: inconsistencies(cluster, NOW)) < 0.1  # 0.01
