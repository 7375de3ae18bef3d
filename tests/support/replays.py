"""A recorder that writes at once, and `wacht replay` without its terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from collectors.model import Cluster, Diff
from console.app.app import WachtApp
from console.config.settings import Config
from console.recording.replay_site import replay_site
from console.recording.session_writer import SessionWriter
from tests.support.operator import Operator
from tests.support.recordings import BOUNDS


@asynccontextmanager
async def replay(path: Path, size=(120, 40), begin=None, **config) -> AsyncIterator[Operator]:
    """`wacht replay`, without its terminal."""
    app = WachtApp(replay_site(path, begin), Config(**config))
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            op = Operator(app, pilot)
            await op.until(lambda: "slurm.diag" in op.cluster.sources and op.cluster.known, "the first moment")
            await pilot.pause()
            yield op
    finally:
        app.stop_reading()


class Direct:
    """Records each Cluster at once, in the thread that made it."""

    trouble, path = "", None

    def __init__(self, app: WachtApp, path: Path, journal: Path | None = None) -> None:
        self.clock, self.path = app.clock, path
        self.tape = SessionWriter(path, BOUNDS, self.clock.now(), self.clock.mono(), journal)
        self.tape._store._database.execute("PRAGMA synchronous=OFF")
        self.offer(app.cluster, Diff())

    def offer(self, cluster: Cluster, diff: Diff) -> None:
        self.tape.add(cluster, diff, self.clock.now(), self.clock.mono())

    def stop(self) -> None:
        self.tape.close()
