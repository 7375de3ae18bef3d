"""How costs grow with nodes, jobs and consoles: three sizes each, on live controllers without slurmd.

The consoles are headless: many terminals at once would measure this machine instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.lab.slurm import Lab
from tests.support.paths import ROOT

from . import live, procs, screens
from .command_log import PROGRAM_VAR, CommandLog
from .report import Row

#: (nodes, jobs): both series contain the middle size.
MIDDLE = (1_000, 10_000)
NODES = ((256, 10_000), MIDDLE, (12_000, 10_000))
JOBS = ((1_000, 1_000), MIDDLE, (1_000, 100_000))
CONSOLES = (1, 4, 12)
USERS = ("alice", "bob", "carol")
_TIMEOUT_S = 60.0
_REST_S = 20.0


def case(nodes: int, jobs: int, consoles: int, users: int = 1) -> str:
    """The name of a case."""
    who = "a console" if consoles == 1 else f"{consoles} consoles of {'one user' if users == 1 else f'{users} users'}"
    return f"growth, {nodes:,} nodes, {jobs:,} jobs, {who}"


def measured(suite: str, quick: bool) -> list[Row]:
    """Measure every size once."""
    rows: list[Row] = []
    for nodes, jobs in sorted({*NODES, *JOBS}):
        print(f"  growth: {nodes:,} nodes, {jobs:,} jobs", file=sys.stderr, flush=True)
        with live.lab(suite, nodes, jobs, alone=True) as running:
            groups: Sequence[tuple[int, tuple[str, ...]]] = ((1, USERS[:1]),)
            if (nodes, jobs) == MIDDLE:
                groups = (*((count, USERS[:1]) for count in CONSOLES), (CONSOLES[-1], USERS))
            found: list[Row] = []
            for count, users in groups:
                # Long enough for the slowest read to run twice, and a minute to count over.
                found += _consoles(running, case(nodes, jobs, count, len(users)), count, users, 6 if quick else 62)
            # Last, because a controller is busy just after its jobs were submitted.
            rows += [*found, _baseline(running, nodes, jobs, 2 if quick else _REST_S)]
    return rows


def _baseline(running: Lab, nodes: int, jobs: int, seconds: float) -> Row:
    controller = _controller(running)
    cpu = procs.cpu_s(controller)
    time.sleep(seconds)
    used = (procs.cpu_s(controller) - cpu) / seconds * 60
    return Row(case(nodes, jobs, 1), "CPU of the controller without a console", round(used, 2), "s/min")


def _consoles(running: Lab, name: str, count: int, users: Sequence[str], seconds: float) -> list[Row]:
    """Run `count` headless consoles of these users in turn for `seconds`, after each has read once."""
    with ExitStack() as stack:
        logs, homes = {}, {}
        for user in users:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wacht-bench-")))
            logs[user] = CommandLog(running, folder, user)
            homes[user] = folder / "home"
            homes[user].mkdir()
        readers = []
        for number in range(count):
            user = users[number % len(users)]
            readers.append(_reader(logs[user], homes[user]))
            stack.callback(_end, readers[-1])
        for one in readers:
            _line(one, "ready")
        time.sleep(2.0)
        controller = _controller(running)
        first = [_query(one) for one in readers]
        before = _state(readers, controller, logs)
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        after = _state(readers, controller, logs)
        last = [_query(one) for one in readers]
        memory = [procs.own_rss_mb(one.pid) for one in readers]
    faults = sorted({fault for answer in last for fault in answer["faults"]})
    if faults:
        raise RuntimeError(f"{name}: {faults[0]}")
    own, theirs, commands, calls, ms = ((b - a) * 60 / took for a, b in zip(before, after, strict=True))
    rows = [
        Row(name, "CPU of the controller", round(theirs, 2), "s/min"),
        Row(name, "the controller's own time for the RPCs", round(ms / 1e3, 3), "s/min"),
        Row(name, "RPCs", round(calls, 1), "/min", "count"),
        Row(name, "commands started, all together", round(commands, 1), "/min", "count"),
        Row(name, "CPU of a console", round(own / count / 60 * 100, 2), "%"),
        Row(name, "memory of a console", round(sum(memory) / count), "MB"),
    ]
    return rows + _polls(name, first, last)


def _polls(name: str, first: Sequence[Any], last: Sequence[Any]) -> list[Row]:
    """Seconds and bytes per call of the two commands that grow, for calls within the measurement."""
    rows = []
    for command, what in (("squeue", "jobs"), ("scontrol show node", "nodes")):
        spent = [
            tuple(b["costs"].get(command, {}).get(key, 0) - a["costs"].get(command, {}).get(key, 0) for key in _SPENT)
            for a, b in zip(first, last, strict=True)
        ]
        calls, seconds, size = (sum(column) for column in zip(*spent, strict=True))
        if calls:
            rows += [
                Row(name, f"a reading of the {what}: took", round(seconds / calls, 3), "s"),
                Row(name, f"a reading of the {what}: read", round(size / calls), "B", "count"),
            ]
    return rows


_SPENT = ("calls", "s", "bytes")


def _reader(log: CommandLog, home: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = screens.environment(str(home), {"PATH": log.path, PROGRAM_VAR: "reader", "PYTHONPATH": path})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.bench.headless"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _end(reader: subprocess.Popen[str]) -> None:
    for pipe in (reader.stdin, reader.stdout):
        if pipe:
            pipe.close()
    try:
        reader.wait(10)
    except subprocess.TimeoutExpired:
        reader.kill()
        reader.wait()


def _line(reader: subprocess.Popen[str], wanted: str) -> str:
    assert reader.stdout is not None
    line = reader.stdout.readline()
    if not line.startswith(wanted):
        raise RuntimeError(f"a reader said {line!r} instead of {wanted!r}")
    return line


def _query(reader: subprocess.Popen[str]) -> Any:
    assert reader.stdin is not None
    reader.stdin.write("now\n")
    reader.stdin.flush()
    return json.loads(_line(reader, "{"))


def _state(
    readers: Sequence[subprocess.Popen[str]], controller: int, logs: dict[str, CommandLog]
) -> tuple[float, float, float, float, float]:
    """Totals so far: CPU of the consoles and of the controller, commands, RPCs and their milliseconds."""
    calls = [log.rpcs() for log in logs.values()]
    return (
        sum(procs.cpu_s(one.pid) for one in readers),
        procs.cpu_s(controller),
        sum(log.commands("reader").total() for log in logs.values()),
        sum(count for count, _ in calls),
        sum(ms for _, ms in calls),
    )


def _controller(running: Lab) -> int:
    """Process id of the lab's slurmctld on this host."""
    assert running.state.init is not None
    found = procs.children_named(running.state.init[0], "slurmctld")
    if not found:
        raise RuntimeError(f"no slurmctld in lab {running.name}")
    return found[0]
