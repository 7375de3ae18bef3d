"""Slurm's side of `wacht node`, on a living Slurm of each version: jobs by number, and what slurmstepd tells."""

from __future__ import annotations

import pytest

from collectors import process
from collectors.clean import decode
from collectors.nvml.process_owner import parse_listpids
from console.cli.node import describe, jobs_on
from tests.lab.roots import SUITES
from tests.lab.running import running
from tests.lab.slurm import wait_for

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", params=SUITES)
def lab(request):
    yield from running(request.param, nodes=2)


@pytest.fixture
def on_path(lab, monkeypatch):
    monkeypatch.setenv("PATH", str(lab.bin_dir), prepend=":")
    return lab


def test_jobs_of_a_node_and_their_processes_go_by_the_same_number(on_path):
    on_path.submit(1, gpus=2, seconds=600, name="train|x", nodelist="gpu0001")
    on_path.submit(1, gpus=1, array="0-1", seconds=600, name="tasks", nodelist="gpu0001")
    wait_for(lambda: "" if [one.state for one in jobs_on("gpu0001").values()] == ["RUNNING"] * 3 else "not running", 30)
    jobs = jobs_on("gpu0001")
    assert sorted(one.name for one in jobs.values()) == ["tasks", "tasks", "train|x"]
    tasks = {number: one.id for number, one in jobs.items() if one.name == "tasks"}
    assert any(number != shown for number, shown in tasks.items()) and all("_" in shown for shown in tasks.values())

    def told() -> dict[int, str]:
        return parse_listpids(decode(process.run([process.find("scontrol"), "listpids"], deadline_s=30).out))

    wait_for(lambda: "" if set(told().values()) == set(jobs) else f"{told()} for {set(jobs)}", 30)
    shown, code = describe("gpu0001", width=120)
    assert code == 0 and "mixed (MIXED)" in shown and "train|x  RUNNING  2 GPUs on 1 node" in shown


def test_a_node_that_slurm_does_not_know(on_path):
    shown, code = describe("nowhere")
    assert code == 2 and "Slurm knows no node nowhere" in shown
