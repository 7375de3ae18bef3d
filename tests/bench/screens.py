"""Responsiveness of the console in a pty of 200x50: start, rest, keys and stalls."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.command_log import PROGRAM_VAR, CommandLog
from tests.support.paths import ROOT

from . import keys, procs, stall_watch, targets
from .report import Row, median
from .terminal import Terminal

#: Any text; the number of nodes; the number of pending jobs.
FIRST = re.compile(r"\S")
USEFUL = (re.compile(r"Nodes\s+[\d,]*\d"), re.compile(r"pending\s+[\d,]*\d"))
_TIMEOUT_S = 60.0
_SETTLE_S = 2.0
#: Every screen, in the order of its key.
SCREENS = {"1": "Overview", "2": "Nodes", "3": "Jobs", "4": "GPUs", "5": "Power", "6": "Alerts", "7": "Partitions",
           "8": "Journal"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One cluster that the console is measured on."""

    name: str
    words: tuple[str, ...]
    """Arguments of wacht."""
    nodes: int
    command_log: CommandLog | None = None
    """The log of its Slurm commands, on a live Slurm."""
    one_array: bool = False
    """Whether the pending jobs are the tasks of one array."""

    @property
    def targets(self) -> targets.Targets:
        """The targets for this size."""
        return targets.targets_for(self.nodes)

    @property
    def more(self) -> Mapping[str, str]:
        """Additional environment variables."""
        return {} if self.command_log is None else {"PATH": self.command_log.path, PROGRAM_VAR: "wacht"}


@dataclass(frozen=True, slots=True)
class Effort:
    """Number of repeats and durations of the measurements."""

    starts: int
    rest_s: float
    keys_s: float
    """Seconds of cursor moves: several polls must fall into them."""
    repeats: int
    """Repeats of everything but cursor moves."""
    dwell_s: float
    """Seconds on each screen while stalls are measured."""


QUICK = Effort(1, 5, 6, 3, 1)


def embedded(nodes: int, jobs: int | None = None) -> Case:
    """The simulated cluster."""
    words = ("demo", "--nodes", str(nodes), *(("--jobs", str(jobs)) if jobs else ()))
    return Case(f"embedded, {nodes:,} nodes" + (f", {jobs:,} jobs" if jobs else ""), words, nodes)


def wacht(*words: str) -> list[str]:
    """The command line of this checkout's wacht, the installed one if there is one."""
    installed = Path(sys.executable).with_name("wacht")
    if installed.exists():
        return [str(installed), *words]
    return [sys.executable, "-c", "from console.cli.main import main; main()", *words]


def environment(home: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment: a plain terminal and an empty home, without the user's configuration and state."""
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if key in os.environ}
    return kept | {
        "HOME": home, "XDG_STATE_HOME": f"{home}/state", "XDG_CONFIG_HOME": f"{home}/config", "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color", "COLORTERM": "truecolor",
    } | dict(more or {})  # fmt: skip


@contextlib.contextmanager
def console(
    case: Case, stall_log: Path | None = None, *, rate: float | None = None, delay_s: float = 0.0
) -> Iterator[Terminal]:
    """A console with a home of its own; with `stall_log` it logs its stalls there."""
    argv, more = wacht(*case.words), dict(case.more)
    if stall_log is not None:
        argv = [sys.executable, "-m", "tests.bench.stall_watch", str(stall_log), *case.words]
        more["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (
        tempfile.TemporaryDirectory(prefix="wacht-bench-", ignore_cleanup_errors=True) as home,
        Terminal(argv, environment(home, more), rate=rate, delay_s=delay_s) as terminal,
    ):
        yield terminal


def until_useful(case: Case, terminal: Terminal) -> tuple[float, float]:
    """Seconds to the first frame and to the first with facts. Raises RuntimeError if there is none in time."""
    first, *useful = terminal.first([FIRST, *USEFUL], _TIMEOUT_S)
    if first is None or None in useful:
        raise RuntimeError(f"{case.name}: no useful frame in {_TIMEOUT_S:g} s:\n{terminal.text()}")
    return first, max(at for at in useful if at is not None)


def wait_settled(case: Case, terminal: Terminal) -> None:
    """Wait until every source was read once and nothing is painted."""
    until_useful(case, terminal)
    time.sleep(_SETTLE_S)
    terminal.wait_quiet(0.3, 5.0)


def starts(case: Case, effort: Effort) -> list[Row]:
    """The median start."""
    seen = []
    for _ in range(effort.starts):
        with console(case) as terminal:
            seen.append(until_useful(case, terminal))
    aim = case.targets
    return [
        Row(case.name, "first frame", round(median([one for one, _ in seen]), 3), "s", target=aim.first_s),
        Row(case.name, "first useful frame", round(median([one for _, one in seen]), 3), "s", target=aim.useful_s),
    ]


def session(case: Case, effort: Effort) -> list[Row]:
    """Rest on the overview, then keys: the cost of each."""
    with console(case) as terminal:
        wait_settled(case, terminal)
        rows = rest(case, terminal, effort.rest_s)
        asked = _commands_started(case)
        pressed = keys.press_all(terminal, effort.keys_s, effort.repeats, unfold=case.one_array)
        rows += keys.rows(case.name, pressed, case.targets)
        if case.command_log is not None:
            rows.append(
                Row(
                    case.name, "Slurm commands while the keys were pressed", _commands_started(case) - asked, "commands"
                )
            )
        rows.append(Row(case.name, "memory after the keys", round(procs.rss_mb(terminal.pid)), "MB"))
    return rows


def rest(case: Case, terminal: Terminal, rest_s: float) -> list[Row]:
    """The cost at rest."""
    started, aim = case.command_log, case.targets
    before = (started.commands("wacht"), started.rpcs()) if started else None
    written, cpu, began = terminal.written, procs.cpu_s(terminal.pid), time.monotonic()
    time.sleep(rest_s)
    took = time.monotonic() - began
    used = (procs.cpu_s(terminal.pid) - cpu) / took * 100
    flow, memory = (terminal.written - written) / took, procs.rss_mb(terminal.pid)
    rows = [
        Row(case.name, "at rest: written", round(flow), "B/s", "count", aim.rest_bytes),
        Row(case.name, "at rest: CPU of the process tree", round(used, 1), "%", target=aim.cpu_pct),
        Row(case.name, "at rest: memory of the process tree", round(memory), "MB", target=aim.memory_mb),
    ]
    if started is None or before is None:
        return rows
    asked, (calls, ms), each = started.commands("wacht") - before[0], started.rpcs(), 60 / took
    limit = aim.commands_min
    rows.append(
        Row(case.name, "at rest: Slurm commands started", round(asked.total() * each, 1), "/min", "count", limit)
    )
    rows += [
        Row(case.name, f"at rest: of them {name}", round(count * each, 1), "/min")
        for name, count in sorted(asked.items())
    ]
    return [
        *rows,
        Row(case.name, "at rest: RPCs of its user", round((calls - before[1][0]) * each, 1), "/min", "count"),
        Row(case.name, "at rest: the controller's time for them", round((ms - before[1][1]) * each, 1), "ms/min"),
    ]


def _commands_started(case: Case) -> int:
    return 0 if case.command_log is None else case.command_log.commands("wacht").total()


@dataclass
class Stalls:
    """The stalls of a console by phase."""

    path: Path
    seen: int = 0
    phases: dict[str, list[stall_watch.Stall]] = field(default_factory=dict)

    def end_phase(self, phase: str) -> None:
        """Assign the stalls since the last call to this phase."""
        stalls = stall_watch.stalls(self.path)
        self.phases.setdefault(phase, []).extend(stalls[self.seen :])
        self.seen = len(stalls)

    def longest(self, phase: str | None = None) -> stall_watch.Stall:
        """The longest stall of a phase, of all phases by default."""
        of = self.phases.values() if phase is None else [self.phases.get(phase, [])]
        return max((one for found in of for one in found), key=lambda one: one.ms, default=stall_watch.Stall(0.0, 0.0))

    def over(self, limit_ms: float) -> int:
        """Number of longer stalls."""
        return sum(one.ms > limit_ms for found in self.phases.values() for one in found)

    def own_over(self, limit_ms: float) -> int:
        """Number of stalls for which the console's own part was longer."""
        return sum(one.own_ms > limit_ms for found in self.phases.values() for one in found)


def stalls(case: Case, effort: Effort) -> list[Row]:
    """Stalls of the event loop with the same keys, and on every screen."""
    with tempfile.TemporaryDirectory(prefix="wacht-bench-") as folder:
        stall_log = Stalls(Path(folder) / "stalls")
        with console(case, stall_log.path) as terminal:
            until_useful(case, terminal)
            stall_log.end_phase("the start")
            began = time.monotonic()
            time.sleep(effort.rest_s / 2)
            stall_log.end_phase("the overview at rest")
            keys.press_all(terminal, effort.keys_s, effort.repeats, unfold=case.one_array)
            stall_log.end_phase("keys in nodes and jobs")
            for key, name in SCREENS.items():
                terminal.press(key, 3.0)
                time.sleep(effort.dwell_s)
                stall_log.end_phase(name)
            lasted = time.monotonic() - began
    return stall_rows(case, stall_log, lasted)


def stall_rows(case: Case, stall_log: Stalls, lasted: float) -> list[Row]:
    """Rows for the stalls after the first useful frame; the start counts as a start."""
    start = stall_log.phases.pop("the start", [])
    limit, longest = case.targets.stall_ms, stall_log.longest()
    rows = [
        Row(case.name, "under the probe for", round(lasted), "s"),
        Row(case.name, "longest stall of the event loop", round(longest.ms, 1), "ms", target=limit),
    ]
    if longest.waited_ms is not None:
        rows.append(Row(case.name, "of it waiting for a core", round(longest.waited_ms, 1), "ms"))
    for ms in (20, 50, 100):
        aim = 0 if ms >= limit else None
        rows.append(Row(case.name, f"stalls over {ms} ms", stall_log.over(ms), "stalls", "count", aim))
    rows.append(Row(case.name, f"of its own doing over {limit:g} ms", stall_log.own_over(limit), "stalls", "count"))
    rows += [
        Row(case.name, f"longest stall: {phase}", round(stall_log.longest(phase).ms, 1), "ms")
        for phase in stall_log.phases
    ]
    most = max((one.ms for one in start), default=0)
    return [*rows, Row(case.name, "longest stall: until the first useful frame", round(most, 1), "ms")]


def measured(case: Case, effort: Effort) -> list[Row]:
    """All measurements of a case."""
    return [*starts(case, effort), *session(case, effort), *stalls(case, effort)]


def demo(quick: bool) -> list[Row]:
    """The simulated cluster: small, medium, and at the design point."""
    small = QUICK if quick else Effort(5, 15, 12, 3, 1)
    large = QUICK if quick else Effort(3, 25, 30, 3, 4)
    cases: Sequence[tuple[Case, Effort]] = (
        (embedded(256), small),
        (embedded(1_000), small),
        (embedded(12_000, 100_000), large),
    )
    return [row for case, effort in cases for row in measured(case, effort)]
