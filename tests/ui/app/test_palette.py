"""The palette: everything by its name, a refusal with its reason, names of the machine, lately chosen ones first."""

from __future__ import annotations

import pytest
from textual import events

from console.app.confirm_dialog import ConfirmDialog
from console.app.palette import PaletteEntry, found, named, score
from console.app.palette_screen import PaletteScreen
from console.screens.job import JobScreen
from console.screens.node import NodeScreen
from tests.support.make import cluster, job, key_lines, node
from tests.support.operator import Operator, console
from tests.support.yardstick import cost

BIG = cluster(
    nodes=[node(f"gpu{at:05}", rack=f"R{at // 16:03}") for at in range(12_000)],
    jobs=[job(str(1_000_000 + at), name=f"train_{at}", user=f"u{at % 90}") for at in range(100_000)],
)


def entry(name: str, refused: bool = False) -> PaletteEntry:
    return PaletteEntry(name, "", lambda: None, refused=refused)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("nodes", "Show nodes"),
        ("dn", "Drain node"),
        ("node drain", "Drain node"),
        ("undr", "Undrain node"),
        ("parti", "Show partitions"),
        ("daylight", "Theme daylight"),
        ("thda", "Theme daylight"),
        ("show jo", "Show jobs"),
        (":exp", ":export"),
    ],
)
def test_what_is_meant_comes_first(query, first):
    every = [
        entry(name)
        for name in ("Show nodes", "Show jobs", "Show partitions", "Drain node", "Undrain node", "Hold job",
                     "Theme daylight", "Theme groningen", ":export", "Read every source again now")
    ]  # fmt: skip
    assert found(every, query, ())[0].name == first


def test_a_letter_that_is_missing_finds_nothing():
    assert score("xyz", "Show nodes") is None and score("nodes x", "Show nodes") is None
    assert found([entry("Show nodes")], "zq", ()) == []


def test_lately_chosen_ones_come_first_and_refused_ones_after_their_like():
    every = [entry(name) for name in ("Show nodes", "Held jobs", "Show journal", "Hold jot")]
    every.insert(1, entry("Hold job", refused=True))
    assert [one.name for one in found(every, "", ("Held jobs", "Show journal"))][:2] == ["Show journal", "Held jobs"]
    assert found(every, "hold jo", ())[0].name == "Hold jot"
    assert found(every, "show", ())[0].name == "Show nodes"
    assert found(every, "show", ("Show journal",))[0].name == "Show journal"


@pytest.mark.parametrize(
    ("query", "has"),
    [
        ("gpu00412", ("node", "gpu00412")),
        ("GPU00412", ("node", "gpu00412")),
        ("411", ("node", "gpu00411")),
        ("R025", ("rack", "R025")),
        ("1000411", ("job", "1000411")),
        ("train_99999", ("job", "1099999")),
        ("u17", ("job", "1000017")),
    ],
)
def test_names_of_the_machine(query, has):
    assert has in [(kind, name) for kind, name, _ in named(BIG, query)]


def test_it_offers_a_few_of_each_and_takes_no_time():
    for query in ("g", "gpu", "1", "100", "zzz", "train", "u1", "_"):
        assert len(named(BIG, query)) <= 8 + 4 + 8
        # A thread has it; but 100 ms of the interpreter would be felt all the same.
        assert cost(lambda: named(BIG, query), rounds=3) < 13, query  # noqa: B023 - called at once; 0.4 to 4.3
    assert named(BIG, "") == [] and named(BIG, "two words") == []


# -- on the screen -----------------------------------------------------------------------------------------------------


async def opened(op: Operator, text: str = "") -> PaletteScreen:
    await op.press("ctrl+p")
    screen = op.app.screen
    assert isinstance(screen, PaletteScreen)
    await op.burst(text)
    return screen


@pytest.mark.slow
async def test_it_goes_where_it_says():
    async with console() as op:
        await opened(op, "show jobs")
        op.sees("› show jobs", "Show jobs")
        await op.press("enter")
        assert op.list.crumb == "jobs"
        name = next(iter(op.cluster.nodes))
        await opened(op, name)
        await op.comes(f"node {name}")
        await op.press("enter")
        assert isinstance(op.app.screen, NodeScreen) and op.app.screen.key == name
        key = next(iter(op.cluster.jobs))
        await opened(op, key)
        await op.comes(f"job {key}")
        await op.press("enter")
        assert isinstance(op.app.screen, JobScreen) and op.app.screen.key == key


@pytest.mark.slow
async def test_an_action_asks_as_its_key_does_and_a_refused_one_says_why():
    async with console() as op:
        await op.press("2")
        await op.select(op.node("allocated")[0])
        await opened(op, "undrain")
        op.sees("not now: nothing to undrain")
        await op.press("escape")
        await opened(op, "drain node")
        await op.press("enter")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the dialog")
        assert op.dialog.plan.action.id == "drain"


@pytest.mark.slow
async def test_a_command_a_way_a_theme_and_a_saved_filter():
    async with console(filters=key_lines(mine="state=allocated")) as op:
        await op.press("2")
        await opened(op, ":save")
        await op.press("enter")
        assert op.list.prompt.is_open and op.list.prompt.value == "save "
        await op.press("escape")
        await opened(op, "nodes @mine")
        await op.press("enter")
        assert op.list.filter_text == "state=allocated"
        await opened(op, "theme daylight")
        await op.press("enter")
        assert op.app.theme == "daylight"
        await opened(op, "filter the rows")
        await op.press("enter")
        assert op.list.prompt.is_open and op.list.prompt.kind == "/"


@pytest.mark.slow
async def test_keys_of_the_list_are_letters_here_and_the_cursor_moves():
    async with console() as op:
        await op.press("2")
        screen = await opened(op, "jkqd")
        op.sees("› jkqd", "nothing is called that")
        await op.press("ctrl+u", "down", "down")
        assert screen._pane.cursor_key == "2"
        await op.press("backspace", "ctrl+p")
        assert op.app.screen is op.list


async def test_what_was_chosen_comes_first_the_next_time():
    async with console() as op:
        await opened(op, "theme daylight")
        await op.press("enter")
        screen = await opened(op)
        assert screen._shown[0].name == "Theme daylight"


async def test_names_that_come_late_move_nothing_under_the_cursor():
    async with console() as op:
        screen = await opened(op, "r")
        await op.press("down", "down")
        chosen = screen._shown[int(screen._pane.cursor_key)].name
        screen._names_found("r", [("node", "r", "a node that is called so"), ("rack", "R99", "")])
        assert screen._shown[0].name == "node r"
        assert screen._shown[int(screen._pane.cursor_key)].name == chosen


async def test_a_paste_chooses_nothing():
    async with console() as op:
        screen = await opened(op)
        op.app.post_message(events.Paste("show jobs\n\x1b[2Jq\n"))
        await op.until(lambda: screen._query == "show jobs", "the first line of the paste")
        assert op.app.screen is screen


async def test_the_keys_of_the_set_stand_there():
    async with console(keys=key_lines(base="k9s")) as op:
        await op.press("3")
        await opened(op, "cancel")
        op.sees("Ctrl+K")
