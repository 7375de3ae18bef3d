"""The alerts that a site's Alertmanager would hold about the simulated machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from msgspec.structs import replace

from collectors.model import Alert
from collectors.sim.topology import Host


class Alerts:
    """Alerts by fingerprint: one for the same name and labels, however often it is raised."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.rows: dict[str, Alert] = {}

    def raise_(self, name: str, severity: str, summary: str, starts: float, labels: Mapping[str, str]) -> str:
        """Raise an alert, unless it stands already. Returns its fingerprint."""
        full = {"alertname": name, "cluster": self.cluster, "severity": severity, **labels}
        key = hashlib.blake2s("\0".join(f"{k}={full[k]}" for k in sorted(full)).encode(), digest_size=8).hexdigest()
        if key not in self.rows:
            self.rows[key] = Alert(
                id=key,
                name=name,
                severity=severity,
                node=labels.get("node"),
                starts=int(starts),
                summary=summary,
                labels=full,
                annotations={"summary": summary, "runbook_url": f"https://runbooks.example.org/{name}"},
            )
        return key

    def about(self, host: Host, name: str, severity: str, summary: str, starts: float, **labels: str) -> str:
        """Raise an alert about one node, with the labels that tell what it shares with others."""
        where = {"node": host.name, "rack": host.rack, "switch": host.switch, "pdu": host.pdu}
        return self.raise_(name, severity, summary, starts, {**where, **labels})

    def clear(self, host: Host, name: str | None = None) -> None:
        """The node is well: drop what is said about it, all of it or the alert of that name."""
        for key in [k for k, alert in self.rows.items() if alert.node == host.name and name in (None, alert.name)]:
            del self.rows[key]

    def drop(self, key: str) -> None:
        """It is over; nothing when it was dropped before."""
        self.rows.pop(key, None)

    def silence(self, key: str) -> None:
        """Somebody silenced it."""
        self.rows[key] = replace(self.rows[key], state="suppressed")
