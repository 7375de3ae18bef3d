"""Alerts and silences from Alertmanager, over its API v2.

This file has the settings and the light descriptor. `client` sends requests, `answers` decodes answers, `sources` opens
what the console polls and reads on demand, `requests` turns a change into requests and amtool commands, `write` sends
them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from collectors.source_registry import Descriptor
from collectors.web import WebSettings, check_label, check_matchers, check_node


class AlertmanagerSettings(WebSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`alertmanager = { url = "https://alertmanager.example", ca = "/etc/ssl/site.pem", token_file = "~/am" }`."""

    interval_s: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """Least seconds between two readings."""
    node_labels: Annotated[tuple[str, ...], Meta(min_length=1)] = (
        "node",
        "Hostname",
        "hostname",
        "nodename",
        "instance",
    )
    """Labels that may hold the node of an alert; the first whose value is one of Slurm's nodes is used."""
    node: str | None = None
    """Regular expression that matches the whole label; group 1 is the NodeName. Without it the labels are compared
    with NodeName, NodeHostname and NodeAddr of Slurm's nodes."""
    matchers: str = ""
    """Label matchers for this cluster's alerts, where one Alertmanager serves several: `cluster="groningen"`."""

    def __post_init__(self) -> None:
        WebSettings.__post_init__(self)
        for label in self.node_labels:
            check_label("node_labels", label)
        if self.node is not None:
            check_node("node", self.node)
        check_matchers(self.matchers)


DESCRIPTOR = Descriptor(
    key="alertmanager",
    title="Alertmanager",
    settings=AlertmanagerSettings,
    opens="collectors.alertmanager.sources:open_sources",
)
