"""What an operator feels: the start, rest, keys and stalls of the console in a pty of 200x50."""

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

from tests.support.paths import ROOT

from . import keys, probe, procs, targets
from .report import Row, median
from .started import WHO, Started
from .terminal import Terminal

#: Something stands there; the nodes are counted; the queue is counted.
FIRST = re.compile(r"\S")
USEFUL = (re.compile(r"Nodes\s+[\d,]*\d"), re.compile(r"pending\s+[\d,]*\d"))
_TIMEOUT_S = 60.0
_SETTLE_S = 2.0
#: Every screen, in the order of its key.
SCREENS = {"1": "Overview", "2": "Nodes", "3": "Jobs", "4": "GPUs", "5": "Power", "6": "Alerts", "7": "Partitions",
           "8": "Journal"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One machine that the console is tried on."""

    name: str
    words: tuple[str, ...]
    """Of the command line, after wacht."""
    nodes: int
    started: Started | None = None
    """Where it asks a Slurm of ours: what it asks."""

    @property
    def targets(self) -> targets.Targets:
        """What it may take."""
        return targets.of(self.nodes)

    @property
    def more(self) -> Mapping[str, str]:
        """What its environment holds besides."""
        return {} if self.started is None else {"PATH": self.started.path, WHO: "wacht"}


@dataclass(frozen=True, slots=True)
class Effort:
    """How often and how long things are done."""

    starts: int
    rest_s: float
    keys_s: float
    """Of cursor moves, so that several polls fall into it."""
    few: int
    """How often what is no cursor move is done."""
    dwell_s: float
    """On each screen, when stalls are looked for."""


QUICK = Effort(1, 5, 6, 3, 1)


def embedded(nodes: int, jobs: int | None = None) -> Case:
    """The embedded machine."""
    words = ("demo", "--nodes", str(nodes), *(("--jobs", str(jobs)) if jobs else ()))
    return Case(f"embedded, {nodes:,} nodes" + (f", {jobs:,} jobs" if jobs else ""), words, nodes)


def wacht(*words: str) -> list[str]:
    """The command line of this checkout's wacht, as installed beside this Python where it is."""
    installed = Path(sys.executable).with_name("wacht")
    if installed.exists():
        return [str(installed), *words]
    return [sys.executable, "-c", "from console.cli.main import main; main()", *words]


def environment(home: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A plain terminal, an empty home: no configuration of the one who measures takes part, and no older reading."""
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if key in os.environ}
    return kept | {
        "HOME": home, "XDG_STATE_HOME": f"{home}/state", "XDG_CONFIG_HOME": f"{home}/config", "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color", "COLORTERM": "truecolor",
    } | dict(more or {})  # fmt: skip


@contextlib.contextmanager
def console(
    case: Case, told: Path | None = None, *, rate: float | None = None, delay_s: float = 0.0
) -> Iterator[Terminal]:
    """A console of its own, with a home of its own; with `told` one that tells of its stalls there."""
    argv, more = wacht(*case.words), dict(case.more)
    if told is not None:
        argv = [sys.executable, "-m", "tests.bench.probe", str(told), *case.words]
        more["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (
        tempfile.TemporaryDirectory(prefix="wacht-bench-", ignore_cleanup_errors=True) as home,
        Terminal(argv, environment(home, more), rate=rate, delay_s=delay_s) as terminal,
    ):
        yield terminal


def until_useful(case: Case, terminal: Terminal) -> tuple[float, float]:
    """Seconds to the first frame and to the first that tells something. Raises RuntimeError when none comes."""
    first, *useful = terminal.first([FIRST, *USEFUL], _TIMEOUT_S)
    if first is None or None in useful:
        raise RuntimeError(f"{case.name}: no useful frame in {_TIMEOUT_S:g} s:\n{terminal.text()}")
    return first, max(at for at in useful if at is not None)


def settled(case: Case, terminal: Terminal) -> None:
    """Wait until it has read everything once and stands still."""
    until_useful(case, terminal)
    time.sleep(_SETTLE_S)
    terminal.wait_quiet(0.3, 5.0)


def starts(case: Case, effort: Effort) -> list[Row]:
    """The start, the middle one of several."""
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
    """Rest on the overview, then keys: what each costs."""
    with console(case) as terminal:
        settled(case, terminal)
        rows = rest(case, terminal, effort.rest_s)
        asked = _asked(case)
        pressed = keys.press_all(terminal, effort.keys_s, effort.few)
        rows += keys.rows(case.name, pressed, case.targets)
        if case.started is not None:
            rows.append(Row(case.name, "Slurm commands while the keys were pressed", _asked(case) - asked, "commands"))
        rows.append(Row(case.name, "memory after the keys", round(procs.rss_mb(terminal.pid)), "MB"))
    return rows


def rest(case: Case, terminal: Terminal, rest_s: float) -> list[Row]:
    """What it costs while nobody touches it."""
    started, aim = case.started, case.targets
    before = (started.commands("wacht"), started.calls()) if started else None
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
    asked, (calls, ms), each = started.commands("wacht") - before[0], started.calls(), 60 / took
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


def _asked(case: Case) -> int:
    return 0 if case.started is None else case.started.commands("wacht").total()


@dataclass
class Stalls:
    """The stalls of a console under the probe, phase by phase."""

    told: Path
    seen: int = 0
    phases: dict[str, list[probe.Stall]] = field(default_factory=dict)

    def ended(self, phase: str) -> None:
        """What has come since the last call belongs to that phase."""
        stalls = probe.stalls(self.told)
        self.phases.setdefault(phase, []).extend(stalls[self.seen :])
        self.seen = len(stalls)

    def longest(self, phase: str | None = None) -> probe.Stall:
        """Of all phases by default."""
        of = self.phases.values() if phase is None else [self.phases.get(phase, [])]
        return max((one for found in of for one in found), key=lambda one: one.ms, default=probe.Stall(0.0, 0.0))

    def over(self, limit_ms: float) -> int:
        """How many were longer."""
        return sum(one.ms > limit_ms for found in self.phases.values() for one in found)

    def own_over(self, limit_ms: float) -> int:
        """How many were longer by the console's own doing."""
        return sum(one.own_ms > limit_ms for found in self.phases.values() for one in found)


def stalls(case: Case, effort: Effort) -> list[Row]:
    """The same keys, and every screen, under the probe: how long the event loop stood still."""
    with tempfile.TemporaryDirectory(prefix="wacht-bench-") as folder:
        told = Stalls(Path(folder) / "stalls")
        with console(case, told.told) as terminal:
            until_useful(case, terminal)
            told.ended("the start")
            began = time.monotonic()
            time.sleep(effort.rest_s / 2)
            told.ended("the overview at rest")
            keys.press_all(terminal, effort.keys_s, effort.few)
            told.ended("keys in nodes and jobs")
            for key, name in SCREENS.items():
                terminal.press(key, 3.0)
                time.sleep(effort.dwell_s)
                told.ended(name)
            lasted = time.monotonic() - began
    return stall_rows(case, told, lasted)


def stall_rows(case: Case, told: Stalls, lasted: float) -> list[Row]:
    """After the first useful frame: the start is measured as a start."""
    start = told.phases.pop("the start", [])
    limit, longest = case.targets.stall_ms, told.longest()
    rows = [
        Row(case.name, "under the probe for", round(lasted), "s"),
        Row(case.name, "longest stall of the event loop", round(longest.ms, 1), "ms", target=limit),
    ]
    if longest.waited_ms is not None:
        rows.append(Row(case.name, "of it waiting for a core", round(longest.waited_ms, 1), "ms"))
    for ms in (20, 50, 100):
        aim = 0 if ms >= limit else None
        rows.append(Row(case.name, f"stalls over {ms} ms", told.over(ms), "stalls", "count", aim))
    rows.append(Row(case.name, f"of its own doing over {limit:g} ms", told.own_over(limit), "stalls", "count"))
    rows += [Row(case.name, f"longest stall: {phase}", round(told.longest(phase).ms, 1), "ms") for phase in told.phases]
    most = max((one.ms for one in start), default=0)
    return [*rows, Row(case.name, "longest stall: until the first useful frame", round(most, 1), "ms")]


def measured(case: Case, effort: Effort) -> list[Row]:
    """All of it."""
    return [*starts(case, effort), *session(case, effort), *stalls(case, effort)]


def demo(quick: bool) -> list[Row]:
    """The embedded machine: small, middling, and at the design point."""
    small = QUICK if quick else Effort(5, 15, 12, 3, 1)
    large = QUICK if quick else Effort(3, 25, 30, 3, 4)
    cases: Sequence[tuple[Case, Effort]] = (
        (embedded(256), small),
        (embedded(1_000), small),
        (embedded(12_000, 100_000), large),
    )
    return [row for case, effort in cases for row in measured(case, effort)]
