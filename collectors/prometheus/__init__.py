"""GPUs, XIDs and power from Prometheus, or whatever answers its API: Thanos, Mimir, VictoriaMetrics.

This file is the light descriptor: the settings. `queries` holds every query in one table, `wire` and `client` ask,
`sources` opens what the console polls and asks on demand.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from collectors.prometheus.queries import DEFAULT_NODE, TABLE
from collectors.registry import Descriptor

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MATCHERS = re.compile(
    r'\s*[A-Za-z_]\w*\s*(=~|!~|!=|=)\s*"(\\.|[^"\\])*"\s*(,\s*[A-Za-z_]\w*\s*(=~|!~|!=|=)\s*"(\\.|[^"\\])*"\s*)*'
)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}

Seconds = Annotated[float, Meta(gt=0, le=3600)]


class PowerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`power = { budget_mw = 6.5, node_series = "ipmi_dcmi_power_consumption_watts" }` in a cluster's configuration.

    Without a series the power is the sum of the GPUs, and the screen says so.
    """

    budget_mw: Annotated[float, Meta(gt=0)] | None = None
    """The contracted ceiling."""
    node_series: str | None = None
    """Watts of a node: a metric, or PromQL that gives one series a node (`sum by (instance) (ipmi_power_watts)`)."""
    node_label: str = "instance"
    """The label of it that holds the node."""
    node: str = DEFAULT_NODE
    """How the node's name stands in that label: group 1 of a regular expression that matches all of it."""
    rack_series: str | None = None
    """Watts of a power unit, or of a rack: a metric or any PromQL. Those of one rack are added up."""
    rack_label: str = "rack"
    """The label of it that holds the rack, as Slurm's side calls it."""
    source: str | None = None
    """How the screen names the source; None is "PDU", "BMC" or "sum of GPUs", as it is."""

    def __post_init__(self) -> None:
        _check_label("node_label", self.node_label)
        _check_label("rack_label", self.rack_label)
        _check_node("node", self.node)


class PrometheusSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`prometheus = { url = "https://prometheus.example", ca = "/etc/ssl/site.pem", token_file = "~/prom.token" }`."""

    url: str
    """Without the /api/v1 at its end."""
    ca: str | None = None
    """File with the certificates to trust; None trusts what this computer trusts. They are always verified."""
    token_file: str | None = None
    """File with a bearer token, readable by its owner alone."""
    timeout_s: Seconds = 10.0
    """Longest that one answer may take, from connecting to its last byte."""
    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 15.0
    """Least seconds between two readings."""
    stale_s: Seconds = 180.0
    """A sample older than this is told with its age, and its value is left out."""
    host_labels: Annotated[tuple[str, ...], Meta(min_length=1)] = ("Hostname", "hostname")
    """The labels of dcgm-exporter's series that hold the host, one or the other; ("instance",) where there is none."""
    node: str = DEFAULT_NODE
    """How Slurm's name of a node stands in them: group 1 of a regular expression that matches all of it."""
    matchers: str = ""
    """More label matchers for every DCGM series, where one server holds several clusters: `cluster="groningen"`."""
    recorded: bool = False
    """Read the series of the recording rules in wacht-rules.yml, which the server must have loaded."""
    queries: dict[str, str] = field(default_factory=dict)
    """PromQL of the site's own for queries of the table (docs/queries.md), by name."""
    power: PowerSettings | None = None
    """Filled in from the cluster's own `power`."""

    def __post_init__(self) -> None:
        _check_url(self.url, self.token_file is not None)
        for label in self.host_labels:
            _check_label("host_labels", label)
        _check_node("node", self.node)
        if self.matchers and not _MATCHERS.fullmatch(self.matchers):
            raise ValueError('matchers must be label matchers, as in: cluster="groningen"')
        names = {query.name for query in TABLE}
        for name in self.queries:
            if name not in names:
                raise ValueError(f"queries.{name} is no query; allowed: {', '.join(sorted(names))}")


def _check_url(url: str, token: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"url: {error}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("url must begin with https:// or http:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url must hold no password; put a token into token_file")
    if parts.query or parts.fragment:
        raise ValueError("url must end before any ? or #")
    if token and parts.scheme == "http" and host not in _LOOPBACK:
        raise ValueError("url must begin with https:// where there is a token_file: a token is not sent in the clear")


def _check_label(key: str, label: str) -> None:
    if not _LABEL.fullmatch(label):
        raise ValueError(f"{key}: {label!r} is no label of Prometheus")


def _check_node(key: str, pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{key} is no regular expression: {error}") from None
    if not groups:
        raise ValueError(f"{key} needs a group around the node's name, as in: (gpu[0-9]+)-bmc")


DESCRIPTOR = Descriptor(
    key="prometheus",
    title="Prometheus",
    settings=PrometheusSettings,
    opens="collectors.prometheus.sources:open_sources",
)
