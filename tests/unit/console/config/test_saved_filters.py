"""Saved filters: kept, used, forgotten; those of the configuration; what is broken is told of and left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from console.config.keymap import KeyLine
from console.config.saved_filters import (
    SavedFilter,
    SavedFilters,
    _short,
    checked_filter,
    forget_line,
    read_filters,
    save_line,
)
from console.config.settings import load
from console.runtime.errors import FilterError
from tests.support.operator import Operator, console

PATH = Path("/state/filters")


def lines(**named: object) -> list[KeyLine]:
    return [KeyLine(f"own.toml:{at}", name, value) for at, (name, value) in enumerate(named.items(), 1)]


def test_one_of_the_configuration_is_for_every_list_that_knows_its_fields():
    found = read_filters(lines(mine="user=alice & state=pending", sick="rack=R1 & age>2h", waits="wait>1d"), ())
    assert found.messages == ()
    assert {one.name: one.on for one in found.known.values()} == {
        "mine": ("nodes", "jobs"), "sick": ("nodes",), "waits": ("jobs",),
    }  # fmt: skip
    assert found.expand(" @mine ", "jobs") == "user=alice & state=pending"
    assert found.expand("user=bob", "jobs") == "user=bob"


def test_one_list_of_the_configuration(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('[filters]\nmine = "user=me"\n[filters.nodes]\nsick = "state=drained"\nbad = "nope=1"\n')
    own.chmod(0o600)
    found = read_filters(load(str(own), {}, tmp_path / "none").filters, ())
    assert found.known["sick"] == SavedFilter("sick", "state=drained", ("nodes",))
    (told,) = found.messages
    assert told.startswith(f"{own}:3: filters.nodes.bad: ") and "nope" in told


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ({"mine": "user="}, "needs a value"),
        ({"mine": 5}, "must be a text"),
        ({"mine": ""}, "nothing to save"),
        ({"a b": "idle"}, "letters, digits"),
        ({"nowhere": {"x": "idle"}}, "there is no list nowhere; allowed: nodes, jobs, journal"),
    ],
)
def test_a_broken_one_is_told_of_and_left_out(named, why):
    found = read_filters(lines(**named), ())
    assert found.known == {} and len(found.messages) == 1
    assert "own.toml:1" in found.messages[0] and why in found.messages[0]


def test_ones_own_win_and_can_be_forgotten():
    configured = lines(mine="user=alice")
    own = [save_line(SavedFilter("mine", "user=bob", ("jobs",))), save_line(SavedFilter("hot", "temp>80", ("nodes",)))]
    found = read_filters(configured, own, PATH)
    assert found.known["mine"].text == "user=bob" and found.on("nodes") == ["hot"]
    again = read_filters(configured, [*own, forget_line("mine"), forget_line("hot")], PATH)
    assert again.known["mine"].text == "user=alice" and set(again.known) == {"mine"}


def test_what_is_no_filter_in_the_file_is_told_of():
    good = save_line(SavedFilter("hot", "temp>80", ("nodes",)))
    old = save_line(SavedFilter("old", "nofield=1", ("nodes",)))
    nowhere = save_line(SavedFilter("x", "idle", ("mars",)))
    found = read_filters((), ["{broken", "[]", good, old, nowhere], PATH)
    assert set(found.known) == {"hot"}
    assert found.messages[0] == "/state/filters: 2 lines are no saved filter, and left out"
    assert any("@old: " in told and "nofield" in told for told in found.messages) and len(found.messages) == 3


def test_the_file_comes_to_what_is_there():
    saves = [save_line(SavedFilter(f"f{at % 3}", f"rack=R{at}", ("nodes",))) for at in range(50)]
    short = _short([*saves, forget_line("f0")])
    assert (
        len(short) == 2 and read_filters((), short, PATH).known == read_filters((), [*saves, forget_line("f0")]).known
    )


def test_an_unknown_name_says_which_there_are():
    found = read_filters(lines(mine="user=alice", sick="rack=R1 & age>2h"), ())
    with pytest.raises(FilterError, match="no filter is saved as nine; there are: mine, sick"):
        found.expand("@nine", "nodes")
    with pytest.raises(FilterError, match="@sick is a filter of nodes"):
        found.expand("@sick", "jobs")
    with pytest.raises(FilterError, match=":save NAME"):
        SavedFilters().expand("@x", "jobs")


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 41, "-x", "@x"])
def test_a_name_that_cannot_be(name):
    with pytest.raises(FilterError):
        checked_filter(name, "idle", "nodes")


# -- on the screen -----------------------------------------------------------------------------------------------------


async def saved(op: Operator, name: str) -> None:
    path = Path(os.environ["XDG_STATE_HOME"]) / "wacht" / "filters"
    await op.until(lambda: path.exists() and f'"{name}"' in path.read_text(), f"{name} in the file")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
async def test_saved_here_used_there():
    async with console() as op:
        await op.burst(":nodes state=allocated\n")
        await op.burst(":save busy\n")
        await op.comes("saved: /@busy is state=allocated")
        await saved(op, "busy")
    async with console() as op:
        await op.until(lambda: "busy" in op.app.input.filters.known, "the filters")
        await op.press("2")
        await op.burst("/@busy\n")
        assert op.list.filter_text == "state=allocated"
        await op.press("escape")
        await op.burst(":filter @busy\n")
        assert op.list.filter_text == "state=allocated"
        await op.press("3")
        await op.burst(":filter @busy\n")
        op.sees("@busy is a filter of nodes")
        await op.press("escape")
        await op.burst(":nodes @busy\n")
        assert op.list.crumb == "nodes" and op.list.filter_text == "state=allocated"
        await op.burst(":forget busy\n")
        await op.comes("@busy is forgotten")
        await op.burst(":filter @busy\n")
        op.sees("no filter is saved as busy")


async def test_one_of_the_configuration_is_used_and_stays():
    async with console(filters=lines(mine="state=running")) as op:
        await op.press("3")
        await op.burst("/@mine\n")
        assert op.list.filter_text == "state=running"
        await op.burst(":forget mine\n")
        op.sees("is in the configuration")


async def test_without_a_filter_there_is_nothing_to_save():
    async with console() as op:
        await op.press("2")
        await op.burst(":save x\n")
        op.sees("no filter is on")
        await op.press("escape", "1")
        await op.burst(":save x\n")
        op.sees("only the lists")


async def test_the_journal_has_its_own():
    async with console() as op:
        await op.press("8")
        await op.burst("/drain gpu\n")
        await op.burst(":save mine\n")
        await op.comes("saved: /@mine is drain gpu")
        await op.press("escape")
        await op.burst("/@mine\n")
        assert op.app.screen.filter_text == "drain gpu"
