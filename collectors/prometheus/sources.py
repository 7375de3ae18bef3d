"""Opens what the console polls and asks: loads of all nodes with XIDs, power, slurmctld's counts, telemetry."""

from __future__ import annotations

from collections.abc import Callable

from collectors.clock import Clock, SystemClock
from collectors.model import Collector, Facts
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.book import Book
from collectors.prometheus.client import Client
from collectors.prometheus.counts import CountsReader
from collectors.prometheus.loads import LoadReader
from collectors.prometheus.power import PowerReader
from collectors.prometheus.telemetry import PrometheusTelemetry


class PrometheusSource:
    """One source. Its client, and with it the libraries, come with the first reading, in the thread that reads."""

    name = "prom"

    def __init__(self, settings: PrometheusSettings, clock: Clock | None = None) -> None:
        self.floor_s = settings.interval_s
        self.client: Client | None = None
        self._settings = settings
        self._clock = clock or SystemClock()
        self._read: Callable[[], Facts] | None = None

    def collect(self) -> Facts:
        """Read it once. Raises SourceFault."""
        if self._read is None:
            self.client = Client(self._settings, self._clock)
            self._read = self._reader(self.client)
        return self._read()

    def close(self) -> None:
        """End a reading that waits."""
        if self.client is not None:
            self.client.close()

    def _reader(self, client: Client) -> Callable[[], Facts]:
        raise NotImplementedError


class Loads(PrometheusSource):
    """Every node's GPUs in a row, and the XIDs."""

    name = "prom.loads"

    def _reader(self, client: Client) -> Callable[[], Facts]:
        return LoadReader(Book(self._settings), client, self._clock).read


class PowerSource(PrometheusSource):
    """The power of the site, its racks, its trend."""

    name = "prom.power"

    def _reader(self, client: Client) -> Callable[[], Facts]:
        return PowerReader(Book(self._settings), client).read


class Counts(PrometheusSource):
    """What slurmctld itself counts. A chip of its own: it is neither Slurm's commands nor an exporter of GPUs."""

    name = "ctld.counts"

    def _reader(self, client: Client) -> Callable[[], Facts]:
        return CountsReader(Book(self._settings), client).read


def open_sources(cluster: str, settings: PrometheusSettings, clock: Clock | None = None) -> list[Collector]:
    """The sources of one Prometheus. Asks nothing yet."""
    counts = [Counts(settings, clock)] if settings.slurm_metrics else []
    return [Loads(settings, clock), PowerSource(settings, clock), *counts]


def open_telemetry(cluster: str, settings: PrometheusSettings, clock: Clock | None = None) -> PrometheusTelemetry:
    """Telemetry on demand. Asks nothing yet."""
    return PrometheusTelemetry(settings, clock or SystemClock())
