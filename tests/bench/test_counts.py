"""Counts that a change must not make worse: bytes, stalls, keys without an answer. Never a time.

Each is held against its target, and against a quarter more than what tests/bench/results.json keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench import keys, report, screens, stall_watch, targets
from tests.bench.screens import Case
from tests.bench.terminal import Answer, Terminal

pytestmark = [pytest.mark.pty, pytest.mark.alone]

KEPT = report.load()
#: How much more than what is kept is a regression, and how often a neighbour's noise is given another chance.
MORE, WINDOWS = 1.25, 3
HOW = "mend it, or, where it is worth its price, measure anew and keep that: make bench ARGS='--part demo'"


def limit(case: str, what: str, target: float) -> float:
    """The most that a figure may be."""
    kept = None if KEPT is None else KEPT.value(case, what)
    return target if kept is None else min(target, MORE * kept)


def held(case: Case, what: str, target: float, measure: Callable[[], float]) -> None:
    """The least of some windows keeps the limit: what the program itself does, it does in every one."""
    most, seen = limit(case.name, what, target), []
    while not seen or (min(seen) > most and len(seen) < WINDOWS):
        seen.append(measure())
    told = ", ".join(f"{one:,.0f}" for one in seen)
    assert min(seen) <= most, f"{case.name}: {what}: {told}; {most:,.0f} at most. {HOW}"


def middle(answers: list[Answer | None]) -> float:
    """Bytes of the middle one. Every key has an answer."""
    assert None not in answers, f"{answers.count(None)} of {len(answers)} keys had no answer"
    return report.median([one.size for one in answers if one is not None])


@pytest.fixture(scope="module", params=[(256, None), (12_000, 100_000)], ids=lambda size: f"{size[0]} nodes")
def case(request: pytest.FixtureRequest) -> Case:
    return screens.embedded(*request.param)


@pytest.fixture(scope="module")
def terminal(case: Case) -> Iterator[Terminal]:
    """A console that has read everything, on the overview; each test leaves it there."""
    with screens.console(case) as made:
        screens.wait_settled(case, made)
        yield made


def test_bytes_at_rest(case: Case, terminal: Terminal) -> None:
    def flow() -> float:
        (row, *_) = screens.rest(case, terminal, 10.0)
        return row.value

    held(case, "at rest: written", case.targets.rest_bytes, flow)


def test_bytes_of_moves_and_of_views(case: Case, terminal: Terminal) -> None:
    aim = case.targets.move_bytes
    for view, name in (("2", "nodes"), ("3", "jobs")):
        terminal.press(view, 3.0, 0.15)
        terminal.wait_quiet(0.3, 3.0)
        for key in ("down", "up"):
            held(
                case,
                f"move in {name}: bytes, p50",
                aim,
                lambda key=key: middle([terminal.press(key) for _ in "1234567"]),
            )
    terminal.press("1", 3.0, 0.15)

    def views() -> float:
        return middle([terminal.press(view, 3.0, 0.15) for view in ("2", "3", "1")])

    # What the cursor is on is a view of its own, painted beside the list when the cursor rests; and without it.
    held(case, "change of view with what is beside: bytes, p50", targets.VIEW_BYTES, views)
    for key in ("2", "w", "1"):
        terminal.press(key, 3.0, 0.15)
        terminal.wait_quiet(0.3, 3.0)
    held(case, "change of view: bytes, p50", targets.VIEW_BYTES, views)
    for key in ("2", "w", "1"):
        terminal.press(key, 3.0, 0.15)
        terminal.wait_quiet(0.3, 3.0)


def test_stalls_that_every_poll_makes(case: Case, tmp_path: Path) -> None:
    """With a key now and then, on the overview and in the lists: readings of nodes and jobs come every 3 s."""
    told = tmp_path / "stalls"
    with screens.console(case, told) as made:
        screens.wait_settled(case, made)

        def over() -> float:
            seen = len(stall_watch.stalls(told))
            for view in ("1", "2", "3"):
                made.press(view, 3.0, 0.15)
                keys.hold(made, "down", round(3.5 / keys.HELD_S))
            return sum(one.ms > 100 for one in stall_watch.stalls(told)[seen:])

        held(case, "stalls over 100 ms", 0, over)
