"""Node sets: what is folded comes back, what is too large is refused before it is parsed, and nothing runs a shell."""

from __future__ import annotations

import re

import pytest
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.nodeset import expand, fold, fold_for_slurm, is_nodeset, natural_key
from tests.support.yardstick import cost

NAMES = st.from_regex(r"[a-z]{1,3}(-?[0-9]{1,4}){0,3}(-ib)?", fullmatch=True)


def test_expands_and_folds():
    assert expand("gpu[0001-0003,0007]") == ("gpu0001", "gpu0002", "gpu0003", "gpu0007")
    assert expand("login1") == ("login1",)
    assert expand("gpu10, gpu9 gpu[9-11]") == ("gpu9", "gpu10", "gpu11")
    assert expand("gpu[1, 3]") == ("gpu1", "gpu3")
    assert expand("r[0-1]n[1-2]") == ("r0n1", "r0n2", "r1n1", "r1n2")
    # Slurm writes a range over the end of its digits so: measured on 26.05 with 12,000 nodes.
    for text in ("gpu[0008-12000]", "gpu[0008-12000,3]", "gpu[0008-0010,0011-12000]"):
        names = expand(text)
        assert names[-3:] == ("gpu11998", "gpu11999", "gpu12000") and len(names) >= 11_993
        assert {"gpu0008", "gpu9999", "gpu10000"} <= set(names)
        assert set(expand(fold(names))) == set(names)
    assert expand("gpu[09-100]x[1-2]")[:3] == ("gpu09x1", "gpu09x2", "gpu10x1")
    assert expand("") == expand(" , ") == ()
    assert fold(["gpu0003", "gpu0001", "gpu0002", "gpu0001"]) == "gpu[0001-0003]"
    assert fold([]) == "" and fold(["x"]) == "x"
    assert fold(f"gpu{n:05d}" for n in range(12_000)) == "gpu[00000-11999]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("@all", "groups"),
        ("gpu*", "wildcards"),
        ("gpu[1-4]!gpu2", "exclusion"),
        ("a&b", "intersection"),
        ("a^b", "cannot be used"),
        ("gpu[1-4", "bracket"),
        ("gpu]1[", "not a node name"),
        ("gpu[4-1]", "backwards"),
        ("gpu[1-010]", "same number of digits"),
        ("gpu[0100-999]", "same number of digits"),
        ("gpu[]", "empty"),
        ("gpu[a-b]", "not a node name"),
        ("gpu[1--2]", "not a number or a range"),
        ("gpu[1-9/0]", "step"),
        ("gpu%s", "not a node name"),
        ("gpu[1-٣]", "not a node name"),
        ("$(reboot)", "not a node name"),
        ("gpu[0-3000000]", "too many"),
        ("gpu[0-999999999999999999]", "too many"),
        ("[0-99]x[0-99]x[0-99]x[0-99]", "too many"),
        ("a[0-9][0-9]", "between them"),
        ("x" * 2_000_000 + ",", "too long"),
    ],
)
def test_refuses_at_once(text, says):
    def refused():
        with pytest.raises(ValueError, match=says):
            expand(text)

    assert cost(refused, rounds=2) < 22  # 0.01 where it was measured, 7 for two million characters


def test_cap_counts_names():
    assert len(expand("gpu[0-99]", cap=100)) == 100
    with pytest.raises(ValueError, match="101 nodes are too many"):
        expand("gpu[0-100]", cap=100)


@pytest.mark.slow
@given(st.lists(NAMES, max_size=40))
def test_a_fold_comes_back(names):
    assert set(expand(fold(names))) == set(names)


@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 900)), min_size=1, max_size=4), st.integers(1, 5))
def test_ranges_are_what_clustershell_says(ranges, width):
    pieces = [f"{first:0{width}d}-{first + more:0{width}d}" for first, more in ranges]
    if any(len(piece) % 2 == 0 for piece in pieces):
        return  # ends of two lengths, which ClusterShell refuses
    wanted = {str(name) for piece in pieces for name in NodeSet(f"gpu-[{piece}]", resolver=RESOLVER_NOGROUP)}
    assert set(expand(f"gpu-[{','.join(pieces)}]")) == wanted
    assert set(expand(" ".join(f"gpu-[{piece}]" for piece in pieces))) == wanted


@given(st.integers(301, 330), st.integers(1, 3))
@settings(max_examples=10)
def test_large_sets_of_two_numbers_come_back(count, step):
    names = [f"r{n // 18:02d}n{n * step % 97:02d}-{n}" for n in range(count)]
    assert set(expand(fold(names))) == set(names)
    names = [f"r{n // 18:02d}n{n % 18:02d}" for n in range(count)]
    assert fold(names).startswith("r00n[00-17],r01n[00-17]")
    assert set(expand(fold(names))) == set(names)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["r1n1", "r2n1"], "r1n1,r2n1"),
        (["r1n1", "r2n1", "r1n2", "r2n2"], "r[1-2]n[1-2]"),
        (["gpu1.site", "gpu2.site", "gpu3", "gpu4"], "gpu1.site,gpu2.site,gpu[3-4]"),
        (["rack1-a", "rack2-a"], "rack1-a,rack2-a"),
        (["gpu1", "gpu2"], "gpu[1-2]"),
        (["login"], "login"),
        ([], ""),
    ],
)
def test_slurm_is_given_no_text_behind_a_range(names, text):
    assert fold_for_slurm(names) == text


@pytest.mark.slow
@given(st.lists(NAMES, max_size=40))
def test_what_slurm_is_given_comes_back(names):
    text = fold_for_slurm(names)
    assert set(expand(text)) == set(names)
    assert not re.search(r"\](?!,|$)(?![^,]*\[)", text)


def test_a_whole_machine_fits_one_argument_however_its_names_end():
    names = [f"gpu{number:05}.site" for number in range(12_000)]
    assert fold_for_slurm(names) == "gpu[00000-11999].site", "which Slurm reads from 23.11 on"
    assert fold_for_slurm(names[:8000]).count(",") == 7999


@given(st.lists(st.text(max_size=12), max_size=8))
def test_fold_never_raises(names):
    fold(names)


@given(st.text(max_size=40) | st.from_regex(r"[gpu0-9\[\],/ -]{0,20}", fullmatch=True))
def test_expand_raises_nothing_else(text):
    try:
        found = expand(text)
    except ValueError as error:
        assert not is_nodeset(text) or "too many" in str(error)
        return
    assert len(set(found)) == len(found)
    if is_nodeset(text):
        assert found


@given(st.lists(st.text(max_size=8) | NAMES, max_size=8))
def test_natural_keys_order_everything(names):
    sorted(names, key=natural_key)


def test_natural_order():
    names = ["gpu10", "gpu2", "gpu1", "gpu01", "login", "gpu2a"]
    assert sorted(names, key=natural_key) == ["gpu01", "gpu1", "gpu2", "gpu2a", "gpu10", "login"]
    assert natural_key("9" * 5000)


@pytest.mark.slow
@given(
    st.sets(st.integers(0, 1200), min_size=301, max_size=400),
    st.lists(st.sampled_from(["gpu", "a-", "n."]), min_size=1, max_size=3, unique=True),
    st.integers(1, 6),
    st.sampled_from(["", ".site", "-a"]),
)
def test_a_whole_machine_is_folded_as_clustershell_does(numbers, prefixes, wide, after):
    """Numbers that outgrow their width too, as those of 12,000 nodes with four digits."""
    names = [f"{prefix}{number:0{wide}}{after}" for prefix in prefixes for number in numbers]
    theirs = str(NodeSet.fromlist(names, resolver=RESOLVER_NOGROUP))
    assert sorted(_words(fold(names))) == sorted(_words(theirs))
    assert set(expand(fold([*names, "gpu99999999"]))) == {*names, "gpu99999999"}


@pytest.mark.slow
@given(st.sets(st.text("0123456789", min_size=1, max_size=4), min_size=301, max_size=400))
def test_numbers_of_any_width_are_folded_as_clustershell_does(numbers):
    names = [f"gpu{number}" for number in numbers]
    assert fold(names) == str(NodeSet.fromlist(names, resolver=RESOLVER_NOGROUP))


def _words(text):
    return re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text)
