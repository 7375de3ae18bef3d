"""Slurm's commands that hang, cut, flood, fail and ignore signals, as a poller meets them: no fact is lost or made."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from collectors.model import Budget, Totals
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.write import CliWriter
from collectors.slurm.sources import open_sources
from console.actions.options import Guard
from console.actions.plan import Plan
from console.gate.gate import Gate
from console.journal.writer import Journal, read
from tests.faults import fault
from tests.faults.watch import NEVER_S, Watch, memory_mb
from tests.support.gate_world import World, job
from tests.support.make import Commands, play

#: Source to the command that answers it.
COMMANDS = {"slurm.nodes": "scontrol", "slurm.jobs": "squeue"}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands(tmp_path, monkeypatch)
    play(made, "26.05")
    return made


def watched(name: str, deadline_s: float = 20) -> Watch:
    """A poller over one source. Only those that hang have a short deadline: a busy machine is no fault."""
    budget = Budget(calls=600, seconds=60)
    settings = SlurmSettings(deadline_s=deadline_s, interval_s=NEVER_S, share=False, budget=budget)
    return Watch(next(one for one in open_sources("lab", settings) if one.name == name))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("script", "kinds"),
    [
        pytest.param("exec sleep 60", {"timeout"}, marks=fault(
            "Slurm's commands", "hang", "killed at the deadline; old facts stay, as old as they are")),
        pytest.param("trap '' TERM INT HUP; while :; do sleep 60; done", {"timeout"}, marks=fault(
            "Slurm's commands", "child that ignores SIGTERM", "SIGKILL of its whole group half a second later")),
        pytest.param("trap '' TERM; exec >&- 2>&-; exec sleep 60", {"timeout"}, marks=fault(
            "Slurm's commands", "closes its output and stays, ignoring SIGTERM", "killed: that is no end")),
        pytest.param("exec head -c 500000000 /dev/zero", {"malformed", "timeout"}, marks=fault(
            "Slurm's commands", "500 MB reply", "cut off at its bound, the writer killed; memory has a bound")),
        pytest.param("exit 0", {"empty"}, marks=fault(
            "Slurm's commands", "exit 0 with empty output", "a fault, never 0 nodes and all healthy")),
        pytest.param('real "$@" | head -c 700', {"cut"}, marks=fault(
            "Slurm's commands", "output cut, exit 0", "a fault, never a shorter queue or a smaller machine")),
        pytest.param("echo 'slurm_load error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
                     {"refused"}, marks=fault("Slurm's commands", "exit 1, no controller", "a fault with its words")),
        pytest.param("echo 'slurm_load error: Rate limit exceeded, please back off and try again' >&2; exit 1",
                     {"backoff"}, marks=fault("Slurm's commands", "RPC back-off", "back-off; it waits twice as long")),
        pytest.param("kill -SEGV $$", {"refused"}, marks=fault(
            "Slurm's commands", "crashes", "a fault that names the signal's status")),
    ],
)  # fmt: skip
def test_a_command_that_misbehaves_costs_no_fact(commands, tmp_path, name, script, kinds):
    program = COMMANDS[name]
    stand_in = commands.folder / program
    good = stand_in.read_text()
    real = tmp_path / "real"
    with watched(name, 0.5 if "timeout" in kinds else 20) as watch:
        before = watch.well()
        kind = name.rpartition(".")[2]
        assert getattr(before, kind)
        real.write_text(good)
        real.chmod(0o755)
        stand_in.write_text(f'#!/bin/sh\nreal() {{ {real} "$@"; }}\n{script}\n')
        began, held = time.monotonic(), memory_mb(anew=True)
        bad, source = watch.again(), watch.source
        assert time.monotonic() - began < 30 and memory_mb() - held < 350
        assert getattr(bad, kind) is getattr(before, kind) and bad.totals == before.totals
        assert (source.ok, source.failures) == (False, 1) and source.read_mono == before.sources[name].read_mono
        assert source.fault.kind in kinds and str(source.fault).isprintable() and source.fault.mend
        stand_in.write_text(good)
        assert getattr(watch.well(), kind).keys() == getattr(before, kind).keys()


@pytest.mark.parametrize("name", COMMANDS)
@fault(
    "Slurm's commands", "exit 0 with empty output from the start", "unknown: no sum is 0, no kind is known to be empty"
)
def test_nothing_is_no_empty_machine(commands, name):
    (commands.folder / COMMANDS[name]).write_text("#!/bin/sh\nexit 0\n")
    with watched(name) as watch:
        assert watch.source.fault.kind == "empty"
        assert watch.cluster.known == frozenset() and watch.cluster.totals == Totals()


@fault("Slurm's commands", "bulk of 50, #7 fails and #8 hangs",
       "6 pending, #7 failed, #8 unknown, 42 not sent; each at most once; one intent, one result",
       case="bulk of 50, #7 fails and #8 hangs")  # fmt: skip
def test_a_bulk_in_which_one_fails_and_the_next_hangs(commands, tmp_path):
    commands.script(
        "scancel",
        """for id; do :; done
case "$id" in
    7) echo "scancel: error: Kill job error on job id 7: Job/step already completing or completed" >&2; exit 1;;
    8) trap '' TERM; exec sleep 60;;
esac""",
    )
    world = World(tmp_path, jobs=[job(str(number), nodes=f"gpu{number:04d}") for number in range(1, 51)])
    gate = Gate("lab", lambda kind: CliWriter(deadline_s=0.5), world, lambda: Journal(world.path, "lab", world.clock),
                world.clock, guard=Guard(batch=1))  # fmt: skip
    plan = gate.plan("cancel", list(world.jobs), None, world.cluster())
    assert isinstance(plan, Plan)
    results = gate.send(plan, "50").results
    assert [results[str(number)].state for number in range(1, 9)] == ["pending"] * 6 + ["failed", "unknown"]
    assert {results[str(number)].state for number in range(9, 51)} == {"dropped"}
    assert "not sent: stopped after no answer" in results["50"].why
    sent = [call.rpartition(" ")[2] for call in commands.calls if call.startswith("scancel")]
    assert sent == [str(number) for number in range(1, 9)]
    assert [line["event"] for line in read(world.path)] == ["intent", "result"]
