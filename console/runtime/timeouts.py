"""Calls that a hanging file system may block, run in a daemon thread with a timeout; the program's end does not wait
for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class CallTimeout(Exception):
    """The call made no progress for the given time."""


class TimedCall(threading.Thread, Generic[T]):
    """One call in a thread. The call receives a function with which it reports progress."""

    def __init__(self, name: str, call: Callable[[Callable[[], None]], T]) -> None:
        super().__init__(name=name, daemon=True)
        self._call = call
        self._moved = False
        self._found: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run the call, in the thread."""
        try:
            self._found.append(self._call(self._moves))
        except BaseException as error:
            self._error = error

    def result(self, seconds: float) -> T:
        """Start the call and return its result, or raise what it raises. Raises CallTimeout after `seconds` without
        progress; the thread may run on, but its result is dropped.
        """
        self.start()
        while True:
            self.join(seconds)
            if not self.is_alive():
                break
            if not self._moved:
                raise CallTimeout
            self._moved = False
        if self._error is not None:
            raise self._error
        return self._found[0]

    def _moves(self) -> None:
        self._moved = True
