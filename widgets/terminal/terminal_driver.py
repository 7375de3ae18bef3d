"""TerminalDriver: Textual's driver on a TtyWriter. It restores the terminal however the program ends or stops.

Textual 8.2.8 spins when the terminal is gone, dies of SIGTERM with the terminal left raw, takes a raw terminal for the
operator's own when it is continued after SIGSTOP or after a killed program, and stops where no shell can continue it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import signal
import sys
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from textual import events
from textual.message import Message

from widgets.textual_ext.key_parser import KeyParser
from widgets.textual_ext.linux_driver import CellDriver

from .tty_writer import TtyWriter, open_nonblocking

if TYPE_CHECKING:
    from textual.app import App

    from .screen_diff import TerminalScreen

    class _DriverApp(Protocol):
        """The callbacks of the driver to the app, on its event loop."""

        terminal_screen: TerminalScreen

        def run_in_context(self, call: Callable[..., None], *given: object) -> None: ...
        def line_moved(self) -> None: ...
        def line_ended(self, code: int) -> None: ...
        def thread_failed(self, error: BaseException) -> None: ...


MODES_OFF = (
    "\x1b[?2026l\x1b[0m"  # a frame may have been cut: what holds the screen, and its colours
    "\x1b[?1l\x1b>\x1b[?7h"  # keys as they were, lines wrap
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"  # the mouse
    "\x1b[?2004l\x1b[?1004l\x1b[?2048l"  # pasting, focus, sizes
)
"""Every mode that Textual, or a program that used the terminal meanwhile, may have left on."""
MODES_LEAVE = "\x1b[<u\x1b[?1049l\x1b[0m\x1b[?25h"
"""Kitty's keys (each screen has its own), the alternate screen, colours, the cursor."""
_LINK_END = "\x1b]8;;\x1b\\"
"""Ends a link that may have been cut; sent only where links are sent, as not every terminal supports them."""
_ABORT = "\x18\x1b\\"
_POLL_MS = 100
_SETTLE_S = 0.05
_REPEAT_SIGNAL_S = 1.0
"""A hang-up is signalled twice, by the system and by the shell: a signal within this many seconds is not a
second request.
"""


class TerminalDriver(CellDriver):
    """Ends the app when the terminal is gone, or at a signal."""

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._output = sys.__stdout__  # open_console has seen that it is a terminal; Textual's is stderr
        self._driver_app: _DriverApp = app  # type: ignore[assignment]
        self._event_loop = asyncio.get_running_loop()
        self._keeps_terminal = True
        """False while another program has the terminal, started by `App.suspend`."""
        self.line: TtyWriter | None = None
        self._taken = False
        self._stopping = False
        """True while the process has stopped itself; it resumes when it is continued."""
        self._continued = False
        self._end_requested: float | None = None
        """When a signal requested the end (monotonic)."""
        signal.signal(signal.SIGTSTP, self._stop_requested)
        signal.signal(signal.SIGCONT, self._process_continued)

    # Writing.

    def write(self, data: str) -> None:
        """Write a message, which is not a frame."""
        if self.line is not None:
            self.line.write_message(data)

    def write_frame(self, data: str) -> None:
        """Write a frame."""
        if self.line is not None:
            self.line.write_frame(data)

    # Acquiring and releasing the terminal.

    def start_application_mode(self) -> None:
        """Acquire the terminal, as soon as this process is in its foreground."""
        self._install_signal_handlers()
        if not self._wait_for_foreground():
            return
        assert self._output is not None
        self.line = TtyWriter(self._output.fileno(), self._line_moved, self._terminal_gone)
        self._taken = True
        self.exit_event.clear()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        super().close()  # Textual's own thread has nothing to write

    def stop_application_mode(self) -> None:
        """Restore the terminal. Pending frames are dropped."""
        if self.line is None or not self._taken:
            return  # the terminal is not acquired, and its input is not ours
        self._taken = False
        try:
            self.line.drop()
            self.write(MODES_OFF)
            self.line.wait_answers()  # pending mouse reports arrive with the answers
            super().disable_input()
        finally:
            self.exit_event.set()  # the reading thread would keep the process alive
            self._restore_attributes()
            self.write(MODES_OFF + (_LINK_END if self._driver_app.terminal_screen.links else "") + MODES_LEAVE)

    def disable_input(self) -> None:
        """Stop reading input."""
        if self._taken:
            super().disable_input()

    def close(self) -> None:
        """Wait a little until everything is written."""
        self.stop_application_mode()  # in case the start failed
        if self.line is not None:
            if not self.line.stop():
                self._write_directly(_ABORT + MODES_OFF + MODES_LEAVE)  # its thread has died
            self.line = None

    def release_now(self) -> None:
        """Restore the terminal at once, from any thread: the program ends out of order."""
        if self._taken and self.line is not None:
            self._taken = False
            self.exit_event.set()
            self.line.abandon()
            self._write_directly(_ABORT + MODES_OFF + MODES_LEAVE)
            self._restore_attributes()

    def suspend_application_mode(self) -> None:
        """Release the terminal to another program, whose Ctrl+C and Ctrl+\\ must not reach this one."""
        super().suspend_application_mode()
        for number in (signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda *_: None)

    def resume_application_mode(self) -> None:
        """Acquire the terminal again from a program that may have been killed and left it in any state."""
        front = self._wait_for_foreground()
        self._restore_attributes()
        self._write_directly(MODES_OFF if front else MODES_OFF + MODES_LEAVE)
        self.start_application_mode()

    def _restore_attributes(self) -> None:
        # In the background the shell has the terminal, with its own settings, which must not be overwritten.
        with contextlib.suppress(OSError, termios.error):
            if self.attrs_before is not None and os.tcgetpgrp(self.fileno) == os.getpgrp():
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)

    def _write_directly(self, text: str) -> None:
        """Write without the TtyWriter, and without waiting for a terminal that does not read."""
        assert self._output is not None
        with contextlib.suppress(OSError, termios.error):
            fd = open_nonblocking(self._output.fileno())
            try:
                if not select.select([], [fd], [], 0)[1]:
                    termios.tcflush(fd, termios.TCOFLUSH)
                os.write(fd, text.encode())
            finally:
                os.close(fd)

    # Stopping and continuing.

    @property
    def has_shell(self) -> bool:
        """Whether a shell could continue the process: not where the console is the only program (ssh -t, a
        tmux window).
        """
        return os.getpgrp() != os.getsid(0)

    @contextlib.contextmanager
    def no_automatic_restart(self) -> Iterator[None]:
        """While another program has the terminal: signals to stop and continue are for that one."""
        self._keeps_terminal = False
        try:
            yield
        finally:
            self._keeps_terminal = True

    def _stop_requested(self, *_: object) -> None:
        if not self._keeps_terminal:
            if self.has_shell:  # another program has the terminal, and was stopped too
                os.kill(os.getpid(), signal.SIGSTOP)
        elif self._end_requested is None and not self._on_loop(self._suspend):
            self._stop(signal.SIGTSTP)

    def _process_continued(self, *_: object) -> None:
        self._continued = True
        if self._keeps_terminal and not self._stopping:
            self._on_loop(self._resume)

    def _suspend(self) -> None:
        """Stop at Ctrl+Z, on the event loop: a signal may arrive at any point."""
        if self.has_shell:
            self.suspend_application_mode()
            self._stop(signal.SIGTSTP)
            self._resume()

    def _resume(self) -> None:
        """Resume. After SIGSTOP the terminal was not released, and other programs may have changed it."""
        if not self._wait_for_foreground():
            return
        if self._taken:
            self.suspend_application_mode()
        self.start_application_mode()
        self.send_message(self.SignalResume())

    def _wait_for_foreground(self) -> bool:
        """Wait, stopped, until the process is in the foreground of the terminal. False when it must end, or when no
        shell is left that could put it there.
        """
        while self._end_requested is None:
            try:
                if os.tcgetpgrp(self.fileno) == os.getpgrp():
                    return True
            except OSError as error:
                if error.errno == errno.ENOTTY:
                    return True  # it is not the controlling terminal, so there is no background
                self._terminal_gone()
                return False
            if not self._stop(signal.SIGTTOU):
                self._terminal_gone()
                return False
        return False

    def _stop(self, number: int) -> bool:
        """Stop the process group, as the terminal would. Returns whether it was stopped."""
        self._stopping, self._continued = True, False
        own = signal.signal(number, signal.SIG_DFL)
        os.kill(0, number)
        # A signal that arrived with SIGCONT, perhaps to end the process, may be delivered to another thread first.
        time.sleep(_SETTLE_S)
        signal.signal(number, own)
        self._stopping = False
        return self._continued

    # Reading.

    def run_input_thread(self) -> None:
        """Read input until the end, or until the terminal is gone."""
        try:
            self._read_input()
        except Exception as error:
            self.report_failure(error)

    def _read_input(self) -> None:
        # A process that is stopped between poll and read continues when the shell has read that input: with a blocking
        # descriptor the read would wait for the next key, and so would any thread that waits for this one.
        fd = open_nonblocking(self.fileno, os.O_RDONLY)
        try:
            self._read(fd)
        finally:
            os.close(fd)

    def _read(self, fd: int) -> None:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        parser = KeyParser()
        # A byte that is not UTF-8 must not crash the program.
        decode = getincrementaldecoder("utf-8")("replace").decode
        ending = False
        while not ending:
            ending = self.exit_event.is_set()
            try:
                data = os.read(fd, 4096) if poll.poll(0 if ending else _POLL_MS) else None
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data == b"":
                self._terminal_gone()
                return
            # Empty input would mean the end to the parser.
            for message in parser.feed(text) if data and (text := decode(data)) else ():
                self.process_message(message)
            for message in parser.tick():
                self.process_message(message)

    def process_message(self, message: Message) -> None:
        """Handle the answers to the TtyWriter's queries here; pass everything else on."""
        if isinstance(message, events.CursorPosition):
            if (line := self.line) is not None:
                line.answer(message.y + 1, message.x + 1)
            return
        super().process_message(message)

    # Reports to the app.

    def report_failure(self, error: BaseException) -> None:
        """Report from any thread that the program cannot continue because of this error."""
        self._on_loop(self._driver_app.thread_failed, error)

    def _line_moved(self) -> None:
        self._on_loop(self._driver_app.line_moved)

    def _terminal_gone(self) -> None:
        if (line := self.line) is not None:
            line.abandon()
        self._on_loop(self._driver_app.line_ended, 128 + signal.SIGHUP)

    def _on_loop(self, call: Callable[..., None], *given: object) -> bool:
        try:
            self._event_loop.call_soon_threadsafe(self._driver_app.run_in_context, call, *given)
        except RuntimeError:
            return False  # the loop is closed: the app has ended
        return True

    def _install_signal_handlers(self) -> None:
        """Signals end the app as a key would. A signal ignored at the start (nohup) stays ignored."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._end_requested is None:
            self._end_requested = now
        elif now - self._end_requested < _REPEAT_SIGNAL_S:
            return
        else:
            self._end_now(number)
        if not self._on_loop(self._driver_app.line_ended, 128 + number):
            self._end_now(number)

    def _end_now(self, number: int) -> None:
        """End the process: the app has had its time, or has none left. Writes no core, as the program holds tokens."""
        self.release_now()
        os._exit(128 + number)
