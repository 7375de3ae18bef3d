"""Opens what the console polls and reads on demand: all alerts and silences of one Alertmanager, and named ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.clock import Clock
from collectors.hosts import HostMapping, NodeNames, mapping_summary
from collectors.http.client import HttpClient
from collectors.http.http_faults import HttpRefusal
from collectors.model import Alert, Collector, Facts, Matcher, Silence, SourceFault

from . import AlertmanagerSettings
from .answers import AlertAnswers, conditions, silence_of
from .client import open_client
from .requests import ID

#: Given in full, so that other defaults of an Alertmanager leave nothing out.
_ALL = [(state, "true") for state in ("active", "silenced", "inhibited", "unprocessed")]


class AlertmanagerReader:
    """One Alertmanager; its client is created with the first request, in the calling thread."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self._settings = settings
        self._reader = AlertAnswers(settings)
        self._client: HttpClient | None = None

    def set_node_names(self, names: NodeNames) -> None:
        """Set Slurm's node names. May be called by any thread."""
        self._reader.set_node_names(names)

    def host_mappings(self) -> tuple[HostMapping, ...]:
        """How the hosts of the last alerts were mapped to Slurm's nodes."""
        own, names = self._settings, self._reader.names
        fits = tuple(self._reader.seen.values())
        configured = own.node is not None
        made = mapping_summary("alerts", own.node_labels, fits, names, configured=configured, whole=False)
        return (made,) if fits else ()

    @property
    def client(self) -> HttpClient:
        """The client. Raises SourceFault if it cannot be created."""
        if self._client is None:
            self._client = open_client(self._settings)
        return self._client

    def alerts(self) -> tuple[Mapping[str, Alert], tuple[str, ...]]:
        """All alerts of this cluster, and warnings about skipped rows. Raises SourceFault."""
        answer = self.client.ask("GET", "/alerts", params=[*_ALL, *conditions(self._settings)])
        return self._reader.alerts(answer.content)

    def silences(self) -> tuple[Mapping[str, Silence], tuple[str, ...]]:
        """All active and pending silences, and warnings about skipped rows. Raises SourceFault."""
        return self._reader.silences(self.client.ask("GET", "/silences").content)

    def close(self) -> None:
        """End a running request."""
        if self._client is not None:
            self._client.close()


class AlertSource:
    """The alerts and silences of one Alertmanager, as the console polls them."""

    name = "alerts.alerts"

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self.floor_s = settings.interval_s
        self._asking = AlertmanagerReader(settings)

    def collect(self) -> Facts:
        """Read both. Raises SourceFault if the alerts cannot be read; without silences they are still useful."""
        alerts, warnings = self._asking.alerts()
        try:
            silences, more = self._asking.silences()
        except SourceFault as error:
            return Facts(alerts=alerts, warnings=(*warnings, f"silences: {error.fault}"))
        return Facts(alerts=alerts, silences=silences, warnings=(*warnings, *more))

    def set_node_names(self, names: NodeNames) -> None:
        """Set Slurm's node names. May be called by any thread."""
        self._asking.set_node_names(names)

    def host_mappings(self) -> tuple[HostMapping, ...]:
        """How the hosts of the last alerts were mapped to Slurm's nodes."""
        return self._asking.host_mappings()

    def close(self) -> None:
        """End a running reading."""
        self._asking.close()


class AlertmanagerReads:
    """Reads named alerts and silences on demand; several threads may use it."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self._asking = AlertmanagerReader(settings)

    def read_alerts(self, ids: Sequence[str]) -> Mapping[str, Alert]:
        """The alerts of these ids as they are now; resolved ones are left out. Raises SourceFault."""
        alerts, _ = self._asking.alerts()
        return {one: alerts[one] for one in ids if one in alerts}

    def read_silences(self, ids: Sequence[str]) -> Mapping[str, Silence]:
        """The silences of these ids as they are now; expired and unknown ones are left out. Raises SourceFault."""
        found = {}
        for one in ids:
            if not ID.fullmatch(one):
                continue
            try:
                silence = silence_of(self._asking.client.ask("GET", f"/silence/{one}").content)
            except HttpRefusal as error:
                # A 404 of another server lacks these words, and is no answer to this request.
                if error.code == 404 and not _elsewhere(error):
                    continue
                raise
            if silence is not None:
                found[one] = silence
        return found

    def read_silences_of(self, label: str, values: Sequence[str]) -> Mapping[str, Silence]:
        """The silences whose only condition is that this label has one of these values. Raises SourceFault."""
        silences, _ = self._asking.silences()
        wanted = {(Matcher(label, value),) for value in values}
        return {key: one for key, one in silences.items() if one.matchers in wanted}


def _elsewhere(error: HttpRefusal) -> bool:
    return bool(error.said) and "silence" not in error.said.lower()


def open_sources(cluster: str, settings: AlertmanagerSettings, clock: Clock | None = None) -> list[Collector]:
    """The source of one Alertmanager. Sends nothing yet."""
    return [AlertSource(settings)]


def open_alert_reader(cluster: str, settings: AlertmanagerSettings) -> AlertmanagerReads:
    """Reads on demand from one Alertmanager. Sends nothing yet."""
    return AlertmanagerReads(settings)
