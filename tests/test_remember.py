"""Sums that are made once, although two threads ask for them and one is a reading ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from collectors.model import Cluster
from console.remember import forget, remembered

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
