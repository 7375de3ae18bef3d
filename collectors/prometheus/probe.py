"""What `wacht doctor` asks a Prometheus besides its readings: its clock, its targets, why an answer was empty, and
which of its dangerous interfaces are open."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from collectors.clean import clean
from collectors.clock import ClockSkew, SystemClock, skew_of
from collectors.decoding import from_json
from collectors.model import SourceFault

from . import PrometheusSettings
from .client import PrometheusClient
from .dcgm_names import GPU, MARK
from .query import Query
from .query_table import BY_NAME, OPTIONAL
from .site_queries import SiteQueries
from .values import number

#: The separator of a series' names in a query's list of needs.
_OR = " or "
#: Queries for errors, whose empty answer is good, and for what other queries need.
_WRONGS = ("lacking", "hosts")
#: Server flags that let any client delete data, or stop the server.
FLAGS = ("web.enable-admin-api", "web.enable-lifecycle")
_FLAGS_PATH = "/status/flags"


class Target(Struct, frozen=True, kw_only=True):
    """The targets of a scrape job with GPUs."""

    all: int
    up: int
    gaps: int = 0
    """Targets with a failed scrape in the last ten minutes."""


class DcgmNames(Struct, frozen=True, kw_only=True):
    """Which names the GPU exporters use."""

    older: int = 0
    """Nodes with names from before dcgm-exporter 4.9."""
    newer: int = 0
    """Nodes with names since then. A node with both counts in both."""
    percent: int = 0
    """Utilisation samples above 1 although the name says ratio: they are not shown."""


class PrometheusProbe(Struct, frozen=True, kw_only=True):
    """The result of probing one Prometheus."""

    moment: ClockSkew | None = None
    targets: Mapping[str, Target] = {}
    names: DcgmNames = DcgmNames()
    flags: Mapping[str, bool] | None = None
    """The known ones of FLAGS; None if the server does not report them."""


class _Flags(Struct):
    data: dict[str, str] | None = None


def probe_prometheus(settings: PrometheusSettings) -> PrometheusProbe:
    """Probe it. Raises SourceFault if it does not respond."""
    book, client = SiteQueries(settings), PrometheusClient(settings, SystemClock())
    try:
        client.ask("clock", book.whole("clock"))  # the first request opens the connection, which takes time
        sent = time.time()
        at = client.ask("clock", book.whole("clock")).at
        moment = None if at is None else skew_of(at, 0.001, sent, time.time())
        return PrometheusProbe(
            moment=moment, targets=_targets(book, client), names=_names(book, client), flags=_flags(client)
        )
    finally:
        client.close()


def _targets(book: SiteQueries, client: PrometheusClient) -> Mapping[str, Target]:
    found: dict[str, dict[str, int]] = {}
    for row in client.ask("scrapes", book.whole("scrapes")).rows:
        value = number(row.value[1], "scrapes") if row.value is not None else None
        if value is not None:
            found.setdefault(clean(row.metric.get("job", "")[:40]), {})[row.metric.get("what", "")] = int(value)
    return {
        job: Target(all=counts["all"], up=counts.get("up", 0), gaps=counts.get("gaps", 0))
        for job, counts in sorted(found.items())
        if "all" in counts
    }


def _names(book: SiteQueries, client: PrometheusClient) -> DcgmNames:
    found: dict[str, int] = {}
    for row in client.ask("generations", book.whole("generations")).rows:
        value = number(row.value[1], "generations") if row.value is not None else None
        if value is not None:
            found[row.metric.get("names", "")] = int(value)
    return DcgmNames(older=found.get("older", 0), newer=found.get("newer", 0), percent=found.get("percent", 0))


def _flags(client: PrometheusClient) -> Mapping[str, bool] | None:
    """Which dangerous flags are set. They are only read, never tried."""
    try:
        told = from_json(client.get(_FLAGS_PATH), _Flags).data
    except (SourceFault, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return {flag: told[flag] == "true" for flag in FLAGS if flag in told} or None if told else None


def empty_queries(settings: PrometheusSettings, answered: Mapping[str, int]) -> Mapping[Query, tuple[str, ...]]:
    """The queries with an empty answer, each with its series that are missing under every name; none missing means
    truly empty. Queries that only some sites have are left out. Raises SourceFault."""
    book = SiteQueries(settings)
    quiet = OPTIONAL.union(_WRONGS)
    needed = {name: _series(book, name) for name, rows in answered.items() if not rows and name not in quiet}
    asked = tuple(sorted({name for series in needed.values() for one in series for name in one.split(_OR)}))
    if not asked:
        return {}
    client = PrometheusClient(settings, SystemClock())
    try:
        rows = client.ask("present", book.present(asked)).rows
    finally:
        client.close()
    there = {row.metric.get("__name__", "") for row in rows}
    return {
        BY_NAME[name]: tuple(one for one in series if there.isdisjoint(one.split(_OR)))
        for name, series in needed.items()
    }


def missing_series(settings: PrometheusSettings, matchers: Sequence[str]) -> tuple[str, ...]:
    """What a node with samples, selected by these matchers, does not export of its GPUs: blanks in the GPU table. Each
    by that node's exporter's name. Raises SourceFault."""
    book = SiteQueries(settings)
    client, there = PrometheusClient(settings, SystemClock()), set[str]()
    series = tuple(name for quantity in GPU for name in quantity.series)
    try:
        for only in matchers:
            rows = client.ask("present", book.present(series, only)).rows
            there |= {row.metric.get("__name__", "") for row in rows}
    finally:
        client.close()
    newest = -1 if MARK.series[-1] in there else 0
    return tuple(quantity.series[newest] for quantity in GPU if there.isdisjoint(quantity.series))


def _series(book: SiteQueries, name: str) -> tuple[str, ...]:
    """The series that a query needs, each with all its names, without remarks in brackets."""
    words = (series.partition(" (")[0] for series in book.needs(name))
    return tuple(word for word in words if all(name.replace(":", "_").isidentifier() for name in word.split(_OR)))
