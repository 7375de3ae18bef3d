"""Between the preview and the answer the machine moves on: nothing goes out that is more than was shown."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from collectors.alertmanager.requests import INCIDENT
from collectors.model import Matcher, Silence, SourceFault
from console.actions.incident import DURATION_S, Scope
from console.actions.options import Guard, Options
from console.actions.plan import Confirmation, Plan
from console.cli.act import REFUSED, run_act
from console.gate.outcome import Outcome, Progress
from console.journal.entries import join
from console.journal.undo import Undo, undo_of
from tests.support.gate_world import World, node, planned
from tests.support.make import NOW

NAMES = [f"gpu{number:04d}" for number in range(1, 101)]
OUT = ["IDLE+FAIL", "ALLOCATED+NOT_RESPONDING", "IDLE+INVALID_REG", "IDLE+REBOOT_ISSUED", "UNKNOWN"]
TAKE_OUT = ["drain", "reboot", "reboot-now", "powerdown"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [node(name) for name in NAMES])


def move(world: World, names: Sequence[str], state: str, **more: object) -> None:
    for name in names:
        world.node(name, state, **more)


def taken(world: World) -> list[str]:
    return [name for change in world.sent for name in change.targets]


# -- nodes that weighed nothing when it was asked ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "state"), [*((action, "DOWN*") for action in TAKE_OUT), *(("drain", state) for state in OUT)]
)
def test_what_came_back_into_service_meanwhile_is_not_taken_out(world, action, state):
    move(world, NAMES[:40], state)
    gate = world.gate()
    plan = planned(gate, action, *NAMES[:40], cluster=world.cluster())
    assert plan.confirmation == Confirmation("count", 40), "they weigh nothing: no glass"
    move(world, NAMES[:40], "IDLE")
    outcome = gate.send(plan, "40")
    assert world.sent == [] and outcome.refused is not None
    assert {one.why for one in outcome.results.values()} == {"it is back in service meanwhile: idle"}


def test_those_that_are_out_still_go(world):
    move(world, NAMES[:40], "DOWN*")
    gate = world.gate()
    plan = planned(gate, "drain", *NAMES[:40], cluster=world.cluster())
    move(world, NAMES[:10], "IDLE")
    outcome = gate.send(plan, "40")
    assert outcome.refused is None and taken(world) == NAMES[10:40]
    assert outcome.results[NAMES[0]].why == "it is back in service meanwhile: idle"


# -- what the answer would be now --------------------------------------------------------------------------------------


def test_two_plans_that_were_confirmed_side_by_side_take_no_more_than_one_might(world):
    gate = world.gate()
    first, second = (planned(gate, "drain", *some, cluster=world.cluster()) for some in (NAMES[:20], NAMES[20:40]))
    assert gate.send(first, "20").refused is None
    refused = gate.send(second, "20").refused or ""
    assert taken(world) == NAMES[:20]
    assert refused == (
        "nothing was sent: by now it takes 25 % of gpu out (20 of 80 healthy nodes), not 20 % as shown: ask again"
    )
    asked_anew = planned(gate, "drain", *NAMES[20:40], cluster=world.cluster())
    assert asked_anew.confirmation.kind == "break" and gate.send(asked_anew, "gpu").refused is None


def test_nor_while_the_first_is_still_on_its_way_to_slurm(world):
    gate, refused = world.gate(), []
    first, second = (planned(gate, "drain", *some, cluster=world.cluster()) for some in (NAMES[:20], NAMES[20:40]))

    def the_other_is_answered() -> None:
        world.before_send = lambda: None
        refused.append(gate.send(second, "20").refused or "")

    world.before_send = the_other_is_answered
    assert gate.send(first, "20").refused is None
    assert taken(world) == NAMES[:20] and "25 % of gpu out (20 of 80" in refused[0]


def test_what_came_to_nothing_is_no_longer_on_its_way(world):
    gate = world.gate()
    first, second = (planned(gate, "drain", *some, cluster=world.cluster()) for some in (NAMES[:20], NAMES[20:40]))
    world.rc, world.err, world.deaf = 1, "denied", True
    gate.send(first, "20")
    world.rc, world.deaf = 0, False
    assert gate.send(second, "20").refused is None


def test_the_last_healthy_nodes_do_not_go_out_on_a_count(world):
    gate = world.gate()
    plan = planned(gate, "drain", *NAMES[80:], cluster=world.cluster())
    move(world, NAMES[:80], "DOWN*")
    assert "100 % of gpu out (20 of 20 healthy nodes)" in (gate.send(plan, "20").refused or "")
    assert world.sent == [] and world.journal() == []


def test_what_slurm_no_longer_lists_is_no_healthy_node(world):
    gate = world.gate()
    plan = planned(gate, "drain", *NAMES[80:], cluster=world.cluster())
    for name in NAMES[:80]:
        del world.nodes[name]
    assert "(20 of 20 healthy nodes)" in (gate.send(plan, "20").refused or "") and world.sent == []


def test_a_plain_yes_is_no_count(world):
    gate = world.gate(guard=Guard(plain_most=10))
    plan = planned(gate, "drain", *NAMES[:5], cluster=world.cluster())
    assert plan.confirmation == Confirmation("plain", 5)
    move(world, NAMES[50:], "DOWN*")
    assert "10 % of gpu out" in (gate.send(plan, "y").refused or "") and world.sent == []


def test_glass_that_was_broken_for_one_partition_is_whole_for_the_other(tmp_path):
    big, small = NAMES[:80], NAMES[80:]
    world = World(tmp_path, [node(name, partitions=("gpu",)) for name in big]
                  + [node(name, partitions=("test",)) for name in small])  # fmt: skip
    gate = world.gate()
    some = (*big[:8], *small[:10])
    plan = planned(gate, "drain", *some, cluster=world.cluster())
    assert plan.confirmation.word == "test"
    move(world, big[8:72], "DOWN*", partitions=("gpu",))
    assert "50 % of gpu out" in (gate.send(plan, "test").refused or "") and world.sent == []


@pytest.mark.parametrize("died", [0, 50])
def test_what_was_confirmed_with_its_glass_broken_goes(world, died):
    gate = world.gate()
    plan = planned(gate, "drain", *NAMES[:30], cluster=world.cluster())
    move(world, NAMES[50 : 50 + died], "DOWN*")
    assert gate.send(plan, "gpu").refused is None and len(taken(world)) == 30


def test_less_loss_than_shown_stops_nothing(world):
    gate = world.gate()
    plan = planned(gate, "drain", *NAMES[:20], cluster=world.cluster())
    move(world, NAMES[:15], "DOWN*", reason="Not responding", reason_by="slurm")
    assert gate.send(plan, "20").refused is None and len(taken(world)) == 20


def test_what_dies_between_two_batches_holds_the_rest_back(world):
    gate = world.gate(guard=Guard(batch=10))
    plan = planned(gate, "down", *NAMES[:20], cluster=world.cluster())

    def others_die() -> None:
        move(world, NAMES[30:], "DOWN*")
        world.before_send = lambda: None

    world.before_send = others_die
    outcome = gate.send(plan, "20")
    assert taken(world) == NAMES[:10]
    assert outcome.results[NAMES[10]].state == "dropped"
    assert outcome.results[NAMES[10]].why.startswith("not sent: by now it takes 50 % of gpu out (10 of 20 healthy")


def test_batches_are_not_held_back_by_what_went_out_before_them(world):
    gate = world.gate(guard=Guard(batch=4))
    assert gate.send(planned(gate, "down", *NAMES[:20], cluster=world.cluster()), "20").refused is None
    assert taken(world) == NAMES[:20]


def test_a_single_node_is_weighed_against_nothing_and_read_alone(world):
    asked: list[list[str]] = []
    real = world.read_nodes
    world.read_nodes = lambda names: (asked.append(list(names)), real(names))[1]  # type: ignore[method-assign]
    gate = world.gate()
    gate.send(planned(gate, "drain", NAMES[0], cluster=world.cluster()), "y")
    gate.send(planned(gate, "drain", *NAMES[1:6], cluster=world.cluster()), "5")
    assert asked[0] == [NAMES[0]] and sorted(asked[1]) == NAMES and len(asked) == 2


# -- by whichever transport it is asked --------------------------------------------------------------------------------


def test_from_the_command_line(world):
    def ask(question: str) -> str:
        move(world, NAMES[:80], "DOWN*")
        return "20"

    err = io.StringIO()
    code = run_act(world.gate(), world.cluster(), "drain", ["gpu[0081-0100]"], reason="x", ask=ask, out=io.StringIO(),
                   err=err, sleep=world.clock.advance)  # fmt: skip
    assert code == REFUSED and "100 % of gpu out" in err.getvalue() and world.sent == []


def test_an_undo(world):
    move(world, NAMES[:20], "IDLE+DRAIN", reason="XID 79", reason_by="jdv")
    gate = world.gate()
    plan = planned(gate, "undrain", *NAMES[:20], reason=None, cluster=world.cluster())
    gate.follow(gate.send(plan, "20"), sleep=world.clock.advance)
    entries = join(world.journal())
    undo = undo_of(entries[plan.id], entries, world.cluster(), world.clock.now())
    assert isinstance(undo, Undo) and undo.action == "drain"
    back = gate.plan(undo.action, undo.targets, undo.reason, world.cluster(), undo.options)
    assert isinstance(back, Plan) and back.confirmation == Confirmation("count", 20)
    move(world, NAMES[20:], "DOWN*")
    assert "100 % of gpu out" in (gate.send(back, "20").refused or "") and len(world.sent) == 1


def test_what_a_wave_drains_again(world):
    """`Waving` plans and sends it like anybody; the answer may be long in coming."""
    gate = world.gate()
    plan = gate.plan("drain", NAMES[:20], "came back unfit", world.cluster(),
                     Options(reasons=dict.fromkeys(NAMES[:20], "came back unfit: GPU 3 is lost")))  # fmt: skip
    assert isinstance(plan, Plan)
    move(world, NAMES[20:], "DOWN*")
    assert gate.send(plan, "20").refused is not None and world.sent == []


def declared(world: World) -> tuple[Callable[[], Outcome], dict[str, Silence]]:
    """A drain of 40 nodes inside an incident that takes one key: how it is answered, and what Alertmanager holds."""
    held = {"s1": Silence(id="s1", state="active", matchers=(Matcher(INCIDENT, "R01"),), starts=NOW,
                          ends=NOW + DURATION_S, by="jdv",
                          comment="incident R01: cooling nodes gpu[0001-0040]")}  # fmt: skip
    gate = world.gate()
    gate._scopes = (Scope(name="R01", nodes=frozenset(NAMES[:40]), by="jdv", ends=NOW + DURATION_S),)
    world.read_silences_of = lambda label, values: dict(held)  # type: ignore[attr-defined]
    plan = planned(gate, "drain", *NAMES[:40], cluster=world.cluster(silences=dict(held)))
    assert plan.incident == "R01" and plan.confirmation == Confirmation("plain", 40)
    return lambda: gate.send(plan, "y"), held


def test_inside_an_incident_that_stands_one_key_does(world):
    answer, _ = declared(world)
    move(world, NAMES[50:], "DOWN*")
    assert answer().refused is None and len(taken(world)) == 40


def test_an_incident_that_somebody_ended_meanwhile_eases_nothing(world):
    answer, held = declared(world)
    held.clear()
    assert answer().refused == "nothing was sent: the incident R01 is over: ask again" and world.sent == []


def test_an_alertmanager_that_is_silent_ends_no_incident(world):
    answer, _ = declared(world)

    def silent(label: str, values: Sequence[str]) -> dict[str, Silence]:
        raise SourceFault("timeout", "Alertmanager is silent")

    world.read_silences_of = silent
    assert answer().refused is None and len(taken(world)) == 40


# -- how a node comes back from a reboot -------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["reboot", "reboot-now"])
@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        ("DOWN*", "IDLE", "it is back in service meanwhile: idle"),
        ("IDLE", "DOWN*", "it would come back DOWN from the reboot, not RESUME as shown: down"),
        ("IDLE", "IDLE+DRAIN", "it would come back DOWN from the reboot, not RESUME as shown: drained"),
        ("UNKNOWN", "DOWN*", "it would come back DOWN from the reboot, not RESUME as shown: down"),
        ("DOWN", "UNKNOWN", "it would come back RESUME from the reboot, not DOWN as shown: unknown"),
    ],
)
def test_a_node_comes_back_from_a_reboot_as_it_was_shown_or_is_left_alone(world, action, before, now, why):
    move(world, NAMES[:2], before)
    gate = world.gate()
    plan = planned(gate, action, *NAMES[:2], cluster=world.cluster())
    world.node(NAMES[0], now, reason="NHC: check_gpu", reason_by="nhc")
    outcome = gate.send(plan, "2")
    assert outcome.results[NAMES[0]].why == why
    (change,) = world.sent
    assert change.next_state == {NAMES[1]: plan.change.next_state[NAMES[1]]}


def test_what_was_said_of_how_it_comes_back_holds(world):
    gate = world.gate()
    plan = gate.plan("reboot", NAMES[:2], "new kernel", world.cluster(), Options(next_state="RESUME"))
    assert isinstance(plan, Plan)
    world.node(NAMES[0], "DOWN*")
    gate.send(plan, "2")
    assert world.sent[0].next_state == {NAMES[0]: "RESUME", NAMES[1]: "RESUME"}


# -- what a program found meanwhile ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["resume", "undrain"])
@pytest.mark.parametrize(
    ("reason", "by", "goes"),
    [
        ("NHC: check_gpu: GPU 3 lost", "nhc", False),
        ("Kill task failed", "root", False),
        ("XID 79", "prometheus", False),
        ("Not responding", "slurm", True),
        ("Not responding", None, True),
        ("slurmd is broken, leave it", "jdv", False),
        ("bad DIMM", None, False),
        ("maintenance", "jdv", True),
    ],
)
def test_nothing_goes_back_to_work_over_what_was_found_meanwhile(world, action, reason, by, goes):
    move(world, NAMES[:2], "IDLE+DRAIN", reason="maintenance", reason_by="jdv")
    gate = world.gate()
    plan = planned(gate, action, *NAMES[:2], reason=None, cluster=world.cluster())
    world.node(NAMES[0], "IDLE+DRAIN", reason=reason, reason_by=by)
    outcome = gate.send(plan, "2")
    assert taken(world) == (NAMES[:2] if goes else NAMES[1:2])
    assert goes or outcome.results[NAMES[0]].why.startswith("another reason was set meanwhile")


def test_nor_in_the_first_wave_where_nobody_looks(world):
    move(world, NAMES[:10], "IDLE+DRAIN", reason="maintenance", reason_by="jdv")
    gate = world.gate()
    plan = gate.plan("resume", NAMES[:10], None, world.cluster(), Options(waves=True))
    assert isinstance(plan, Plan)
    world.node(NAMES[0], "IDLE+DRAIN", reason="NHC: check_gpu: GPU 3 lost", reason_by="nhc")
    progress = Progress()
    world.before_send = progress.stop
    outcome = gate.send(plan, "10", progress)
    assert NAMES[0] not in taken(world) and "NHC" in outcome.results[NAMES[0]].why


def test_a_drain_keeps_what_a_program_found_behind_its_own_reason(world):
    gate = world.gate()
    plan = planned(gate, "drain", NAMES[0], cluster=world.cluster())
    world.node(NAMES[0], "DOWN", reason="NHC: check_gpu", reason_by="nhc")
    assert gate.send(plan, "y").refused is None
    assert world.sent[0].reasons == {NAMES[0]: "bad DIMM [was by nhc: NHC: check_gpu]"}
