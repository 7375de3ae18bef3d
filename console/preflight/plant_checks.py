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
from widgets.units import when

from .checks import Check, Code, Level

#: Seconds after which a result of Node Health Check is unknown.
NHC_OLD_S = 3600


def check_health(node: Node, cluster: Cluster, now: float, good: FreshFacts, found: list[Check]) -> None:
    """Add findings of NHC, DCGM and version drift; nothing at a site without such checks. Old facts are unknown."""
    one = cluster.checkups.get(node.name)
    if one is not None and not good.checkups:
        found.append(Check(node.name, "unknown", "its health checks were not read lately", "checkup-old"))
        return
    if one is not None:
        found += _checks(node, one, now)
    for differs in drift_by_node(cluster).get(node.name, ()):
        found.append(
            Check(
                node.name,
                "warn" if differs.what == "driver" else "note",
                differs.text,
                "version",
                (differs.what, differs.version),
            )
        )


def _checks(node: Node, one: Checkup, now: float) -> Iterator[Check]:
    if one.nhc_ok is not None:
        old = one.nhc_at is not None and now - one.nhc_at > NHC_OLD_S
        at = "" if one.nhc_at is None else f" at {when(one.nhc_at, None, now)}"
        if old:
            yield Check(node.name, "unknown", f"NHC has not run since {when(one.nhc_at, None, now)}", "nhc-old")
        elif one.nhc_ok:
            yield Check(node.name, "ok", f"NHC ok{at}", "nhc-ok")
        else:
            yield Check(node.name, "bad", f"NHC fails{at}: {one.nhc}", "nhc", (one.nhc,))
    if one.diag_ok is False:
        # A failure from before the boot may be of a part that was swapped since.
        before = one.diag_at is not None and node.boot_at is not None and one.diag_at < node.boot_at
        text = f"dcgmi diag {one.diag}"
        yield (
            Check(node.name, "warn", f"{text} before it booted, and did not run since", "diag-before-boot", (one.diag,))
            if before
            else Check(node.name, "bad", f"{text} since it booted", "diag", (one.diag,))
        )
    if one.health not in {None, "ok"}:
        yield Check(node.name, "warn", f"dcgmi health: {one.health}", "health", (one.health,))


def check_nvlink(node: Node, cluster: Cluster, good: FreshFacts, found: list[Check]) -> None:
    """Add findings on a node's NVLink fabric; nothing for a node in none."""
    tray, one = cluster.trays.get(node.name), nvlink_domains.state_of_node(node.name, cluster)
    if "trays" not in cluster.known or (tray is None and (one is None or not one.cliques)):
        return

    def say(level: Level, text: str, code: Code, *about: object) -> None:
        found.append(Check(node.name, level, text, code, about))

    if not good.trays:
        say("unknown", "what is known of its NVLink fabric is old", "fabric-old")
        return
    if tray is None:
        say("unknown", "its NVLink fabric is unknown: its exporter is silent", "fabric-unknown")
        return
    before = len(found)
    if tray.fabric not in {None, "healthy"}:
        why = f": {', '.join(tray.wrong)}" if tray.wrong else ""
        say(
            "bad" if tray.fabric == "unhealthy" else "warn",
            f"its NVLink fabric is {tray.fabric}{why}",
            "fabric",
            tray.fabric,
            *tray.wrong,
        )
    if node.gpus is not None and tray.gpus is not None and tray.gpus < node.gpus:
        say(
            "warn", f"{tray.gpus} of its {node.gpus} GPUs are in the NVLink fabric", "fabric-gpus", tray.gpus, node.gpus
        )
    if tray.imex not in {None, "up"}:
        say("warn", f"its IMEX service is not up: {tray.imex}", "imex", tray.imex)
    company = {} if one is None else _others(node.name, one)
    part = None if one is None else one.clique_of(node.name)
    mine, most = company.get(part.id, 0) if part is not None else 0, max(company.values(), default=0)
    if one is not None and mine < most:
        main = next(clique for clique, count in company.items() if count == most)
        own = tray.clique if part is None else part.id
        say(
            "bad",
            f"it is in NVLink clique {own}, {most} trays of {one.name} are in {main}: no job runs over both",
            "clique",
            own,
            main,
        )
    if len(found) == before:
        fine = [f"NVLink clique {tray.clique}" + (f" with {mine} other trays of {one.name}" if one is not None else "")]
        fine += [f"fabric {tray.fabric}"] if tray.fabric is not None else []
        fine += [f"IMEX {tray.imex}"] if tray.imex is not None else []
        say("ok", ", ".join(fine), "fabric-ok")


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
            found.append(
                Check(
                    node.name,
                    "unknown",
                    f"what is known of its cooling ({loop.name}) is old",
                    "cooling-old",
                    (loop.name,),
                )
            )
        elif loop.faulty:
            found.append(
                Check(
                    node.name,
                    "bad",
                    f"its cooling is not well: {loop.name} {loop.state}, {loop.text}",
                    "cooling",
                    (loop.name, loop.state, *loop.wet_places),
                )
            )
        elif loop.state == "silent":
            found.append(
                Check(node.name, "unknown", f"its cooling: of {loop.name} {loop.text}", "cooling-silent", (loop.name,))
            )
        elif loop.state == "ok":
            found.append(Check(node.name, "ok", f"cooling ok ({loop.name})", "cooling-ok", (loop.name,)))


def check_ports_and_storage(node: Node, cluster: Cluster, good: FreshFacts, found: list[Check]) -> None:
    """Add findings on the ports and file systems of a node. No pass is reported: a silent exporter is unknown."""
    if "fabric" in cluster.known:
        if good.fabric:
            for port in fabric.ports_by_node(cluster).get(node.name, ()):
                found.append(
                    Check(
                        node.name,
                        "bad" if "down" in port.wrong else "warn",
                        fabric.port_text(port),
                        "port",
                        (port.device, port.port, *port.wrong),
                    )
                )
        else:
            found.append(Check(node.name, "unknown", "what is known of its ports is old", "ports-old"))
    if "storage" in cluster.known and not good.storage:
        found.append(Check(node.name, "unknown", "what is known of its file systems is old", "stores-old"))
        return
    for store in cluster.storage.values():
        if node.name in store.hung:
            found.append(
                Check(
                    node.name, "bad", f"{store.name} hangs there: jobs would stand still", "store-hung", (store.name,)
                )
            )
        elif node.name in store.missing:
            found.append(Check(node.name, "bad", f"{store.name} is not mounted there", "store-missing", (store.name,)))
