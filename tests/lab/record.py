"""Record what the real commands print, for tests that parse: `python3 -m tests.lab.record [SUITE...]`.

Writes tests/data/recorded/VERSION/, raw bytes as they came, and a manifest.json with what was asked and how it ended.
Rerun it when a command line of the collectors changes. Times, ports and the kernel's name are those of the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from tests.support.paths import DATA

from .roots import SUITES
from .scene import FENCE, furnish
from .slurm import Lab

RECORDED = DATA / "recorded"
ENV = {"SLURM_TIME_FORMAT": "%s", "LC_ALL": "C"}
KERNEL = "6.12.0-lab"
"""Stands for the recording machine's kernel: nobody reads it, and every rerun would change it."""

JOB_FIELDS = (
    *("JobArrayID", "State", "UserName", "Account", "Partition", "QOS", "NumNodes", "NumCPUs", "tres-alloc"),
    *("tres-per-node", "tres-per-job", "RestartCnt", "PriorityLong", "SubmitTime", "StartTime", "TimeLimit"),
    *("Reason", "NodeList"),
)
JOBS = ["squeue", "-a", "-r", "-O", ",".join([*(f"{field}:|" for field in JOB_FIELDS), f"Name:{FENCE}"])]
REASONS = ["sinfo", "-h", "-R", "-O", f"NodeList:|,UserLong:|,Timestamp:|,Reason:{FENCE}"]
NODES = ["scontrol", "show", "node", "-d", "-o"]


class Recorder:
    """One version's folder: each `take` runs a command and keeps all that it gave."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.manifest: dict[str, dict[str, object]] = {}

    def take(self, file: str, argv: list[str]) -> None:
        began = time.monotonic()
        done = self.lab.run(argv, env=ENV)
        elapsed = time.monotonic() - began
        raw = done.stdout.replace(os.uname().release, KERNEL).encode("utf-8", "surrogateescape")
        (self.folder / file).write_bytes(raw)
        self.manifest[file] = {
            "argv": argv,
            "env": ENV,
            "rc": done.returncode,
            "stderr": done.stderr,
            "elapsed_s": round(elapsed, 4),
            "bytes": len(raw),
        }

    def close(self, version: str) -> None:
        text = json.dumps({"slurm": version, "files": self.manifest}, indent=1, ensure_ascii=True)
        (self.folder / "manifest.json").write_text(text + "\n")


def record(suite: str, folder: Path) -> None:
    """Record one suite into `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Lab(
        suite, nodes=16, name=f"record-{suite}", extra="SchedulerParameters=bf_interval=1,default_queue_depth=1000\n"
    ) as lab:
        recorder = Recorder(lab, folder)
        recorder.take("jobs_none.txt", JOBS)
        recorder.take("reasons_none.txt", REASONS)
        scene = furnish(lab)
        recorder.take("jobs.txt", JOBS)  # first: the completing job goes on its way
        recorder.take("nodes.txt", NODES)
        recorder.take("reasons.txt", REASONS)
        recorder.take("node_names.txt", ["sinfo", "-h", "-o", "%N"])
        recorder.take("partitions.txt", ["scontrol", "show", "partition", "-o"])
        recorder.take("reservations.txt", ["scontrol", "show", "reservation", "-o"])
        recorder.take("sdiag.txt", ["sdiag"])
        recorder.take("config.txt", ["scontrol", "show", "config"])
        recorder.take("ping.txt", ["scontrol", "ping"])
        for kind, job in (("running", scene.running), ("pending", scene.pending)):
            recorder.take(f"job_{kind}.json", ["scontrol", "show", "job", job, "--json=v0.0.42"])
            recorder.take(f"job_{kind}.txt", ["scontrol", "show", "job", "-d", "-o", job])
        recorder.take("job_gone.txt", ["scontrol", "show", "job", "-d", "-o", "999999"])
        recorder.take("nodes_named.txt", [*NODES[:3], "gpu0003,gpu9999,gpu0001", *NODES[3:]])
        lab.check(["scancel", "--name=in-reservation"])
        lab.check(["scontrol", "delete", "ReservationName=lab-maint"])
        recorder.take("reservations_none.txt", ["scontrol", "show", "reservation", "-o"])
        version = lab.check(["scontrol", "version"]).split()[-1]
        lab.stop_controller()
        recorder.take("ping_down.txt", ["scontrol", "ping"])
        recorder.close(version)


def main() -> None:
    for suite in sys.argv[1:] or SUITES:
        folder = RECORDED / SUITES[suite]
        record(suite, folder)
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        print(suite, sum(sizes.values()), sizes)


if __name__ == "__main__":
    main()
