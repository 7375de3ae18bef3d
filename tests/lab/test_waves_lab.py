"""A mass return on a living Slurm (26.05; it went the same on 24.11): a node that a health check drains between two
steps is not sent, one whose slurmd is silent holds up nobody, and both are told of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from console.actions.options import Guard
from console.actions.plan import Plan
from console.gate.outcome import Progress
from console.journal.entries import join
from console.journal.writer import read, verify
from console.preflight.checks import PreflightReads

from .shift import Shift
from .slurm import Lab

pytestmark = pytest.mark.lab
COUNT = 8
#: Seconds that a wave waits for one of its nodes.
WAITS = 1.5


class Watcher(Progress):
    """Somebody who looks on, and does something after the wave of a name has been told of."""

    def __init__(self, deeds: Mapping[str, Callable[[], None]]) -> None:
        super().__init__()
        self._deeds, self.of = dict(deeds), dict[str, Mapping[str, str]]()

    def log_wave(self, line: str, aside: Mapping[str, str]) -> None:
        super().log_wave(line, aside)
        name = line.partition(":")[0]
        self.of[name] = aside
        if deed := self._deeds.pop(name, None):
            deed()

    def hold(self, why: str) -> None:
        self.wave_log.append(why)
        self.stop()  # nobody is here to let it go on


@pytest.fixture
def shift(lab_forky: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    lab = lab_forky
    lab.reset()
    made = Shift(lab, monkeypatch, tmp_path)
    made.gate.guard = Guard(share_pct=100, break_pct=100, wave_wait_s=WAITS, wave_pause_s=0, wave_failed_pct=100)
    made.gate.reread = lambda names: (made.cluster("resume"), PreflightReads())
    yield made
    monkeypatch.undo()
    lab.reset()


def test_a_return_goes_on_without_who_is_silent_and_leaves_who_was_drained_meanwhile(shift: Shift) -> None:
    lab = shift.lab
    names = [f"gpu{at:04d}" for at in range(1, COUNT + 1)]
    silent, ill = names[3], names[-1]
    # The drained ones are back at once; one that is down must register first, which its slurmd will not.
    lab.check(["scontrol", "update", f"NodeName={','.join(names)}", "State=DRAIN", "Reason=maintenance"])
    lab.check(["scontrol", "update", f"NodeName={silent}", "State=DOWN", "Reason=maintenance"])
    lab.stop_nodes([silent])
    plan = shift.plan("resume", ",".join(names), waves=True)
    assert isinstance(plan, Plan) and plan.waves is not None, plan
    assert f"{WAITS:g} s at most" in " ".join(plan.waves.describe())

    def drain() -> None:
        lab.check(["scontrol", "update", f"NodeName={ill}", "State=DRAIN", "Reason=NHC: check_gpu GPU 3"])

    waves = [wave.name for wave in plan.waves.waves]
    (late,) = (wave.name for wave in plan.waves.waves if silent in wave.nodes)
    hand = Watcher({waves[0]: drain, waves[-1]: lambda: lab.start_nodes([silent])})
    outcome = shift.gate.send(plan, plan.confirmation.prompt, hand)
    assert outcome.refused is None and not outcome.warning and not hand.stopped, hand.wave_log
    told = {target: result.why for target, result in outcome.results.items()}
    states = lab.node_states()
    # The one that was drained meanwhile was never sent, and its reason stands.
    assert "DRAIN" in states[ill] and told[ill].startswith("not sent, set aside: ") and "NHC: check_gpu" in told[ill]
    assert shift.node(ill).reason.startswith("NHC: check_gpu")
    # The silent one was left behind by its wave; once its slurmd is back it is told of as late.
    assert hand.of[late][silent] == f"late: not registered within {WAITS:g} s"
    assert hand.wave_log[-1].startswith("late: ") and outcome.results[silent].state == "done"
    assert {states[name] for name in names if name != ill} == {"IDLE"}
    assert outcome.aside.keys() == {ill} and not outcome.waiting
    path = shift._path
    (entry,) = join(read(path)).values()
    assert verify(path).ok and entry.outcome[silent].state == "done" and entry.outcome[ill].state == "dropped"
