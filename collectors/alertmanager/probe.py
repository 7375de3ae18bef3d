"""What `wacht doctor` asks an Alertmanager besides its readings: its version, cluster, receivers and clock."""

from __future__ import annotations

import contextlib
import time
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from collectors.clean import clean
from collectors.clock import ClockSkew, skew_of
from collectors.decoding import from_json
from collectors.model import SourceFault

from . import AlertmanagerSettings
from .client import open_client

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
    with contextlib.closing(open_client(settings)) as client:
        sent = time.time()
        answer = client.ask("GET", "/status")
        received = time.time()
        status = _decoded(answer.content, _ServerStatus)
        receivers = _decoded(client.ask("GET", "/receivers").content, list[_Receiver])
    version = status.versionInfo.version
    return AlertmanagerProbe(
        version=None if version is None else clean(version)[:40],
        cluster=clean(status.cluster.status)[:40],
        peers=len(status.cluster.peers or []),
        receivers=tuple(clean(one.name)[:80] for one in receivers),
        moment=_moment(answer.headers.get("date", ""), sent, received),
    )


def _moment(date: str, sent: float, received: float) -> ClockSkew | None:
    """The server's clock, if its header has a date (to the second)."""
    try:
        said = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
    return skew_of(said, 1.0, sent, received)


def _decoded(content: bytes, kind: type[T]) -> T:
    try:
        return from_json(content, kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SourceFault("malformed", "the answer is none of Alertmanager", "see url") from None
