"""Record what slurmrestd answers, for tests that parse: `python3 -m tests.lab.record_rest [SUITE...]`.

Writes tests/data/rest/VERSION/, raw bytes as they came, over a small machine: an answer of all is long.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from http.client import HTTPConnection
from pathlib import Path

from tests.support.paths import DATA

from . import rest
from .place import wait_for
from .record import KERNEL
from .roots import SUITES
from .scene import HOSTILE_NAMES, HOSTILE_REASON
from .slurm import Lab
from .transports import PARSERS

RECORDED = DATA / "rest"
READS = {
    "ping": "ping/", "nodes": "nodes/", "jobs": "jobs/?flags=ALL", "states": "jobs/state/", "partitions": "partitions/",
    "reservations": "reservations/", "diag": "diag/", "job_running": "job/1", "job_gone": "job/99999",
}  # fmt: skip


class _Local(HTTPConnection):
    """A connection to the lab's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def record(suite: str, folder: Path) -> None:
    """Record one suite into `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Lab(suite, nodes=4, name=f"record-{suite}", restd=True) as lab:
        running = lab.submit(user="alice", nodes=2, name="train-llm", account="ml")[0]
        lab.wait_jobs("RUNNING", [running])
        lab.submit(user="alice", array="0-3%1", gpus=1, name="sweep")
        wait_for(lambda: "" if list(lab.job_states().values()).count("RUNNING") == 2 else "no task runs", 60)
        lab.submit(user="bob", name=HOSTILE_NAMES["newline"], hold=True)
        lab.submit(user="bob", name=HOSTILE_NAMES["bytes"], hold=True)
        lab.check(["scontrol", "update", "NodeName=gpu0001", "State=DRAIN", f"Reason={HOSTILE_REASON}"])
        lab.check(["scontrol", "update", "NodeName=gpu0004", "State=DOWN", "Reason=PSU dead"])
        for name, path in READS.items():
            asked = _Local(str(rest.socket(lab)))
            asked.request("GET", f"/slurm/v0.0.{PARSERS[suite][0]}/{path}")
            raw = asked.getresponse().read().replace(os.uname().release.encode(), KERNEL.encode())
            (folder / f"{name}.json").write_bytes(raw)


def main() -> None:
    """Record these suites, or all."""
    for suite in sys.argv[1:] or SUITES:
        folder = RECORDED / SUITES[suite]
        record(suite, folder)
        print(suite, {path.name: path.stat().st_size for path in sorted(folder.iterdir())})


if __name__ == "__main__":
    main()
