"""Acting: when it asks, when it refuses, and what it does with a plan that has become stale."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from console.actions.plan import Options, Refusal
from console.actions.registry import BY_ID
from console.app import acting as module
from console.app.confirm_dialog import ConfirmDialog
from console.config.commands import CommandError
from console.gate import preflight_reads
from console.gate.outcome import Outcome, Progress
from tests.support import fake_app, make
from tests.support.fake_app import A, B, Desk


def sent(desk: Desk, **outcome: object) -> SimpleNamespace:
    """A gate that plans for real and sends nothing; the outcome is chosen."""
    real, log = desk.session.gate, []

    def send(plan, typed, progress):
        log.append((plan.change.targets, typed))
        return Outcome(plan=plan, **outcome)

    gate = SimpleNamespace(plan=real.plan, send=send, guard=real.guard, read_only=False, log=log, reread=None)
    gate.replan = lambda outcome, cluster: Refusal(why="nothing is left of it")
    desk.session.gate = gate
    return gate


def asked(desk: Desk) -> ConfirmDialog:
    """The dialog that is open."""
    assert isinstance(desk.app.screen, ConfirmDialog), desk.notes
    return desk.app.screen


def confirm(desk: Desk) -> None:
    plan = asked(desk).plan
    desk.app.pop_screen()
    desk.app.callbacks[-1]((plan, "y"))


def test_a_key_asks_for_the_marked_rows(desk: Desk) -> None:
    desk.show("n1", "n2")
    desk.acting.act("drain")
    desk.app.work()
    assert asked(desk).plan.change.targets == ("n1", "n2")


def test_a_key_without_a_target_says_what_is_missing(desk: Desk) -> None:
    desk.show()
    desk.acting.act("drain")
    assert desk.notes[0].endswith("no node is chosen here: put the cursor on one")


def test_what_the_gate_refuses_opens_no_dialog(state) -> None:
    desk = Desk(fake_app.session(read_only=True))
    desk.show("n1")
    desk.acting.act("drain")
    assert not isinstance(desk.app.screen, ConfirmDialog) and "refused: " in desk.notes[-1]


def test_an_answer_that_comes_when_the_user_has_moved_on_opens_no_dialog(desk: Desk, monkeypatch) -> None:
    monkeypatch.setattr(preflight_reads, "needs_reads", lambda action: True)
    monkeypatch.setattr(preflight_reads, "read_for", lambda *_: module.PreflightReads())
    desk.show("n1")
    desk.acting.ask("drain", ("n1",), "bad DIMM")
    assert desk.acting.preflight_of == "n1"
    desk.acting.ask("drain", ("n2",), "bad DIMM")
    assert desk.notes[-1] == "still looking at n1"
    desk.show("n2")
    desk.app.work()
    assert "you went on meanwhile" in desk.notes[-1] and desk.acting.preflight_of == ""
    assert not isinstance(desk.app.screen, ConfirmDialog)


def test_a_cancelled_dialog_sends_nothing(desk: Desk) -> None:
    gate = sent(desk)
    desk.show("n1")
    desk.acting.ask("drain", ("n1",), "bad DIMM")
    desk.app.work()
    desk.app.callbacks[-1](None)
    assert desk.notes[-1] == "cancelled: nothing was sent" and gate.log == []


def test_what_is_sent_spends_the_marks_and_is_under_way_until_its_outcome(desk: Desk) -> None:
    gate, screen = sent(desk), desk.show("n1")
    desk.acting.ask("drain", ("n1",), "bad DIMM")
    desk.app.work()
    confirm(desk)
    assert not screen.marked and desk.session.busy
    desk.app.work()
    assert gate.log == [(("n1",), "y")] and not desk.session.busy


def test_a_send_that_breaks_says_that_nothing_was_sent(desk: Desk) -> None:
    gate = sent(desk)
    gate.send = lambda *_: {}["a bug"]
    desk.show("n1")
    desk.acting.ask("drain", ("n1",), "bad DIMM")
    desk.app.work()
    confirm(desk)
    desk.app.work()
    assert "nothing was sent: KeyError" in desk.notes[-1] and not desk.session.busy


@pytest.mark.parametrize("moved", [False, True])
def test_a_stale_plan_is_planned_again_where_it_was_confirmed_else_reported(desk: Desk, moved: bool) -> None:
    gate = sent(desk, reconfirm={"n1": SimpleNamespace(why="it is down now")})
    replanned = []
    gate.replan = lambda outcome, cluster: replanned.append(outcome) or Refusal(why="nothing is left of it")
    desk.show("n1")
    desk.acting.ask("drain", ("n1",), "bad DIMM")
    desk.app.work()
    confirm(desk)
    if moved:
        desk.show("n2")
    desk.app.work()
    told = " ".join(desk.notes)
    assert len(replanned) == (not moved)
    assert ("not sent to n1: it is down now; ask for it again" if moved else "refused: nothing is left of it") in told


def test_an_outcome_of_a_cluster_that_is_no_longer_shown_is_reported_with_its_name(state) -> None:
    desk = Desk(None, B)
    gate, first = sent(desk, reconfirm={"n1": SimpleNamespace(why="it is down now")}), desk.session
    desk.show("n1")
    desk.acting.ask("drain", ("n1",), "bad DIMM")
    desk.app.work()
    confirm(desk)
    desk.fleet.sessions[B] = desk.fleet.session = fake_app.session(name=B)
    desk.app.work()
    assert gate.log and not first.busy
    assert any(note.startswith(f"{A}: ") and "not sent to n1" in note for note in desk.notes)


@pytest.mark.parametrize(
    ("words", "why"),
    [(["n9", "bad", "DIMM"], "unknown node n9"), (["--nonsense", "n1"], "nonsense"), (["n1", "rack=R01"], "rack=R01")],
)
def test_a_line_that_cannot_be_meant_is_refused_in_the_prompt(desk: Desk, words: list[str], why: str) -> None:
    desk.show()
    with pytest.raises(CommandError, match=why):
        desk.acting.run_command("drain", words)
    assert not isinstance(desk.app.screen, ConfirmDialog)


def test_a_line_asks_for_what_it_names(desk: Desk) -> None:
    desk.show()
    desk.acting.run_command("drain", ["n[1-2]", "bad", "DIMM"])
    desk.app.work()
    plan = asked(desk).plan
    assert plan.change.targets == ("n1", "n2") and plan.change.reason.startswith("bad DIMM")


def test_quitting_drops_what_is_not_sent_yet_on_every_cluster(state) -> None:
    desk = Desk(None, B)
    desk.fleet.sessions[B] = fake_app.session(name=B)
    stopped = []
    for one in desk.fleet.sessions.values():
        progress = Progress(1)
        progress.stop = lambda name=one.name: stopped.append(name)
        one.sending.add(progress)
    desk.acting.stop_sending()
    assert stopped == [A, B]


def test_nodes_that_came_back_unfit_are_drained_only_from_their_own_cluster(state) -> None:
    desk = Desk(None, B)
    asks = []
    desk.acting.rollout._ask = lambda *given: asks.append(given)
    progress = SimpleNamespace(unfit={"n1": "a GPU is lost"})
    plan = SimpleNamespace(cluster=make.cluster(B), action=BY_ID["resume"])
    desk.acting.rollout._drain_again(plan, progress)
    assert not asks and "go there first" in desk.notes[-1]
    plan.cluster = make.cluster(A)
    desk.acting.rollout._drain_again(plan, progress)
    assert asks == [("drain", ("n1",), "came back unfit", Options(reasons={"n1": "came back unfit: a GPU is lost"}))]


def test_progress_is_shown_again_only_while_there_is_some(desk: Desk) -> None:
    with pytest.raises(CommandError, match="nothing is being sent"):
        desk.acting.rollout.open_again()
