"""What nodes have in common, and the ticket of one of them."""

from __future__ import annotations

import pytest

from collectors.model import Gpu, PastJob, Xid
from console.export.vendor_ticket import Case, as_markdown
from console.health.common_traits import traits
from console.health.xid_policy import default_policy
from tests.support import make
from tests.support.make import NOW
from tests.support.operator import console


def nodes(count, **of):
    """So many nodes; `of` maps a number to what that one has beside the rest."""
    rows = []
    for at in range(count):
        own = {"rack": f"R{at // 16:02}", "boot_at": NOW - 86_400 - at * 7000}
        rows.append(make.node(f"gpu{at:04}", **(own | of.get(f"n{at}", {}))))
    return make.cluster(nodes=rows)


def said(names, facts, **more):
    return [str(one) for one in traits(names, facts, **more)]


def test_a_switch_that_only_they_hang_on_comes_first():
    extra = '{"switch": "leaf-7"}'
    facts = nodes(64, n1={"extra": extra}, n20={"extra": extra}, n40={"extra": extra})
    found = said(["gpu0001", "gpu0020", "gpu0040"], facts)
    assert found[0] == "switch leaf-7: 3 of 3; no other node has"
    # What all nodes have is no answer.
    assert not any("partition" in one for one in found)


def test_a_rack_is_told_with_its_others_and_a_minority_is_not():
    facts = nodes(64)
    assert said(["gpu0001", "gpu0002", "gpu0003"], facts) == ["rack R00: 3 of 3; so have 13 of the 61 others"]
    assert said(["gpu0001", "gpu0017", "gpu0033"], facts) == []
    assert said(["gpu0001"], facts) == []


def test_they_booted_together():
    facts = nodes(64, n1={"boot_at": NOW - 300}, n20={"boot_at": NOW - 120}, n40={"boot_at": NOW - 240})
    assert "booted within 3 min: 3 of 3; no other node has" in said(["gpu0001", "gpu0020", "gpu0040"], facts)


def test_the_last_job_they_ran():
    facts = nodes(64)
    last = {"gpu0001": ["88121", "1"], "gpu0020": ["88121", "2"], "gpu0040": ["88121"]}
    assert said(list(last), facts, last_jobs=last) == ["last job 88121: 3 of 3; no other node has"]


def case(**more):
    node = make.node("gpu0001", "IDLE+DRAIN", rack="R07", version="26.05.5",
                reason="XID 79 [KubeGPU-1182]", reason_by="jdv", reason_at=NOW - 60, boot_at=NOW - 9000)  # fmt: skip
    xid = Xid(node="gpu0001", gpu=3, code=79, first_at=NOW - 70, last_at=NOW - 70, count=1)
    facts = make.cluster(nodes=[node], xids=[xid])
    return Case(node=node.name, cluster=facts, now=NOW, policy=default_policy(), **more)


def test_the_ticket_holds_what_support_asks_for_first():
    gpus = (Gpu(node="gpu0001", index=3, uuid="GPU-aa", model="H100", lost="fallen off the bus"),)
    jobs = (PastJob(id="88121", name="x", user="alice", state="NODE_FAIL", exit_code=0, signal=9, ended=NOW - 60),)
    text = as_markdown(case(gpus=gpus, jobs=jobs, lacks=("events: no slurmdbd",)))
    assert text.startswith("# gpu0001: XID 79; GPU 3 lost\n")
    for part in ("rack: R07", "KubeGPU-1182", "slurmd: 26.05.5", "GPU-aa", "fallen off the bus", "XID 79 on GPU 3",
                 "88121", "NODE_FAIL", "0:9", "no slurmdbd", "serial number: —"):  # fmt: skip
        assert part in text, part


def test_what_is_not_known_is_not_told_as_nothing():
    facts = case()
    text = as_markdown(Case(node="gpu0001", cluster=make.cluster(), now=NOW, policy=facts.policy))
    assert "unknown: no source reports them" in text and "none is known" in text


@pytest.mark.parametrize("keys", [(), ("space", "down", "space", "down", "space")])
async def test_the_key_compares_what_is_marked(keys):
    async with console((100, 30), nodes=64) as op:
        await op.press("2")
        await op.press(*keys, "equals_sign") if keys else await op.press("equals_sign")
        await op.pilot.pause()
        if not keys:
            op.sees("mark two or more")
            return
        await op.comes("In common")
        op.sees("rack", "3 of 3")
