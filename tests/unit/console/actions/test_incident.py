"""A declared incident: everybody sees it, and it eases only what was confirmed in this console."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.alertmanager.requests import INCIDENT, requests_of
from collectors.model import Matcher, NewSilence, Partition, Silence
from console.actions.incident import DURATION_S, Scope, active_incidents, in_force, scope_of
from console.actions.registry import ACTIONS, BY_ID
from console.cli.act import sources_of
from tests.support import make
from tests.support.journal_entries import Book
from tests.support.make import NOW, change_of
from tests.support.operator import console


def machine(**more):
    nodes = [make.node(f"gpu{at:04}", rack=f"R{(at - 1) // 16 + 1:02}") for at in range(1, 65)]
    return make.cluster(**({"nodes": nodes, "partitions": [Partition(name="gpu", state="UP")], "silences": ()} | more))


def silence(
    name="R01", text="incident R01: cooling nodes gpu[0001-0016]", matchers=None, ends=NOW + 900, state="active"
):
    matchers = matchers or (Matcher(INCIDENT, name),)
    return Silence(id=f"s-{name}", state=state, matchers=matchers, starts=NOW - 60, ends=ends, by="jdv", comment=text)


def holding(*silences):
    return machine(silences=silences)


def test_what_stands_is_told_to_everybody():
    (one,) = active_incidents(holding(silence()), NOW)
    assert (one.name, one.title, one.by, one.ends) == ("R01", "cooling", "jdv", NOW + 900)
    assert len(one.nodes) == 16


@pytest.mark.parametrize(
    "other",
    [
        silence(ends=NOW - 1),
        silence(state="expired"),
        silence(ends=NOW + 90_000),
        silence(ends=NOW + 3601),
        silence(matchers=(Matcher("alertname", "X"),)),
        silence(matchers=(Matcher(INCIDENT, "R02"),)),
        silence(matchers=(Matcher(INCIDENT, "R01", regex=True),)),
        silence(text="fan tray"),
    ],
)
def test_what_only_looks_like_one_is_none(other):
    assert active_incidents(holding(other), NOW) == ()


def test_nodes_that_the_machine_has_not_are_not_its():
    (one,) = active_incidents(holding(silence(text="incident R01: x nodes gpu[0001-0002],evil[1-9]")), NOW)
    assert one.nodes == ("gpu0001", "gpu0002")


@pytest.mark.parametrize(
    ("words", "name", "count"),
    [("R01-R02", "R01-R02", 32), ("R[01-02]", "R-01-02", 32), ("@rack:R03", "R03", 16),
     ("gpu[0001-0003]", "gpu-0001-0003", 3), ("gpu", "gpu", 64)],
)  # fmt: skip
def test_what_can_be_declared(words, name, count):
    found, nodes = scope_of(words, machine())
    assert (found, len(nodes)) == (name, count)


@pytest.mark.parametrize("words", ["R09", "gpu9999", "ALL", "", "R01-R09", "$(x)"])
def test_what_names_nothing_is_refused(words):
    with pytest.raises(ValueError):
        scope_of(words, machine())


SCOPE = Scope(name="R01", nodes=frozenset(f"gpu{at:04}" for at in range(1, 17)), by="jdv", ends=NOW + 900)


@given(st.sampled_from(ACTIONS), st.sets(st.integers(1, 64), min_size=1, max_size=20))
def test_it_eases_nothing_that_kills_and_nothing_outside(action, numbers):
    cluster = machine()
    if action.kind != "node":
        return
    acting = {name: cluster.nodes[name] for name in (f"gpu{at:04}" for at in numbers)}
    inside = all(at <= 16 for at in numbers)
    assert SCOPE.covers(action, acting, cluster) is (action.id == "drain" and inside)


def test_it_ends_with_its_silence_and_is_not_believed_from_a_comment():
    assert in_force([SCOPE], holding(silence()), NOW) == (SCOPE,)
    assert in_force([SCOPE], holding(silence()), NOW + 901) == ()
    assert in_force([SCOPE], machine(), NOW) == ()
    # Somebody else's words name more nodes: they are not in what was confirmed here.
    wide = holding(silence(text="incident R01: x nodes gpu[0001-0064]"))
    (scope,) = in_force([SCOPE], wide, NOW)
    assert not scope.covers(BY_ID["drain"], {"gpu0064": wide.nodes["gpu0064"]}, wide)
    assert in_force([], wide, NOW) == ()


def test_alerts_and_partitions_inside():
    cluster = machine()
    inside = make.alert("GpuHot", "gpu0003", labels={"instance": "gpu0003"})
    outside = msgspec.structs.replace(inside, node="gpu0033", labels={"instance": "gpu0033"})
    assert SCOPE.covers(BY_ID["silence"], {"a": inside}, cluster)
    assert not SCOPE.covers(BY_ID["silence"], {"a": inside, "b": outside}, cluster)
    # An alert about a place lies inside where all of that place does.
    rack = make.alert("RackPower", labels={"rack": "R01"})
    assert SCOPE.covers(BY_ID["silence"], {"r": rack}, cluster)
    most = msgspec.structs.replace(SCOPE, nodes=SCOPE.nodes - {"gpu0007"})
    assert not most.covers(BY_ID["silence"], {"r": rack}, cluster)
    whole = msgspec.structs.replace(SCOPE, nodes=frozenset(cluster.nodes))
    assert whole.covers(BY_ID["partition-down"], {"gpu": cluster.partitions["gpu"]}, cluster)
    # A partition of which some nodes lie inside is shut for all the others too.
    assert not SCOPE.covers(BY_ID["partition-down"], {"gpu": cluster.partitions["gpu"]}, cluster)
    assert not SCOPE.covers(BY_ID["partition-down"], {"cpu": Partition(name="cpu", state="UP")}, cluster)


def change(**more):
    made = NewSilence(
        alerts=(), matchers=(Matcher(INCIDENT, "R01"),), seconds=DURATION_S, by="jdv", comment="incident R01: x"
    )
    made = msgspec.structs.replace(made, **more)
    return change_of(action="incident", kind="node", targets=("gpu0001",), silences=(made,))


def test_the_last_door():
    (order,) = requests_of(change(), "http://am")
    assert order.targets == ("gpu0001",) and f'{INCIDENT}="R01"' in " ".join(order.argv)


@pytest.mark.parametrize(
    "more",
    [{"seconds": 90_000}, {"alerts": ("a",)}, {"matchers": (Matcher("alertname", "X"),)}, {"comment": "a\x1b[m"},
     {"matchers": (Matcher(INCIDENT, "R01"), Matcher("alertname", "X"))},
     {"matchers": (Matcher(INCIDENT, ".*", regex=True),)}],
)  # fmt: skip
def test_what_is_no_incident_does_not_get_through(more):
    with pytest.raises(ValueError):
        requests_of(change(**more), "http://am")


def test_an_undo_of_it_lifts_the_silence_that_holds_it():
    book = Book().act("a", "incident", [make.node("gpu0001")], settings={"name": "R01"},
                       silences=[{"by": "jdv", "comment": silence().comment}])  # fmt: skip
    back = book.undo("a", holding(msgspec.structs.replace(silence(), ends=NOW + 900)))
    assert (back.action, back.targets) == ("lift", ("s-R01",))
    assert book.undo("a", machine()) == "the incident is over"


@pytest.mark.slow
async def test_declared_it_takes_one_key_and_shows_everywhere():
    async with console((120, 40), nodes=64) as op:
        await op.command("incident R01-R02 cooling")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        op.sees("INCIDENT", "shown to everybody")
        await op.type("R01-R02")
        await op.press("enter")
        await op.until(lambda: not op.app.session.sending and op.app.session.gate._scopes, "it is declared")
        await op.look_again()
        await op.comes("INCIDENT R01-R02")
        await op.press("1")
        await op.comes("incident R01-R02: cooling")
        names = [
            name for name in op.cluster.racks["R01"] if op.cluster.nodes[name].display in {"idle", "allocated", "mixed"}
        ]
        await op.command(f"drain {','.join(names)} cooling")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        assert op.dialog.plan.confirmation.kind == "plain" and op.dialog.plan.incident == "R01-R02"
        op.sees("inside")
        await op.press("escape")
        # A kill still takes its count.
        await op.command(f"down {','.join(names)} cooling")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        assert op.dialog.plan.confirmation.kind != "plain"
        await op.press("escape")
        await op.command("incident end")
        await op.until(lambda: op.dialog._armed_at is not None, "the dialog listens")
        await op.press("y")
        await op.until(lambda: not op.app.session.sending, "it is lifted")
        await op.look_again()
        await op.until(lambda: "INCIDENT" not in op.screen(), "it is gone")


def test_a_shell_reads_what_shows_it():
    assert "alerts.alerts" in sources_of("incident")
