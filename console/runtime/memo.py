"""Memoises pure functions of a Cluster, so that sums over a whole machine are computed once for each reading.

A reading changes some kinds of facts, a clock tick none. The poller's thread computes what the screens show before it
publishes a Cluster (`WachtScreen.sums`), so that the event loop only looks it up.
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
"""Seconds for which a result that depends on the time is reused; ages in it are no more precise than that."""
_every: list[dict[str, Any]] = []
_prunings: list[Callable[[str, Sequence[Cluster]], None]] = []
Sum = Callable[[Cluster], Any]


def remembered(*fields: str) -> Callable[[Callable[[Cluster], T]], Callable[[Cluster], T]]:
    """Keep the last two results of each cluster while these fields, all that the function reads, are the same objects.
    Two, because the poller computes the next while the event loop reads the current one. Thread-safe. Results must
    not be changed; the function may call other memos, but not itself.
    """

    def wrap(make: Callable[[Cluster], T]) -> Callable[[Cluster], T]:
        kept: dict[str, tuple[tuple[tuple[object, ...], T], ...]] = {}
        _every.append(kept)
        making = threading.Lock()

        def look(cluster: Cluster) -> T:
            # Called for every node of a machine in turn, so without a Python loop.
            of = tuple(map(getattr, repeat(cluster), fields))
            known = kept.get(cluster.name, ())
            for one in known:
                if all(map(is_, one[0], of)):
                    return one[1]
            with making:
                # Wait for a computation under way: doing it twice at once takes twice as long.
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
    """The same for functions that also depend on the time and a policy: the poller's thread computes the result at the
    time of the reading, and the event loop looks it up.
    """
    # Weak references: alerts may not change for hours, and the results must not keep old facts alive.
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
    """Drop the results of this cluster made of other Clusters than these: a memo that is seldom used would keep old
    facts alive. Thread-safe, but not from within a memoised function.
    """
    for prune in _prunings:
        prune(name, alive)


def forget(name: str) -> None:
    """Drop everything about a closed cluster."""
    keep(name, ())
    for kept in _every:
        kept.pop(name, None)
