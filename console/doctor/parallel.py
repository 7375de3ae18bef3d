"""Runs checks in parallel, each in its own thread, with a time limit for waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class ParallelChecks:
    """Checks that run at once. A hanging one is abandoned; its daemon thread ends with the process."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self._ended: dict[str, Any] = {}

    def start(self, name: str, check: Callable[[], Any]) -> None:
        """Start a check; its result is what it returns or the exception it raises."""

        def run() -> None:
            try:
                self._ended[name] = check()
            except Exception as error:  # a bug in one check must not affect the others
                self._ended[name] = error

        thread = threading.Thread(target=run, name=f"doctor {name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def wait_for(self, name: str, until: float) -> dict[str, Any]:
        """The result of one check, as in `wait`."""
        if name in self._threads:
            self._threads[name].join(max(0.0, until - time.monotonic()))
        return {name: self._ended[name]} if name in self._ended else {}

    def wait(self, until: float) -> dict[str, Any]:
        """The results of the checks that ended by this monotonic time; others are missing."""
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))
        return dict(self._ended)
