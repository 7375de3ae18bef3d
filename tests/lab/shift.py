"""An operator at a console of the lab, as root or as another user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collectors.clock import SystemClock
from collectors.model import Cluster
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_sources, open_transport
from console.actions import targets
from console.actions.option_parsing import with_value
from console.actions.options import Guard, Options
from console.actions.plan import Plan, Refusal
from console.actions.registry import BY_ID
from console.cli import act
from console.gate import preflight_reads
from console.gate.gate import Gate, open_writer
from console.gate.outcome import Outcome
from console.journal.entries import join
from console.journal.undo import Undo, undo_of
from console.journal.writer import Journal, read
from console.runtime.null_sources import NoTelemetry
from console.session.snapshot import take

from .slurm import Lab

SETTINGS = SlurmSettings()


class Shift:
    """Somebody at a console of the lab, as root or as another."""

    def __init__(self, lab: Lab, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.lab, self._patch, self._path = lab, patch, folder / "journal.jsonl"
        self.clock = SystemClock()
        self.transport = open_transport("lab", SETTINGS)
        self.gate = Gate(
            "lab", lambda kind: open_writer("slurm", "lab", SETTINGS), self.transport,
            lambda: Journal(self._path, "lab", self.clock), self.clock, guard=Guard(share_pct=100, break_pct=100),
        )  # fmt: skip
        self.become("root")

    def become(self, user: str) -> None:
        folder = self.lab.bin_dir if user == "root" else self.lab.bin_dir_as(user)
        self._patch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def cluster(self, action: str) -> Cluster:
        wanted = act.sources_of(action) - {"slurm.rights"}
        return take("lab", [one for one in open_sources("lab", SETTINGS) if one.name in wanted], self.clock)

    def plan(self, action: str, *words: str, value: str | None = None, reason: str = "a test", **more: Any) -> Any:
        cluster, one = self.cluster(action), BY_ID[action]
        names = targets.resolve(one.kind, words, cluster)
        options = with_value(one, Options(value=value, **more))
        extra = preflight_reads.read_for(one, names, cluster, self.transport, NoTelemetry(), {})
        return self.gate.plan(action, names, reason if one.needs_reason else None, cluster, options, extra)

    def does(self, action: str, *words: str, within: float = 15.0, **more: Any) -> dict[str, str]:
        """What became of each target: `done`, or what was said against it."""
        plan = self.plan(action, *words, **more)
        assert isinstance(plan, Plan), plan
        return self.sends(plan, within)

    def sends(self, plan: Plan, within: float = 15.0) -> dict[str, str]:
        outcome: Outcome = self.gate.send(plan, plan.confirmation.prompt)
        assert outcome.refused is None, outcome.refused
        ended = self.gate.follow(outcome, within)
        return {
            target: one.why if one.state == "failed" else one.state for target, one in ended.results.items()
        }  # fmt: skip

    def undoes(self) -> dict[str, str]:
        entries = join(read(self._path))
        entry = list(entries.values())[-1]
        found = undo_of(entry, entries, self.cluster("undo"), self.clock.now())
        assert isinstance(found, Undo), found
        plan = self.gate.plan(found.action, found.targets, found.reason, self.cluster("undo"), found.options)
        assert isinstance(plan, Plan), plan
        return self.sends(plan)

    def why(self, action: str, *words: str, **more: Any) -> str:
        plan = self.plan(action, *words, **more)
        assert isinstance(plan, Refusal), plan
        return plan.why

    def job(self, job: str) -> Any:
        return self.transport.read_jobs([job])[job]

    def node(self, name: str) -> Any:
        return self.transport.read_nodes([name])[name]

    def runs(self, node: str = "gpu0001", **options: Any) -> str:
        (job,) = self.lab.submit(1, **{"gpus": 1, "nodelist": node, **options})
        self.lab.wait_jobs("RUNNING", [job])
        return job

    def waits(self, **options: Any) -> str:
        (job,) = self.lab.submit(1, **{"gpus": 1, "begin": "now+1hour", **options})
        return job
