"""Sums that are made once, although two threads ask for them and one is a reading ahead."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from collectors.model import Cluster
from console.health.xid_policy import Policy, default_policy
from console.runtime.memo import BRIEFLY_S, forget, keep, remembered, remembered_briefly

NAME = "remember"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    forget(NAME)


def test_the_loop_looks_up_what_is_shown_while_the_poller_is_a_reading_ahead() -> None:
    made: list[Cluster] = []

    @remembered("nodes")
    def count(cluster: Cluster) -> int:
        made.append(cluster)
        return len(made)

    shown, next_one, after = (Cluster(name=NAME, nodes={}) for _ in range(3))
    assert [count(shown), count(next_one), count(shown), count(next_one)] == [1, 2, 1, 2]
    assert [count(after), count(next_one), count(shown)] == [3, 2, 4], "two are kept, no more"


def test_what_is_looked_up_seldom_keeps_no_facts_of_long_ago() -> None:
    @remembered("nodes", "jobs")
    def pair(cluster: Cluster) -> tuple[int, int]:
        return len(cluster.nodes), len(cluster.jobs)

    first = Cluster(name=NAME, nodes=_Facts(), jobs=_Facts())
    second = Cluster(name=NAME, nodes=first.nodes, jobs=_Facts())
    made = pair(first)
    keep(NAME, [first, second])
    assert pair(first) is made
    seen = weakref.ref(first.jobs)
    del first
    keep(NAME, [second])
    assert seen() is None


class _Facts(dict[str, Any]):
    """Rows that tell when they go."""


def test_who_asks_while_it_is_made_waits_for_it() -> None:
    began, go_on = threading.Event(), threading.Event()
    made: list[int] = []

    @remembered("nodes")
    def slow(_: Cluster) -> int:
        began.set()
        assert go_on.wait(10)
        made.append(1)
        return len(made)

    cluster, found = Cluster(name=NAME), list[int]()
    one, other = (threading.Thread(target=lambda: found.append(slow(cluster))) for _ in range(2))
    one.start()
    assert began.wait(10)
    other.start()
    go_on.set()
    one.join(10)
    other.join(10)
    assert found == [1, 1] and made == [1]


def test_what_depends_on_the_time_is_looked_up_for_a_moment_and_keeps_no_facts() -> None:
    made: list[float] = []

    @remembered_briefly
    def at(_: Cluster, now: float, policy: Policy) -> int:
        made.append(now)
        return len(made)

    policy, first, second = default_policy(), Cluster(name=NAME), Cluster(name=NAME)
    assert [at(first, 0.0, policy), at(second, 1.0, policy), at(first, BRIEFLY_S - 1, policy)] == [1, 2, 1]
    assert at(first, BRIEFLY_S, policy) == 3 and made == [0.0, 1.0, BRIEFLY_S]
    seen = weakref.ref(first)
    del first
    assert seen() is None
