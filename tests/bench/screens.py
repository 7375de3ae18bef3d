"""What an operator feels: the start, keys, bytes and rest of the console in a pty of 200x50."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import procs
from .report import Row, median, quantile
from .terminal import Answer, Terminal

#: Something stands there; the nodes are counted; the queue is counted.
FIRST = re.compile(r"\S")
USEFUL = (re.compile(r"Nodes\s+[\d,]*\d"), re.compile(r"pending\s+[\d,]*\d"))
FRAME_TARGET_S = 0.6
# The wire's budgets: the house's Textual notes.
MOVE_BYTES, VIEW_BYTES = 1_500, 30_000
OPEN_MS = 100.0  # the first facts of a node that was opened
REST_BYTES, REST_BYTES_LARGE = 2_000, 8_000
LARGE = 1_000
_SETTLE_S = 0.15


def wacht(*words: str) -> list[str]:
    """The command line of this checkout's wacht, as installed beside this Python where it is."""
    installed = Path(sys.executable).with_name("wacht")
    if installed.exists():
        return [str(installed), *words]
    return [sys.executable, "-c", "from console.cli import main; main()", *words]


def environment(home: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A plain terminal, an empty home: no configuration of the one who measures takes part."""
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if key in os.environ}
    return kept | {
        "HOME": home, "XDG_STATE_HOME": f"{home}/state", "XDG_CONFIG_HOME": f"{home}/config", "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color", "COLORTERM": "truecolor",
    } | dict(more or {})  # fmt: skip


def start(
    case: str, argv: Sequence[str], env: Mapping[str, str], repeats: int, timeout_s: float, target: float | None = None
) -> list[Row]:
    """Time to the first frame and to the first that tells something, the middle one of several starts."""
    firsts, usefuls = [], []
    for _ in range(repeats):
        with Terminal(argv, env) as terminal:
            first, *useful = terminal.first([FIRST, *USEFUL], timeout_s)
            if first is None or None in useful:
                raise RuntimeError(f"{' '.join(argv)} showed no useful frame in {timeout_s:g} s:\n{terminal.text()}")
            firsts.append(first)
            usefuls.append(max(at for at in useful if at is not None))
    return [
        Row(case, "first frame", round(median(firsts), 3), "s"),
        Row(case, "first useful frame", round(median(usefuls), 3), "s", target=target),
    ]


def session(
    case: str, argv: Sequence[str], env: Mapping[str, str], *, nodes: int, timeout_s: float, rest_s: float, keys: int
) -> list[Row]:
    """Rest, then keys in the list of nodes and of jobs, then views: what each costs."""
    rows = []
    with Terminal(argv, env) as terminal:
        if None in terminal.first(USEFUL, timeout_s):
            raise RuntimeError(f"{' '.join(argv)} showed no useful frame in {timeout_s:g} s:\n{terminal.text()}")
        terminal.wait_quiet(0.3, 5.0)
        time.sleep(2.0)
        rows += _rest(case, terminal, rest_s, nodes)
        for view, name in (("2", "nodes"), ("3", "jobs")):
            terminal.press(view, 3.0, _SETTLE_S)
            terminal.wait_quiet(0.3, 3.0)
            rows += _answers(case, f"cursor down in {name}", [terminal.press("down") for _ in range(keys)], MOVE_BYTES)
            pages = [terminal.press(key) for key in ("pagedown", "pageup") * (keys // 4)]
            rows += _answers(case, f"page in {name}", pages, None)
        opened = []
        for _ in range(max(3, keys // 10)):
            terminal.press("2", 3.0, _SETTLE_S)
            opened.append(terminal.press("enter", 3.0, _SETTLE_S))
            terminal.press("escape", 3.0, _SETTLE_S)
        first = [answer.first_s * 1000 for answer in opened if answer is not None]
        what = "opening a node: key to first facts, p95"
        rows.append(Row(case, what, round(quantile(first, 0.95), 1), "ms", "wall", OPEN_MS))
        terminal.press("1", 3.0, _SETTLE_S)
        views = [terminal.press(key, 3.0, _SETTLE_S) for key in ("2", "3", "1") * max(1, keys // 10)]
        rows += _answers(case, "change of view", views, VIEW_BYTES)
        rows.append(Row(case, "memory after that", round(procs.rss_mb(terminal.pid)), "MB"))
    return rows


def _rest(case: str, terminal: Terminal, rest_s: float, nodes: int) -> list[Row]:
    written, cpu, began = terminal.written, procs.cpu_s(terminal.pid), time.monotonic()
    time.sleep(rest_s)
    took = time.monotonic() - began
    budget = REST_BYTES if nodes <= LARGE else REST_BYTES_LARGE
    return [
        Row(
            case, f"at rest, written ({rest_s:g} s)", round((terminal.written - written) / took), "B/s", "count", budget
        ),
        Row(case, "at rest, CPU of the process tree", round((procs.cpu_s(terminal.pid) - cpu) / took * 100, 1), "%"),
        Row(case, "memory of the process tree", round(procs.rss_mb(terminal.pid)), "MB"),
    ]


def _answers(case: str, what: str, answers: Sequence[Answer | None], budget: int | None) -> list[Row]:
    """Times to the last byte of what a key painted, and its bytes; the middle one has to keep the budget."""
    come = [answer for answer in answers if answer is not None]
    if not come:
        return [Row(case, f"{what}: keys without an answer", len(answers), "keys", "count", 0)]
    times = [answer.last_s * 1000 for answer in come]
    sizes = [answer.size for answer in come]
    return [
        Row(case, f"{what}: key to screen, p50", round(quantile(times, 0.5), 1), "ms"),
        Row(case, f"{what}: key to screen, p95", round(quantile(times, 0.95), 1), "ms"),
        Row(case, f"{what}: key to screen, max", round(max(times), 1), "ms"),
        Row(case, f"{what}: bytes, p50", round(quantile(sizes, 0.5)), "B", "count", budget),
        Row(case, f"{what}: bytes, p95", round(quantile(sizes, 0.95)), "B", "count"),
        Row(case, f"{what}: keys without an answer", len(answers) - len(come), "keys", "count", 0),
    ]


def demo(quick: bool) -> list[Row]:
    """The embedded machine, small and at the design point."""
    rows = []
    for nodes, jobs in ((256, None), (12_000, 100_000)):
        words = ["demo", "--nodes", str(nodes), *(["--jobs", str(jobs)] if jobs else [])]
        case = f"wacht demo, {nodes:,} nodes" + (f", {jobs:,} jobs" if jobs else "")
        small = nodes <= LARGE
        with tempfile.TemporaryDirectory(prefix="wacht-bench-") as home:
            env = environment(home)
            repeats = (2 if quick else 7) if small else (1 if quick else 3)
            rows += start(case, wacht(*words), env, repeats, 60, FRAME_TARGET_S if small else None)
            rows += session(
                case, wacht(*words), env, nodes=nodes, timeout_s=60, rest_s=5 if quick else 20, keys=20 if quick else 60
            )
    return rows
