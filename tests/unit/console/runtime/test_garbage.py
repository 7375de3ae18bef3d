"""Garbage is looked for while nobody waits for a key."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from console.runtime import garbage
from console.runtime.garbage import EVERY_S, LATEST_S, REST_S, Garbage
from tests.support.operator import console

pytestmark = pytest.mark.slow

IDLE, BUSY = REST_S + 1, 0.0
kept: list[str] = []


class _Knot:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Garbage]:
    """Of a console whose start has just ended."""
    before = gc.get_threshold()
    kept.clear()
    # It would be for all tests that follow.
    monkeypatch.setattr(gc, "freeze", lambda: kept.append("kept"))
    gc.disable()
    made = Garbage()
    made.started()
    assert not made.tend(0.0, BUSY, settled=False)
    yield made
    gc.set_threshold(*before)
    gc.enable()


def _litter() -> None:
    """Younger collections, as many as it takes."""
    while gc.get_count()[2] < garbage._WORTH:
        gc.collect(1)


def test_a_key_is_not_held_up(mine: Garbage) -> None:
    assert gc.isenabled() and gc.get_threshold()[2] == garbage._NEVER, "no full collection by itself"
    assert not mine.tend(LATEST_S / 2, BUSY, settled=True), "not even the first"
    assert mine.tend(100.0, IDLE, settled=True) and kept == ["kept", "kept"], "what has come is kept"
    _litter()
    assert not mine.tend(100.0 + EVERY_S / 2, IDLE, settled=True), "so soon again"
    _litter()
    assert not mine.tend(100.0 + EVERY_S, BUSY, settled=True)
    assert mine.tend(100.0 + EVERY_S, IDLE, settled=True) and len(kept) == 2, "and nothing later"


@pytest.mark.slow
def test_a_key_held_down_does_not_put_it_off_for_ever(mine: Garbage) -> None:
    assert mine.tend(0.0, IDLE, settled=True)
    _litter()
    assert not mine.tend(LATEST_S - 1, BUSY, settled=True)
    assert mine.tend(LATEST_S, BUSY, settled=True)


def test_where_little_was_made_nothing_is_looked_for(mine: Garbage) -> None:
    assert mine.tend(0.0, IDLE, settled=True)
    assert not mine.tend(EVERY_S, IDLE, settled=True)


@pytest.mark.slow
def test_what_refers_to_itself_goes(mine: Garbage) -> None:
    assert mine.tend(0.0, IDLE, settled=True)
    for _ in range(1000):
        _Knot()
    _litter()
    assert mine.tend(EVERY_S, IDLE, settled=True)
    assert not any(isinstance(one, _Knot) for one in gc.get_objects())


async def test_what_was_painted_refers_to_nothing_that_refers_to_it() -> None:
    """Lines did, each with seven caches: 10,000 objects a screen that only a full collection could free."""
    async with console() as op:
        await op.press("2", "3", "4", "1")
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await op.press("2", "3", "4", "1")
            gc.collect()
            found = Counter(type(one).__name__ for one in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert found["Strip"] + found["FIFOCache"] == 0 < found.total(), found


async def test_a_line_that_is_painted_has_only_the_caches_it_uses() -> None:
    """It had seven, most of them for nothing: two of five objects that each look for garbage walks over."""
    async with console() as op:
        await op.press("2", "3", "4", "1")
        alive = Counter(type(one).__name__ for one in gc.get_objects())
        assert 0 < alive["FIFOCache"] < alive["Strip"]


def test_elsewhere_it_is_left_to_python() -> None:
    before = gc.get_threshold()
    other = Garbage()
    other.started()
    _litter()
    assert not other.tend(0.0, IDLE, settled=True) and gc.get_threshold() == before
