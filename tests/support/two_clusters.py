"""A console with two simulated clusters, and an operator at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from collectors.clock import ManualClock
from collectors.sim import SimSettings
from collectors.sim.machine import Machine
from collectors.sim.sources import forget, running
from console.app.app import WachtApp
from console.config.settings import Config
from console.session import cluster_sources
from tests.support.operator import Operator

A, B = "groningen", "leeuwarden"


class Both(Operator):
    """An operator with two machines."""

    machines: dict[str, Machine]

    async def both(self) -> None:
        """Wait until the other is open and its nodes are known."""
        await self.until(
            lambda: B in self.app.fleet.sessions and "nodes" in self.app.fleet.sessions[B].newest.known,
            "the other opens",
        )

    async def go(self, name: str) -> None:
        """`:cluster NAME`, and until its jobs are there."""
        await self.command(f"cluster {name}")
        await self.until(lambda: self.app.session.name == name and "jobs" in self.cluster.known, f"{name} is shown")
        await self.pilot.pause()

    @property
    def told(self) -> list[str]:
        return [one.message for one in self.app._notifications]


@asynccontextmanager
async def consoles(size=(120, 40), others=(B,), **settings) -> AsyncIterator[Both]:
    clock = ManualClock()
    chosen = {name: SimSettings(nodes=16, seed=at + 1, **settings) for at, name in enumerate((A, *others))}
    machines = {name: running(name, one, clock) for name, one in chosen.items()}
    sites = [cluster_sources.ClusterSources(name=name, demo=True, slurm=one, others={}) for name, one in chosen.items()]
    app = WachtApp(sites[0], Config(), clock, others=sites[1:])
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            op = Both(app, pilot, machines[A])
            op.machines = machines
            await op.arrive({"nodes", "jobs", "alerts"})
            yield op
    finally:
        app.stop_reading()
        for name in chosen:
            forget(name)
