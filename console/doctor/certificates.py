"""Checks the certificates of the https servers: an expired one makes the console lose a source, which can be known
weeks before.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from collectors.clean import clean
from collectors.http.connection import CONNECT_S, trusted_certificates
from collectors.model import SourceFault
from console.session.cluster_sources import ClusterSources

from .finding import Finding, FindingGroup
from .parallel import ParallelChecks

#: Days before its end from which a certificate gets a warning. Automatic renewal runs at 30 days, so it has failed by
#: then, with time left to fix it.
SOON_DAYS = 14
_DAY_S = 86_400.0


def start(checks: ParallelChecks, sources: ClusterSources) -> None:
    """Start a check for each server."""
    for name, chosen in _servers(sources).items():
        checks.start(_task(name), lambda chosen=chosen: ends(chosen.url, chosen.ca))  # type: ignore[misc]


def _servers(sources: ClusterSources) -> dict[str, Any]:
    """Name to settings of the sources that are read over https."""
    every = {"slurmrestd": sources.slurm, **sources.others}
    return {name: one for name, one in every.items() if (getattr(one, "url", None) or "").startswith("https://")}


def _task(name: str) -> str:
    return f"certificate of {name}"


def ends(url: str, ca: str | None) -> float:
    """When a trusted server's certificate ends, in seconds since the epoch. Raises SourceFault, OSError."""
    parts = urlsplit(url)
    with (
        socket.create_connection((parts.hostname or "", parts.port or 443), CONNECT_S) as plain,
        trusted_certificates(ca).wrap_socket(plain, server_hostname=parts.hostname) as secure,
    ):
        shown = secure.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))


def findings(sources: ClusterSources, ended: Mapping[str, Any], now: float) -> list[Finding]:
    """When each certificate ends. For one that cannot be read or is not trusted, the source's own finding says why."""
    group = FindingGroup("Sources")
    for name in _servers(sources):
        at = ended.get(_task(name))
        if isinstance(at, float):
            _add_finding(group, name, at, now)
        elif at is None or isinstance(at, OSError | SourceFault):
            why = clean(str(at)) if at is not None else "no answer in time"
            group.note(name, f"when its certificate ends is unknown: {why}")
        else:
            group.bad(name, f"{type(at).__name__} in wacht itself", "please report it to wacht")
    return group.found


def _add_finding(group: FindingGroup, name: str, at: float, now: float) -> None:
    days, until = int((at - now) // _DAY_S), time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
    said = f"its certificate is good until {until}, {_days(days)}" if days >= 0 else f"its certificate ended {until}"
    if days < SOON_DAYS:
        group.warn(name, said, "renew it; from then on nothing of this source is read", certificate_days=days)
    else:
        group.ok(name, said, certificate_days=days)


def _days(days: int) -> str:
    return f"{days} day{'' if days == 1 else 's'}" if days > 0 else "less than a day"
