"""Every theme defines every role, readably; a broken one is left out; listing them stays cheap."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.style import Style
from textual.app import App

import themes
from collectors.nodestate import DISPLAYS
from themes.look import Look
from themes.roles import HEAT, JOB_LOOK, ROLES, STATE_LOOK, STATE_ROLES, TEXT_ROLES, job_look, state_look
from widgets.ink import ink

ROOT = Path(__file__).parent.parent
LOOKS = list(themes.themes().values())


def luminance(colour: tuple[int, int, int]) -> float:
    parts = [c / 255 for c in colour]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(look: Look, role: str, ground: str = "text") -> float:
    own, under = Style.parse(look.roles[role]), Style.parse(look.roles[ground])
    assert own.color is not None and under.bgcolor is not None
    front = luminance(own.color.get_truecolor())
    back = luminance((own.bgcolor if own.bgcolor and ground == "text" else under.bgcolor).get_truecolor())
    return (max(front, back) + 0.05) / (min(front, back) + 0.05)


def test_both_themes_are_found_the_default_first() -> None:
    assert next(iter(themes.themes())) == themes.DEFAULT == "groningen"
    assert {look.name: look.dark for look in LOOKS} == {"groningen": True, "daylight": False}


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_a_theme_defines_every_role_and_no_other(look: Look) -> None:
    assert set(look.roles) == set(ROLES)
    assert len(set(HEAT)) == len({look.roles[step] for step in HEAT}) == 10


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_words_can_be_read_and_signs_be_seen(look: Look) -> None:
    for role in TEXT_ROLES:
        assert contrast(look, role) >= 4.5, role
    for role in STATE_ROLES:
        assert contrast(look, role) >= 3, role
    # The same words stand under the cursor too, and in the bars.
    for role in ("text", "text-dim", "text-strong", "accent", "mark", "pending", "warn", "bad", *STATE_ROLES):
        assert contrast(look, role, "cursor") >= 3, role
    for role in ("good", "warn", "bad"):
        assert contrast(look, role, "bar") >= 3, role


def test_half_a_theme_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks text"):
        Look(name="half", dark=True, base={}, roles={})


def test_a_broken_theme_warns_and_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("LOOK = 1 / 0\n")
    (tmp_path / "half.py").write_text(
        "from themes.look import Look\nLOOK = Look(name='half', dark=True, base={}, roles={'text': '#000000'})\n"
    )
    monkeypatch.setattr(themes, "__path__", [*themes.__path__, str(tmp_path)])
    themes.themes.cache_clear()
    try:
        with pytest.warns(UserWarning, match="left out") as told:
            found = themes.themes()
    finally:
        themes.themes.cache_clear()
    assert list(found) == ["groningen", "daylight"]
    assert {str(warning.message).split()[1] for warning in told} == {"broken", "half"}


def test_every_state_has_a_glyph_of_one_cell_that_no_other_has() -> None:
    assert set(STATE_LOOK) == set(DISPLAYS)
    glyphs = [glyph for glyph, _ in STATE_LOOK.values()]
    assert len(set(glyphs)) == len(glyphs)
    for glyph, role in [*STATE_LOOK.values(), *JOB_LOOK.values(), state_look("new word"), job_look("NEW")]:
        assert len(glyph) == cell_len(glyph) == 1
        assert role in ROLES


def test_listing_the_themes_does_not_import_textual() -> None:
    code = "import sys, themes; assert len(themes.themes()) == 2; sys.exit('textual' in sys.modules)"
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
        first = ink(app.screen)
        assert first("state-down") == first.text + Style.parse(themes.themes()["daylight"].roles["state-down"])
        assert first("state-down") is first("state-down") and ink(app.screen) is first
        cursor = Style.parse(themes.themes()["daylight"].roles["cursor"])
        assert first("state-down", on="cursor").bgcolor == cursor.bgcolor
        app.theme = "groningen"
        await pilot.pause()
        assert ink(app.screen)("text") == Style.parse(themes.themes()["groningen"].roles["text"])
        app.theme = "nord"  # not ours: plain, but it must not fail
        await pilot.pause()
        assert ink(app.screen)("state-down") == ink(app.screen)("text")


async def test_an_unknown_theme_gets_the_default() -> None:
    class Plain(App[None]):
        def on_mount(self) -> None:
            themes.register(self, "no such")

    app = Plain()
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.theme == "groningen"
