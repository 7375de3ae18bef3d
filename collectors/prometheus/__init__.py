"""GPUs, XIDs, power and plant from Prometheus, or any server with its API: Thanos, Mimir, VictoriaMetrics.

This file has the settings and the light descriptor. `query_table` holds every query, `site_queries` fills in a site's
settings, `client` asks, `answers` has the rows, `sources` opens what the console polls, `on_demand` what it reads on
demand; `plant` has the sources on cooling, fabric, NVLink domains, storage and checkups.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from collectors.source_registry import Descriptor
from collectors.web import Seconds, WebSettings, check_label, check_matchers, check_node

from .plant.cooling_queries import CoolingSettings
from .plant.plant_settings import FabricSettings, StorageSettings


class PowerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`power = { budget_mw = 6.5, node_series = "ipmi_dcmi_power_consumption_watts" }` in a cluster's configuration.

    Without a series the power is the sum of the GPUs, and the screen says so.
    """

    budget_mw: Annotated[float, Meta(gt=0)] | None = None
    """The contracted ceiling."""
    node_series: str | None = None
    """Watts of a node: a metric, or PromQL that gives one series a node (`sum by (instance) (ipmi_power_watts)`)."""
    node_label: str | None = None
    """Label of `node_series` that holds the node; without it the label that matches most of Slurm's nodes."""
    node: str | None = None
    """Regular expression that matches the whole label; group 1 is the NodeName. Without it the label is compared with
    NodeName, NodeHostname and NodeAddr of Slurm's nodes."""
    rack_series: str | None = None
    """Watts of a power unit or a rack: a metric or any PromQL. Series of the same rack are summed."""
    rack_label: str = "rack"
    """Label of `rack_series` that holds the rack, under the name that Slurm's nodes have for it."""
    source: str | None = None
    """Name of the source on the screen; without it "PDU", "BMC" or "sum of GPUs", according to the series."""

    def __post_init__(self) -> None:
        if self.node_label is not None:
            check_label("node_label", self.node_label)
        check_label("rack_label", self.rack_label)
        if self.node is not None:
            check_node("node", self.node)


class PrometheusSettings(WebSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prometheus = { url = "https://prometheus.example", ca = "/etc/ssl/site.pem", token_file = "~/prom.token" }`."""

    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 15.0
    """Least seconds between two readings."""
    stale_s: Seconds = 180.0
    """A sample older than this is shown with its age, without its value."""
    host_labels: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    """Labels of dcgm-exporter's series that may hold the host; without it those of Hostname, hostname, node, nodename
    and instance that match most of Slurm's nodes (`wacht doctor` shows which)."""
    node_labels: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    """Labels of node_exporter's series that may hold the host; without it those that match most of Slurm's nodes."""
    node: str | None = None
    """Regular expression that matches the whole label; group 1 is the NodeName. Without it the labels are compared
    with NodeName, NodeHostname and NodeAddr of Slurm's nodes."""
    matchers: str = ""
    """More label matchers for every DCGM series, where one server serves several clusters: `cluster="groningen"`."""
    recorded: bool = False
    """Read the series of the recording rules in wacht-rules.yml, which the server must have loaded."""
    slurm_metrics: bool | str = False
    """Label matchers of the targets where slurmctld's own metrics are scraped (25.11 or newer), or true for those whose
    job begins with slurm. The screens then show its counts as well as those of the commands."""
    queries: dict[str, str] = field(default_factory=dict)
    """The site's own PromQL for queries of the table (docs/queries.md), by name."""
    fabric: FabricSettings = field(default_factory=FabricSettings)
    """Ports and switches."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    """Shared file systems."""
    power: PowerSettings | None = None
    """Filled in from the cluster's own `power`."""
    cooling: CoolingSettings | None = None
    """Filled in from the cluster's own `cooling`."""

    def __post_init__(self) -> None:
        WebSettings.__post_init__(self)
        for label in self.host_labels or ():
            check_label("host_labels", label)
        for label in self.node_labels or ():
            check_label("node_labels", label)
        if self.node is not None:
            check_node("node", self.node)
        check_matchers(self.matchers)
        check_matchers(self.slurmctld)
        if self.queries:
            from .query_table import TABLE

            names = {query.name for query in TABLE}
            for name in self.queries:
                if name not in names:
                    raise ValueError(f"queries.{name} is no query; allowed: {', '.join(sorted(names))}")

    @property
    def slurmctld(self) -> str:
        """The matchers that `slurm_metrics` means, with the cluster's own if one server holds several."""
        if isinstance(self.slurm_metrics, str) and self.slurm_metrics:
            return self.slurm_metrics
        from .query_table import SLURMCTLD

        return ",".join(part for part in (SLURMCTLD, self.matchers) if part)


DESCRIPTOR = Descriptor(
    key="prometheus",
    title="Prometheus",
    settings=PrometheusSettings,
    opens="collectors.prometheus.sources:open_sources",
)
