"""Checks the Slurm transports: which of them work here, at what version, and what each cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from collectors.model import Collector, Rights
from collectors.slurm import SlurmSettings
from collectors.slurm.probe import ProbeRead, TransportProbe, probe_transport, transport_uses
from collectors.slurm.transport import KINDS
from console.actions.registry import ACTIONS

from . import source_checks
from .finding import Finding, FindingGroup
from .parallel import ParallelChecks


def start(checks: ParallelChecks, cluster: str, settings: SlurmSettings) -> None:
    """Start a probe of every transport. The kinds of the configured one are read by the sources already."""
    actions = {one.id: one.operation for one in ACTIONS}
    for name, use in transport_uses(settings).items():
        kinds = () if use == "transport" else KINDS
        checks.start(f"transport {name}", partial(probe_transport, name, use, cluster, settings, kinds, actions))


def probes_of(
    settings: SlurmSettings, opened: Sequence[Collector], ended: Mapping[str, Any]
) -> tuple[TransportProbe, ...]:
    """Every transport whose probe ended in time, with the cost of the sources that read over it."""
    found = [
        one for name in transport_uses(settings) if isinstance(one := ended.get(f"transport {name}"), TransportProbe)
    ]
    rights = rights_of(ended)
    return tuple(
        msgspec.structs.replace(one, reads=_costs(opened, ended), rights=rights)
        if one.use == "transport" and one.fault is None
        else one
        for one in found
    )


def rights_of(ended: Mapping[str, Any]) -> Rights | None:
    """The rights from the reading of their source; None without a reading."""
    found = ended.get("slurm.rights")
    facts = found.reading.facts if isinstance(found, source_checks.SourceRead) else None
    return None if facts is None else facts.rights


def _costs(opened: Sequence[Collector], ended: Mapping[str, Any]) -> Mapping[str, ProbeRead]:
    costs = {}
    for one in opened:
        found = ended.get(one.name)
        if one.name.startswith("slurm.") and isinstance(found, source_checks.SourceRead):
            size = getattr(getattr(one, "reader", None), "size", None)
            fault = found.reading.fault
            ms = None if fault is not None else 1e3 * found.reading.took_s
            costs[one.name.removeprefix("slurm.")] = ProbeRead(ms=ms, size=size if fault is None else None, fault=fault)
    return costs


def findings(
    settings: SlurmSettings, ended: Mapping[str, Any], found: Sequence[TransportProbe], within_s: float
) -> list[Finding]:
    """One line for each transport, and one for each reason why it cannot do something."""
    group = FindingGroup("Slurm roads")
    known = {one.transport: one for one in found}
    for name, use in transport_uses(settings).items():
        one = known.get(name)
        if one is None:
            error = ended.get(f"transport {name}")
            said = f"no answer within {within_s:g} s" if error is None else source_checks.fault_of(error).what
            (group.bad if use else group.note)(name, f"{use or 'not configured'}: {said}", "see Sources for its reads")
            continue
        _report(group, one, settings, _same(one, ended))
    return group.found


def _same(one: TransportProbe, ended: Mapping[str, Any]) -> str | None:
    """The source that met the same fault over this transport and already reports it."""
    met = {name: found.reading.fault for name, found in ended.items() if isinstance(found, source_checks.SourceRead)}
    names = (f"slurm.{kind}" for kind in KINDS)
    return next((name for name in names if one.fault is not None and met.get(name) == one.fault), None)


def _report(group: FindingGroup, one: TransportProbe, settings: SlurmSettings, same: str | None) -> None:
    if one.about is None:
        fault = one.fault
        said = "" if fault is None else fault.what
        if one.use and same is not None:
            group.bad(one.transport, f"{one.use}, does not work: the same as {same}")
        elif one.use:
            group.bad(one.transport, f"{one.use}, does not work: {said}", fault.mend if fault else "")
        else:
            group.note(one.transport, f"not configured, and would not work: {said}")
        return
    version = " ".join(word for word in (one.about.version, one.about.parser) if word) or "version unknown"
    said = f"Slurm {version}, {one.about.where}"
    if not one.use:
        group.note(one.transport, f"not configured, and would work: {said}")
        return
    group.ok(one.transport, f"{one.use}: {said}", version=one.about.version)
    if one.use == "fallback":
        costs = [
            f"{kind} {'failed' if read.fault else f'{read.ms or 0:.0f} ms'}"
            for kind, read in one.reads.items()
            if kind != "rights"
        ]
        group.ok(one.transport, f"reads {', '.join(costs)}")
        for kind, read in one.reads.items():
            if read.fault is not None:
                group.bad(one.transport, f"reading {kind}: {read.fault.what}", read.fault.mend)
    by_why: dict[str, list[str]] = {}
    for what, why in one.cannot.items():
        by_why.setdefault(why, []).append(what)
    behind = settings.transports[settings.transports.index(one.transport) + 1 :]
    for why, those in by_why.items():
        said = f"cannot {', '.join(those)}: {why}"
        if behind:
            group.ok(one.transport, f"{said}; goes over {behind[0]}")
        else:
            group.note(one.transport, said, 'to have it by command: slurm = { …, fallback = ["cli"] }')
