"""A cluster's summary in one line, beside other clusters: for the top line and the overview. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from collectors.model import Cluster, Source
from console.alerts.groups import severity_of
from console.ingest.poller import WATCHED, background_interval_s
from console.runtime.memo import remembered
from widgets.cells import Span
from widgets.chips import chips, is_stale


class ClusterSummary(Struct, frozen=True, kw_only=True):
    """The summary of one cluster. None is unknown."""

    name: str
    cluster: Cluster | None = None
    """None when it is not open."""
    shown: bool = False
    why: str = ""
    """Why it is not open; "" when it will be opened."""
    mono: float = 0.0
    """Monotonic time against which the ages of its facts are measured."""
    critical: int | None = None
    warning: int | None = None
    """Active alerts; None when unknown or stale."""
    ill: str = ""
    """Problems of its sources: `slurm timeout`, `alerts stale 4m`."""


@remembered("alerts")
def active_of(cluster: Cluster) -> Mapping[str, int]:
    """Active alerts by severity."""
    return Counter(severity_of(one) for one in cluster.alerts.values() if one.state == "active")


def summarise(cluster: Cluster, mono: float, *, shown: bool) -> ClusterSummary:
    """The summary of a cluster. Sources that are not read while another cluster is shown do not count as stale."""
    watched = list(cluster.sources.values()) if shown else [*_watched(cluster)]
    ill = [chip.text for chip in chips(watched, mono) if chip.role in {"chip-fault", "chip-stale"}]
    sources = [one for one in watched if one.chip == "alerts"]
    fresh = "alerts" in cluster.known and not any(not one.ok or is_stale(one, mono) for one in sources)
    active = active_of(cluster)
    return ClusterSummary(
        name=cluster.name, cluster=cluster, shown=shown, mono=mono, ill=", ".join(ill),
        critical=active["critical"] if fresh else None, warning=active["warning"] if fresh else None,
    )  # fmt: skip


def totals_only(one: ClusterSummary) -> ClusterSummary:
    """The same with only the totals of its cluster, so that a screen does not keep every row of the facts alive."""
    if (of := one.cluster) is None:
        return one
    light = Cluster(
        name=of.name, demo=of.demo, at=of.at, known=of.known, sources=of.sources, totals=of.totals, diag=of.diag
    )
    return msgspec.structs.replace(one, cluster=light)


def _watched(cluster: Cluster) -> Iterator[Source]:
    """The sources read while another cluster is shown, with due times that fit their slower pace."""
    for one in cluster.sources.values():
        if (kind := one.name.rpartition(".")[2]) in WATCHED:
            yield msgspec.structs.replace(one, due_s=max(one.due_s, background_interval_s(kind)))


def chip_of(one: ClusterSummary) -> Span | None:
    """The chip of a cluster that is not shown, for the top line; None when it is known to have no problem."""
    if one.shown or one.why == "closed":
        return None
    if one.cluster is None:
        return (f"{one.name} {'not open' if one.why else '…'}", "chip-stale")
    if one.critical:
        return (f"{one.name} {one.critical:,} critical", "bad")
    return (f"{one.name} {one.ill}", "chip-stale") if one.ill else None
