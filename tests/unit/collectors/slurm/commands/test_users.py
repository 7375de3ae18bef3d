"""Users and their limits as sacctmgr tells them, and what is never taken for a limit; the words that change them."""

from __future__ import annotations

import pytest

from collectors.model import Association, SourceFault, User
from collectors.slurm import operations, transport
from collectors.slurm.commands import users
from console.actions.registry import BY_ID
from console.actions.user_actions import limits_text
from tests.support import make
from tests.support.make import change_of

CONFIG = "AccountingStorageType = accounting_storage/slurmdbd\nClusterName = groningen\nAccountingStorageEnforce = {}\n"
HEAD = "Account|User|Partition|MaxSubmitJobs\n"


@pytest.fixture
def says(monkeypatch):
    """What the two commands print; `asked` is what sacctmgr was asked."""
    asked: list[list[str]] = []
    told = {"config": CONFIG.format("associations,limits"), "assoc": HEAD}

    def ask(words, *_, **__):
        asked.append(list(words))
        return told["config" if words[0] == "scontrol" else "assoc"].encode()

    monkeypatch.setattr(users, "ask", ask)
    told["asked"] = asked
    return told


def test_limits_are_read_of_this_cluster_and_of_those_asked_for_alone(says):
    says["assoc"] = HEAD + "ml|alice||0\nbio|alice|long|20\nml|bob||\nml|mallory||0\nodd|alice\n"
    found = users.users(["alice", "bob", "a;b", "-x", "ALL,root"], 5)
    assert found == {
        "alice": User(name="alice", cluster="groningen", enforced=True, associations=(
            Association(account="ml", max_submit=0), Association(account="bio", partition="long", max_submit=20))),
        "bob": User(name="bob", cluster="groningen", enforced=True, associations=(Association(account="ml"),)),
    }  # fmt: skip
    assert says["asked"][1][4:7] == ["where", "cluster=groningen", "user=alice,bob"]
    assert found["alice"].state == "blocked in ml" and not found["alice"].blocked and found["bob"].state == "may submit"


@pytest.mark.parametrize(
    ("kind", "text", "fault"),
    [
        ("assoc", "", "malformed"),
        ("assoc", "ml|alice||0\n", "malformed"),
        ("assoc", HEAD + "ml|alice||0", "cut"),
        ("config", "AccountingStorageType = (null)\nClusterName = x\n", "missing"),
        ("config", CONFIG.format("all").replace("groningen", "a b"), "malformed"),
        ("config", "", "missing"),
    ],
)
def test_what_is_no_answer_is_a_fault_and_never_nobody(says, kind, text, fault):
    says[kind] = text
    with pytest.raises(SourceFault) as error:
        users.users(["alice"], 5)
    assert error.value.fault.kind == fault


@pytest.mark.parametrize(("words", "holds"), [("none", False), ("associations", False), ("safe", True), ("all", True)])
def test_whether_limits_count_is_told(says, words, holds):
    says["config"], says["assoc"] = CONFIG.format(words), HEAD + "ml|alice||\n"
    assert users.users(["alice"], 5)["alice"].enforced is holds


@pytest.mark.parametrize(
    ("user", "why"),
    [
        (User(name="root", cluster="x"), "root is not blocked from here"),
        (User(name="a", cluster="x", enforced=False), "enforces no limits"),
        (User(name="a", cluster="x", enforced=True), "has no account here"),
        (User(name="a", cluster="x", associations=(Association(account="ml", max_submit=0),)), "blocked already"),
        (User(name="a", cluster="x", associations=(Association(account="ml", max_submit=3),
                                                   Association(account="ml", partition="p"))), "other limits in other"),
    ],
)  # fmt: skip
def test_who_is_not_blocked_and_why(user, why):
    assert why in BY_ID["block"].refuse(make.cluster(), user)


def test_a_user_of_two_accounts_is_let_in_with_what_each_had():
    user = User(name="a", cluster="x", associations=(Association(account="ml", max_submit=9), Association(account="b")))
    assert limits_text(user) == "ml=9,b=-1"
    change = change_of(
        action="unblock", kind="user", targets=("a",), values={"a": limits_text(user)}, settings={"cluster": "x"}
    )
    assert [" ".join(words) for words, _ in operations.calls(change)] == [
        "sacctmgr -i modify user where name=a cluster=x account=ml set MaxSubmitJobs=9",
        "sacctmgr -i modify user where name=a cluster=x account=b set MaxSubmitJobs=-1",
    ]


@pytest.mark.parametrize(
    ("action", "kind", "more"),
    [
        ("block", "user", {"targets": ("alice",)}),
        ("block", "user", {"targets": ("a b",), "settings": {"cluster": "x"}}),
        ("block", "user", {"targets": ("alice",), "settings": {"cluster": "x y"}}),
        ("unblock", "user", {"targets": ("alice",), "settings": {"cluster": "x"}}),
        ("unblock", "user", {"targets": ("a",), "settings": {"cluster": "x"}, "values": {"a": "ml=1 set x"}}),
        ("partition-down", "partition", {"targets": ("ALL",)}),
        ("partition-down", "partition", {"targets": ("gpu State=UP",)}),
        ("partition-down", "node", {"targets": ("gpu0001",)}),
        ("unreserve", "reservation", {"targets": ()}),
        ("extend", "reservation", {"targets": ("r",), "values": {"r": "1795017600 Users=x"}}),
        ("extend", "reservation", {"targets": ("r",)}),
        ("reserve", "node", {"targets": ("n1",), "values": {"n1": "r"}, "settings": {"name": "r"}}),
        ("reserve", "node", {"targets": ("n1",), "values": {"n1": "r"}, "settings": {"name": "r", "odd": "x"}}),
    ],
)
def test_the_last_door_lets_nothing_else_through(action, kind, more):
    with pytest.raises(ValueError, match=r"."):
        operations.calls(change_of(action=action, kind=kind, **more))


@pytest.mark.parametrize("name", ["r;x", "-r", "ALL", "r Users=x"])
def test_no_reservation_is_called_so(name):
    said = {"name": name, "start": "now", "for": "3600", "users": "a"}
    with pytest.raises(ValueError, match=r"."):
        operations.calls(change_of(action="reserve", kind="node", targets=("n1",), values={"n1": "r"}, settings=said))


@pytest.mark.parametrize("way", ["rest", "native"])
def test_what_goes_by_command_alone_is_refused_over_the_other_transports(way):
    mine = [one.operation for one in BY_ID.values() if one.result_kind in {"partition", "reservation", "user"}]
    assert len(mine) == 7 and all("alone" in (transport.unsupported(way, one) or "") for one in mine)
