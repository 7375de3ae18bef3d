"""The themes as they are worn: what a terminal is sent, and that every screen follows a switch, there and back."""

from __future__ import annotations

import re

import pytest

from collectors.model import Partition
from console.plant.totals import partition_uses
from console.tables.overview_figures import queue_lines
from tests.support import make
from tests.support.operator import Operator, console
from tests.support.pty_program import Pty
from themes import themes

SCREENS = ("1", "2", "4", "5", "6")
#: A dialog and a node stand on top of a list.
OPENED = (("2", "d"), ("2", "enter"))


async def walk(op: Operator) -> list[str]:
    """The screens as the terminal would show it, cell by cell with its style."""
    shots = []
    for keys in (*((key,) for key in SCREENS), *OPENED):
        await op.press(*keys)
        await op.app.workers.wait_for_complete()  # charts and details are asked for on demand
        await op.pilot.pause()
        strips = op.app.screen._compositor.render_strips(op.app.size)
        shots.append("\n".join("|".join(f"{part.text}:{part.style}" for part in strip.simplify()) for strip in strips))
        if keys in OPENED:
            await op.press("escape")
            op.app.clear_notifications()
    return shots


@pytest.mark.slow
async def test_every_screen_follows_a_switch_there_and_back():
    name = "16-colour"  # other colours, other filters, and other styles of Textual's: all that a theme can change
    async with console((100, 30), theme=name) as op:
        fresh = await walk(op)
    async with console((100, 30), theme="groningen") as op:
        before = await walk(op)
        await op.press("1")
        await op.command(f"theme {name}")
        assert await walk(op) == fresh
        await op.press("1")
        await op.command("theme groningen")
        assert await walk(op) == before
    assert not any(one == other for one, other in zip(before, fresh, strict=True))


@pytest.mark.parametrize("name", ["16-colour", "monochrome"])
async def test_textuals_own_colours_do_not_come_through(name):
    async with console((100, 30), theme=name) as op:
        await op.press("2", "ctrl+p")
        await op.comes("Show nodes")
        told = [part.style for strip in op.app.screen._compositor.render_strips(op.app.size) for part in strip]
        colours = {colour for style in told if style for colour in (style.color, style.bgcolor) if colour}
        assert colours
        for colour in colours:
            assert colour.is_default if name == "monochrome" else colour.is_default or colour.is_system_defined


@pytest.mark.parametrize("name", ["high-contrast", "monochrome", "16-colour"])
async def test_on_the_map_a_cursor_that_is_turned_round_shows_the_state_of_its_node(name):
    async with console((80, 24), theme=name) as op:
        (node,) = op.node("allocated")
        op.app.screen.map.select(node)
        await op.pilot.pause()
        strips = op.app.screen._compositor.render_strips(op.app.size)
        found = [part.text.strip() for strip in strips for part in strip if part.style and part.style.reverse]
        assert "●" in found


def test_a_partition_that_is_shut_is_told_by_more_than_its_colour_however_long_its_name():
    names = ("gpu", "interactive-long")
    shut = make.cluster(
        jobs=[make.job()], partitions=[Partition(name=name, state="INACTIVE", nodes="", node_count=0) for name in names]
    )
    for cells in (80, 200):
        lines = queue_lines(shut, list(partition_uses(shut).values()), 0.0, cells, 0)[1:]
        assert [line.spans[0][0].split()[0] for line in lines] == ["✖", "✖"]


# -- what is sent ------------------------------------------------------------------------------------------------------

_ATTRIBUTES = {"", "0", "1", "2", "3", "4", "7"}
_SIXTEEN = {str(first + n) for first in (30, 40, 90, 100) for n in range(8)} | {"39", "49"}


#: Keys, and what is sent then: a list, the palette, the list again, a command that means nothing, a map of heat.
_WALK = (
    (b"2", b"gpu0016"), (b"\x10", b"Show"), (b"\x1b", b"gpu00"), (b":theme x\r", b"no theme"), (b"\x1b", b"undo"),
    (b"4", b"unknown"),
)  # fmt: skip


def sent(child: Pty) -> set[str]:
    """Walk through what has colours of Textual's too; every parameter of every SGR that was sent."""
    out = b""
    for keys, sign in _WALK:
        out, child.out = out + child.out, b""
        child.type(keys)
        child.read_until(sign, 10)
    child.type(b"q")
    assert child.end() == 0
    found = re.findall(rb"\x1b\[([0-9;:]*)m", out + child.out)
    assert len(found) > 50
    return {word for codes in found for word in codes.decode().split(";")}


@pytest.mark.pty
@pytest.mark.parametrize(
    ("words", "env", "allowed"),
    [
        (("--theme", "16-colour"), {"COLORTERM": "truecolor"}, _ATTRIBUTES | _SIXTEEN),
        ((), {"COLORTERM": "", "TERM": "xterm"}, _ATTRIBUTES | _SIXTEEN),
        ((), {"COLORTERM": "truecolor", "NO_COLOR": "1"}, _ATTRIBUTES | {"39", "49"}),
    ],
    ids=["16-colour", "a terminal of 16", "NO_COLOR"],
)
def test_only_its_colours_are_sent(tmp_path, words, env, allowed):
    child = Pty(
        "demo", "--nodes", "16", *words,
        XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), **{"NO_COLOR": "", **env},
    )  # fmt: skip
    try:
        child.read_until(b"GPUs")
        found = sent(child)
    finally:
        child.close()
    assert found <= allowed
    assert (found & _SIXTEEN - {"39", "49"} != set()) == (allowed != _ATTRIBUTES | {"39", "49"})


@pytest.mark.pty
def test_who_names_a_theme_gets_its_colours(tmp_path):
    child = Pty(
        "demo", "--nodes", "16", "--theme", "daylight", NO_COLOR="1", COLORTERM="truecolor",
        XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path),
    )  # fmt: skip
    try:
        child.read_until(b"GPUs")
    finally:
        child.close()
    ground = re.fullmatch(r"#(..)(..)(..)", themes()["daylight"].ground("text"))
    assert ground is not None
    code = ";".join(str(int(part, 16)) for part in ground.groups())
    assert f"48;2;{code}".encode() in child.out
