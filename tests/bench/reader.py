"""A console without its screen: `python -m tests.bench.reader` reads the Slurm on PATH as a console does, until its
standard input ends, and then says what that took. Growth starts many of these."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import Any

from collectors import process
from collectors.clock import SystemClock
from collectors.model import Cluster
from collectors.slurm import SlurmSettings
from collectors.slurm.sources import open_sources
from console.ingest.poller import Poller

from .reads import called


def _main() -> None:
    run, costs = process.run, defaultdict[str, list[float]](lambda: [0, 0.0, 0])

    def counted(argv: Any, **options: Any) -> process.ProcessResult:
        ended = run(argv, **options)
        cost = costs[called(argv)]
        cost[:] = cost[0] + 1, cost[1] + ended.took_s, cost[2] + len(ended.out)
        return ended

    process.run = counted
    read: dict[str, int] = defaultdict(int)
    newest: list[Cluster] = []

    def published(cluster: Cluster, _: object) -> None:
        newest[:] = [cluster]
        if not read and cluster.nodes and cluster.jobs:
            print("ready", flush=True)
            read["ready"] = 1

    poller = Poller("bench", open_sources("bench", SlurmSettings()), SystemClock(), published)
    poller.start()
    for line in sys.stdin:  # a line asks for what was spent so far
        told = {name: {"calls": calls, "s": s, "bytes": size} for name, (calls, s, size) in costs.items()}
        faults = [f"{name}: {one.fault}" for name, one in newest[0].sources.items() if one.fault] if newest else []
        print(json.dumps({"asked": line.strip(), "costs": told, "faults": faults}), flush=True)
    poller.stop()


if __name__ == "__main__":
    _main()
