"""What real Slurms printed (24.11.5 and 26.05.5), read as wacht reads it: facts checked by eye in the raw text."""

from __future__ import annotations

from collections import Counter

import pytest

from collectors.clock import ManualClock
from collectors.model import SourceFault
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.commands_transport import CliTransport
from collectors.slurm.sources import open_sources
from console.session.snapshot import exit_code, take
from tests.support.make import VERSIONS, Commands, line, play, recorded

BEGAN = {"24.11": 1_795_509_455, "26.05": 1_795_509_458}
"""When the recorded machine came up."""


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def machine(tmp_path, monkeypatch, version):
    """Everything that one reading of the recorded machine finds."""
    play(Commands(tmp_path, monkeypatch), version)
    cluster = take("lab", open_sources("lab", SlurmSettings()), ManualClock())
    assert exit_code(cluster) == 0, [str(source.fault) for source in cluster.sources.values() if source.fault]
    return cluster


def test_nodes_by_state(machine):
    assert list(machine.nodes) == [f"gpu{n:04d}" for n in range(1, 17)]
    assert Counter(one.display for one in machine.nodes.values()) == {
        "planned": 4, "drained": 3, "mixed": 2, "allocated": 2, "down": 2, "idle": 1, "draining": 1, "completing": 1,
    }  # fmt: skip
    assert machine.nodes["gpu0001"].flags == ("PLANNED",) and machine.nodes["gpu0001"].state == "MIXED"


def test_gpus_in_use(machine):
    used = {name: (one.gpus_alloc, one.gpus_used) for name, one in machine.nodes.items() if one.gpus_alloc}
    assert used == {"gpu0001": (7, "0-6"), "gpu0002": (8, "0-7"), "gpu0003": (8, "0-7"), "gpu0004": (4, "0-3"),
                    "gpu0009": (8, "0-7")}  # fmt: skip
    assert {(one.gpus, one.gpu_type) for one in machine.nodes.values()} == {(8, "h100")}
    assert (machine.totals.gpus, machine.totals.gpus_alloc, machine.totals.gpus_out) == (128, 35, 48)


def test_reasons_with_who_and_when(machine, version):
    reasons = {name: one.reason for name, one in machine.nodes.items() if one.reason is not None}
    assert reasons == {
        "gpu0009": "NHC: check_gpu_count failed (7 of 8)",
        "gpu0010": "bad DIMM B2, ticket #4711",
        "gpu0011": "PSU dead",
        "gpu0012": "evil State=IDLE\\nNodeName=gpu0001 Arch=x State=DOWN \\e[31m [/] x=y",
        "gpu0014": "Kill task failed",
        "gpu0015": "Not responding",
    }
    assert {machine.nodes[name].reason_by for name in reasons} == {"root"}
    late = BEGAN[version] + (1 if version == "24.11" else 0)
    assert {name: machine.nodes[name].reason_at for name in reasons} == dict.fromkeys(reasons, BEGAN[version]) | {
        "gpu0009": late
    }


def test_forged_lines_did_nothing(machine):
    """gpu0013's comment holds a whole line about gpu0002, which works; gpu0012's reason one about gpu0001."""
    assert machine.nodes["gpu0002"].display == "allocated" and machine.nodes["gpu0002"].reason is None
    assert machine.nodes["gpu0002"].extra is None and machine.nodes["gpu0001"].display == "mixed"
    assert machine.nodes["gpu0013"].comment == "first"
    assert machine.sources["slurm.nodes"].warnings == (
        "1 node lines were doubled or unknown and asked for again, 0 dropped",
    )


def test_a_node_in_full(machine, version):
    one = machine.nodes["gpu0009"]
    assert (one.cpus, one.cpus_alloc, one.memory_mb, one.memory_alloc_mb) == (112, 112, 2_000_000, 1_904_000)
    assert (one.cpu_load, one.version[:5], one.address) == (1.9, version, "127.0.0.1")
    assert one.partitions == ("gpu",) and machine.nodes["gpu0013"].partitions == ("gpu", "long")
    assert one.boot_at in {1_795_507_276, 1_795_507_277} and one.slurmd_at == BEGAN[version]


def test_partitions(machine):
    told = {name: (one.state, one.default, one.nodes, one.node_count, one.cpus, one.time_limit_s, one.priority_tier)
            for name, one in machine.partitions.items()}  # fmt: skip
    assert told == {
        "gpu": ("UP", True, "gpu[0001-0014]", 14, 1568, 172_800, 1),
        "debug": ("UP", False, "gpu0001", 1, 112, 1800, 10),
        "long": ("UP", False, "gpu[0013-0016]", 4, 448, 1_209_600, 1),
    }
    assert {(one.qos, one.gpus, one.allow_accounts) for one in machine.partitions.values()} == {(None, None, "ALL")}


def test_reservations(machine, version):
    (one,) = machine.reservations.values()
    assert (one.name, one.state, one.nodes, one.node_count) == ("lab-maint", "INACTIVE", "gpu0016", 1)
    assert one.flags == ("MAINT", "IGNORE_JOBS", "SPEC_NODES") and one.users == "root"
    assert one.accounts is one.partition is one.comment is None
    assert one.ends - one.starts == 7200 and one.starts == BEGAN[version] + 3600


def test_the_controllers_figures(machine, version):
    diag = machine.diag
    assert (diag.server_threads, diag.agent_queue, diag.dbd_queue) == (1, 0, 0)
    cycles = (diag.main_cycle_last_us, diag.main_cycle_mean_us, diag.backfill_cycle_last_us)
    assert cycles == ((118, 118, 836) if version == "24.11" else (89, 122, 739))
    assert (diag.jobs_pending, diag.jobs_running) == ((11, 0) if version == "24.11" else (0, 0))
    assert diag.user_calls == {"root": 133, "bob": 23, "alice": 7}
    assert diag.user_time_us["bob"] == (20_330 if version == "24.11" else 19_514)


def test_joins(machine):
    assert machine.jobs_on["gpu0001"] == ("3", "4", "5_0") and machine.jobs_on["gpu0003"] == ("2",)
    assert set(machine.jobs_on) == {"gpu0001", "gpu0002", "gpu0003", "gpu0004", "gpu0009", "gpu0013"}
    assert machine.totals.jobs_by_state == {"PENDING": 29, "RUNNING": 6, "COMPLETING": 1}


def test_a_running_job_in_full(machine, version):
    detail = CliTransport(SlurmSettings()).job_detail("2")
    assert detail.gpu_indices == {"gpu0002": "0-7", "gpu0003": "0-7"}
    assert (detail.id, detail.batch, detail.requeueable) == ("2", True, True)
    assert (detail.comment, detail.working_dir, detail.stdout) == ("epoch 3", "/tmp", "/dev/null")
    assert detail.exit_code is detail.dependency is detail.command is detail.admin_comment is None
    assert detail.fields["batch_host"] == "gpu0002"
    assert detail.fields["tres_alloc_str"] == "cpu=224,mem=3808000M,node=2,billing=224"


def test_a_pending_job_in_full(machine):
    detail = CliTransport(SlurmSettings()).job_detail("9")
    assert detail.gpu_indices == {} and detail.exit_code is None and detail.batch is True
    assert "batch_host" not in detail.fields


# -- reads of named nodes ----------------------------------------------------------------------------------------------


@pytest.fixture
def commands(tmp_path, monkeypatch):
    return Commands(tmp_path, monkeypatch)


def named(*names: str):
    return CliTransport(SlurmSettings()).read_nodes(names)


def test_named_nodes_without_those_that_slurm_does_not_know(commands, version):
    """scontrol ends with 1 although it tells of the others."""
    commands.says(
        "scontrol", recorded(version, "nodes_named.txt"), rc=1, to="-a show node gpu0003,gpu9999,gpu0001 -d -o"
    )
    found = named("gpu0003", "gpu9999", "gpu0001")
    assert {name: one.gpus_alloc for name, one in found.items()} == {"gpu0003": 8, "gpu0001": 7}
    assert len(commands.calls) == 1


def test_named_nodes_with_their_reasons(commands):
    commands.says("scontrol", line("gpu0001", "IDLE+DRAIN", " Reason=bad DIMM [root@5]"))
    commands.says("sinfo", "NODELIST|USER|TIMESTAMP|REASON@F\ngpu0001|bob(7)|9|bad DIMM@F\n", to="-a -R *")
    one = named("gpu0001")["gpu0001"]
    assert (one.reason, one.reason_by, one.reason_at) == ("bad DIMM", "bob", 9)


def test_named_nodes_of_which_none_is_known(commands):
    commands.says("scontrol", "Node gpu9999 not found\n", rc=1)
    assert named("gpu9999") == {}


def test_a_doubled_name_is_asked_for_alone(commands):
    forger = line("gpu0001", end=" Comment=x\nNodeName=gpu0002 State=DOWN")
    commands.says("scontrol", forger + line("gpu0002"), to="-a show node gpu0001,gpu0002 -d -o")
    commands.says("scontrol", line("gpu0002", "MIXED"), to="-a show node gpu0002 -d -o")
    assert {name: one.display for name, one in named("gpu0001", "gpu0002").items()} == {
        "gpu0001": "idle",
        "gpu0002": "mixed",
    }


def test_a_forged_absence_is_not_believed(commands):
    forger = line("gpu0001", end=" Comment=x\nNode gpu0002 not found")
    commands.says("scontrol", forger + line("gpu0002"))
    assert set(named("gpu0001", "gpu0002")) == {"gpu0001", "gpu0002"}


def test_an_unreachable_controller_is_a_fault(commands):
    commands.says("scontrol", "", "slurm_load_node error: Unable to contact slurm controller (connect failure)\n", 1)
    with pytest.raises(SourceFault, match="Unable to contact"):
        named("gpu0001")


def test_very_many_named_nodes_fit_into_words(commands):
    names = [f"a-rather-long-name-of-a-node-{n:06d}" for n in range(12_000)]
    commands.says("scontrol", line(names[7]) + line("another"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("collectors.slurm.commands.nodes.read_alone", lambda name, _: None)
        assert list(named(*names)) == names[7:8]
    assert max(map(len, commands.calls)) < 128 << 10
