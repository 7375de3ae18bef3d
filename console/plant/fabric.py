"""The fabric by switch: unhealthy ports, and the nodes and jobs behind them. Pure.

A port's switch is the one in the site's series; without one, `switch` or `leaf` in the node's Extra for InfiniBand (as
in `console.health.failure_domains`), else the rack represents it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from collectors.model import Cluster, Port
from collectors.nodeset import natural_key
from console.health.failure_domains import places_of_node
from console.runtime.memo import remembered
from widgets.units import plural

#: Port problems, worst first, with their glyph and role.
PORT_PROBLEMS: Mapping[str, tuple[str, str]] = {
    "down": ("✖", "bad"), "flapping": ("≈", "bad"), "slow": ("▼", "warn"), "errors": ("▲", "warn"),
}  # fmt: skip


class SwitchRow(Struct, frozen=True, kw_only=True):
    """One switch, or a rack that represents it, with its unhealthy ports and what is behind them."""

    name: str
    kind: str
    """switch or rack."""
    ports: int | None
    """All ports that lead to nodes; None where no series reports them."""
    unhealthy: tuple[Port, ...] = ()
    nodes: tuple[str, ...] = ()
    """Nodes with an unhealthy port."""
    jobs: int | None = None
    """Jobs on these nodes; None where the jobs are unknown."""

    @property
    def key(self) -> str:
        """A unique key for the row."""
        return f"{self.kind}/{self.name}"

    def count(self, word: str) -> int:
        """Number of ports with this problem."""
        return sum(word in port.wrong for port in self.unhealthy)


def place_of_port(port: Port, cluster: Cluster) -> tuple[str, str]:
    """Kind and name of the place that a port leads to: a switch where one is known, else the rack ("" when unknown)."""
    if port.switch:
        return "switch", port.switch
    node = cluster.nodes.get(port.node)
    told = places_of_node(node) if node is not None else ()
    if port.link != "Ethernet":
        for kind, name in told:
            if kind in {"switch", "leaf"}:
                return "switch", name
    return "rack", next((name for kind, name in told if kind == "rack"), "")


@remembered("ports", "fabric", "nodes", "jobs_on", "known")
def by_switch(cluster: Cluster) -> Mapping[str, SwitchRow]:
    """Every switch, those with most unhealthy ports first; a rack represents unnamed switches."""
    held: dict[tuple[str, str], list[Port]] = {}
    for port in cluster.ports.values():
        held.setdefault(place_of_port(port, cluster), []).append(port)
    counts = cluster.fabric.switches if cluster.fabric is not None else {}
    rows = []
    for kind, name in {*held, *(("switch", name) for name in counts)}:
        ports = tuple(sorted(held.get((kind, name), ()), key=_port_sort_key))
        nodes = tuple(dict.fromkeys(port.node for port in ports))
        jobs = {job for node in nodes for job in cluster.jobs_on.get(node, ())}
        rows.append(
            SwitchRow(
                name=name,
                kind=kind,
                ports=counts.get(name) if kind == "switch" else None,
                unhealthy=ports,
                nodes=nodes,
                jobs=len(jobs) if "jobs" in cluster.known else None,
            )
        )
    rows.sort(key=lambda row: (-len(row.unhealthy), natural_key(row.name)))
    return {row.key: row for row in rows}


def _port_sort_key(port: Port) -> tuple[Any, ...]:
    """Sort key: the worst problem first, then by node."""
    rank = min(
        (list(PORT_PROBLEMS).index(word) for word in port.wrong if word in PORT_PROBLEMS), default=len(PORT_PROBLEMS)
    )
    return rank, natural_key(port.node), natural_key(port.device)


@remembered("ports")
def ports_by_node(cluster: Cluster) -> Mapping[str, Sequence[Port]]:
    """Node to its unhealthy ports."""
    found: dict[str, list[Port]] = {}
    for port in cluster.ports.values():
        found.setdefault(port.node, []).append(port)
    return found


def port_text(port: Port) -> str:
    """The problems of a port: `mlx5_3 down (Down, Polling), flapping 4×`."""
    said = {
        "down": f"down{f' ({port.state})' if port.state else ''}",
        "slow": f"slow: {speed(port.speed_gbps)} of {speed(port.usual_gbps)}",
        "flapping": f"flapping {port.downed}×" if port.downed is not None else "flapping",
        "errors": f"{plural(port.errors, 'error')}" if port.errors is not None else "errors",
    }
    return f"{device(port)} " + ", ".join(said.get(word, word) for word in port.wrong)


def device(port: Port) -> str:
    """The device name: `mlx5_0`, and `mlx4_0/2` for the second port of a device."""
    return port.device if port.port == 1 else f"{port.device}/{port.port}"


def speed(gbps: float | None) -> str:
    """A link speed as text: `400 Gb/s`."""
    return "—" if gbps is None else f"{gbps:g} Gb/s"
