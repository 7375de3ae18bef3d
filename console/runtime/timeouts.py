"""What a file system that hangs may hold up, done in a thread of its own: nobody waits for it longer than he wants to,
and the end of the program does not wait for it at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class CallTimeout(Exception):
    """It did not move on for as long as one was ready to wait."""


class TimedCall(threading.Thread, Generic[T]):
    """One call, in a thread. It is given a function by which it says, now and then, that it moves on."""

    def __init__(self, name: str, call: Callable[[Callable[[], None]], T]) -> None:
        super().__init__(name=name, daemon=True)
        self._call = call
        self._moved = False
        self._found: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """In the thread."""
        try:
            self._found.append(self._call(self._moves))
        except BaseException as error:
            self._error = error

    def result(self, seconds: float) -> T:
        """Start it, and return what it gives or raise what it raises. Raises Late where it did not move on for that
        long; it may still, and nobody hears of it."""
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
