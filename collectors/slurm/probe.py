"""Probes each transport to a Slurm once: what answers, what a reading costs, what it cannot do there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from collectors.model import Fault, Operation, Rights, SourceFault

from . import SlurmSettings, operations
from .sources import open_by_name
from .transport import KINDS, SlurmTransport, TransportInfo, TransportReader, unsupported

#: In the order of the report. `rest` is included only if it is configured: its address cannot be guessed.
TRANSPORTS = ("cli", "rest", "native")


class ProbeRead(Struct, frozen=True, kw_only=True):
    """One full reading of one kind of facts."""

    ms: float | None = None
    size: int | None = None
    """Bytes of the answer, None if unknown."""
    fault: Fault | None = None


class TransportProbe(Struct, frozen=True, kw_only=True, rename={"transport": "road"}):
    """The result of probing one transport."""

    transport: str
    use: str
    """"transport" or "fallback" as configured; "" for neither."""
    about: TransportInfo | None = None
    fault: Fault | None = None
    """Why it does not work; then the other fields are empty."""
    rights: Rights | None = None
    reads: Mapping[str, ProbeRead] = {}
    cannot: Mapping[str, str] = {}
    """What it cannot do there, to the reason."""


def transport_uses(settings: SlurmSettings) -> Mapping[str, str]:
    """Every possible transport to its use: "transport", "fallback", or "" if it is not configured."""
    chosen: dict[str, str] = {settings.transport: "transport", **dict.fromkeys(settings.fallback, "fallback")}
    return {name: chosen.get(name, "") for name in TRANSPORTS if name != "rest" or name in chosen}


def probe_transport(
    name: str,
    use: str,
    cluster: str,
    settings: SlurmSettings,
    kinds: Sequence[str] = KINDS,
    actions: Mapping[str, Operation | None] = {},
) -> TransportProbe:
    """Probe one transport with one reading of each of these kinds. Blocks; a failing transport is a fault in the
    result. `actions` names the operations in the report of what it cannot do."""
    transport = open_by_name(name, cluster, settings)
    # Open all readers before the first read: closing the last one releases what they share.
    readers = {kind: transport.reader(kind) for kind in kinds if unsupported(name, kind) is None}
    try:
        about = transport.about()
        cannot = _limits(transport, actions)
        told = {kind: _read(reader) for kind, reader in readers.items() if kind not in cannot}
    except SourceFault as error:
        return TransportProbe(transport=name, use=use, fault=error.fault)
    finally:
        for reader in readers.values():
            reader.close()
    rights = next((found for _, found in told.values() if found is not None), None)
    reads = {kind: read for kind, (read, _) in told.items()}
    return TransportProbe(transport=name, use=use, about=about, rights=rights, reads=reads, cannot=cannot)


def _limits(transport: SlurmTransport, actions: Mapping[str, Operation | None]) -> dict[str, str]:
    """What it cannot do there, and why: kinds, actions, and `ACTION tasks` where only tasks of arrays are refused."""
    found = {kind: why for kind in KINDS if (why := transport.unsupported(kind)) is not None}
    for name, operation in actions.items():
        if not isinstance(operation, operations.SlurmOperation):
            continue
        if (why := transport.unsupported(operation)) is not None:
            found[name] = why
        elif (why := transport.unsupported(operation, "tasks")) is not None:
            found[f"{name} tasks"] = why
    return found


def _read(reader: TransportReader) -> tuple[ProbeRead, Rights | None]:
    """The cost of a reading, and the rights if this kind contains them."""
    began = time.monotonic()
    try:
        facts = reader.read()
    except SourceFault as error:
        return ProbeRead(fault=error.fault), None
    return ProbeRead(ms=1e3 * (time.monotonic() - began), size=reader.size), facts.rights
