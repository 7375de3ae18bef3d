"""What the NVLink fabric says of a node that is to take work again: for the pre-flight. Pure."""

from __future__ import annotations

from collectors.model import Cluster, Node
from console.actions.check_codes import Code
from console.actions.plan import Check
from console.health.inconsistencies import FreshFacts
from console.plant import nvlink_domains
from console.plant.nvlink_domains import DomainState

from .fitness import Level


def look(node: Node, cluster: Cluster, good: FreshFacts, found: list[Check]) -> None:
    """Add what is known of a node's fabric; nothing for one that is in none."""
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
    """How many of the other trays in service are in each clique of a domain."""
    beside = frozenset(one.usable) - {name}
    return {part.id: len(beside.intersection(part.nodes)) for part in one.cliques}
