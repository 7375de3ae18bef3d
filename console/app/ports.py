"""What controllers use of the Textual app. Tests without a terminal have fakes of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from textual.screen import Screen


class Threads(Protocol):
    """Work off the event loop."""

    def run_in_thread(self, work: Callable[[], object], group: str, *, exclusive: bool = False) -> None:
        """Run `work` in a thread; `exclusive` replaces what is under way in its group."""

    def call_from_thread(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call on the event loop, from a thread; returns the result."""


class Screens(Protocol):
    """The stack of screens of the cluster that is shown."""

    @property
    def screen(self) -> Screen[Any]:
        """The screen on top."""

    @property
    def screen_stack(self) -> list[Screen[Any]]:
        """All of them, the top one last; empty while the app closes."""

    def push_screen(self, screen: Any, callback: Any = None) -> Any:
        """Show a screen on top; `callback` gets its result."""

    def call_next(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call on the event loop after the current message."""

    def call_after_refresh(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call once the screen has been painted."""


class ScreenPort(Threads, Screens, Protocol):
    """Threads and screens, for the controllers that need no more."""
