"""The Textual app under the console: how it is drawn, how it ends, and the ports that controllers use of it."""

from __future__ import annotations

from collections.abc import Callable

from textual.driver import Driver

from console.runtime.browser_mode import in_browser
from console.screens.layout.app_port import ConsoleApp
from widgets.terminal.input_queue import InputQueueApp
from widgets.textual_ext.app_output import write_sequence


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
            from widgets.textual_ext.browser_driver import BrowserDriver

            return BrowserDriver
        return super().get_driver_class()

    def run_in_thread(self, work: Callable[[], object], group: str, *, exclusive: bool = False) -> None:
        """Run `work` off the event loop; `exclusive` replaces what is under way in its group."""
        self.run_worker(work, thread=True, group=group, exclusive=exclusive, exit_on_error=False)

    def write_to_terminal(self, text: str) -> None:
        """Write control sequences, where there is a terminal."""
        write_sequence(self, text)

    async def action_quit(self) -> None:
        """Ctrl+Q."""
        self.leave()
