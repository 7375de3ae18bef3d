"""GPUs of a node that is to come back: each finding, and that nothing is called fine on missing or old facts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.model import Fault, Process, Source
from console.actions.registry import BY_ID
from console.gate.preflight_reads import run_checks
from console.health.xid_policy import default_policy, load_policy
from console.preflight.checks import PreflightReads
from tests.support import make
from tests.support.gpu_checks import FINE, eight, gpu, load, node, of, said, site, xid
from tests.support.make import NOW


def test_a_node_that_is_well_is_told_of_in_one_line():
    found = said(site(node(), loads=[load()]), gpus={"gpu0001": eight()})
    assert found == [("ok", f"no XID since boot, {FINE}")]


def test_the_xid_for_which_it_was_drained_still_stands_against_it():
    was = node(reason="XID 79", reason_by="jdv", reason_at=int(NOW - 60))
    (bad,) = of("bad", said(site(was, loads=[load()], xids=[xid(), xid(gpu=5)]), gpus={"gpu0001": eight()}))
    assert bad.startswith("XID 79 on GPU 3,5 since boot (") and "drain, reboot the node" in bad


@pytest.mark.parametrize("action", ["resume", "undrain"])
def test_a_boot_or_an_earlier_resume_settles_an_xid(action):
    gpus = {"gpu0001": eight()}
    booted = said(site(node(boot_at=int(NOW - 100)), loads=[load()], xids=[xid()]), action, gpus)
    assert of("bad", booted) == [] and "no XID since boot" in of("ok", booted)[0]
    put_back = said(site(node(), loads=[load()], xids=[xid()]), action, gpus, resumed={"gpu0001": NOW - 200})
    assert of("bad", put_back) == [] and "no XID since it was put back" in of("ok", put_back)[0]
    again = said(site(node(), loads=[load()], xids=[xid()]), action, gpus, resumed={"gpu0001": NOW - 400})
    assert "XID 79 on GPU 3 since it was put back" in of("bad", again)[0]


def test_the_policy_says_which_xids_keep_a_node_out(tmp_path):
    gpus = {"gpu0001": eight()}
    assert of("warn", said(site(node(), loads=[load()], xids=[xid(63)]), gpus=gpus))[0].startswith("XID 63 on GPU 3")
    assert "no advice for XID 999" in of("warn", said(site(node(), xids=[xid(999)]), gpus=gpus))[0]
    (fine,) = of("ok", said(site(node(), xids=[xid(43), xid(13)]), gpus=gpus))
    assert fine.startswith("no XID to act on since boot (only 13, 43), GPUs 8 of 8")
    path = tmp_path / "xid.toml"
    path.write_text('[xid.79]\naction = "ignore"\nfirst_step = "ours do that"\nsource = "us"\n')
    assert of("bad", said(site(node(), xids=[xid()]), gpus=gpus, policy=load_policy(path))) == []


def test_the_gauge_counts_where_no_row_tells_of_it():
    text = "XID 79 since boot (when is not known)"
    assert of("bad", said(site(node(), loads=[load(xid=79)]), gpus=None))[0].startswith(text)
    found = said(site(node(), loads=[load()], xids=None), gpus={"gpu0001": eight(3, xid=79)})
    assert of("bad", found)[0].startswith("XID 79 on GPU 3 since boot (when is not known)")
    assert "not known: XIDs; " in "; ".join(of("unknown", found)) + "; "


@pytest.mark.parametrize(
    ("odd", "level", "text"),
    [
        ({"lost": "fallen off the bus"}, "bad", "GPU 3 is lost: fallen off the bus"),
        ({"remap_failed": True}, "bad", "GPU 3: a row could not be remapped: support"),
        ({"remap_pending": True}, "bad", "GPU 3: a remapped row waits for a reset: reset it first"),
        ({"recovery": "drain and reset"}, "bad", "GPU 3: the driver asks for drain and reset"),
        ({"ecc_uncorrected": 4}, "warn", "GPU 3: 4 uncorrected ECC errors since the driver was loaded"),
        ({"util_pct": 98.0}, "bad", "GPU 3 busy at 98 % and no job holds it"),
        ({"memory_used_mb": 62_464}, "warn", "GPU 3 has 61 GB in use and no job holds it"),
        ({"processes": (Process(pid=7, name="python", user="eve"),)}, "bad",
         "GPU 3: process 7 (python, eve) belongs to no job"),
    ],
)  # fmt: skip
def test_each_trouble_of_a_gpu(odd, level, text):
    found = said(site(node(), loads=[load()]), gpus={"gpu0001": eight(3, **odd)})
    assert of(level, found) == [text] and len([one for one in found if one[0] in {"bad", "warn"}]) == 1


def test_fewer_gpus_than_slurm_counts_keep_it_out_more_do_not():
    assert of("bad", said(site(node()), gpus={"gpu0001": eight()[:7]})) == [
        "7 of the 8 GPUs that Slurm counts are seen"
    ]
    assert of("bad", said(site(node(), loads=[load(gpus_seen=6)]))) == ["6 of the 8 GPUs that Slurm counts are seen"]
    assert of("warn", said(site(node(gpus=4)), gpus={"gpu0001": eight()})) == ["8 GPUs are seen, Slurm counts 4"]
    sliced = said(site(node(gpus=56, gpu_type="1g.10gb", gpu_slices=56)), gpus={"gpu0001": eight()})
    assert of("bad", sliced) == [] and "GPUs 8" not in of("ok", sliced)[0]


def test_busy_gpus_beside_jobs_are_a_warning_and_only_where_slurm_tells_which_are_held():
    mixed = node(state="MIXED+DRAIN", gpus_alloc=4, gpus_used="0-3")
    jobs = [make.job("7", nodes="gpu0001")]
    held = tuple(gpu(index, util_pct=97.0 if index < 4 else 0.0) for index in range(8))
    assert "none busy beside the jobs" in of("ok", said(site(mixed, jobs=jobs), gpus={"gpu0001": held}))[0]
    stray = (*held[:7], gpu(7, util_pct=50.0))
    found = said(site(mixed, jobs=jobs), gpus={"gpu0001": stray})
    assert of("warn", found) == ["GPU 7 busy at 50 % and no job holds it"] and of("bad", found) == []
    blind = msgspec.structs.replace(mixed, gpus_used=None)
    found = said(site(blind, jobs=jobs), gpus={"gpu0001": stray})
    assert of("warn", found) == [] and "beside the jobs" in of("unknown", found)[0]


def test_busy_gpus_of_a_node_are_one_line():
    stray = tuple(gpu(index, util_pct=79.0 + index if index < 5 else 0.0) for index in range(8))
    text = "GPU 0-4 busy at 79 to 83 % and no job holds them"
    assert of("bad", said(site(node()), gpus={"gpu0001": stray})) == [text]
    alike = tuple(gpu(index, util_pct=80.0) for index in range(8))
    assert of("bad", said(site(node()), gpus={"gpu0001": alike}))[0].startswith("GPU 0-7 busy at 80 % and")


@pytest.mark.parametrize("more", [{"busy_at": int(NOW - 30)}, {"state": "IDLE+DRAIN+COMPLETING"}])
def test_a_sample_from_before_the_job_ended_accuses_nobody(more):
    found = said(site(node(**more)), gpus={"gpu0001": eight(3, util_pct=98.0)})
    assert of("bad", found) == [] and "a job has only just ended" in of("unknown", found)[0]


def test_the_sums_of_the_last_poll_stand_in_for_gpus_that_were_not_read():
    found = said(site(node(), loads=[load()]))
    assert of("ok", found) == ["no XID since boot, GPUs 8 of 8, none busy"]
    assert of("unknown", found) == ["not known: ECC and remaps (its GPUs were not read one by one)"]
    assert of("bad", said(site(node(), loads=[load(gpus_idle=6)]))) == ["2 GPUs busy, and no job holds any"]


def test_what_an_exporter_does_not_tell_is_unknown_what_the_card_has_not_is_nothing():
    bare = {"ecc_uncorrected": None, "remap_pending": None, "recovery": None}
    found = said(site(node(), loads=[load()]), gpus={"gpu0001": tuple(gpu(index, **bare) for index in range(8))})
    assert of("ok", found) == ["no XID since boot, GPUs 8 of 8, no remap failed, none busy"]
    assert of("unknown", found) == ["not known: pending remaps, ECC errors"]
    without = tuple(gpu(index, **bare, na=frozenset(bare)) for index in range(8))
    assert of("unknown", said(site(node(), loads=[load()]), gpus={"gpu0001": without})) == []


def test_without_telemetry_the_gpus_are_unknown_and_nobody_is_refused():
    found = said(site(node(), loads=None, xids=None), faults=("prom is silent",))
    assert found == [("unknown", "prom is silent"), ("unknown", "GPUs unknown: no telemetry")]
    old = said(site(node(), loads=[load(ago=7200)]), gpus={})
    assert old == [("unknown", "GPUs unknown: its exporter is silent, the last sample is 2h 00m old")]
    assert said(site(node(), loads=[]), gpus={}) == [("unknown", "GPUs unknown: its exporter is silent")]
    late = Source(name="prom.loads", ok=False, tried=True, fault=Fault("timeout", "silent"))
    found = said(site(node(), loads=[load()], sources=[late]))
    assert found == [("unknown", "GPUs unknown: its telemetry was not read, or is old")]


def test_a_node_without_gpus_has_none_to_look_at():
    assert said(site(node(gpus=0), loads=None, xids=None)) == []


def test_old_facts_of_slurms_accuse_nobody_and_call_nothing_fine():
    stale = Source(name="slurm.nodes", ok=True, read_mono=100.0, due_s=10.0)
    cluster = site(node(), loads=[load()], xids=[xid()], sources=[stale])
    found = run_checks(BY_ID["resume"], cluster, cluster.nodes, PreflightReads(gpus={"gpu0001": eight(3,
    remap_failed=True)}), NOW,
                   default_policy(), mono=500.0)  # fmt: skip
    assert {one.level for one in found} == {"unknown"} and len(found) == 2


ODD = st.fixed_dictionaries({}, optional={
    "sampled_at": st.sampled_from([None, int(NOW - 20), int(NOW - 400), int(NOW + 4000), 0]),
    "util_pct": st.sampled_from([None, 0.0]), "memory_used_mb": st.sampled_from([None, 4]),
    "ecc_uncorrected": st.sampled_from([None, 0]), "remap_pending": st.sampled_from([None, False]),
    "remap_failed": st.sampled_from([None, False]), "recovery": st.sampled_from([None, "none"]),
    "lost": st.sampled_from([None, "gone"]),
})  # fmt: skip
#: What an ok line may say, and the field that proves it.
PROOFS = {"no remap failed": "remap_failed", "no remap pending": "remap_pending", "none busy": "util_pct",
          "no uncorrected ECC error": "ecc_uncorrected", "the driver asks for nothing": "recovery"}  # fmt: skip


@given(
    rows=st.lists(ODD, max_size=8),
    sums=st.sampled_from([None, load(), load(ago=400), load(gpus_seen=None), load(gpus_idle=None)]),
    missing=st.sets(st.sampled_from(["nodes", "jobs", "loads", "xids"])),
)
def test_nothing_is_called_fine_on_facts_that_are_missing_or_old(rows, sums, missing):
    gpus = tuple(gpu(index, **odd) for index, odd in enumerate(rows))
    sources = [
        Source(name=f"x.{kind}", ok=kind not in missing, tried=True) for kind in ("nodes", "jobs", "loads", "xids")
    ]
    cluster = site(node(), loads=[sums] if sums else [], sources=sources)
    (fine,) = of("ok", said(cluster, gpus={"gpu0001": gpus})) or ("",)
    recent = [one for one in gpus if one.lost is None and one.sampled_at == int(NOW - 20)]
    whole = len(recent) == len(gpus) > 0
    by_sums = not recent and sums is not None and "loads" not in missing and sums.sampled_at == int(NOW - 20)
    for phrase, field in PROOFS.items():
        if phrase in fine:
            assert (whole and all(getattr(one, field) is not None for one in gpus)) or (
                phrase == "none busy" and by_sums
            )
    if "none busy" in fine:
        assert "jobs" not in missing and not (by_sums and None in (sums.gpus_seen, sums.gpus_idle))
    if "GPUs 8 of 8" in fine:
        assert (whole and len(gpus) == 8) or (by_sums and sums.gpus_seen == 8)
    if "no XID" in fine:
        assert "xids" not in missing and (
            whole or (sums in (load(), load(gpus_seen=None), load(gpus_idle=None)) and "loads" not in missing)
        )
    assert not fine or "nodes" not in missing


def test_each_source_that_failed_makes_its_own_facts_unknown():
    def without(kind, cluster):
        return msgspec.structs.replace(cluster, sources={kind: Source(name=f"x.{kind}", tried=True)})

    busy = {"gpu0001": eight(3, util_pct=98.0)}
    found = said(without("jobs", site(node(), loads=[load()])), gpus=busy)
    assert of("bad", found) == [] and of("unknown", found) == [
        "not known: what runs on the GPUs (the jobs are not known)"
    ]
    found = said(without("xids", site(node(), loads=[load()], xids=[xid()])), gpus={"gpu0001": eight()})
    assert of("bad", found) == [] and of("unknown", found) == ["not known: XIDs"]
    found = said(site(node(), loads=[load()]), gpus={"gpu0001": eight(3, util_pct=None)})
    assert of("unknown", found) == ["not known: what runs on the GPUs"]


def test_where_jobs_hold_every_gpu_none_is_free():
    full = node(state="ALLOCATED+DRAIN", gpus_alloc=8)
    found = said(site(full, jobs=[make.job("7", nodes="gpu0001")]), gpus={"gpu0001": eight(3, util_pct=98.0)})
    assert [level for level, _ in found] == ["ok"] and "busy" not in found[0][1]


@pytest.mark.parametrize(
    ("field", "phrase", "blind"),
    [("remap_pending", "no remap pending", "pending remaps"), ("ecc_uncorrected", "no uncorrected", "ECC errors")],
)
def test_one_gpu_that_does_not_tell_keeps_all_from_being_called_fine(field, phrase, blind):
    found = said(site(node(), loads=[load()]), gpus={"gpu0001": eight(3, **{field: None})})
    assert phrase not in of("ok", found)[0] and of("unknown", found) == [f"not known: {blind}"]


@pytest.mark.parametrize("at", [None, 0, int(NOW - 181), int(NOW + 181)])
def test_a_gpu_sampled_long_ago_or_ahead_of_time_is_unknown(at):
    found = said(site(node(), loads=[load()]), gpus={"gpu0001": eight(3, sampled_at=at, remap_failed=True)})
    assert of("ok", found) == ["no XID since boot"] and of("bad", found) == []
    assert of("unknown", found) == ["not known: 1 of its GPUs (no sample of the last 3m)"]
