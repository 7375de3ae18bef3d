"""What a person types for targets becomes a frozen list of explicit names, or is refused."""

from __future__ import annotations

import re

import pytest

from collectors.model import Coolant
from console.actions.registry import BY_ID
from console.actions.targets import check_no_targets_in, is_filter, resolve, resolve_jobs, resolve_nodes, split_line
from tests.support import make
from tests.support.operator import console

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
        (["user=alice,bob", "account=bio"], ["102", "105+0"]),
        (["user=alice & nodes=gpu0003"], ["102"]), (["user=bob state=pending"], ["103", "104_2", "105+0"]),
        (["user=alice | nodes=gpu0003", "state=running"], ["101", "102", "104_1"]),
        (["@rack:R01", "@rack:R02"], ["101", "102", "104_1"]), (["@rack:R02 & user=bob"], ["104_1"]),
        (["user=bob", "ml", "!state=running"], ["103", "104_2"]), (["rack=R[01-02]"], ["101", "102", "104_1"]),
    ],
)  # fmt: skip
def test_jobs_are_named_one_by_one(words, jobs):
    assert list(resolve_jobs(words, CLUSTER)) == jobs


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["user=carol"], "no user is called carol; there are alice, bob"),
        (["user=alice", "nodes=gpu0004"], "no job matches user=alice nodes=gpu0004"),
        (["user=alice", "user=bob"], "no job matches user=alice user=bob"),
        (["user="], "user = needs a value"), (["nodes=gpu0009"], "no node is called gpu0009: did you mean gpu000"),
        (["101", "user=alice"], "by name or by a filter, not both"),
        (["@rack:R09"], "no rack is called R09: did you mean R0"), (["@loop:cdu-7"], "no loop is called cdu-7"),
        (["nodes="], "nodes = needs a value"), (["account=ml,"], "ml, names nothing next to a comma"),
        (["user=alice & state=pendin"], "no state is called pendin: did you mean pending"),
        (["user=alice &"], "& needs something after it"), (["@rack:"], "needs a name after it"),
    ],
)  # fmt: skip
def test_nothing_is_no_target(words, why):
    with pytest.raises(ValueError, match=why):
        resolve_jobs(words, CLUSTER)


def test_a_queue_that_was_not_read_has_no_targets():
    with pytest.raises(ValueError, match="which jobs there are is not known"):
        resolve_jobs(["user=alice"], make.cluster(nodes=[make.node()]))


@pytest.mark.parametrize("words", [["nodes=gpu[0001-0002]"], ["@rack:R01"]])
def test_where_jobs_are_not_shown_some_are_never_taken_for_all(words):
    """PrivateData: of gpu0002 nobody knows who is there, so a message to "its users" would pass over them."""
    nodes = [make.node("gpu0001", "ALLOCATED", rack="R01"), make.node("gpu0002", "MIXED", rack="R01")]
    cluster = make.cluster(nodes=nodes, jobs=[make.job("101", nodes="gpu0001", user="alice")])
    with pytest.raises(ValueError, match=r"unknown on gpu0002: .* shows you no job there; say whose as well"):
        resolve_jobs(words, cluster)
    assert resolve_jobs([*words, "user=alice"], cluster) == resolve_jobs(["nodes=gpu0001"], cluster) == ("101",)


def test_nodes_of_racks_and_loops():
    assert resolve_nodes("@loop:cdu-2", CLUSTER) == ("gpu0003", "gpu0004") == resolve_nodes("@rack:R02", CLUSTER)
    assert resolve("node", ["@rack:R01", "gpu0001"], CLUSTER) == ("gpu0001", "gpu0002")
    assert resolve("partition", ["gpu,debug", "gpu"], CLUSTER) == ("gpu", "debug")


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
        check_no_targets_in(BY_ID[action], "gpu0001,", text.split(), CLUSTER)
        return
    with pytest.raises(ValueError, match=re.escape(f"{more} is a {BY_ID[action].kind} too: write gpu0001,{more} ")):
        check_no_targets_in(BY_ID[action], "gpu0001,", text.split(), CLUSTER)


@pytest.mark.slow
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
        resolve_nodes(word, CLUSTER)
    like = make.cluster(nodes=[make.node("R01", rack="R01")])
    assert resolve_nodes("R01", like) == ("R01",)


@pytest.mark.parametrize(
    ("words", "nodes"),
    [
        (["rack=R02 & state=idle"], "34"), (["rack=R02", "state=idle"], "34"), (["@rack:R02 & !user=bob"], "4"),
        (["gpu0001 | rack=R02"], "134"), (["user=alice"], "123"), (["loop=cdu-2"], "34"), (["job=104"], "3"),
        (["!name=gpu0001"], "234"),
    ],
)  # fmt: skip
def test_nodes_by_filter(words, nodes):
    assert resolve("node", words, CLUSTER) == tuple(f"gpu000{n}" for n in nodes)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["rack=R09"], "no rack is called R09"), (["state=drian"], "no state is called drian: did you mean drain"),
        (["rack=R01 & state=down"], "no node matches rack=R01 & state=down"), (["hottest>5"], "its name is temp"),
        (["gpu0001", "state=idle"], "by name or by a filter, not both; of these names alone: gpu0001 & state=idle"),
        (["temp>5"], "temp is not known of any node"), (["!temp>5"], "temp is not known of any node"),
    ],
)  # fmt: skip
def test_a_filter_that_means_no_nodes_is_refused(words, why):
    with pytest.raises(ValueError, match=why):
        resolve("node", words, CLUSTER)


def test_partitions_are_given_by_name():
    with pytest.raises(ValueError, match="partitions are given by name"):
        resolve("partition", ["state=up"], CLUSTER)


@pytest.mark.parametrize(
    ("kind", "text", "targets", "said"),
    [
        ("node", "gpu0001 bad DIMM", "gpu0001", "bad DIMM"),
        ("node", "rack=R07 & state=idle", "rack=R07 & state=idle", ""),
        ("node", "rack=R07 state=idle bad DIMM", "rack=R07 state=idle", "bad DIMM"),
        ("node", "rack=R07 & idle bad DIMM", "rack=R07 & idle", "bad DIMM"),
        ("node", "gpu0001, x", "gpu0001,", "x"),
        ("node", "idle & rack=R07 PDU work", "idle & rack=R07", "PDU work"),
        ("node", "@rack:R07 PDU", "@rack:R07", "PDU"),
        ("node", "@rack:R07 & !idle PDU", "@rack:R07 & !idle", "PDU"),
        ("node", "'rack=R07 idle' PDU", "rack=R07 idle", "PDU"),
        ("node", "temp > 90 °C too hot", "temp > 90 °C", "too hot"),
        ("job", "user=alice 4h", "user=alice", "4h"),
        ("job", "left<1h 4h", "left<1h", "4h"),
        ("job", "101 4h", "101", "4h"),
        ("job", "104_[1-2] x", "104_[1-2]", "x"),
        ("job", "(user=a | user=b) & state=pd gone", "(user=a | user=b) & state=pd", "gone"),
        ("job", "105+0", "105+0", ""),
        ("job", "state in (pending, running) x", "state in (pending, running)", "x"),
        ("partition", "gpu PDU", "gpu", "PDU"),
        ("job", "user=root state=pending", "user=root state=pending", ""),
        ("node", "gpu0001 state=idle", "gpu0001", "state=idle"),
        ("node", "rack=R07 " + "long " * 200, "rack=R07", ("long " * 200).strip()),
    ],
)
def test_where_the_targets_end_and_the_reason_begins(kind, text, targets, said):
    assert split_line(kind, text) == ([targets], said)


@pytest.mark.parametrize("text", ["user=root &", "& state=pending", "'user=root", "(user=root x"])
def test_half_a_filter_is_no_target(text):
    with pytest.raises(ValueError, match=r"needs|closed"):
        split_line("job", text)


@pytest.mark.parametrize(
    ("action", "first", "said"),
    [
        ("cancel", "user=bob", "pending"),
        ("cancel", "user=bob", "pd"),
        ("hold", "user=bob", "ml"),
        ("cancel", "user=bob", "104_1"),
        ("drain", "rack=R02", "idle"),
        ("drain", "rack=R02", "mixed"),
        ("cancel", "@rack:R02", "running"),
        ("cancel", "user=alice | user=bob", "bio"),
        ("cancel", "user=bob", "alice"),  # no job is of both: the list shows none, and so are no targets
        ("cancel", "user=bob", "gpu0001"),
        ("drain", "rack=R02", "R01 bad"),
    ],
)
def test_a_word_that_would_narrow_the_filter_is_no_reason(action, first, said):
    with pytest.raises(ValueError, match=re.escape(f"is {said} the reason, or does it say which of them")):
        check_no_targets_in(BY_ID[action], first, said.split(), CLUSTER)


@pytest.mark.parametrize(
    ("action", "first", "said"),
    [("cancel", "user=bob", "pending &"), ("drain", "rack=R02", "idle |"), ("hold", "user=bob", "pending (")],
)
def test_half_a_filter_behind_a_filter_is_no_reason(action, first, said):
    with pytest.raises(ValueError, match=re.escape(f"{said} is half a filter: finish it, or write '{first}'")):
        check_no_targets_in(BY_ID[action], first, said.split(), CLUSTER)


def test_places_side_by_side_are_a_filter_as_in_the_list():
    assert split_line("node", "@rack:R01 @rack:R02 bad pump") == (["@rack:R01 @rack:R02"], "bad pump")
    with pytest.raises(ValueError, match="no node matches @rack:R01 @rack:R02"):
        resolve("node", ["@rack:R01 @rack:R02"], CLUSTER)
    assert resolve("node", ["@rack:R01 @rack:R01"], CLUSTER) == resolve("node", ["@rack:R01"], CLUSTER)


@pytest.mark.parametrize(
    ("first", "said"), [("rack=R02", "PDU work"), ("@rack:R02", "maintenance"), ("rack=R02", "down")]
)
def test_a_reason_behind_a_filter_stays_one(first, said):
    check_no_targets_in(BY_ID["drain"], first, said.split(), CLUSTER)


def test_what_is_a_filter():
    words = [
        "user=a",
        "!idle",
        "idle & x",
        "gpu>0",
        "state in (a)",
        "gpu[001-004]",
        "gpu[1, 3]",
        "@rack:R1",
        "101_[1-3]",
        "105+0",
    ]
    assert [is_filter(word) for word in words] == [True] * 5 + [False] * 5


@pytest.mark.slow
async def test_what_is_typed_for_a_filter_is_never_the_reason():
    async with console((120, 30), screen="jobs") as op:
        users = {job.user for job in op.cluster.jobs.values() if job.state == "PENDING"}
        user = next(one.user for one in op.cluster.jobs.values() if one.state == "RUNNING" and one.user in users)
        pending = {j.id for j in op.cluster.jobs.values() if j.user == user and j.state == "PENDING"}
        for text in (f"cancel user={user} state=pending", f"cancel user={user} & state=pending"):
            await op.command(text)
            await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
            assert set(op.dialog.plan.rows) | {one.target for one in op.dialog.plan.skipped} <= pending
            assert op.dialog.plan.reason is None
            await op.press("escape")
        await op.command(f"cancel user={user} pending")
        op.sees("is pending the reason, or does it say which of them")
        await op.press("escape")
        waiting = next(iter(sorted(pending)))
        await op.command(f"hold {waiting} state=pending")
        op.sees("reads as a filter and was not taken for the reason")
        await op.press("escape")


@pytest.mark.slow
async def test_a_dialog_takes_no_filter_for_the_reason():
    async with console((120, 30), screen="nodes") as op:
        rack = next(node.rack for node in op.cluster.nodes.values() if node.display == "allocated")
        await op.command(f"drain rack={rack} & state=allocated")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        wanted = {name for name, node in op.cluster.nodes.items() if node.rack == rack and node.display == "allocated"}
        assert set(op.dialog.plan.rows) <= wanted
        await op.type("state=idle")
        await op.press("enter")
        op.sees("reads as a filter")
        assert op.dialog.plan.missing_reason
