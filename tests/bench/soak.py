"""Soak test: the console for many minutes at the design point, with changing jobs and nodes. Does its memory grow, does
it stall?

`python -m tests.bench --part soak --minutes 10`: on the simulated cluster, the same over a slow line, on a live Slurm,
and on a live Slurm on the console's own cores.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.lab.slurm import Lab

from . import keys, live, procs, screens, slow_line
from .report import Row, quantile
from .screens import Case, Stalls
from .terminal import Answer, Terminal

_SAMPLE_S = 5.0
_CHURN_S = 4.0
_SLICE = 200
"""Array tasks submitted and cancelled at a time."""
SLOPE_MB = 1.0
"""MB per minute: more would be noticed within a shift."""


def demo(minutes: float, *, at_far_end: bool = False) -> list[Row]:
    """The simulated cluster, which changes by itself."""
    near = screens.embedded(12_000, 100_000)
    name = f"soak, {near.name}" + (", over 1 Mbit/s and 100 ms" if at_far_end else "")
    return _soak(Case(name, near.words, near.nodes), minutes, at_far_end)


def design(suite: str, minutes: float, *, shared: bool = False) -> list[Row]:
    """A live Slurm that is changed meanwhile. It gets the cores that the console leaves: a site's controller has a
    machine of its own.

    `shared` is a console on the controller's machine, with the same priority.
    """
    with ExitStack() as stack:
        running = stack.enter_context(live.lab(suite, 12_000, 100_000, alone=True))
        name = "soak, live Slurm, 12,000 nodes, 100,000 jobs" + (", on the controller's cores" if shared else "")
        if not shared:
            assert running.state.init
            procs.lower_priority(running.state.init[0])
        case = stack.enter_context(live.watched(running, name))
        churn = _Churn(running)
        churn.start()
        stack.callback(churn.stop)
        rows = _soak(case, minutes, at_far_end=False)
        return [*rows, Row(case.name, "changes made meanwhile", churn.made, "changes")]


class _Churn(threading.Thread):
    """Drains and resumes nodes, submits and cancels tasks, until stopped."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        self.made = 0
        self._lab = lab
        self._ending = threading.Event()

    def run(self) -> None:
        """Make a change every few seconds."""
        slices: list[str] = []
        for turn in itertools.count():
            if self._ending.wait(_CHURN_S):
                return
            first = 1 + turn // 4 * 16 % 11_000
            nodes = f"NodeName=gpu[{first:04d}-{first + 15:04d}]"
            match turn % 4:
                case 0:
                    self._lab.run(["scontrol", "update", nodes, "State=DRAIN", "Reason=soak"])
                case 1:
                    slices += self._lab.submit(1, user="bob", array=f"0-{_SLICE - 1}", name="soak", hold=True)
                case 2:
                    self._lab.run(["scontrol", "update", nodes, "State=UNDRAIN"])
                case 3 if len(slices) > 2:
                    self._lab.run(["scancel", slices.pop(0)])
            self.made += 1

    def stop(self) -> None:
        """Stop, after the change in progress."""
        self._ending.set()
        self.join()


def _soak(case: Case, minutes: float, at_far_end: bool) -> list[Row]:
    seconds = minutes * 60
    line = {"rate": slow_line.RATE, "delay_s": slow_line.DELAY_S} if at_far_end else {}
    with tempfile.TemporaryDirectory(prefix="wacht-bench-") as folder:
        stall_log = Stalls(Path(folder) / "stalls")
        with screens.console(case, stall_log.path, **line) as terminal:
            screens.wait_settled(case, terminal)
            stall_log.end_phase("the start")
            began, written, cpu = time.monotonic(), terminal.written, procs.cpu_s(terminal.pid)
            before = procs.descriptors(terminal.pid), procs.threads(terminal.pid)
            samples, answers = _watch(terminal, began, seconds)
            stall_log.end_phase("all the time")
            after = procs.descriptors(terminal.pid), procs.threads(terminal.pid)
            took = time.monotonic() - began
            flow = (terminal.written - written) / took
            used = (procs.cpu_s(terminal.pid) - cpu) / took * 100
    late = [(at, mb) for at, mb in samples if at >= seconds / 3]
    rows = [
        Row(case.name, "memory, slope over the last two thirds", round(slope(late) * 60, 3), "MB/min", target=SLOPE_MB),
        Row(case.name, "memory at first", round(samples[0][1]), "MB"),
        Row(case.name, "memory at last", round(samples[-1][1]), "MB"),
        Row(case.name, "memory, most", round(max(mb for _, mb in samples)), "MB"),
        Row(case.name, "descriptors more than at first", after[0] - before[0], "files", "count", _MORE),
        Row(case.name, "threads more than at first", after[1] - before[1], "threads", "count", _MORE),
        Row(case.name, "written, keys included", round(flow), "B/s", "count"),
        Row(case.name, "CPU, keys included", round(used, 1), "%"),
    ]
    less = slow_line.LINE_S if at_far_end else 0.0
    took_ms = [(one.last_s - less) * 1000 for one in answers if one is not None]
    if took_ms:
        rows.append(Row(case.name, "a key every few seconds: to screen, p95", round(quantile(took_ms, 0.95), 1), "ms"))
    rows.append(keys.unanswered(case.name, answers))
    return rows + screens.stall_rows(case, stall_log, took)


_MORE = 4
"""A running command has a thread and some pipes."""


def _watch(terminal: Terminal, began: float, seconds: float) -> tuple[list[tuple[float, float]], list[Answer | None]]:
    """Samples of its memory (seconds, MB), with a key before each: every screen in turn, and a move. Returns them
    and the answers."""
    samples: list[tuple[float, float]] = []
    answers: list[Answer | None] = []
    # Visit the screens while readings arrive, and move in two of their lists.
    for key in itertools.cycle(["2", "down", "3", "down", "4", "5", "7", "1"]):
        now = time.monotonic() - began
        samples.append((now, procs.own_rss_mb(terminal.pid)))
        if now >= seconds:
            return samples, answers
        if len(samples) % 12 == 0:
            print(f"  {now / 60:.1f} min, {samples[-1][1]:.0f} MB", file=sys.stderr, flush=True)
        answers.append(terminal.press(key, 3.0))
        time.sleep(max(0.0, min(_SAMPLE_S, seconds - now)))
    raise AssertionError


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Slope by least squares, of the second values over the first."""
    count = len(samples)
    if count < 2:
        return 0.0
    x, y = (sum(column) / count for column in zip(*samples, strict=True))
    below = sum((at - x) ** 2 for at, _ in samples)
    return sum((at - x) * (one - y) for at, one in samples) / below if below else 0.0
