"""Sums over a whole machine are made once a reading: `remembered` keeps what a pure function made of a Cluster.

A reading changes some kinds of facts, and ticks of the clock none. The poller's thread makes what the screens show
before it publishes a Cluster (`WachtScreen.sums`), so the event loop, which has keys to answer, only looks it up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import repeat
from operator import is_
from typing import Any, TypeVar
from weakref import ref

from collectors.model import Cluster

T = TypeVar("T")
P = TypeVar("P")
BRIEFLY_S = 5.0
"""What a function made of a Cluster and the time is looked up for so long, and ages in it move no finer."""
_every: list[dict[str, Any]] = []
_prunings: list[Callable[[str, Sequence[Cluster]], None]] = []
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

        def prune(name: str, alive: Sequence[Cluster]) -> None:
            ofs = [tuple(map(getattr, repeat(one), fields)) for one in alive]
            with making:
                left = tuple(one for one in kept.get(name, ()) if any(all(map(is_, one[0], of)) for of in ofs))
                if left:
                    kept[name] = left
                else:
                    kept.pop(name, None)

        _prunings.append(prune)
        return wraps(make)(look)

    return wrap


def remembered_briefly(make: Callable[[Cluster, float, P], T]) -> Callable[[Cluster, float, P], T]:
    """The same for what depends on the time too, and on a policy: the poller's thread makes it of a Cluster at the time
    of the reading, and the event loop looks it up when it takes that Cluster in."""
    # Alerts may stand still for hours, and what was made of them must not keep the facts of then.
    kept: dict[str, tuple[tuple[ref[Cluster], P, float, T], ...]] = {}
    _every.append(kept)
    making = threading.Lock()

    @wraps(make)
    def look(cluster: Cluster, now: float, policy: P) -> T:
        if (found := find(cluster, now, policy)) is not None:
            return found[3]
        with making:
            if (found := find(cluster, now, policy)) is None:
                found = ref(cluster), policy, now, make(cluster, now, policy)
                kept[cluster.name] = found, *kept.get(cluster.name, ())[:1]
        return found[3]

    def find(cluster: Cluster, now: float, policy: P) -> tuple[ref[Cluster], P, float, T] | None:
        for one in kept.get(cluster.name, ()):
            if one[0]() is cluster and one[1] is policy and abs(now - one[2]) < BRIEFLY_S:
                return one
        return None

    return look


def keep(name: str, alive: Sequence[Cluster]) -> None:
    """Of the sums over this cluster keep those of these Clusters alone: one that is looked up seldom would hold the
    facts of long ago. Any thread may call that makes none."""
    for prune in _prunings:
        prune(name, alive)


def forget(name: str) -> None:
    """A cluster was closed: keep nothing of it."""
    keep(name, ())
    for kept in _every:
        kept.pop(name, None)
