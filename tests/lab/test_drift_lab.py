"""A drain of a node that flaps, on a living Slurm of each version: put back, a node does not respond until its slurmd
was asked; what is drained in these seconds is back in service when it is confirmed, and is asked again."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.actions.plan import Plan
from console.cli.act import DONE, run_act
from console.gate.outcome import Outcome

from .place import wait_for
from .roots import SUITES
from .running import running
from .shift import Shift
from .slurm import Lab

pytestmark = pytest.mark.lab
FLAPS = "gpu0002"


@pytest.fixture(scope="module", params=SUITES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    yield from running(request.param, nodes=4)


@pytest.fixture
def shift(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shift]:
    made = Shift(lab, monkeypatch, tmp_path)
    made.runs(FLAPS)
    assert made.does("drain", FLAPS, reason="first") == {FLAPS: "done"}
    yield made
    monkeypatch.undo()
    lab.reset()


def back(shift: Shift) -> None:
    """Let the node answer again, and wait until it does."""
    shift.lab.signal_slurmd(FLAPS, signal.SIGCONT)

    def missing() -> str:
        node = shift.node(FLAPS)
        return f"it is {node.display}" if "NOT_RESPONDING" in node.flags else ""

    wait_for(missing, 60)


def flapping(shift: Shift) -> None:
    """Undrained just now, and its slurmd stopped until `back`: as a plan sees it, however slow this computer is."""
    shift.lab.signal_slurmd(FLAPS, signal.SIGSTOP)
    shift.lab.check(["scontrol", "update", f"NodeName={FLAPS}", "State=UNDRAIN"])
    assert shift.node(FLAPS).display == "unknown"


def test_a_drain_of_a_node_that_flaps_is_asked_again(shift: Shift) -> None:
    flapping(shift)
    plan = shift.plan("drain", FLAPS, reason="second")
    assert isinstance(plan, Plan) and plan.rows[FLAPS].display == "unknown"
    back(shift)
    outcome: Outcome = shift.gate.send(plan, plan.confirmation.prompt)
    assert set(outcome.reconfirm) == {FLAPS} and "DRAIN" not in shift.node(FLAPS).flags
    fresh = shift.gate.replan(outcome, plan.cluster)
    assert isinstance(fresh, Plan) and fresh.reason == "second" and fresh.rows[FLAPS].display in {"mixed", "allocated"}
    assert shift.sends(fresh) == {FLAPS: "done"} and shift.node(FLAPS).reason == "second"


@pytest.mark.parametrize("ahead", [True, False])
def test_from_the_command_line(shift: Shift, ahead: bool) -> None:
    flapping(shift)
    cluster, questions, real = shift.cluster("drain"), list[str](), shift.gate.send

    def ask(question: str) -> str:
        questions.append(question)
        back(shift)
        return "y"

    def send(*given: object) -> Outcome:
        back(shift)
        sent: Callable[..., Outcome] = real
        return sent(*given)

    shift.gate.send = send  # type: ignore[method-assign]
    out = io.StringIO()
    code = run_act(shift.gate, cluster, "drain", [FLAPS], reason="second", yes=ahead, ask=None if ahead else ask,
                   out=out, err=io.StringIO(), deadline_s=20)  # fmt: skip
    assert code == DONE and len(questions) == (0 if ahead else 2), out.getvalue()
    assert f"not sent yet, {FLAPS}: it is back in service meanwhile" in out.getvalue()
    assert shift.node(FLAPS).reason == "second"
