"""Sums over a whole machine are made once a reading: `remembered` keeps what a pure function made of a Cluster.

A reading changes some kinds of facts, and ticks of the clock none. The poller's thread makes what the screen shows
before it publishes a Cluster (`WachtScreen.sums`), so the event loop, which has keys to answer, only looks it up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from collectors.model import Cluster

T = TypeVar("T")
Sum = Callable[[Cluster], Any]


def remembered(*fields: str) -> Callable[[Callable[[Cluster], T]], Callable[[Cluster], T]]:
    """Keep the last result for each cluster while these fields of it, all that the function reads, are the same
    objects. Any thread may call; two that call at once make it twice, and the same. Nobody may change the result."""

    def wrap(make: Callable[[Cluster], T]) -> Callable[[Cluster], T]:
        kept: dict[str, tuple[tuple[object, ...], T]] = {}

        def look(cluster: Cluster) -> T:
            of = tuple(getattr(cluster, field) for field in fields)
            known = kept.get(cluster.name)
            if known is not None and all(old is new for old, new in zip(known[0], of, strict=True)):
                return known[1]
            made = make(cluster)
            kept[cluster.name] = of, made
            return made

        look.__doc__, look.__name__ = make.__doc__, make.__name__
        return look

    return wrap
