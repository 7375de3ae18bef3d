"""A theme as a file: its roles over a theme that ships, with the trust of the configuration; mistakes are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.style import Style

from console.config.theme_files import LEAST_CONTRAST, ThemeChoice, folders, read_themes
from tests.support.operator import console
from tests.support.paths import DOCS
from themes import themes
from widgets.role_styles import role_styles

PAGE = (DOCS / "themes.md").read_text()


class Room:
    """A folder of the site, one of the user, and what comes of reading both."""

    def __init__(self, path: Path) -> None:
        self.site, self.own = path / "site", path / "own"
        for folder in (self.site, self.own):
            folder.mkdir(mode=0o755)

    def write(self, text: str, name: str = "ours", folder: Path | None = None, mode: int = 0o644) -> Path:
        path = (folder or self.own) / f"{name}.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    def read(self, wanted: str | None = "ours") -> ThemeChoice:
        return read_themes(wanted, {}, "truecolor", (self.site, self.own))


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path)


def test_a_file_lays_its_roles_over_its_base(room):
    room.write('base = "daylight"\nsays = "for \\u001b[31mus"\n[roles]\nstate-down = "bold #101010 on #ff8080"\n')
    found = room.read()
    look, base = found.known["ours"], themes()["daylight"]
    assert (found.first, found.message) == ("ours", "")
    assert look.roles == {**base.roles, "state-down": "bold #101010 on #ff8080"}
    assert not look.dark and "\x1b" not in look.says
    assert list(found.known) == [*themes(), "ours"]


def test_without_a_base_it_is_the_default(room):
    room.write('[roles]\nwarn = "#ffffff"\n')
    assert room.read().known["ours"].roles == {**themes()["groningen"].roles, "warn": "#ffffff"}


def test_ones_own_wins_over_the_sites(room):
    room.write('[roles]\nwarn = "#ffffff"\n', folder=room.site)
    assert room.read().known["ours"].roles["warn"] == "#ffffff"
    room.write('[roles]\nwarn = "#eeeeee"\n')
    assert room.read().known["ours"].roles["warn"] == "#eeeeee"
    room.write('[roles]\nwarn = "eeeeee"\n')
    found = room.read()  # a mistake in one's own does not take the site's away, but is told
    assert (
        found.first == "ours" and found.known["ours"].roles["warn"] == "#ffffff" and "own/ours.toml:2" in found.message
    )


def test_any_file_may_be_named(room, tmp_path):
    path = room.write('[roles]\nwarn = "#ffffff"\n', "far", tmp_path)
    assert room.read(str(path)).first == "far"
    assert "No such file" in room.read(str(tmp_path / "gone.toml")).message
    assert room.read(None).first == "groningen" and "far" not in room.read(None).known


WRONG = {
    'base = "nord"\n': "ours.toml:1: base: is 'nord'; allowed: groningen, ",
    "base = [1]\n": "ours.toml:1: base: is [1]; allowed: groningen, ",
    'bse = "daylight"\n': "ours.toml:1: bse: unknown key; allowed: base, says, roles",
    'warn = "#ffffff"\n': "ours.toml:1: warn: unknown key; allowed: base, says, roles; it belongs under [roles]",
    "says = 1\n": "ours.toml:1: says: must be a text, is int",
    "roles = 1\n": "ours.toml:1: roles: must be a table, as in [roles]",
    '[roles]\n\nstate-dwon = "#ffffff"\n': "ours.toml:3: roles.state-dwon: no such role; near it: state-down, ",
    '[roles]\nwarn = "#fffff"\n': "ours.toml:2: roles.warn: '#fffff' is no style: it is bold dim italic underline",
    '[roles]\nwarn = "red"\n': "a colour is #rrggbb",
    "[roles]\nwarn = 1\n": 'ours.toml:2: roles.warn: must be a text, as in "#e8bd62"',
    '[roles]\ncursor = "bold #ffffff"\n': "ours.toml:2: roles.cursor: needs both its ink and its ground",
    'base = "16-colour"\n[roles]\nwarn = "#ffffff"\n': "a colour is one of default, black, red",
    'base = "monochrome"\n[roles]\nwarn = "red"\n': "the one colour is default",
    "base = \n": "ours.toml: Invalid value",
    '[roles]\n"\\u001b[31m" = "#ffffff"\n': "[31m: no such role; near it: text, ",
}


@pytest.mark.parametrize(("text", "told"), WRONG.items(), ids=list(WRONG.values()))
def test_a_mistake_is_told_and_the_base_is_put_on(room, text, told):
    room.write(text)
    found = room.read()
    base = re.match(r'base = "(16-colour|monochrome)"', text)
    assert told in found.message and "ours" not in found.known and "\x1b" not in found.message
    assert found.first == (base[1] if base else "groningen")
    assert found.message.endswith(f"; this is {found.first}")
    assert told in (found.theme_fault("ours") or "")
    other = room.read("daylight")  # who wants another one is not bothered, but told where it is asked for
    assert (other.first, other.message) == ("daylight", "") and told in (other.theme_fault("ours") or "")


def test_who_else_can_write_it_is_not_believed(room):
    room.write('[roles]\nwarn = "#ffffff"\n', mode=0o666)
    found = room.read()
    assert found.first == "groningen" and "others can write it" in found.message and "chmod go-w" in found.message


def test_the_names_of_the_themes_that_ship_are_taken(room):
    room.write('[roles]\nwarn = "#ffffff"\n', "daylight")
    found = room.read("daylight")
    assert found.known["daylight"] == themes()["daylight"] and found.first == "daylight"
    assert "a theme that ships is called daylight; give the file another name" in found.message


def test_a_strange_name_is_refused(room):
    room.write('[roles]\nwarn = "#ffffff"\n', "ours two")
    assert "give it another name" in (room.read(None).theme_fault("ours two") or "")


def test_a_theme_that_is_not_there(room):
    found = room.read("nosuch\x1b[31m")
    assert found.first == "groningen" and found.message.startswith("no theme nosuch") and "\x1b" not in found.message
    assert "daylight" in found.message and found.message.endswith("this is groningen")


def test_words_that_can_hardly_be_read_are_told(room):
    room.write('[roles]\ntext-dim = "#30363c"\nstate-idle = "#202020"\n')
    found = room.read()
    assert (
        found.first == "ours" and "hardly to be read: text-dim 1." in found.message and "state-idle 1." in found.message
    )
    assert f"{LEAST_CONTRAST:g}:1" in found.message
    assert found.theme_fault("ours") is None


def test_where_they_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert folders() == (Path("/etc/wacht/themes"), tmp_path / "wacht/themes")
    for folder in folders():
        assert str(folder).replace(str(tmp_path), "~/.config") + "/NAME.toml" in PAGE


def test_the_example_of_the_page_is_a_theme(room):
    (example,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.S | re.M)
    room.write(example)
    assert (room.read().first, room.read().message) == ("ours", "")


@pytest.fixture
def own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "wacht/themes"
    folder.mkdir(parents=True, mode=0o755)
    return folder


@pytest.mark.slow
async def test_the_console_wears_it(own):
    (own / "ours-worn.toml").write_text('base = "daylight"\n[roles]\nstate-down = "bold #123456"\n')
    async with console((80, 24), theme="ours-worn") as op:
        assert op.app.theme == "ours-worn"
        assert role_styles(op.app.screen)("state-down").color == Style.parse("#123456").color
        await op.command("theme daylight")
        assert op.app.theme == "daylight"
        await op.command("theme ours-worn")
        assert op.app.theme == "ours-worn"


@pytest.mark.slow
async def test_the_console_starts_all_the_same(own):
    (own / "ours-broken.toml").write_text('base = "daylight"\n[roles]\nstate-dwon = "#123456"\n')
    async with console((120, 30), theme="ours-broken") as op:
        assert op.app.theme == "daylight"
        await op.comes("no such role")
        await op.command("theme ours-broken")
        assert op.app.theme == "daylight"
        op.sees("roles.state-dwon")
