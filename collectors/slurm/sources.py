"""Opens the sources of one Slurm over the configured transports, and reads of named objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from collectors.model import (
    AccountingReader,
    Budget,
    Collector,
    Facts,
    Job,
    JobDetail,
    Node,
    Partition,
    Reservation,
    SourceFault,
    Transport,
    User,
)
from collectors.nodestate import reboot_overdue
from collectors.shared_readings import SharedCache

from . import SlurmSettings
from .commands.accounting import SlurmAccounting
from .transport import KINDS, OPTIONAL, ShownReader, SlurmTransport, TransportReader, first_capable, unsupported

T = TypeVar("T")

#: Factor on the interval of nodes and jobs, for kinds that change more slowly.
_SLOW = {"partitions": 6.0, "reservations": 6.0, "diag": 6.0, "control": 30.0}
#: Milliseconds that each row adds to the interval, up to three times the floor: 30 s at 12,000 nodes, where the answer
#: of scontrol is 6 MB, and at 20,000 jobs.
_ROW_MS = {"nodes": 2.5, "jobs": 1.5}


class SlurmSource:
    """One kind of facts, read over one transport."""

    def __init__(self, kind: str, settings: SlurmSettings, reader: TransportReader) -> None:
        self.name = f"slurm.{kind}"
        self.floor_s = settings.interval_s * _SLOW.get(kind, 1.0)
        if kind == "rights":
            # sudo logs every call, so rights are read seldom behind a prefix.
            self.floor_s = 3600.0 if settings.prefix else 900.0
        elif kind == "topology":
            # The topology changes only when racks are rewired.
            self.floor_s = 1800.0
        self.row_ms = _ROW_MS.get(kind, 0.0)
        self.budget: Budget = settings.budget
        self.reader = reader
        self._reboot_s = settings.reboot_s

    def collect(self) -> Facts:
        """Read it once. Raises SourceFault."""
        facts = self.reader.read()
        return facts if facts.nodes is None else _with_overdue(facts, facts.nodes, time.time(), self._reboot_s)

    def show(self, ids: frozenset[str]) -> None:
        """Set the rows on the screen. A transport where reading all rows is expensive reads these every time."""
        if isinstance(self.reader, ShownReader):
            self.reader.show(ids)

    def close(self) -> None:
        """Stop waiting."""
        self.reader.close()


def _with_overdue(facts: Facts, nodes: Mapping[str, Node], now: float, limit_s: float) -> Facts:
    """The facts with each node shown as down whose reboot takes longer than the limit."""
    late = {
        name: msgspec.structs.replace(node, display="down")
        for name, node in nodes.items()
        if node.state == "DOWN" and reboot_overdue(node.flags, node.reason_at, now, limit_s)
    }
    return msgspec.structs.replace(facts, nodes={**nodes, **late}) if late else facts


class SharedSlurmSource(SlurmSource):
    """A source whose readings are shared by the consoles of one user."""

    def __init__(self, kind: str, settings: SlurmSettings, reader: TransportReader, shared_cache: SharedCache) -> None:
        super().__init__(kind, settings, reader)
        self.shared_cache = shared_cache

    def collect(self) -> Facts:
        """Read it once, or take the reading that another console of this user just made. Raises SourceFault."""
        self.shared_cache.begin()
        facts = super().collect()
        taken = self.shared_cache.taken
        return facts if taken is None else msgspec.structs.replace(facts, taken=taken)

    def lend(self, since: float) -> None:
        """From now on accept another console's reading that began at this monotonic time or later."""
        self.shared_cache.lend(since)

    def recall(self, since: float, before: float) -> Facts:
        """The newest stored reading if it began between these two monotonic times. Starts no command.

        Raises SourceFault if there is none.
        """
        if self.name == "slurm.rights":
            raise SourceFault("missing", "each console reads its own rights")
        with self.shared_cache.recall(since, before):
            facts = super().collect()
            return msgspec.structs.replace(facts, taken=self.shared_cache.taken)


class UnreadableKind:
    """The reader of a kind that no configured transport can read; every read raises a fault with the reason."""

    shared_cache = None
    size = None

    def __init__(self, kind: str, transports: Sequence[SlurmTransport]) -> None:
        self._fault = SourceFault("missing", *_none_can(kind, transports))

    def read(self) -> Facts:
        """Always raises SourceFault."""
        raise self._fault

    def close(self) -> None:
        """Nothing to do."""


def _none_can(what: str, transports: Sequence[SlurmTransport]) -> tuple[str, str]:
    whys = "; ".join(f"{transport.name}: {unsupported(transport.name, what) or 'not here'}" for transport in transports)
    return f"{what} cannot be read over {whys}", 'slurm = { …, fallback = ["cli"] } reads it through the commands'


def open_sources(cluster: str, settings: SlurmSettings) -> Sequence[Collector]:
    """The sources of one Slurm. Starts nothing."""
    transports = open_transports(cluster, settings)
    there = [kind for kind in KINDS if kind not in OPTIONAL or first_capable(transports, kind) is not None]
    return [_source(kind, settings, transports) for kind in there]


def _source(kind: str, settings: SlurmSettings, transports: Sequence[SlurmTransport]) -> SlurmSource:
    transport = first_capable(transports, kind)
    reader: TransportReader = UnreadableKind(kind, transports) if transport is None else transport.reader(kind)
    if reader.shared_cache is not None:
        return SharedSlurmSource(kind, settings, reader, reader.shared_cache)
    return SlurmSource(kind, settings, reader)


def open_transports(cluster: str, settings: SlurmSettings) -> tuple[SlurmTransport, ...]:
    """The configured transport and its fallbacks, in order. Starts nothing."""
    return tuple(open_by_name(name, cluster, settings) for name in settings.transports)


def open_by_name(name: str, cluster: str, settings: SlurmSettings) -> SlurmTransport:
    """One transport by its name. Only what it needs is imported."""
    if name == "rest":
        from .rest.rest_transport import RestTransport

        return RestTransport(settings)
    if name == "native":
        from .native.native_transport import NativeTransport

        return NativeTransport(settings)
    from .commands.commands_transport import CliTransport

    return CliTransport(settings, cluster)


class FallbackTransport:
    """Reads named objects over the first transport that can."""

    def __init__(self, transports: Sequence[SlurmTransport]) -> None:
        self._transports = tuple(transports)

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names as they are now."""
        return self._over("read_nodes", lambda transport: transport.read_nodes(names))

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now."""
        return self._over("read_jobs", lambda transport: transport.read_jobs(ids))

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs that hold one of these nodes now."""
        return self._over("read_jobs_on", lambda transport: transport.read_jobs_on(nodes))

    def read_partitions(self, names: Sequence[str]) -> Mapping[str, Partition]:
        """The partitions of these names as they are now."""
        return self._over("read_partitions", lambda transport: transport.read_partitions(names))

    def read_reservations(self, names: Sequence[str]) -> Mapping[str, Reservation]:
        """The reservations of these names as they are now."""
        return self._over("read_reservations", lambda transport: transport.read_reservations(names))

    def read_jobs_in(self, reservation: str) -> Mapping[str, Job]:
        """The jobs that asked for this reservation, running and waiting."""
        return self._over("read_jobs_in", lambda transport: transport.read_jobs_in(reservation))

    def read_users(self, names: Sequence[str]) -> Mapping[str, User]:
        """The users of these names, with the limits that slurmdbd keeps for them."""
        return self._over("read_users", lambda transport: transport.read_users(names))

    def job_detail(self, job: str) -> JobDetail:
        """Everything about one job."""
        return self._over("job_detail", lambda transport: transport.job_detail(job))

    def _over(self, what: str, read: Callable[[SlurmTransport], T]) -> T:
        for transport in self._transports:
            if unsupported(transport.name, what) is None:
                return read(transport)
        raise SourceFault("missing", *_none_can(what, self._transports))


def open_transport(cluster: str, settings: SlurmSettings) -> Transport:
    """The transport for reads on demand."""
    transports = open_transports(cluster, settings)
    return transports[0] if len(transports) == 1 else FallbackTransport(transports)


def open_accounting(cluster: str, settings: SlurmSettings) -> AccountingReader:
    """The accounting of one Slurm: through its commands if these are configured, else through slurmrestd, which has no
    node events. Starts nothing."""
    if "rest" in settings.transports and "cli" not in settings.transports:
        from .rest.accounting import RestAccounting

        return RestAccounting(settings)
    return SlurmAccounting(settings)
