"""The Textual app under the console: the ports that controllers use of it, and an end that prints nothing.

Textual would print every local variable of an error; those may hold facts of users or a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.driver import Driver

from collectors import process
from console.runtime.browser_mode import in_browser
from console.screens.layout.app_port import ConsoleApp
from widgets.terminal.input_queue import InputQueueApp


class TerminalApp(InputQueueApp[None], ConsoleApp):
    """An app on a terminal or in a browser."""

    TITLE = "wacht"
    CSS = """
    Toast { max-width: 90%; padding: 0 1; margin: 0; }
    ToastRack { margin-bottom: 1; }
    Input:ansi > .input--cursor { background: ansi_default; color: ansi_default; text-style: reverse not dim; }
    """
    ENABLE_COMMAND_PALETTE = False

    def get_driver_class(self) -> type[Driver]:
        """The driver for a terminal, or for a browser."""
        if in_browser():
            from widgets.terminal.browser_driver import BrowserDriver

            return BrowserDriver
        return super().get_driver_class()

    def run_in_thread(self, work: Callable[[], object], group: str, *, exclusive: bool = False) -> None:
        """Run `work` off the event loop; `exclusive` replaces what is under way in its group."""
        self.run_worker(work, thread=True, group=group, exclusive=exclusive, exit_on_error=False)

    def write_to_terminal(self, text: str) -> None:
        """Write control sequences, where there is a terminal."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(text)

    async def action_quit(self) -> None:
        """Ctrl+Q."""
        self.leave()

    def leave(self) -> None:
        """Quit. Do not wait for a reading that hangs; wait for a change that is being sent."""
        self.stop_sending()
        process.stop_all()
        self.exit()

    def stop_sending(self) -> None:
        """Drop the batches that are not sent yet."""
        raise NotImplementedError

    def end_with(self, error: Exception) -> None:
        """End because of this error."""
        self._handle_exception(error)

    def _handle_exception(self, error: Exception) -> None:
        self.errors.fatal.append(error)
        super()._handle_exception(error)

    def panic(self, *renderables: Any) -> None:
        """Textual reports an exception here; do not render it."""
        self._fatal_error()

    def _fatal_error(self) -> None:
        """End the console without printing."""
        self._close_messages_no_wait()
        self.stop_sending()
