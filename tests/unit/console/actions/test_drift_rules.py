"""What each action does about a target that changed between the preview and the answer: every action against every kind
of drift, and how the gate, `wacht act` and the console ask again."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from collectors.model import Association, Partition, Reservation, Row, Silence, User
from console.actions.drift import find_drift
from console.actions.drift_rules import RULES, Drift
from console.actions.options import Guard
from console.actions.plan import Confirmation, Plan
from console.actions.registry import ACTIONS, BY_ID
from console.app.confirm_dialog import ConfirmDialog
from console.cli.act import DONE, INCOMPLETE, REFUSED, run_act
from console.gate.outcome import Outcome, Progress
from console.gate.planning import next_state_drift
from console.gate.preview import text
from tests.support import make
from tests.support.gate_world import World, alert, job, node, planned
from tests.support.make import NOW
from tests.support.operator import Operator, console

Pair = tuple[Row, Row | None]

NODES = [
    node("a"), node("a", "MIXED"), node("a", "DOWN", reason="x"), node("a", "IDLE+DRAIN", reason="x"),
    node("a", "POWERED_DOWN+IDLE"), node("a", "IDLE+NOT_RESPONDING"), node("a", "IDLE+REBOOT_REQUESTED"),
]  # fmt: skip
JOBS = [job("1"), job("1", "PENDING", reason="Priority", priority=5),
        job("1", "PENDING", reason="JobHeldUser", priority=0), job("1", "SUSPENDED")]  # fmt: skip


def _flagged(row: Any, flag: str) -> Row:
    return node("a", "+".join((row.state, *row.flags, flag)), reason=row.reason)


def pairs(kind: str, drift: str) -> Sequence[Pair]:
    """Rows of a kind of target that differ in this one way."""
    if drift == "gone":
        return [(row, None) for row in rows(kind)]
    match kind, drift:
        case "node", "kills":
            return [(row, _flagged(row, "POWERING_UP")) for row in NODES[:4]]
        case "node", "value":
            return [(row, replace(row, comment="theirs", features=("ib",))) for row in NODES]
        case "node", "reason":
            return [(row, replace(row, reason="leave it", reason_by="jdv")) for row in NODES]
        case "node", "reboot":
            return [(row, _flagged(row, "REBOOT_REQUESTED")) for row in NODES if "REBOOT_REQUESTED" not in row.flags]
        case "node", "undrained":
            # It is down before and after: nothing else changes.
            return [
                (node("a", "DOWN+DRAIN", reason="x"), node("a", "DOWN", reason="x")),
                (node("a", "IDLE+DRAIN+NOT_RESPONDING", reason="x"), node("a", "IDLE+NOT_RESPONDING", reason="x")),
            ]
        case "node", "returned":
            return [
                (node("a", "MIXED+NOT_RESPONDING"), node("a", "MIXED")),
                (node("a", "DOWN", reason="x"), node("a", reason="x")),
            ]
        case "node", "new_job":
            return [(node("a"), node("a", "MIXED"))]
        case "job", "value":
            return [(row, replace(row, time_limit_s=7200, partition="long", qos="low", nice=7, excluded="b"))
                    for row in (replace(one, time_limit_s=3600, partition="gpu", qos="high", nice=0, excluded="")
                                for one in JOBS)]  # fmt: skip
        case "job", "other_job":
            return [(row, replace(row, user="bob")) for row in JOBS]
        case "job", "restarted":
            return [(row, replace(row, restarts=1)) for row in (job("1"), job("1", "SUSPENDED"))]
        case "job", "requeued":
            return [(one, job("1", "PENDING", reason="BeginTime", restarts=1)) for one in JOBS[:2]] + [
                (JOBS[2], replace(JOBS[2], restarts=1))
            ]
        case "job", "started":
            return [(JOBS[1], job("1"))]
        case "job", "held":
            return [(row, job("1", "PENDING", reason=why, priority=0)) for row in JOBS[1:3]
                    for why in ("JobHeldAdmin", "JobHeldUser") if row.reason != why]  # fmt: skip
        case "alert", "silenced":
            return [(alert("f1"), replace(alert("f1"), silenced_by=("s2",)))]
        case "silence", "edited":
            return [(rows("silence")[0], replace(rows("silence")[0], ends=NOW + 1))]
        case "partition", "edited":
            return [(one, replace(one, state="DRAIN")) for one in rows("partition")]
        case "reservation", "edited":
            return [(rows("reservation")[0], replace(rows("reservation")[0], users="bob"))]
        case "user", "edited":
            more = Association(account="bio", max_submit=0)
            return [(one, replace(one, associations=(*one.associations, more))) for one in rows("user")]
        case "reservation", "value":
            return [(rows("reservation")[0], replace(rows("reservation")[0], ends=NOW + 99))]
    return []


def rows(kind: str) -> list[Any]:
    match kind:
        case "node":
            return list(NODES)
        case "job":
            return list(JOBS)
        case "alert":
            return [alert("f1")]
        case "silence":
            return [Silence(id="s1", state="active", matchers=(), starts=NOW, ends=NOW + 60, by="a", comment="b")]
        case "partition":
            return [Partition(name="gpu", state="UP"), Partition(name="gpu", state="DOWN")]
        case "reservation":
            return [Reservation(name="r", state="ACTIVE", starts=NOW, ends=NOW + 60)]
    return [User(name="alice", associations=(Association(account="ml", max_submit=limit),), cluster="lab")
            for limit in (None, 0)]  # fmt: skip


#: Action by action: what a change of each kind does. `-`: the action is never planned on what can
#: change so. `no_effect`: it
#: would do nothing any more.
EXPECTED = """
node            gone   kills  value  reason reboot undrained returned new_job
drain           drops  drops  goes   drops  goes   -         asks     goes
undrain         drops  goes   goes   drops  drops  no_effect      -        -
resume          drops  goes   goes   drops  drops  goes      no_effect     -
down            drops  goes   goes   drops  goes   drops     drops    drops
reboot          drops  drops  goes   drops  no_effect   drops     drops    goes
comment         drops  goes   drops  drops  goes   goes      goes     goes
ticket          drops  goes   drops  drops  goes   goes      goes     goes
features        drops  goes   drops  drops  goes   goes      goes     goes
reboot-now      drops  goes   goes   drops  no_effect   drops     drops    drops
cancel_reboot   drops  -      goes   drops  -      -         -        -
powerdown       drops  drops  goes   drops  goes   drops     drops    goes
powerup         drops  -      goes   drops  goes   -         -        -
reserve         drops  goes   goes   drops  goes   goes      goes     goes
incident        drops  goes   goes   drops  goes   goes      goes     goes

job             gone   value  other_job restarted requeued started held
requeue         drops  goes   drops  drops  no_effect   -      -
requeuehold     drops  goes   drops  drops  no_effect   -      -
hold            drops  goes   drops  -      asks   no_effect   goes
uhold           drops  goes   drops  -      asks   no_effect   drops
release         drops  goes   drops  -      drops  -      drops
priority        drops  goes   drops  -      asks   no_effect   no_effect
cancel          drops  goes   drops  drops  asks   drops  goes
timelimit       drops  drops  drops  drops  asks   asks   goes
jobpartition    drops  drops  drops  -      asks   no_effect   goes
qos             drops  drops  drops  -      asks   no_effect   goes
nice            drops  drops  drops  -      asks   no_effect   goes
exclude         drops  drops  drops  -      asks   no_effect   goes
suspend         drops  goes   drops  drops  no_effect   -      -
unsuspend       drops  goes   drops  drops  -      -      -
signal          drops  goes   drops  drops  no_effect   -      -
notify          drops  goes   drops  drops  no_effect   -      -

alert           gone   silenced
take            drops  drops
silence         drops  drops

silence         gone   edited
lift            drops  drops

partition       gone   edited
partition-down  drops  drops
partition-up    drops  drops

reservation     gone   edited value
extend          drops  drops  drops
unreserve       drops  drops  drops

user            gone   edited
block           drops  drops
unblock         drops  drops
"""


def _cells() -> dict[tuple[str, str], str]:
    cells: dict[tuple[str, str], str] = {}
    for block in EXPECTED.strip().split("\n\n"):
        (_, *drifts), *lines = (line.split() for line in block.splitlines())
        cells |= {(action, drift): rule for action, *rules in lines for drift, rule in zip(drifts, rules, strict=True)}
    return cells


CELLS = _cells()


def found(action: str, drift: str) -> str:
    """What becomes of a target that changed in this way: goes, asks, drops; no_effect where the action does
    nothing on it
    any more, and - where the action is never planned on a target that can change so."""
    row, cluster = BY_ID[action], make.cluster()
    said = set()
    for before, now in pairs(row.kind, drift):
        if row.refuse(cluster, before) is not None:
            continue
        one = find_drift(
            row, cluster, before, now, {"9"} if drift == "new_job" else None, {"8"} if drift == "new_job" else None
        )
        said.add(
            "goes" if one is None else "no_effect" if one.drift == "no_effect" else "asks" if one.reconfirm else "drops"
        )
    if said - {"no_effect"}:
        said.discard("no_effect")
    return "/".join(sorted(said)) or "-"


@pytest.mark.parametrize(("action", "drift"), CELLS)
def test_each_action_against_each_kind_of_drift(action: str, drift: str) -> None:
    assert found(action, drift) == CELLS[action, drift]


def test_the_table_holds_every_action_and_every_kind_of_drift() -> None:
    assert {action for action, _ in CELLS} == {one.id for one in ACTIONS}
    assert set(get_args(Drift)) == RULES.keys()
    # How a node comes back from a reboot is held below; that an action does nothing any more, in every column.
    assert {drift for _, drift in CELLS} == RULES.keys() - {"no_effect", "next_down", "next_resume"}


def test_what_kills_never_asks_again_about_more_harm() -> None:
    harm: tuple[Drift, ...] = (
        "kills",
        "new_job",
        "restarted",
        "other_job",
        "reason",
        "edited",
        "value",
        "gone",
        "no_effect",
    )
    rules = {one.rule(drift) for one in ACTIONS for drift in harm if (one.id, drift) != ("priority", "value")}
    assert rules == {"drops"}, "Slurm itself raises a priority with age"
    kills = [one for one in ACTIONS if one.danger == "kills"]
    assert {one.rule("returned") for one in kills if one.takes_out} == {"drops"}


# -- the gate ----------------------------------------------------------------------------------------------------------

NAMES = [f"gpu{number:04d}" for number in range(1, 101)]
FLAPS = "ALLOCATED+NOT_RESPONDING"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [node(name) for name in NAMES])


def move(world: World, names: Sequence[str], state: str, **more: object) -> None:
    for name in names:
        world.node(name, state, **more)


def asked(world: World, action: str, *targets: str, back: str = "ALLOCATED") -> tuple[Plan, Outcome]:
    """A plan on targets of which the first flaps: what came of the answer."""
    gate = world.gate()
    move(world, targets[:1], FLAPS)
    plan = planned(gate, action, *targets, cluster=world.cluster())
    move(world, targets[:1], back)
    return plan, gate.send(plan, plan.confirmation.prompt)


def test_a_drain_of_a_node_that_came_back_is_asked_again_with_its_reason(world: World) -> None:
    gate = world.gate()
    move(world, NAMES[:1], FLAPS)
    plan = planned(gate, "drain", NAMES[0], reason="bad DIMM", cluster=world.cluster())
    move(world, NAMES[:1], "ALLOCATED")
    outcome = gate.send(plan, "y")
    assert world.sent == [] and world.journal() == []
    assert outcome.refused == "nothing was sent: gpu0001: it is back in service meanwhile: allocated"
    fresh = gate.replan(outcome, world.cluster())
    assert isinstance(fresh, Plan) and fresh.reason == "bad DIMM" and fresh.confirmation == Confirmation("plain", 1)
    assert "not sent yet, gpu0001: it is back in service meanwhile: allocated" in "\n".join(text(fresh))
    assert fresh.rows["gpu0001"].state == "ALLOCATED" and fresh.shares[0].newly_out == 1
    assert gate.send(fresh, "y").refused is None and world.sent[0].reason == "bad DIMM"


def test_it_is_shown_as_it_was_read_though_the_console_has_not_read_it_yet(world: World) -> None:
    gate = world.gate()
    move(world, NAMES[:1], FLAPS)
    old = world.cluster()
    plan = planned(gate, "drain", NAMES[0], cluster=old)
    move(world, NAMES[:1], "ALLOCATED")
    fresh = gate.replan(gate.send(plan, "y"), old)
    assert isinstance(fresh, Plan) and fresh.rows["gpu0001"].display == "allocated"


def test_the_others_go_and_only_the_changed_one_is_asked_again(world: World) -> None:
    _, outcome = asked(world, "drain", *NAMES[:4])
    assert outcome.refused is None and world.sent[0].targets == tuple(NAMES[1:4])
    assert outcome.results["gpu0001"].state == "dropped" and set(outcome.reconfirm) == {"gpu0001"}


def test_what_a_smaller_answer_would_do_for_in_two_parts_is_asked_again_in_one(world: World) -> None:
    gate = world.gate()
    move(world, NAMES[:10], FLAPS)
    plan = planned(gate, "drain", *NAMES[:25], cluster=world.cluster())
    assert plan.confirmation == Confirmation("count", 25), "15 of 90"
    move(world, NAMES[:10], "ALLOCATED")
    outcome = gate.send(plan, "25")
    assert world.sent == [] and set(outcome.reconfirm) == set(NAMES[:25])
    fresh = gate.replan(outcome, world.cluster())
    assert isinstance(fresh, Plan) and fresh.confirmation.kind == "break" and "25 % of gpu" in fresh.confirmation.why


def test_what_is_more_harmful_is_not_asked_again(world: World) -> None:
    gate = world.gate()
    move(world, NAMES[:1], FLAPS)
    plan = planned(gate, "drain", NAMES[0], cluster=world.cluster())
    move(world, NAMES[:1], "ALLOCATED#")
    outcome = gate.send(plan, "y")
    assert not outcome.reconfirm and "it would now kill jobs" in (outcome.refused or "")


def test_a_new_reason_of_a_person_is_not_asked_again(world: World) -> None:
    gate = world.gate()
    move(world, NAMES[:1], FLAPS)
    plan = planned(gate, "drain", NAMES[0], cluster=world.cluster())
    move(world, NAMES[:1], "ALLOCATED", reason="mine, do not touch", reason_by="jdv")
    outcome = gate.send(plan, "y")
    assert not outcome.reconfirm and "another reason" in (outcome.refused or "")


@pytest.mark.parametrize(("before", "now", "asks"), [("IDLE", "DOWN", True), ("DOWN", "UNKNOWN", False)])
@pytest.mark.parametrize("action", ["reboot", "reboot-now"])
def test_how_a_node_comes_back_from_a_reboot(world: World, action: str, before: str, now: str, asks: bool) -> None:
    gate = world.gate()
    move(world, NAMES[:1], before)
    plan = planned(gate, action, NAMES[0], cluster=world.cluster())
    move(world, NAMES[:1], now)
    one = next_state_drift(plan, NAMES[0], world.nodes[NAMES[0]])
    assert one is not None and one.reconfirm is asks and bool(gate.send(plan, "1").reconfirm) is asks


def test_what_changes_between_two_batches_is_asked_again_in_the_end(tmp_path: Path) -> None:
    world = World(tmp_path, jobs=[job(str(number)) for number in range(1, 5)])
    gate = world.gate(guard=Guard(batch=2))
    plan = planned(gate, "cancel", *world.jobs, cluster=world.cluster())

    def requeued() -> None:
        world.jobs["3"] = job("3", "PENDING", restarts=1)

    world.before_send = requeued
    outcome = gate.send(plan, "4")
    assert [change.targets for change in world.sent] == [("1", "2"), ("4",)] and set(outcome.reconfirm) == {"3"}
    fresh = gate.replan(outcome, world.cluster())
    assert isinstance(fresh, Plan) and not fresh.jobs, "it kills nothing that runs"


# -- wacht act ---------------------------------------------------------------------------------------------------------


class Hand(io.StringIO):
    """Somebody at a terminal who answers one question after the other; before each the world moves."""

    def __init__(self, *answers: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.questions: list[str] = []
        self._answers, self._meanwhile = list(answers), meanwhile

    def __call__(self, question: str) -> str:
        self.questions.append(question)
        self._meanwhile()
        return self._answers.pop(0)


def act(world: World, *words: str, moves: Callable[[], object], **more: Any) -> tuple[int, str, str]:
    """Run it; the world moves just before the targets are read again."""
    guard = {"guard": more.pop("guard")} if "guard" in more else {}
    out, err, gate = io.StringIO(), io.StringIO(), world.gate(**guard)
    cluster = world.cluster()
    real = gate.send

    def send(plan: Plan, answer: str, progress: Progress | None = None) -> Outcome:
        moves()
        return real(plan, answer, progress)

    gate.send = send  # type: ignore[method-assign]
    code = run_act(gate, cluster, words[0], words[1:], reason="x", out=out, err=err, sleep=world.clock.advance, **more)
    return code, out.getvalue(), err.getvalue()


def test_at_a_terminal_it_is_shown_and_asked_again(world: World) -> None:
    move(world, NAMES[:1], FLAPS)
    hand = Hand("y", "y")
    code, out, _ = act(world, "drain", NAMES[0], moves=lambda: move(world, NAMES[:1], "ALLOCATED"), ask=hand)
    assert len(hand.questions) == 2
    assert "not sent yet, gpu0001: it is back in service meanwhile: allocated" in out
    assert code == DONE and [change.targets for change in world.sent] == [("gpu0001",)]


def test_no_at_the_second_question_sends_no_more(world: World) -> None:
    move(world, NAMES[:1], FLAPS)
    code, out, err = act(world, "drain", "gpu[0001-0003]", moves=lambda: move(world, NAMES[:1], "ALLOCATED"),
                         ask=Hand("3", "n"))  # fmt: skip
    assert code == INCOMPLETE and [change.targets for change in world.sent] == [("gpu0002", "gpu0003")]
    assert "dropped  1  gpu0001" in out and "not confirmed" in err


def test_an_answer_in_advance_does_where_the_new_question_is_no_higher(world: World) -> None:
    move(world, NAMES[:1], FLAPS)
    code, out, _ = act(world, "drain", NAMES[0], moves=lambda: move(world, NAMES[:1], "ALLOCATED"), yes=True)
    assert code == DONE and len(world.sent) == 1 and "not sent yet, gpu0001" in out


def test_else_it_says_what_changed_and_how_to_go_on(world: World) -> None:
    move(world, NAMES[:40], FLAPS)
    code, _, err = act(world, "drain", "gpu[0001-0040]", moves=lambda: move(world, NAMES[:40], "ALLOCATED"), count=40)
    assert code == REFUSED and world.sent == []
    assert "gpu[0001-0040]: it is back in service meanwhile: allocated" in err
    assert "to go on, drain gpu[0001-0040] with --break-glass --count 40" in err


def test_a_yes_in_advance_is_no_count(world: World) -> None:
    move(world, NAMES[:6], FLAPS)
    code, _, err = act(world, "drain", "gpu[0001-0006]", moves=lambda: move(world, NAMES[:6], "ALLOCATED"), yes=True,
                       guard=Guard(plain_most=10))  # fmt: skip
    assert code == REFUSED and world.sent == [] and "to go on, drain gpu[0001-0006] with --count 6" in err


@pytest.mark.parametrize(
    ("given", "other", "covers"),
    [
        (Confirmation("plain", 1), Confirmation("plain", 1), True),
        (Confirmation("plain", 1), Confirmation("count", 1), False),
        (Confirmation("plain", 1), Confirmation("plain", 2), False),
        (Confirmation("count", 4), Confirmation("plain", 1), True),
        (Confirmation("count", 4), Confirmation("count", 4), True),
        (Confirmation("count", 4), Confirmation("count", 5), False),
        (Confirmation("count", 4), Confirmation("break", 4, "gpu"), False),
        (Confirmation("break", 4, "gpu"), Confirmation("count", 4), True),
        (Confirmation("break", 4, "gpu"), Confirmation("break", 4, "gpu"), False),
    ],
)  # fmt: skip
def test_which_answer_in_advance_does_for_which_question(
    given: Confirmation, other: Confirmation, covers: bool
) -> None:
    assert given.covers(other) is covers


# -- the console -------------------------------------------------------------------------------------------------------


class Flapping:
    """An allocated node of the simulated cluster that does not answer in the preview, and does when it is confirmed."""

    def __init__(self, op: Operator) -> None:
        self.op, self.name = op, op.node("allocated")[0]
        self._host = next(host for host in op.machine.site.hosts if host.name == self.name)

    async def planned(self) -> None:
        await self.op.press("2")
        await self.op.select(self.name)
        await self.silent(True)
        await self.op.press("d")

    async def silent(self, silent: bool) -> None:
        self._host.silent = silent
        self.op.machine.pool.stale_rows.add(self._host.index)
        if silent:
            await self.op.look_again()
            await self.op.until(lambda: "NOT_RESPONDING" in self.op.cluster.nodes[self.name].flags, "it is silent")


@pytest.mark.slow
async def test_the_console_shows_what_changed_and_asks_again() -> None:
    async with console() as op:
        one = Flapping(op)
        await one.planned()
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and op.dialog._armed_at is not None, "a dialog")
        first = op.dialog
        await op.type("bad DIMM")
        await op.press("enter")
        await op.until(lambda: first._armed_at is not None and not first.plan.missing_reason, "the plan")
        await one.silent(False)
        await op.press("y")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and op.app.screen is not first, "asked again")
        op.sees(f"not sent yet, {one.name}: it is back in service meanwhile: allocated", "bad DIMM")
        assert "DRAIN" not in op.truth(one.name).flags
        await op.confirm(answer="y")
        await op.until(lambda: "DRAIN" in op.truth(one.name).flags, "it drains")
        assert op.truth(one.name).reason == "bad DIMM"


@pytest.mark.slow
async def test_who_went_on_meanwhile_is_told_and_not_asked_under_their_hands() -> None:
    async with console() as op:
        one = Flapping(op)
        await one.planned()
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and op.dialog._armed_at is not None, "a dialog")
        await one.silent(False)
        hold, real = threading.Event(), op.app.session.gate.send

        def slow(*given: Any) -> Outcome:
            hold.wait(60)
            return real(*given)

        op.app.session.gate.send = slow  # type: ignore[method-assign]
        await op.confirm(reason="bad DIMM", answer="y")
        await op.press("3")
        hold.set()
        told = f"drain: not sent to {one.name}: it is back in service meanwhile: allocated; ask for it again"
        await op.until(lambda: any(told in str(note.message) for note in op.app._notifications), told)
        assert not isinstance(op.app.screen, ConfirmDialog) and "DRAIN" not in op.truth(one.name).flags
