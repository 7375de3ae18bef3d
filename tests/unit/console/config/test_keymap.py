"""The keymap: sets that ship, single keys of the configuration, what is refused and told, and that the keys in force
are those that act, and those that are shown."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from textual.keys import _character_to_key

from console.actions.registry import ACTIONS, NAVIGATION
from console.app.confirm_dialog import ConfirmDialog
from console.cli.main import cli
from console.config.keymap import FIXED, MOVING, OWN, SETS, pressed, read_keys, shown, textual_key
from console.config.settings import load
from console.pages import oncall
from console.screens.job import JobScreen
from console.screens.node import NodeScreen
from tests.support.make import key_lines
from tests.support.operator import console
from tests.support.paths import DOCS

pytestmark = pytest.mark.slow

PAGE = (DOCS / "keys.md").read_text()


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_every_name_is_once():
    assert len(OWN) == len(ACTIONS) + len(NAVIGATION)


@pytest.mark.parametrize("base", SETS)
def test_a_set_gives_no_key_two_meanings_and_can_be_typed(base):
    keymap = read_keys(key_lines(base=base))
    assert keymap.messages == () and keymap.base == base
    owners: dict[str, str] = {}
    for name, keys in keymap.keys.items():
        assert keys or not OWN[name], f"{name} has no key"
        for key in keys:
            assert owners.setdefault(key, name) == name, f"{key} is {owners[key]} and {name}"
            assert key in FIXED or textual_key(shown(key)) == key
            assert pressed(shown(key)) == key
            assert keymap.turn(key) in OWN[name]


@pytest.mark.parametrize("base", SETS)
def test_no_action_of_a_set_is_where_one_moves(base):
    keymap = read_keys(key_lines(base=base))
    for action in ACTIONS:
        assert MOVING.isdisjoint(keymap.keys[action.id]) and FIXED.isdisjoint(keymap.keys[action.id])
    assert {"h", "j", "k", "l", "g", "G"} == MOVING


def test_by_default_nothing_is_turned():
    assert read_keys().turned == {}


def test_characters_are_named_as_textual_names_them():
    for code in range(33, 127):
        assert textual_key(chr(code)) == _character_to_key(chr(code))
    assert textual_key("é") == _character_to_key("é")


def test_a_single_key_takes_the_place_of_the_old_one():
    keymap = read_keys(key_lines(drain="ctrl+d", page_down=["ctrl+f", "!"], charts=""))
    assert keymap.messages == ()
    assert (keymap.turn("ctrl+d"), keymap.turn("d"), keymap.turn("ctrl+f"), keymap.turn("exclamation_mark")) == (
        "d", "", "pagedown", "pagedown",
    )  # fmt: skip
    assert keymap.turn("pagedown") == "pagedown" and keymap.turn("g") == ""
    assert (keymap.first("drain"), keymap.shown("page_down"), keymap.first("charts")) == ("Ctrl+D", "PgDn Ctrl+F !", "")
    assert keymap.instead("d") == "Ctrl+D" and keymap.instead("g") == "" and keymap.instead("Enter") == "Enter"


def test_two_keys_may_change_places():
    keymap = read_keys(key_lines(drain="x", ssh="d"))
    assert keymap.messages == () and (keymap.turn("x"), keymap.turn("d")) == ("d", "x")


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ({"cancle": "c"}, "no action and no way is called that; near it: cancel"),
        ({"base": "emacs"}, "allowed: default, vim, k9s"),
        ({"base": 5}, "allowed: default, vim, k9s"),
        ({"drain": 5}, "must be a key, or a list"),
        ({"drain": ["a", "b", "c", "e", "f"]}, "at most 4"),
        ({"drain": "ctrl+i"}, "a terminal sends ctrl+i as Tab"),
        ({"help": "Ctrl+M"}, "as Enter"),
        ({"help": "ctrl+["}, "as Esc"),
        ({"help": "ctrl+1"}, "not every terminal can send it"),
        ({"help": "ctrl+shift+d"}, "not every terminal can send it"),
        ({"help": "super+d"}, "not every terminal can send it"),
        ({"help": "f13"}, "is no key"),
        ({"help": "strange"}, "is no key"),
        ({"drain": "enter"}, "means the same under every set"),
        ({"drain": "Escape"}, "means the same under every set"),
        ({"drain": "space"}, "means the same under every set"),
        ({"drain": " "}, "means the same under every set"),
        ({"help": "ctrl+c"}, "means the same under every set"),
        ({"drain": "j"}, "moves the cursor in a set that ships"),
        ({"take": "G"}, "moves the cursor in a set that ships"),
        ({"drain": "y"}, "answers what an action asks"),
        ({"drain": "3"}, "answers what an action asks"),
        ({"drain": "x"}, "x is ssh"),
        ({"base": "vim", "drain": "ctrl+d"}, "Ctrl+D is page_down"),
        ({"cursor_down": "d"}, "d is drain"),
    ],
)
def test_what_cannot_be_is_told_with_its_line_and_left_out(named, why):
    keymap = read_keys(key_lines(**named))
    (told,) = keymap.messages
    last = list(named)[-1]
    assert told.startswith(f"own.toml:{len(named)}: keys.{last}: ") and why in told and "left out" in told
    good = {name: value for name, value in named.items() if name != last}
    assert keymap.keys == read_keys(key_lines(**good)).keys


def test_of_two_lines_the_later_is_left_out_and_the_rest_stands():
    keymap = read_keys(key_lines(ssh="f7", charts="f7", order="X"))
    assert len(keymap.messages) == 1 and "own.toml:2: keys.charts: F7 is ssh" in keymap.messages[0]
    assert (keymap.turn("f7"), keymap.turn("g"), keymap.turn("X")) == ("x", "g", "o")


def test_a_line_that_falls_takes_nothing_from_its_owner():
    """`d` would be free, had drain moved; as it cannot, the line that wanted `d` cannot either."""
    keymap = read_keys(key_lines(drain="j", ssh="d"))
    assert len(keymap.messages) == 2 and keymap.keys == read_keys().keys


def test_the_files_come_one_over_the_other(tmp_path):
    site, own = tmp_path / "site.toml", tmp_path / "own.toml"
    site.write_text('keys = "k9s"\n')
    own.write_text('# mine\n[keys]\ndrain = "D"\nhold = "ctrl+x"\n')
    for path in (site, own):
        path.chmod(0o600)
    keymap = read_keys(load(str(own), {}, site).keys)
    assert keymap.base == "k9s" and keymap.first("hold") == "Ctrl+X" and keymap.first("drain") == "c"
    assert keymap.messages == (f"{own}:3: keys.drain: D is down: give down another key as well; this line is left out",)


def test_wacht_keys_prints_those_in_force(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('[keys]\nbase = "vim"\ndrain = "ctrl+x"\nhold = "tab"\n')
    own.chmod(0o600)
    ran = CliRunner().invoke(cli, ["keys", "--config", str(own)], standalone_mode=False)
    assert "| `Ctrl+X` | `drain` | drain | node | a reason |" in ran.stdout and "| `H` | `hold` | hold |" in ran.stdout
    assert "| `PgDn Ctrl+F Ctrl+D` | a page down |" in ran.stdout
    assert f"{own}:4: keys.hold: tab: this key means the same under every set" in ran.stderr


# -- on the screen -----------------------------------------------------------------------------------------------------


async def test_vim_moves_and_turns_pages():
    async with console(keys=key_lines(base="vim"), nodes=256) as op:
        await op.press("2", "j", "j")
        table = op.list.table
        assert table.cursor_key == table.keys[2]
        await op.press("G")
        assert table.cursor_key == table.keys[-1]
        await op.press("g")
        assert table.cursor_key == table.keys[0]
        await op.press("ctrl+d")
        assert table.cursor_key == table.keys[table.page - 1]


async def test_k9s_describes_with_d_and_cordons_with_c():
    async with console(keys=key_lines(base="k9s"), read_only=False) as op:
        busy = op.node("allocated")[0]
        await op.press("2")
        await op.select(busy)
        op.sees("c drain", "Enter open")
        op.sees_not("d drain")
        await op.press("d")
        assert isinstance(op.app.screen, NodeScreen)
        await op.press("escape", "c")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the dialog of drain")
        assert op.dialog.plan.action.id == "drain"


async def test_k9s_has_the_log_on_l():
    async with console(keys=key_lines(base="k9s")) as op:
        await op.press("2", "l")
        op.sees("put the cursor on a job")
        await op.press("3")
        await op.select(next(iter(op.machine.queue.runs)))
        await op.press("l")
        await op.until(lambda: op.app.screen.crumb == "log", "the log")


@pytest.mark.slow
async def test_minus_goes_to_the_view_before_and_back_with_what_was_open_on_it():
    async with console() as op:
        await op.press("minus")
        op.sees("there is no view before this one")
        busy = op.node("allocated")[0]
        await op.command(f"node {busy}")
        await op.press("3")
        assert op.app.screen.crumb == "jobs"
        await op.press("minus")
        assert isinstance(op.app.screen, NodeScreen) and op.app.screen.key == busy
        await op.press("minus")
        assert op.app.screen.crumb == "jobs" and len(op.app.screen_stack) == 2
        await op.press("minus", "escape")
        assert op.app.screen.crumb == "overview"


@pytest.mark.parametrize(("base", "typed", "leaves"), [
    ("vim", "q", True), ("vim", "wq", True), ("vim", "q!", True), ("k9s", "q", True), ("default", "q", False),
])  # fmt: skip
async def test_colon_q_leaves_where_the_program_that_a_set_is_like_has_it(base, typed, leaves):
    async with console(keys=key_lines(base=base)) as op:
        gone = []
        op.app.leave = lambda: gone.append(True)
        await op.command(typed)
        assert bool(gone) is leaves
        assert leaves or op.app.screen.crumb == "jobs"


async def test_a_key_that_a_set_moved_away_does_nothing():
    async with console(keys=key_lines(base="k9s")) as op:
        await op.press("3", "K")
        await op.pilot.pause()
        assert op.app.screen is op.list
        await op.press("enter")
        assert isinstance(op.app.screen, JobScreen)


@pytest.mark.slow
async def test_a_line_takes_letters_whatever_the_keymap_says():
    async with console(keys=key_lines(base="k9s", refresh="n")) as op:
        await op.press("2")
        await op.burst("/draining")
        assert op.list.prompt.value == "draining"
        await op.press("escape")
        await op.filter("dckn")
        assert op.list.filter_text == "dckn"


async def test_a_click_in_the_bar_is_the_key_that_stands_there():
    async with console(keys=key_lines(drain="ctrl+x")) as op:
        await op.press("2")
        await op.select(op.node("allocated")[0])
        bar = op.list.bar
        x = next(x for x, key in bar.placed(bar.size.width) if key.label == "drain")
        await op.pilot.click(type(bar), offset=(x, 0))
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog), "the dialog of drain")


async def test_the_help_shows_the_keys_in_force_and_the_start_tells_what_was_left_out():
    async with console((120, 80), keys=key_lines(drain="ctrl+x", hold="j")) as op:
        op.sees("own.toml:2: keys.hold: j moves the cursor")
        await op.press("2", "question_mark")
        op.sees("Ctrl+X", "drain")


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_has_the_sets():
    assert oncall.key_sets() in PAGE, "write it: console.pages.oncall.key_sets()"


def test_the_page_says_what_the_rules_are():
    text = " ".join(PAGE.split())
    assert " ".join(f"`{key}`" for key in "hjklgG") in text and set("hjklgG") == MOVING
    for base, changes in SETS.items():
        for name in changes:
            assert re.search(rf"^\| `{name}` \|", PAGE, re.M), (base, name)


@pytest.mark.parametrize("example", re.findall(r"^```toml\n(.*?)^```$", PAGE, re.S | re.M))
def test_the_examples_are_configurations(example, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(example)
    own.chmod(0o600)
    keymap = read_keys(load(str(own), {}, tmp_path / "none").keys)
    assert keymap.messages == () and keymap.base != "default"
