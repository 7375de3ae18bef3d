"""Attention items about ports and shared file systems. Pure; stale facts give none."""

from __future__ import annotations

from functools import lru_cache

from collectors.model import Cluster
from collectors.nodeset import fold
from collectors.nodestate import UNAVAILABLE
from console.health.inconsistencies import FreshFacts
from console.plant import fabric
from console.plant import storage as stores
from console.plant.fabric import SwitchRow
from console.plant.storage import StoreRow
from widgets.units import plural

from .attention_control import AttentionItem

#: More nodes than this are counted, not named: the list is built every second.
MAX_NAMED = 200
#: This many ports behind one switch share a line; more switches than MOST share one line.
TOGETHER, MOST = 3, 4


def storage_items(cluster: Cluster, fresh: FreshFacts) -> list[AttentionItem]:
    """File systems that hang, that are not mounted on nodes in service, or that have another problem."""
    if not fresh.storage:
        return []
    return [one for row in stores.store_rows(cluster).values() if (one := _store(row)) is not None]


def port_items(cluster: Cluster, fresh: FreshFacts) -> list[AttentionItem]:
    """Switches with several unhealthy ports, then single unhealthy ports."""
    return _fabric(cluster) if fresh.fabric and fresh.nodes else []


@lru_cache(maxsize=64)
def _named(names: tuple[str, ...]) -> str:
    return fold(names) if len(names) <= MAX_NAMED else f"{plural(len(names), 'node')}"


def _store(row: StoreRow) -> AttentionItem | None:
    name, jobs = row.store.name, ""
    if row.jobs is not None:
        jobs = f": {len(row.jobs):,} job{'' if len(row.jobs) == 1 else 's'}"
    more = f"; {', '.join(row.store.wrong)}" if row.store.wrong else ""
    if row.store.hung:
        stuck = f", on {len(row.stuck)} a job cannot end" if row.stuck else ""
        return AttentionItem(f"{name} hangs on {_named(row.store.hung)}{jobs}{stuck}{more}", True, nodes=row.store.hung)
    if row.missing:
        return AttentionItem(f"{name} is not mounted on {_named(row.missing)}{more}", False, nodes=row.missing)
    return AttentionItem(f"{name}: {', '.join(row.store.wrong)}", True) if row.store.wrong else None


def _fabric(cluster: Cluster) -> list[AttentionItem]:
    rows = [row for row in fabric.by_switch(cluster).values() if row.unhealthy]
    many = [row for row in rows if len(row.unhealthy) >= TOGETHER]
    found = [_switch(row) for row in many]
    if len(many) > MOST:
        nodes = tuple(dict.fromkeys(node for row in many for node in row.nodes))
        count = sum(len(row.unhealthy) for row in many)
        names = ", ".join(row.name for row in many[:MOST])
        found = [
            AttentionItem(
                f"{plural(count, 'port')} behind {len(many)} switches are not well: {names}, …",
                True,
                nodes=nodes,
            )
        ]
    # The person who repairs an unavailable node sees its ports.
    alone = [
        port
        for row in rows
        if len(row.unhealthy) < TOGETHER
        for port in row.unhealthy
        if (node := cluster.nodes.get(port.node)) is not None and node.display not in UNAVAILABLE
    ]
    bad = [port for port in alone if "down" in port.wrong]
    for ports, what, grave in ((bad, "down", True), ([one for one in alone if one not in bad], "not well", False)):
        nodes = tuple(dict.fromkeys(port.node for port in ports))
        if len(ports) == 1:
            found.append(
                AttentionItem(f"{nodes[0]} {fabric.port_text(ports[0])}, the node takes work", grave, nodes=nodes)
            )
        elif ports:
            text = f"{plural(len(ports), 'port')} {what} on nodes that take work: {_named(nodes)}"
            found.append(AttentionItem(text, grave, nodes=nodes))
    return found


def _ports(number: int, wrong: str, *, named: bool) -> str:
    """`12 ports down`, `1 port with errors`, or `3 flapping` where ports were named before."""
    how = "with errors" if wrong == "errors" else wrong
    return f"{plural(number, 'port')} {how}" if named else f"{number:,} {how}"


def _switch(row: SwitchRow) -> AttentionItem:
    """`leaf-R03: 12 ports down, 3 flapping on 8 nodes, 5 jobs there`."""
    counts = [(number, word) for word in fabric.PORT_PROBLEMS if (number := row.count(word))]
    said = ", ".join(_ports(number, word, named=at == 0) for at, (number, word) in enumerate(counts))
    name = row.name if row.kind == "switch" else f"rack {row.name}" if row.name else "no rack"
    jobs = "" if row.jobs is None else f", {row.jobs:,} job{'' if row.jobs == 1 else 's'} there"
    nodes = f"{len(row.nodes)} node{'' if len(row.nodes) == 1 else 's'}"
    grave = row.count("down") + row.count("flapping") >= TOGETHER
    return AttentionItem(f"{name}: {said} on {nodes}{jobs}", grave, nodes=row.nodes)
