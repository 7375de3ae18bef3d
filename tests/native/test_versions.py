"""One machine in one state, recorded of 22.05, 24.11, 25.11 and 26.05: whatever reads it, the Cluster is the same.

22.05 (by command only) and 25.11 (by command and through pyslurm) were recorded by hand: no suite of Debian's that CI
uses carries them. 24.11 and 26.05 are what `tests.lab.record` records.
"""

from __future__ import annotations

import json

import msgspec
import pytest

from collectors.clock import ManualClock
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands import job_text
from collectors.slurm.commands.commands_transport import CliTransport
from collectors.slurm.sources import open_sources
from console.session.snapshot import exit_code, take
from tests.support.make import FENCE, Commands, play, recorded

ALL = ("22.05", "24.11", "25.11", "26.05", "25.11 native")
#: What differs between two runs of the same scene.
_MOVES = {"cpu_load", "free_memory_mb", "boot_at", "slurmd_at", "busy_at", "reason_at", "version", "submitted",
          "started", "expected", "starts", "ends"}  # fmt: skip
#: Slurm 22.05 names a node PLANNED only while it is idle.
_OLDER = ("gpu0001", "gpu0004")
#: Reasons to wait in which a scheduler's pass, and each version, differ.
_SCHEDULER = ("Priority", "ReqNodeNotAvail")


@pytest.fixture
def cluster_of(tmp_path, monkeypatch, standin):
    """The Cluster that one reading of a recorded machine gives."""

    def read(which):
        version, _, native = which.partition(" ")
        folder = tmp_path / which
        folder.mkdir()
        play(Commands(folder, monkeypatch), version)
        settings = SlurmSettings(transport="native") if native else SlurmSettings(share=False)
        sources = open_sources("lab", settings)
        cluster = take("lab", sources, ManualClock())
        assert exit_code(cluster) == 0, [str(one.fault) for one in cluster.sources.values() if one.fault]
        for one in sources:
            one.close()
        return cluster

    return read


def still(rows):
    """Rows without what moves."""
    kept = {
        key: {name: value for name, value in msgspec.structs.asdict(row).items() if name not in _MOVES}
        for key, row in rows.items()
    }
    for row in kept.values():
        if (row.get("reason") or "").startswith(_SCHEDULER):
            row["reason"] = "as the scheduler says at that moment"
    return kept


@pytest.mark.parametrize("which", ALL)
def test_every_version_and_transport_gives_the_same_cluster(cluster_of, which):
    base = cluster_of("26.05")
    found = base if which == "26.05" else cluster_of(which)
    assert still(found.jobs) == still(base.jobs)
    assert still(found.partitions) == still(base.partitions)
    # Each scene had its reservation at another time, and pyslurm tells times alone: it is active by today's clock.
    of_no_time = [
        {name: row | {"state": None} for name, row in still(one.reservations).items()} for one in (found, base)
    ]
    assert of_no_time[0] == of_no_time[1] != {}
    expected = still(base.nodes)
    for name in _OLDER if which == "22.05" else ():
        expected[name] |= {"flags": ()}
    if which.endswith("native"):
        # The text of scontrol is cut where a comment forges the next line; pyslurm has the whole.
        # pyslurm's weight is not read.
        for row in expected.values():
            row["weight"] = None
        expected["gpu0013"] |= {key: still(found.nodes)["gpu0013"][key] for key in ("comment", "extra")}
    assert still(found.nodes) == expected
    assert found.jobs_on == base.jobs_on and found.totals.jobs_by_state == base.totals.jobs_by_state
    assert (found.totals.gpus, found.totals.gpus_alloc, found.totals.gpus_out) == (128, 35, 48)
    assert found.rights == base.rights and found.diag.user_calls.keys() == base.diag.user_calls.keys()


# -- one job in full of a Slurm without JSON ---------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path, monkeypatch):
    """The transport of the commands of 22.05, which know no --json."""
    commands = Commands(tmp_path, monkeypatch)
    errors = json.loads(recorded("22.05", "manifest.json"))["files"]
    for number, kind in (("2", "running"), ("9", "pending")):
        said = errors[f"job_{kind}.json"]
        commands.says("scontrol", "", said["stderr"], said["rc"], to=f"show job {number} --json=*")
        commands.says("scontrol", recorded("22.05", f"job_{kind}.txt"), to=f"show job {number} *")
        fields = recorded("22.05", f"job_{kind}_fields.txt").replace(FENCE.encode(), b"@F")
        commands.says("squeue", fields, to=f"-a -r -t all -j {number} *")
    return commands, CliTransport(SlurmSettings(share=False))


def test_a_running_job_in_full(old):
    detail = old[1].job_detail("2")
    assert detail.gpu_indices == {"gpu0002": "0-7", "gpu0003": "0-7"}
    assert (detail.batch, detail.requeueable, detail.comment, detail.working_dir) == (True, True, "epoch 3", "/tmp")
    assert detail.exit_code is detail.dependency is detail.command is detail.admin_comment is None
    assert detail.fields["tres_alloc_str"] == "cpu=224,mem=3808000M,node=2,billing=224"
    assert detail.fields["batch_host"] == "gpu0002"


def test_a_waiting_job_in_full(old):
    detail = old[1].job_detail("9")
    assert (detail.gpu_indices, detail.exit_code, detail.stdout) == ({}, None, "/dev/null")
    assert "batch_host" not in detail.fields


TEXT = "JobId=7 JobName={} UserId=bob(2) Account={} QOS=x JobState=RUNNING {} MinCPUsNode=1 Network={} "
FORGED = " Nodes=gpu0009 CPU_IDs=0 Mem=1 GRES=gpu:h100:8(IDX:0-7)"
TRUE = "JOB_GRES=gpu:1   Nodes=gpu0001 CPU_IDs=0 Mem=1 GRES=gpu:h100:1(IDX:3)"


@pytest.mark.parametrize(
    "name, account, network",
    [("x", "ml", "x"), (FORGED, "ml", "x"), (f"x UserId=a Account=ml QOS=x{FORGED}", "ml", "x"), ("x", FORGED, "x"),
     ("a\nb", "ml", FORGED)],
)  # fmt: skip
def test_no_name_forges_the_gpus_of_a_job(name, account, network):
    text = TEXT.format(name, account, TRUE, network)
    assert job_text._indices(text, name, account) == {"gpu0001": "3"}


def test_the_gpus_of_a_job_of_25_11():
    """As scontrol of 25.11.7 printed it: the job's SLUID stands behind its name."""
    text = TEXT.format("x SLUID=s9KHM8VEY9J100", "(null)", TRUE, "x")
    assert job_text._indices(text, "x", "(null)") == {"gpu0001": "3"}


def test_a_scontrol_that_was_built_without_json(old):
    commands, transport = old
    fatal = "scontrol: fatal: serializer_required: could not find plugin for application/json\n"
    commands.says(
        "scontrol", recorded("22.05", "job_running.txt").replace(b"JobId=2 ", b"JobId=3 "), to="show job 3 -*o"
    )
    commands.says("scontrol", "", fatal, 1, to="show job 3 --json=*")
    commands.says(
        "squeue", recorded("22.05", "job_running_fields.txt").replace(FENCE.encode(), b"@F"), to="-a -r -t all -j 3 *"
    )
    assert transport.job_detail("3").gpu_indices == old[1].job_detail("2").gpu_indices != {}


def test_a_text_that_does_not_fit_what_squeue_told_gives_no_indices():
    assert job_text._indices(TEXT.format("x", "ml", TRUE, "x"), "other", "ml") == {}
    assert job_text._indices("", "x", "ml") == {}


def test_a_status_is_told_as_what_the_job_returned():
    assert [job_text._returned(text) for text in ("768", "9", "0", "N/A")] == ["3", None, "0", None]


def test_fields_that_were_cut_are_a_fault(old):
    commands, transport = old
    commands.says("scontrol", "", "scontrol: unrecognized option '--json=v0.0.42'\n", 1, to="show job 3 --json=*")
    commands.says("scontrol", "JobId=3 JobName=x UserId=", to="show job 3 *")
    commands.says("squeue", "STATE@F\nRUNNING@F1", to="-a -r -t all -j 3 *")
    with pytest.raises(SourceFault, match="fields of job 3"):
        transport.job_detail("3")
