"""Keys that come close behind one another, as from a slow line: each does what it does before the next is looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import pytest
from textual import constants, events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Static

from console.app.confirm_dialog import ConfirmDialog
from console.config.keymap import KeyLine
from tests.support.operator import console
from widgets.prompt import Prompt
from widgets.terminal import input_queue
from widgets.terminal.input_queue import InputQueueApp
from widgets.terminal.quiet_app import QuietScreen
from widgets.textual_ext.key_parser import KeyParser


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

    def on_mouse_down(self) -> None:
        cast(_Typed, self.app).noted.append("click")

    def on_mouse_move(self, event: events.MouseMove) -> None:
        cast(_Typed, self.app).noted.append(f"move {event.x}")


class _Busy(Static, can_focus=True):
    """Takes its time with a key."""

    def __init__(self) -> None:
        super().__init__("busy")
        self.go_on = asyncio.Event()

    async def on_key(self) -> None:
        await self.go_on.wait()


class _Typed(InputQueueApp[None], App[None]):
    BINDINGS = [  # noqa: RUF012
        Binding("o", "open"), Binding("x", "note('first')"), Binding("l", "line"),
        Binding("ctrl+q", "leave", priority=True),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []
        self.left = False

    def compose(self) -> ComposeResult:
        yield _Gone("gone", id="gone")
        yield Prompt(id="prompt")

    def action_note(self, what: str) -> None:
        self.noted.append(what)

    def action_leave(self) -> None:
        self.left = True

    def action_open(self) -> None:
        self.push_screen(_Other())

    def action_line(self) -> None:
        self.query_one(Prompt).open(":")

    def on_prompt_submitted(self, event: Prompt.Submitted) -> None:
        self.noted.append(event.value)
        event.prompt.close()


class _Slow(_Typed):
    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield _Busy()


def _keys(app: App[None], *keys: str) -> None:
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


async def _done(pilot: Pilot[None]) -> None:
    await pilot.pause()
    while not cast(_Typed, pilot.app).input_settled:
        await pilot.pause()


async def test_a_burst_is_done_in_order() -> None:
    app = _Typed()
    async with app.run_test() as pilot:
        app.set_focus(None)
        _keys(app, "x", "l", *"abcdef", "enter", "x", "o", "x")
        await _done(pilot)
        assert app.noted == ["first", "abcdef", "first", "other"]


async def test_a_widget_that_goes_away_holds_no_key_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_queue, "TIMEOUT_S", 0.05)
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


@pytest.mark.parametrize(
    ("typed", "key"),
    [("2", "alt+2"), ("d", "alt+d"), ("D", "alt+D"), ("\r", "alt+enter"), (":", "alt+colon"), ("-", "alt+minus"),
     ("b", "ctrl+left"), ("\x7f", "ctrl+w"), ("[B", "down"), ("\x03", "ctrl+c"), ("[100;4u", "alt+D")],
)  # fmt: skip
def test_esc_and_a_character_in_one_piece_are_alt_and_that_key(typed: str, key: str) -> None:
    """Enter was left alone of Esc and Enter, and would have confirmed; `alt+2` of a configuration never came."""
    parser = KeyParser()
    found = [*parser.feed(f"\x1b{typed}"), *parser.tick()]
    if not found:
        time.sleep(constants.ESCAPE_DELAY)
        found = list(parser.tick())
    assert [event.key for event in found if isinstance(event, events.Key)] == [key]


@pytest.mark.parametrize("cut", range(1, 24))
def test_what_is_pasted_is_never_keys(cut: int) -> None:
    """Behind an Esc in it Textual made keys of it: `1` and Enter, which confirmed."""
    parser, sent = KeyParser(), "a\x1b[200~x\x1b\r1\r\x1b[31mred\x1b[201~b"
    found = [event for part in (sent[:cut], sent[cut:]) for event in parser.feed(part)]
    assert [event.key for event in found if isinstance(event, events.Key)] == ["a", "b"]
    assert [event.text for event in found if isinstance(event, events.Paste)] == ["x\r1\r[31mred"]


async def test_alt_is_a_key_where_somebody_bound_it() -> None:
    async with console(keys=[KeyLine("own.toml:1", "power", "alt+2")]) as op:
        op.app.post_message(events.Key("alt+2", None))
        await op.until(lambda: op.app.screen.crumb == "power", "the view of that key")


async def test_what_was_typed_before_a_dialog_could_be_read_stands_in_none_of_its_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a slow line it is shown long after it is there; each of its steps anew."""
    shown: list[Callable[[], None]] = []
    monkeypatch.setattr(QuietScreen, "call_when_shown", lambda _, call: shown.append(call))
    async with console() as op:
        await op.press("2")
        name = op.node("allocated")[-1]
        await op.select(name)
        await op.press("D")
        await op.until(lambda: isinstance(op.app.screen, ConfirmDialog) and shown, "the dialog")
        await op.burst("early")
        op.app.post_message(events.Paste("pasted"))
        await op.burst("\n")
        assert op.dialog._reason.value == "" and op.dialog.plan.missing_reason
        shown.pop()()
        await op.burst("fan failed\n1\n")
        assert not op.dialog.plan.missing_reason and op.dialog._count.value == "", "the count came before the question"
        shown.pop()()
        await op.burst("\n")
        assert isinstance(op.app.screen, ConfirmDialog), "Enter alone answers nothing"
        assert op.truth(name).display == "allocated"


async def test_a_click_waits_its_turn() -> None:
    app = _Typed()
    async with app.run_test() as pilot:
        app.set_focus(None)
        _keys(app, "x", "x")
        app.post_message(events.MouseDown(None, 1, 0, 0, 0, 1, False, False, False))
        _keys(app, "x")
        await _done(pilot)
        assert app.noted == ["first", "first", "click", "first"]


async def test_a_move_of_the_mouse_does_not_overtake_its_button() -> None:
    app = _Typed()
    async with app.run_test() as pilot:
        app.set_focus(None)
        _keys(app, "x")
        app.post_message(events.MouseDown(None, 1, 0, 0, 0, 1, False, False, False))
        for x in (2, 3):
            app.post_message(events.MouseMove(None, x, 0, 1, 0, 1, False, False, False))
        _keys(app, "x")
        await _done(pilot)
        assert app.noted == ["first", "click", "move 3", "first"]


async def test_what_was_clicked_on_the_bar_comes_before_what_was_typed_behind_it() -> None:
    async with console() as op:
        await op.press("2")
        at = op.app.screen.bar.region
        text = "".join(segment.text for segment in op.app.screen.bar.render_line(0))
        await op.pilot.click(offset=(at.x + text.index("filter"), at.y))
        await op.burst("gpu0004\n")
        assert op.list.filter_text == "gpu0004"


async def test_who_wants_out_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_queue, "TIMEOUT_S", 3600.0)
    app = _Slow()
    async with app.run_test() as pilot:
        busy = app.query_one(_Busy)
        busy.focus()
        await pilot.pause()
        _keys(app, "a", "x", "ctrl+q")
        while not app.left:
            await asyncio.sleep(0)
        assert app.noted == [], "x is still held up"
        busy.go_on.set()
        await _done(pilot)
        assert app.noted == ["first"]
