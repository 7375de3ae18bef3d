"""Domains as somebody laid them out: Slurm's blocks, or the racks where the configuration says so."""

from __future__ import annotations

import pytest

from collectors.model import SourceFault
from collectors.racks import RackRule
from collectors.slurm.topology import domains
from tests.support.make import Commands

BLOCKS = (
    "BlockName=b2 BlockIndex=1 Nodes=gpu[0019-0036] BlockSize=18 \n"
    "BlockName=b1 BlockIndex=0 Nodes=gpu[0001-0018] BlockSize=18 \n"
    "AggregatedBlock=b[1-2] BlockIndex=2 BlockSize=36 Nodes=gpu[0001-0036] \n"
)
TREE = "SwitchName=s0 Level=0 LinkSpeed=1 Nodes=gpu[0001-0018] \nSwitchName=top Level=1 LinkSpeed=1 Switches=s0 \n"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    return Commands(tmp_path, monkeypatch)


def test_blocks_are_domains(commands):
    commands.says("scontrol", BLOCKS, to="show topology -o")
    found = domains(None, 20)
    assert list(found) == ["b1", "b2"] and {one.said_by for one in found.values()} == {"Slurm's blocks"}
    assert (len(found["b1"].nodes), found["b1"].nodes[0], found["b1"].nodes[-1]) == (18, "gpu0001", "gpu0018")


@pytest.mark.parametrize("out", [TREE, ""])
def test_a_tree_of_switches_has_no_domains(commands, out):
    commands.says("scontrol", out, to="show topology -o")
    assert domains(None, 20) == {}


def test_racks_that_are_called_domains_win(commands):
    commands.says("scontrol", BLOCKS, to="show topology -o")
    commands.says("sinfo", "gpu[0001-0040],login1\n", to="-a -h -o %N")
    found = domains(RackRule(pattern=r"gpu(?P<n>\d+)", nodes_per_rack=18, domains=True), 20)
    assert {name: len(one.nodes) for name, one in found.items()} == {"R01": 18, "R02": 18, "R03": 4}
    assert {one.said_by for one in found.values()} == {"the racks"}
    assert commands.calls == ["sinfo -a -h -o %N"], "the topology is not asked for"
    by_block = domains(RackRule(topology=True, domains=True), 20)
    assert {name: len(one.nodes) for name, one in by_block.items()} == {"b1": 18, "b2": 18}


def test_racks_alone_are_no_domains(commands):
    commands.says("scontrol", TREE, to="show topology -o")
    assert domains(RackRule(pattern=r"gpu(?P<n>\d+)", nodes_per_rack=18), 20) == {}


@pytest.mark.parametrize(
    ("out", "err", "rc", "kind"),
    [
        ("BlockName=b1 BlockIndex=0 Nodes=gpu[0001- BlockSize=18\n", "", 0, "malformed"),
        ("", "slurm_load_topo error: Unable to contact slurm controller (connect failure)\n", 1, "refused"),
        # As 24.11 and 26.05 end when no controller answers.
        ("", "slurm_load_topo error: Unable to contact slurm controller (connect failure)\n", 0, "refused"),
    ],
)
def test_what_cannot_be_read_is_a_fault(commands, out, err, rc, kind):
    commands.says("scontrol", out, err, rc, to="show topology -o")
    with pytest.raises(SourceFault) as caught:
        domains(None, 20)
    assert caught.value.fault.kind == kind


def test_names_from_outside_are_cleaned(commands):
    commands.says("scontrol", "BlockName=b\x1b[31m1 BlockIndex=0 Nodes=gpu0001 BlockSize=1\n", to="show topology -o")
    assert all("\x1b" not in name for name in domains(None, 20))
