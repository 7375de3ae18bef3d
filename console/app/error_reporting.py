"""When something unexpected happens in the console: it ends, and prints nothing before the terminal is given back.

Textual would print every local variable; nobody's facts and no token belong there. `console.session.crash` makes the
report.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from textual.worker import Worker, WorkerState

from console.runtime import log

if TYPE_CHECKING:
    from widgets.terminal.quiet_app import QuietApp

    _Base = QuietApp[None]
else:
    _Base = object

#: Workers that broke and are reported, of one console: the first are the ones to look at.
_REPORTS = 3


class ErrorReporting(_Base):
    """The part of the app that ends it, and that tends the log. Its like on a thread: `QuietApp.thread_died`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.errors: list[Exception] = []
        """What ended the console, for whoever ran it."""
        self._was_slow = False
        self._reports = 0

    def show_message(self, text: str, severity: str = "information") -> None:
        """A word in the corner."""
        raise NotImplementedError

    def stop_sending(self) -> None:
        """Nobody can see or stop any more what is still to be sent."""
        raise NotImplementedError

    def install_loop_handler(self) -> None:
        """Let nothing that breaks on the event loop go unnoticed. Called on it."""
        asyncio.get_running_loop().set_exception_handler(self._loop_failed)

    def check_log(self) -> None:
        """Tell the log of the line to the terminal, and the person of a log that cannot be written."""
        if self.slow_line != self._was_slow:
            self._was_slow = self.slow_line
            log.info("terminal", f"slow mode is {'on' if self._was_slow else 'off'}")
        if why := log.untold():
            self.show_message(why, "warning")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What a worker was to do is not done, and breaks nothing else: it is reported, and the console goes on."""
        error = event.worker.error
        if event.state is not WorkerState.ERROR or error is None or not self._running or self._reports >= _REPORTS:
            return
        from console.session import crash

        self._reports += 1
        brief, text = f"an error of its own: {crash.where(error)}", crash.report([error])

        def work() -> None:
            kept = crash.reported(text, brief)
            self.call_from_thread(self.show_message, f"{brief}; wacht goes on. Report: {kept}", "error")

        self.run_worker(work, thread=True, group="crash", exit_on_error=False)

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A call of the event loop's own failed, which nobody waits for: what it was to do stands still."""
        error = context.get("exception")
        if isinstance(error, Exception) and self._running:
            self._handle_exception(error)

    def _handle_exception(self, error: Exception) -> None:
        self.errors.append(error)
        super()._handle_exception(error)

    def panic(self, *renderables: Any) -> None:
        """An exception that would describe itself: it is not asked to."""
        self._fatal_error()

    def _fatal_error(self) -> None:
        """End, and print nothing yet."""
        self._close_messages_no_wait()
        self.stop_sending()
