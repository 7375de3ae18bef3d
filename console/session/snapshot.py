"""`wacht snapshot`: read every source once and print it in the format documented for scripts (version 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from collectors import process
from collectors.clock import Clock
from collectors.clock import rfc3339 as stamp
from collectors.model import Cluster, Collector, Reading
from collectors.model.plant import PLANT_ROWS
from console.fields.common_cells import Ctx
from console.fields.job_fields import JOB_SNAPSHOT
from console.fields.node_fields import NODE_SNAPSHOT
from console.health.unknown_reasons import why_unknown
from console.ingest.node_naming import Naming
from console.ingest.poller import read
from console.ingest.reduce import begin, reduce
from console.runtime import log

VERSION = 1


def take(name: str, sources: Sequence[Collector], clock: Clock, demo: bool = False) -> Cluster:
    """One reading of each source, all in parallel, reduced to a Cluster."""
    cluster = begin(name, [(one.name, one.floor_s) for one in sources], demo)
    naming = Naming(sources)

    def read_one(one: Collector) -> Reading:
        naming.wait(one)
        reading = read(name, one, clock)
        naming.see(reading)
        return reading

    with ThreadPoolExecutor(max(1, len(sources))) as pool:
        try:
            for reading in pool.map(read_one, sources):
                cluster, _ = reduce(cluster, reading)
        except BaseException:
            naming.stop()
            process.stop_all()  # Ctrl-C must not wait for a hanging controller
            raise
        finally:
            for one in sources:
                one.close()
    log.SourceLog().see(cluster)
    return cluster


def exit_code(cluster: Cluster) -> int:
    """0 all sources OK, 1 some failed, 2 none OK."""
    good = sum(1 for source in cluster.sources.values() if source.ok)
    return 0 if good == len(cluster.sources) and good else 1 if good else 2


def as_json(cluster: Cluster, clock: Clock) -> bytes:
    """The snapshot as one JSON object with a newline at the end."""
    now, mono = clock.now(), clock.mono()
    known, ctx = cluster.known, Ctx(cluster, now)
    document: dict[str, Any] = {
        "version": VERSION,
        "cluster": cluster.name,
        "at": stamp(now),
        "sources": [
            {
                "name": source.name,
                "ok": source.ok,
                "age_s": None if (age := source.age_s(mono)) is None else round(age, 3),
                "took_s": None if source.took_s is None else round(source.took_s, 4),
                "error": str(source.fault) if source.fault else None,
                "warnings": list(source.warnings),
            }
            for source in cluster.sources.values()
        ],
        # A kind that could not be read is null: an empty list would mean that there are none.
        "nodes": [{key: value(node, ctx) for key, value in NODE_SNAPSHOT} for node in cluster.nodes.values()]
        if "nodes" in known else None,
        "jobs": [{key: value(job, ctx) for key, value in JOB_SNAPSHOT} for job in cluster.jobs.values()]
        if "jobs" in known else None,
        "partitions": list(cluster.partitions.values()) if "partitions" in known else None,
        "reservations": [
            {**msgspec.structs.asdict(one), "starts": stamp(one.starts), "ends": stamp(one.ends)}
            for one in cluster.reservations.values()
        ] if "reservations" in known else None,
        "alerts": [{**msgspec.structs.asdict(one), "starts": stamp(one.starts)} for one in cluster.alerts.values()]
        if "alerts" in known else None,
        "silences": [
            {**msgspec.structs.asdict(one), "starts": stamp(one.starts), "ends": stamp(one.ends), "taken": one.taken}
            for one in cluster.silences.values()
        ] if "silences" in known else None,
        "totals": _totals(cluster),
    }  # fmt: skip
    # Kinds that not every site has: a key only when they were read.
    for kind in PLANT_ROWS:
        if kind in known:
            document[kind] = [_stamped(row) for row in getattr(cluster, kind).values()]
    for kind in ("fabric", "control"):
        if kind in known:
            document[kind] = _dated(msgspec.to_builtins(getattr(cluster, kind)))
    if cluster.demo:
        document["demo"] = True
    return msgspec.json.encode(document) + b"\n"


def _dated(value: Any) -> Any:
    """The same with times as RFC 3339, at any depth."""
    if isinstance(value, dict):
        return {key: stamp(one) if key == "since" or key.endswith("_at") else _dated(one) for key, one in value.items()}
    return [_dated(one) for one in value] if isinstance(value, list) else value


def _stamped(row: msgspec.Struct) -> dict[str, Any]:
    """A row with its times as RFC 3339."""
    return {
        name: stamp(value) if name.endswith("_at") else value for name, value in msgspec.structs.asdict(row).items()
    }


def _totals(cluster: Cluster) -> Mapping[str, Any]:
    return msgspec.structs.asdict(cluster.totals)


def as_text(cluster: Cluster, clock: Clock) -> str:
    """The snapshot as a few lines of text."""
    totals, mono = cluster.totals, clock.mono()
    lines = [f"{cluster.name}{'  DEMO' if cluster.demo else ''}  {stamp(clock.now())}"]

    def said(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{count:,} {word.lower()}" for word, count in sorted(counts.items(), key=lambda at: -at[1]))

    if totals.nodes is None:
        lines.append("nodes  unknown")
    else:
        lines.append(f"nodes  {totals.nodes:,}: {said(totals.nodes_by_display)}")
        gpus, alloc, out = (
            "unknown" if count is None else f"{count:,}" for count in (totals.gpus, totals.gpus_alloc, totals.gpus_out)
        )
        lines.append(f"GPUs   {gpus}: {alloc} allocated, {out} out of service")
    lines.append("jobs   unknown" if totals.jobs is None else f"jobs   {totals.jobs:,}: {said(totals.jobs_by_state)}")
    if unknown := why_unknown(cluster, "loads"):
        lines += [f"GPU utilisation {unknown}", "power  unknown"]
    else:
        util = totals.gpu_util_pct
        over = "" if totals.util_gpus is None else f" over {totals.util_gpus:,} GPUs"
        lines.append(f"GPU utilisation {'unknown' if util is None else f'{util:.0f} %{over}'}")
        watts, of = (totals.power_w, "") if totals.power_w is not None else (totals.gpu_power_w, " by the GPUs alone")
        lines.append("power  unknown" if watts is None else f"power  {watts / 1e3:,.0f} kW{of}")
    unknown = why_unknown(cluster, "alerts")
    active = sum(one.state == "active" for one in cluster.alerts.values())
    lines.append(f"alerts {unknown or f'{active:,} active'}")
    faults: dict[str, str] = {}
    for source in cluster.sources.values():
        age, fault = source.age_s(mono), str(source.fault)
        first = faults.setdefault(fault, source.name)
        fault = fault if source.fault is None or first == source.name else f"the same as {first}"
        state = f"{age:.1f} s old" if source.ok and age is not None else f"failed: {fault}"
        lines.append(f"{source.name:20} {state}")
        lines += [f"{'':20} {warning}" for warning in source.warnings]
    return "\n".join(lines)
