"""What `wacht doctor` asks an Alertmanager besides its readings: its version, cluster, receivers and clock."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct, field

from collectors.clean import clean
from collectors.clock import ClockSkew
from collectors.decoding import from_json
from collectors.http_probe import HttpProbe, probe_http
from collectors.model import SourceFault

from . import AlertmanagerSettings

T = TypeVar("T")


class AlertmanagerProbe(Struct, frozen=True, kw_only=True):
    """The result of probing one Alertmanager."""

    version: str | None
    cluster: str
    """The gossip state: ready, settling, or disabled for a single instance."""
    peers: int
    receivers: tuple[str, ...]
    moment: ClockSkew | None


class _Cluster(Struct):
    status: str = "unknown"
    peers: list[object] | None = None


class _Version(Struct):
    version: str | None = None


class _ServerStatus(Struct):
    cluster: _Cluster = field(default_factory=_Cluster)
    versionInfo: _Version = field(default_factory=_Version)  # noqa: N815 - Alertmanager's own name


class _Receiver(Struct):
    name: str


def probe_alertmanager(settings: AlertmanagerSettings) -> AlertmanagerProbe:
    """Probe it. Raises SourceFault. Its configuration, which the answer contains, is not kept."""
    seen = probe_http(settings, "/api/v2/status", settings.timeout_s)
    status = _decoded(seen, _ServerStatus)
    receivers = _decoded(probe_http(settings, "/api/v2/receivers", settings.timeout_s), list[_Receiver])
    version = status.versionInfo.version
    return AlertmanagerProbe(
        version=None if version is None else clean(version)[:40],
        cluster=clean(status.cluster.status)[:40],
        peers=len(status.cluster.peers or []),
        receivers=tuple(clean(one.name)[:80] for one in receivers),
        moment=seen.moment,
    )


def _decoded(seen: HttpProbe, kind: type[T]) -> T:
    if seen.status != 200:
        raise SourceFault("refused", f"it answered {seen.status}", "does url end where /api/v2 begins?")
    try:
        return from_json(seen.body, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SourceFault("malformed", "the answer is none of Alertmanager", "see url") from None
