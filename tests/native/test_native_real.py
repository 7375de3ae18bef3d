"""The real pyslurm on a real Slurm 25.11: what the commands tell and do, it tells and does.

Run by hand, since no package of Debian's is Slurm 25.11: WACHT_SLURM_25_11 names the folder in which it is installed,
SLURM_CONF a controller of it that runs, with at least one idle node, and this account must be root or SlurmUser there.
pyslurm has to be installed in the environment that runs the tests.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from collectors import process
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.commands_transport import CliTransport
from collectors.slurm.native import client
from collectors.slurm.native.native_transport import NativeTransport
from collectors.slurm.native.write import NativeWriter
from tests.lab.place import wait_for
from tests.lab.transports import differences, rows
from tests.support.make import change_of

PREFIX = os.environ.get("WACHT_SLURM_25_11", "")
WHY = (
    "WACHT_SLURM_25_11 names no installed Slurm 25.11" if not Path(PREFIX, "bin/squeue").exists()
    else "SLURM_CONF names no configuration of it" if not os.environ.get("SLURM_CONF")
    else "pyslurm is not installed here" if find_spec("pyslurm") is None
    else ""
)  # fmt: skip
pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(WHY), reason=WHY)]


@pytest.fixture
def cli(monkeypatch):
    monkeypatch.setenv("PATH", f"{PREFIX}/bin:{os.environ['PATH']}")
    return CliTransport(SlurmSettings(share=False))


@pytest.fixture
def native(cli):
    transport = NativeTransport(SlurmSettings(transport="native"))
    yield transport
    transport._client.close()


def run(*words: str) -> str:
    return process.run([process.find(words[0]), *words[1:]], deadline_s=20.0).out.decode()


def send(action: str, kind: str, *targets: str, **more: object):
    (sent,) = NativeWriter().send(change_of(action=action, kind=kind, targets=targets, **more))
    return sent


@pytest.fixture
def idle(native):
    """A node that does nothing; it does nothing afterwards."""
    name = next(one.name for one in native.read_nodes([*native.reader("nodes").read().nodes]).values()
                if one.display in {"idle", "planned"})  # fmt: skip
    yield name
    run("scontrol", "update", f"NodeName={name}", "State=RESUME")


@pytest.fixture
def submit(native):
    """Submits a job that sleeps; it is gone afterwards."""
    made = []

    def one(*words: str) -> str:
        made.append(run("sbatch", "--parsable", "-o", "/dev/null", "-n1", *words, "--wrap", "sleep 60").strip())
        return made[-1]

    yield one
    run("scancel", *made)


@pytest.fixture
def scene(submit):
    """Jobs that request GPUs in every way, with and without an end; the last three in ways that pyslurm cannot read."""
    for words in (
        "-a 0-3 --gres=gpu:1", "--gres=gpu:1 --gpus-per-node=2", "-n3 --gpus-per-task=1", "-N2 --gpus-per-node=8",
        "--time=UNLIMITED --gres=gpu:2", "--gpus=3", "", "-N2 -n2 --gpus-per-socket=2 --sockets-per-node=2",
    ):  # fmt: skip
        submit("-H", *words.split())


@pytest.mark.parametrize("kind", ["nodes", "jobs", "partitions", "reservations"])
def test_the_same_as_the_commands_tell(cli, native, kind, scene):
    found = differences(rows(cli, kind), rows(native, kind))
    # What text cannot tell, and what pyslurm cannot: it is unknown then, never 0.
    unsaid = {
        "nodes": {"weight", "cpu_load", "comment", "extra", "resume_at", "free_memory_mb", "gpus", "gpu_type"},
        "jobs": {"gpus"},
    }
    wrong = {
        key: values for key, values in found.items() if key[1] not in unsaid.get(kind, ()) or values[1] is not None
    }
    assert wrong == {}
    assert kind != "jobs" or len([key for key in found if key[1] == "gpus"]) >= 3


def test_rights_as_the_commands_tell(cli, native):
    assert native.reader("rights").read().rights == cli.reader("rights").read().rights


def test_an_array_is_held_and_cancelled_by_its_tasks(native, submit):
    array = submit("-a", "0-3", "-b", "now+1hour")
    tasks = [f"{array}_{task}" for task in range(4)]
    part = change_of(action="hold", kind="job", targets=tuple(tasks[:2]))
    assert set(NativeWriter().unsupported_targets(part)) == set(tasks[:2])
    assert set(send("hold", "job", *tasks[:2]).refused) == set(tasks[:2])
    assert {one.priority for one in native.read_jobs(tasks).values()} != {0}
    assert send("hold", "job", *tasks).rc == 0
    assert {one.priority for one in native.read_jobs(tasks).values()} == {0}
    assert send("cancel", "job", *tasks).rc == 0 and native.read_jobs(tasks) == {}


def test_a_node_is_drained_and_given_back(native, idle):
    def now():
        one = native.read_nodes([idle])[idle]
        return "DRAIN" in one.flags, one.reason

    assert send("drain", "node", idle, reason="bad DIMM").rc == 0 and now() == (True, "bad DIMM")
    assert send("undrain", "node", idle).rc == 0 and not now()[0]
    refused = send("resume", "node", idle)
    assert refused.rc == 1 and refused.refused[idle] == "Invalid node state transition"
    assert send("drain", "node", "wacht-no-such-node", reason="x").refused


def test_a_waiting_job_is_held_released_moved_and_cancelled(native, submit):
    job = submit("-b", "now+1hour")
    assert send("hold", "job", job).rc == 0 and native.read_jobs([job])[job].priority == 0
    assert send("release", "job", job).rc == 0 and native.read_jobs([job])[job].priority != 0
    assert send("priority", "job", job, values={job: "4242"}).rc == 0 and native.read_jobs([job])[job].priority == 4242
    assert send("requeue", "job", job).refused == {job: "it waits already (PENDING)"}
    assert send("hold", "job", "99999999").refused == {"99999999": "Invalid job id specified"}
    assert send("cancel", "job", job).rc == 0 and native.read_jobs([job]) == {}
    assert send("requeue", "job", job).refused == {job: "it has ended or is gone"}
    assert send("cancel", "job", job).rc == 0, "as with scancel: it is as was wished"


def test_a_running_job_is_requeued(native, submit, idle):
    job = submit("-w", idle, "-p", native.read_nodes([idle])[idle].partitions[0])
    wait_for(lambda: "" if (one := native.read_jobs([job]).get(job)) and one.state == "RUNNING" else "it waits", 20.0)
    detail = native.job_detail(job)
    assert detail.batch and detail.requeueable
    assert send("requeuehold", "job", job).rc == 0
    wait_for(lambda: "" if native.read_jobs([job])[job].restarts == 1 else "it runs on", 20.0)


@pytest.mark.parametrize(
    "conf, kind, says",
    [(None, "missing", "no slurm.conf"), ("SlurmctldPort=1\n", "refused", "Unable to contact slurm controller")],
)
def test_no_configuration_and_a_dead_controller_have_names(native, monkeypatch, tmp_path, conf, kind, says):
    real = client.environment()
    if conf is None:
        del real["SLURM_CONF"]
    else:
        lines = Path(os.environ["SLURM_CONF"]).read_text().splitlines()
        kept = [line for line in lines if not line.startswith("SlurmctldPort")]
        (tmp_path / "slurm.conf").write_text("\n".join([*kept, conf]))
        real["SLURM_CONF"] = str(tmp_path / "slurm.conf")
    monkeypatch.setattr(client, "environment", lambda: real)
    with pytest.raises(SourceFault) as caught:
        native.reader("jobs").read()
    assert caught.value.fault.kind == kind and says in caught.value.fault.what
