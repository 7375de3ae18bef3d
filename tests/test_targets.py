"""What a person types for targets becomes a frozen list of explicit names, or is refused."""

from __future__ import annotations

import re

import pytest

from collectors.model import Coolant
from console.actions import BY_ID
from console.targets import is_whose, jobs_of, named, nodes_of, offered, refuse_more, taken
from tests import make
from tests.operator import console

CLUSTER = make.cluster(
    nodes=[make.node(f"gpu000{n}", rack=f"R0{(n + 1) // 2}") for n in range(1, 5)],
    jobs=[
        make.job("101", nodes="gpu0001", user="alice", account="ml"),
        make.job("102", nodes="gpu[0002-0003]", user="alice", account="bio"),
        make.job("103", "PENDING", user="bob", account="ml"),
        make.job("104_1", nodes="gpu0003", user="bob", account="ml"),
        make.job("104_2", "PENDING", user="bob", account="ml"),
        make.job("105+0", "PENDING", user="bob", account="bio"),
    ],
    cooling={"x": Coolant(loop="cdu-2", what="supply", racks=("R02",))},
)


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["101"], ["101"]), (["101,103"], ["101", "103"]), (["103", "101"], ["103", "101"]),
        (["[101-103]"], ["101", "102", "103"]), (["104"], ["104_1", "104_2"]), (["105+0"], ["105+0"]),
        (["105"], ["105+0"]), (["104_[1-2]"], ["104_1", "104_2"]), (["999"], ["999"]),
        (["user=alice"], ["101", "102"]), (["account=ml"], ["101", "103", "104_1", "104_2"]),
        (["user=alice,bob"], ["101", "102", "103", "104_1", "104_2", "105+0"]),
        (["nodes=gpu0003"], ["102", "104_1"]), (["nodes=gpu[0001-0002]"], ["101", "102"]),
        (["@rack:R02"], ["102", "104_1"]), (["nodes=@rack:R01"], ["101", "102"]), (["@loop:cdu-2"], ["102", "104_1"]),
        (["user=bob", "nodes=gpu0003"], ["104_1"]), (["user=alice", "account=ml"], ["101"]),
        (["user=alice", "user=bob", "account=bio"], ["102", "105+0"]),
    ],
)  # fmt: skip
def test_jobs_are_named_one_by_one(words, jobs):
    assert list(jobs_of(words, CLUSTER)) == jobs


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["user=carol"], "no job in the queue is of user=carol"),
        (["user=alice", "nodes=gpu0004"], "no job in the queue is of user=alice and nodes=gpu0004"),
        (["user="], "user= names nobody"), (["nodes=gpu0009"], "unknown node gpu0009"),
        (["101", "user=alice"], "not both"), (["@rack:R09"], "no rack R09"), (["@loop:cdu-7"], "no cooling loop cdu-7"),
        (["nodes="], "names nobody"),
    ],
)  # fmt: skip
def test_nothing_is_no_target(words, why):
    with pytest.raises(ValueError, match=why):
        jobs_of(words, CLUSTER)


def test_a_queue_that_was_not_read_is_nobodys():
    with pytest.raises(ValueError, match="the queue was not read"):
        jobs_of(["user=alice"], make.cluster(nodes=[make.node()]))


@pytest.mark.parametrize("words", [["nodes=gpu[0001-0002]"], ["@rack:R01"]])
def test_where_jobs_are_not_shown_some_are_never_taken_for_all(words):
    """PrivateData: of gpu0002 nobody knows who is there, so a message to "its users" would pass over them."""
    nodes = [make.node("gpu0001", "ALLOCATED", rack="R01"), make.node("gpu0002", "MIXED", rack="R01")]
    cluster = make.cluster(nodes=nodes, jobs=[make.job("101", nodes="gpu0001", user="alice")])
    with pytest.raises(ValueError, match=r"unknown on gpu0002: .* shows you no job there; say whose as well"):
        jobs_of(words, cluster)
    assert jobs_of([*words, "user=alice"], cluster) == jobs_of(["nodes=gpu0001"], cluster) == ("101",)


def test_nodes_of_racks_and_loops():
    assert nodes_of("@loop:cdu-2", CLUSTER) == ("gpu0003", "gpu0004") == nodes_of("@rack:R02", CLUSTER)
    assert named("node", ["@rack:R01", "gpu0001"], CLUSTER) == ("gpu0001", "gpu0002")
    assert named("partition", ["gpu,debug", "gpu"], CLUSTER) == ("gpu", "debug")


@pytest.mark.parametrize(
    ("action", "text", "more"),
    [
        ("drain", "gpu0002", "gpu0002"), ("drain", "gpu0002, bad DIMM", "gpu0002"), ("drain", "@rack:R02", "@rack:R02"),
        ("drain", "gpu[0002-0003] no power", "gpu[0002-0003]"), ("cancel", "102", "102"), ("hold", "104", "104"),
        ("drain", "bad DIMM in gpu0002", ""), ("drain", "gpu0009 stole its PSU", ""), ("drain", "R02 has no power", ""),
        ("drain", "", ""), ("cancel", "999", ""), ("partition-down", "gpu0002", ""), ("priority", "102", ""),
        ("comment", "gpu0002", ""),
    ],
)  # fmt: skip
def test_a_blank_where_a_comma_was_meant(action, text, more):
    if not more:
        refuse_more(BY_ID[action], "gpu0001,", text.split(), CLUSTER)
        return
    with pytest.raises(ValueError, match=re.escape(f"{more} is a {BY_ID[action].kind} too: write gpu0001,{more} ")):
        refuse_more(BY_ID[action], "gpu0001,", text.split(), CLUSTER)


async def test_a_second_target_is_never_taken_for_the_reason():
    async with console((80, 24), screen="nodes") as op:
        await op.command("drain gpu0001, gpu0003 bad DIMM")
        op.sees("gpu0003 is a node too: write gpu0001,gpu0003 without a blank")
        await op.press("escape")
        waiting = [one.id for one in op.cluster.jobs.values() if one.state == "PENDING" and "_" not in one.id][:2]
        await op.command(f"cancel {waiting[0]} {waiting[1]}")
        op.sees(f"{waiting[1]} is a job too")
        await op.press("escape")
        # A value may well be the number of a job.
        await op.command(f"priority {waiting[0]} {waiting[1]}")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        await op.press("escape")


@pytest.mark.parametrize("word", ["R01", "R[01-02]", "gpu0001,R02"])
def test_the_bare_name_of_a_rack_says_how_its_nodes_are_meant(word):
    """At 03:00 somebody types what the alert says: `:drain R01`."""
    with pytest.raises(ValueError, match=r"no node is called R0[12]; the nodes of the rack are @rack:R0[12]"):
        nodes_of(word, CLUSTER)
    like = make.cluster(nodes=[make.node("R01", rack="R01")])
    assert nodes_of("R01", like) == ("R01",)


def test_a_word_of_somebodys_is_not_an_id():
    assert [is_whose(word) for word in ("user=a", "nodes=x", "@rack:R1", "101", "users=a", "gpu=1")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert taken("job", ["user=a", "nodes=x", "4h"]) == 2 and taken("job", ["101", "4h"]) == 1
    assert taken("node", ["user=a", "x"]) == 1 and taken("job", []) == 0


def test_whose_jobs_are_offered():
    assert [one for one in offered("us", CLUSTER) if one.startswith("us")] == ["user="]
    assert list(offered("user=", CLUSTER)) == ["user=alice", "user=bob"]
    assert list(offered("account=", CLUSTER)) == ["account=bio", "account=ml"]
    assert "nodes=gpu0004" in offered("nodes=", CLUSTER) and "101" in offered("1", CLUSTER)
