"""Tries the roads to a Slurm, each once: what is at its end, what a reading costs, what it cannot do there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from collectors.model import Fault, Rights, SourceFault

from . import SlurmSettings
from .sources import open_road
from .transport import ACTIONS, KINDS, TASKS, About, TransportReader, unsupported

#: In the order in which they are told; `rest` only where it is configured: there is no address to guess.
ROADS = ("cli", "rest", "native")


class ProbeRead(Struct, frozen=True, kw_only=True):
    """One reading of all of a kind."""

    ms: float | None = None
    size: int | None = None
    """Bytes of the answer, None where that cannot be said."""
    fault: Fault | None = None


class TransportProbe(Struct, frozen=True, kw_only=True):
    """One road."""

    road: str
    use: str
    """transport or fallback, as it is configured; "" is neither."""
    about: About | None = None
    fault: Fault | None = None
    """Why it does not work; then there is nothing more."""
    rights: Rights | None = None
    reads: Mapping[str, ProbeRead] = {}
    cannot: Mapping[str, str] = {}
    """What it cannot do there, and why."""


def uses(settings: SlurmSettings) -> Mapping[str, str]:
    """Every road that there may be, to its use: transport, fallback, or "" for one that is not configured."""
    chosen: dict[str, str] = {settings.transport: "transport", **dict.fromkeys(settings.fallback, "fallback")}
    return {name: chosen.get(name, "") for name in ROADS if name != "rest" or name in chosen}


def tried(name: str, use: str, cluster: str, settings: SlurmSettings, kinds: Sequence[str] = KINDS) -> TransportProbe:
    """One road, with a reading of each of these kinds. Blocks; raises nothing for what a road does."""
    road = open_road(name, cluster, settings)
    # All are open before the first question: the last one that is closed gives back what the road holds.
    readers = {kind: road.reader(kind) for kind in kinds if unsupported(name, kind) is None}
    try:
        about = road.about()
        cannot = {what: why for what in _everything() if (why := road.unsupported(what)) is not None}
        told = {kind: _read(reader) for kind, reader in readers.items() if kind not in cannot}
    except SourceFault as error:
        return TransportProbe(road=name, use=use, fault=error.fault)
    finally:
        for reader in readers.values():
            reader.close()
    rights = next((found for _, found in told.values() if found is not None), None)
    reads = {kind: read for kind, (read, _) in told.items()}
    return TransportProbe(road=name, use=use, about=about, rights=rights, reads=reads, cannot=cannot)


def _everything() -> list[str]:
    return [*KINDS, *(what for action in ACTIONS for what in (action, f"{action} {TASKS}"))]


def _read(reader: TransportReader) -> tuple[ProbeRead, Rights | None]:
    """What a reading cost, and the rights where it told them."""
    began = time.monotonic()
    try:
        facts = reader.read()
    except SourceFault as error:
        return ProbeRead(fault=error.fault), None
    return ProbeRead(ms=1e3 * (time.monotonic() - began), size=reader.size), facts.rights
