"""Unexpected errors: the console ends, and prints nothing before the terminal is restored.

Textual would print every local variable; those may hold facts of users or a token. `console.session.crash` writes the
report."""

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

#: Failed workers of one console that are reported; the first ones matter.
_REPORTS = 3


class ErrorReporting(_Base):
    """The part of the app that ends it on an error and checks the log. For threads see `QuietApp.thread_died`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.errors: list[Exception] = []
        """The errors that ended the console, for its caller."""
        self._was_slow = False
        self._reports = 0

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a message (toast)."""
        raise NotImplementedError

    def install_loop_handler(self) -> None:
        """Report exceptions of event loop callbacks. Called on the event loop."""
        asyncio.get_running_loop().set_exception_handler(self._loop_failed)

    def check_log(self) -> None:
        """Log changes of slow mode, and show a message when the log cannot be written."""
        if self.slow_line != self._was_slow:
            self._was_slow = self.slow_line
            log.info("terminal", f"slow mode is {'on' if self._was_slow else 'off'}")
        if why := log.unreported_fault():
            self.show_message(why, "warning")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Report a failed worker; the console goes on."""
        error = event.worker.error
        if event.state is not WorkerState.ERROR or error is None or not self._running or self._reports >= _REPORTS:
            return
        from console.session import crash

        self._reports += 1
        brief, text = f"an error of its own: {crash.where(error)}", crash.report([error])

        def work() -> None:
            kept = crash.save_report(text, brief)
            self.call_from_thread(self.show_message, f"{brief}; wacht goes on. Report: {kept}", "error")

        self.run_worker(work, thread=True, group="crash", exit_on_error=False)

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the console when a callback of the event loop failed: nothing else would notice."""
        error = context.get("exception")
        if isinstance(error, Exception) and self._running:
            self._handle_exception(error)

    def _handle_exception(self, error: Exception) -> None:
        self.errors.append(error)
        super()._handle_exception(error)

    def panic(self, *renderables: Any) -> None:
        """Textual reports an exception here; do not render it."""
        self._fatal_error()

    def _fatal_error(self) -> None:
        """End the console without printing."""
        self._close_messages_no_wait()
        self.acting.stop_sending()
