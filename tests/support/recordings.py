"""Recordings of the simulated cluster, made as fast as the disk takes them, for tests of recorder and player."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from collectors.clock import ManualClock
from collectors.model import KINDS, Cluster, Diff
from collectors.sim import SimSettings
from collectors.sim.sources import open_sources
from console.ingest.poller import read
from console.ingest.reduce import begin, reduce
from console.recording.frame import unpack
from console.recording.location import Bounds
from console.recording.row_codec import ROWS
from console.recording.session_writer import SessionWriter
from console.recording.store import FrameTime, RecordingReader

BOUNDS = Bounds(keep_s=86400, size=64 << 20)


class Night:
    """The simulated cluster, read as a poller reads it, on a clock that moves when it is told to."""

    def __init__(self, name: str = "groningen", **settings) -> None:
        self.clock = ManualClock()
        self.sources = open_sources(name, SimSettings(**{"nodes": 64, "incident": "pdu", **settings}), self.clock)
        self.cluster = begin(name, [(one.name, one.floor_s) for one in self.sources], True)

    def readings(self) -> Iterator[tuple[Cluster, Diff]]:
        """Every source once."""
        for one in self.sources:
            self.cluster, diff = reduce(self.cluster, read(self.cluster.name, one, self.clock), one.floor_s)
            yield self.cluster, diff

    def tape(self, path: Path, bounds: Bounds = BOUNDS, journal: Path | None = None) -> SessionWriter:
        made = SessionWriter(path, bounds, self.clock.now(), self.clock.mono(), journal)
        # No test pulls the plug: a disk need not be waited for.
        made._store._database.execute("PRAGMA synchronous=OFF")
        return made

    def keep(self, tape: SessionWriter) -> None:
        """Record every source once."""
        for cluster, diff in self.readings():
            tape.add(cluster, diff, self.clock.now(), self.clock.mono())


def recorded(path: Path, seconds: int = 120, step: int = 3, **settings) -> Night:
    """A recording of so long."""
    night = Night(**settings)
    tape = night.tape(path)
    for _ in range(0, seconds, step):
        night.keep(tape)
        night.clock.advance(step)
    tape.close()
    return night


def cluster_at(recording: RecordingReader, there: FrameTime) -> Cluster:
    """What was known at a moment."""
    here = recording.whole_before(there)
    assert here is not None
    cluster = unpack(recording.frame(here)[1] or b"", None)[0]
    while here.id < there.id:
        here = recording.after(here)
        assert here is not None
        step, whole = recording.frame(here)
        cluster = unpack(step or whole or b"", cluster if step is not None else None)[0]
    return cluster


ALL = [kind for kind in KINDS if kind != "rights"]


def same(one: Cluster, other: Cluster) -> None:
    for kind in [*ALL, "totals", "jobs_on", "racks", "cost", "at", "demo", "name"]:
        assert getattr(one, kind) == getattr(other, kind), kind
    assert one.known - {"rights"} == other.known - {"rights"}
    for kind in ROWS:
        assert sorted(getattr(one, kind)) == sorted(getattr(other, kind))


def intent(plan: str, at: str = "2026-11-17T23:07:00+00:00") -> dict[str, object]:
    return {"time": at, "event": "intent", "id": plan, "action": "drain", "kind": "node", "targets": ["gpu0001"],
            "reason": "bad DIMM", "login": "jdv", "uid": 1000}  # fmt: skip
