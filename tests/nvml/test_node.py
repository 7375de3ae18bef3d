"""`wacht node` as text and as JSON: what is there, what disagrees, and what is not known, each in its line."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from collectors.clock import ManualClock
from collectors.model import Fault, Gpu, Job, Process, SourceFault, Xid
from collectors.nvml import sources
from collectors.nvml.protocol import NvmlGpuDetail
from collectors.slurm.commands.jobs import COLUMNS
from console.cli import node as inspection
from console.cli.node import NodeReport, describe, exit_code, render
from console.runtime.errors import UserError
from tests.support import make
from tests.support.make import NOW
from widgets.cells import width as cells


def gpu(index: int, **more: Any) -> Gpu:
    usual = {
        "model": "NVIDIA H100 80GB HBM3", "util_pct": 98.0, "memory_used_mb": 61_440, "memory_mb": 81_559,
        "temp_c": 64.0, "power_w": 612.0, "power_limit_w": 700.0, "sm_clock_mhz": 1980, "throttle": (),
        "ecc_corrected": 2, "ecc_uncorrected": 0, "nvlinks": 18, "nvlinks_up": 18, "recovery": "none",
        "fabric": "ready", "job": "88121",
    }  # fmt: skip
    return Gpu(node="gpu0412", index=index, **(usual | more))


def job(id: str = "88121", **more: Any) -> Job:
    usual = {"name": "train_7b", "node_count": 2, "gpus_held": 16, "started": NOW - 31 * 3600,
             "time_limit_s": 40 * 3600}  # fmt: skip
    return make.job(id, **(usual | more))


def look(**more: Any) -> NodeReport:
    lost = Gpu(node="gpu0412", index=3, lost="fallen off the bus or out of reach", xid=79)
    usual = {
        "node": "gpu0412", "at": NOW, "here": True, "driver": "570.86.15",
        "gpus": (gpu(0), gpu(1, util_pct=None, na=frozenset({"util_pct"})), gpu(2, throttle=("power cap",)), lost),
        "extras": {0: NvmlGpuDetail(index=0, ecc_corrected_ever=11, ecc_uncorrected_ever=1)},
        "xids": (Xid(node="gpu0412", gpu=3, code=79, first_at=int(NOW) - 7200, last_at=int(NOW) - 6000, count=2),),
        "slurm": make.node("gpu0412", "MIXED", gpus=4, gpus_alloc=4, cpus=112, cpus_alloc=112, rack="R07"),
        "jobs": {"88121": job()}, "tried": ("nvml.gpus", "slurm.nodes", "slurm.jobs"),
    }  # fmt: skip
    return NodeReport(**(usual | more))


def text(one: NodeReport, width: int = 200) -> str:
    return "\n".join(render(one, width))


def row(shown: str, index: int) -> str:
    return next(line for line in shown.splitlines() if line.startswith(f"{index} "))


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


# -- text -------------------------------------------------------------------------------------------------------------


def test_the_whole_of_a_node():
    shown = text(look())
    assert "gpu0412  ◐ mixed (MIXED)  rack R07" in shown
    assert "4 × NVIDIA H100 80GB HBM3   driver 570.86.15" in shown
    assert (
        "98 %" in row(shown, 0) and "612/700 W" in row(shown, 0) and "1/11" in shown and "88121 alice" in row(shown, 0)
    )
    assert "n/a" in row(shown, 1) and "power cap" in row(shown, 2)
    assert "✖ fallen off the bus or out of reach" in row(shown, 3) and "✖ XID 79" in row(shown, 3)
    assert " 0 %" not in row(shown, 3) and "—" in row(shown, 3)
    assert " 79 ×2  GPU 3: GPU has fallen off the bus  first " in shown and "policy: " in shown
    assert "GPU 3: lost: fallen off the bus" in shown
    assert "Slurm sees 4 GPUs, NVML sees 3" in shown
    assert "GPU 3 is lost, the node takes work (mixed in Slurm)" in shown
    assert "88121      alice        train_7b  RUNNING  16 GPUs on 2 nodes  31h done, 9h 00m left" in shown


def test_a_drained_node_says_who_and_why():
    drained = make.node("gpu0412", "IDLE+DRAIN", gpus=4, reason_by="jdv",
                   reason="XID 79 GPU 3 off the bus", reason_at=int(NOW) - 6720)  # fmt: skip
    shown = text(look(slurm=drained))
    assert "▼ drained (IDLE+DRAIN)" in shown
    assert 'reason  "XID 79 GPU 3 off the bus"  1h 52m ago by jdv (human)' in shown
    assert "takes work" not in shown


@pytest.mark.parametrize("width", [60, 80, 120, 160, 250])
def test_everything_is_shown_at_every_width(width):
    lines = render(look(), width)
    assert max(map(cells, lines)) <= width
    heads = [line for line in lines if line.startswith("#")]
    for title in ("GPU util", "power", "NVLink", "throttle", "ECC ever u/c", "recovery", "fabric", "job"):
        assert sum(title in head for head in heads) == 1, title


def test_processes_with_job_and_user_and_those_that_slurm_does_not_account_for():
    rows = (
        Process(pid=1, name="python", user="alice", memory_mb=1024, job="88121"),
        Process(pid=2, name="miner", user="mallory", job="88121"),
        Process(pid=3, name="python", user="bob", job="7"),
        Process(pid=4, name="stray", user=None),
        Process(pid=5, name="ok", user="uid 1000", job="88121"),
    )
    shown = text(look(gpus=(gpu(0, processes=rows),), slurm=None, jobs={"88121": job()}))
    (first,) = (line.split() for line in shown.splitlines() if line.startswith("  GPU 0         1 "))
    assert first == ["GPU", "0", "1", "alice", "job", "88121", "1.0", "GB", "python"]
    assert "process 2 (mallory, miner) on GPU 0 runs in job 88121 of alice" in shown
    assert "process 3 (bob, python) on GPU 0 is of job 7, which Slurm does not have here" in shown
    assert "process 4 (unknown user, stray) on GPU 0 belongs to no job" in shown
    assert "process 1 (" not in shown and "process 5 (" not in shown


def test_busy_gpus_without_a_job_and_a_bus_that_shows_more():
    shown = text(look(jobs={}, on_bus=4))
    assert "2 GPUs are busy, Slurm has no job here" in shown
    assert "the PCI bus shows 4 GPUs, NVML sees 3" in shown


def test_what_is_not_known_is_told_and_accuses_nobody():
    fault = Fault("timeout", "nvml: the driver gave no answer in 5 s", "it starts anew")
    shown = text(look(gpus=None, extras={}, xids=(), driver=None, faults={"nvml.gpus": fault}))
    assert "nvml.gpus: nvml: the driver gave no answer in 5 s (it starts anew)" in shown
    assert "Inconsistencies" not in shown and "GPU util" not in shown
    shown = text(look(slurm=None, jobs=None, notes=("Slurm: scontrol is not on PATH; no state, no jobs",)))
    assert "Slurm: scontrol is not on PATH" in shown and "Inconsistencies" not in shown


def test_exit_codes():
    fault = Fault("timeout", "no")
    assert exit_code(look()) == 0
    assert exit_code(look(faults={"slurm.jobs": fault}, jobs=None)) == 1
    assert exit_code(look(tried=("nvml.gpus",), slurm=None, jobs=None)) == 0
    assert exit_code(look(tried=("nvml.gpus",), faults={"nvml.gpus": fault}, gpus=None, slurm=None)) == 2
    assert exit_code(look(tried=(), gpus=None, slurm=None)) == 2


# -- read -------------------------------------------------------------------------------------------------------------


def test_this_host_needs_neither_prometheus_nor_a_controller(driver, no_slurm):
    driver.line("lost", 3, 1)
    driver.line("proc", 0, os.getpid(), 1024)
    shown, code = describe(width=120)
    assert code == 0
    assert "8 × NVIDIA H100 80GB HBM3   driver 570.86.15" in shown
    assert "GPU 3: lost: " in shown and "scontrol is not on PATH" in shown
    assert sources._open == {}, "no child is left"


def test_json_tells_null_from_nothing_and_n_a_by_name(driver, no_slurm):
    driver.refuse(1, "util")
    said, code = describe(as_json=True, clock=ManualClock(NOW))
    found = json.loads(said)
    assert code == 0 and found["version"] == 1 and found["at"] == "2026-11-18T11:06:40Z"
    assert found["slurm"] is None and found["jobs"] is None
    assert found["sources"] == [{"name": "nvml.gpus", "ok": True, "error": None}]
    assert (found["gpus"][0]["util_pct"], found["gpus"][0]["bus_id"]) == (98.0, "00000000:10:00.0")
    assert found["gpus"][1]["util_pct"] is None and "util_pct" in found["gpus"][1]["na"]
    assert found["gpus"][0]["nvlink_errors"] == 8 and found["gpus"][0]["nvlink_error_kinds"]["replay"] == 3


def test_a_driver_that_cannot_be_opened_is_one_line_and_exit_2(driver, no_slurm):
    driver.line("init", 18)
    shown, code = describe()
    assert code == 2 and "different versions" in shown and "reboot" in shown


def test_slurm_beside_the_driver_and_array_tasks_by_the_ids_people_use(driver, monkeypatch):
    host = sources.this_node()
    pid = os.getpid()
    fake(driver.folder, monkeypatch, f"PID JOBID\n{pid} 88133\n")
    driver.line("proc", 2, pid, 1024)
    seen = make.node(host, "ALLOCATED", gpus_alloc=8)
    monkeypatch.setattr(inspection, "read_named", lambda names, deadline_s: {host: seen})
    monkeypatch.setattr(inspection, "jobs_on", lambda node: {"88133": job(id="88100_3")})
    shown, code = describe(width=200)
    assert code == 0
    assert "job 88100_3" in shown and "which Slurm does not have" not in shown
    assert "88100_3 alice" in row(shown, 2)


def test_a_slurm_that_fails_costs_only_itself(driver, monkeypatch):
    fake(driver.folder, monkeypatch, "")

    def fails(*args: object) -> None:
        raise SourceFault("timeout", "squeue gave no answer in 5 s")

    monkeypatch.setattr(inspection, "read_named", fails)
    monkeypatch.setattr(inspection, "jobs_on", fails)
    shown, code = describe()
    assert code == 1 and "slurm.jobs: squeue gave no answer in 5 s" in shown and "GPU util" in shown


def test_another_node_comes_from_telemetry(no_slurm):
    class Prometheus:
        def gpus(self, nodes):
            return {"gpu0412": (gpu(0),)} if "gpu0412" in nodes else {}

    shown, code = describe("gpu0412", telemetry=Prometheus())
    assert code == 0 and "98 %" in shown
    shown, code = describe("gpu0413", telemetry=Prometheus())
    assert code == 2 and "telemetry: no sample of gpu0413" in shown


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a;b", "$(x)", "gpu[1-3]", "", "a b", "\x1b[2J"])
def test_what_is_no_name_is_refused(name):
    if name == "":
        assert inspection.is_here(None)
        return
    with pytest.raises(UserError, match="is no node's name"):
        describe(name)


def test_the_jobs_of_a_node_by_number(monkeypatch):
    asked = []

    def answer(argv, deadline_s):
        asked.append(argv)
        mark = argv[argv.index("-O") + 1].rpartition(":")[2]
        cell = dict.fromkeys(COLUMNS, "") | {
            "JobArrayID": "88100_3",
            "State": "RUNNING",
            "UserName": "alice",
            "Name": "a|b",
        }
        rows = ["|".join(["JOBID", *COLUMNS]), "|".join(["88133", *cell.values()])]
        return "".join(f"{line}{mark}\n" for line in rows).encode()

    monkeypatch.setattr(inspection, "ask", answer)
    found = inspection.jobs_on("gpu0412")
    assert {number: (one.id, one.name) for number, one in found.items()} == {"88133": ("88100_3", "a|b")}
    assert asked[0][-2:] == ["-w", "gpu0412"]


def fake(folder, monkeypatch, lines: str) -> None:
    """A scontrol on PATH that prints these lines."""
    (folder / "answer").write_text(lines)
    program = folder / "scontrol"
    program.write_text(f"#!/bin/sh\ncat {folder}/answer\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
