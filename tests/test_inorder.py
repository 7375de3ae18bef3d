"""Keys that come close behind one another, as from a slow line: each does what it does before the next is looked at."""

from __future__ import annotations

import importlib
import time
from typing import cast

import pytest
from textual import constants, events
from textual._xterm_parser import XTermParser
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Static

from console.keymap import KeyLine
from tests.operator import console
from widgets import inorder
from widgets.inorder import InOrder
from widgets.prompt import Prompt


async def test_what_is_typed_behind_enter_is_no_part_of_the_line() -> None:
    """It was: sent was `power6` (seen under load, one time in a hundred)."""
    async with console() as op:
        await op.burst(":power\n6")
        op.sees_not("no command")
        assert not op.app.screen.prompt.is_open
        assert op.app.screen.crumb == "alerts", "what 6 opens"
        await op.burst(":nodes\n:power\n")
        assert op.app.screen.crumb == "power"


async def test_the_key_behind_another_screen_is_that_screens() -> None:
    async with console() as op:
        await op.burst("2/gpu0004\n")
        op.sees("/ gpu0004")
        assert op.list.filter_text == "gpu0004"


class _Other(Screen[None]):
    BINDINGS = [Binding("x", "app.note('other')")]  # noqa: RUF012


class _Gone(Static, can_focus=True):
    """Takes itself away at a key, with what it has not read."""

    async def on_key(self) -> None:
        self.remove()


class _Typed(InOrder[None], App[None]):
    BINDINGS = [Binding("o", "open"), Binding("x", "note('first')"), Binding("l", "line")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def compose(self) -> ComposeResult:
        yield _Gone("gone", id="gone")
        yield Prompt(id="prompt")

    def action_note(self, what: str) -> None:
        self.noted.append(what)

    def action_open(self) -> None:
        self.push_screen(_Other())

    def action_line(self) -> None:
        self.query_one(Prompt).open(":")

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        self.noted.append(event.value)
        event.prompt.close()


def _keys(app: App[None], *keys: str) -> None:
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def _done(pilot: Pilot[None]) -> None:
    await pilot.pause()
    while not cast(_Typed, pilot.app).all_done:
        await pilot.pause()


async def test_a_burst_is_done_in_order() -> None:
    app = _Typed()
    async with app.run_test() as pilot:
        app.set_focus(None)
        _keys(app, "x", "l", *"abcdef", "enter", "x", "o", "x")
        await _done(pilot)
        assert app.noted == ["first", "abcdef", "first", "other"]


async def test_a_widget_that_goes_away_holds_no_key_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inorder, "PATIENCE_S", 0.05)
    app = _Typed()
    async with app.run_test() as pilot:
        gone = app.query_one("#gone")
        gone.focus()
        await pilot.pause()
        _keys(app, "a", "x")
        await _done(pilot)
        assert not gone.is_attached
        assert app.noted == ["first"]


async def test_a_paste_waits_its_turn() -> None:
    app = _Typed()
    async with app.run_test() as pilot:
        app.set_focus(None)
        _keys(app, "l")
        app.post_message(events.Paste("pasted"))
        _keys(app, "z")
        await _done(pilot)
        assert app.query_one(Input).value == "pastedz"


async def test_esc_and_a_key_in_one_piece_are_no_alt() -> None:
    """A slow line brings them together."""
    async with console() as op:
        await op.burst(":nonsense")
        op.app.post_message(events.Key("alt+2", None))
        await op.until(lambda: op.app.screen.crumb == "nodes", "the view behind Esc")
        assert not op.list.prompt.is_open


def test_alt_and_a_digit_are_read_as_that() -> None:
    """Textual read them as what a Mac types, so that `alt+2` of a configuration never came."""
    importlib.import_module("widgets.driver")
    parser = XTermParser()
    assert [event.key for event in (*parser.feed("\x1b2"), *parser.tick())] == []
    time.sleep(constants.ESCAPE_DELAY)
    assert [event.key for event in parser.tick()] == ["alt+2"]


async def test_alt_is_a_key_where_somebody_bound_it() -> None:
    async with console(keys=[KeyLine("own.toml:1", "power", "alt+2")]) as op:
        op.app.post_message(events.Key("alt+2", None))
        await op.until(lambda: op.app.screen.crumb == "power", "the view of that key")
