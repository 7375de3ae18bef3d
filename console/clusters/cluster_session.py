"""One cluster as this console has it open: its sources, its gate, and what was read, sent and alerted.

Every session owns all of its parts, so nothing that belongs to one cluster can reach another. A recording of a cluster
is a session too, with a player, a gate without a writer and the recorded journal. The app shows one session
(`console.clusters.fleet`). Whatever arrives later (an answer, a reading, an outcome) carries the session that it is
for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from collectors.clock import Clock
from collectors.model import AccountingReader, Cluster, Diff, Telemetry, Transport
from console.actions.action import Kind
from console.actions.incident import active_incidents
from console.actions.plan import READ_ONLY
from console.actions.verification import Verification
from console.alerts.bell import BellState
from console.config.paths import journal_path
from console.config.settings import Config
from console.ingest.poller import Poller
from console.journal.still_closed import StillClosed
from console.queue.queue_reads import QueueCache
from console.runtime import log, memo
from console.session.cluster_sources import ClusterSources
from console.triage.attention_task import AttentionInputs, AttentionResult
from widgets.units import duration, stamp

if TYPE_CHECKING:
    from pathlib import Path

    from console.gate.gate import Gate
    from console.gate.outcome import Progress
    from console.journal.reader import JournalReader
    from console.recording.location import Bounds
    from console.recording.player import Player
    from console.recording.recorder import Recorder
    from console.recording.replay_site import ReplaySite


class ClusterSession:
    """One open cluster. Nothing is read, and no writer or journal opened, before it is needed; parts that the first
    frame does not need are imported late (`cached_property`).
    """

    poller: Poller | Player
    cluster: Cluster
    """What its screens show. Set with `poller` by `attach`, before the session is used."""

    def __init__(
        self, site: ClusterSources, config: Config, clock: Clock | None = None, mode: str = "_default"
    ) -> None:
        """`mode` names its screen stack."""
        self.site, self.name, self.mode = site, site.name, mode
        self.clock: Clock = clock or site.clock_of()
        self.transport: Transport = site.transport()
        self.telemetry: Telemetry = site.telemetry()
        self._config = config
        self.journal_path: Path = (
            cast("ReplaySite", site).recording.path if site.recorded else journal_path(site.name, config)
        )
        self.resumed: Mapping[str, float] = {}
        """When each node was last returned to service, as far as the journal knows."""
        self.ticketed: Mapping[tuple[str, str], float] = {}
        """Node and ticket to the time when the journal first mentions it."""
        self.still_closed = StillClosed()
        """What was closed from here and is still closed, from the journal and Slurm."""
        self.sent_watch = Verification()
        self.sending: set[Progress] = set()
        """Sends that are under way."""
        self.looked = 0.0
        """Monotonic time of the last extra reading made to verify an action."""
        self.judgements: tuple[AttentionResult, ...] = ()
        """The newest attention lists, newest first: of the Cluster shown, and of the next or previous one."""
        self.ring = BellState()
        self.logged = log.SourceLog()
        self.recorder: Recorder | None = None
        self.records: tuple[Path, Bounds] | None = None
        """Where this console records it, and the bounds; None when it does not record."""
        self.looked_at: Any = None
        """The screen shown: its derived data is computed first."""
        self.taken = threading.Event()
        """Set when the event loop has processed the last published facts."""
        self.taken.set()
        self.ahead: Sequence[Any] = ()
        """Screens created before they are shown; their derived data is computed in advance."""
        self.gpus_every_s = 1.0 if "nvml" in site.others else 5.0
        """Seconds between two readings of a node's GPUs: 1 from the driver, 5 from Prometheus (no fresher)."""

    def attach(self, poller: Poller | Player) -> None:
        """Take its facts from this poller or player."""
        self.poller, self.cluster = poller, poller.cluster

    @cached_property
    def gate(self) -> Gate:
        """The only way to change this cluster; without a writer for a recording."""
        from console.session.site_gate import open_gate

        return open_gate(self.site, self._config, self.transport, self.clock)

    @cached_property
    def journal(self) -> JournalReader:
        """The actions on it, from the journal."""
        if self.site.recorded:
            from console.recording.replay_site import RecordedJournal

            return RecordedJournal(cast("ReplaySite", self.site))
        from console.journal.reader import JournalFollower

        return JournalFollower(self.journal_path)

    @property
    def by(self) -> AttentionInputs:
        """What its facts are judged with."""
        return AttentionInputs(self.clock, self.resumed, self.still_closed)

    @cached_property
    def ledger(self) -> AccountingReader:
        """Accounting, on demand."""
        return self.site.ledger()

    @cached_property
    def queueing(self) -> QueueCache:
        """The factors that decide the queue order, on demand."""
        return QueueCache(self.site.queueing(), self.clock)

    @property
    def locked(self) -> str:
        """Why nothing may be sent, in the gate's words and without opening the gate; "" when sending is allowed."""
        if "gate" not in vars(self) and not self.site.recorded:
            return READ_ONLY if self._config.read_only else ""
        return self.gate.read_only_reason if self.gate.read_only else ""

    @property
    def wrote(self) -> bool:
        """Whether this session tried to write to the journal."""
        return "gate" in vars(self) and self.gate.wrote

    def pending_words(self, kind: Kind) -> Mapping[str, str]:
        """Target to the word that its row shows until a reading verifies the change."""
        return self.sent_watch.row_texts(kind)

    @property
    def modes(self) -> Sequence[str]:
        """The modes that the top line highlights; for a recording its time and speed."""
        found, now = ["DEMO"] if self.cluster.demo else [], self.clock.now()
        if self.site.recorded:
            player = cast("Player", self.poller)
            pace = f"▶ ×{player.speed}" if player.playing else "paused"
            return [*found, f"REPLAY {stamp(now)[5:19]} {pace}"]
        found += [f"INCIDENT {one.name} {duration(one.ends - now)}" for one in active_incidents(self.cluster, now)[:2]]
        found += [one.chip for one in tuple(self.sending) if one.chip]
        if self.locked:
            found.append("READ-ONLY")
        if self.recorder is not None and self.recorder.trouble:
            found.append("NOT RECORDED")
        return found

    def start_recorder(self) -> None:
        """Record it to `records`. Blocks; its imports are too slow for the event loop."""
        from console.recording.recorder import Recorder

        assert self.records is not None
        made = Recorder(*self.records, self.clock, self.journal_path)
        made.start()
        made.offer(self.newest, Diff())  # facts that were read before the recorder existed
        self.recorder = made

    @property
    def newest(self) -> Cluster:
        """The newest live facts."""
        return self.poller.cluster

    @property
    def busy(self) -> bool:
        """Whether an action sent from here is under way or not yet verified."""
        return bool(self.sending or self.sent_watch.waiting)

    def stop(self, *, alone: bool = False) -> None:
        """Stop every thread that reads or records it. Blocks for a few seconds at most. `alone`: other clusters keep
        reading.
        """
        self.taken.set()
        if isinstance(self.poller, Poller):
            self.poller.stop(alone=alone)
        else:
            self.poller.stop()
        if self.recorder is not None:
            self.recorder.stop()
        if alone:
            # A worker or context that still refers to this session must not keep its facts or the memo made of them
            # alive.
            memo.forget(self.name)
            self.poller = Poller(self.name, (), self.clock, lambda *_: None)
            self.looked_at, self.ahead, self.recorder = None, (), None
