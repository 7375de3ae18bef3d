"""The measure of tests that hold what work costs."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from tests.support.yardstick import cost, yard


def many(times: int):
    return lambda: [yard() for _ in range(times)]


def test_it_counts_work_and_not_time():
    assert 0.6 < cost(yard) < 1.6
    assert 2.5 < cost(many(4)) < 6.5, "four times the work is four times the cost"
    assert 0.6 < cost(many(3), of=many(3)) < 1.6
    assert cost(lambda: time.sleep(0.05), rounds=2) < 0.5, "who waits does nothing"
    assert cost(elsewhere, rounds=2) < 0.5, "another thread's work is not this one's"


def elsewhere() -> None:
    other = threading.Thread(target=many(4))
    other.start()
    other.join()


def test_a_machine_with_other_things_to_do_changes_little():
    over = threading.Event()

    def busy() -> None:
        while not over.is_set():
            yard()

    others = [threading.Thread(target=busy) for _ in range(2)]
    for one in others:
        one.start()
    try:
        found = cost(many(4), rounds=6)
    finally:
        over.set()
        for one in others:
            one.join()
    assert 1.8 < found < 9, "four, and what they do to the caches"


def test_the_quickest_round_counts():
    waits = iter([8, 1, 8])
    assert cost(lambda: many(next(waits))(), rounds=3) < 2.5


def test_garbage_of_others_is_collected_afterwards_again():
    seen = []
    with pytest.raises(ZeroDivisionError):
        cost(lambda: seen.append(gc.isenabled()) or 1 / 0)
    assert (seen, gc.isenabled()) == ([False], True)
