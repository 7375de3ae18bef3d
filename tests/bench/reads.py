"""What the controller and the poller spend on a real Slurm: each read compared with squeue."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from collectors import process
from collectors.clock import SystemClock
from collectors.slurm import SlurmSettings
from collectors.slurm.commands.jobs import command
from collectors.slurm.commands.read_command import fence
from collectors.slurm.sources import open_sources
from console.ingest.poller import read
from console.ingest.reduce import begin, reduce
from tests.lab.slurm import Lab

from . import screens
from .report import Row, median
from .targets import LARGE

T = TypeVar("T")
POLL_RATIO = 2.0
SNAPSHOT_OVER_S = 0.4
"""Maximum seconds of a snapshot beyond squeue, on a cluster of hundreds of nodes."""
JOB_BYTES = 300


def measured(running: Lab, case: str, repeats: int, snapshots: int) -> list[Row]:
    """Every read of a console on this lab and a whole snapshot, as root."""
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{running.bin_dir}{os.pathsep}{path}"
    try:
        rows = _reads(case, repeats)
        with tempfile.TemporaryDirectory(prefix="wacht-bench-") as home:
            squeue_s = next(row.value for row in rows if row.what == "squeue alone")
            over_s = SNAPSHOT_OVER_S if running.nodes <= LARGE else None
            return rows + _snapshot(case, screens.environment(home), squeue_s, snapshots, over_s)
    finally:
        os.environ["PATH"] = path


def _reads(case: str, repeats: int) -> list[Row]:
    """squeue alone, then the same read to a Cluster, first and repeated, in turns so that all see the same state."""
    clock = SystemClock()
    alone: list[float] = []
    fresh: list[float] = []
    again: list[float] = []
    own: list[float] = []
    jobs, size = 0, 0
    for _ in range(repeats):
        argv = command(fence())
        argv[0] = process.find(argv[0])
        took, size = _timed(lambda argv=argv: len(_output(argv)))
        alone.append(took)
        source = next(one for one in open_sources("bench", SlurmSettings()) if one.name == "slurm.jobs")
        cluster = begin("bench", [(source.name, source.floor_s)])
        for times in (fresh, again):
            before = time.thread_time()
            took, cluster = _timed(lambda: reduce(cluster, read("bench", source, clock))[0])  # noqa: B023 - run at once
            times.append(took)
        own.append(time.thread_time() - before)
        fault = cluster.sources[source.name].fault
        if fault is not None:
            raise RuntimeError(f"{source.name}: {fault}")
        jobs = len(cluster.jobs)
    squeue = median(alone)
    rows = [
        Row(case, "jobs read", jobs, "jobs", "count"),
        Row(case, "squeue alone", round(squeue, 4), "s"),
        Row(case, "poll to Cluster, first", round(median(fresh), 4), "s"),
        Row(case, "poll to Cluster, first: times squeue", round(median(fresh) / squeue, 2), "x", "ratio"),
        Row(case, "poll to Cluster, next", round(median(again), 4), "s"),
        Row(case, "poll to Cluster, next: times squeue", round(median(again) / squeue, 2), "x", "ratio", POLL_RATIO),
        Row(case, "poll to Cluster, next: CPU of its thread", round(median(own), 4), "s"),
        Row(case, "bytes per job", round(size / max(1, jobs), 1), "B", "count", JOB_BYTES),
    ]
    return rows + _round(case)


def _round(case: str) -> list[Row]:
    """One reading of every source: the time and output of each command."""
    clock = SystemClock()
    with _counted() as costs:
        for source in open_sources("bench", SlurmSettings()):
            reading = read("bench", source, clock)
            if reading.fault is not None:
                raise RuntimeError(f"{source.name}: {reading.fault}")
    rows = []
    for name, (took, size) in sorted(costs.items()):
        rows += [
            Row(case, f"one round: {name}, took", round(took, 4), "s"),
            Row(case, f"one round: {name}, read", size, "B", "count"),
        ]
    return rows


def command_name(argv: Sequence[str]) -> str:
    """A short name of a command: its program and the first words that are not options."""
    words = [word for word in argv[1:] if not word.startswith("-") and len(word) < 16][:2]
    return " ".join([argv[0].rpartition("/")[2], *words])


@contextmanager
def _counted() -> Any:
    """Record seconds and bytes of each command that collectors start, by short name."""
    costs: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    run = process.run

    def counting(argv: Any, **options: Any) -> process.ProcessResult:
        ended = run(argv, **options)
        cost = costs[command_name(argv)]
        cost[0] += ended.took_s
        cost[1] += len(ended.out)
        return ended

    process.run = counting
    try:
        yield costs
    finally:
        process.run = run


def _snapshot(case: str, env: dict[str, str], squeue_s: float, repeats: int, over_s: float | None) -> list[Row]:
    took, size = [], 0
    for _ in range(repeats):
        seconds, size = _timed(lambda: len(_output(screens.wacht("snapshot", "--json"), env)))
        took.append(seconds)
    whole = median(took)
    return [
        Row(case, "wacht snapshot --json, whole", round(whole, 3), "s"),
        Row(case, "wacht snapshot --json, over squeue", round(whole - squeue_s, 3), "s", target=over_s),
        Row(case, "wacht snapshot --json, printed", size, "B", "count"),
    ]


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _output(argv: list[str], env: dict[str, str] | None = None) -> bytes:
    environment = env if env is not None else process.environment()
    return subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout
