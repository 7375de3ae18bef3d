"""A console without a screen: `python -m tests.bench.headless` polls the Slurm on PATH until its standard input
ends. For each line of input it prints its costs so far. `growth` starts many of these."""

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

from .reads import command_name


def _main() -> None:
    run, costs = process.run, defaultdict[str, list[float]](lambda: [0, 0.0, 0])

    def counted(argv: Any, **options: Any) -> process.ProcessResult:
        ended = run(argv, **options)
        cost = costs[command_name(argv)]
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
    for line in sys.stdin:  # each line requests the costs so far
        spent = {name: {"calls": calls, "s": s, "bytes": size} for name, (calls, s, size) in costs.items()}
        faults = [f"{name}: {one.fault}" for name, one in newest[0].sources.items() if one.fault] if newest else []
        print(json.dumps({"asked": line.strip(), "costs": spent, "faults": faults}), flush=True)
    poller.stop()


if __name__ == "__main__":
    _main()
