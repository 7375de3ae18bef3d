"""QuietApp and QuietScreen: Textual's App and Screen that send only changed cells, and only when the line is ready."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS
from rich.control import Control
from textual import on
from textual.driver import Driver
from textual.events import DescendantBlur, DescendantFocus, Event, InputEvent, Key, MouseMove, Resize
from textual.filter import LineFilter
from textual.geometry import Offset
from textual.messages import TerminalSupportsSynchronizedOutput
from textual.notifications import Notify, SeverityLevel
from textual.reactive import Reactive
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input

from widgets.textual_ext.app_output import OutputApp
from widgets.textual_ext.screen_callbacks import CallbackScreen
from widgets.textual_ext.screen_contents import ScreenUpdate, full_update, is_full, update_pieces
from widgets.textual_ext.strip_cache import patch_strips
from widgets.textual_ext.toasts import Toast, bound_toasts, refresh_toasts

from .colour_filter import filter_colours
from .flow_control import LinePace
from .screen_diff import TerminalScreen
from .terminal_driver import TerminalDriver
from .tty_writer import TtyWriter

Result = TypeVar("Result")

_LOOK_S = 1.0
"""Longest wait for the line to report progress."""
_ASK_AGAIN_S = 2.0
"""An answer of the terminal may be lost, for example in a paste: ask again after this long."""
_SYNC_START, _SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
"""A terminal that knows synchronised output shows nothing of what is between them until the end."""


class QuietScreen(CallbackScreen[Result]):
    """A Screen that is not painted whole when the focus moves."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    @on(DescendantFocus)
    def _stop_blinking(self, event: DescendantFocus) -> None:
        """Stop the blinking cursor of an input: nothing on the screen animates."""
        if isinstance(event.widget, Input):
            event.widget.cursor_blink = False

    @on(DescendantFocus)
    @on(DescendantBlur)
    def _typing_changed(self, event: DescendantFocus | DescendantBlur) -> None:
        """No notification covers a line that is typed."""
        if isinstance(event.widget, Input):
            refresh_toasts(self.app)

    @on(Resize)
    def _repaint_resized(self) -> None:
        """Repaint in full even if the terminal was resized and back, so that nothing is laid out anew."""
        if isinstance(self.app, QuietApp) and self.app.terminal_screen.needs_full_paint:
            self.refresh()

    def is_too_early(self, event: Event) -> bool:
        """Whether input was typed before this could be read: it was meant for something else, and is dropped."""
        return False

    def call_when_shown(self, call: Callable[[], None]) -> None:
        """Call once the terminal shows the next painting: earlier input was not meant for it."""
        app = self.app
        self.call_after_refresh(lambda: app.when_shown(call) if isinstance(app, QuietApp) else call())


class QuietModal(QuietScreen[Result], ModalScreen[Result]):
    """The same for dialogs. Under a theme of the terminal's own colours, which cannot be tinted, the screen below stays
    unchanged, so that the subject of the dialog stays visible.
    """

    DEFAULT_CSS = """
    QuietModal:ansi { background: transparent; }
    """


class QuietApp(OutputApp[Result]):
    """An App that tracks what the terminal shows and how fast the line takes data.

    A frame that cannot be sent is not rendered; when the line is ready, one frame with the newest content is sent. Its
    screens should be QuietScreens, but any screen may be shown.
    """

    def __init__(self, **options: Any) -> None:
        self.terminal_screen = TerminalScreen()
        self.colours = "all"
        """The colours that the theme allows, as in `themes.theme_spec.Colours`."""
        self._pace = LinePace()
        self._frame_owed = False
        self._last_frame = self._last_input = float("-inf")
        """When the last frame was sent, and when the last key or click arrived (monotonic)."""
        self._has_sync = False
        """Whether the terminal knows synchronised output."""
        self._painted_cursor = Offset(0, 0)
        """Where the last frame left the cursor."""
        self._frame_timer: asyncio.TimerHandle | None = None
        """Fires when a frame that was too early may be sent."""
        self._ask_timer: asyncio.TimerHandle | None = None
        self._awaiting: list[tuple[Callable[[], None], int]] = []
        """Callbacks that wait until the terminal shows a frame, with the frame's position on the line; -1 while it is
        not sent.
        """
        super().__init__(**options)
        bound_toasts(self, self._toasts_held)
        patch_strips()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Filters of every painted line."""
        return filter_colours(super().get_line_filters(), self.colours)

    def get_driver_class(self) -> type[Driver]:
        """The driver class for a terminal."""
        return TerminalDriver

    def get_default_screen(self) -> Screen[Any]:
        """The first screen."""
        return QuietScreen(id="_default")

    def on_mount(self) -> None:
        """Repaint in full after Ctrl+Z: the terminal has shown other output."""
        self.app_resume_signal.subscribe(self, lambda _: self._resumed())

    def _resumed(self) -> None:
        self.terminal_screen.forget()
        # The line is new and counts from zero: callbacks for the old one wait for what is painted now.
        self._awaiting = [(call, -1) for call, _ in self._awaiting]
        self.call_after_refresh(self._check_shown)

    async def on_event(self, event: Event) -> None:
        """Repaint after a resize: the terminal may have moved or lost its content."""
        if isinstance(event, Resize):
            self.terminal_screen.forget()
        elif isinstance(event, InputEvent) and not isinstance(event, MouseMove):
            self._last_input = time.monotonic()
            if isinstance(event, Key) and event.key == "ctrl+z" and not event.is_forwarded:
                self.action_suspend_process()  # also in dialogs and prompts, which take all other keys
                return
        await super().on_event(event)

    @property
    def idle_s(self) -> float:
        """Seconds since the last key or click."""
        return time.monotonic() - self._last_input

    def action_redraw(self) -> None:
        """Send everything again: another program wrote on the terminal."""
        self.terminal_screen.forget()
        self.screen.refresh()

    def leave(self) -> None:
        """End the app, as the quit key does."""
        self.exit()

    def notify(
        self, message: str, *, title: str = "", severity: SeverityLevel = "information", timeout: float | None = None,
        markup: bool = True,
    ) -> None:  # fmt: skip
        """Show a message in the corner; a late one delays nothing."""
        lasts_s = self.NOTIFICATION_TIMEOUT if timeout is None else timeout
        self.post_message(Notify(Toast(message, title, severity, lasts_s, markup)))

    def _toasts_held(self) -> bool:
        """Whether a notification would cover a dialog or a line that is typed."""
        if not self.screen_stack:
            return False
        return isinstance(self.screen, ModalScreen) or isinstance(self.screen.focused, Input)

    # Events of the line to the terminal.

    @property
    def slow_line(self) -> bool:
        """Whether the line to the terminal counts as slow: paint periodic changes less often."""
        if (line := self._line) is not None:
            self._pace = self._pace.next(line.state(), time.monotonic())
        return self._pace.slow

    def when_shown(self, call: Callable[[], None]) -> None:
        """Call once the terminal shows what is painted now; at once where there is no terminal.

        A terminal that answers queries confirms it. For any other it is only known that the system has accepted the
        bytes.
        """
        self._awaiting.append((call, -1))
        self._check_shown()

    def line_moved(self) -> None:
        """The line has room again, the terminal has answered, or the time for a frame has come: send the
        pending frame.
        """
        ready = self._frame_owed and self.may_paint and self.screen_stack
        if ready and (update := full_update(self)) is not None:
            self.send_frame(update)
        self._check_shown()

    def line_ended(self, code: int) -> None:
        """The terminal is gone, or a signal ends the app; `code` is the exit status."""
        self.leave()
        self.exit(return_code=code)

    def thread_failed(self, error: BaseException) -> None:
        """An essential thread raised this error: end as for an exception on the event loop."""
        try:
            raise error
        except Exception as raised:
            self.fail(raised)

    def thread_died(self, thread: threading.ExceptHookArgs) -> None:
        """For threading.excepthook: an uncaught error of a thread must neither be lost nor painted on the screen."""
        if isinstance(self.driver, TerminalDriver) and thread.exc_value is not None:
            self.driver.report_failure(thread.exc_value)

    def release_terminal(self) -> None:
        """Release the terminal if that was not done: the last thing the program does, however it ended."""
        if isinstance(self.driver, TerminalDriver):
            self.driver.release_now()

    def action_suspend_process(self) -> None:
        """Suspend on Ctrl+Z, where a shell can continue the program."""
        if isinstance(self.driver, TerminalDriver) and not self.driver.has_shell:
            self.notify("no shell started this console: there is nothing to go back to", severity="warning")
        else:
            super().action_suspend_process()

    @property
    def _line(self) -> TtyWriter | None:
        return self.driver.line if isinstance(self.driver, TerminalDriver) else None

    def _check_shown(self) -> None:
        """Call the callbacks whose frame is shown."""
        if not self._awaiting:
            return
        line = self._line
        if line is not None:
            line.wanted = True
            if not self._frame_owed and any(position < 0 for _, position in self._awaiting):
                asked = line.ask()
                self._awaiting = [(call, asked if position < 0 else position) for call, position in self._awaiting]
        waiting, self._awaiting = self._awaiting, []
        for call, position in waiting:
            if line is None or (position >= 0 and line.is_shown(position)):
                call()
            else:
                self._awaiting.append((call, position))
        if self._awaiting and self._ask_timer is None:
            self._ask_timer = asyncio.get_running_loop().call_later(_ASK_AGAIN_S, self._ask_again)

    def _ask_again(self) -> None:
        self._ask_timer = None
        if self._awaiting and (line := self._line) is not None and not line.state().unsent_bytes:
            line.ask()
        self.run_in_context(self._check_shown)

    # Painting.

    @on(TerminalSupportsSynchronizedOutput)
    def _sync_reported(self) -> None:
        self._has_sync = True

    def terminal_overwritten(self) -> None:
        """Repaint in full after anything that is no frame."""
        self.terminal_screen.forget()

    def send_frame(self, update: ScreenUpdate) -> None:
        """Send a frame, or keep it pending."""
        driver = self.driver
        if driver is None or driver.is_headless or not self.may_paint:
            return
        if isinstance(driver, TerminalDriver):
            if self._must_wait(driver):
                self._frame_owed = True
                return
            if self._frame_owed and not is_full(update):
                update = full_update(self) or update
            self._frame_owed = False
        system = COLOR_SYSTEMS.get(self.console.color_system or "", ColorSystem.TRUECOLOR)
        try:
            text = self.terminal_screen.send(update_pieces(update), self.size.width, system)
        except Exception as error:
            self.fail(error)
            return
        if is_full(update):
            self.terminal_screen.needs_full_paint = False
        place = self.screen.outer_size.clamp_offset(self.cursor_position)
        if not text and place == self._painted_cursor:
            return
        self._painted_cursor = place
        begin, end = (_SYNC_START, _SYNC_END) if self._has_sync else ("", "")
        write = driver.write_frame if isinstance(driver, TerminalDriver) else driver.write
        write(f"{begin}{text}{Control.move_to(*place)}{end}")

    def _must_wait(self, driver: TerminalDriver) -> bool:
        """Whether a frame must wait. Schedules its later request."""
        if (line := driver.line) is None:
            return True
        now = time.monotonic()
        line.wanted = True
        seen = line.state(now)
        self._pace = self._pace.next(seen, now)
        hold = self._pace.hold_s(seen, now, self._last_frame, self._last_input)
        if hold == 0.0:
            line.wanted = bool(self._awaiting)
            self._last_frame = now
            return False
        if self._frame_timer is not None:
            self._frame_timer.cancel()
        wait_s = _LOOK_S if hold is None else hold
        self._frame_timer = asyncio.get_running_loop().call_later(wait_s, self._frame_timer_fired)
        return True

    def _frame_timer_fired(self) -> None:
        self._frame_timer = None
        self.run_in_context(self.line_moved)
