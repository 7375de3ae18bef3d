"""What is measured of the themes, as docs/themes.md says it: words can be read, states told apart without a cone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from rich.color import Color

import themes
from console.pages import oncall
from tests.support.paths import DOCS
from themes.colour_difference import VISIONS, ciede2000, contrast, difference
from themes.roles import HEAT, STATE_ROLES, TEXT_ROLES
from themes.theme_spec import ThemeSpec

#: Least contrast of words, of states and figures, and of both under the cursor; least difference of two states for
#: normal eyes, protanopia and deuteranopia, and for tritanopia. 4.5:1 is WCAG AA for text, 7:1 AAA, 3:1 for any sign.
LEAST = {
    "groningen": (4.5, 4.5, 3.0, 7.5, 4.5),
    "daylight": (4.5, 4.5, 3.0, 6.5, 3.5),
    "colour-blind": (4.5, 4.5, 3.0, 10.0, 7.5),
    "high-contrast": (7.0, 7.0, 7.0, 8.0, 7.5),
}
LOOKS = [look for look in themes.themes().values() if look.colours == "all"]
PAGE = (DOCS / "themes.md").read_text()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # Pairs of Sharma, Wu and Dalal (2005), table 1.
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
        ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_is_that_of_its_authors(one, other, expected):
    assert ciede2000(one, other) == pytest.approx(expected, abs=5e-5)
    assert ciede2000(other, one) == pytest.approx(expected, abs=5e-5)


def test_contrast_is_that_of_wcag():
    assert contrast("#ffffff", "#000000") == contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the grey that just fails AA


def test_the_simulations_lose_what_such_eyes_lose():
    red, green, blue, yellow = "#c04040", "#6a6a00", "#4060ff", "#ffff00"
    for vision in ("protanopia", "deuteranopia"):
        assert difference(red, green, vision) < difference(red, green) / 2
        assert difference(blue, yellow, vision) > 50
    assert difference("#00b0b0", "#40a8ff", "tritanopia") < difference("#00b0b0", "#40a8ff") / 2
    for vision, rows in VISIONS.items():  # white and greys stay what they are
        assert [sum(row) for row in rows] == pytest.approx([1, 1, 1], abs=1e-5), vision


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_words_can_be_read_and_states_told_apart(look: ThemeSpec):
    words, states, cursor, apart, tritan = LEAST[look.name]
    found = oncall.measured(look)
    assert found.words >= words
    assert found.states >= states
    assert found.cursor >= cursor
    for vision, least in found.apart.items():
        assert least >= (tritan if vision == "tritanopia" else apart), vision


@pytest.mark.parametrize("vision", VISIONS)
def test_heat_that_all_eyes_can_follow_only_ever_becomes_lighter(vision):
    look = themes.themes()["colour-blind"]
    ratios = [contrast(look.ink(step), look.ground("text")) for step in HEAT]
    assert all(one < other for one, other in pairwise(ratios))
    assert difference(look.ink(HEAT[0]), look.ink(HEAT[-1]), vision) > 30


#: What the sixteen colours are in xterm and on the console of Linux, as they come, without the two greys of white.
PALETTES = {
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff"
    " ffffff",
    "linux": "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa 555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff"
    " ffffff",
}


@pytest.mark.parametrize("palette", PALETTES)
def test_the_terminals_own_colours_can_be_read_on_black(palette):
    known = [f"#{one}" for one in PALETTES[palette].split()]
    look = themes.themes()["16-colour"]
    for role in (*TEXT_ROLES, *STATE_ROLES, *HEAT):
        ink, ground = (
            known[7 if front else 0] if name == "default" else known[Color.parse(name).number or 0]
            for name, front in ((look.ink(role), True), (look.ground(role), False))
        )
        assert contrast(ink, ground) >= 3, role


def test_the_page_says_what_is_measured():
    assert oncall.themes(themes.themes().values()) in PAGE, (
        "write it: console.pages.oncall.themes(themes.themes().values())"
    )
    assert oncall.roles() in PAGE, "write it: console.pages.oncall.roles()"
    assert len(PAGE.splitlines()) <= 80
