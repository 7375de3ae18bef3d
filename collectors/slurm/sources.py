"""Opens the sources of one Slurm: six collectors over the roads that are configured, and reads of named things."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from collectors.model import (
    Budget,
    Collector,
    Facts,
    Job,
    JobDetail,
    Ledger,
    Node,
    Partition,
    Reservation,
    SourceFault,
    Transport,
    User,
)
from collectors.nodestate import reboot_overdue
from collectors.shared_readings import Shelf

from . import SlurmSettings
from .commands.accounting import Accounts
from .transport import KINDS, OPTIONAL, Road, ShownReader, TransportReader, first_that_can, unsupported

T = TypeVar("T")

#: How many times slower than jobs and nodes a source moves.
_SLOW = {"partitions": 6.0, "reservations": 6.0, "diag": 6.0, "control": 30.0}
#: Milliseconds by which one more row makes the interval longer, to three times the floor: 30 s at 12,000 nodes, where
#: the answer of scontrol is 6 MB, and at 20,000 jobs.
_ROW_MS = {"nodes": 2.5, "jobs": 1.5}


class SlurmSource:
    """One kind of facts, read over one road."""

    def __init__(self, kind: str, settings: SlurmSettings, reader: TransportReader) -> None:
        self.name = f"slurm.{kind}"
        self.floor_s = settings.interval_s * _SLOW.get(kind, 1.0)
        if kind == "rights":
            # sudo writes each question into its log, so it is asked seldom.
            self.floor_s = 3600.0 if settings.prefix else 900.0
        elif kind == "topology":
            # It changes when somebody moves a rack.
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
        """The rows that a screen shows now: a road on which all of them are dear reads these each time."""
        if isinstance(self.reader, ShownReader):
            self.reader.show(ids)

    def close(self) -> None:
        """Wait for nothing any more."""
        self.reader.close()


def _with_overdue(facts: Facts, nodes: Mapping[str, Node], now: float, limit_s: float) -> Facts:
    """A node whose reboot takes longer than the limit is down, whatever its flag says."""
    late = {
        name: msgspec.structs.replace(node, display="down")
        for name, node in nodes.items()
        if node.state == "DOWN" and reboot_overdue(node.flags, node.reason_at, now, limit_s)
    }
    return msgspec.structs.replace(facts, nodes={**nodes, **late}) if late else facts


class LentSource(SlurmSource):
    """One whose readings the consoles of a user share."""

    def __init__(self, kind: str, settings: SlurmSettings, reader: TransportReader, shelf: Shelf) -> None:
        super().__init__(kind, settings, reader)
        self.shelf = shelf

    def collect(self) -> Facts:
        """Read it once, or take what another console of this user has just read. Raises SourceFault."""
        self.shelf.begin()
        facts = super().collect()
        taken = self.shelf.taken
        return facts if taken is None else msgspec.structs.replace(facts, taken=taken)

    def lend(self, since: float) -> None:
        """From now on a reading of another console will do that was begun at this monotonic moment or later."""
        self.shelf.lend(since)


class NoRoad:
    """Stands for the reader of a kind that no configured road can read: unknown, with the reason."""

    shelf = None
    size = None

    def __init__(self, kind: str, roads: Sequence[Road]) -> None:
        self._fault = SourceFault("missing", *_no_road(kind, roads))

    def read(self) -> Facts:
        """Raises SourceFault, always."""
        raise self._fault

    def close(self) -> None:
        """Nothing to do."""


def _no_road(what: str, roads: Sequence[Road]) -> tuple[str, str]:
    whys = "; ".join(f"{road.name}: {unsupported(road.name, what) or 'not here'}" for road in roads)
    return f"{what} cannot be read over {whys}", 'slurm = { …, fallback = ["cli"] } reads it through the commands'


def open_sources(cluster: str, settings: SlurmSettings) -> Sequence[Collector]:
    """The sources of one Slurm. Starts nothing."""
    roads = open_roads(cluster, settings)
    there = [kind for kind in KINDS if kind not in OPTIONAL or first_that_can(roads, kind) is not None]
    return [_source(kind, settings, roads) for kind in there]


def _source(kind: str, settings: SlurmSettings, roads: Sequence[Road]) -> SlurmSource:
    road = first_that_can(roads, kind)
    reader: TransportReader = NoRoad(kind, roads) if road is None else road.reader(kind)
    if reader.shelf is not None:
        return LentSource(kind, settings, reader, reader.shelf)
    return SlurmSource(kind, settings, reader)


def open_roads(cluster: str, settings: SlurmSettings) -> tuple[Road, ...]:
    """The configured road, and those that stand in for it, in order. Starts nothing."""
    return tuple(open_road(name, cluster, settings) for name in settings.roads)


def open_road(name: str, cluster: str, settings: SlurmSettings) -> Road:
    """One road by its name; only what it needs is imported."""
    if name == "rest":
        from .rest.rest_transport import RestRoad

        return RestRoad(settings)
    if name == "native":
        from .native.native_transport import NativeRoad

        return NativeRoad(settings)
    from .commands.commands_transport import CliRoad

    return CliRoad(settings, cluster)


class Roads:
    """Reads what is named over the first road that can."""

    def __init__(self, roads: Sequence[Road]) -> None:
        self._roads = tuple(roads)

    def read_nodes(self, names: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these names as they are now."""
        return self._over("read_nodes", lambda road: road.read_nodes(names))

    def read_jobs(self, ids: Sequence[str]) -> Mapping[str, Job]:
        """The jobs of these ids as they are now."""
        return self._over("read_jobs", lambda road: road.read_jobs(ids))

    def read_jobs_on(self, nodes: Sequence[str]) -> Mapping[str, Job]:
        """The jobs that hold one of these nodes now."""
        return self._over("read_jobs_on", lambda road: road.read_jobs_on(nodes))

    def read_partitions(self, names: Sequence[str]) -> Mapping[str, Partition]:
        """The partitions of these names as they are now."""
        return self._over("read_partitions", lambda road: road.read_partitions(names))

    def read_reservations(self, names: Sequence[str]) -> Mapping[str, Reservation]:
        """The reservations of these names as they are now."""
        return self._over("read_reservations", lambda road: road.read_reservations(names))

    def read_jobs_in(self, reservation: str) -> Mapping[str, Job]:
        """The jobs that asked for this reservation, running and waiting."""
        return self._over("read_jobs_in", lambda road: road.read_jobs_in(reservation))

    def read_users(self, names: Sequence[str]) -> Mapping[str, User]:
        """The users of these names, with the limits that slurmdbd keeps for them."""
        return self._over("read_users", lambda road: road.read_users(names))

    def job_detail(self, job: str) -> JobDetail:
        """Everything about one job."""
        return self._over("job_detail", lambda road: road.job_detail(job))

    def _over(self, what: str, read: Callable[[Road], T]) -> T:
        for road in self._roads:
            if unsupported(road.name, what) is None:
                return read(road)
        raise SourceFault("missing", *_no_road(what, self._roads))


def open_transport(cluster: str, settings: SlurmSettings) -> Transport:
    """Reads on demand."""
    roads = open_roads(cluster, settings)
    return roads[0] if len(roads) == 1 else Roads(roads)


def open_ledger(cluster: str, settings: SlurmSettings) -> Ledger:
    """The accounting of one Slurm: through its commands where these are configured, else through slurmrestd, which
    tells no events. Starts nothing."""
    if "rest" in settings.roads and "cli" not in settings.roads:
        from .rest.accounting import RestAccounts

        return RestAccounts(settings)
    return Accounts(settings)
