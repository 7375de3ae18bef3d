"""Keys as people press them while polls arrive: cursor moves at a fixed rate, pages, changes of view, opening a
node."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import targets
from .report import Row, quantile
from .terminal import Answer, Terminal

BEAT_S = 0.25
HELD_S = 1 / 30
"""Seconds between two repeats of a key that is held down."""
_ROWS = 12
"""Moves down and up again: every list has room for them without scrolling."""
_BEYOND = 50
"""More rows than the screen shows: from there each move scrolls."""
_SETTLE_S = 0.15

Answers = list[Answer | None]


@dataclass
class Pressed:
    """The answers to the keys of each kind; None for no answer."""

    still: dict[str, Answers] = field(default_factory=dict)
    """Moves of the cursor that do not scroll, by list."""
    scrolling: dict[str, Answers] = field(default_factory=dict)
    pages: dict[str, Answers] = field(default_factory=dict)
    views: Answers = field(default_factory=list)
    opened: Answers = field(default_factory=list)

    @property
    def moves(self) -> Answers:
        """All moves of the cursor."""
        return [one for answers in (*self.still.values(), *self.scrolling.values()) for one in answers]


def hold(terminal: Terminal, key: str, times: int) -> None:
    """Hold a key down for `times` repeats."""
    for _ in range(times):
        terminal.send(key)
        time.sleep(HELD_S)


def move(terminal: Terminal, seconds: float) -> tuple[Answers, Answers]:
    """Cursor moves at a fixed rate for `seconds`: two thirds within the screen, then some that scroll."""
    began = due = time.monotonic()
    still: Answers = []
    while due < began + seconds * 2 / 3:
        still.append(terminal.press("down" if len(still) // _ROWS % 2 == 0 else "up"))
        due = _beat(due)
    if len(still) // _ROWS % 2:  # back to the start, so that the next moves leave the screen
        hold(terminal, "up", _ROWS)
    hold(terminal, "down", _BEYOND)
    terminal.wait_quiet(0.3, 3.0)
    scrolling: Answers = []
    due = time.monotonic()
    while not scrolling or due < began + seconds:
        scrolling.append(terminal.press("down"))
        due = _beat(due)
    return still, scrolling


def _beat(due: float) -> float:
    due = max(due + BEAT_S, time.monotonic())
    time.sleep(max(0.0, due - time.monotonic()))
    return due


def press_all(terminal: Terminal, seconds: float, repeats: int, *, unfold: bool = False) -> Pressed:
    """Press all kinds of keys on an idle console; ends on the overview. `unfold`: the jobs are the tasks of one array,
    which is one row until it is unfolded."""
    pressed = Pressed()
    for view, name in (("2", "nodes"), ("3", "jobs")):
        terminal.press(view, 3.0, _SETTLE_S)
        terminal.wait_quiet(0.3, 3.0)
        if unfold and name == "jobs":
            terminal.press("home", 3.0, _SETTLE_S)
            terminal.press("+", 3.0, _SETTLE_S)
            terminal.wait_quiet(0.3, 3.0)
        pressed.still[name], pressed.scrolling[name] = move(terminal, seconds / 2)
        pressed.pages[name] = [terminal.press(key) for key in ("pagedown", "pageup") * repeats]
    for _ in range(repeats):
        terminal.press("2", 3.0, _SETTLE_S)
        pressed.opened.append(terminal.press("enter", 3.0, _SETTLE_S))
        terminal.press("escape", 3.0, _SETTLE_S)
    terminal.press("1", 3.0, _SETTLE_S)
    pressed.views = [terminal.press(key, 3.0, _SETTLE_S) for key in ("2", "3", "1") * repeats]
    return pressed


def rows(case: str, pressed: Pressed, aim: targets.Targets) -> list[Row]:
    """Rows for the keys. The median of the bytes must meet the target: a poll may paint beside any move."""
    found = times(case, "cursor moves while polls arrive", pressed.moves, aim.key_ms)
    for name in pressed.still:
        found += times(case, f"move in {name}", pressed.still[name])
        found += sizes(case, f"move in {name}", pressed.still[name], aim.move_bytes)
        found += sizes(case, f"move that scrolls {name}", pressed.scrolling[name])
        found += times(case, f"page of {name}", pressed.pages[name])
        found += sizes(case, f"page of {name}", pressed.pages[name])
    found += times(case, "change of view", pressed.views)
    found += sizes(case, "change of view", pressed.views, targets.VIEW_BYTES)
    first = [answer.first_s * 1000 for answer in pressed.opened if answer is not None]
    if first:
        worst = round(quantile(first, 0.95), 1)
        found.append(Row(case, "opening a node: key to first facts, p95", worst, "ms", target=targets.OPEN_MS))
    everything = [*pressed.moves, *(one for page in pressed.pages.values() for one in page), *pressed.views]
    everything += pressed.opened
    found.append(Row(case, "keys pressed", len(everything), "keys"))
    return [*found, unanswered(case, everything)]


def times(
    case: str, what: str, answers: Sequence[Answer | None], aim: float | None = None, less_s: float = 0.0,
    program: str = "wacht",
) -> list[Row]:  # fmt: skip
    """Time from a key to the last byte of what it painted, less the time of the line."""
    took = [(answer.last_s - less_s) * 1000 for answer in answers if answer is not None]
    if not took:
        return []
    return [
        Row(case, f"{what}: key to screen, p50", round(quantile(took, 0.5), 1), "ms", program=program),
        Row(case, f"{what}: key to screen, p95", round(quantile(took, 0.95), 1), "ms", target=aim, program=program),
        Row(case, f"{what}: key to screen, max", round(max(took), 1), "ms", program=program),
    ]


def sizes(
    case: str, what: str, answers: Sequence[Answer | None], aim: float | None = None, program: str = "wacht"
) -> list[Row]:
    """Bytes per key."""
    come = [answer.size for answer in answers if answer is not None]
    if not come:
        return []
    return [
        Row(case, f"{what}: bytes, p50", round(quantile(come, 0.5)), "B", "count", aim, program),
        Row(case, f"{what}: bytes, p95", round(quantile(come, 0.95)), "B", "count", None, program),
    ]


def unanswered(case: str, answers: Sequence[Answer | None], aim: float | None = 0, program: str = "wacht") -> Row:
    """Number of keys without output."""
    return Row(case, "keys without an answer", sum(one is None for one in answers), "keys", "count", aim, program)
