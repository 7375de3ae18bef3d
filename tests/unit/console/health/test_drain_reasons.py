"""Reasons sorted: kind, a person or a program, the ticket; and the drain inbox made of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.health.drain_reasons import FORGOTTEN_S, KINDS, author_of, classify, drain_groups, is_automation
from console.health.tickets import find_ticket
from tests.support import make
from tests.support.make import NOW

HOUR, DAY = 3600, 86400

SORTED = [
    ("Not responding", "slurm", "slurmd", "automation"),
    ("Node unexpectedly rebooted", "slurm", "slurmd", "automation"),
    ("Low RealMemory (reported:1931044 < 100.00% of configured:2000000)", "slurm", "slurmd", "automation"),
    ("Low TmpDisk", "root", "slurmd", "automation"),
    ("gres/gpu count reported lower than configured (7 < 8)", "slurm", "slurmd", "automation"),
    ("Duplicate jobid", "slurm", "slurmd", "automation"),
    ("Reboot ASAP : reboot issued", "root", "slurmd", "automation"),
    ("Kill task failed", "root", "jobs", "automation"),
    ("Prolog error", "slurm", "jobs", "automation"),
    ("Epilog error", "slurm", "jobs", "automation"),
    ("batch job complete failure", "slurm", "jobs", "automation"),
    ("NHC: check_gpu GPU 5 XID 119", "root", "gpu", "automation"),
    ("NHC: check_gpu GPU 3 double-bit ECC", "root", "memory", "automation"),
    ("NHC: check_gpu GPU 3 row remap failure", "root", "memory", "automation"),
    ("NHC: check_ib mlx5_3 link down", "root", "network", "automation"),
    ("NHC: check_fs_mount:  /scratch not mounted", "root", "storage", "automation"),
    ("NHC: check_ps_loadavg:  too high", "nhc", "health", "automation"),
    ("[node_problem] NVLinkErrors", "root", "network", "automation"),
    ("XID 79 GPU 3 off the bus [KubeGPU-1182]", "jdv", "gpu", "human"),
    ("XID 48", "jdv", "memory", "human"),
    ("xid=74 again", "jdv", "network", "human"),
    ("bad DIMM B2, ticket #4711", "root(0)", "memory", "human"),
    ("PSU dead", "root", "power", "human"),
    ("IB cable flaps port 2", "rvdberg", "network", "human"),
    ("swap GPU 2", "jdv", "gpu", "human"),
    ("bios update", "jdv", "maintenance", "human"),
    ("do not use, ask Sietse", "sbos", "human", "human"),
    ("works with gpu0412 only", "sbos", "human", "human"),
    ("", "jdv", "unknown", "human"),
    (None, None, "unknown", "unknown"),
    ("something odd", None, "unknown", "unknown"),
    ("something odd", "autodrain", "unknown", "automation"),
]


@pytest.mark.parametrize(("text", "by", "kind", "signed"), SORTED)
def test_a_reason_is_sorted(text, by, kind, signed):
    found = classify(text, by)
    assert (found.kind, found.author) == (kind, signed)
    assert found.label == KINDS[kind]


def test_an_xid_in_the_text_is_found():
    assert classify("NHC: XID 119", "root").xid == 119
    assert classify("Xid: 79, GPU 3", "jdv").xid == 79
    assert classify("exid 5", "jdv").xid is None
    assert classify("SXid 20034", "jdv").xid is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("off the bus [KubeGPU-1182]", "KubeGPU-1182"),
        ("INC0012 fan", "INC0012"),
        ("RT#123", "RT#123"),
        ("see RT 123", "RT#123"),
        ("bad DIMM A3, RMA 4471", "RMA 4471"),
        ("support case 00219811", "case 00219811"),
        ("ticket #4711", "#4711"),
        ("#4711", "#4711"),
        ("https://jira.example/browse/OPS-12", "OPS-12"),
        ("https://git.example/x/-/issues/77", "#77"),
        ("GPU-3 is dead, XID-79, H100-80", None),
        ("[GPU-3] dead", None),
        ("[GPU-3] dead OPS-7", "OPS-7"),
        ("R07-12", None),
        ("7 of 8", None),
        ("", None),
    ],
)
def test_a_ticket_is_recognised(text, found):
    assert find_ticket(text) == found


def test_root_is_a_person_when_the_text_is():
    assert (
        author_of("root", "bad DIMM") == "human"
        and author_of("root", "NHC: x") == "automation"
        and author_of("root") == "automation"
    )
    assert (
        is_automation("root")
        and is_automation("drain-bot")
        and is_automation("svc-nhc", "x")
        and not is_automation("jdv", "NHC: copied")
    )
    assert not is_automation(None) and is_automation(None, "Kill task failed")


@given(st.text(max_size=80), st.none() | st.text(max_size=12))
def test_any_text_has_a_kind_and_nothing_breaks(text, by):
    found = classify(text, by)
    assert found.kind in KINDS and found.author in {"human", "automation", "unknown"}
    assert found.ticket is None or found.ticket


# -- the inbox -------------------------------------------------------------------------------------------------------


def out(name, reason, by, ago, rack="R07", state="IDLE+DRAIN"):
    return make.node(name, state, reason=reason, reason_by=by, reason_at=int(NOW - ago), rack=rack)


def test_every_node_that_is_out_is_in_it_and_no_other():
    nodes = [
        out("gpu0001", "NHC: check_ib mlx5_0 link down", "root", HOUR),
        out("gpu0002", "x", "jdv", HOUR, state="ALLOCATED+DRAIN"),
        out("gpu0003", "Not responding", "slurm", HOUR, state="DOWN*"),
        out("gpu0004", "low", "slurm", HOUR, state="IDLE+DRAIN+INVALID_REG"),
        make.node("gpu0005"),
        make.node("gpu0006", "ALLOCATED"),
        make.node("gpu0007", "FUTURE"),
        out("gpu0008", "left", "jdv", HOUR, state="IDLE"),
    ]
    found = drain_groups(make.cluster(nodes=nodes), NOW)
    assert {name for entry in found for name in entry.nodes} == {f"gpu000{n}" for n in (1, 2, 3, 4)}


def test_what_went_for_one_reason_in_one_rack_is_one_entry():
    nodes = [out(f"gpu000{n}", f"NHC: check_ib mlx5_{n} link down", "root", n * HOUR) for n in (2, 1)]
    nodes.append(out("gpu0009", "NHC: check_ib mlx5_9 link down", "root", HOUR, rack="R08"))
    jobs = [make.job("7", nodes="gpu[0001-0002]")]
    first, second = drain_groups(make.cluster(nodes=nodes, jobs=jobs), NOW)
    assert (first.nodes, first.rack, first.reasons, first.since) == (("gpu0001", "gpu0002"), "R07", 2, NOW - 2 * HOUR)
    assert (first.kind, first.author, first.jobs) == ("network", "automation", ("7",))
    assert (second.nodes, second.jobs) == (("gpu0009",), ())


def test_the_forgotten_come_first_and_unknown_jobs_stay_unknown():
    nodes = [
        out("gpu0001", "XID 79", "jdv", HOUR),
        out("gpu0002", "fan [OPS-1]", "jdv", FORGOTTEN_S + 1),
        out("gpu0003", None, None, HOUR),
    ]
    found = drain_groups(make.cluster(nodes=nodes), NOW)
    assert [entry.forgotten for entry in found] == [True, False, False]
    assert (found[0].ticket, found[0].jobs) == ("OPS-1", None)
    assert [entry.kind for entry in found] == ["power", "gpu", "unknown"]


def test_nothing_is_known_of_nodes_that_were_not_read():
    assert drain_groups(make.cluster(), NOW) == []
