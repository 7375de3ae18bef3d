"""Pre-flight checks of a node that is to take work again, beside its GPUs: NVLink, cooling, ports, file systems, health
checks and versions. Pure.

Each function adds what it found to `found`. A node whose exporter is silent is unknown, never called fine.
"""

from __future__ import annotations

from collections.abc import Iterator

from collectors.model import Checkup, Cluster, Node
from console.health.inconsistencies import FreshFacts
from console.health.version_drift import drift_by_node
from console.plant import cooling, fabric, nvlink_domains
from console.plant.nvlink_domains import DomainState

from .checks import Check, Level

#: Seconds after which a result of Node Health Check is unknown.
NHC_OLD_S = 3600


def check_health(node: Node, cluster: Cluster, now: float, good: FreshFacts, found: list[Check]) -> None:
    """Add findings of NHC, DCGM and version drift; nothing at a site without such checks. Old facts are unknown."""
    one = cluster.checkups.get(node.name)
    if one is not None and not good.checkups:
        found.append(Check(node.name, "unknown", "checkup-old"))
        return
    if one is not None:
        found += _checks(node, one, now)
    for drift in drift_by_node(cluster).get(node.name, ()):
        level: Level = "warn" if drift.what == "driver" else "note"
        found.append(Check(node.name, level, "version", (drift.what, drift.version), {"drift": drift}))


def _checks(node: Node, one: Checkup, now: float) -> Iterator[Check]:
    if one.nhc_ok is not None:
        ran = {"at": one.nhc_at, "now": now}
        if one.nhc_at is not None and now - one.nhc_at > NHC_OLD_S:
            yield Check(node.name, "unknown", "nhc-old", params=ran)
        elif one.nhc_ok:
            yield Check(node.name, "ok", "nhc-ok", params=ran)
        else:
            yield Check(node.name, "bad", "nhc", (one.nhc,), ran)
    if one.diag_ok is False:
        # A failure from before the boot may be of a part that was swapped since.
        before = one.diag_at is not None and node.boot_at is not None and one.diag_at < node.boot_at
        if before:
            yield Check(node.name, "warn", "diag-before-boot", (one.diag,))
        else:
            yield Check(node.name, "bad", "diag", (one.diag,))
    if one.health not in {None, "ok"}:
        yield Check(node.name, "warn", "health", (one.health,))


def check_nvlink(node: Node, cluster: Cluster, good: FreshFacts, found: list[Check]) -> None:
    """Add findings on a node's NVLink fabric; nothing for a node in none."""
    tray, one = cluster.trays.get(node.name), nvlink_domains.state_of_node(node.name, cluster)
    if "trays" not in cluster.known or (tray is None and (one is None or not one.cliques)):
        return
    if not good.trays:
        found.append(Check(node.name, "unknown", "fabric-old"))
        return
    if tray is None:
        found.append(Check(node.name, "unknown", "fabric-unknown"))
        return
    before = len(found)
    if tray.fabric not in {None, "healthy"}:
        level: Level = "bad" if tray.fabric == "unhealthy" else "warn"
        found.append(Check(node.name, level, "fabric", (tray.fabric, *tray.wrong)))
    if node.gpus is not None and tray.gpus is not None and tray.gpus < node.gpus:
        found.append(Check(node.name, "warn", "fabric-gpus", (tray.gpus, node.gpus)))
    if tray.imex not in {None, "up"}:
        found.append(Check(node.name, "warn", "imex", (tray.imex,)))
    company = {} if one is None else _others(node.name, one)
    part = None if one is None else one.clique_of(node.name)
    mine, most = company.get(part.id, 0) if part is not None else 0, max(company.values(), default=0)
    if one is not None and mine < most:
        main = next(clique for clique, count in company.items() if count == most)
        own = tray.clique if part is None else part.id
        found.append(Check(node.name, "bad", "clique", (own, main), {"trays": most, "domain": one.name}))
    if len(found) == before:
        values = {"clique": tray.clique, "others": mine, "domain": None if one is None else one.name}
        found.append(Check(node.name, "ok", "fabric-ok", (), values | {"fabric": tray.fabric, "imex": tray.imex}))


def _others(name: str, one: DomainState) -> dict[str, int]:
    """Number of other usable trays in each clique of a domain."""
    beside = frozenset(one.usable) - {name}
    return {part.id: len(beside.intersection(part.nodes)) for part in one.cliques}


def check_cooling(node: Node, cluster: Cluster, now: float, found: list[Check]) -> None:
    """Add findings on the cooling loops that serve a node; nothing where none is known."""
    if not cluster.cooling:
        return
    for loop in cooling.loops_of_node(node.name, cluster):
        if not cooling.is_fresh(cluster, now):
            found.append(Check(node.name, "unknown", "cooling-old", (loop.name,)))
        elif loop.faulty:
            details = (loop.name, loop.state, *loop.wet_places)
            found.append(Check(node.name, "bad", "cooling", details, {"loop": loop}))
        elif loop.state == "silent":
            found.append(Check(node.name, "unknown", "cooling-silent", (loop.name,), {"loop": loop}))
        elif loop.state == "ok":
            found.append(Check(node.name, "ok", "cooling-ok", (loop.name,)))


def check_ports_and_storage(node: Node, cluster: Cluster, good: FreshFacts, found: list[Check]) -> None:
    """Add findings on the ports and file systems of a node. No pass is reported: a silent exporter is unknown."""
    if "fabric" in cluster.known:
        if good.fabric:
            for port in fabric.ports_by_node(cluster).get(node.name, ()):
                level: Level = "bad" if "down" in port.wrong else "warn"
                details = (port.device, port.port, *port.wrong)
                found.append(Check(node.name, level, "port", details, {"port": port}))
        else:
            found.append(Check(node.name, "unknown", "ports-old"))
    if "storage" in cluster.known and not good.storage:
        found.append(Check(node.name, "unknown", "stores-old"))
        return
    for store in cluster.storage.values():
        if node.name in store.hung:
            found.append(Check(node.name, "bad", "store-hung", (store.name,)))
        elif node.name in store.missing:
            found.append(Check(node.name, "bad", "store-missing", (store.name,)))
