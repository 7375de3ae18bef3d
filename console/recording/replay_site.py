"""A recording as a site: the same screens, with no sources to query and no writer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from collectors.model import Collector, SourceFault
from console.journal import chain
from console.journal.chain import JournalFault
from console.journal.entries import join
from console.journal.reader import JournalSnapshot
from console.runtime.null_sources import NoAccounting, NoAlerts, NoQueueing, NoSlurm, NoTelemetry
from console.session.cluster_sources import ClusterSources

from .frame import unpack
from .player import ReplayClock
from .store import RecordingFault, RecordingReader


class ReplaySite(ClusterSources, frozen=True, kw_only=True):
    """A recorded cluster."""

    recorded: ClassVar[bool] = True

    recording: RecordingReader
    clock: ReplayClock
    begin: Callable[[RecordingReader], float] | None = None
    """Where to start; None: the first moment."""

    def clock_of(self) -> ReplayClock:
        """The clock of the recording."""
        return self.clock

    def collectors(self) -> Sequence[Collector]:
        """No sources."""
        return ()

    def telemetry(self) -> NotRecorded:
        """Telemetry on demand was not recorded."""
        return NotRecorded()

    def transport(self) -> NotRecorded:
        """Reads of named objects were not recorded."""
        return NotRecorded()

    def ledger(self) -> NotRecorded:
        """Accounting was not recorded."""
        return NotRecorded()

    def queueing(self) -> NotRecorded:
        """Shares and limits were not recorded."""
        return NotRecorded()

    def alert_reader(self) -> NotRecorded:
        """Reads of alerts and silences were not recorded."""
        return NotRecorded()


class NotRecorded(NoTelemetry, NoSlurm, NoAlerts, NoAccounting, NoQueueing):
    """Answers every on-demand query with "not recorded"."""

    def _none(self) -> SourceFault:
        return SourceFault("missing", "not recorded", "only what a console reads by itself is")

    def energy_j(self, nodes: Sequence[str], since: int) -> float | None:
        """Raises SourceFault."""
        raise self._none()


def replay_site(path: Path, begin: Callable[[RecordingReader], float] | None = None) -> ReplaySite:
    """Open a recording and read its first moment, for the cluster's name. Raises RecordingFault. Blocks."""
    recording = RecordingReader(path)
    first = recording.first()
    if first is None:
        raise RecordingFault(f"{path}: nothing was recorded yet")
    try:
        cluster = unpack(recording.frame(first)[1] or b"", None)[0]
    except ValueError as error:
        raise RecordingFault(f"{path}: {error}") from None
    clock = ReplayClock()
    clock.set(first.at, 0.0, first.wall - first.at)
    return ReplaySite(name=cluster.name, demo=cluster.demo, slurm=None, others={}, recording=recording, clock=clock,
                      begin=begin)  # fmt: skip


class RecordedJournal:
    """The actions that the journal held at the moment shown. Blocks."""

    kept = "as it was recorded"

    def __init__(self, site: ReplaySite) -> None:
        self._site = site
        self._seen: tuple[int, JournalSnapshot] | None = None

    def read(self, now: float) -> JournalSnapshot:
        """The journal at that moment. Raises JournalFault."""
        records = self.lines()
        if self._seen is None or self._seen[0] != len(records):
            self._seen = len(records), JournalSnapshot.of(join(records))
        return self._seen[1]

    def lines(self) -> list[dict[str, Any]]:
        """The records. Raises JournalFault."""
        try:
            return [chain.record(line) for _, line in self._site.recording.actions(self._site.clock.mono())]
        except RecordingFault as error:
            raise JournalFault(str(error)) from None
