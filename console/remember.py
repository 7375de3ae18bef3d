"""Sums over a whole machine are made once a reading: `remembered` keeps what a pure function made of a Cluster.

A reading changes some kinds of facts, and ticks of the clock none. The poller's thread makes what the screen shows
before it publishes a Cluster (`WachtScreen.sums`), so the event loop, which has keys to answer, only looks it up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import repeat
from operator import is_
from typing import Any, TypeVar

from collectors.model import Cluster

T = TypeVar("T")
_every: list[dict[str, Any]] = []
Sum = Callable[[Cluster], Any]


def remembered(*fields: str) -> Callable[[Callable[[Cluster], T]], Callable[[Cluster], T]]:
    """Keep the last two results for each cluster while these fields of it, all that the function reads, are the same
    objects: while the poller makes one for what comes, the event loop looks up the one of what is shown. Any thread may
    call. Nobody may change the result, and what is made may look up others, never itself."""

    def wrap(make: Callable[[Cluster], T]) -> Callable[[Cluster], T]:
        kept: dict[str, tuple[tuple[tuple[object, ...], T], ...]] = {}
        _every.append(kept)
        making = threading.Lock()

        def look(cluster: Cluster) -> T:
            # Asked for every node of a machine in turn: no loop of Python's own.
            of = tuple(map(getattr, repeat(cluster), fields))
            known = kept.get(cluster.name, ())
            for one in known:
                if all(map(is_, one[0], of)):
                    return one[1]
            with making:
                # Who comes while it is being made waits for it: to make it twice at once takes twice as long.
                for one in (known := kept.get(cluster.name, ())):
                    if all(map(is_, one[0], of)):
                        return one[1]
                made = make(cluster)
                kept[cluster.name] = (of, made), *known[:1]
            return made

        look.__doc__, look.__name__ = make.__doc__, make.__name__
        return look

    return wrap


def forget(name: str) -> None:
    """A cluster was closed: keep nothing of it."""
    for kept in _every:
        kept.pop(name, None)
