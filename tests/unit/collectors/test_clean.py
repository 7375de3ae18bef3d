"""The edge: nothing that steers a terminal or hides from the eye gets in, and what is harmless stays as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.clean import clean, decode, hostile

#: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), written out by hand from the standard.
IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
    (0xFFF9, 0xFFFB), (0xFFFE, 0xFFFF),  # and interlinear annotation, and what is no character
    (0x13430, 0x1343F), (0x1F1E6, 0x1F1FF), (0x1F3FB, 0x1F3FF),  # joiners of hieroglyphs, letters of flags, skin tones
)  # fmt: skip
STEERING = {"Cc", "Cs", "Zl", "Zp"}
ANYTHING = st.text(st.characters())  # lone surrogates too


def steers(char: str) -> bool:
    code = ord(char)
    return unicodedata.category(char) in STEERING or any(first <= code <= last for first, last in IGNORABLE)


@pytest.mark.slow
def test_every_character_that_steers_or_hides_becomes_visible():
    for code in range(0x110000):
        char = chr(code)
        shown = clean(char)
        assert shown.isprintable() or not steers(char), hex(code)
        if steers(char):
            assert shown.startswith("\\") and shown.isascii(), hex(code)
        else:
            assert shown == char, hex(code)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b]52;c;ZXZpbA==\x07", "\\e]52;c;ZXZpbA==\\x07"),
        ("a\nb\r\tc\0", "a\\nb\\r\\tc\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\udcff"),
        ("[bold]x[/] [@click=app.quit]y[/]", "[bold]x[/] [@click=app.quit]y[/]"),
        ("训练🚀 モデル é ✓", "训练🚀 モデル é ✓"),
        ("", ""),
    ],
)
def test_shows_what_was_there(raw, shown):
    assert clean(raw) == shown
    assert hostile(raw) == (raw != shown)


@given(ANYTHING)
def test_nothing_that_steers_survives(text):
    assert not [char for char in clean(text) if steers(char)]


@given(ANYTHING)
def test_a_second_pass_changes_nothing(text):
    once = clean(text)
    assert clean(once) == once and not hostile(once)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_is_the_same_object(text):
    assert clean(text) is text


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_categories=["Cc", "Cf"])), ANYTHING)
def test_what_stands_beside_hostile_text_is_untouched(text, other):
    assert clean(f"{text}\x1b{other}").startswith(f"{text}\\e")


def test_a_flood_of_marks_ends_at_three():
    assert clean("e\u0301") == "e\u0301"
    assert clean("e" + "\u0301" * 3) == "e" + "\u0301" * 3
    assert clean("e" + "\u0301" * 500 + "x" + "\u0336" * 4) == "e" + "\u0301" * 3 + "…x" + "\u0336" * 3 + "…"


@given(st.binary())
def test_any_bytes_decode_and_clean(raw):
    text = decode(raw)
    assert text.encode("utf-8", "surrogateescape") == raw
    assert not [char for char in clean(text) if steers(char)]


def test_bytes_that_are_no_text_are_shown():
    assert clean(decode(b"latin\xe9\xff")) == "latin\\udce9\\udcff"
    assert decode("é".encode()) == "é"


def test_a_flood_of_marks_ends_in_every_script():
    for code in range(0x300, 0x110000):
        char = chr(code)
        if unicodedata.category(char) in {"Mn", "Me", "Mc"} or 0x1161 <= code <= 0x11FF:
            shown = clean("e" + char * 500)
            assert len(shown) <= 8 or shown.isascii(), hex(code)
    assert clean("\u0e01" + "\u0e49\u0e47\u0336" * 200) == "\u0e01" + "\u0e49\u0e47\u0336" * 2 + "…"
    assert clean("ကြိုးစား") == "ကြိုးစား"  # Burmese stacks four


def test_what_a_terminal_draws_wider_than_it_is_counted_is_shown():
    assert clean("👍\U0001f3fd") == "👍\\U0001f3fd"
    assert clean("\U0001f1f3\U0001f1f1") == "\\U0001f1f3\\U0001f1f1"
