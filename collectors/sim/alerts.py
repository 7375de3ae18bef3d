"""The alerts and silences that Alertmanager would hold for the simulated cluster."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping

from msgspec.structs import replace

from collectors.matchers import meets
from collectors.model import Alert, NewSilence, Silence

from .host import Host


class AlertStore:
    """Alerts by fingerprint, and the silences that apply to them. The same labels give the same alert."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.rows: dict[str, Alert] = {}
        self._silences: dict[str, Silence] = {}
        self._made = 0

    def raise_(self, name: str, severity: str, summary: str, starts: float, labels: Mapping[str, str]) -> str:
        """Raise an alert, unless it is active already. Returns its fingerprint."""
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
        """Raise an alert about one node, with its rack, switch and PDU as labels. Returns its fingerprint."""
        where = {"node": host.name, "rack": host.rack, "switch": host.switch, "pdu": host.pdu}
        return self.raise_(name, severity, summary, starts, {**where, **labels})

    def resolve_for_host(self, host: Host, name: str | None = None) -> None:
        """Resolve the alerts about a node: all of them, or those of one name."""
        for key in [k for k, alert in self.rows.items() if alert.node == host.name and name in (None, alert.name)]:
            del self.rows[key]

    def resolve(self, key: str) -> None:
        """Resolve an alert. Does nothing if it was resolved before."""
        self.rows.pop(key, None)

    def silence(self, new: NewSilence, now: float) -> str:
        """Create a silence. Returns its id."""
        self._made += 1
        key = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.cluster}/{self._made}"))
        self._silences[key] = Silence(
            id=key, state="active", matchers=new.matchers, starts=int(now), ends=int(now) + new.seconds,
            by=new.by, comment=new.comment,
        )  # fmt: skip
        return key

    def expire_silence(self, key: str, now: float) -> bool:
        """Expire a silence. False if there is no active silence with this id."""
        return key in self.silences(now) and self._silences.pop(key) is not None

    def silences(self, now: float) -> dict[str, Silence]:
        """Active silences by id; expired ones are removed."""
        self._silences = {key: one for key, one in self._silences.items() if one.ends is None or one.ends > now}
        return dict(self._silences)

    def current(self, now: float) -> dict[str, Alert]:
        """All alerts by fingerprint, each with the silences that suppress it now. An unchanged alert is the same
        object."""
        silences = self.silences(now)
        for key, row in self.rows.items():
            by = tuple(one.id for one in silences.values() if meets(one.matchers, row.labels))
            if by != row.silenced_by:
                self.rows[key] = replace(row, silenced_by=by, state="suppressed" if by else "active")
        return dict(self.rows)
