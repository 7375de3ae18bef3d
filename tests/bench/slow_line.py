"""The console over a line of 1 Mbit/s with 50 ms each way: delays beyond those of the line itself."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

from . import keys, screens
from .report import Row
from .screens import QUICK, Case, Effort, Stalls
from .terminal import Terminal

RATE = 125_000.0
"""Bytes per second: 1 Mbit/s."""
DELAY_S = 0.05
"""Seconds one way."""
LINE_S = 2 * DELAY_S
"""Seconds from a key to the first byte of its answer that the line itself takes."""
_SLOW = re.compile("SLOW LINE")
_HELD_S = 4.0


def demo(quick: bool) -> list[Row]:
    """The simulated cluster at both sizes."""
    effort = QUICK if quick else Effort(1, 12, 16, 4, 1)
    return [row for nodes, jobs in ((256, None), (12_000, 100_000)) for row in measured(nodes, jobs, effort)]


def measured(nodes: int, jobs: int | None, effort: Effort) -> list[Row]:
    """Start, rest, cursor moves, then a key held down until the line is full, and the recovery."""
    near = screens.embedded(nodes, jobs)
    case = Case(f"{near.name}, over 1 Mbit/s and 100 ms", near.words, nodes)
    with tempfile.TemporaryDirectory(prefix="wacht-bench-") as folder:
        stall_log = Stalls(Path(folder) / "stalls")
        with screens.console(case, stall_log.path, rate=RATE, delay_s=DELAY_S) as terminal:
            first, useful = screens.until_useful(case, terminal)
            stall_log.end_phase("the start")
            began = time.monotonic()
            rows = [
                Row(case.name, "first frame", round(first, 3), "s"),
                Row(case.name, "first useful frame", round(useful, 3), "s"),
            ]
            time.sleep(2.0)
            rows.append(_flow(case, terminal, effort.rest_s))
            stall_log.end_phase("rest")
            terminal.press("2", 3.0, 0.3)
            terminal.wait_quiet(0.5, 3.0)
            still, scrolling = keys.move(terminal, effort.keys_s)
            rows += keys.times(
                case.name, "cursor moves while polls arrive, less the line", [*still, *scrolling], less_s=LINE_S
            )
            rows += keys.sizes(case.name, "move in nodes", still, case.targets.move_bytes)
            rows += keys.sizes(case.name, "move that scrolls nodes", scrolling)
            stall_log.end_phase("cursor moves")
            rows += _held(case, terminal, "page down and up in turns", ("pagedown", "pageup"))
            rows += _held(case, terminal, "two views in turns", ("2", "3"))
            stall_log.end_phase("a key held down")
            slow = [terminal.press("up" if at % 2 else "down", 3.0) for at in range(2 * effort.repeats)]
            rows += keys.times(case.name, "moves on a line that was filled, less the line", slow, less_s=LINE_S)
            stall_log.end_phase("after it")
            rows.append(keys.unanswered(case.name, [*still, *scrolling, *slow]))
            lasted = time.monotonic() - began
    return rows + screens.stall_rows(case, stall_log, lasted)


def _flow(case: Case, terminal: Terminal, seconds: float) -> Row:
    written = terminal.written
    time.sleep(seconds)
    return Row(
        *(case.name, "at rest: written", round((terminal.written - written) / seconds), "B/s", "count"),
        case.targets.rest_bytes,
    )


def _held(case: Case, terminal: Terminal, what: str, pair: tuple[str, str]) -> list[Row]:
    """Press keys at repeat rate, so that the line may fill. Measures whether the console notices, and what it still
    sends after the last key."""
    written, began = terminal.written, time.monotonic()
    for key in pair * round(_HELD_S / keys.HELD_S / 2):
        keys.hold(terminal, key, 1)
    released = time.monotonic()
    terminal.wait_quiet(0.5, 10.0)
    lag_s = max(0.0, terminal.last_at - released - LINE_S)
    (slow,) = terminal.first([_SLOW], time.monotonic() - terminal.began + 0.1)
    what = f"{what}, held for {_HELD_S:g} s"
    rows = [
        Row(case.name, f"{what}: written", terminal.written - written, "B", "count"),
        Row(case.name, f"{what}: behind the hand at the end, less the line", round(lag_s, 2), "s"),
        Row(case.name, f"{what}: SLOW LINE is told", int(slow is not None), "1: yes"),
    ]
    if slow is not None:
        noticed_s = max(0.0, slow - (began - terminal.began))
        rows.append(Row(case.name, f"{what}: SLOW LINE is told after", round(noticed_s, 2), "s"))
    return rows
