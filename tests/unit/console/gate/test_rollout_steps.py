"""A mass return between two of its steps: each is looked at before it goes out, who is silent holds up nobody, and what
came back ill is drained again only where somebody says so."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import msgspec
import pytest

from collectors.model import SourceFault
from console.actions.options import Guard, Options
from console.actions.plan import Plan
from console.cli import act
from console.cli.rollout_text import stoppable
from console.gate.outcome import Progress
from console.gate.preview import text
from console.journal.entries import join
from console.journal.writer import verify
from console.preflight.checks import PreflightReads
from tests.support.gate_world import World, node
from tests.support.rollout_world import NAMES, Hand, Machine, down, facts, plan_of, sick, silent


@pytest.fixture
def world(tmp_path: Path) -> World:
    return Machine(tmp_path, [down(name) for name in NAMES[:64]])


def sent(world: World) -> list[str]:
    return [name for change in world.sent if change.action == "resume" for name in change.targets]


# -- before a step goes out --------------------------------------------------------------------------------------------


def test_what_falls_ill_between_two_steps_is_set_aside_and_the_others_go_on(world: World) -> None:
    """The canary takes minutes: gpu0020 loses a GPU meanwhile, before anybody has sent it anything."""
    gate, hand = world.gate(), Hand(world, lambda hand: pytest.fail("it paused"))
    looked: list[tuple[str, ...]] = []

    def look(names):
        looked.append(tuple(names))
        cluster, extra = facts(world)(names)
        return cluster, msgspec.structs.replace(extra, gpus=sick("gpu0020") if world.sent else {})

    gate.reread = look
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert looked[0] == tuple(NAMES[:16]), "the first step too: its preview may be five minutes old"
    assert len(sent(world)) == 63 and "gpu0020" not in sent(world) and world.nodes["gpu0020"].state == "DOWN"
    told = outcome.results["gpu0020"]
    assert told.state == "dropped" and told.why.startswith("not sent, set aside: GPU 3 is lost")
    assert outcome.aside.keys() == {"gpu0020"}
    assert hand.wave_log[:2] == ["canary R01: 16 back", "10 %: 6 back, 1 set aside"]
    (entry,) = join(world.journal()).values()
    assert entry.outcome["gpu0020"].why == told.why and verify(world.path).ok


def test_a_drain_by_the_health_check_meanwhile_stands(world: World) -> None:
    gate, hand = world.gate(), Hand(world)
    gate.reread = facts(world)
    world.before_send = lambda: world.node("gpu0040", "DOWN+DRAIN", reason="NHC: check_ib", reason_by="nhc")
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert "gpu0040" not in sent(world) and outcome.aside["gpu0040"] == "down meanwhile: NHC: check_ib"
    assert world.nodes["gpu0040"].reason == "NHC: check_ib"


def test_that_slurmd_does_not_answer_is_why_it_is_put_back(world: World) -> None:
    gate, hand = world.gate(), Hand(world)
    gate.reread = facts(world)
    world.before_send = lambda: None if len(world.sent) else world.node(
        "gpu0040", "DOWN*", reason="Not responding", reason_by="slurm")  # fmt: skip
    gate.send(plan_of(world, gate), "64", hand)
    assert "gpu0040" in sent(world)


def test_a_wave_of_which_nothing_is_fit_pauses_what_follows(world: World) -> None:
    held: list[str] = []
    gate, hand = world.gate(), Hand(world, lambda hand: (held.append(hand.hold_reason), hand.stop()))

    def look(names):
        cluster, extra = facts(world)(names)
        return cluster, msgspec.structs.replace(extra, gpus=sick(*NAMES[16:23]))

    gate.reread = look
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert sent(world) == NAMES[:16] and held == ["10 %: 7 of 7 nodes did not come back fit"]
    assert hand.wave_log[1] == "10 %: 0 back, 7 set aside" and len(outcome.aside) == 7


def test_after_a_pause_it_is_looked_at_once_more(world: World) -> None:
    gate, hand = world.gate(), Hand(world)
    ill: list[str] = []

    def look(names):
        cluster, extra = facts(world)(names)
        return cluster, msgspec.structs.replace(extra, gpus=sick(*ill))

    gate.reread = look
    first = threading.Event()

    def pause() -> None:
        if not world.sent:
            hand.pause()
            first.set()

    world.before_send = pause
    sending = threading.Thread(target=gate.send, args=(plan_of(world, gate), "64", hand))
    sending.start()
    assert first.wait(10)
    sending.join(0.3)
    ill.append("gpu0017")
    hand.resume()
    sending.join(10)
    assert not sending.is_alive() and len(sent(world)) == 63 and "gpu0017" not in sent(world)


def test_what_was_accepted_against_the_glass_is_not_refused_by_the_same_check(world: World) -> None:
    gate, hand = world.gate(), Hand(world)
    ill = {**sick("gpu0020"), **sick("gpu0021")}
    gate.reread = lambda names: (facts(world)(names)[0], PreflightReads(gpus=ill))
    plan = gate.plan("resume", NAMES[:64], "go", world.cluster(), Options(waves=True, break_glass=True),
                     PreflightReads(gpus=sick("gpu0020")))  # fmt: skip
    assert isinstance(plan, Plan) and plan.confirmation.kind == "break"
    outcome = gate.send(plan, plan.confirmation.prompt, hand)
    assert "gpu0020" in sent(world) and "gpu0021" not in sent(world) and outcome.aside.keys() == {"gpu0021"}


def test_what_cannot_be_looked_at_goes_out_and_that_is_said(world: World) -> None:
    gate, hand = world.gate(), Hand(world)

    def look(names):
        if world.nodes[names[0]].state == "DOWN":
            raise SourceFault("timeout", "Prometheus is silent", "look")
        return facts(world)(names)

    gate.reread = look
    gate.send(plan_of(world, gate), "64", hand)
    assert len(sent(world)) == 64
    assert hand.wave_log[0].startswith(
        "canary R01: 16 back, before it went out it could not be looked at: Prometheus is"
    )


def test_old_facts_are_waited_for_a_moment_and_no_longer(world: World) -> None:
    gate, hand = world.gate(guard=Guard(wave_pause_s=0)), Hand(world)
    made = facts(world)

    def look(names):
        cluster, extra = made(names)
        old = {name: msgspec.structs.replace(one, read_mono=-1.0) for name, one in cluster.sources.items()}
        return msgspec.structs.replace(cluster, sources=old), extra

    gate.reread = look
    before: list[float] = []
    world.before_send = lambda: before.append(hand.waited)
    gate.send(plan_of(world, gate), "64", hand)
    assert 5 <= before[0] < 8 and len(world.sent) == 5


# -- who is silent -----------------------------------------------------------------------------------------------------


def test_one_silent_node_holds_up_nobody(world: World) -> None:
    world.do = silent(world, "gpu0003")
    gate, hand = world.gate(guard=Guard(wave_pause_s=0)), Hand(world)
    gate.reread = facts(world)
    at: list[float] = []
    said: set[str] = set()
    world.before_send = lambda: at.append(hand.waited)
    hand.at_rest = lambda: said.add(hand.wave)
    chips: list[str] = []
    hand.log_wave = lambda line, aside: (Progress.log_wave(hand, line, aside), chips.append(hand.chip))  # type: ignore[method-assign]
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert 120 <= at[1] - at[0] < 130 and at[4] - at[1] < 60, "two minutes once, and the others after one another"
    assert any(one.endswith("waits for 1 of 16 to register, 100 s more at most: gpu0003") for one in said), said
    assert hand.wave_log[0] == "canary R01: 15 back, 1 late"
    assert chips[-2].endswith(", 1 late") and hand.late_count == 0
    # When all are out it gets the rest of its five minutes, and is told of last.
    assert hand.waited >= 300 and hand.wave_log[-1] == "late: 0 back, 1 set aside"
    assert outcome.results["gpu0003"].state == "unknown" and "not registered after 300 s" in outcome.aside["gpu0003"]
    lines = [line["wave"] for line in world.journal() if line["event"] == "verified"]
    assert lines[0] == "canary R01" and lines[-1] == "late" and len(lines) == 6


@pytest.mark.parametrize("ill", [False, True])
def test_one_that_comes_late_is_looked_at_too(world: World, ill: bool) -> None:
    world.do = silent(world, "gpu0003")
    gate, hand = world.gate(guard=Guard(wave_pause_s=20)), Hand(world)
    gate.reread = facts(world, sick("gpu0003") if ill else None)

    def later() -> None:
        if hand.waited > 130:
            world.node("gpu0003", "IDLE")

    hand.at_rest = later
    outcome = gate.send(plan_of(world, gate), "64", hand)
    (late,) = (line for line in hand.wave_log if line.startswith("late: "))
    assert late == ("late: 0 back, 1 set aside" if ill else "late: 1 back")
    assert hand.wave_log[-1] != late, "as soon as it is there, not only when all are out"
    assert outcome.results["gpu0003"].state == "done" and not outcome.waiting
    assert list(outcome.aside) == (["gpu0003"] if ill else []) and hand.waited < 300
    assert ("GPU 3 is lost" in outcome.results["gpu0003"].why) is ill


def test_who_stops_it_leaves_the_silent_ones_to_be_followed(world: World) -> None:
    world.do = silent(world, "gpu0003")
    gate, hand = world.gate(), Hand(world)
    gate.reread = facts(world)
    hand.at_rest = lambda: hand.stop() if hand.late_count else None
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert [one.target for one in outcome.waiting] == ["gpu0003"] and outcome.results["gpu0003"].state == "pending"


# -- drained again, where somebody says so -----------------------------------------------------------------------------


class Answers(Hand):
    """Somebody who answers the question whether the unfit are drained again."""

    def __init__(self, world: World, answer: str) -> None:
        super().__init__(world)
        self.with_, self.asked = answer, list[Plan]()

    def answer(self, plan: Plan) -> str:
        self.asked.append(plan)
        return self.with_


def drained(world: World) -> set[str]:
    return {name for name, one in world.nodes.items() if "DRAIN" in one.flags}


def test_the_unfit_are_drained_again_once_somebody_says_yes(world: World) -> None:
    gate, hand = world.gate(), Answers(world, "y")
    gate.reread = facts(world, sick("gpu0002"))
    plan = plan_of(world, gate, redrain=True)
    assert "you are asked whether they are drained again" in " ".join("\n".join(text(plan)).split())
    outcome = gate.send(plan, "64", hand)
    (asked,) = hand.asked
    assert asked.action.id == "drain" and asked.change.targets == ("gpu0002",) and asked.confirmation.prompt == "y"
    assert drained(world) == {"gpu0002"} and outcome.aside["gpu0002"].endswith("drained again") and not hand.unfit
    assert "GPU 3 is lost" in (world.nodes["gpu0002"].reason or "")
    assert {entry.action for entry in join(world.journal()).values()} == {"resume", "drain"}
    assert verify(world.path).ok


def test_a_node_that_flaps_is_asked_again_before_it_is_drained_again(world: World) -> None:
    """It has only just come back: in the preview it does not respond, and does when that is confirmed."""
    gate, hand = world.gate(), Answers(world, "y")
    look, real = facts(world, sick("gpu0002")), world.read_nodes
    registered: list[str] = []

    def looks(names):
        registered.extend(name for name in names if world.nodes[name].display == "idle")
        return look(names)

    def read(names):
        rows = dict(real(names))
        if "gpu0002" in rows and "gpu0002" in registered and not hand.asked:
            rows["gpu0002"] = node("gpu0002", "ALLOCATED+NOT_RESPONDING")
        return rows

    gate.reread = looks
    world.read_nodes = read  # type: ignore[method-assign]
    outcome = gate.send(plan_of(world, gate, redrain=True), "64", hand)
    first, second = hand.asked
    assert first.rows["gpu0002"].display == "unknown" and set(second.changed) == {"gpu0002"}
    assert drained(world) == {"gpu0002"} and outcome.aside["gpu0002"].endswith("drained again")


@pytest.mark.parametrize("answer", ["", "n", "yes please", "64"])
def test_without_a_yes_nothing_is_drained(world: World, answer: str) -> None:
    gate, hand = world.gate(), Answers(world, answer)
    gate.reread = facts(world, sick("gpu0002"))
    outcome = gate.send(plan_of(world, gate, redrain=True), "64", hand)
    assert hand.asked and drained(world) == set() and "not drained again: " in outcome.aside["gpu0002"]
    assert {change.action for change in world.sent} == {"resume"} and set(hand.unfit) == {"gpu0002"}


def test_on_a_screen_nobody_is_waited_for(world: World) -> None:
    gate, hand, told = world.gate(), Hand(world), []
    hand.on_unfit = lambda: told.append(dict(hand.unfit))
    gate.reread = facts(world, sick("gpu0002", "gpu0020"))
    gate.send(plan_of(world, gate, redrain=True), "64", hand)
    assert [set(one) for one in told] == [{"gpu0002"}, {"gpu0002", "gpu0020"}] and drained(world) == set()


def test_nobody_is_asked_who_did_not_want_to_be(world: World) -> None:
    gate, hand = world.gate(), Answers(world, "y")
    gate.reread = facts(world, sick("gpu0002"))
    gate.send(plan_of(world, gate), "64", hand)
    assert not hand.asked and drained(world) == set() and set(hand.unfit) == {"gpu0002"}


@pytest.mark.parametrize(
    ("yes", "typed", "taken"),
    [(False, None, False), (True, None, True), (False, "y", True), (False, "n", False), (False, EOFError, False)],
)  # fmt: skip
def test_at_a_terminal(world: World, monkeypatch: pytest.MonkeyPatch, yes: bool, typed: object, taken: bool) -> None:
    gate, out, asked = world.gate(), io.StringIO(), list[str]()
    gate.reread = facts(world, sick("gpu0001"))
    monkeypatch.setattr(Progress, "wait", lambda self, s: (world.clock.advance(s), self.stopped)[1])

    def ask(question: str) -> str:
        asked.append(question)
        if not isinstance(typed, str):
            raise EOFError
        return typed + "\n"

    code = act.run_act(
        gate, world.cluster(), "resume", ["gpu[0001-0064]"], count=64, yes=yes, out=out, err=io.StringIO(),
        ask=None if typed is None else ask, options=Options(waves=True, redrain=True),
    )  # fmt: skip
    said = out.getvalue()
    assert code == act.INCOMPLETE and (drained(world) == {"gpu0001"}) is taken
    assert "Drain gpu0001 on lab" in said, "what would be drained is shown before"
    assert asked == ([] if typed is None else ["type y to drain them again: "])
    assert ("no terminal to ask on: nothing is drained again" in said) is (typed is None and not yes)


def test_a_yes_beforehand_breaks_no_glass(world: World) -> None:
    """More than a fifth of a partition: that takes its name, from somebody who sees how much it is."""
    with stoppable(None, lambda line: None, yes=True) as progress:
        every = world.cluster(nodes={name: msgspec.structs.replace(one, state="IDLE", display="idle")
                                     for name, one in world.nodes.items()})  # fmt: skip
        few, many = (world.gate().plan("drain", NAMES[:count], "x", every) for count in (1, 40))
        assert isinstance(few, Plan) and isinstance(many, Plan) and many.confirmation.kind == "break"
        assert progress.answer(few) == "y" and progress.answer(many) == ""


def test_ctrl_c_ends_the_question_too(world: World) -> None:
    import os
    import signal

    went_on: list[str] = []

    def ask(question: str) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        went_on.append(question)
        return "y"

    said: list[str] = []
    with stoppable(ask, said.append) as progress:
        progress.hold("canary R01: 4 of 16 nodes did not come back fit")
        assert progress.stopped and said[-1].startswith("stopping") and not went_on
