"""Opens what the console polls and asks: loads of all nodes with XIDs, power, slurmctld's counts, telemetry."""

from __future__ import annotations

from typing import Any, Protocol

from collectors.clock import Clock, SystemClock
from collectors.hosts import UNNAMED, HostMapping, NodeNames
from collectors.model import KINDS, Collector, Facts, SourceFault

from . import PrometheusSettings
from .client import PrometheusClient
from .host_labels import HostFamilies
from .loads import LoadReader
from .on_demand import PrometheusTelemetry
from .plant.checkups import CheckupReader
from .plant.cooling import CoolingReader
from .plant.fabric import FabricReader
from .plant.nvlink_domains import TrayReader
from .plant.storage import StorageReader
from .site_power import PowerReader
from .site_queries import SiteQueries
from .slurmctld_counts import CountsReader


class PrometheusReader(Protocol):
    """What reads the facts of one source."""

    def read(self) -> Facts:
        """One reading. Raises SourceFault."""
        ...


class PrometheusSource:
    """One source. Its client, and with it the libraries, come with the first reading, in the thread that reads."""

    name = "prom"

    def __init__(self, settings: PrometheusSettings, clock: Clock | None = None) -> None:
        self.floor_s = settings.interval_s
        self.client: PrometheusClient | None = None
        self._settings = settings
        self._clock = clock or SystemClock()
        self._reader: PrometheusReader | None = None
        self._names = UNNAMED

    def collect(self) -> Facts:
        """Read it once. Raises SourceFault."""
        if self._reader is None:
            self.client = PrometheusClient(self._settings, self._clock)
            self._reader = self._open(SiteQueries(self._settings), self.client)
            self.know(self._names)
        return self._reader.read()

    def know(self, names: NodeNames) -> None:
        """How Slurm names its nodes from now on. May be called by any thread."""
        self._names = names
        if (hosts := self._hosts) is not None:
            hosts.know(names)

    def fitted(self) -> tuple[HostMapping, ...]:
        """How the hosts of its series were mapped to Slurm's nodes."""
        return () if (hosts := self._hosts) is None else hosts.fitted()

    @property
    def _hosts(self) -> HostFamilies | None:
        """The hosts of all that it reads; None before the first reading, and where its series are of none."""
        return getattr(self._reader, "hosts", None)

    def close(self) -> None:
        """End a reading that waits."""
        if self.client is not None:
            self.client.close()

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        raise NotImplementedError


class Loads(PrometheusSource):
    """Every node's GPUs in a row, and the XIDs."""

    name = "prom.loads"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return LoadReader(book, client, self._clock)

    def matchers(self, node: str) -> tuple[str, ...]:
        """The matchers that let through all that may be dcgm-exporter's series of a node; () before a reading."""
        reader: Any = self._reader
        return () if reader is None else tuple(reader.matchers(node))


class PowerSource(PrometheusSource):
    """The power of the site, its racks, its trend."""

    name = "prom.power"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return PowerReader(book, client, self._clock.mono)


class Counts(PrometheusSource):
    """What slurmctld itself counts. A chip of its own: it is neither Slurm's commands nor an exporter of GPUs."""

    name = "ctld.counts"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return CountsReader(book, client)


class Cooling(PrometheusSource):
    """The cooling loops of a site that names their series."""

    name = "prom.cooling"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        assert self._settings.cooling is not None
        return CoolingReader(self._settings.cooling, book, client)


class Plant(PrometheusSource):
    """What only some sites have: found by itself, absent in silence, and a fault once it was there and is gone."""

    subject = ""
    """What it is, for the fault: "the fabric's ports"."""
    floor_s = 60.0
    seen = False

    def __init__(self, settings: PrometheusSettings, clock: Clock | None = None) -> None:
        super().__init__(settings, clock)
        # It moves slowly beside loads and power.
        self.floor_s = max(type(self).floor_s, settings.interval_s)

    def collect(self) -> Facts:
        """Read it once; Facts without anything in them where the site has no such series. Raises SourceFault."""
        facts = super().collect()
        found = any(getattr(facts, kind) for kind in KINDS)
        if self.seen and not found:
            what = f"{self.subject}: the series were there and are gone"
            raise SourceFault("empty", what, "do their exporters run, and is Prometheus scraping them?")
        self.seen = self.seen or found
        return facts if found else Facts(warnings=facts.warnings)


class Trays(Plant):
    """The NVLink fabric, node by node."""

    name = "prom.trays"
    subject = "the NVLink fabric"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return TrayReader(book, client, self._clock.mono)


class Ports(Plant):
    """The fabric: the ports of nodes, in sums and those that are not well."""

    name = "prom.fabric"
    subject = "the fabric's ports"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return FabricReader(book, client, self._clock.mono)


class FileSystems(Plant):
    """The shared file systems, as nodes and the exporters of their servers see them."""

    name = "prom.storage"
    subject = "the shared file systems"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return StorageReader(book, client, self._clock.mono)


class Checkups(Plant):
    """What nodes' own checks said, and the versions that they run."""

    name = "prom.checkups"
    subject = "versions and health checks of nodes"
    floor_s = 300.0

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return CheckupReader(book, client, self._clock.mono)


#: The sources of what only some sites have.
PLANT: tuple[type[Plant], ...] = (Trays, Ports, FileSystems, Checkups)


def open_sources(cluster: str, settings: PrometheusSettings, clock: Clock | None = None) -> list[Collector]:
    """The sources of one Prometheus. Asks nothing yet."""
    counts: list[Collector] = [Counts(settings, clock)] if settings.slurm_metrics else []
    counts += [Cooling(settings, clock)] if settings.cooling is not None else []
    plant = [one(settings, clock) for one in PLANT]
    return [Loads(settings, clock), PowerSource(settings, clock), *counts, *plant]


def open_telemetry(cluster: str, settings: PrometheusSettings, clock: Clock | None = None) -> PrometheusTelemetry:
    """Telemetry on demand. Asks nothing yet."""
    return PrometheusTelemetry(settings, clock or SystemClock())
