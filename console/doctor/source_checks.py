"""Reads every configured source once, as the console does, and checks for missing data behind its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from collectors.alertmanager import AlertmanagerSettings
from collectors.clean import clean
from collectors.clock import Clock
from collectors.hosts import HostMapping, ReportsHostMapping
from collectors.model import Collector, Facts, Fault, Reading, SourceFault
from collectors.nodeset import fold
from collectors.prometheus import PrometheusSettings
from collectors.prometheus.query_table import XID_COUNT
from collectors.slurm import SlurmSettings
from console.ingest.node_naming import Naming
from console.ingest.poller import read, rows_in
from console.session.cluster_sources import ClusterSources
from widgets.units import plural

from . import host_check
from .finding import Finding, FindingGroup, count, seconds
from .parallel import ParallelChecks

if TYPE_CHECKING:
    from collectors.prometheus.probe import DcgmNames

#: Longest time in seconds for one read; the console waits longer if the site allows it.
TIMEOUT_S = 8.0
#: Longest seconds that readings wait for Slurm's nodes, to compare the hosts in their series.
NAMES_S = 3.5
#: libslurm waits 10 s (MessageTimeout) for a controller that is down before it reports that.
NATIVE_TIMEOUT_S = 11.0
#: Age in seconds of the newest sample from which on the console shows outdated data.
OLD_S = 60.0
#: Rights are no facts of the machine; they are reported in their own group.
ASKING = "slurm.rights"
_LIMITS = ("deadline_s", "start_deadline_s", "timeout_s")


def timeout_s(sources: ClusterSources) -> float:
    """The longest timeout that the site allows for one read."""
    return max(getattr(chosen, key, 0.0) for chosen in (sources.slurm, *sources.others.values()) for key in _LIMITS)


def with_short_timeouts(sources: ClusterSources) -> ClusterSources:
    """The sources with timeouts of at most TIMEOUT_S, for pyslurm NATIVE_TIMEOUT_S."""
    others = {key: _hurried(chosen) for key, chosen in sources.others.items()}
    return msgspec.structs.replace(
        sources, slurm=None if sources.slurm is None else _hurried(sources.slurm), others=others
    )


def _hurried(settings: Any) -> Any:
    most = NATIVE_TIMEOUT_S if isinstance(settings, SlurmSettings) and "native" in settings.transports else TIMEOUT_S
    limits = {key: most for key in _LIMITS if getattr(settings, key, 0.0) > most}
    return msgspec.structs.replace(settings, **limits)


class SourceRead(Struct, frozen=True, eq=False):
    """The reading of one source."""

    reading: Reading
    host_mappings: tuple[HostMapping, ...] = ()
    """How the hosts in its series were mapped to Slurm nodes."""
    empty: Mapping[Any, tuple[str, ...]] = {}
    """Prometheus only: queries with an empty answer, to their series that do not exist."""
    blank: tuple[str, tuple[str, ...]] | None = None
    """Prometheus only: a node with samples, and the GPU fields that it does not export."""


def start(checks: ParallelChecks, sources: ClusterSources, clock: Clock) -> Sequence[Collector]:
    """Start reading every source and the servers' own status."""
    opened = sources.collectors()
    naming = Naming(opened, wait_s=NAMES_S)
    for one in opened:
        checks.start(one.name, lambda one=one: _read(sources, one, clock, naming))  # type: ignore[misc]
    prometheus, alertmanager = sources.others.get("prometheus"), sources.others.get("alertmanager")
    if isinstance(prometheus, PrometheusSettings):
        from collectors.prometheus import probe as of_prometheus

        checks.start("prometheus", lambda: of_prometheus.probe_prometheus(prometheus))
    if isinstance(alertmanager, AlertmanagerSettings):
        from collectors.alertmanager import probe as of_alertmanager

        checks.start("alertmanager", lambda: of_alertmanager.probe_alertmanager(alertmanager))
    return opened


def _read(sources: ClusterSources, one: Collector, clock: Clock, naming: Naming) -> SourceRead:
    naming.wait(one)
    reading = read(sources.name, one, clock)
    naming.see(reading)
    host_mappings = one.host_mappings() if isinstance(one, ReportsHostMapping) else ()
    settings, client = sources.others.get("prometheus"), getattr(one, "client", None)
    if client is None or not isinstance(settings, PrometheusSettings):
        return SourceRead(reading, host_mappings)
    from collectors.prometheus.probe import empty_queries, missing_series

    try:
        node = min(reading.facts.loads or (), default=None) if reading.facts is not None else None
        matchers = one.matchers(node) if node is not None and hasattr(one, "matchers") else ()
        missing = missing_series(settings, matchers) if matchers else ()
        blank = (node, missing) if node is not None and missing else None
        return SourceRead(reading, host_mappings, empty_queries(settings, client.answered), blank)
    except SourceFault:
        return SourceRead(reading, host_mappings)


def findings(opened: Sequence[Collector], ended: Mapping[str, Any], within_s: float, granted_s: float) -> list[Finding]:
    """The findings of the readings, a line for each source and for each gap in its data. `granted_s`: the console's
    timeout.
    """
    group = FindingGroup("Sources")
    faults: dict[Fault, str] = {}
    for one in opened:
        if one.name == ASKING:
            continue
        found = ended.get(one.name)
        if isinstance(found, SourceRead) and (first := faults.get(found.reading.fault)) is not None:  # type: ignore[arg-type]
            group.bad(one.name, f"the same as {first}", took_s=round(found.reading.took_s, 4))
        elif isinstance(found, SourceRead):
            _source(group, one, found)
            for host_mappings in found.host_mappings:
                host_check.add_findings(group, one.name, host_mappings)
            if found.reading.fault is not None:
                faults[found.reading.fault] = one.name
        elif found is None:
            group.bad(one.name, f"no answer within {within_s:g} s", "is it overloaded? the console waits longer")
        else:
            group.bad(one.name, f"{type(found).__name__} in wacht itself", "please report it to wacht")
    late = any(
        isinstance(one, SourceRead) and one.reading.fault is not None and one.reading.fault.kind == "timeout"
        for one in ended.values()
    )
    if late and granted_s > TIMEOUT_S:
        group.note("patience", f"doctor waits {TIMEOUT_S:g} s for an answer; the console would wait {granted_s:g} s")
    _nodes_without_samples(group, ended)
    _racks(group, ended)
    if "prometheus" in ended:
        _prometheus(group, ended["prometheus"])
    if "alertmanager" in ended:
        _alertmanager(group, ended["alertmanager"])
    return group.found


def fault_of(error: Any) -> Fault:
    """The fault for a failed check, whatever it raised."""
    if isinstance(error, SourceFault):
        return error.fault
    return Fault("internal", f"{type(error).__name__} in wacht itself", "please report it to wacht")


def _source(group: FindingGroup, one: Collector, found: SourceRead) -> None:
    reading = found.reading
    figures: dict[str, Any] = {"took_s": round(reading.took_s, 4)}
    if reading.fault is not None:
        group.bad(one.name, reading.fault.what, reading.fault.mend or "wacht reads it again", **figures)
        return
    facts = reading.facts
    assert facts is not None
    rows = rows_in(facts) if _counts_rows(facts) else None
    size = getattr(getattr(one, "reader", None), "size", None)
    age = newest_age(facts, reading.at)
    figures |= {"rows": rows, "bytes": size, "age_s": None if age is None else round(age, 1)}
    said = "" if rows is None else f"{count(rows, 'row')}, "
    said += seconds(reading.took_s) + ("" if size is None else f", {size / 1e3:,.0f} kB")
    if age is not None:
        said += f"; newest sample {'less than 1 s' if age < 1 else seconds(age)} old"
    if age is not None and age > OLD_S:
        group.warn(one.name, said, "is it scraped, and how often? see scrape_interval of its job", **figures)
    else:
        group.ok(one.name, said, **figures)
    for warning in facts.warnings:
        group.warn(one.name, warning)
    _empty(group, one.name, found)
    _gaps(group, one.name, facts)
    if found.blank is not None:
        node, missing = found.blank
        names = ", ".join(name.removeprefix("DCGM_FI_") for name in missing[:6]) + (", …" if missing[6:] else "")
        said = f"{clean(node)} does not export {count(len(missing), 'field')} that the table of GPUs can show: {names}"
        group.note(
            one.name, said, "name them in the counters file of dcgm-exporter, where you miss them", missing=missing
        )


def _counts_rows(facts: Facts) -> bool:
    return any(
        getattr(facts, kind) is not None
        for kind in ("nodes", "jobs", "partitions", "reservations", "loads", "alerts", "silences")
    )


def newest_age(facts: Facts, now: float) -> float | None:
    """Age in seconds of the newest sample, if the facts have sample times."""
    at = [load.sampled_at for load in (facts.loads or {}).values() if load.sampled_at is not None]
    if facts.counts is not None:
        at += [one for one in (facts.counts.nodes_at, facts.counts.jobs_at) if one is not None]
    return None if not at else now - max(at)


def _empty(group: FindingGroup, name: str, found: SourceRead) -> None:
    """Queries with an empty answer. If all their series exist, the answer is a proven zero."""
    for query, missing in found.empty.items():
        if not missing:
            continue
        what = f"query {query.name} is empty: no series {', '.join(missing)}"
        if query.name == "xid_counts":
            # The gauge holds only the last XID: of two between two scrapes the first is lost.
            group.warn(
                name, f"no series {', '.join(missing)}: an XID that another follows at once (62, then 45) is not seen",
                "name it in the counters file of dcgm-exporter: "
                f"{XID_COUNT}, gauge, Count of XID errors within the time window", query=query.name, missing=missing,
            )  # fmt: skip
        elif any(f"{series} (" in text for series in missing for text in query.series):
            # dcgm-exporter does not export it by default, and much works without it.
            group.note(name, what, f"export and scrape it; it is for {query.about}", query=query.name, missing=missing)
        else:
            group.bad(name, what, f"export and scrape it; it is for {query.about}", query=query.name, missing=missing)


def _gaps(group: FindingGroup, name: str, facts: Facts) -> None:
    """Fields that some nodes export and others do not: part of a site may have another counters file."""
    sampled = {node: load for node, load in (facts.loads or {}).items() if load.gpus_seen}
    for field, what in (("gpu_util_pct", "utilisation"), ("gpu_memory_pct", "memory"), ("gpu_power_w", "power")):
        lack = [node for node, load in sampled.items() if getattr(load, field) is None]
        if 0 < len(lack) < len(sampled):
            said = f"{len(lack)} of {plural(len(sampled), 'node')} with samples have no {what} of their GPUs: "
            mend = "name its field in the counters file of dcgm-exporter there: docs/queries.md"
            group.warn(name, said + _short(fold(lack)), mend)


def _nodes_without_samples(group: FindingGroup, ended: Mapping[str, Any]) -> None:
    """Nodes with GPUs for which Prometheus has no samples."""
    nodes, loads = (_facts(ended.get(name)) for name in ("slurm.nodes", "prom.loads"))
    if nodes is None or loads is None:
        return
    silent = [one.name for one in (nodes.nodes or {}).values() if one.gpus and one.name not in (loads.loads or {})]
    if silent:
        known = sum(1 for one in (nodes.nodes or {}).values() if one.gpus)
        group.warn(
            "prom.loads", f"{len(silent)} of {known} nodes with GPUs have no sample: {_short(fold(silent))}",
            "does dcgm-exporter run there? are its names Slurm's? see host_labels and node", silent=len(silent),
        )  # fmt: skip


def _racks(group: FindingGroup, ended: Mapping[str, Any]) -> None:
    """Series with rack labels: how many of the racks have Slurm nodes."""
    nodes = _facts(ended.get("slurm.nodes"))
    racks = {one.rack for one in (nodes.nodes or {}).values() if one.rack} if nodes is not None else set()
    cooling, power = (_facts(ended.get(name)) for name in ("prom.cooling", "prom.power"))
    cooled = [rack for row in (cooling.cooling or {}).values() for rack in row.racks] if cooling is not None else []
    drawn = list(power.power.rack_w) if power is not None and power.power is not None else []
    for name, named in (("prom.cooling", cooled), ("prom.power", drawn)):
        if named:
            host_check.add_rack_finding(group, name, frozenset(named), racks)


def _facts(found: Any) -> Facts | None:
    return found.reading.facts if isinstance(found, SourceRead) else None


def _prometheus(group: FindingGroup, found: Any) -> None:
    if isinstance(found, Exception):
        fault = fault_of(found)
        group.bad("prometheus", fault.what, fault.mend)
        return
    if not found.targets:
        group.note("prometheus", "the state of its GPU targets is unknown: it has no series up of them")
    _names(group, found.names)
    for job, one in found.targets.items():
        said = f"job {job}: {one.up} of {one.all} targets up"
        figures = {"job": job, "targets": one.all, "up": one.up, "gaps": one.gaps}
        if one.up < one.all or one.gaps:
            said += f", {one.gaps} missed a scrape in 10 min"
            group.warn("prometheus", said, "see /targets of the server for their errors", **figures)
        else:
            group.ok("prometheus", f"{said}, none missed a scrape in 10 min", **figures)


def _names(group: FindingGroup, names: DcgmNames) -> None:
    """Which metric names of dcgm-exporter the nodes use."""
    figures = {"older": names.older, "newer": names.newer}
    if names.older and names.newer:
        said = f"{count(names.newer, 'node')} under the names of dcgm-exporter 4.9 and later, {names.older} under the"
        group.ok("exporters", f"{said} older ones: both are read", **figures)
    elif names.older or names.newer:
        which = "of dcgm-exporter 4.9 and later" if names.newer else "of dcgm-exporter before 4.9"
        group.ok("exporters", f"{count(names.older or names.newer, 'node')} under the names {which}", **figures)
    if names.percent:
        group.warn(
            "exporters",
            f"{count(names.percent, 'sample')} of DCGM_FI_DEV_GPU_UTIL_RATIO above 1: DCGM 4.6 gives percent under it",
            "name DCGM_FI_DEV_GPU_UTIL in that counters file, or run DCGM 4.7 there", percent=names.percent,
        )  # fmt: skip


def _alertmanager(group: FindingGroup, found: Any) -> None:
    if isinstance(found, Exception):
        fault = fault_of(found)
        group.bad("alertmanager", fault.what, fault.mend)
        return
    gossip = "alone" if found.cluster == "disabled" else f"its cluster is {found.cluster}, {count(found.peers, 'peer')}"
    said = f"{found.version or 'version unknown'}, {gossip}, {count(len(found.receivers), 'receiver')}"
    figures = {"version": found.version, "cluster": found.cluster, "peers": found.peers, "receivers": found.receivers}
    if found.cluster in {"ready", "disabled"}:
        group.ok("alertmanager", said, **figures)
    else:
        mend = "its peers do not find each other: a silence may not reach all; see --cluster.peer"
        group.warn("alertmanager", said, mend, **figures)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
