"""`wacht act` against a lab."""

from __future__ import annotations

import io
import json

from collectors.clock import SystemClock
from collectors.model import Cluster
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_sources, open_transport
from console.cli.act import run_act
from console.gate.gate import Gate, open_writer
from console.ingest.poller import read
from console.ingest.reduce import begin, reduce
from console.journal.writer import Journal
from tests.lab.slurm import Lab, wait_for

SETTINGS = SlurmSettings()


class Site:
    """The lab as `wacht act` sees it; `user` is who runs it."""

    def __init__(self, lab: Lab, folder, monkeypatch) -> None:
        self.lab, self.clock, self.path, self._patch = lab, SystemClock(), folder / "lab.jsonl", monkeypatch
        self.become("root")

    def become(self, user: str) -> None:
        folder = self.lab.bin_dir if user == "root" else self.lab.bin_dir_as(user)
        self._patch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def cluster(self) -> Cluster:
        known = begin("lab", [])
        for source in open_sources("lab", SETTINGS)[:2]:
            reading = read("lab", source, self.clock)
            assert reading.fault is None, reading.fault
            known, _ = reduce(known, reading)
        return known

    def gate(self) -> Gate:
        return Gate("lab", lambda kind: open_writer("slurm", "lab", SETTINGS), open_transport("lab", SETTINGS),
                    lambda: Journal(self.path, "lab", self.clock), self.clock)  # fmt: skip

    def act(self, action: str, *words: str, **options) -> tuple[int, dict]:
        out, err = io.StringIO(), io.StringIO()
        status = run_act(self.gate(), self.cluster(), action, words, as_json=True, out=out, err=err, **options)
        return status, json.loads(out.getvalue())["outcomes"] | ({"refused": err.getvalue()} if status == 2 else {})

    def running(self, job: str) -> bool:
        return self.lab.job_states([job]).get(job) == "RUNNING"

    def submit(self, **options) -> str:
        """One job that runs."""
        (job,) = self.lab.submit(1, gpus=1, **options)
        wait_for(lambda: "" if self.running(job) else f"job {job} does not run", 20)
        return job
