"""ErrorApp: an app that ends on an unexpected error, keeps it for its caller, and prints nothing.

Mends, for safety: Textual 8.2.8 prints a traceback with every local variable (`show_locals=True`), which may hold facts
of users or a token, and prints it before the terminal is restored; nothing of the caller's sees the error itself.

When Textual changes: `App._handle_exception` is where every exception of the event loop arrives. If there is a public
hook or option for it, use that.
"""

from __future__ import annotations

from typing import Any, TypeVar

from textual.app import App

Result = TypeVar("Result")


class ErrorApp(App[Result]):
    """An app that keeps its unexpected errors in `errors`."""

    def __init__(self, **options: Any) -> None:
        self.errors: list[Exception] = []
        """The errors that ended the app, for its caller."""
        super().__init__(**options)

    def fail(self, error: Exception) -> None:
        """End the app because of this error, as for one on the event loop."""
        self._handle_exception(error)

    def failing(self) -> None:
        """Called when the app ends on an error, for subclasses."""

    def _handle_exception(self, error: Exception) -> None:
        self.errors.append(error)
        super()._handle_exception(error)

    def panic(self, *renderables: Any) -> None:
        """Textual reports an exception here; do not render it."""
        self._fatal_error()

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()
        self.failing()
