"""The past through slurmrestd, from what slurmrestd of 24.11 and 26.05 answered."""

from __future__ import annotations

import json
import time

import pytest

from collectors.model import SourceFault
from collectors.slurm.sources import open_accounting
from console.queue.job_accounting import end_reason
from tests.support.slurmrestd_server import StandIn, recorded


@pytest.fixture(params=["24.11", "26.05"])
def restd(request, tmp_path):
    with StandIn(tmp_path, request.param) as served:
        served.answers["jobs/"] = recorded(request.param, "past")
        yield served


def fault(call) -> str:
    with pytest.raises(SourceFault) as raised:
        call()
    return f"{raised.value.fault.kind}: {raised.value.fault}"


def test_the_last_jobs_of_a_node(restd):
    found = open_accounting("x", restd.settings).jobs_of_node("gpu0001", 1_700_000_000, 50)
    states = {run.id: (run.state, run.exit_code, run.failed_node) for run in found}
    assert states["1"] == ("FAILED", 3, None) and states["2"] == ("NODE_FAIL", 1, "gpu0001")
    assert {"3_0", "3_1"} <= states.keys() and "3" not in states
    assert [run.ended for run in found] == sorted((run.ended for run in found), reverse=True)
    one = next(run for run in found if run.id == "2")
    assert (one.name, one.user, one.gpus, one.cpus, one.nodes, one.time_limit_s) == (
        "evil\\n99|x\\e[31m", "alice", 1, 14, "gpu0001", 3600,
    )  # fmt: skip
    assert len(open_accounting("x", restd.settings).jobs_of_node("gpu0001", 1_700_000_000, 2)) == 2


def test_an_account(restd):
    whole = json.loads(restd.answers["jobs/"])
    ledger = open_accounting("x", restd.settings)

    def asked(job: int):
        restd.answers["jobs/"] = {"jobs": [one for one in whole["jobs"] if one["job_id"] == job], "errors": []}
        return ledger.account_of_job(str(job))

    failed = asked(1)
    assert end_reason(failed, time.time()) == "its script ended with exit code 3"
    assert [(step.id, step.state, step.exit_code) for step in failed.steps] == [
        ("batch", "FAILED", 3), ("0", "FAILED", 7),
    ]  # fmt: skip
    assert (failed.run.derived_code, failed.stdout, failed.working_dir) == (7, "/tmp/wrap-1.out", "/tmp")
    assert (failed.cpu_s, failed.memory_mb, failed.memory_alloc_mb, failed.gpu_util_pct) == (None, None, 238_000, None)
    assert failed.events is None and "no call" in failed.notes[0]
    cancelled = next(one["job_id"] for one in whole["jobs"] if "CANCELLED" in one["state"]["current"])
    assert end_reason(asked(cancelled), time.time()) == "it was cancelled by bob"
    assert "has no job 9" in fault(lambda: asked(9))


def test_what_its_steps_used(restd):
    whole = json.loads(restd.answers["jobs/"])
    (job,) = [one for one in whole["jobs"] if one["job_id"] == 1]
    job["time"]["total"] = {"seconds": 6, "microseconds": 500_000}
    used = job["steps"][1]["tres"]["requested"]
    used["total"] = [{"type": "mem", "name": "", "count": 4 << 30}]
    used["max"] = [{"type": "mem", "name": "", "count": 1 << 30, "node": "gpu0001"}]
    used["average"] = [{"type": "gres", "name": "gpuutil", "count": 87}, {"type": "gres", "name": "gpumem", "count": 1}]
    restd.answers["jobs/"] = {"jobs": [job]}
    found = open_accounting("x", restd.settings).account_of_job("1")
    assert (found.cpu_s, found.memory_mb, found.gpu_util_pct) == (6.5, 4096, 87)
    assert (found.steps[1].memory_mb, found.steps[1].memory_node, found.steps[0].memory_mb) == (1024, "gpu0001", None)


def test_what_it_cannot_tell(restd, tmp_path):
    ledger = open_accounting("x", restd.settings)
    assert fault(lambda: ledger.events_of_node("gpu0001", 0)).startswith("missing: slurmrestd has no call")
    before = list(restd.asked)
    for text in ("1&x=2", "", "../x"):
        assert fault(lambda text=text: ledger.account_of_job(text)).startswith("refused")
        assert fault(lambda text=text: ledger.jobs_of_node(text, 0, 1)).startswith("refused")
    assert restd.asked == before
    restd.answers["jobs/"] = {"jobs": [], "errors": [{"error_number": 2000, "description": "Access denied"}]}
    assert "Access denied" in fault(lambda: ledger.jobs_of_node("gpu0001", 0, 1))


def test_without_slurmdbd(tmp_path):
    with StandIn(tmp_path, slurmdbd=False) as served:
        ledger = open_accounting("x", served.settings)
        assert "missing: this site keeps no job accounting" in fault(lambda: ledger.jobs_of_node("gpu0001", 0, 1))
