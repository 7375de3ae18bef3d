"""One cluster as this console has it open: what reads it, what may change it, what was seen, sent and rung for.

Each has all of its own, so nothing that belongs to one can reach another. The app shows one of them (`app.here`) and
calls its parts by their names (`Here`); what comes back later (an answer, a reading, an outcome) carries the one that
it is for, and never asks which one is shown by then.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from collectors.clock import Clock
from collectors.model import Cluster, Ledger, Telemetry, Transport
from console.actions.plan import READ_ONLY
from console.actions.verification import Verification
from console.alerts.bell import BellState
from console.config.paths import journal_path
from console.config.settings import Config
from console.ingest.poller import Poller
from console.journal.leftovers import Left
from console.queue.queue_reads import QueueCache
from console.runtime import log, memo
from console.session.site import Site
from console.triage.judgement import AttentionInputs

if TYPE_CHECKING:
    from pathlib import Path

    from console.gate.gate import Gate
    from console.gate.outcome import Progress
    from console.journal.reader import JournalReaders
    from console.recording.location import Bounds
    from console.recording.player import Player
    from console.recording.recorder import Recorder

T = TypeVar("T")


class Opened:
    """One open cluster. Nothing is read, and no writer or journal opened, until something asks for it; what the first
    frame does without is not even imported before (`cached_property`)."""

    poller: Poller | Player
    """Set by whoever opens it, before anything else sees it."""

    def __init__(self, site: Site, config: Config, clock: Clock | None = None, mode: str = "_default") -> None:
        """`mode` names its stack of screens."""
        self.site, self.name, self.mode = site, site.name, mode
        self.clock: Clock = clock or site.clock_of()
        self.live_clock = self.clock
        """The clock of the present, whatever is looked at."""
        self.transport: Transport = site.transport()
        self.telemetry: Telemetry = site.telemetry()
        self._config = config
        self.journal_path: Path = journal_path(site.name, config)
        self.resumed: Mapping[str, float] = {}
        """When each node was put back to work the last time, as far as the journal knows."""
        self.ticketed: Mapping[tuple[str, str], float] = {}
        """Node and ticket to when the journal first tells of it there."""
        self.left = Left()
        """What was shut from here and has to be opened again, as far as the journal and Slurm tell."""
        self.sent_watch = Verification()
        self.sending: set[Progress] = set()
        """What is on its way to it."""
        self.looked = 0.0
        """When it was read again the last time because something that was sent is not yet seen."""
        self.ring = BellState()
        self.logged = log.SourceLog()
        self.recorder: Recorder | None = None
        self.records: tuple[Path, Bounds] | None = None
        """Where this console records it, and how much; None: it does not."""
        self.looked_at: Any = None
        """The screen that is shown of it: what it needs is made first."""
        self.taken = threading.Event()
        """Set when the event loop has taken in what was published last."""
        self.taken.set()
        self.ahead: Sequence[Any] = ()
        """Screens that are there before somebody looks at them, so that what they need of each reading can be."""
        self.gpus_every_s = 1.0 if "nvml" in site.others else 5.0
        """Seconds between two readings of a node's GPUs: the driver is asked every second, Prometheus knows no more."""

    @cached_property
    def gate(self) -> Gate:
        """The one way to change it."""
        from console.session.site_gate import open_gate

        return open_gate(self.site, self._config, self.transport, self.live_clock)

    @cached_property
    def book(self) -> JournalReaders:
        """What was done to it, from the journal."""
        from console.journal.reader import JournalFollower

        return JournalFollower(self.journal_path)

    @property
    def by(self) -> AttentionInputs:
        """What its facts are judged by, those of the past while they are shown."""
        return AttentionInputs(self.clock, self.resumed, self.left)

    @cached_property
    def ledger(self) -> Ledger:
        """Its past, on demand."""
        return self.site.ledger()

    @cached_property
    def queueing(self) -> QueueCache:
        """What decides who waits, on demand."""
        return QueueCache(self.site.queueing(), self.live_clock)

    @property
    def locked(self) -> str:
        """Why nothing may be sent to it, in the words of its gate, before it is opened too; "" where something may."""
        if "gate" not in vars(self) and not self.site.recorded:
            return READ_ONLY if self._config.read_only else ""
        return self.gate.locked if self.gate.read_only else ""

    @property
    def wrote(self) -> bool:
        """Whether anything was to be written into the journal from here."""
        return "gate" in vars(self) and self.gate.wrote

    @property
    def newest(self) -> Cluster:
        """The newest facts of the present."""
        return self.poller.cluster

    @property
    def busy(self) -> bool:
        """Whether something that was sent from here is under way, or not yet seen."""
        return bool(self.sending or self.sent_watch.waiting)

    def stop(self, *, alone: bool = False) -> None:
        """End every thread that reads or records it. Blocks for seconds at most; `alone`: other clusters read on."""
        self.taken.set()
        if isinstance(self.poller, Poller):
            self.poller.stop(alone=alone)
        else:
            self.poller.stop()
        if self.recorder is not None:
            self.recorder.stop()
        if alone:
            # Whoever still waits for something of it (a worker, a context) must not hold its facts; nor the sums that
            # its poller made of its last ones.
            memo.forget(self.name)
            self.poller = Poller(self.name, (), self.clock, lambda *_: None)
            self.looked_at, self.ahead, self.recorder = None, (), None


class Here(Generic[T]):
    """What the app knows under a name is that of the cluster on the screen."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, app: Any, owner: type | None = None) -> T:
        found: T = getattr(app.here, self._name)
        return found

    def __set__(self, app: Any, value: T) -> None:
        setattr(app.here, self._name, value)
