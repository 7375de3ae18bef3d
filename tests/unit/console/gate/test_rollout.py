"""A mass return through the gate: wave after wave, and nothing goes on over nodes that came back ill."""

from __future__ import annotations

import io
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from collectors.model import SourceFault
from console.actions.option_parsing import split_options
from console.actions.options import Guard, Options
from console.actions.plan import Confirmation, Refusal
from console.cli import act
from console.cli.rollout_text import stoppable
from console.gate.outcome import Progress
from console.gate.preview import text
from console.journal.entries import join, outcome_text
from console.journal.writer import verify
from tests.support.gate_world import World
from tests.support.rollout_world import NAMES, Hand, Machine, down, facts, plan_of, sick, silent

# -- sent through the gate ---------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    return Machine(tmp_path, [down(name) for name in NAMES[:64]])


def test_waves_go_out_one_after_the_other_and_are_written_down(world: World) -> None:
    gate, hand = world.gate(guard=Guard(node_kw=10)), Hand(world)
    gate.reread = facts(world)
    plan = plan_of(world, gate)
    assert plan.confirmation == Confirmation("count", 64)
    assert len(plan.commands) == 5 and "in waves" in "\n".join(text(plan))
    at: list[float] = []
    world.before_send = lambda: at.append(world.clock.mono())
    outcome = gate.send(plan, "64", hand)
    assert [len(change.targets) for change in world.sent] == [16, 7, 16, 16, 9]
    assert all(later - before >= 60 for before, later in pairwise(at))
    assert {result.state for result in outcome.results.values()} == {"done"} and not outcome.waiting
    assert not outcome.aside and len(hand.wave_log) == 5 and hand.wave_log[0] == "canary R01: 16 back"
    lines = world.journal()
    assert next(line["wave"] for line in lines if line["event"] == "verified") == "canary R01"
    assert [line["event"] for line in lines] == ["intent", *["verified"] * 5, "result"]
    (entry,) = join(lines).values()
    assert len(entry.outcome) == 64 and {told.state for told in entry.outcome.values()} == {"done"}
    assert verify(world.path).ok


def test_the_count_is_typed_once_and_nothing_else_does(world: World) -> None:
    gate = world.gate()
    assert gate.send(plan_of(world, gate), "y", Hand(world)).refused
    assert not world.sent


def test_the_ramp_holds_a_wave_back(world: World) -> None:
    gate, hand = world.gate(guard=Guard(ramp_kw_min=40, node_kw=10)), Hand(world)
    gate.reread = facts(world)
    at: list[tuple[float, int]] = []
    world.before_send = lambda: at.append((world.clock.mono(), len(at)))
    plan = plan_of(world, gate, 32)
    gate.send(plan, "32", hand)
    assert max(len(change.targets) for change in world.sent) == 4
    for moment, number in at:
        within = [len(world.sent[other].targets) for when, other in at if moment <= when < moment + 60]
        assert 10 * sum(within) <= 40, number


def test_an_ill_canary_pauses_everything(world: World) -> None:
    held: list[str] = []

    def look_then_stop(hand: Hand) -> None:
        held.append(hand.hold_reason)
        assert hand.paused and len(world.sent) == 1
        hand.stop()

    gate, hand = world.gate(), Hand(world, look_then_stop)
    gate.reread = facts(world, sick(*NAMES[:4]))
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert held == ["canary R01: 4 of 16 nodes did not come back fit"]
    assert set(outcome.aside) == set(NAMES[:4]) and "GPU 3 is lost" in outcome.aside["gpu0001"]
    assert outcome.results["gpu0001"].state == "done" and "set aside" in outcome.results["gpu0001"].why
    assert sum(result.state == "dropped" for result in outcome.results.values()) == 48
    entry = join(world.journal())[outcome.plan.id]
    assert "set aside: GPU 3 is lost" in entry.outcome["gpu0001"].why and entry.outcome["gpu0001"].aside
    assert outcome_text(entry).endswith(", of them 4 set aside")
    # They stay as Slurm has them: nobody said that they should be drained again.
    assert [change.action for change in world.sent] == ["resume"]


def test_a_few_are_set_aside_and_the_rest_goes_on(world: World) -> None:
    gate, hand = world.gate(), Hand(world, lambda hand: pytest.fail("it paused"))
    gate.reread = facts(world, sick(*NAMES[:3]))
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert set(outcome.aside) == set(NAMES[:3]) and len(world.sent) == 5


def test_a_pause_can_be_lifted(world: World) -> None:
    gate, hand = world.gate(), Hand(world, lambda hand: hand.resume())
    gate.reread = facts(world, sick(*NAMES[:4]))
    gate.send(plan_of(world, gate), "64", hand)
    assert len(world.sent) == 5 and hand.hold_reason == ""


def test_half_of_them_silent_pauses_everything_after_two_minutes(world: World) -> None:
    world.do = silent(world, *NAMES[:16:2])
    held: list[str] = []
    gate, hand = world.gate(), Hand(world, lambda hand: (held.append(hand.hold_reason), hand.stop()))
    gate.reread = facts(world)
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert 120 <= hand.waited < 200 and held == ["canary R01: 8 of 16 nodes did not come back fit"]
    assert len(outcome.aside) == 8 and outcome.aside["gpu0001"] == "late: not registered within 120 s"
    # Nobody knows yet what becomes of them: they are followed on, as after any other action.
    assert outcome.results["gpu0001"].state == "pending" and len(outcome.waiting) == 8
    ended = gate.follow(outcome, sleep=world.clock.advance)
    assert "not registered after 30" in ended.results["gpu0001"].why


def test_one_that_is_drained_again_by_the_health_check_is_not_fit(world: World) -> None:
    gate, hand = world.gate(), Hand(world)

    def look(names):
        if world.sent:
            world.node("gpu0005", "IDLE+DRAIN", reason="NHC: check_gpu", reason_by="nhc")
        return facts(world)(names)

    gate.reread = look
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert outcome.aside["gpu0005"] == "drained again: NHC: check_gpu"


def test_what_is_not_known_is_said_and_refuses_nothing(world: World) -> None:
    gate, hand = world.gate(), Hand(world)

    def silent(names):
        raise SourceFault("timeout", "Prometheus is silent", "look")

    gate.reread = silent
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert len(world.sent) == 5 and not outcome.aside
    assert hand.wave_log[0].startswith("canary R01: 16 back, whether 16 are fit is not known")
    assert hand.waited >= 5 * 120


def test_old_telemetry_is_waited_for(world: World) -> None:
    gate, hand = world.gate(), Hand(world)
    gate.reread = facts(world, late=200)
    gate.send(plan_of(world, gate, 17), "17", hand)
    assert hand.waited >= 120 and "is not known" in hand.wave_log[0]


def test_a_stop_ends_the_waiting_and_what_was_sent_is_followed(world: World) -> None:
    world.deaf = True
    gate, hand = world.gate(), Hand(world)
    gate.reread = facts(world)
    hand.at_rest = hand.stop
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert len(world.sent) == 1 and len(outcome.waiting) == 16
    assert sum(result.why == "not sent: you stopped it" for result in outcome.results.values()) == 48


def test_what_somebody_else_did_meanwhile_is_left_alone(world: World) -> None:
    gate, hand = world.gate(), Hand(world)
    gate.reread = facts(world)

    def meanwhile():
        world.node("gpu0040", "IDLE")

    hand.at_rest = meanwhile
    outcome = gate.send(plan_of(world, gate), "64", hand)
    assert outcome.results["gpu0040"].state == "dropped"
    assert all("gpu0040" not in change.targets for change in world.sent)


def test_a_pause_holds_the_next_wave(world: World) -> None:
    gate, hand = world.gate(), Hand(world)
    gate.reread = facts(world)
    first = threading.Event()

    def pause() -> None:
        hand.pause()
        first.set()

    world.before_send = pause
    sending = threading.Thread(target=gate.send, args=(plan_of(world, gate), "64", hand))
    sending.start()
    assert first.wait(60)
    sending.join(0.3)
    assert sending.is_alive() and len(world.sent) == 1
    hand.stop()
    sending.join(60)
    assert not sending.is_alive() and len(world.sent) == 1


def test_an_option_that_an_action_does_not_know_is_refused(world: World) -> None:
    refusal = world.gate().plan("down", NAMES[:2], "x", world.cluster(), Options(waves=True))
    assert isinstance(refusal, Refusal) and "down takes no --waves; it takes no options" in refusal.why
    refusal = world.gate().plan("resume", NAMES[:2], None, world.cluster(), Options(canary="R77"))
    assert isinstance(refusal, Refusal) and "R77" in refusal.why


def test_as_it_is_typed() -> None:
    options, rest = split_options(["@rack:R07", "--waves", "--canary", "R07", "--failed=drain"])
    assert (options.waves, options.canary, options.redrain, rest) == (True, "R07", True, ["@rack:R07"])
    for wrong in (["--waves=3"], ["--failed", "burn"]):
        with pytest.raises(ValueError):
            split_options(wrong)


# -- from the command line ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "sent"), [("y\n", 5), ("\n", 1), (None, 1)])
def test_at_a_terminal_it_asks_before_it_goes_on(world: World, answer: str | None, sent: int) -> None:
    gate, said = world.gate(), list[str]()
    gate.reread = facts(world, sick(*NAMES[:4]))
    plan = plan_of(world, gate)
    with stoppable(None if answer is None else lambda question: answer, said.append) as progress:
        progress.wait = lambda seconds: (world.clock.advance(seconds), progress.stopped)[1]  # type: ignore[method-assign]
        outcome = gate.send(plan, "64", progress)
    assert len(world.sent) == sent and len(outcome.aside) == 4
    assert said[0] == "canary R01: 12 back, 4 set aside"
    assert said[1].startswith("  set aside  gpu[0001-0004]: GPU 3 is lost")
    assert said[2] == "paused: canary R01: 4 of 16 nodes did not come back fit"


def test_the_command_line_ends_with_1_where_some_are_set_aside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, out = world.gate(), io.StringIO()
    gate.reread = facts(world, sick("gpu0001"))

    def wait(self: Progress, seconds: float) -> bool:
        world.clock.advance(seconds)
        return self.stopped

    monkeypatch.setattr(Progress, "wait", wait)
    code = act.run_act(gate, world.cluster(), "resume", ["gpu[0001-0064]"], count=64, out=out, err=io.StringIO(),
                       options=Options(waves=True))  # fmt: skip
    assert code == act.INCOMPLETE and len(world.sent) == 5
    assert "canary R01: 15 back, 1 set aside\n  set aside  gpu0001: GPU 3 is lost" in out.getvalue()
    assert "10 %: 7 back\n" in out.getvalue()


def test_when_nobody_reads_on_the_rest_is_left_out(world: World) -> None:
    """`wacht act resume … | head`: as Ctrl-C would, and what was sent is written down to its result."""
    gate = world.gate()
    gate.reread = facts(world)
    plan = plan_of(world, gate)

    def gone(line: str) -> None:
        raise BrokenPipeError

    with stoppable(None, gone) as progress:
        progress.wait = lambda seconds: (world.clock.advance(seconds), progress.stopped)[1]  # type: ignore[method-assign]
        outcome = gate.send(plan, "64", progress)
    states = [result.state for result in outcome.results.values()]
    assert len(world.sent) == 1 and states.count("done") == 16 and states.count("dropped") == 48
    assert not outcome.warning
