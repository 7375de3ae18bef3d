"""Which cluster is opened: the configured one, the Slurm on PATH, or nothing, said with what was looked for."""

from __future__ import annotations

import os

import pytest

from collectors.racks import RackRule
from collectors.sim import SimSettings
from collectors.slurm import SlurmSettings
from console.config.settings import ClusterConfig, Config
from console.session import cluster_sources
from console.session.cluster_sources import NoCluster, choose, slurm_name
from tests.support.make import Commands, recorded

SOURCES = ["slurm.nodes", "slurm.jobs", "slurm.partitions", "slurm.reservations", "slurm.diag",
           "slurm.rights", "slurm.topology", "slurm.control"]  # fmt: skip


@pytest.fixture
def commands(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_CONF", raising=False)
    return Commands(tmp_path, monkeypatch)


def has_slurm(commands: Commands, config: str | bytes = b"", **more) -> None:
    for program in ("squeue", "sinfo"):
        commands.says(program)
    commands.says("scontrol", config, **more)


def configured(*clusters: ClusterConfig) -> Config:
    return Config(clusters={one.name: one for one in clusters}, files=("/home/op/wacht.toml",))


def test_nothing_to_watch_says_what_was_looked_for_and_what_to_do(commands):
    with pytest.raises(NoCluster) as caught:
        choose(Config(), None)
    assert str(caught.value) == (
        "no cluster to watch: no [cluster.NAME] in ~/.config/wacht/config.toml, /etc/wacht/config.toml, and squeue, "
        "scontrol, sinfo not on PATH.\nWrite a configuration, or load the site's Slurm commands; to see wacht without "
        "either: wacht demo"
    )


def test_only_what_is_missing_is_named(commands):
    commands.says("squeue")
    with pytest.raises(NoCluster, match=r"in /etc/w\.toml, and scontrol, sinfo not on PATH"):
        choose(Config(files=("/etc/w.toml",)), None)


def test_the_slurm_on_path(commands):
    has_slurm(commands, recorded("24.11", "config.txt"))
    chosen = choose(Config(), None)
    assert (chosen.name, chosen.demo, chosen.slurm, chosen.others) == ("lab-trixie", False, SlurmSettings(), {})
    assert [source.name for source in chosen.collectors()] == SOURCES
    assert [source.floor_s for source in chosen.collectors()] == [10.0, 10.0, 60.0, 60.0, 60.0, 900.0, 1800.0, 300.0]
    assert choose(Config(), "lab-trixie").name == "lab-trixie"
    with pytest.raises(NoCluster, match="no cluster other is configured; the Slurm on PATH is lab-trixie"):
        choose(Config(), "other")
    assert set(commands.calls) == {"scontrol show config"}, "nothing is read by choosing"


def test_a_configured_cluster(commands):
    slurm = SlurmSettings(prefix=("sudo",), interval_s=20.0)
    racks = RackRule(pattern=r"gpu(?P<n>\d+)", nodes_per_rack=18)
    config = configured(ClusterConfig(name="a", sources={"slurm": slurm}, racks=racks), ClusterConfig(name="b"))
    first, second = choose(config, None), choose(config, "b")
    assert (first.name, first.slurm.prefix, first.slurm.racks) == ("a", ("sudo",), racks)
    assert (second.name, second.demo, second.slurm) == ("b", False, SlurmSettings())
    assert [source.floor_s for source in first.collectors()][:3] == [20.0, 20.0, 120.0]
    assert commands.calls == []
    with pytest.raises(NoCluster, match="no cluster c is configured; there are: a, b"):
        choose(config, "c")


def test_a_simulated_cluster_may_be_configured():
    chosen = choose(configured(ClusterConfig(name="toy", sources={"sim": SimSettings(nodes=8)})), None)
    assert (chosen.name, chosen.demo, chosen.slurm) == ("toy", True, SimSettings(nodes=8))
    assert cluster_sources.demo(SimSettings(nodes=4)).name == "demo"


def test_the_transport_reads_from_the_same_slurm(commands):
    has_slurm(commands, "Node gpu1 not found\n", rc=1)
    assert choose(configured(ClusterConfig(name="a")), None).transport().read_nodes(["gpu1"]) == {}


@pytest.mark.parametrize(
    ("out", "err", "rc", "file", "name"),
    [
        ("ClusterName             = lab\n", "", 0, "ClusterName=other\n", "lab"),
        (
            "",
            "slurm_load_ctl_conf error: Unable to contact slurm controller\n",
            1,
            "# x\n clustername = other # y\n",
            "other",
        ),
        ("", "", 1, "", "slurm"),
        ("", "", 1, None, "slurm"),
        ("ClusterName = \x1b[31m\n", "", 0, "ClusterName=other\n", "slurm"),
        (b"\xff\xfe ClusterName", "", 0, None, "slurm"),
    ],
)
def test_the_name_of_the_slurm_on_path(commands, tmp_path, monkeypatch, out, err, rc, file, name):
    commands.says("scontrol", out, err, rc, to="show config")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    if file is not None:
        (tmp_path / "slurm.conf").write_text(file)
    assert slurm_name() == name


def test_a_controller_that_hangs_does_not_keep_the_name(commands, tmp_path, monkeypatch):
    """The command is given two seconds; here they are none, so that nobody waits for them."""
    commands.script("scontrol", "sleep 60")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    (tmp_path / "slurm.conf").write_text("ClusterName=lab\n")
    run = cluster_sources.process.run
    monkeypatch.setattr(
        cluster_sources.process, "run", lambda argv, deadline_s, cap_bytes: run(argv, deadline_s=deadline_s / 20)
    )
    assert slurm_name() == "lab"


def test_the_name_without_any_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_CONF", os.devnull)
    assert slurm_name() == "slurm"
