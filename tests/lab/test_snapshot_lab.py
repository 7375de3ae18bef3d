"""`wacht snapshot` on a live Slurm, as a script calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

from tests.support.paths import ROOT

from .slurm import Lab

NODE = {
    "name", "state", "flags", "display", "reason", "reason_by", "reason_at", "partitions", "cpus", "cpus_alloc",
    "cpu_load", "memory_mb", "free_memory_mb", "gpus", "gpus_alloc", "rack", "gpu_util_pct", "power_w",
}  # fmt: skip
JOB = {
    "id", "name", "user", "account", "partition", "state", "reason", "nodes", "node_count", "cpus", "gpus", "submitted",
    "started", "time_limit_s", "elapsed_s", "priority", "restarts",
}  # fmt: skip


def wacht(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    """Run wacht with this lab's commands on PATH and no configuration."""
    env = {"PATH": f"{lab.bin_dir}:/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-c", "from console.cli.main import main; main()", *words]
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_everything_is_in_it_in_the_promised_shape(lab: Lab) -> None:
    lab.reset()
    (running,) = lab.submit(user="alice", nodes=2, name="train_7b", time_limit="1:00:00")
    (held,) = lab.submit(user="bob", hold=True, array="3", name="sweep")
    lab.wait_jobs("RUNNING", [running])
    lab.check(["scontrol", "update", "NodeName=gpu0040", "State=DRAIN", "Reason=bad DIMM"])
    ended = wacht(lab, "snapshot", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["version"], found["cluster"]) == (1, lab.cluster)
    datetime.fromisoformat(found["at"])
    assert {one["name"]: (one["ok"], one["error"]) for one in found["sources"]} == {
        f"slurm.{kind}": (True, None)
        for kind in ("nodes", "jobs", "partitions", "reservations", "diag", "topology", "control")
    }
    nodes = {one["name"]: one for one in found["nodes"]}
    assert set(nodes) == set(lab.node_names)
    assert all(set(one) >= NODE for one in nodes.values())
    drained = nodes["gpu0040"]
    assert (drained["state"], drained["flags"], drained["display"]) == ("IDLE", ["DRAIN"], "drained")
    assert (drained["reason"], drained["reason_by"], drained["gpus"]) == ("bad DIMM", "root", 8)
    assert drained["reason_at"].endswith("Z")
    assert drained["power_w"] is None, "unknown is null"
    jobs = {one["id"]: one for one in found["jobs"]}
    assert set(jobs) == {running, f"{held}_3"}
    assert all(set(one) >= JOB for one in jobs.values())
    first = jobs[running]
    assert (first["state"], first["user"], first["gpus"], first["node_count"]) == ("RUNNING", "alice", 16, 2)
    assert first["time_limit_s"] == 3600
    assert first["started"] is not None and first["elapsed_s"] >= 0
    assert jobs[f"{held}_3"]["state"] == "PENDING" and jobs[f"{held}_3"]["started"] is None
    assert {one["name"] for one in found["partitions"]} == {"gpu", "debug", "long"}
    assert found["alerts"] is None
    assert found["totals"]["nodes"] == len(nodes)


def test_a_dead_controller_is_exit_2_and_null_never_an_empty_machine(lab: Lab) -> None:
    lab.stop_controller()
    try:
        ended = wacht(lab, "snapshot", "--json")
    finally:
        lab.start_controller()
    assert ended.returncode == 2
    found = json.loads(ended.stdout)
    assert found["nodes"] is None and found["jobs"] is None
    told = {one["name"]: one["error"] for one in found["sources"]}
    assert told.pop("slurm.control").startswith("no controller answers: labctl (primary)")
    assert all("Unable to contact slurm controller" in error for error in told.values())
