"""Opens what the console polls and reads on demand: loads of all nodes with XIDs, power, slurmctld's counts, plant,
telemetry."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from collectors.clock import Clock, SystemClock
from collectors.hosts import UNNAMED, HostMapping, NodeNames
from collectors.model import KINDS, Collector, Facts, SourceFault

from . import PrometheusSettings
from .client import PrometheusClient
from .host_labels import HostFamilies
from .loads import LoadReader
from .on_demand import PrometheusTelemetry
from .plant import PlantSource, query_modules
from .plant.cooling import CoolingReader
from .site_power import PowerReader
from .site_queries import SiteQueries
from .slurmctld_counts import CountsReader


class PrometheusReader(Protocol):
    """Reads the facts of one source."""

    def read(self) -> Facts:
        """One reading. Raises SourceFault."""
        ...


class PrometheusSource:
    """One source. Its client and libraries are loaded with the first reading, in the reading thread."""

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
            self.set_node_names(self._names)
        return self._reader.read()

    def set_node_names(self, names: NodeNames) -> None:
        """Set Slurm's node names. May be called by any thread."""
        self._names = names
        if (hosts := self._hosts) is not None:
            hosts.set_node_names(names)

    def host_mappings(self) -> tuple[HostMapping, ...]:
        """How the hosts of its series were mapped to Slurm's nodes."""
        return () if (hosts := self._hosts) is None else hosts.host_mappings()

    @property
    def _hosts(self) -> HostFamilies | None:
        """The hosts of its series; None before the first reading, and for series without hosts."""
        return getattr(self._reader, "hosts", None)

    def close(self) -> None:
        """End a running reading."""
        if self.client is not None:
            self.client.close()

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        raise NotImplementedError


class Loads(PrometheusSource):
    """A row of GPU telemetry for each node, and the XIDs."""

    name = "prom.loads"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return LoadReader(book, client, self._clock)

    def matchers(self, node: str) -> tuple[str, ...]:
        """The matchers for all possible dcgm-exporter series of a node; () before a reading."""
        reader: Any = self._reader
        return () if reader is None else tuple(reader.matchers(node))


class PowerSource(PrometheusSource):
    """The power of the site, its racks, its trend."""

    name = "prom.power"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return PowerReader(book, client, self._clock.mono)


class Counts(PrometheusSource):
    """slurmctld's own counts. They have a chip of their own, since neither Slurm's commands nor a GPU exporter provides
    them."""

    name = "ctld.counts"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        return CountsReader(book, client)


class Cooling(PrometheusSource):
    """The cooling loops of a site that configures their series."""

    name = "prom.cooling"

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        assert self._settings.cooling is not None
        return CoolingReader(self._settings.cooling, book, client)


class Plant(PrometheusSource):
    """A source that only some sites have: detected automatically, silently absent, and a fault if it disappears."""

    seen = False

    def __init__(self, row: PlantSource, settings: PrometheusSettings, clock: Clock | None = None) -> None:
        super().__init__(settings, clock)
        self.row, self.name = row, row.name
        # It changes slowly compared with loads and power.
        self.floor_s = max(row.floor_s, settings.interval_s)

    def collect(self) -> Facts:
        """Read it once; empty Facts if the site has no such series. Raises SourceFault."""
        facts = super().collect()
        found = any(getattr(facts, kind) for kind in KINDS)
        if self.seen and not found:
            what = f"{self.row.subject}: the series were there and are gone"
            raise SourceFault("empty", what, "do their exporters run, and is Prometheus scraping them?")
        self.seen = self.seen or found
        return facts if found else Facts(warnings=facts.warnings)

    def _open(self, book: SiteQueries, client: PrometheusClient) -> PrometheusReader:
        module, _, reader = self.row.reader.partition(":")
        made = getattr(importlib.import_module(f"collectors.prometheus.plant.{module}"), reader)
        opened: PrometheusReader = made(book, client, self._clock.mono)
        return opened


#: The sources that only some sites have, by name.
PLANT: Mapping[str, Callable[..., Plant]] = {
    module.SOURCE.name: partial(Plant, module.SOURCE) for module in query_modules("SOURCE")
}


def open_sources(cluster: str, settings: PrometheusSettings, clock: Clock | None = None) -> list[Collector]:
    """The sources of one Prometheus. Sends nothing yet."""
    counts: list[Collector] = [Counts(settings, clock)] if settings.slurm_metrics else []
    counts += [Cooling(settings, clock)] if settings.cooling is not None else []
    plant = [made(settings, clock) for made in PLANT.values()]
    return [Loads(settings, clock), PowerSource(settings, clock), *counts, *plant]


def open_telemetry(cluster: str, settings: PrometheusSettings, clock: Clock | None = None) -> PrometheusTelemetry:
    """Telemetry on demand. Sends nothing yet."""
    return PrometheusTelemetry(settings, clock or SystemClock())
