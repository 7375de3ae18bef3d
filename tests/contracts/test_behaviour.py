"""What makes each module of widgets/textual_ext necessary still is as it says, and what it mends is mended.

The first half of a test shows what Textual does by itself: if that fails, Textual was mended, and the module or the
method can go. The second shows what wacht makes of it.
"""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import termios
import time
from typing import Any

import pytest
from textual import constants
from textual.app import App, ComposeResult
from textual.events import Key, MouseDown, Paste
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

NEEDLESS = "Textual no longer does that: widgets/textual_ext/{} may drop what mends it"


def parsed(parser: Any, *pieces: str) -> list[Message]:
    """What a parser makes of these pieces, each read at once and long after the one before."""
    found: list[Message] = []
    for piece in pieces:
        found += parser.feed(piece)
        time.sleep(constants.ESCAPE_DELAY * 1.2)
        found += parser.tick()
    return found


def keys(messages: list[Message]) -> list[str]:
    return [one.key for one in messages if isinstance(one, Key)]


# key_parser

RESIZE = "\x1b[48;24;80;384;640t"
"""24 lines of 16 pixels, 80 columns of 8."""
CLICK = "\x1b[<0;61;20M"


def clicked(messages: list[Message]) -> tuple[int, int]:
    (one,) = [one for one in messages if isinstance(one, MouseDown)]
    return int(one.x), int(one.y)


def test_a_click_is_where_it_was_although_the_terminal_reported_its_size() -> None:
    from textual._xterm_parser import XTermParser

    from widgets.textual_ext.key_parser import KeyParser

    assert clicked(parsed(XTermParser(), CLICK)) == (60, 19)
    assert clicked(parsed(XTermParser(), RESIZE, CLICK)) == (7, 1), NEEDLESS.format("key_parser.py")
    assert clicked(parsed(KeyParser(), RESIZE, CLICK)) == (60, 19)


def test_esc_and_a_key_in_one_piece_are_alt_and_that_key() -> None:
    from textual._xterm_parser import XTermParser

    from widgets.textual_ext.key_parser import KeyParser

    assert keys(parsed(XTermParser(), "\x1b\r", "\x1b1")) == ["enter", "inverted_exclamation_mark"], NEEDLESS.format(
        "key_parser.py"
    )
    assert keys(parsed(KeyParser(), "\x1b\r", "\x1b1")) == ["alt+enter", "alt+1"]


def test_a_paste_with_an_escape_in_it_is_one_paste() -> None:
    from textual._xterm_parser import XTermParser

    from widgets.textual_ext.key_parser import KeyParser

    paste = "\x1b[200~one\x1b[201\r\x1b[201~"
    found = parsed(KeyParser(), paste, "x")
    assert keys(found) == ["x"]
    assert [one.text for one in found if isinstance(one, Paste)] == ["one[201\r"]
    assert [one.text for one in parsed(XTermParser(), paste, "x") if isinstance(one, Paste)] != ["one[201\r"], (
        NEEDLESS.format("key_parser.py")
    )


# linux_driver


async def test_the_size_is_the_terminals_and_the_mouse_reports_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    from textual.drivers.linux_driver import LinuxDriver

    from widgets.textual_ext.linux_driver import CellDriver

    monkeypatch.setenv("COLUMNS", "33")
    monkeypatch.setenv("LINES", "11")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (50, 200))
    monkeypatch.setattr(sys, "__stdin__", os.fdopen(slave, closefd=False))
    found: dict[type, tuple[tuple[int, int], list[str]]] = {}
    for made in (LinuxDriver, CellDriver):
        sent: list[str] = []
        monkeypatch.setattr(made, "write", lambda _, data, sent=sent: sent.append(data))
        driver = made(App())
        driver._enable_mouse_pixels()
        found[made] = driver._get_terminal_size(), sent
    os.close(master)
    os.close(slave)
    assert found[LinuxDriver] == ((33, 11), ["\x1b[?1016h"]), NEEDLESS.format("linux_driver.py")
    assert found[CellDriver] == ((200, 50), [])


# app_errors


async def test_an_error_ends_the_app_and_is_not_printed() -> None:
    from widgets.textual_ext.app_errors import ErrorApp

    class Broken(Exception):
        pass

    printed: list[list[object]] = []

    def breaking(base: type[App[None]]) -> App[None]:
        class Breaks(base):  # type: ignore[misc, valid-type]
            def on_key(self) -> None:
                raise Broken

            def _print_error_renderables(self) -> None:
                printed.append([*self._exit_renderables])

        return Breaks()

    apps = [breaking(App), breaking(ErrorApp)]
    for app in apps:
        with pytest.raises(Broken):
            async with app.run_test() as pilot:
                await pilot.press("a")
    assert len(printed) == 2 and printed[0], NEEDLESS.format("app_errors.py")
    assert isinstance(apps[1], ErrorApp) and [type(one) for one in apps[1].errors] == [Broken]
    assert printed[1] == [] and apps[1].return_code == 1


# app_output and screen_contents


async def test_the_frames_of_an_app_come_as_pieces_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    from widgets.textual_ext import screen_contents
    from widgets.textual_ext.app_output import OutputApp

    frames: list[screen_contents.ScreenUpdate] = []

    class Shows(OutputApp[None]):
        def compose(self) -> ComposeResult:
            yield Static("first")
            yield Static("second", id="second")

        def send_frame(self, update: screen_contents.ScreenUpdate) -> None:
            frames.append(update)

    app = Shows()
    async with app.run_test(size=(20, 4)) as pilot:
        await pilot.pause()
        assert frames and app.may_paint and app.driver is not None
        frames.clear()
        app.query_one("#second", Static).update("other")
        await pilot.pause()
        (update,) = frames
        pieces = [(y, x, strip.text) for y, x, strip in screen_contents.update_pieces(update)]
        assert pieces == [(1, 0, "other" + " " * 15)] and not screen_contents.is_full(update)
        whole = screen_contents.full_update(app)
        assert whole is not None and screen_contents.is_full(whole)
        lines = [strip.text.rstrip() for _, _, strip in screen_contents.update_pieces(whole)]
        assert lines == ["first", "other", "", ""]
        assert [strip.text.rstrip() for strip in screen_contents.screen_strips(app)] == lines
        with app.batch_update():
            assert not app.may_paint
        done: list[object] = []
        asyncio.get_running_loop().call_soon(app.run_in_context, lambda: done.append(app.app))
        await pilot.pause()
        assert done == [app]


# screen_callbacks


async def called_after(made: type[Screen[None]]) -> list[str]:
    """What waited for the next painting when a screen of this class goes, and was called."""
    called: list[str] = []

    class Going(made):  # type: ignore[misc, valid-type]
        async def _message_loop_exit(self) -> None:
            self._callbacks += [(lambda: called.append("below"), self.app.screen)]
            await super()._message_loop_exit()

    app = App[None]()
    async with app.run_test() as pilot:
        await app.push_screen(Going())
        await pilot.pause()
        await app.pop_screen()
        await pilot.pause()
    return called


async def test_what_waits_for_a_painting_survives_the_screen_on_top() -> None:
    from widgets.textual_ext.screen_callbacks import CallbackScreen

    assert await called_after(Screen) == [], NEEDLESS.format("screen_callbacks.py")
    assert await called_after(CallbackScreen) == ["below"]


# installed_screens


async def test_the_screens_of_hidden_modes_are_found_and_freed() -> None:
    from widgets.textual_ext.installed_screens import made_screens, mode_stack, remove_installed

    class Modes(App[None]):
        MODES = {"one": Screen, "two": Screen}  # noqa: RUF012
        DEFAULT_MODE = "one"
        SCREENS = {"late": Screen}  # noqa: RUF012

    app = Modes()
    async with app.run_test() as pilot:
        shown = app.screen
        assert mode_stack(app, "two") is None and made_screens(app) == []
        await app.switch_mode("two")
        kept = Screen[None]()
        app.install_screen(kept, "kept")
        await app.push_screen("kept")
        await app.pop_screen()
        await pilot.pause()
        assert mode_stack(app, "one") == [shown] and made_screens(app) == [kept]
        await remove_installed(app, "kept")
        assert made_screens(app) == [] and not kept.is_attached and not app.is_screen_installed("kept")


# toasts


async def test_two_notifications_are_shown_none_while_they_are_held_and_no_timer_is_negative() -> None:
    from textual.notifications import Notification, Notify
    from textual.widgets._toast import Toast as Shown

    from widgets.textual_ext.toasts import MIN_TIMER_S, Toast, bound_toasts, refresh_toasts

    assert Notification("x", timeout=-1.0).time_left < 0, NEEDLESS.format("toasts.py")
    assert Toast("x", timeout=-1.0).time_left == MIN_TIMER_S and Toast("x", timeout=-1.0).has_expired
    app, held = App[None](), False
    bound_toasts(app, lambda: held)
    async with app.run_test(notifications=True) as pilot:
        for severity in ("information", "error", "warning"):
            app.post_message(Notify(Toast(severity, "", severity, 60.0)))  # type: ignore[arg-type]
        await pilot.pause()
        assert [one._notification.message for one in app.screen.query(Shown)] == ["error", "warning"]
        held = True
        refresh_toasts(app)
        await pilot.pause()
        assert not app.screen.query(Shown) and not app.screen.query("ToastHolder")
        held = False
        refresh_toasts(app)
        await pilot.pause()
        assert [one._notification.message for one in app.screen.query(Shown)] == ["error", "warning"]


# strip_cache


def test_a_strip_is_made_without_caches_and_has_them_when_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.segment import Segment
    from textual.cache import FIFOCache
    from textual.strip import Strip

    from widgets.textual_ext import strip_cache

    for name in ("__init__", "divide"):
        monkeypatch.setattr(Strip, name, getattr(Strip, name))
    monkeypatch.setattr(Strip, "__getattr__", None, raising=False)
    monkeypatch.delattr(Strip, "__getattr__")
    made = _Unpatched([Segment("text")])
    own = {name for name in Strip.__slots__ if isinstance(getattr(made, name, None), FIFOCache)}
    assert own == set(strip_cache._SIZES), f"Textual makes other caches: change _SIZES of {strip_cache.__file__}"
    assert {name: getattr(made, name)._maxsize for name in own} == strip_cache._SIZES
    assert Strip.__slots__[:2] == ["_segments", "_cell_length"]
    assert {*Strip.__slots__} - own == {"_segments", "_cell_length", "_render_cache", "_link_ids", "_cell_count"}
    strip_cache.patch_strips()
    lazy = Strip([Segment("text")])
    assert lazy.divide([4]) == [lazy] and lazy.divide([2, 4])[0].text == "te"
    assert lazy.crop(1, 3).text == "ex" and lazy.cell_length == 4 and lazy.text == "text"
    assert isinstance(lazy._crop_cache, FIFOCache)


class _Unpatched:
    """A strip as Textual makes it, although another test of this process has replaced how."""

    def __init__(self, segments: list[Any]) -> None:
        import importlib

        import textual.strip

        spec = importlib.util.spec_from_file_location("textual_strip_unpatched", textual.strip.__file__)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.made = module.Strip(segments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.made, name)


# browser_driver


async def test_a_short_write_to_the_browser_loses_nothing_and_the_size_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from textual.drivers.web_driver import WebDriver

    from widgets.textual_ext.browser_driver import MAX_SIZE, BrowserDriver

    ends = os.pipe()
    monkeypatch.setattr(sys, "__stdin__", os.fdopen(ends[0]))
    for made in (WebDriver, BrowserDriver):
        sent = bytearray()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda _, data, sent=sent: (sent.extend(data[:7]), min(7, len(data)))[1])
            driver = made(App(), size=(9_999, 9_999))
            driver.write("a text that is long enough")
        if made is WebDriver:
            assert not sent.endswith(b"enough"), NEEDLESS.format("browser_driver.py")
        else:
            assert sent.endswith(b"enough") and driver._size == MAX_SIZE
    os.close(ends[1])


# collectors/http/connection.py


def test_httpx_connects_through_the_network_with_a_deadline() -> None:
    import httpcore
    import httpx

    from collectors.http.connection import DeadlineNetwork, transport_over, trusted_certificates

    class Refuses(DeadlineNetwork):
        def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore.NetworkStream:
            raise httpcore.ConnectError(f"asked for {host}")

    transport = transport_over(Refuses(), trusted_certificates(None))
    with httpx.Client(transport=transport) as client, pytest.raises(httpx.ConnectError, match="asked for far"):
        client.get("http://far/")
