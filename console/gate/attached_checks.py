"""What the ports and file systems of a node say when it is to take work again: for the pre-flight. Pure."""

from __future__ import annotations

from collectors.model import Cluster, Node
from console.actions.plan import Check
from console.health.inconsistencies import FreshFacts
from console.plant import fabric


def look(node: Node, cluster: Cluster, good: FreshFacts, found: list[Check]) -> None:
    """Add what is not well with them. Nothing is called fine: of a node whose exporter is silent nothing is known."""
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
