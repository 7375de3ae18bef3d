"""Runs the checks side by side, each in a thread of its own, and waits for none of them longer than was said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class Crew:
    """Checks that run at once. One that hangs is left behind: its thread ends with the process."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self._ended: dict[str, Any] = {}

    def start(self, name: str, check: Callable[[], Any]) -> None:
        """Begin one; what it returns, or the exception it ended with, is its result."""

        def run() -> None:
            try:
                self._ended[name] = check()
            except Exception as error:  # a bug in one check must not cost the others
                self._ended[name] = error

        thread = threading.Thread(target=run, name=f"doctor {name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def wait_for(self, name: str, until: float) -> dict[str, Any]:
        """The same of one alone."""
        if name in self._threads:
            self._threads[name].join(max(0.0, until - time.monotonic()))
        return {name: self._ended[name]} if name in self._ended else {}

    def wait(self, until: float) -> dict[str, Any]:
        """The results of those that have ended by then (monotonic); the others are not in it."""
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))
        return dict(self._ended)
