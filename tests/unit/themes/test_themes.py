"""Every theme defines every role, readably; a broken one is left out; listing them stays cheap."""

from __future__ import annotations

import colorsys
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.cells import cell_len
from rich.style import Style
from textual.app import App

import themes
from collectors.nodestate import DISPLAYS
from tests.support.paths import ROOT
from themes.colour_difference import contrast
from themes.roles import ALARM_ROLES, HEAT, JOB_LOOK, ROLES, STATE_LOOK, job_look, state_look
from themes.theme_spec import Colours, ThemeSpec, paint
from widgets.map_measures import cell_of_state
from widgets.role_styles import RoleStyles, role_styles

LOOKS = list(themes.themes().values())


def test_all_themes_are_found_the_default_first() -> None:
    assert next(iter(themes.themes())) == themes.DEFAULT == "groningen"
    names = {"groningen", "daylight", "high-contrast", "colour-blind", "monochrome", "16-colour"}
    assert {look.name for look in LOOKS} == names
    assert [look.name for look in LOOKS if not look.dark] == ["daylight"]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_theme_defines_every_role_and_no_other(look: ThemeSpec) -> None:
    assert set(look.roles) == set(ROLES)
    if look.colours == "all":
        assert len({look.roles[step] for step in HEAT}) == len(HEAT) == 10


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_no_two_states_look_the_same_on_the_map_or_in_a_table(look: ThemeSpec) -> None:
    for glyphs in (STATE_LOOK, {word: cell_of_state(word) for word in STATE_LOOK}):
        assert len({(glyph, look.paint(role).attributes) for glyph, role in glyphs.values()}) == len(glyphs)


def test_without_colours_what_is_loud_what_is_wrong_and_what_is_quiet_have_attributes_of_their_own() -> None:
    roles = themes.themes()["monochrome"].roles
    assert len({roles[role] for role in ("state-draining", "state-drained", "state-down")}) == 3
    assert {"reverse"} <= {*roles["chip-fault"].split()} & {*roles["cursor"].split()} & {*roles["mode-demo"].split()}
    needs = {roles[role] for role in ("state-draining", "state-drained", "state-down", "state-unknown", "warn", "bad")}
    works = {roles[role] for role in ("state-idle", "state-allocated", "state-mixed", "state-completing", "good")}
    assert not needs & works
    assert (
        len({roles[role] for role in ("good", "warn", "bad")}) == len({roles[r] for r in ("chip-ok", "chip-stale")}) + 1
    )


def test_half_a_theme_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks text"):
        ThemeSpec(name="half", says="", roles={})


@pytest.mark.parametrize(
    ("style", "colours", "told"),
    [
        ("bold red", "all", "a colour is #rrggbb"),
        ("#ff00", "all", "a colour is #rrggbb"),
        ("#ffffff #000000", "all", "is no style"),
        ("on", "all", "is no style"),
        ("", "all", "is no style"),
        ("blink #ffffff", "all", "bold dim italic underline reverse"),
        ("link https://x.example #ffffff", "all", "is no style"),
        ("#ffffff", "16", "bright_white"),
        ("red", "none", "the one colour is default"),
    ],
)
def test_a_style_that_means_nothing_is_refused(style: str, colours: Colours, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        paint(style, colours)
    roles = dict(themes.themes()["groningen" if colours == "all" else "monochrome"].roles)
    with pytest.raises(ValueError, match=f"^warn: .*{told}"):
        ThemeSpec(name="x", says="", roles={**roles, "warn": style}, colours=colours)


def test_a_ground_that_is_needed_is_asked_for() -> None:
    with pytest.raises(ValueError, match="cursor: needs both its ink and its ground"):
        replace(themes.themes()["daylight"], roles={**themes.themes()["daylight"].roles, "cursor": "bold #101010"})


def test_a_broken_theme_warns_and_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("LOOK = 1 / 0\n")
    (tmp_path / "half.py").write_text(
        "from themes.theme_spec import Look\nLOOK = Look(name='half', says='', roles={'text': '#000000'})\n"
    )
    monkeypatch.setattr(themes, "__path__", [*themes.__path__, str(tmp_path)])
    themes.themes.cache_clear()
    try:
        with pytest.warns(UserWarning, match="left out") as told:
            found = themes.themes()
    finally:
        themes.themes.cache_clear()
    assert list(found) == [look.name for look in LOOKS]
    assert {str(warning.message).split()[1] for warning in told} == {"broken", "half"}


def test_every_state_has_a_glyph_of_one_cell_that_no_other_has() -> None:
    assert set(STATE_LOOK) == set(DISPLAYS)
    glyphs = [glyph for glyph, _ in STATE_LOOK.values()]
    assert len(set(glyphs)) == len(glyphs)
    for glyph, role in [*STATE_LOOK.values(), *JOB_LOOK.values(), state_look("new word"), job_look("NEW")]:
        assert len(glyph) == cell_len(glyph) == 1
        assert role in ROLES


def test_listing_the_themes_does_not_import_textual() -> None:
    code = "import sys, themes; assert len(themes.themes()) == 6; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_no_colour_stands_outside_the_themes() -> None:
    for path in (ROOT / "widgets").glob("*.py"):
        assert not re.search(r"#[0-9a-fA-F]{6}\b|rgb\(", path.read_text()), path


async def test_the_app_gets_them_and_ink_follows_a_switch() -> None:
    class Plain(App[None]):
        def on_mount(self) -> None:
            themes.register(self, "daylight")

    app = Plain()
    async with app.run_test() as pilot:
        await pilot.pause()
        first = role_styles(app.screen)
        assert first("state-down") == first.text + Style.parse(themes.themes()["daylight"].roles["state-down"])
        assert first("state-down") is first("state-down") and role_styles(app.screen) is first
        cursor = Style.parse(themes.themes()["daylight"].roles["cursor"])
        assert first("state-down", on="cursor").bgcolor == cursor.bgcolor
        app.theme = "groningen"
        await pilot.pause()
        assert role_styles(app.screen)("text") == Style.parse(themes.themes()["groningen"].roles["text"])
        for name in ("nord", "ansi-dark"):  # not ours: plain, but it must not fail
            app.theme = name
            await pilot.pause()
            assert role_styles(app.screen)("state-down") == role_styles(app.screen)("text")


async def test_an_unknown_theme_gets_the_default() -> None:
    class Plain(App[None]):
        def on_mount(self) -> None:
            themes.register(self, "no such")

    app = Plain()
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.theme == "groningen"


@pytest.mark.parametrize("name", ["monochrome", "16-colour", "high-contrast"])
def test_a_cursor_that_is_turned_round_takes_the_colours_off_its_words(name: str) -> None:
    look = themes.themes()[name]
    found = RoleStyles(dict(look.roles), "#ffffff", "#000000")
    plain = found("text", on="cursor")
    for role in ("state-down", "state-drained", "text-dim", "warn"):
        style = found(role, on="cursor")
        assert (style.color, style.bgcolor) == (plain.color, plain.bgcolor)
        assert style.reverse and not style.dim


@pytest.mark.parametrize(
    ("environ", "colours", "name"),
    [
        ({}, "truecolor", "groningen"),
        ({}, "256", "groningen"),
        ({}, "standard", "16-colour"),
        ({}, None, "16-colour"),
        ({"NO_COLOR": "1"}, "truecolor", "monochrome"),
        ({"NO_COLOR": "0"}, "standard", "monochrome"),
        ({"NO_COLOR": ""}, "truecolor", "groningen"),
    ],
)
def test_the_theme_that_fits_the_terminal(environ: dict[str, str], colours: str | None, name: str) -> None:
    assert themes.default_theme(environ, colours) == name


#: Hues, in degrees, from red over orange to yellow, and the saturation from which a colour has a hue that is seen.
RED_TO_AMBER, SEEN = (330.0, 70.0), 0.25
WARM_NAMES = {"red", "bright_red", "yellow", "bright_yellow"}


def hue_of(colour: str) -> tuple[float, float]:
    """Hue in degrees and saturation of `#rrggbb`."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    return hue * 360, saturation


def is_warm(colour: str | None) -> bool:
    """Whether a colour is red or amber."""
    if colour is None or not colour.startswith("#"):
        return colour in WARM_NAMES
    hue, saturation = hue_of(colour)
    return saturation >= SEEN and (hue >= RED_TO_AMBER[0] or hue <= RED_TO_AMBER[1])


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_red_and_amber_are_for_faults_and_limits(look: ThemeSpec) -> None:
    assert set(ALARM_ROLES) <= set(ROLES)
    for role in set(ROLES) - set(ALARM_ROLES):
        painted = look.paint(role)
        assert not is_warm(painted.ink) and not is_warm(painted.ground), role


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_load_has_one_hue_from_dim_to_bright(look: ThemeSpec) -> None:
    steps = [look.paint(role) for role in HEAT]
    if look.colours == "all":
        hues = [hue_of(look.ink(role))[0] for role in HEAT]
        assert max(hues) - min(hues) <= 12, hues
        ratios = [contrast(look.ink(role), look.ground("text")) for role in HEAT]
        assert all(one < other for one, other in pairwise(ratios))
        return
    assert {(step.ink or "default").removeprefix("bright_") for step in steps} in ({"cyan"}, {"default"})
    assert all(set(step.attributes) <= {"dim", "bold"} and step.ground is None for step in steps)
    strength = [
        ("dim" not in one.attributes) + ("bright" in (one.ink or "")) + ("bold" in one.attributes) for one in steps
    ]
    assert strength == sorted(strength) and strength[0] < strength[-1]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_fault_on_the_map_is_filled_and_a_healthy_node_is_quiet(look: ThemeSpec) -> None:
    for role in ("map-bad", "map-warn"):
        found = look.paint(role)
        assert found.ground is not None or "reverse" in found.attributes
    assert look.paint("map-bad") != look.paint("map-warn") != look.paint("map-cursor") != look.paint("map-bad")
    quiet = look.paint("map-healthy")
    assert quiet.ground is None
    if look.colours != "all":
        assert "dim" in quiet.attributes
        return
    page = look.ground("text")
    shown = contrast(look.ink("map-healthy"), page)
    assert 1.5 <= shown <= 4.0
    assert all(contrast(look.ground(role), page) > 1.3 * shown for role in ("map-bad", "map-warn"))
