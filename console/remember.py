"""Sums over a whole machine are made once a reading: `remembered` keeps what a pure function made of a Cluster.

A reading changes some kinds of facts, and ticks of the clock none. The poller's thread makes what the screen shows
before it publishes a Cluster (`WachtScreen.sums`), so the event loop, which has keys to answer, only looks it up.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from operator import is_
from typing import Any, TypeVar

from collectors.model import Cluster

T = TypeVar("T")
_every: list[dict[str, Any]] = []
Sum = Callable[[Cluster], Any]


def remembered(*fields: str) -> Callable[[Callable[[Cluster], T]], Callable[[Cluster], T]]:
    """Keep the last result for each cluster while these fields of it, all that the function reads, are the same
    objects. Any thread may call; two that call at once make it twice, and the same. Nobody may change the result."""

    def wrap(make: Callable[[Cluster], T]) -> Callable[[Cluster], T]:
        kept: dict[str, tuple[tuple[object, ...], T]] = {}
        _every.append(kept)

        def look(cluster: Cluster) -> T:
            # Asked for every node of a machine in turn: no loop of Python's own.
            of = tuple(map(getattr, repeat(cluster), fields))
            known = kept.get(cluster.name)
            if known is not None and all(map(is_, known[0], of)):
                return known[1]
            made = make(cluster)
            kept[cluster.name] = of, made
            return made

        look.__doc__, look.__name__ = make.__doc__, make.__name__
        return look

    return wrap


def forget(name: str) -> None:
    """A cluster was closed: keep nothing of it."""
    for kept in _every:
        kept.pop(name, None)
