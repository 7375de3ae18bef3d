"""Racks: every rule a site may write, and what is said when it is written wrongly."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.racks import RackRule, leaf_switches, no_rack, rack_lookup, rack_of, read_file


def test_without_a_rule_there_are_no_racks():
    assert rack_of(None) is no_rack and no_rack("gpu0001") is None


def test_topology_must_be_asked_first():
    assert rack_of(RackRule(topology=True)) is None


@pytest.mark.parametrize(
    ("name", "rack"),
    [
        ("gpu0001", "R01"), ("gpu0018", "R01"), ("gpu0019", "R02"), ("gpu1800", "R100"), ("gpu0000", "R00"),
        ("login1", None), ("gpu00010", None), ("xgpu0001", None), ("gpu٠٠٠١", "R01"), ("", None),
    ],
)  # fmt: skip
def test_a_pattern_counts(name, rack):
    assert rack_of(RackRule(pattern=r"gpu(?P<n>\d{4})", nodes_per_rack=18))(name) == rack


@pytest.mark.parametrize(
    ("pattern", "name", "rack"),
    [
        (r"(?P<rack>r\d+)n\d+", "r07n12", "r07"),
        (r"(?P<rack>r\d+)n\d+", "gpu1", None),
        (r"(?P<rack>r\d*)?n(?P<n>\d+)", "n12", None),
        (r"gpu(?P<rack>.*)", "gpu", None),
    ],
)
def test_a_pattern_names(pattern, name, rack):
    assert rack_of(RackRule(pattern=pattern))(name) == rack


@pytest.mark.parametrize("name", ["gpu", "gpu²", "gpux", "gpu" + "9" * 5000])
def test_a_group_that_is_no_number_is_no_rack(name):
    assert rack_of(RackRule(pattern=r"gpu(?P<n>.*)?", nodes_per_rack=18))(name) is None


@given(st.integers(1, 9999), st.integers(1, 64))
def test_neighbours_share_a_rack(number, size):
    rack = rack_of(RackRule(pattern=r"gpu(?P<n>\d+)", nodes_per_rack=size))
    first = (number - 1) // size * size + 1
    assert rack(f"gpu{number:04d}") == rack(f"gpu{first}") == rack(f"gpu{first + size - 1}")
    assert rack(f"gpu{number}") != rack(f"gpu{number + size}")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "one of pattern, file and topology"),
        ({"topology": False}, "one of pattern, file and topology"),
        ({"pattern": ""}, "one of pattern, file and topology"),
        ({"pattern": "x", "file": "y"}, "one of pattern, file and topology"),
        ({"pattern": "(?P<n>x)", "topology": True}, "one of pattern, file and topology"),
        ({"pattern": "gpu("}, "no regular expression"),
        ({"pattern": "gpu"}, "group named rack"),
        ({"pattern": r"gpu(\d+)", "nodes_per_rack": 18}, "group named rack"),
        ({"pattern": r"gpu(?P<n>\d+)"}, "nodes_per_rack above 0"),
        ({"pattern": r"gpu(?P<n>\d+)", "nodes_per_rack": 0}, "nodes_per_rack above 0"),
        ({"pattern": r"gpu(?P<n>\d+)", "nodes_per_rack": -1}, "nodes_per_rack above 0"),
        ({"topology": True, "rows": 3}, "unknown field `rows`"),
        ({"pattern": 3}, r"Expected `str \| null`, got `int`"),
    ],
)
def test_wrong_rules(table, says):
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(table, RackRule)


def test_a_file(tmp_path):
    path = tmp_path / "racks"
    path.write_text("# rack, nodes\n\nR01 gpu[0001-0002]  # the left one\nR02\tgpu0003,login1\nR0\x1b3 gpu0004\n")
    rack = rack_of(RackRule(file=str(path)))
    assert [rack(name) for name in ("gpu0001", "gpu0002", "gpu0003", "login1", "gpu0009")] == [
        "R01", "R01", "R02", "R02", None,
    ]  # fmt: skip
    assert rack("gpu0004") == "R0\\e3"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("R01 gpu1\nR02\n", ":2: a line is a rack and a node set"),
        ("R01 gpu1 gpu2\n", ":1: a line is a rack and a node set"),
        ("\n\nR01 gpu[1\n", ":3: a bracket is missing"),
        ("R01 @all\n", ":1: groups"),
        ("R01 gpu[0-3000000]\n", ":1: 3,000,001 nodes are too many"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, says):
    path = tmp_path / "racks"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}{says}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="racks: No such file"):
        rack_of(RackRule(file=str(tmp_path / "racks")))


def test_leaf_switches():
    tree = (
        "SwitchName=top Level=1 LinkSpeed=1 Nodes=gpu[1-4] Switches=s[1-2]\n"
        "SwitchName=s1 Level=0 LinkSpeed=1 Nodes=gpu[1-2]\nSwitchName=s2 Level=0 LinkSpeed=1 Nodes=gpu[3-4]\n"
        "SwitchName=empty Level=0 LinkSpeed=1\nSwitchName=s3 Level=0 LinkSpeed=1 Nodes=gpu1\n"
    )
    assert leaf_switches(tree) == {"gpu1": "s1", "gpu2": "s1", "gpu3": "s2", "gpu4": "s2"}


def test_blocks():
    blocks = (
        "BlockName=b1 BlockIndex=0 Nodes=gpu[1-2] BlockSize=2\nBlockName=b2 BlockIndex=1 Nodes=gpu3 BlockSize=2\n"
        "AggregatedBlock=b[1-2] BlockIndex=2 Nodes=gpu[1-3] BlockSize=4\n"
    )
    assert leaf_switches(blocks) == {"gpu1": "b1", "gpu2": "b1", "gpu3": "b2"}


@pytest.mark.parametrize("text", ["", "No topology information available\n"])
def test_a_flat_cluster_has_no_switches(text):
    assert leaf_switches(text) == {}
    assert rack_lookup({})("gpu1") is None
