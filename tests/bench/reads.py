"""What the controller and the poller pay, on a real Slurm: each read beside squeue alone."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, TypeVar

from collectors import process
from collectors.clock import SystemClock
from collectors.slurm import SlurmSettings
from collectors.slurm.ask import fence
from collectors.slurm.jobs import command
from collectors.slurm.sources import open_sources
from console.poller import read
from console.reduce import begin, reduce
from tests.lab.slurm import Lab

from . import screens
from .report import Row, median

T = TypeVar("T")
POLL_RATIO = 2.0
SNAPSHOT_OVER_S = 0.4
JOB_BYTES = 300
RUNNING = 200


def lab(suite: str, nodes: int, jobs: int, quick: bool) -> tuple[list[Row], str]:
    """A lab with that many jobs pending, measured; also its Slurm's version."""
    case = f"live Slurm, {nodes:,} nodes, {jobs:,} jobs pending"
    with Lab(suite, nodes=nodes, name=f"bench-{os.getpid()}", max_jobs=jobs + 10_000) as running:
        running.submit(RUNNING, gpus=8, exclusive=True, seconds=3600, name="train")
        # Held, so that they are pending for as long as it takes; apart, as people submit them.
        running.submit(jobs, gpus=8, nodes=2, name="waits-for-better-times", hold=True, time_limit="8:00:00")
        version = running.check(["squeue", "--version"]).split()[-1]
        return _measure(running, case, quick, nodes, SNAPSHOT_OVER_S), version


def design(suite: str, quick: bool) -> list[Row]:
    """A controller at the design point, its nodes without slurmd, its jobs one array."""
    case = "live Slurm, 12,000 nodes, 100,000 array tasks pending"
    with Lab(suite, nodes=12_000, slurmd=False, name=f"bench-{os.getpid()}", max_jobs=200_000) as running:
        running.submit(1, gpus=8, array="0-99999", name="waits-for-better-times", hold=True)
        return _measure(running, case, quick, 12_000)


def _measure(running: Lab, case: str, quick: bool, nodes: int, snapshot_over_s: float | None = None) -> list[Row]:
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{running.bin_dir}{os.pathsep}{path}"
    try:
        rows = _reads(case, 3 if quick else 11)
        with tempfile.TemporaryDirectory(prefix="wacht-bench-") as home:
            env = screens.environment(home)
            squeue_s = next(row.value for row in rows if row.what == "squeue alone")
            rows += _snapshot(case, env, squeue_s, 2 if quick else 7, snapshot_over_s)
            rows += screens.start(case, screens.wacht(), env, 2 if quick else 5, 60)
            rows += screens.session(
                case,
                screens.wacht(),
                env,
                nodes=nodes,
                timeout_s=60,
                rest_s=5 if quick else 30,
                keys=20 if quick else 60,
            )
    finally:
        os.environ["PATH"] = path
    return rows


def _reads(case: str, repeats: int) -> list[Row]:
    """squeue alone, then the same read to a Cluster, fresh and once more, in turns so that all see the same machine."""
    clock = SystemClock()
    alone, fresh, again, own = [], [], [], []
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
    """One reading of every source: what each command costs and prints."""
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


@contextmanager
def _counted() -> Any:
    """Seconds and bytes of each command that collectors start meanwhile, by its first words."""
    costs: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    run = process.run

    def counting(argv: Any, **options: Any) -> process.Ended:
        ended = run(argv, **options)
        words = [word for word in argv[1:] if not word.startswith("-") and len(word) < 16][:2]
        cost = costs[" ".join([argv[0].rpartition("/")[2], *words])]
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
